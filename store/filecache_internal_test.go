package store

import (
	"errors"
	"io/fs"
	"testing"

	"gantry/internal/vfs"
)

// TestFileCacheAndFilesInUse: neither a lack of room nor a drop closes a file under its reader, and none stays open after that.
func TestFileCacheAndFilesInUse(t *testing.T) {
	mem := vfs.NewMem()
	for _, name := range []string{"a", "b"} {
		if err := vfs.WriteFile(mem, name, []byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	c := newFileCache(mem, 1)
	acquire := func(name string) *openFile {
		t.Helper()
		f, err := c.acquire(name)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	readable := func(f *openFile, want error) {
		t.Helper()
		if _, err := f.ReadAt(make([]byte, 1), 0); !errors.Is(err, want) {
			t.Errorf("read %s: %v, want %v", f.path, err, want)
		}
	}
	a := acquire("a")
	b := acquire("b") // there is room for one
	readable(a, nil)
	a.release()
	acquire("b").release()
	again := acquire("a")
	c.drop("a")
	readable(again, nil)
	again.release()
	readable(again, fs.ErrClosed)
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	readable(b, nil)
	b.release()
	readable(b, fs.ErrClosed)
	if _, err := c.acquire("a"); !errors.Is(err, ErrClosed) {
		t.Errorf("acquire after close: %v", err)
	}
}
