package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// tree is one of the directories to import, or a single file. Everything is opened through the root, so that nothing
// outside of it is reached, whatever is swapped for a symbolic link meanwhile.
type tree struct {
	root  *os.Root
	shown string // how its root is called in reports
	abs   string
	start string // where to begin: "." or the single file
}

type trees []tree

func openTrees(dirs []string) (trees, error) {
	var out trees
	for _, dir := range dirs {
		t, err := openTree(dir)
		if err != nil {
			out.close()
			return nil, usageError{err}
		}
		out = append(out, t)
	}
	return out, nil
}

func openTree(dir string) (tree, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return tree{}, err
	}
	t := tree{shown: filepath.Clean(dir), start: "."}
	switch {
	case info.Mode().IsRegular():
		t.shown, t.start = filepath.Dir(dir), filepath.Base(dir)
	case !info.IsDir():
		return tree{}, fmt.Errorf("%s is neither a directory nor a file", dir)
	}
	if t.abs, err = filepath.Abs(t.shown); err != nil {
		return tree{}, err
	}
	if t.root, err = os.OpenRoot(t.shown); err != nil {
		return tree{}, err
	}
	return t, nil
}

func (ts trees) close() {
	for _, t := range ts {
		_ = t.root.Close()
	}
}

// anyNames is a root whose names need not be UTF-8, as those of old file systems are not: what os.Root makes of itself as an fs.FS
// refuses to go into such directories.
type anyNames struct{ *os.Root }

func (r anyNames) Open(name string) (fs.File, error) { return r.Root.Open(name) }

// foundFile is a regular file of a tree, or something that is reported instead of read.
type foundFile struct {
	tree    *tree
	rel     string
	size    int64
	outcome outcome // if it is settled already
}

func (f *foundFile) path() string { return filepath.Join(f.tree.shown, f.rel) }

// key tells this file, as it is now, from all others. It is a hash: paths may name patients.
func (f *foundFile) key(info fs.FileInfo) fileKey {
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%d\x00%d", filepath.Join(f.tree.abs, f.rel), info.Size(), info.ModTime().UnixNano())
	return fileKey(h.Sum(nil)[:len(fileKey{})])
}

// open opens the file for reading. It does not wait for a writer, should it have become a pipe.
func (f *foundFile) open() (*os.File, fs.FileInfo, error) {
	file, err := f.tree.root.OpenFile(f.rel, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("no longer a regular file")
	}
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return file, info, nil
}

// walk calls fn for every file of all trees, and for what is reported in place of one.
func (ts trees) walk(ctx context.Context, fn func(foundFile) error) error {
	for i := range ts {
		t := &ts[i]
		err := fs.WalkDir(anyNames{t.root}, t.start, func(rel string, d fs.DirEntry, err error) error {
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			f := foundFile{tree: t, rel: rel}
			switch {
			case err != nil:
				f.outcome = outcome{unreadable, plainError(err)}
				return fn(f)
			case d.Type()&fs.ModeSymlink != 0:
				f.outcome = outcome{link, "symbolic link"}
				return fn(f)
			case d.Type().IsRegular():
				return fn(f)
			}
			return nil // directories, devices, pipes, sockets
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// count tells the tally what there is to do. What it can't see it leaves out: that is reported by walk.
func (ts trees) count(ctx context.Context, t *tally) {
	for i := range ts {
		err := fs.WalkDir(anyNames{ts[i].root}, ts[i].start, func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				if info, err := d.Info(); err == nil {
					t.count(info.Size())
				}
			}
			return context.Cause(ctx)
		})
		if err != nil {
			return
		}
	}
	t.countDone()
}
