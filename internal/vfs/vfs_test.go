package vfs_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"gantry/internal/vfs"
)

// suite is what every file system must do. dir exists and is empty.
var suite = []struct {
	name string
	run  func(t *testing.T, fsys vfs.FS, dir string)
}{
	{"create", testCreate},
	{"write", testWrite},
	{"writev", testWriteV},
	{"truncate", testTruncate},
	{"read only", testReadOnly},
	{"rename", testRename},
	{"remove", testRemove},
	{"directories", testDirectories},
	{"lock", testLock},
	{"closed", testClosed},
	{"write file", testWriteFile},
	{"reserve", testReserve},
	{"concurrent", testConcurrent},
}

func TestOS(t *testing.T) {
	for _, test := range suite {
		t.Run(test.name, func(t *testing.T) { test.run(t, vfs.OS{}, t.TempDir()) })
	}
}

func TestMem(t *testing.T) {
	for _, test := range suite {
		t.Run(test.name, func(t *testing.T) {
			m := vfs.NewMem()
			must(t, m.MkdirAll("/data/dir"))
			test.run(t, m, "/data/dir")
		})
	}
}

// What a crash leaves is a file system like any other.
func TestMemAfterCrash(t *testing.T) {
	for _, test := range suite {
		t.Run(test.name, func(t *testing.T) {
			m := vfs.NewMem()
			must(t, m.MkdirAll("/data/dir"))
			test.run(t, m.CrashClone(rand.New(rand.NewPCG(1, 1)), 0.5), "/data/dir")
		})
	}
}

func TestFaultWithoutRule(t *testing.T) {
	for _, test := range suite {
		t.Run(test.name, func(t *testing.T) { test.run(t, vfs.NewFault(vfs.OS{}), t.TempDir()) })
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustCreate(t *testing.T, fsys vfs.FS, name, content string) vfs.File {
	t.Helper()
	f, err := fsys.Create(name)
	must(t, err)
	t.Cleanup(func() { _ = f.Close() })
	_, err = f.WriteAt([]byte(content), 0)
	must(t, err)
	return f
}

func content(t *testing.T, f vfs.File) string {
	t.Helper()
	size, err := f.Size()
	must(t, err)
	b, err := io.ReadAll(io.NewSectionReader(f, 0, size+10))
	must(t, err)
	return string(b)
}

func wantError(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got error %v, want %v", what, got, want)
	}
}

func testCreate(t *testing.T, fsys vfs.FS, dir string) {
	name := filepath.Join(dir, "a")
	_, err := fsys.Open(name)
	wantError(t, "open missing", err, fs.ErrNotExist)
	_, err = fsys.OpenRW(name)
	wantError(t, "openrw missing", err, fs.ErrNotExist)
	_, _, err = fsys.Stat(name)
	wantError(t, "stat missing", err, fs.ErrNotExist)
	_, err = fsys.Create(filepath.Join(dir, "no", "a"))
	wantError(t, "create without directory", err, fs.ErrNotExist)
	f := mustCreate(t, fsys, name, "hello")
	_, err = fsys.Create(name)
	wantError(t, "create again", err, fs.ErrExist)
	if got := content(t, f); got != "hello" {
		t.Errorf("got %q", got)
	}
	size, mod, err := fsys.Stat(name)
	if err != nil || size != 5 || mod.IsZero() {
		t.Errorf("stat: %d %v %v", size, mod, err)
	}
	must(t, f.Sync())
}

func testWrite(t *testing.T, fsys vfs.FS, dir string) {
	f := mustCreate(t, fsys, filepath.Join(dir, "a"), "0123456789")
	n, err := f.WriteAt([]byte("xyz"), 2000)
	if n != 3 || err != nil {
		t.Fatalf("write past the end: %d %v", n, err)
	}
	_, err = f.WriteAt([]byte("AB"), 4)
	must(t, err)
	if got, want := content(t, f), "0123AB6789"+string(make([]byte, 1990))+"xyz"; got != want {
		t.Errorf("got %q", got)
	}
	p := make([]byte, 10)
	if n, err := f.ReadAt(p, 1998); n != 5 || !errors.Is(err, io.EOF) || string(p[:n]) != "\x00\x00xyz" {
		t.Errorf("read over the end: %d %v %q", n, err, p)
	}
	if n, err := f.ReadAt(p, 5000); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("read past the end: %d %v", n, err)
	}
	if _, err := f.WriteAt([]byte("x"), -1); err == nil {
		t.Error("write at -1")
	}
	if _, err := f.ReadAt(p, -1); err == nil {
		t.Error("read at -1")
	}
}

func testWriteV(t *testing.T, fsys vfs.FS, dir string) {
	f := mustCreate(t, fsys, filepath.Join(dir, "a"), "abc")
	var bufs [][]byte
	var want []byte
	for i := range 3000 { // more than IOV_MAX
		b := bytes.Repeat([]byte{byte(i)}, i%7)
		bufs, want = append(bufs, b), append(want, b...)
	}
	n, err := f.WriteV(bufs, 3)
	if n != int64(len(want)) || err != nil {
		t.Fatalf("WriteV: %d %v, want %d", n, err, len(want))
	}
	if got := content(t, f); got != "abc"+string(want) {
		t.Error("other bytes than written")
	}
	if n, err := f.WriteV(nil, 0); n != 0 || err != nil {
		t.Errorf("WriteV of nothing: %d %v", n, err)
	}
	if n, err := f.WriteV([][]byte{nil, {}}, 0); n != 0 || err != nil {
		t.Errorf("WriteV of empty buffers: %d %v", n, err)
	}
	if _, err := f.WriteV([][]byte{{1}}, -1); err == nil {
		t.Error("WriteV at -1")
	}
}

func testTruncate(t *testing.T, fsys vfs.FS, dir string) {
	f := mustCreate(t, fsys, filepath.Join(dir, "a"), "0123456789")
	must(t, f.Truncate(4))
	if got := content(t, f); got != "0123" {
		t.Errorf("cut: %q", got)
	}
	must(t, f.Truncate(6))
	if got := content(t, f); got != "0123\x00\x00" {
		t.Errorf("grown: %q", got)
	}
	if err := f.Truncate(-1); err == nil {
		t.Error("truncate to -1")
	}
}

func testReadOnly(t *testing.T, fsys vfs.FS, dir string) {
	name := filepath.Join(dir, "a")
	mustCreate(t, fsys, name, "x")
	f, err := fsys.Open(name)
	must(t, err)
	defer f.Close()
	if _, err := f.WriteAt([]byte("y"), 0); err == nil {
		t.Error("WriteAt on a read-only file")
	}
	if _, err := f.WriteV([][]byte{{1}}, 0); err == nil {
		t.Error("WriteV on a read-only file")
	}
	if err := f.Truncate(0); err == nil {
		t.Error("Truncate on a read-only file")
	}
	g, err := fsys.OpenRW(name)
	must(t, err)
	defer g.Close()
	_, err = g.WriteAt([]byte("z"), 0)
	must(t, err)
	if got := content(t, f); got != "z" {
		t.Errorf("got %q through the other handle", got)
	}
}

func testRename(t *testing.T, fsys vfs.FS, dir string) {
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	f := mustCreate(t, fsys, a, "new")
	mustCreate(t, fsys, b, "old")
	must(t, fsys.Rename(a, b))
	_, err := fsys.Open(a)
	wantError(t, "old name", err, fs.ErrNotExist)
	g, err := fsys.Open(b)
	must(t, err)
	defer g.Close()
	if got := content(t, g); got != "new" {
		t.Errorf("got %q", got)
	}
	_, err = f.WriteAt([]byte("N"), 0)
	must(t, err)
	if got := content(t, g); got != "New" {
		t.Errorf("got %q", got)
	}
	wantError(t, "rename missing", fsys.Rename(a, b), fs.ErrNotExist)
	must(t, fsys.Rename(b, b))
	must(t, fsys.SyncDir(dir))
}

func testRemove(t *testing.T, fsys vfs.FS, dir string) {
	name := filepath.Join(dir, "a")
	f := mustCreate(t, fsys, name, "still here")
	must(t, fsys.Remove(name))
	wantError(t, "remove again", fsys.Remove(name), fs.ErrNotExist)
	if got := content(t, f); got != "still here" {
		t.Errorf("through the open handle: %q", got)
	}
	mustCreate(t, fsys, name, "another")
	if got := content(t, f); got != "still here" {
		t.Errorf("through the open handle: %q", got)
	}
}

func testDirectories(t *testing.T, fsys vfs.FS, dir string) {
	deep := filepath.Join(dir, "x", "y", "z")
	must(t, fsys.MkdirAll(deep))
	must(t, fsys.MkdirAll(deep))
	mustCreate(t, fsys, filepath.Join(dir, "x", "b"), "")
	mustCreate(t, fsys, filepath.Join(dir, "x", "a"), "")
	got, err := fsys.List(filepath.Join(dir, "x"))
	if want := []string{"a", "b", "y"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q %v, want %q", got, err, want)
	}
	got, err = fsys.List(deep)
	if err != nil || len(got) != 0 {
		t.Errorf("empty directory: %q %v", got, err)
	}
	_, err = fsys.List(filepath.Join(dir, "no"))
	wantError(t, "list missing", err, fs.ErrNotExist)
	wantError(t, "sync missing", fsys.SyncDir(filepath.Join(dir, "no")), fs.ErrNotExist)
	if err := fsys.MkdirAll(filepath.Join(dir, "x", "a")); err == nil {
		t.Error("MkdirAll over a file")
	}
	if err := fsys.MkdirAll(filepath.Join(dir, "x", "a", "q")); err == nil {
		t.Error("MkdirAll below a file")
	}
	if err := fsys.Remove(filepath.Join(dir, "x")); err == nil {
		t.Error("removed a directory that is not empty")
	}
	must(t, fsys.Remove(deep))
	_, err = fsys.List(deep)
	wantError(t, "list removed", err, fs.ErrNotExist)
	free, total, err := fsys.Free(dir)
	if err != nil || free == 0 || total < free {
		t.Errorf("Free: %d of %d, %v", free, total, err)
	}
}

func testLock(t *testing.T, fsys vfs.FS, dir string) {
	name := filepath.Join(dir, "LOCK")
	lock, err := fsys.Lock(name)
	must(t, err)
	_, err = fsys.Lock(name)
	wantError(t, "lock twice", err, vfs.ErrLocked)
	must(t, lock.Close())
	lock, err = fsys.Lock(name)
	must(t, err)
	must(t, lock.Close())
	wantError(t, "close twice", lock.Close(), fs.ErrClosed)
	_, _, err = fsys.Stat(name)
	must(t, err)
}

func testClosed(t *testing.T, fsys vfs.FS, dir string) {
	f := mustCreate(t, fsys, filepath.Join(dir, "a"), "x")
	must(t, f.Close())
	_, err := f.ReadAt(make([]byte, 1), 0)
	wantError(t, "ReadAt", err, fs.ErrClosed)
	_, err = f.WriteAt([]byte("y"), 0)
	wantError(t, "WriteAt", err, fs.ErrClosed)
	_, err = f.WriteV([][]byte{{1}}, 0)
	wantError(t, "WriteV", err, fs.ErrClosed)
	wantError(t, "Sync", f.Sync(), fs.ErrClosed)
	wantError(t, "Truncate", f.Truncate(0), fs.ErrClosed)
	wantError(t, "Reserve", f.Reserve(0, 1), fs.ErrClosed)
	wantError(t, "EnlargePages", f.EnlargePages(0, 4096), fs.ErrClosed)
	_, err = f.Size()
	wantError(t, "Size", err, fs.ErrClosed)
	wantError(t, "Close", f.Close(), fs.ErrClosed)
}

func testWriteFile(t *testing.T, fsys vfs.FS, dir string) {
	name := filepath.Join(dir, "a")
	mustCreate(t, fsys, name+".tmp", "left over, and longer than what follows")
	for _, want := range []string{"one", "", "three"} {
		must(t, vfs.WriteFile(fsys, name, []byte(want)))
		got, err := vfs.ReadFile(fsys, name, 5)
		if err != nil || string(got) != want {
			t.Errorf("got %q %v, want %q", got, err, want)
		}
	}
	if _, err := vfs.ReadFile(fsys, name, 4); err == nil {
		t.Error("read more than allowed")
	}
	if got, err := fsys.List(dir); err != nil || len(got) != 1 {
		t.Errorf("left in the directory: %q %v", got, err)
	}
}

func testReserve(t *testing.T, fsys vfs.FS, dir string) {
	f := mustCreate(t, fsys, filepath.Join(dir, "a"), "x")
	must(t, f.Reserve(0, 1<<16))
	must(t, f.Reserve(1<<16, 0))
	if size, err := f.Size(); size != 1 || err != nil {
		t.Errorf("size after Reserve: %d %v", size, err)
	}
}

func testConcurrent(t *testing.T, fsys vfs.FS, dir string) {
	f := mustCreate(t, fsys, filepath.Join(dir, "a"), "")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			b := bytes.Repeat([]byte{byte(i + 1)}, 100)
			for j := range 20 {
				if _, err := f.WriteAt(b, int64(i*2000+j*100)); err != nil {
					t.Error(err)
				}
				if _, err := fsys.List(dir); err != nil {
					t.Error(err)
				}
			}
			if err := f.Sync(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got := content(t, f)
	for i := range 8 {
		if want := string(bytes.Repeat([]byte{byte(i + 1)}, 2000)); got[i*2000:(i+1)*2000] != want {
			t.Errorf("writer %d: bytes of another", i)
		}
	}
}
