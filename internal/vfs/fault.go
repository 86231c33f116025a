package vfs

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"
)

// ErrInjected is wrapped by every error that a Fault makes up.
var ErrInjected = errors.New("injected fault")

// ErrInjectedNoSpace is an injected full disk: both ErrInjected and syscall.ENOSPC.
var ErrInjectedNoSpace = fmt.Errorf("%w: %w", ErrInjected, syscall.ENOSPC)

// OpKind is a kind of operation that a Fault sees.
type OpKind string

// The kinds of operation. OpWrite is both WriteAt and WriteV.
const (
	OpCreate       OpKind = "create"
	OpOpen         OpKind = "open"
	OpRemove       OpKind = "remove"
	OpRename       OpKind = "rename"
	OpMkdirAll     OpKind = "mkdirall"
	OpList         OpKind = "list"
	OpStat         OpKind = "stat"
	OpSyncDir      OpKind = "syncdir"
	OpFree         OpKind = "free"
	OpLock         OpKind = "lock"
	OpRead         OpKind = "read"
	OpWrite        OpKind = "write"
	OpSync         OpKind = "sync"
	OpTruncate     OpKind = "truncate"
	OpReserve      OpKind = "reserve"
	OpSize         OpKind = "size"
	OpEnlargePages OpKind = "enlarge pages"
	OpClose        OpKind = "close"
)

// Op is an operation about to be done.
type Op struct {
	Index int64 // number of the operation, from 0
	Kind  OpKind
	Name  string // as given to the FS; the old name of a rename
	Off   int64  // of OpRead, OpWrite, OpReserve; the size of OpTruncate
	Len   int64  // of OpRead, OpWrite, OpReserve
}

// Fate is what happens to an operation. The zero value lets it happen.
type Fate struct {
	// Err makes the operation fail. It should wrap ErrInjected.
	Err error
	// Done lets the operation happen before it fails, as when an answer gets lost.
	Done bool
	// Short is how many bytes of a write happen before it fails.
	Short int64
	// Drop makes a failing OpSync also lose what was written since the last good one, as the kernel may. The file system below
	// must be a Mem.
	Drop bool
	// Damage may change what OpRead has read, at the given offset of the file.
	Damage func(p []byte, off int64)
}

// Rule decides about an operation. It may be called concurrently.
type Rule func(Op) Fate

// FailNth fails the operation of the given index, and no other.
func FailNth(n int64) Rule {
	return func(op Op) Fate {
		if op.Index == n {
			return Fate{Err: ErrInjected}
		}
		return Fate{}
	}
}

// FailFrom fails the operation of the given index and all that follow: a disk that is gone.
func FailFrom(n int64) Rule {
	return func(op Op) Fate {
		if op.Index >= n {
			return Fate{Err: ErrInjected}
		}
		return Fate{}
	}
}

// FailKind fails all operations of a kind, on all files whose name passes the filter (nil: all).
func FailKind(kind OpKind, filter func(name string) bool) Rule {
	return func(op Op) Fate {
		if op.Kind == kind && (filter == nil || filter(op.Name)) {
			return Fate{Err: ErrInjected}
		}
		return Fate{}
	}
}

// FlipBit damages one bit of a file for all that read it.
func FlipBit(name string, off int64, bit uint) Rule {
	return func(op Op) Fate {
		if op.Kind != OpRead || op.Name != name || off < op.Off || off >= op.Off+op.Len {
			return Fate{}
		}
		return Fate{Damage: func(p []byte, at int64) {
			if i := off - at; i >= 0 && i < int64(len(p)) {
				p[i] ^= 1 << bit
			}
		}}
	}
}

// Fault wraps a file system and makes operations fail as a Rule says. All operations are counted, also when there is no rule.
type Fault struct {
	fs FS

	mu    sync.Mutex // guards what follows
	count int64
	rule  Rule
}

var _ FS = (*Fault)(nil)

// NewFault returns a Fault over fsys that lets everything happen.
func NewFault(fsys FS) *Fault { return &Fault{fs: fsys} }

// SetRule sets the rule, nil for none, and counts operations from 0 again.
func (f *Fault) SetRule(r Rule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rule, f.count = r, 0
}

// Count returns how many operations there were since SetRule.
func (f *Fault) Count() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

// fate counts an operation and asks the rule.
func (f *Fault) fate(op Op) Fate {
	f.mu.Lock()
	op.Index = f.count
	f.count++
	rule := f.rule
	f.mu.Unlock()
	if rule == nil {
		return Fate{}
	}
	return rule(op)
}

// do does an operation that is either done or not.
func (f *Fault) do(op Op, run func() error) error {
	fate := f.fate(op)
	if fate.Err == nil {
		return run()
	}
	err := fmt.Errorf("%s: %w", op.Kind, fate.Err)
	if fate.Done {
		return errors.Join(err, run())
	}
	return err
}

// open does an operation that gives a file, and closes it if the operation fails after all.
func (f *Fault) open(op Op, run func(string) (File, error)) (File, error) {
	var file File
	err := f.do(op, func() (err error) {
		file, err = run(op.Name)
		return err
	})
	if err == nil {
		return &faultFile{f: f, file: file, name: op.Name}, nil
	}
	if file != nil {
		err = errors.Join(err, file.Close())
	}
	return nil, err
}

// Create implements FS.
func (f *Fault) Create(name string) (File, error) {
	return f.open(Op{Kind: OpCreate, Name: name}, f.fs.Create)
}

// Open implements FS.
func (f *Fault) Open(name string) (File, error) {
	return f.open(Op{Kind: OpOpen, Name: name}, f.fs.Open)
}

// OpenRW implements FS.
func (f *Fault) OpenRW(name string) (File, error) {
	return f.open(Op{Kind: OpOpen, Name: name}, f.fs.OpenRW)
}

// Remove implements FS.
func (f *Fault) Remove(name string) error {
	return f.do(Op{Kind: OpRemove, Name: name}, func() error { return f.fs.Remove(name) })
}

// Rename implements FS.
func (f *Fault) Rename(oldName, newName string) error {
	return f.do(Op{Kind: OpRename, Name: oldName}, func() error { return f.fs.Rename(oldName, newName) })
}

// MkdirAll implements FS.
func (f *Fault) MkdirAll(dir string) error {
	return f.do(Op{Kind: OpMkdirAll, Name: dir}, func() error { return f.fs.MkdirAll(dir) })
}

// List implements FS.
func (f *Fault) List(dir string) (names []string, err error) {
	err = f.do(Op{Kind: OpList, Name: dir}, func() (err error) {
		names, err = f.fs.List(dir)
		return err
	})
	if err != nil {
		return nil, err
	}
	return names, nil
}

// Stat implements FS.
func (f *Fault) Stat(name string) (size int64, mod time.Time, err error) {
	err = f.do(Op{Kind: OpStat, Name: name}, func() (err error) {
		size, mod, err = f.fs.Stat(name)
		return err
	})
	return size, mod, err
}

// SyncDir implements FS.
func (f *Fault) SyncDir(dir string) error {
	return f.do(Op{Kind: OpSyncDir, Name: dir}, func() error { return f.fs.SyncDir(dir) })
}

// Free implements FS.
func (f *Fault) Free(dir string) (free, total uint64, err error) {
	err = f.do(Op{Kind: OpFree, Name: dir}, func() (err error) {
		free, total, err = f.fs.Free(dir)
		return err
	})
	return free, total, err
}

// Lock implements FS.
func (f *Fault) Lock(name string) (lock io.Closer, err error) {
	err = f.do(Op{Kind: OpLock, Name: name}, func() (err error) {
		lock, err = f.fs.Lock(name)
		return err
	})
	if err != nil && lock != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, err
}

// faultFile is an open file of a Fault.
type faultFile struct {
	f    *Fault
	file File
	name string
}

// ReadAt implements io.ReaderAt.
func (f *faultFile) ReadAt(p []byte, off int64) (int, error) {
	op := Op{Kind: OpRead, Name: f.name, Off: off, Len: int64(len(p))}
	fate := f.f.fate(op)
	if fate.Err != nil {
		return 0, fmt.Errorf("%s: %w", op.Kind, fate.Err)
	}
	n, err := f.file.ReadAt(p, off)
	if fate.Damage != nil {
		fate.Damage(p[:n], off)
	}
	return n, err
}

// WriteAt implements io.WriterAt.
func (f *faultFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.WriteV([][]byte{p}, off)
	return int(n), err
}

// WriteV implements File.
func (f *faultFile) WriteV(bufs [][]byte, off int64) (int64, error) {
	total := int64(0)
	for _, b := range bufs {
		total += int64(len(b))
	}
	op := Op{Kind: OpWrite, Name: f.name, Off: off, Len: total}
	fate := f.f.fate(op)
	if fate.Err == nil {
		return f.file.WriteV(bufs, off)
	}
	err := fmt.Errorf("%s: %w", op.Kind, fate.Err)
	short := min(fate.Short, total)
	if fate.Done {
		short = total
	}
	n, writeErr := f.file.WriteV(cut(bufs, short), off)
	return n, errors.Join(err, writeErr)
}

// cut returns the first n bytes of the buffers.
func cut(bufs [][]byte, n int64) (head [][]byte) {
	for _, b := range bufs {
		if n <= 0 {
			break
		}
		b = b[:min(n, int64(len(b)))]
		head = append(head, b)
		n -= int64(len(b))
	}
	return head
}

// Sync implements File.
func (f *faultFile) Sync() error {
	op := Op{Kind: OpSync, Name: f.name}
	fate := f.f.fate(op)
	if fate.Err == nil {
		return f.file.Sync()
	}
	err := fmt.Errorf("%s: %w", op.Kind, fate.Err)
	if fate.Done {
		err = errors.Join(err, f.file.Sync())
	}
	if fate.Drop {
		f.file.(interface{ dropUnsynced() }).dropUnsynced()
	}
	return err
}

// Truncate implements File.
func (f *faultFile) Truncate(size int64) error {
	return f.f.do(Op{Kind: OpTruncate, Name: f.name, Off: size}, func() error { return f.file.Truncate(size) })
}

// Reserve implements File.
func (f *faultFile) Reserve(off, n int64) error {
	return f.f.do(Op{Kind: OpReserve, Name: f.name, Off: off, Len: n}, func() error { return f.file.Reserve(off, n) })
}

// EnlargePages implements File.
func (f *faultFile) EnlargePages(off int64, n int) error {
	return f.f.do(Op{Kind: OpEnlargePages, Name: f.name, Off: off, Len: int64(n)}, func() error { return f.file.EnlargePages(off, n) })
}

// Size implements File.
func (f *faultFile) Size() (size int64, err error) {
	err = f.f.do(Op{Kind: OpSize, Name: f.name}, func() (err error) {
		size, err = f.file.Size()
		return err
	})
	return size, err
}

// Close implements File. A Close that fails has closed the file all the same, as Linux does.
func (f *faultFile) Close() error {
	fate := f.f.fate(Op{Kind: OpClose, Name: f.name})
	err := f.file.Close()
	if fate.Err != nil {
		return errors.Join(fmt.Errorf("%s: %w", OpClose, fate.Err), err)
	}
	return err
}
