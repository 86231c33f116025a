package vfs

import (
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// directFile is a second descriptor of a file that writes past the page cache. Appending a log through the page cache costs
// a copy of everything and a write-back on top; see BenchmarkAppendSync for what that is on your disk. It is opened at
// the first write that can use it.
type directFile struct {
	once   sync.Once
	f      *os.File // nil where the file system has no direct I/O
	memory uintptr  // alignment of buffers, bytes
	offset int64    // alignment of offsets and lengths, bytes
}

// open finds out what the file system asks for (statx, since Linux 6.1). Whatever goes wrong only means that writes go
// through the page cache.
func (d *directFile) open(f *os.File) {
	var st unix.Statx_t
	conn, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Control(func(fd uintptr) {
		err := unix.Statx(int(fd), "", unix.AT_EMPTY_PATH, unix.STATX_DIOALIGN, &st)
		if err != nil || st.Mask&unix.STATX_DIOALIGN == 0 || st.Dio_offset_align == 0 {
			return
		}
		direct, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fd), os.O_WRONLY|unix.O_DIRECT, 0)
		if err != nil {
			return
		}
		d.f, d.memory, d.offset = direct, uintptr(st.Dio_mem_align), int64(st.Dio_offset_align)
	})
}

// takes tells whether a write can go past the page cache.
func (d *directFile) takes(bufs [][]byte, off int64) bool {
	if d.f == nil || off%d.offset != 0 {
		return false
	}
	for _, b := range bufs {
		if len(b) == 0 || int64(len(b))%d.offset != 0 || uintptr(unsafe.Pointer(unsafe.SliceData(b)))%d.memory != 0 {
			return false
		}
	}
	return true
}

func (d *directFile) close() error {
	d.once.Do(func() {}) // no opening after this
	if d.f == nil {
		return nil
	}
	return d.f.Close()
}
