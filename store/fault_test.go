package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"gantry/internal/vfs"
	"gantry/store"
	"gantry/store/catalog"
)

// script is a sequence of writes that touches every kind of record and a change of segment. It returns what was
// acknowledged; an operation that failed is in doubt.
func script(s *store.Store) (acked map[store.Key][]byte, doubt map[store.Key][]byte, err error) {
	ctx := context.Background()
	acked, doubt = map[store.Key][]byte{}, map[store.Key][]byte{}
	_, err = s.CreateBucket(ctx, "plain", store.BucketSettings{}, store.Origin{})
	if err != nil {
		return acked, doubt, err
	}
	if _, err = s.CreateBucket(ctx, "dicom", store.BucketSettings{DICOM: true}, store.Origin{}); err != nil {
		return acked, doubt, err
	}
	step := func(k store.Key, v []byte, do func() error) {
		if err != nil {
			return
		}
		if err = do(); err != nil {
			doubt[k] = v
			return
		}
		acked[k] = v
	}
	for i := range 12 {
		k := store.Key{Bucket: "plain", Name: fmt.Sprintf("k%d", i)}
		v := noise(uint64(i), 20_000)
		step(k, v, func() error {
			_, err := s.Put(ctx, &store.Put{Key: k, Body: bytes.NewReader(v), Size: int64(len(v))})
			return err
		})
		in := instance(1, i%2, i, "P1")
		step(store.Key{Bucket: "dicom", Name: fmt.Sprintf("1.1/1.1.%d/1.1.%d.%d.dcm", i%2, i%2, i)}, in, func() error {
			_, err := s.Put(ctx, &store.Put{Key: store.Key{Bucket: "dicom"}, Body: bytes.NewReader(in), Size: -1, Instance: &store.InstancePut{}})
			return err
		})
	}
	k := store.Key{Bucket: "plain", Name: "k3"}
	step(k, nil, func() error {
		_, err := s.Delete(ctx, &store.Delete{Key: k})
		return err
	})
	k = store.Key{Bucket: "plain", Name: "parts"}
	v := noise(99, 3000)
	step(k, v, func() error {
		up, err := s.CreateUpload(ctx, &store.NewUpload{Key: k})
		if err != nil {
			return err
		}
		p, err := s.PutPart(ctx, &store.PutPart{Key: k, UploadID: up.ID, Number: 1, Body: bytes.NewReader(v), Size: -1})
		if err != nil {
			return err
		}
		_, err = s.Complete(ctx, &store.Complete{Key: k, UploadID: up.ID, Parts: []store.CompletePart{{Number: 1, ETag: p.ETag}}})
		return err
	})
	return acked, doubt, err
}

// expect checks that acknowledged writes are there and doubtful ones are there whole or not at all.
func expect(t *testing.T, s *store.Store, acked, doubt map[store.Key][]byte) {
	t.Helper()
	for k, want := range acked {
		if _, in := doubt[k]; in {
			continue
		}
		got, err := readAll(s, k)
		if want == nil && errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v: %d bytes of %d, %v", k, len(got), len(want), err)
		}
	}
	for k, want := range doubt {
		got, err := readAll(s, k)
		old := acked[k]
		if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrNoBucket) {
			continue
		}
		if err != nil || !bytes.Equal(got, want) && !bytes.Equal(got, old) {
			t.Errorf("%v in doubt: %d bytes, %v", k, len(got), err)
		}
	}
}

func readAll(s *store.Store, k store.Key) ([]byte, error) {
	o, err := s.Get(context.Background(), k)
	if err != nil {
		return nil, err
	}
	r := o.Range(0, o.Size)
	defer r.Close()
	return io.ReadAll(r)
}

func faultConfig(fs vfs.FS, cat *catalog.MemDisk) store.Config {
	cfg := disk{cat: cat}.config()
	cfg.FS, cfg.SegmentBytes = fs, 128<<10
	return cfg
}

// TestEachFileOperationFails fails the n-th file operation, for every n, in several ways. The error must surface or do no
// harm, and after a crash and a clean start all that was acknowledged is there.
func TestEachFileOperationFails(t *testing.T) {
	modes := map[string]func(op vfs.Op) vfs.Fate{
		"error":     func(vfs.Op) vfs.Fate { return vfs.Fate{Err: vfs.ErrInjected} },
		"after":     func(vfs.Op) vfs.Fate { return vfs.Fate{Err: vfs.ErrInjected, Done: true} },
		"full":      func(vfs.Op) vfs.Fate { return vfs.Fate{Err: fmt.Errorf("%w: %w", vfs.ErrInjected, syscall.ENOSPC)} },
		"short":     func(vfs.Op) vfs.Fate { return vfs.Fate{Err: vfs.ErrInjected, Short: 700} },
		"sync-drop": func(vfs.Op) vfs.Fate { return vfs.Fate{Err: vfs.ErrInjected, Drop: true} },
	}
	for name, fate := range modes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n := int64(0); ; n++ {
				if done := failNth(t, n, fate); done {
					t.Logf("%d operations", n)
					if n < 50 {
						t.Errorf("the script made only %d file operations", n)
					}
					return
				}
				if t.Failed() {
					t.Fatalf("operation %d", n)
				}
			}
		})
	}
}

// failNth runs the script with its n-th file operation failing. It returns true if the script needs fewer.
func failNth(t *testing.T, n int64, fate func(vfs.Op) vfs.Fate) bool {
	mem, cat := vfs.NewMem(), catalog.NewMemDisk()
	fault := vfs.NewFault(mem)
	var hit atomic.Bool
	fault.SetRule(func(op vfs.Op) vfs.Fate {
		if op.Index == n {
			hit.Store(true)
			return fate(op)
		}
		return vfs.Fate{}
	})
	var acked, doubt map[store.Key][]byte
	s, err := store.Open(context.Background(), faultConfig(fault, cat))
	if err == nil {
		acked, doubt, _ = script(s)
		if hit.Load() { // reads go on
			fault.SetRule(nil)
			expect(t, s, acked, doubt)
		}
		_ = s.Close()
	}
	if !hit.Load() {
		if err != nil || len(doubt) > 0 {
			t.Errorf("without a fault: %v, %d in doubt", err, len(doubt))
		}
		return true
	}
	after := disk{fs: mem.CrashClone(rand.New(rand.NewPCG(uint64(n), 0)), 0), cat: cat.Clone()}
	s, err = store.Open(context.Background(), faultConfig(after.fs, after.cat))
	if err != nil {
		t.Errorf("open after fault: %v", err)
		return false
	}
	expect(t, s, acked, doubt)
	verify(t, s)
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	return false
}

// TestFailedSyncPoisonsTheSegment checks that a store alone goes on in a new segment after a failed fdatasync, and that a
// restart ignores the poisoned tail.
func TestFailedSyncPoisonsTheSegment(t *testing.T) {
	mem, cat := vfs.NewMem(), catalog.NewMemDisk()
	fault := vfs.NewFault(mem)
	s, err := store.Open(t.Context(), faultConfig(fault, cat))
	if err != nil {
		t.Fatal(err)
	}
	mustBucket(t, s, "plain", store.BucketSettings{})
	put(t, s, "plain", "before", []byte("before"))
	fault.SetRule(func(op vfs.Op) vfs.Fate {
		if op.Kind == vfs.OpSync && op.Index < 4 {
			return vfs.Fate{Err: vfs.ErrInjected, Drop: true}
		}
		return vfs.Fate{}
	})
	_, err = s.Put(t.Context(), &store.Put{Key: store.Key{Bucket: "plain", Name: "lost"}, Body: strings.NewReader("lost"), Size: 4})
	if !errors.Is(err, vfs.ErrInjected) {
		t.Fatalf("put during the fault: %v", err)
	}
	put(t, s, "plain", "after", []byte("after"))
	want := map[store.Key][]byte{{Bucket: "plain", Name: "before"}: []byte("before"), {Bucket: "plain", Name: "after"}: []byte("after")}
	expect(t, s, want, nil)
	if _, err := s.Head(t.Context(), store.Key{Bucket: "plain", Name: "lost"}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("head of the lost object: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	cat.Reset()
	s = open(t, faultConfig(mem, cat))
	expect(t, s, want, nil)
	verify(t, s)
}

// TestFullDiskRefusesWritesOnly fills the disk: puts are refused, reads and deletes go on, and nothing is torn.
func TestFullDiskRefusesWritesOnly(t *testing.T) {
	d := disk{fs: vfs.NewMem(), cat: catalog.NewMemDisk()}
	d.fs.SetCapacity(4 << 20)
	cfg := d.config()
	cfg.MinFreeBytes = 256 << 10
	s := open(t, cfg)
	mustBucket(t, s, "plain", store.BucketSettings{})
	acked := map[store.Key][]byte{}
	var err error
	for i := 0; err == nil; i++ {
		k, v := store.Key{Bucket: "plain", Name: fmt.Sprintf("k%d", i)}, noise(uint64(i), 100_000)
		if _, err = s.Put(t.Context(), &store.Put{Key: k, Body: bytes.NewReader(v), Size: int64(len(v))}); err == nil {
			acked[k] = v
		}
	}
	if !errors.Is(err, store.ErrFull) || len(acked) < 30 {
		t.Fatalf("after %d objects: %v", len(acked), err)
	}
	expect(t, s, acked, nil)
	for k := range acked {
		if _, err := s.Delete(t.Context(), &store.Delete{Key: k}); err != nil {
			t.Fatalf("delete on a full disk: %v", err)
		}
		acked[k] = nil
		if len(acked) > 20 {
			break
		}
	}
	d.fs.SetCapacity(8 << 20)
	put(t, s, "plain", "again", []byte("room"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, cfg)
	expect(t, s, acked, nil)
	verify(t, s)
}

// TestSegmentThatCouldNotBeStarted: the file is there and its directory can't be synced. What is acknowledged after that must not lie
// where the next start takes that file to begin.
func TestSegmentThatCouldNotBeStarted(t *testing.T) {
	mem, cat := vfs.NewMem(), catalog.NewMemDisk()
	fault := vfs.NewFault(mem)
	s := open(t, faultConfig(fault, cat))
	mustBucket(t, s, "plain", store.BucketSettings{})
	want := map[store.Key][]byte{}
	keep := func(name string, size int) {
		t.Helper()
		want[store.Key{Bucket: "plain", Name: name}] = noise(1, size)
		put(t, s, "plain", name, noise(1, size))
	}
	keep("before", 100_000)
	fault.SetRule(vfs.FailKind(vfs.OpSyncDir, nil))
	_, err := s.Put(t.Context(), &store.Put{Key: store.Key{Bucket: "plain", Name: "large"}, Body: bytes.NewReader(noise(1, 100_000)), Size: -1})
	if !errors.Is(err, vfs.ErrInjected) {
		t.Fatalf("put that needs a new segment: %v", err)
	}
	fault.SetRule(nil)
	keep("small", 10)
	expect(t, s, want, nil)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, faultConfig(mem, cat))
	if len(s.Damage()) > 0 {
		t.Errorf("damage: %+v", s.Damage())
	}
	expect(t, s, want, nil)
	verify(t, s)
}

// TestCrashWhileSealing: power is lost before a footer is durable. The next start writes it anew.
func TestCrashWhileSealing(t *testing.T) {
	mem, cat := vfs.NewMem(), catalog.NewMemDisk()
	fault := vfs.NewFault(mem)
	first := "/data/log/0000000000000000.tar"
	s := open(t, faultConfig(fault, cat))
	mustBucket(t, s, "plain", store.BucketSettings{})
	for i := range 12 {
		put(t, s, "plain", fmt.Sprint(i), noise(1, 3000))
	}
	fault.SetRule(vfs.FailKind(vfs.OpSync, func(name string) bool { return name == first })) // once it is sealed
	put(t, s, "plain", "in the next segment", noise(1, 100_000))
	store.WaitSealed(s)
	fault.SetRule(nil)
	for seed := range uint64(200) {
		after := disk{fs: mem.CrashClone(rand.New(rand.NewPCG(seed, 0)), 0.3), cat: cat.Clone()}
		s := open(t, faultConfig(after.fs, after.cat))
		store.WaitSealed(s)
		if rep, err := s.Verify(t.Context(), nil); err != nil || !rep.Clean() {
			t.Fatalf("seed %d: %+v, %v", seed, rep, err)
		}
	}
}

// TestKilledThenPowerLost: a process ends between two file operations, and the next one goes on with what it left in the page cache.
// When power is lost then, what the second one acknowledged, or showed, must be there.
func TestKilledThenPowerLost(t *testing.T) {
	for kill := int64(0); ; kill++ {
		mem, cat := vfs.NewMem(), catalog.NewMemDisk()
		fault := vfs.NewFault(mem)
		fault.SetRule(vfs.FailFrom(kill))
		s, err := store.Open(t.Context(), faultConfig(fault, cat))
		killed := err != nil
		if err == nil {
			_, _, err = script(s)
			killed = err != nil
			_ = s.Close()
		}
		s = open(t, faultConfig(mem, cat))
		if _, err := s.CreateBucket(t.Context(), "plain", store.BucketSettings{}, store.Origin{}); err != nil && !errors.Is(err, store.ErrBucketExists) {
			t.Fatal(err)
		}
		before, err := s.List(t.Context(), &store.List{Bucket: "plain", Max: store.MaxPage})
		if err != nil {
			t.Fatal(err)
		}
		after := disk{fs: mem.CrashClone(rand.New(rand.NewPCG(1, 1)), 0), cat: cat.Clone()}
		s = open(t, faultConfig(after.fs, after.cat))
		if len(s.Damage()) > 0 {
			t.Errorf("damage: %+v", s.Damage())
		}
		if now, err := s.List(t.Context(), &store.List{Bucket: "plain", Max: store.MaxPage}); err != nil || fmt.Sprint(now) != fmt.Sprint(before) {
			t.Errorf("%d objects are left of %d, %v", len(now.Objects), len(before.Objects), err)
		}
		verify(t, s)
		if t.Failed() {
			t.Fatalf("killed at operation %d", kill)
		}
		if !killed {
			return
		}
	}
}

// unreadableAt fails reads of the log's sector at off.
func unreadableAt(off int64) func(vfs.Op) vfs.Fate {
	return func(op vfs.Op) vfs.Fate {
		if op.Kind == vfs.OpRead && strings.HasSuffix(op.Name, ".tar") && op.Off < off+4096 && op.Off+op.Len > off {
			return vfs.Fate{Err: vfs.ErrInjected}
		}
		return vfs.Fate{}
	}
}

// TestUnreadableSectorAndTornTail: a sector that can't be read, of a record that was acknowledged, makes no torn tail doubtful.
func TestUnreadableSectorAndTornTail(t *testing.T) {
	mem, cat := vfs.NewMem(), catalog.NewMemDisk()
	s := open(t, faultConfig(mem, cat))
	mustBucket(t, s, "plain", store.BucketSettings{})
	first := put(t, s, "plain", "first", noise(1, 20_000))
	second := put(t, s, "plain", "second", noise(2, 20_000))
	torn := put(t, s, "plain", "torn", noise(3, 20_000))
	for off := int64(first.LSN); off < int64(second.LSN); off += 4096 {
		after := disk{fs: mem.CrashClone(rand.New(rand.NewPCG(1, 1)), 0), cat: catalog.NewMemDisk()}
		fault := vfs.NewFault(after.fs)
		fault.SetRule(unreadableAt(off))
		f, err := after.fs.OpenRW("/data/log/0000000000000000.tar")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(make([]byte, 4096), int64(s.End())-4096); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		cfg := faultConfig(fault, after.cat)
		cfg.Indexer = testIndexer
		expect(t, open(t, cfg), map[store.Key][]byte{second.Key: noise(2, 20_000), torn.Key: nil}, nil)
	}
}

// TestUnreadableTail: what can't be read where nothing says that it was acknowledged may have been, so it is not cut off as torn.
func TestUnreadableTail(t *testing.T) {
	mem, cat := vfs.NewMem(), catalog.NewMemDisk()
	s := open(t, faultConfig(mem, cat))
	mustBucket(t, s, "plain", store.BucketSettings{})
	last := put(t, s, "plain", "last", noise(1, 100_000))
	for off := int64(last.LSN); off < int64(s.End()); off += 4096 {
		after := disk{fs: mem.CrashClone(rand.New(rand.NewPCG(1, 1)), 0), cat: cat.Clone()}
		fault := vfs.NewFault(after.fs)
		fault.SetRule(unreadableAt(off))
		cfg := faultConfig(fault, after.cat)
		cfg.Indexer = testIndexer
		if s, err := store.Open(t.Context(), cfg); !errors.Is(err, vfs.ErrInjected) {
			_ = s.Close()
			t.Errorf("open with an unreadable sector at %d: %v", off, err)
		}
		fault.SetRule(nil)
		expect(t, open(t, cfg), map[store.Key][]byte{last.Key: noise(1, 100_000)}, nil)
	}
}
