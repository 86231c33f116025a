package vfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"gantry/internal/vfs"
)

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }

// readAll returns the contents of a file, "absent" if there is none.
func readAll(t *testing.T, fsys vfs.FS, name string) string {
	t.Helper()
	b, err := vfs.ReadFile(fsys, name, 1<<30)
	if errors.Is(err, fs.ErrNotExist) {
		return "absent"
	}
	must(t, err)
	return string(b)
}

func TestCrashKeepsSynced(t *testing.T) {
	m := vfs.NewMem()
	f := mustCreate(t, m, "/a", "synced")
	must(t, f.Sync())
	must(t, m.SyncDir("/"))
	_, err := f.WriteAt([]byte("UNSYNC and more"), 0)
	must(t, err)
	mustCreate(t, m, "/b", "no name yet")
	for seed := range uint64(100) {
		none := m.CrashClone(newRand(seed), 0)
		if a, b := readAll(t, none, "/a"), readAll(t, none, "/b"); a != "synced" || b != "absent" {
			t.Fatalf("nothing kept: %q %q", a, b)
		}
		all := m.CrashClone(newRand(seed), 1)
		if a, b := readAll(t, all, "/a"), readAll(t, all, "/b"); a != "UNSYNC and more" || b != "no name yet" {
			t.Fatalf("all kept: %q %q", a, b)
		}
	}
	if got := readAll(t, m, "/a"); got != "UNSYNC and more" {
		t.Errorf("the original has changed: %q", got)
	}
}

// Every outcome that the contract allows does occur, and no other.
func TestCrashOutcomes(t *testing.T) {
	m := vfs.NewMem()
	old := bytes.Repeat([]byte("o"), 3*512)
	f := mustCreate(t, m, "/a", string(old))
	must(t, f.Sync())
	must(t, m.SyncDir("/"))
	_, err := f.WriteAt(bytes.Repeat([]byte("n"), 3*512), 0)
	must(t, err)
	seen := make(map[string]int)
	for seed := range uint64(500) {
		got := readAll(t, m.CrashClone(newRand(seed), 0.3), "/a")
		outcome := ""
		for s := range 3 {
			sector := got[s*512 : (s+1)*512]
			if sector != string(bytes.Repeat([]byte{sector[0]}, 512)) {
				t.Fatalf("seed %d: a sector is torn", seed)
			}
			outcome += sector[:1]
		}
		seen[outcome]++
	}
	if len(seen) != 8 || seen["nnn"] < 100 || seen["ooo"] < 100 {
		t.Errorf("outcomes: %v", seen)
	}
}

// A file that was only renamed is, after a crash, under one of its names: never under none.
func TestCrashRename(t *testing.T) {
	m := vfs.NewMem()
	must(t, vfs.WriteFile(m, "/a", []byte("old")))
	f := mustCreate(t, m, "/a.tmp", "new")
	must(t, f.Sync())
	must(t, m.SyncDir("/"))
	must(t, m.Rename("/a.tmp", "/a"))
	seen := make(map[string]int)
	for seed := range uint64(100) {
		c := m.CrashClone(newRand(seed), 0.5)
		seen[readAll(t, c, "/a")+" "+readAll(t, c, "/a.tmp")]++
	}
	if len(seen) != 2 || seen["new absent"] == 0 || seen["old new"] == 0 {
		t.Errorf("outcomes: %v", seen)
	}
}

func TestCrashRemove(t *testing.T) {
	m := vfs.NewMem()
	must(t, vfs.WriteFile(m, "/a", []byte("x")))
	must(t, m.Remove("/a"))
	if got := readAll(t, m.CrashClone(newRand(1), 0), "/a"); got != "x" {
		t.Errorf("removal not synced, not kept: %q", got)
	}
	must(t, m.SyncDir("/"))
	if got := readAll(t, m.CrashClone(newRand(1), 0), "/a"); got != "absent" {
		t.Errorf("removal synced: %q", got)
	}
}

// A cut that is not durable gives back what it cut, but never what was never synced.
func TestCrashTruncate(t *testing.T) {
	m := vfs.NewMem()
	f := mustCreate(t, m, "/a", string(bytes.Repeat([]byte("a"), 2000)))
	must(t, f.Sync())
	must(t, m.SyncDir("/"))
	must(t, f.Truncate(100))
	_, err := f.WriteAt([]byte("b"), 1500)
	must(t, err)
	if got := readAll(t, m.CrashClone(newRand(1), 0), "/a"); got != string(bytes.Repeat([]byte("a"), 2000)) {
		t.Errorf("nothing kept: %d bytes", len(got))
	}
	want := string(bytes.Repeat([]byte("a"), 100)) + string(make([]byte, 1400)) + "b"
	if got := readAll(t, m.CrashClone(newRand(1), 1), "/a"); got != want {
		t.Errorf("all kept: %d bytes", len(got))
	}
}

// Random operations, with syncs, against a simple model of what must survive.
func TestCrashModel(t *testing.T) {
	for seed := range uint64(300) {
		rng := newRand(seed)
		m := vfs.NewMem()
		f := mustCreate(t, m, "/f", "")
		must(t, m.SyncDir("/"))
		synced, now := []byte{}, []byte{}
		for range rng.IntN(30) {
			switch rng.IntN(5) {
			case 0:
				must(t, f.Sync())
				synced = slices.Clone(now)
			case 1:
				size := rng.Int64N(3000)
				must(t, f.Truncate(size))
				now = append(now, make([]byte, max(0, int(size)-len(now)))...)[:size]
			default:
				p := bytes.Repeat([]byte{byte(1 + rng.IntN(255))}, 1+rng.IntN(1500))
				off := rng.IntN(2500)
				_, err := f.WriteAt(p, int64(off))
				must(t, err)
				now = append(now, make([]byte, max(0, off+len(p)-len(now)))...)
				copy(now[off:], p)
			}
		}
		if got := readAll(t, m, "/f"); got != string(now) {
			t.Fatalf("seed %d: contents differ from the model", seed)
		}
		if got := readAll(t, m.CrashClone(newRand(seed), 0), "/f"); got != string(synced) {
			t.Fatalf("seed %d: %d bytes after the crash, synced were %d", seed, len(got), len(synced))
		}
		if got := readAll(t, m.CrashClone(newRand(seed), 1), "/f"); got != string(now) {
			t.Fatalf("seed %d: all kept, yet it differs", seed)
		}
		_ = readAll(t, m.CrashClone(newRand(seed), 0.5), "/f")
		a, b := m.CrashClone(newRand(seed), 0.5), m.CrashClone(newRand(seed), 0.5)
		if readAll(t, a, "/f") != readAll(t, b, "/f") {
			t.Fatalf("seed %d: two crashes of one seed differ", seed)
		}
	}
}

func TestMemCapacity(t *testing.T) {
	m := vfs.NewMem()
	m.SetCapacity(1000)
	f := mustCreate(t, m, "/a", string(make([]byte, 400)))
	must(t, f.Reserve(0, 600))
	wantError(t, "reserve", f.Reserve(0, 1001), syscall.ENOSPC)
	g := mustCreate(t, m, "/b", "")
	n, err := g.WriteAt(make([]byte, 500), 0)
	if n != 400 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("write: %d %v", n, err)
	}
	n, err = f.WriteAt(make([]byte, 600), 0)
	if n != 600 || err != nil {
		t.Errorf("write of what was reserved: %d %v", n, err)
	}
	wantError(t, "truncate", g.Truncate(401), syscall.ENOSPC)
	must(t, g.Truncate(0))
	if free, total, err := m.Free("/"); free != 400 || total != 1000 || err != nil {
		t.Errorf("free %d of %d, %v", free, total, err)
	}
	must(t, m.Remove("/a"))
	if got := m.Used(); got != 600 {
		t.Errorf("used %d while the file is open", got)
	}
	must(t, f.Close())
	if got := m.Used(); got != 0 {
		t.Errorf("used %d", got)
	}
}

// Fail each operation of WriteFile in turn: the old file or the new one is there, whole, also after a crash.
func TestWriteFileSweep(t *testing.T) {
	for n := int64(0); ; n++ {
		m := vfs.NewMem()
		must(t, vfs.WriteFile(m, "/a", []byte("old")))
		f := vfs.NewFault(m)
		f.SetRule(vfs.FailNth(n))
		err := vfs.WriteFile(f, "/a", []byte("new"))
		for seed := range uint64(20) {
			got := readAll(t, m.CrashClone(newRand(seed), 0.5), "/a")
			if got != "new" && (err == nil || got != "old") {
				t.Fatalf("operation %d failed: %q after a crash, error %v", n, got, err)
			}
		}
		if n >= f.Count() {
			must(t, err)
			return
		}
		// The removal of a left-over that is not there is the one failure that need not matter, but it is reported too.
		wantError(t, fmt.Sprintf("operation %d", n), err, vfs.ErrInjected)
	}
}
