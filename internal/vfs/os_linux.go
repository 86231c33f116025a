package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxIOV is IOV_MAX of Linux: the most buffers that one pwritev takes.
const maxIOV = 1024

// OS is the real file system.
type OS struct{}

var _ FS = OS{}

// Create implements FS.
func (OS) Create(name string) (File, error) {
	return openOS(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

// Open implements FS.
func (OS) Open(name string) (File, error) { return openOS(name, os.O_RDONLY) }

// OpenRW implements FS.
func (OS) OpenRW(name string) (File, error) { return openOS(name, os.O_RDWR) }

func openOS(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return &osFile{f: f}, nil
}

// Remove implements FS.
func (OS) Remove(name string) error { return os.Remove(name) }

// Rename implements FS.
func (OS) Rename(oldName, newName string) error { return os.Rename(oldName, newName) }

// MkdirAll implements FS.
func (o OS) MkdirAll(dir string) error {
	dir = filepath.Clean(dir)
	if info, err := os.Stat(dir); err == nil {
		if !info.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
		}
		return nil
	} else if !isNotExist(err) {
		return err
	}
	parent := filepath.Dir(dir)
	if err := o.MkdirAll(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return o.SyncDir(parent)
}

// List implements FS.
func (OS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

// Stat implements FS.
func (OS) Stat(name string) (int64, time.Time, error) {
	info, err := os.Stat(name)
	if err != nil {
		return 0, time.Time{}, err
	}
	return info.Size(), info.ModTime(), nil
}

// SyncDir implements FS.
func (OS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Free implements FS.
func (OS) Free(dir string) (free, total uint64, err error) {
	var s unix.Statfs_t
	if err := retry(func() error { return unix.Statfs(dir, &s) }); err != nil {
		return 0, 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return s.Bavail * uint64(s.Bsize), s.Blocks * uint64(s.Bsize), nil
}

// Lock implements FS.
func (OS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = (&osFile{f: f}).control("flock", func(fd int) error {
		return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	})
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = &fs.PathError{Op: "lock", Path: name, Err: ErrLocked}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// osFile is a file of the real file system.
type osFile struct {
	f      *os.File
	direct directFile
}

// ReadAt implements io.ReaderAt.
func (f *osFile) ReadAt(p []byte, off int64) (int, error) { return f.f.ReadAt(p, off) }

// WriteAt implements io.WriterAt.
func (f *osFile) WriteAt(p []byte, off int64) (int, error) { return f.f.WriteAt(p, off) }

// Truncate implements File.
func (f *osFile) Truncate(size int64) error { return f.f.Truncate(size) }

// Close implements File.
func (f *osFile) Close() error { return errors.Join(f.direct.close(), f.f.Close()) }

// WriteV implements File. Where the file system has direct I/O, and offset, buffers and lengths are aligned as it asks, the
// bytes go past the page cache.
func (f *osFile) WriteV(bufs [][]byte, off int64) (done int64, err error) {
	if off < 0 {
		return 0, &fs.PathError{Op: "pwritev", Path: f.f.Name(), Err: syscall.EINVAL}
	}
	f.direct.once.Do(func() { f.direct.open(f.f) })
	next, skip := 0, 0 // the first byte not yet written is bufs[next][skip]
	for {
		for next < len(bufs) && skip == len(bufs[next]) {
			next, skip = next+1, 0
		}
		if next == len(bufs) {
			return done, nil
		}
		window := bufs[next:min(len(bufs), next+maxIOV)]
		if skip > 0 {
			window = append([][]byte{bufs[next][skip:]}, window[1:]...)
		}
		to := f.f
		if f.direct.takes(window, off+done) {
			to = f.direct.f
		}
		var n int
		err := control(to, "pwritev", func(fd int) (err error) {
			n, err = unix.Pwritev(fd, window, off+done)
			return err
		})
		if err != nil {
			return done, err
		}
		if n == 0 {
			return done, &fs.PathError{Op: "pwritev", Path: f.f.Name(), Err: io.ErrShortWrite}
		}
		done += int64(n)
		next, skip = advance(bufs, next, skip, n)
	}
}

// advance moves a position in bufs on by n bytes.
func advance(bufs [][]byte, next, skip, n int) (int, int) {
	for n > 0 {
		step := min(n, len(bufs[next])-skip)
		n -= step
		if skip += step; skip == len(bufs[next]) {
			next, skip = next+1, 0
		}
	}
	return next, skip
}

// Sync implements File.
func (f *osFile) Sync() error { return f.control("fdatasync", unix.Fdatasync) }

// Reserve implements File.
func (f *osFile) Reserve(off, n int64) error {
	if n <= 0 {
		return nil
	}
	return f.control("fallocate", func(fd int) error {
		err := unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, off, n)
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
			return haveFree(fd, n)
		}
		return err
	})
}

// haveFree is the best that can be done where fallocate does not work.
func haveFree(fd int, n int64) error {
	var s unix.Statfs_t
	if err := unix.Fstatfs(fd, &s); err != nil {
		return err
	}
	if s.Bavail < uint64(n)/uint64(s.Bsize)+1 {
		return unix.ENOSPC
	}
	return nil
}

// EnlargePages implements File. A fault in a mapping that asks for it makes Linux read 2 MiB into one page, unless something of them is
// there already (mm/filemap.c, do_sync_mmap_readahead; ext4 can since Linux 6.16, XFS since 5.18). The mapping is never looked into.
func (f *osFile) EnlargePages(off int64, n int) error {
	return f.control("enlarge pages", func(fd int) error {
		m, err := unix.Mmap(fd, off, n, unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			return err
		}
		for _, step := range [...]func() error{
			func() error { return unix.Madvise(m, unix.MADV_RANDOM) }, // nothing beyond the 2 MiB
			func() error { return unix.Madvise(m, unix.MADV_HUGEPAGE) },
			func() error { return unix.Fadvise(fd, off, int64(n), unix.FADV_DONTNEED) },
			func() error { return populate(m) },
		} {
			if err = step(); err != nil {
				break
			}
		}
		if errors.Is(err, unix.EINVAL) { // an advice that this kernel does not know
			err = errors.ErrUnsupported
		}
		return errors.Join(err, unix.Munmap(m))
	})
}

// populate makes a fault in each 2 MiB of a mapping.
func populate(m []byte) error {
	const huge = 2 << 20
	for at := 0; at < len(m); at += huge {
		if err := unix.Madvise(m[at:at+1], unix.MADV_POPULATE_READ); err != nil {
			return err
		}
	}
	return nil
}

// Size implements File.
func (f *osFile) Size() (int64, error) {
	info, err := f.f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// control calls op with the descriptor, which cannot be closed (and so reused for another file) meanwhile, and again as
// long as a signal interrupts it.
func (f *osFile) control(name string, op func(fd int) error) error { return control(f.f, name, op) }

func control(f *os.File, name string, op func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var opErr error
	if err := conn.Control(func(fd uintptr) {
		opErr = retry(func() error { return op(int(fd)) })
	}); err != nil {
		return &fs.PathError{Op: name, Path: f.Name(), Err: closedError(err)}
	}
	if opErr != nil {
		return &fs.PathError{Op: name, Path: f.Name(), Err: opErr}
	}
	return nil
}

// closedError gives the error of a closed descriptor the one name that it has everywhere else.
func closedError(err error) error {
	if errors.Is(err, fs.ErrClosed) {
		return err
	}
	return errors.Join(fs.ErrClosed, err)
}

func retry(op func() error) error {
	for {
		if err := op(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
