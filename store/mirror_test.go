package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gantry/internal/vfs"
	"gantry/store"
	"gantry/store/catalog"
	"gantry/store/storetest"
)

// fakeMirror keeps what it is sent, as another site would.
type fakeMirror struct {
	mu      sync.Mutex // guards all below
	batches []store.Batch
	fail    error         // what durable returns
	gate    chan struct{} // if set, durable waits for it
	onSend  func(store.Batch)
}

func (m *fakeMirror) Send(b store.Batch) func() error {
	b.Data = [][]byte{bytes.Join(b.Data, nil)}
	m.mu.Lock()
	m.batches = append(m.batches, b)
	gate, onSend := m.gate, m.onSend
	m.mu.Unlock()
	if onSend != nil {
		onSend(b)
	}
	return func() error {
		if gate != nil {
			<-gate
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.fail
	}
}

func (m *fakeMirror) set(fail error, gate chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail, m.gate = fail, gate
}

func (m *fakeMirror) sent() []store.Batch {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]store.Batch(nil), m.batches...)
}

// site makes a store on fs with a mirror.
func mirroredConfig(fs vfs.FS, cat *catalog.MemDisk, m store.Mirror) store.Config {
	cfg := faultConfig(fs, cat)
	cfg.Mirror = m
	return cfg
}

func waitUntil(cond func() bool) {
	for !cond() {
		runtime.Gosched()
	}
}

// checkMirror compares what the mirror got with the segment files, for the newest epoch at each LSN.
func checkMirror(t *testing.T, fs vfs.FS, batches []store.Batch) {
	t.Helper()
	epoch := uint64(0)
	valid := map[store.LSN]store.Batch{}
	for _, b := range batches {
		if b.Epoch < epoch {
			t.Errorf("epoch %d after %d", b.Epoch, epoch)
		}
		if b.Epoch > epoch { // takes back what an older epoch wrote from here on
			for lsn := range valid {
				if lsn >= b.LSN {
					delete(valid, lsn)
				}
			}
		}
		epoch = b.Epoch
		if old, twice := valid[b.LSN]; twice {
			t.Errorf("LSN %s sent twice in epoch %d: %d and %d bytes", b.LSN, epoch, old.Bytes, b.Bytes)
		}
		if int64(len(b.Data[0])) != b.Bytes {
			t.Errorf("batch %s has %d bytes and says %d", b.LSN, len(b.Data[0]), b.Bytes)
		}
		if b.CommitPoint > b.LSN {
			t.Errorf("batch %s has commit point %s", b.LSN, b.CommitPoint)
		}
		valid[b.LSN] = b
	}
	next := store.LSN(0)
	for len(valid) > 0 {
		b, ok := valid[next]
		if !ok {
			t.Fatalf("no batch at %s, %d are left", next, len(valid))
		}
		file, err := vfs.ReadFile(fs, filepath.Join("/data/log", b.Segment.String()+".tar"), 1<<30)
		if err != nil {
			t.Fatalf("batch %s: %v", b.LSN, err)
		}
		off := int(b.LSN - b.Segment)
		if off < 0 || off+len(b.Data[0]) > len(file) || !bytes.Equal(file[off:off+len(b.Data[0])], b.Data[0]) {
			t.Errorf("batch %s differs from segment %s at %d", b.LSN, b.Segment, off)
		}
		delete(valid, next)
		next += store.LSN(b.Bytes)
	}
}

// The mirror's bytes at their LSNs are the segment files, also across changes of segment, poisoned segments and a restart.
func TestMirrorGetsTheLog(t *testing.T) {
	mem, cat := vfs.NewMem(), catalog.NewMemDisk()
	fault := vfs.NewFault(mem)
	m := &fakeMirror{}
	for round := range 3 {
		s := open(t, mirroredConfig(fault, cat, m))
		if round == 0 {
			mustBucket(t, s, "plain", store.BucketSettings{})
		}
		for i := range 12 {
			put(t, s, "plain", fmt.Sprintf("r%d/%d", round, i), noise(uint64(i), 30_000))
			if i != 5 {
				continue
			}
			fault.SetRule(vfs.FailKind(vfs.OpSync, nil))
			_, err := s.Put(t.Context(), &store.Put{Key: store.Key{Bucket: "plain", Name: "lost"}, Body: strings.NewReader("lost"), Size: 4})
			if !errors.Is(err, vfs.ErrInjected) {
				t.Errorf("put with failing sync: %v", err)
			}
			fault.SetRule(nil)
			if err := s.Close(); err != nil && !errors.Is(err, vfs.ErrInjected) {
				t.Fatal(err)
			}
			s = open(t, mirroredConfig(fault, cat, m))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	checkMirror(t, mem, m.sent())
}

// A poisoned segment ends the epoch: the same LSN is then sent again with other bytes.
func TestPoisonedSegmentEndsTheEpoch(t *testing.T) {
	mem, cat := vfs.NewMem(), catalog.NewMemDisk()
	fault := vfs.NewFault(mem)
	m := &fakeMirror{}
	s := open(t, mirroredConfig(fault, cat, m))
	mustBucket(t, s, "plain", store.BucketSettings{})
	put(t, s, "plain", "a", []byte("a"))
	m.mu.Lock()
	m.onSend = func(store.Batch) {
		once := true
		fault.SetRule(func(op vfs.Op) vfs.Fate {
			if op.Kind == vfs.OpSync && once {
				once = false
				return vfs.Fate{Err: vfs.ErrInjected, Drop: true}
			}
			return vfs.Fate{}
		})
	}
	m.mu.Unlock()
	_, err := s.Put(t.Context(), &store.Put{Key: store.Key{Bucket: "plain", Name: "lost"}, Body: strings.NewReader("lost"), Size: 4})
	if !errors.Is(err, vfs.ErrInjected) {
		t.Fatalf("put with failing sync: %v", err)
	}
	m.mu.Lock()
	m.onSend = nil
	m.mu.Unlock()
	fault.SetRule(nil)
	put(t, s, "plain", "b", []byte("b"))
	b := m.sent()
	lost, next := b[len(b)-2], b[len(b)-1]
	if lost.LSN != next.LSN || next.Epoch <= lost.Epoch || next.Segment != next.LSN {
		t.Errorf("lost %s epoch %d, then %s epoch %d segment %s", lost.LSN, lost.Epoch, next.LSN, next.Epoch, next.Segment)
	}
	checkMirror(t, mem, b)
	verify(t, s)
}

// Nothing is written before the mirror has it on its way, and nothing is visible or acknowledged before the mirror has it
// for good.
func TestNothingCountsBeforeTheMirrorHasIt(t *testing.T) {
	mem, cat := vfs.NewMem(), catalog.NewMemDisk()
	m := &fakeMirror{}
	s := open(t, mirroredConfig(mem, cat, m))
	mustBucket(t, s, "plain", store.BucketSettings{})
	end := s.End()
	m.mu.Lock()
	m.onSend = func(b store.Batch) {
		file, err := vfs.ReadFile(mem, filepath.Join("/data/log", b.Segment.String()+".tar"), 1<<30)
		if err != nil || len(file) > int(b.LSN-b.Segment) {
			t.Errorf("%d bytes were written before the batch at %s was sent, %v", len(file), b.LSN, err)
		}
	}
	m.gate = make(chan struct{})
	gate, before := m.gate, len(m.batches)
	m.mu.Unlock()
	done := make(chan error, 1)
	k := store.Key{Bucket: "plain", Name: "k"}
	go func() {
		_, err := s.Put(t.Context(), &store.Put{Key: k, Body: strings.NewReader("v"), Size: 1})
		done <- err
	}()
	waitUntil(func() bool { return len(m.sent()) > before })
	select {
	case err := <-done:
		t.Errorf("acknowledged before the mirror had it: %v", err)
	default:
	}
	if _, err := s.Head(t.Context(), k); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("visible before the mirror had it: %v", err)
	}
	if s.End() != end {
		t.Errorf("commit point moved to %s", s.End())
	}
	close(gate)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := get(t, s, "plain", "k"); string(got) != "v" {
		t.Errorf("got %q", got)
	}
}

// After a failure of the mirror nothing is acknowledged any more, even if the local write fails at the same time; reads go on.
func TestFailedMirrorStopsAcknowledgements(t *testing.T) {
	for _, local := range []bool{false, true} {
		t.Run(fmt.Sprintf("local-fault=%v", local), func(t *testing.T) {
			mem, cat := vfs.NewMem(), catalog.NewMemDisk()
			fault := vfs.NewFault(mem)
			m := &fakeMirror{}
			s := open(t, mirroredConfig(fault, cat, m))
			mustBucket(t, s, "plain", store.BucketSettings{})
			put(t, s, "plain", "before", []byte("before"))
			gone := errors.New("mirror is gone")
			m.set(gone, nil)
			if local {
				fault.SetRule(vfs.FailKind(vfs.OpSync, nil))
			}
			_, err := s.Put(t.Context(), &store.Put{Key: store.Key{Bucket: "plain", Name: "a"}, Body: strings.NewReader("a"), Size: 1})
			if !errors.Is(err, gone) {
				t.Errorf("put: %v", err)
			}
			fault.SetRule(nil)
			m.set(nil, nil)
			sent := len(m.sent())
			_, err = s.Put(t.Context(), &store.Put{Key: store.Key{Bucket: "plain", Name: "b"}, Body: strings.NewReader("b"), Size: 1})
			if !errors.Is(err, store.ErrBroken) || len(m.sent()) != sent {
				t.Errorf("put afterwards: %v, %d batches sent", err, len(m.sent())-sent)
			}
			for _, k := range []string{"a", "b"} {
				if _, err := s.Head(t.Context(), store.Key{Bucket: "plain", Name: k}); !errors.Is(err, store.ErrNotFound) {
					t.Errorf("head %s: %v", k, err)
				}
			}
			if got := get(t, s, "plain", "before"); string(got) != "before" {
				t.Errorf("got %q", got)
			}
		})
	}
}

// What an operation was told because of another one in its batch does not hold if that one fails: an identical instance was
// not stored, a key is not taken, a deleted object is not gone.
func TestAnswersFallWithTheirBatch(t *testing.T) {
	mem, cat := vfs.NewMem(), catalog.NewMemDisk()
	fault := vfs.NewFault(mem)
	s := open(t, faultConfig(fault, cat))
	mustBucket(t, s, "dicom", store.BucketSettings{DICOM: true})
	put(t, s, "dicom", "old", []byte("old"))

	ops := []func() error{}
	for range 2 {
		ops = append(ops, func() error {
			_, err := s.Put(t.Context(), &store.Put{Key: store.Key{Bucket: "dicom"}, Body: bytes.NewReader(instance(1, 1, 1, "P")), Size: -1, Instance: &store.InstancePut{}})
			return err
		}, func() error {
			_, err := s.Put(t.Context(), &store.Put{Key: store.Key{Bucket: "dicom", Name: "new"}, Body: strings.NewReader("new"), Size: 3, If: store.Condition{IfNoneMatch: "*"}})
			return err
		}, func() error {
			_, err := s.Delete(t.Context(), &store.Delete{Key: store.Key{Bucket: "dicom", Name: "old"}})
			return err
		})
	}
	var syncs atomic.Int32 // the first is that of a batch which holds the others up, so that they become one
	gate := make(chan struct{})
	fault.SetRule(func(op vfs.Op) vfs.Fate {
		if op.Kind != vfs.OpSync {
			return vfs.Fate{}
		}
		if syncs.Add(1) > 1 {
			return vfs.Fate{Err: vfs.ErrInjected}
		}
		<-gate
		return vfs.Fate{}
	})
	first := make(chan error, 1)
	go func() {
		_, err := s.Put(t.Context(), &store.Put{Key: store.Key{Bucket: "dicom", Name: "first"}, Body: strings.NewReader("1"), Size: 1})
		first <- err
	}()
	waitUntil(func() bool { return syncs.Load() == 1 })
	done := make(chan error, len(ops))
	for _, i := range rand.New(rand.NewPCG(1, 1)).Perm(len(ops)) {
		go func() { done <- ops[i]() }()
	}
	waitUntil(func() bool { return store.Queued(s) == len(ops) })
	close(gate)
	if err := <-first; err != nil {
		t.Error(err)
	}
	for range ops {
		if err := <-done; !errors.Is(err, vfs.ErrInjected) {
			t.Errorf("an operation of the failed batch returned %v", err)
		}
	}
	fault.SetRule(nil)
	if got := get(t, s, "dicom", "old"); string(got) != "old" {
		t.Errorf("got %q", got)
	}
}

// TestFailuresWithBatchesInFlight lets batches that are durable here wait for the mirror. If the next one can't be written they count all the same;
// if the mirror fails, none does, nor what was answered because of them.
func TestFailuresWithBatchesInFlight(t *testing.T) {
	gone := errors.New("mirror is gone")
	for _, tc := range []struct {
		name   string
		mirror error
		op     vfs.OpKind // which fails here
	}{{"mirror", gone, ""}, {"write", nil, vfs.OpWrite}, {"sync", nil, vfs.OpSync}} {
		t.Run(tc.name, func(t *testing.T) {
			mem, cat := vfs.NewMem(), catalog.NewMemDisk()
			fault := vfs.NewFault(mem)
			m := &fakeMirror{}
			s := open(t, mirroredConfig(fault, cat, m))
			mustBucket(t, s, "plain", store.BucketSettings{})
			gate, sent := make(chan struct{}), len(m.sent())
			m.set(nil, gate)
			begin := func(name string, c store.Condition) chan error {
				done := make(chan error, 1)
				go func() {
					_, err := s.Put(t.Context(), &store.Put{Key: store.Key{Bucket: "plain", Name: name}, Body: strings.NewReader(name), Size: int64(len(name)), If: c})
					done <- err
				}()
				return done
			}
			waiting := map[string]chan error{}
			for i := range 4 { // each a batch of its own
				name := fmt.Sprint("k", i)
				waiting[name] = begin(name, store.Condition{})
				waitUntil(func() bool { return store.InFlight(s) == i+1 })
			}
			taken := begin("k0", store.Condition{IfNoneMatch: "*"}) // decided upon a batch in flight
			waitUntil(func() bool { return store.InFlight(s) == 5 })
			if tc.mirror == nil {
				fault.SetRule(vfs.FailKind(tc.op, func(name string) bool { return strings.HasSuffix(name, ".tar") }))
				lost := begin("lost", store.Condition{})
				waitUntil(func() bool { return len(m.sent()) == sent+5 })
				close(gate)
				if err := <-lost; !errors.Is(err, vfs.ErrInjected) {
					t.Errorf("lost: %v", err)
				}
			} else {
				m.set(gone, gate)
				close(gate)
			}
			for name, done := range waiting {
				if err := <-done; !errors.Is(err, tc.mirror) {
					t.Errorf("%s: %v, want %v", name, err, tc.mirror)
				}
			}
			want := tc.mirror
			if want == nil {
				want = store.ErrPrecondition
			}
			if err := <-taken; !errors.Is(err, want) {
				t.Errorf("put of a key that is taken: %v, want %v", err, want)
			}
			fault.SetRule(nil)
			m.set(nil, nil)
			for name := range waiting {
				_, err := s.Head(t.Context(), store.Key{Bucket: "plain", Name: name})
				if (tc.mirror == nil) != (err == nil) {
					t.Errorf("head %s: %v", name, err)
				}
			}
			if err := <-begin("next", store.Condition{}); (tc.mirror == nil) != (err == nil) || err != nil && !errors.Is(err, store.ErrBroken) {
				t.Errorf("next: %v", err)
			}
			if tc.mirror == nil {
				store.WaitSealed(s)
				verify(t, s)
				checkMirror(t, mem, m.sent())
			}
		})
	}
}

// TestMoreBatchesThanMayWait puts more batches than the flight takes while the mirror has none of them.
func TestMoreBatchesThanMayWait(t *testing.T) {
	mem, cat := vfs.NewMem(), catalog.NewMemDisk()
	m := &fakeMirror{}
	cfg := mirroredConfig(mem, cat, m)
	cfg.SegmentBytes = 64 << 10 // also a change of segment with batches in flight
	s := open(t, cfg)
	mustBucket(t, s, "plain", store.BucketSettings{})
	gate := make(chan struct{})
	m.set(nil, gate)
	var puts sync.WaitGroup
	for i := range 40 {
		puts.Go(func() { put(t, s, "plain", fmt.Sprint(i), noise(uint64(i), 10_000)) })
		for range 20 {
			runtime.Gosched()
		}
	}
	close(gate)
	puts.Wait()
	m.set(nil, nil)
	store.WaitSealed(s)
	verify(t, s)
	checkMirror(t, mem, m.sent())
}

// slowMirror takes its time, so that several batches are in flight.
type slowMirror struct{}

func (slowMirror) Send(b store.Batch) func() error {
	return func() error {
		for range uint64(b.LSN) * 0x9E3779B97F4A7C15 >> 56 {
			runtime.Gosched()
		}
		return nil
	}
}

// TestHeirInFlight deletes an instance while a duplicate of it waits for the mirror: the duplicate takes its place, with the attributes
// that its record has, though the record does not count yet.
func TestHeirInFlight(t *testing.T) {
	mem, cat, m := vfs.NewMem(), catalog.NewMemDisk(), &fakeMirror{}
	s := open(t, mirroredConfig(mem, cat, m))
	mustBucket(t, s, "dicom", store.BucketSettings{DICOM: true})
	put(t, s, "dicom", "first", instance(0, 0, 0, "P"))
	gate := make(chan struct{})
	m.set(nil, gate)
	done := make(chan error, 2)
	go func() {
		_, err := s.Put(t.Context(), &store.Put{Key: store.Key{Bucket: "dicom", Name: "heir"}, Body: bytes.NewReader(instance(0, 0, 0, "Q")), Size: -1})
		done <- err
	}()
	waitUntil(func() bool { return store.InFlight(s) == 1 })
	go func() {
		_, err := s.Delete(t.Context(), &store.Delete{Key: store.Key{Bucket: "dicom", Name: "first"}})
		done <- err
	}()
	waitUntil(func() bool { return store.InFlight(s) == 2 })
	close(gate)
	if err := errors.Join(<-done, <-done); err != nil {
		t.Fatal(err)
	}
	if row, err := s.Instance(t.Context(), "dicom", "1.0.0.0"); err != nil || row.Key != "heir" {
		t.Errorf("instance %+v, %v", row, err)
	}
	before := storetest.Dump(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	cat.Reset()
	m.set(nil, nil)
	s = open(t, mirroredConfig(mem, cat, m))
	if after := storetest.Dump(t, s); after != before {
		t.Errorf("rebuilt catalog differs: %s", storetest.FirstDifference(before, after))
	}
}
