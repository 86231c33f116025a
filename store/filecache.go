package store

import (
	"container/list"
	"errors"
	"sync"

	"gantry/internal/vfs"
)

// maxOpenSegments bounds the file descriptors spent on the log.
const maxOpenSegments = 512

// fileCache keeps segment files open, the least recently used ones being closed when there are too many. A file in use
// is never closed under its reader.
type fileCache struct {
	fs  vfs.FS
	max int

	mu     sync.Mutex // guards all below
	closed bool
	files  map[string]*openFile
	order  *list.List // of *openFile, most recently used first
}

// openFile is a file of the cache in use. The caller must release it.
type openFile struct {
	vfs.File
	cache   *fileCache
	path    string
	users   int
	dropped bool // close at the last release
	element *list.Element
}

func newFileCache(fsys vfs.FS, maxOpen int) *fileCache {
	return &fileCache{fs: fsys, max: maxOpen, files: make(map[string]*openFile), order: list.New()}
}

func (c *fileCache) acquire(path string) (*openFile, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	if f, ok := c.files[path]; ok {
		f.users++
		c.order.MoveToFront(f.element)
		return f, nil
	}
	file, err := c.fs.OpenRW(path)
	if err != nil {
		return nil, err
	}
	f := &openFile{File: file, cache: c, path: path, users: 1}
	f.element = c.order.PushFront(f)
	c.files[path] = f
	c.evictLocked()
	return f, nil
}

func (c *fileCache) evictLocked() {
	for e := c.order.Back(); e != nil && c.order.Len() > c.max; {
		f, prev := e.Value.(*openFile), e.Prev()
		if f.users == 0 {
			c.forgetLocked(f)
			_ = f.Close() // nothing unsynced: every append is synced before its release
		}
		e = prev
	}
}

func (c *fileCache) forgetLocked(f *openFile) {
	delete(c.files, f.path)
	c.order.Remove(f.element)
}

func (f *openFile) release() {
	c := f.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	f.users--
	if f.dropped && f.users == 0 {
		_ = f.Close()
	}
}

// drop forgets a file that is about to be renamed or removed.
func (c *fileCache) drop(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, ok := c.files[path]
	if !ok {
		return
	}
	c.forgetLocked(f)
	f.dropped = true
	if f.users == 0 {
		_ = f.Close()
	}
}

func (c *fileCache) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	var errs []error
	for _, f := range c.files {
		f.dropped = true
		if f.users == 0 {
			errs = append(errs, f.Close())
		}
	}
	clear(c.files)
	c.order.Init()
	return errors.Join(errs...)
}
