// Package vfs is the seam between gantry and the file system.
//
// All files of the log, the packs and the caches are reached through [FS]. There are three of them: [OS] is the real one,
// [Mem] lives in memory and can be cloned as a disk would look after a loss of power, and [Fault] wraps any other one
// and makes operations fail.
//
// The rules that the callers live by, because disks do:
//   - a write is durable after Sync of the file, not before; until then any part of it, in units of 512-byte sectors, may
//     be there or not after a crash;
//   - a name that was created, renamed or removed is durable after SyncDir of its directory, not before;
//   - a Sync that failed is final: the kernel may have dropped the pages that it could not write, and a second Sync would
//     report success for data that is gone.
package vfs

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"
)

// Errors of opening and locking. A missing file is [io/fs.ErrNotExist], one that is already there [io/fs.ErrExist], a full disk
// [syscall.ENOSPC], a closed file [io/fs.ErrClosed]; all implementations wrap these.
var (
	// ErrLocked means that another process, or another part of this one, holds the lock.
	ErrLocked = errors.New("locked by another process")
)

// FS is a file system. Names are paths as the operating system knows them. All methods may be called concurrently.
type FS interface {
	// Create makes a new empty file, mode 0600, and opens it for reading and writing. If the name exists, the error wraps
	// fs.ErrExist and the file is untouched. The entry is durable only after SyncDir of its directory.
	Create(name string) (File, error)
	// Open opens an existing file for reading only.
	Open(name string) (File, error)
	// OpenRW opens an existing file for reading and writing. It never creates one and never truncates it.
	OpenRW(name string) (File, error)
	// Remove removes a file or an empty directory. Handles that are open stay usable.
	Remove(name string) error
	// Rename moves a file within this file system, replacing what newName was before. It is atomic: after a crash one of the two
	// states is there, but which one is certain only after SyncDir.
	Rename(oldName, newName string) error
	// MkdirAll makes a directory and its missing parents, mode 0700, and makes their entries durable. An existing directory
	// is no error.
	MkdirAll(dir string) error
	// List returns the base names of all entries of a directory, sorted by bytes.
	List(dir string) ([]string, error)
	// Stat returns size in bytes and time of last modification.
	Stat(name string) (size int64, mod time.Time, err error)
	// SyncDir makes the entries of a directory durable, not the contents of the files they name.
	SyncDir(dir string) error
	// Free returns the bytes that an unprivileged writer may still use on the file system that holds dir, and its size.
	Free(dir string) (free, total uint64, err error)
	// Lock takes an exclusive lock on a file, which is created if missing, without waiting: ErrLocked if it is taken. The lock
	// ends with Close or with the process. The file stays.
	Lock(name string) (io.Closer, error)
}

// File is an open file. Everything may be called concurrently, also Close; calls that come after it get fs.ErrClosed.
type File interface {
	io.ReaderAt
	io.WriterAt
	// WriteV writes the buffers one after the other at off, like one WriteAt of all of them joined, whatever their number. It
	// returns how many bytes were written; fewer than all comes with an error. The buffers are not changed and not kept.
	WriteV(bufs [][]byte, off int64) (int64, error)
	// Sync makes contents and size durable (fdatasync). See the package comment on its failures.
	Sync() error
	// Truncate sets the size and gives up what Reserve got past it.
	Truncate(size int64) error
	// Reserve makes sure that n bytes from off on can be written without running out of space, without changing the size
	// of the file. The error wraps syscall.ENOSPC if there is no room. Where the file system cannot reserve, the free space is
	// checked instead.
	Reserve(off, n int64) error
	// EnlargePages has the page cache hold n bytes from off on, both multiples of the page size, in pages as large as the system has,
	// by reading them from the disk again. It is a hint: where it is no error, it may still have been of no use. The error wraps
	// errors.ErrUnsupported where it never is of use.
	EnlargePages(off int64, n int) error
	// Size returns the current size in bytes.
	Size() (int64, error)
	// Close closes the file without syncing it. The second call returns fs.ErrClosed.
	Close() error
}

// tempSuffix is appended to a name while WriteFile is writing it. Leftovers of a crash are overwritten by the next call.
const tempSuffix = ".tmp"

// WriteFile publishes data under name: after it returns nil the whole file is there for good, and before, or after an error,
// what name was before (or, if only the last sync failed, possibly the new file). Two concurrent calls for one name are
// not allowed.
func WriteFile(fsys FS, name string, data []byte) error {
	temp := name + tempSuffix
	if err := writeTemp(fsys, temp, data); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", filepath.Base(name), err), removeIfThere(fsys, temp))
	}
	if err := fsys.Rename(temp, name); err != nil {
		return errors.Join(fmt.Errorf("publish %s: %w", filepath.Base(name), err), removeIfThere(fsys, temp))
	}
	if err := fsys.SyncDir(filepath.Dir(name)); err != nil {
		return fmt.Errorf("publish %s: %w", filepath.Base(name), err)
	}
	return nil
}

func writeTemp(fsys FS, temp string, data []byte) (err error) {
	if err := removeIfThere(fsys, temp); err != nil {
		return err
	}
	f, err := fsys.Create(temp)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.Close())
	}()
	n, err := f.WriteAt(data, 0)
	if err != nil {
		return err
	}
	size, err := f.Size()
	if err != nil {
		return err
	}
	if n != len(data) || size != int64(n) {
		return io.ErrShortWrite
	}
	return f.Sync()
}

func removeIfThere(fsys FS, name string) error {
	if err := fsys.Remove(name); err != nil && !isNotExist(err) {
		return err
	}
	return nil
}

// ReadFile returns the contents of a file of at most max bytes; a longer one is an error.
func ReadFile(fsys FS, name string, max int64) (data []byte, err error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() {
		err = errors.Join(err, f.Close())
	}()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > max {
		return nil, fmt.Errorf("read %s: %d bytes, more than %d", filepath.Base(name), size, max)
	}
	data = make([]byte, size)
	if n, err := f.ReadAt(data, 0); err != nil && n < len(data) {
		return nil, fmt.Errorf("read %s: %w", filepath.Base(name), err)
	}
	return data, nil
}
