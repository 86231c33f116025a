package catalog_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"gantry/store/catalog"
)

var errDiskFull = errors.New("disk full")

// advance lets the fake clock of a synctest bubble run on.
func advance(d time.Duration) { <-time.After(d) }

// checkFile runs bbolt's own consistency check on a closed file.
func checkFile(t *testing.T, path string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, PreLoadFreelist: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			t.Error(err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFlushesByAgeAndSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := catalog.OpenMem(catalog.NewMemDisk(), catalog.Options{FreezeAge: 5 * time.Second, FreezeBytes: 64 << 10})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		synctest.Wait() // the flusher sleeps: a commit has to wake it
		put(t, c, 1, "a", "1")
		advance(4 * time.Second)
		put(t, c, 2, "b", "1")
		synctest.Wait()
		if durable, _ := c.AppliedLSN(); durable != 0 {
			t.Fatalf("flushed up to %d before its age", durable)
		}
		advance(time.Second)
		synctest.Wait()
		if durable, _ := c.AppliedLSN(); durable != 2 {
			t.Fatalf("durable %d after 5 s, want 2", durable)
		}
		b := c.NewBatch()
		b.Put([]byte("c"), make([]byte, 70<<10))
		if err := c.Commit(b, 3); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if durable, _ := c.AppliedLSN(); durable != 3 {
			t.Fatalf("durable %d after a large commit, want 3", durable)
		}
		put(t, c, 4)
		advance(6 * time.Second)
		synctest.Wait()
		if durable, _ := c.AppliedLSN(); durable != 4 {
			t.Fatalf("durable %d after a commit without keys, want 4", durable)
		}
		if got := c.Stats().Flushes; got != 3 {
			t.Fatalf("%d flushes, want 3: nothing to write must write nothing", got)
		}
	})
}

func TestFailedFlushesAreRetriedAndPushBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := catalog.NewMemDisk()
		var reported atomic.Int64
		c, err := catalog.OpenMem(disk, catalog.Options{
			OverlayBytes: 64 << 10, FreezeBytes: 16 << 10, CommitWait: 10 * time.Second, RetryMin: time.Second, RetryMax: 4 * time.Second,
			OnError: func(error) { reported.Add(1) },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		disk.SetFault(func() error { return errDiskFull })
		n := 0
		for ; ; n++ {
			b := c.NewBatch()
			b.Put(fmt.Appendf(nil, "k%03d", n), make([]byte, 4<<10))
			began := time.Now()
			err = c.Commit(b, uint64(n+1))
			if err == nil {
				continue
			}
			if waited := time.Since(began); waited != 10*time.Second {
				t.Errorf("full after %v, want 10 s", waited)
			}
			break
		}
		if !errors.Is(err, catalog.ErrFull) || !errors.Is(err, errDiskFull) {
			t.Fatalf("commit to a full overlay: %v", err)
		}
		if err := c.WaitRoom(t.Context()); !errors.Is(err, catalog.ErrFull) {
			t.Fatalf("room: %v", err)
		}
		if err := c.Flush(t.Context()); !errors.Is(err, errDiskFull) {
			t.Fatalf("flush: %v", err)
		}
		if _, ok, err := c.Get([]byte("k000")); !ok || err != nil {
			t.Fatalf("read while the disk is full: %v %v", ok, err)
		}
		if s := c.Stats(); s.FlushErrors == 0 || !errors.Is(s.FlushError, errDiskFull) || reported.Load() == 0 {
			t.Fatalf("stats %+v, %d reported", s, reported.Load())
		}
		disk.SetFault(nil)
		advance(5 * time.Second)
		synctest.Wait()
		put(t, c, uint64(n+1), "late", "1")
		if err := c.WaitRoom(t.Context()); err != nil {
			t.Fatal(err)
		}
		flush(t, c)
		if got := len(keysOf(t, c)); got != n+1 {
			t.Fatalf("%d keys after recovery, want %d", got, n+1)
		}
	})
}

func TestBrokenEngineIsNotTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := catalog.NewMemDisk()
		c, err := catalog.OpenMem(disk, catalog.Options{OverlayBytes: 16 << 10})
		if err != nil {
			t.Fatal(err)
		}
		tries := 0
		disk.SetFault(func() error { tries++; return fmt.Errorf("fdatasync: %w", catalog.ErrBroken) })
		put(t, c, 1, "a", "1")
		if err := c.Flush(t.Context()); !errors.Is(err, catalog.ErrBroken) {
			t.Fatalf("flush: %v", err)
		}
		advance(time.Hour)
		if err := c.Flush(t.Context()); !errors.Is(err, catalog.ErrBroken) {
			t.Fatalf("second flush: %v", err)
		}
		b := c.NewBatch()
		b.Put([]byte("b"), make([]byte, 16<<10))
		if err := c.Commit(b, 2); !errors.Is(err, catalog.ErrBroken) {
			t.Fatalf("commit beyond the budget: %v", err)
		}
		wantDump(t, c, "a=1 ")
		if err := c.Close(); !errors.Is(err, catalog.ErrBroken) {
			t.Fatalf("close: %v", err)
		}
		if tries != 1 {
			t.Fatalf("%d tries, want 1", tries)
		}
	})
}

func keysOf(t testing.TB, r catalog.Reader) (keys []string) {
	t.Helper()
	err := catalog.Scan(r, nil, nil, func(k, _ []byte) bool {
		keys = append(keys, string(k))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestCommitWaitsForTheFlusher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := catalog.NewMemDisk()
		disk.SetFault(func() error { advance(3 * time.Second); return nil })
		c, err := catalog.OpenMem(disk, catalog.Options{OverlayBytes: 16 << 10})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		began := time.Now()
		for i := range 8 {
			b := c.NewBatch()
			b.Put(fmt.Appendf(nil, "k%d", i), make([]byte, 7<<10))
			if err := c.Commit(b, uint64(i+1)); err != nil {
				t.Fatal(err)
			}
		}
		if waited := time.Since(began); waited < 6*time.Second || c.Stats().CommitWaits == 0 {
			t.Fatalf("eight commits took %v with %d waits: no push back", waited, c.Stats().CommitWaits)
		}
	})
}

func TestMemDiskOpenedAgainCutsOff(t *testing.T) {
	disk := catalog.NewMemDisk()
	old, err := catalog.OpenMem(disk, manual)
	if err != nil {
		t.Fatal(err)
	}
	put(t, old, 1, "a", "1")
	flush(t, old)
	clone := disk.Clone()
	put(t, old, 2, "a", "2")
	c, err := catalog.OpenMem(disk, manual)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Abort()
	if err := old.Close(); !errors.Is(err, catalog.ErrBroken) {
		t.Fatalf("close of the old one: %v", err)
	}
	wantDump(t, c, "a=1 ")
	put(t, c, 2, "a", "3")
	flush(t, c)
	d, err := catalog.OpenMem(clone, manual)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Abort()
	wantDump(t, d, "a=1 ")
}

// fillFile makes a closed catalog file of some hundred pages.
func fillFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "catalog.db")
	c, err := catalog.Open(path, manual)
	if err != nil {
		t.Fatal(err)
	}
	benchCommit(t, c, 0, 5000)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpenFindsDamage(t *testing.T) {
	write := func(at int64, b []byte) func(*os.File) error {
		return func(f *os.File) error {
			_, err := f.WriteAt(b, at)
			return err
		}
	}
	cases := []struct {
		name   string
		damage func(f *os.File) error
	}{
		{"empty", func(f *os.File) error { return f.Truncate(0) }},
		{"one page", func(f *os.File) error { return f.Truncate(4096) }},
		{"cut in half", func(f *os.File) error { return f.Truncate(800 << 10) }},
		{"both meta pages", write(0, make([]byte, 8192))},
		{"text", write(0, make([]byte, 100<<10))},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			path := fillFile(t)
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(tc.damage(f), f.Close()); err != nil {
				t.Fatal(err)
			}
			if _, err := catalog.Open(path, manual); !errors.Is(err, catalog.ErrCorrupt) {
				t.Fatalf("open: %v", err)
			}
			reopenFresh(t, path)
		})
	}
}

func reopenFresh(t *testing.T, path string) {
	t.Helper()
	if err := catalog.Remove(path); err != nil {
		t.Fatal(err)
	}
	c, err := catalog.Open(path, manual)
	if err != nil {
		t.Fatalf("open after remove: %v", err)
	}
	wantDump(t, c, "")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTruncationUnderReadersIsAnError(t *testing.T) {
	path := fillFile(t)
	var reported atomic.Int64
	o := manual
	o.OnError = func(err error) { reported.Add(1) }
	c, err := catalog.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 16<<10); err != nil {
		t.Fatal(err)
	}
	bad := 0
	for i := range 5000 {
		if _, _, err := c.Get(benchKey(nil, uint64(i))); errors.Is(err, catalog.ErrCorrupt) {
			bad++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if bad == 0 || reported.Load() != 1 {
		t.Fatalf("%d reads failed, %d reports", bad, reported.Load())
	}
	if err := c.Iter(nil, nil).Close(); err != nil {
		t.Fatalf("unused iterator: %v", err)
	}
	if err := catalog.Scan(c, nil, nil, func(_, _ []byte) bool { return true }); !errors.Is(err, catalog.ErrCorrupt) {
		t.Fatalf("scan: %v", err)
	}
	if err := c.Check(t.Context()); !errors.Is(err, catalog.ErrCorrupt) {
		t.Fatalf("check: %v", err)
	}
	put(t, c, 9999, "k", "1")
	if v, ok, err := c.Get([]byte("k")); err != nil || !ok || string(v) != "1" {
		t.Fatalf("overlay beside damage: %q %v %v", v, ok, err)
	}
	_ = c.Close() // whether the last flush succeeds depends on the pages it needs
	if _, err := catalog.Open(path, manual); !errors.Is(err, catalog.ErrCorrupt) {
		t.Fatalf("open after damage was seen: %v", err)
	}
	reopenFresh(t, path)
}

func TestRandomDamageNeverCrashes(t *testing.T) {
	r := newRand(t)
	base := fillFile(t)
	whole, err := os.ReadFile(base)
	if err != nil {
		t.Fatal(err)
	}
	rounds := 20
	if testing.Short() {
		rounds = 3
	}
	for i := range rounds {
		path := filepath.Join(t.TempDir(), fmt.Sprint(i))
		data := append([]byte(nil), whole...)
		for range 1 + r.IntN(20) {
			at := r.IntN(len(data)) &^ 4095
			if r.IntN(2) == 0 {
				at += r.IntN(64) // headers and element tables hurt most
			} else {
				at += r.IntN(4096)
			}
			data[min(at, len(data)-1)] = byte(r.IntN(256))
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		exercise(t, path)
	}
}

// exercise uses a damaged file in every way; errors are fine, crashes and hangs are not.
func exercise(t *testing.T, path string) {
	c, err := catalog.Open(path, manual)
	if err != nil {
		return
	}
	_ = c.Check(t.Context())
	it := c.IterReverse(nil, nil)
	for it.Next() {
	}
	_ = it.Close()
	for n := range 50 {
		_, _, _ = c.Get(benchKey(nil, uint64(n*100)))
	}
	benchCommit(t, c, 2500, 2500)
	_ = c.Flush(t.Context())
	_ = c.Close()
}

func TestFileStopsGrowing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	c, err := catalog.Open(path, manual)
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int64
	for i := range 60 {
		b := c.NewBatch()
		value := make([]byte, 200)
		binary.BigEndian.PutUint64(value, uint64(i))
		for k := range 2000 {
			b.Put(benchKey(nil, uint64(k)), value)
		}
		if err := c.Commit(b, uint64(i+1)); err != nil {
			t.Fatal(err)
		}
		flush(t, c)
		if _, _, err := c.Get(benchKey(nil, 1)); err != nil {
			t.Fatal(err)
		}
		s := c.Stats()
		sizes = append(sizes, s.FileBytes-s.FreeBytes)
	}
	if early, late := sizes[10], sizes[59]; late > 2*early {
		t.Fatalf("used bytes grew from %d to %d by overwriting the same keys", early, late)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	checkFile(t, path)
}

// TestSnapshotsArePrefixes: each batch sets all keys to its own number, so a view that shows two numbers shows half a batch.
func TestSnapshotsArePrefixes(t *testing.T) {
	eachDisk(t, func(t *testing.T, d disk) {
		c := mustOpen(t, d, catalog.Options{FormatVersion: 1, LogID: "log", FreezeBytes: 32 << 10, OverlayBytes: 256 << 10})
		const keys, commits = 40, 1500
		commitAll := func(n uint64) {
			b := c.NewBatch()
			for k := range keys {
				b.Put(fmt.Appendf(nil, "k%02d", k), binary.BigEndian.AppendUint64(nil, n))
			}
			if n%2 == 0 {
				b.Delete([]byte("odd"))
			} else {
				b.Put([]byte("odd"), []byte("yes"))
			}
			if err := c.Commit(b, n); err != nil {
				t.Error(err)
			}
		}
		commitAll(1)
		var done atomic.Bool
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() {
				for last := uint64(0); !done.Load(); {
					last = checkPrefix(t, c, keys, last)
				}
			})
		}
		for n := range commits {
			commitAll(uint64(n + 2))
			if n%100 == 0 {
				_ = c.Flush(context.Background())
			}
		}
		done.Store(true)
		readers.Wait()
		if c.Stats().OpenSnapshots != 0 {
			t.Errorf("%d snapshots left open", c.Stats().OpenSnapshots)
		}
	})
}

func checkPrefix(t *testing.T, c *catalog.Catalog, keys int, last uint64) uint64 {
	s := c.Snapshot()
	defer s.Close()
	seen, n, odd := 0, uint64(0), false
	err := catalog.Scan(s, nil, nil, func(k, v []byte) bool {
		if string(k) == "odd" {
			odd = true
			return true
		}
		at := binary.BigEndian.Uint64(v)
		if seen > 0 && at != n {
			t.Errorf("snapshot at %d shows %d and %d", s.LSN(), n, at)
		}
		n = at
		seen++
		return true
	})
	if err != nil || seen != keys || n != s.LSN() || n < last || odd != (n%2 == 1) {
		t.Errorf("snapshot at %d after %d: %d keys of %d, odd %v, %v", s.LSN(), last, seen, n, odd, err)
	}
	v, ok, err := s.Get([]byte("k07"))
	if err != nil || !ok || binary.BigEndian.Uint64(v) != n {
		t.Errorf("get in snapshot at %d: %v %v %v", n, v, ok, err)
	}
	v, ok, err = c.Get([]byte("k07"))
	if err != nil || !ok || binary.BigEndian.Uint64(v) < n {
		t.Errorf("get after snapshot at %d: %v %v %v", n, v, ok, err)
	}
	return n
}

// TestMappingCostsNoMemory: the address space asked for at open must not show as memory of our own.
func TestMappingCostsNoMemory(t *testing.T) {
	before := residentAnonymous(t)
	for i := range 8 {
		c, err := catalog.Open(filepath.Join(t.TempDir(), fmt.Sprint(i)), manual)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if grown := residentAnonymous(t) - before; grown > 16<<20 {
		t.Errorf("eight open catalogs take %d bytes", grown)
	}
}

// TestStatsBesideClose: asking for figures is allowed at any time.
func TestStatsBesideClose(t *testing.T) {
	eachDisk(t, func(t *testing.T, d disk) {
		c := mustOpen(t, d, manual)
		var asking sync.WaitGroup
		var closed atomic.Bool
		asking.Go(func() {
			for !closed.Load() {
				c.Stats()
			}
		})
		put(t, c, 7, "a", "1")
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		closed.Store(true)
		asking.Wait()
		if s := c.Stats(); s.VisibleLSN != 7 || s.DurableLSN != 7 {
			t.Errorf("stats after close: %+v", s)
		}
	})
}

func TestSecondOpenIsLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	c, err := catalog.Open(path, manual)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := catalog.Open(path, manual); !errors.Is(err, catalog.ErrLocked) {
		t.Fatalf("second open: %v", err)
	}
}
