package vfs

import (
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Mem is a file system in memory that knows what a loss of power would leave of it: see CrashClone. The zero value is not usable.
type Mem struct {
	mu       sync.Mutex // guards everything below, all nodes and all handles
	root     *memDir
	ops      []*dirOp // changes of entries that no SyncDir has made durable yet, oldest first
	capacity int64    // bytes, of all files together
	used     int64
	locks    map[string]bool
	ticks    time.Duration // makes every modification time another one
}

var _ FS = (*Mem)(nil)

// memDefaultCapacity is the size of a Mem until SetCapacity changes it.
const memDefaultCapacity = 1 << 40

// memEpoch is the modification time of the first change.
var memEpoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// NewMem returns an empty file system. Any absolute or relative name may be used; the root and the working directory are one.
func NewMem() *Mem {
	return &Mem{root: newMemDir(), capacity: memDefaultCapacity, locks: make(map[string]bool)}
}

// SetCapacity sets the size of the disk in bytes. It may be less than what is used.
func (m *Mem) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = bytes
}

// Used returns how many bytes all files have taken or reserved.
func (m *Mem) Used() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

// node is a *memDir or a *memNode.
type node any

// memDir is a directory: its entries as everybody sees them, and as they would be after a crash.
type memDir struct {
	now     map[string]node
	durable map[string]node
}

func newMemDir() *memDir {
	return &memDir{now: make(map[string]node), durable: make(map[string]node)}
}

// dirOp is one change of entries that is not durable yet. It is atomic: a rename happens in both places or in none.
type dirOp struct {
	remove     *memDir // where an entry goes, if any
	removeName string
	add        *memDir // where one comes, if any
	addName    string
	node       node
}

func (op *dirOp) touches(d *memDir) bool { return op.remove == d || op.add == d }

// apply makes the change in the durable entries. Without the changes before it, what goes may be there no more.
func (op *dirOp) apply() {
	if op.remove != nil && op.remove.durable[op.removeName] == op.node {
		delete(op.remove.durable, op.removeName)
	}
	if op.add != nil {
		op.add.durable[op.addName] = op.node
	}
}

// split cuts a name into its parts; the root has none.
func split(name string) []string {
	name = filepath.Clean("/" + name)
	if name == "/" {
		return nil
	}
	var parts []string
	for name != "/" {
		parts = append(parts, filepath.Base(name))
		name = filepath.Dir(name)
	}
	slices.Reverse(parts)
	return parts
}

// dirLocked finds a directory.
func (m *Mem) dirLocked(op, name string) (*memDir, error) {
	d := m.root
	for _, part := range split(name) {
		next, ok := d.now[part]
		if !ok {
			return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
		}
		if d, ok = next.(*memDir); !ok {
			return nil, &fs.PathError{Op: op, Path: name, Err: syscall.ENOTDIR}
		}
	}
	return d, nil
}

// parentLocked finds the directory of a name, and the name within it.
func (m *Mem) parentLocked(op, name string) (*memDir, string, error) {
	parts := split(name)
	if len(parts) == 0 {
		return nil, "", &fs.PathError{Op: op, Path: name, Err: syscall.EINVAL}
	}
	d, err := m.dirLocked(op, filepath.Join(parts[:len(parts)-1]...))
	return d, parts[len(parts)-1], err
}

// fileLocked finds a file.
func (m *Mem) fileLocked(op, name string) (*memNode, error) {
	d, base, err := m.parentLocked(op, name)
	if err != nil {
		return nil, err
	}
	switch n := d.now[base].(type) {
	case *memNode:
		return n, nil
	case *memDir:
		return nil, &fs.PathError{Op: op, Path: name, Err: syscall.EISDIR}
	}
	return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}

// nowLocked is the time of a change: later than all before.
func (m *Mem) nowLocked() time.Time {
	m.ticks += time.Microsecond
	return memEpoch.Add(m.ticks)
}

// Create implements FS.
func (m *Mem) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := m.createLocked("create", name)
	if err != nil {
		return nil, err // not f: a nil *memFile would be a File that is not nil
	}
	return f, nil
}

func (m *Mem) createLocked(op, name string) (*memFile, error) {
	d, base, err := m.parentLocked(op, name)
	if err != nil {
		return nil, err
	}
	if _, ok := d.now[base]; ok {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrExist}
	}
	n := &memNode{mod: m.nowLocked(), links: 1}
	d.now[base] = n
	m.ops = append(m.ops, &dirOp{add: d, addName: base, node: n})
	return m.handleLocked(n, name, true), nil
}

func (m *Mem) handleLocked(n *memNode, name string, writable bool) *memFile {
	n.opens++
	return &memFile{m: m, n: n, name: name, writable: writable}
}

// Open implements FS.
func (m *Mem) Open(name string) (File, error) { return m.open(name, false) }

// OpenRW implements FS.
func (m *Mem) OpenRW(name string) (File, error) { return m.open(name, true) }

func (m *Mem) open(name string, writable bool) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.fileLocked("open", name)
	if err != nil {
		return nil, err
	}
	return m.handleLocked(n, name, writable), nil
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, base, err := m.parentLocked("remove", name)
	if err != nil {
		return err
	}
	n, ok := d.now[base]
	if !ok {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	if sub, ok := n.(*memDir); ok && len(sub.now) > 0 {
		return &fs.PathError{Op: "remove", Path: name, Err: syscall.ENOTEMPTY}
	}
	delete(d.now, base)
	m.ops = append(m.ops, &dirOp{remove: d, removeName: base, node: n})
	m.unlinkLocked(n)
	return nil
}

// unlinkLocked gives up a name of a node, and its space when nobody can reach it any more.
func (m *Mem) unlinkLocked(n node) {
	if f, ok := n.(*memNode); ok {
		f.links--
		m.releaseLocked(f)
	}
}

func (m *Mem) releaseLocked(n *memNode) {
	if n.links == 0 && n.opens == 0 {
		m.used -= n.allocated()
		n.reserved = 0
	}
}

// Rename implements FS.
func (m *Mem) Rename(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	from, oldBase, err := m.parentLocked("rename", oldName)
	if err != nil {
		return err
	}
	to, newBase, err := m.parentLocked("rename", newName)
	if err != nil {
		return err
	}
	n, ok := from.now[oldBase]
	if !ok {
		return &fs.PathError{Op: "rename", Path: oldName, Err: fs.ErrNotExist}
	}
	if _, ok := n.(*memDir); ok {
		return &fs.PathError{Op: "rename", Path: oldName, Err: syscall.EISDIR} // nobody needs it, and its crashes are intricate
	}
	target, exists := to.now[newBase]
	if target == n {
		return nil
	}
	if _, ok := target.(*memDir); ok {
		return &fs.PathError{Op: "rename", Path: newName, Err: syscall.EISDIR}
	}
	delete(from.now, oldBase)
	to.now[newBase] = n
	m.ops = append(m.ops, &dirOp{remove: from, removeName: oldBase, add: to, addName: newBase, node: n})
	if exists {
		m.unlinkLocked(target)
	}
	return nil
}

// MkdirAll implements FS.
func (m *Mem) MkdirAll(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.root
	for _, part := range split(dir) {
		switch next := d.now[part].(type) {
		case *memDir:
			d = next
		case *memNode:
			return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
		default:
			made := newMemDir()
			d.now[part] = made
			m.ops = append(m.ops, &dirOp{add: d, addName: part, node: made})
			m.syncDirLocked(d)
			d = made
		}
	}
	return nil
}

// List implements FS.
func (m *Mem) List(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, err := m.dirLocked("list", dir)
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(d.now)), nil
}

// Stat implements FS.
func (m *Mem) Stat(name string) (int64, time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.dirLocked("stat", name); err == nil {
		return 0, memEpoch, nil
	}
	n, err := m.fileLocked("stat", name)
	if err != nil {
		return 0, time.Time{}, err
	}
	return int64(len(n.data)), n.mod, nil
}

// SyncDir implements FS.
func (m *Mem) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, err := m.dirLocked("syncdir", dir)
	if err != nil {
		return err
	}
	m.syncDirLocked(d)
	return nil
}

func (m *Mem) syncDirLocked(d *memDir) {
	m.ops = slices.DeleteFunc(m.ops, func(op *dirOp) bool {
		if !op.touches(d) {
			return false
		}
		op.apply()
		return true
	})
}

// Free implements FS.
func (m *Mem) Free(dir string) (free, total uint64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.dirLocked("statfs", dir); err != nil {
		return 0, 0, err
	}
	return uint64(max(0, m.capacity-m.used)), uint64(m.capacity), nil
}

// Lock implements FS.
func (m *Mem) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := filepath.Join(split(name)...)
	if m.locks[key] {
		return nil, &fs.PathError{Op: "lock", Path: name, Err: ErrLocked}
	}
	if _, err := m.fileLocked("lock", name); err != nil {
		if !isNotExist(err) {
			return nil, err
		}
		f, err := m.createLocked("lock", name)
		if err != nil {
			return nil, err
		}
		f.n.opens--
	}
	m.locks[key] = true
	return &memLock{m: m, key: key}, nil
}

// memLock is a lock that is held. It has no data and dies with its Mem.
type memLock struct {
	m      *Mem
	key    string
	closed bool // guarded by m.mu
}

// Close implements io.Closer.
func (l *memLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if l.closed {
		return fs.ErrClosed
	}
	l.closed = true
	delete(l.m.locks, l.key)
	return nil
}
