package vfs

import (
	"io"
	"io/fs"
	"maps"
	"slices"
	"syscall"
	"time"
)

// sectorSize is what a disk writes all or nothing.
const sectorSize = 512

// memNode is a file: its bytes as everybody sees them, and what of them a crash could take back.
type memNode struct {
	data     []byte
	reserved int64 // space is taken up to here, beyond the size too
	mod      time.Time
	links    int // names
	opens    int // handles

	durableSize int64
	dirty       map[int64]dirtySector // by number; all others are durable as they are
	writes      int                   // numbers the writes since the last sync
}

// dirtySector is a sector that was written since the last sync.
type dirtySector struct {
	old   []byte // durable contents, shorter at the durable end of the file
	write int    // the last write to it
}

// allocated returns how many bytes of the disk the file takes.
func (n *memNode) allocated() int64 { return max(int64(len(n.data)), n.reserved) }

// dirtyLocked notes that the bytes [from, to) are about to change. It is called before they do.
func (n *memNode) dirtyLocked(from, to int64) {
	if n.dirty == nil {
		n.dirty = make(map[int64]dirtySector)
	}
	n.writes++
	for s := from / sectorSize; s*sectorSize < to; s++ {
		d, ok := n.dirty[s]
		if !ok {
			// An untouched sector is durable as it is, up to the durable end.
			end := min((s+1)*sectorSize, n.durableSize, int64(len(n.data)))
			if at := s * sectorSize; at < end {
				d.old = slices.Clone(n.data[at:end])
			}
		}
		d.write = n.writes
		n.dirty[s] = d
	}
}

func (n *memNode) syncLocked() {
	n.dirty = nil
	n.writes = 0
	n.durableSize = int64(len(n.data))
}

// durableLocked returns the contents as they would be if nothing unsynced had reached the disk.
func (n *memNode) durableLocked() []byte {
	data := make([]byte, n.durableSize)
	copy(data, n.data)
	for s, d := range n.dirty {
		if at := s * sectorSize; at < n.durableSize {
			sector := data[at:min(at+sectorSize, n.durableSize)]
			clear(sector)
			copy(sector, d.old)
		}
	}
	return data
}

// cloneLocked returns a file with these contents, all durable.
func (n *memNode) cloneLocked(data []byte) *memNode {
	return &memNode{data: data, mod: n.mod, links: 1, durableSize: int64(len(data))}
}

// memFile is an open file of a Mem. Its fields but closed never change.
type memFile struct {
	m        *Mem
	n        *memNode
	name     string
	writable bool
	closed   bool // guarded by m.mu
}

// checkLocked refuses closed handles, and writes to those opened for reading.
func (f *memFile) checkLocked(op string, write bool) error {
	switch {
	case f.closed:
		return &fs.PathError{Op: op, Path: f.name, Err: fs.ErrClosed}
	case write && !f.writable:
		return &fs.PathError{Op: op, Path: f.name, Err: syscall.EBADF}
	}
	return nil
}

// ReadAt implements io.ReaderAt.
func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.checkLocked("read", false); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: syscall.EINVAL}
	}
	n := 0
	if off < int64(len(f.n.data)) {
		n = copy(p, f.n.data[off:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements io.WriterAt.
func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.WriteV([][]byte{p}, off)
	return int(n), err
}

// WriteV implements File. What does not fit the disk is left out, as on a real one.
func (f *memFile) WriteV(bufs [][]byte, off int64) (done int64, err error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.checkLocked("write", true); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, &fs.PathError{Op: "write", Path: f.name, Err: syscall.EINVAL}
	}
	total := int64(0)
	for _, b := range bufs {
		total += int64(len(b))
	}
	end := off + total
	if room := f.n.allocated() + max(0, f.m.capacity-f.m.used); end > room {
		end = max(room, off)
		err = &fs.PathError{Op: "write", Path: f.name, Err: syscall.ENOSPC}
	}
	if end == off {
		return 0, err
	}
	f.n.dirtyLocked(off, end)
	f.resizeLocked(max(end, int64(len(f.n.data))))
	for _, b := range bufs {
		done += int64(copy(f.n.data[off+done:end], b))
	}
	f.n.mod = f.m.nowLocked()
	return done, err
}

// resizeLocked sets the length of the data and accounts for it. Growth is zeros.
func (f *memFile) resizeLocked(size int64) {
	before := f.n.allocated()
	if old := int64(len(f.n.data)); size > old {
		f.n.data = slices.Grow(f.n.data, int(size-old))[:size]
		clear(f.n.data[old:])
	} else {
		f.n.data = f.n.data[:size]
	}
	f.m.used += f.n.allocated() - before
}

// Sync implements File.
func (f *memFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.checkLocked("fdatasync", false); err != nil {
		return err
	}
	f.n.syncLocked()
	return nil
}

// Truncate implements File.
func (f *memFile) Truncate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.checkLocked("truncate", true); err != nil {
		return err
	}
	if size < 0 {
		return &fs.PathError{Op: "truncate", Path: f.name, Err: syscall.EINVAL}
	}
	old := int64(len(f.n.data))
	if grow := size - f.n.allocated(); grow > 0 && f.m.used+grow > f.m.capacity {
		return &fs.PathError{Op: "truncate", Path: f.name, Err: syscall.ENOSPC}
	}
	f.n.dirtyLocked(min(size, old), max(size, old))
	before := f.n.allocated()
	f.n.reserved = min(f.n.reserved, size)
	f.m.used += f.n.allocated() - before
	f.resizeLocked(size)
	f.n.mod = f.m.nowLocked()
	return nil
}

// Reserve implements File.
func (f *memFile) Reserve(off, n int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.checkLocked("fallocate", true); err != nil {
		return err
	}
	if n <= 0 {
		return nil
	}
	grow := off + n - f.n.allocated()
	if grow <= 0 {
		return nil
	}
	if f.m.used+grow > f.m.capacity {
		return &fs.PathError{Op: "fallocate", Path: f.name, Err: syscall.ENOSPC}
	}
	f.n.reserved = off + n
	f.m.used += grow
	return nil
}

// EnlargePages implements File. There is no page cache.
func (f *memFile) EnlargePages(int64, int) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return f.checkLocked("madvise", false)
}

// Size implements File.
func (f *memFile) Size() (int64, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.checkLocked("stat", false); err != nil {
		return 0, err
	}
	return int64(len(f.n.data)), nil
}

// Close implements File.
func (f *memFile) Close() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.checkLocked("close", false); err != nil {
		return err
	}
	f.closed = true
	f.n.opens--
	f.m.releaseLocked(f.n)
	return nil
}

// dropUnsynced takes everything back that is not durable, as a kernel may do after a failed fdatasync.
func (f *memFile) dropUnsynced() {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	data := f.n.durableLocked()
	f.resizeLocked(int64(len(data)))
	copy(f.n.data, data)
	f.n.syncLocked()
}

// sortedSectors returns the numbers of the dirty sectors in order, so that one seed always gives one crash.
func (n *memNode) sortedSectors() []int64 { return slices.Sorted(maps.Keys(n.dirty)) }
