package store_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"gantry/internal/vfs"
	"gantry/store"
	"gantry/store/catalog"
	"gantry/store/storetest"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "first seed of the crash tests (0: the fixed one)")
	runsFlag  = flag.Int("crash-runs", longOr(200, 10), "runs of the crash test, each with -crash-count crashes")
	countFlag = flag.Int("crash-count", 50, "crashes in each run")
)

// longOr is long if GANTRY_LONG is set, else short.
func longOr(long, short int) int {
	if os.Getenv("GANTRY_LONG") != "" {
		return long
	}
	return short
}

// disk is what survives a crash: files and the catalog's engine.
type disk struct {
	fs  *vfs.Mem
	cat *catalog.MemDisk
}

func (d disk) config() store.Config {
	return store.Config{
		Dir: "/data", FS: d.fs, SegmentBytes: 256 << 10, MinFreeBytes: 1, Indexer: testIndexer,
		OpenCatalog: func(o catalog.Options) (*catalog.Catalog, error) {
			o.Manual = true
			return catalog.OpenMem(d.cat, o)
		},
		RemoveCatalog: func() error { d.cat.Reset(); return nil },
	}
}

// model remembers what was attempted and acknowledged for each key. Each key belongs to one worker.
type model struct {
	mu      sync.Mutex             // guards all below
	history map[store.Key][][]byte // values attempted, in order; nil is a deletion
	acked   map[store.Key]int      // how many of them were acknowledged
}

func (m *model) attempt(k store.Key, v []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.history[k] == nil {
		m.history[k] = [][]byte{nil}
		m.acked[k] = 1
	}
	m.history[k] = append(m.history[k], v)
}

func (m *model) ack(k store.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.acked[k] = len(m.history[k])
}

func (m *model) ackedNow() map[store.Key]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[store.Key]int, len(m.acked))
	for k, n := range m.acked {
		out[k] = n
	}
	return out
}

// check compares a store that was opened after a crash with what may be there: the last value acknowledged before it, or one
// attempted since.
func (m *model) check(t *testing.T, s *store.Store, before map[store.Key]int) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, history := range m.history {
		from := max(before[k]-1, 0)
		o, err := s.Get(context.Background(), k)
		var got []byte
		if err == nil {
			if got, err = io.ReadAll(o.Range(0, o.Size)); got == nil {
				got = []byte{}
			}
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrNoBucket) {
			t.Errorf("%v: %v", k, err)
			continue
		}
		ok := false
		for _, want := range history[from:] {
			ok = ok || (want == nil) == (got == nil) && bytes.Equal(want, got)
		}
		if !ok {
			t.Errorf("%v: %d bytes are none of the %d values allowed", k, len(got), len(history)-from)
		}
	}
}

// traffic makes one worker's random operations, one for each token from the gate.
type traffic struct {
	s    *store.Store
	m    *model
	id   int
	rng  *rand.Rand
	gate <-chan struct{}
}

func (w *traffic) run(ctx context.Context) error {
	for range w.gate {
		if err := w.step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (w *traffic) step(ctx context.Context) error {
	key := store.Key{Bucket: "plain", Name: fmt.Sprintf("w%d/k%d", w.id, w.rng.IntN(6))}
	switch n := w.rng.IntN(100); {
	case n < 40:
		return w.put(ctx, key, w.data())
	case n < 55:
		return w.delete(ctx, key)
	case n < 65:
		return w.multipart(ctx, key, w.data())
	case n < 66 && w.rng.IntN(8) == 0:
		return w.put(ctx, key, bytes.Repeat([]byte{byte(w.id)}, store.MaxRecord+w.rng.IntN(1000)))
	case n < 90: // an instance by its identity
		sop := w.rng.IntN(8)
		v := instance(w.id, sop%2, sop, fmt.Sprintf("P%d", w.id))
		k := store.Key{Bucket: "dicom", Name: fmt.Sprintf("1.%d/1.%d.%d/1.%d.%d.%d.dcm", w.id, w.id, sop%2, w.id, sop%2, sop)}
		w.m.attempt(k, v)
		_, err := w.s.Put(ctx, &store.Put{Key: store.Key{Bucket: "dicom"}, Body: bytes.NewReader(v), Size: -1, Instance: &store.InstancePut{}})
		return w.done(k, err)
	default:
		sop := w.rng.IntN(8)
		return w.delete(ctx, store.Key{Bucket: "dicom", Name: fmt.Sprintf("1.%d/1.%d.%d/1.%d.%d.%d.dcm", w.id, w.id, sop%2, w.id, sop%2, sop)})
	}
}

func (w *traffic) data() []byte {
	v := make([]byte, w.rng.IntN(3000)+w.rng.IntN(2)*w.rng.IntN(60000))
	for i := range v {
		v[i] = byte(w.rng.Uint32())
	}
	return v
}

func (w *traffic) done(k store.Key, err error) error {
	if err == nil {
		w.m.ack(k)
	}
	return err
}

func (w *traffic) put(ctx context.Context, k store.Key, v []byte) error {
	w.m.attempt(k, v)
	_, err := w.s.Put(ctx, &store.Put{Key: k, Body: bytes.NewReader(v), Size: int64(len(v))})
	return w.done(k, err)
}

func (w *traffic) delete(ctx context.Context, k store.Key) error {
	w.m.attempt(k, nil)
	_, err := w.s.Delete(ctx, &store.Delete{Key: k})
	if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	return w.done(k, err)
}

func (w *traffic) multipart(ctx context.Context, k store.Key, v []byte) error {
	up, err := w.s.CreateUpload(ctx, &store.NewUpload{Key: k})
	if err != nil {
		return err
	}
	p, err := w.s.PutPart(ctx, &store.PutPart{Key: k, UploadID: up.ID, Number: 3, Body: bytes.NewReader(v), Size: int64(len(v))})
	if err != nil || w.rng.IntN(3) == 0 { // some are left open
		return err
	}
	w.m.attempt(k, v)
	_, err = w.s.Complete(ctx, &store.Complete{Key: k, UploadID: up.ID, Parts: []store.CompletePart{{Number: 3, ETag: p.ETag}}})
	return w.done(k, err)
}

// TestCrash loses power at random moments of mixed traffic. Whatever was acknowledged must be there, nothing half written
// may be seen (I1, I6), and a rebuilt catalog must give the same answers (I7).
func TestCrash(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = 20260101
	}
	for run := range *runsFlag {
		t.Run(fmt.Sprintf("seed=%d", seed+uint64(run)), func(t *testing.T) {
			t.Parallel()
			crashRun(t, seed+uint64(run))
		})
	}
}

func crashRun(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	d := disk{fs: vfs.NewMem(), cat: catalog.NewMemDisk()}
	m := &model{history: map[store.Key][][]byte{}, acked: map[store.Key]int{}}
	for crash := 0; crash < *countFlag; {
		if d.fs.Used() > 128<<20 { // large objects add up: begin anew
			d = disk{fs: vfs.NewMem(), cat: catalog.NewMemDisk()}
			m = &model{history: map[store.Key][][]byte{}, acked: map[store.Key]int{}}
		}
		cfg := d.config()
		if rng.IntN(2) == 0 {
			cfg.Mirror = slowMirror{}
		}
		s, err := store.Open(t.Context(), cfg)
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		for _, b := range []string{"plain", "dicom"} {
			if _, err := s.CreateBucket(t.Context(), b, store.BucketSettings{DICOM: b == "dicom"}, store.Origin{}); err != nil && !errors.Is(err, store.ErrBucketExists) {
				t.Fatalf("create bucket: %v", err)
			}
		}
		gate := make(chan struct{})
		var wg sync.WaitGroup
		for id := range 3 {
			w := &traffic{s: s, m: m, id: id, gate: gate, rng: rand.New(rand.NewPCG(seed, rng.Uint64()))}
			wg.Add(1)
			go func() {
				defer wg.Done()
				if err := w.run(t.Context()); err != nil {
					t.Errorf("traffic: %v", err)
				}
			}()
		}
		for range 1 + rng.IntN(5) {
			for range rng.IntN(40) { // returns when the last operation has begun
				gate <- struct{}{}
			}
			if rng.IntN(2) == 0 {
				if err := s.Flush(t.Context()); err != nil {
					t.Fatalf("flush: %v", err)
				}
			}
			before := m.ackedNow()
			after := disk{cat: d.cat.Clone()} // the catalog first: it is never ahead of the log
			after.fs = d.fs.CrashClone(rng, []float64{0, 0.3, 0.7, 1}[rng.IntN(4)])
			checkCrashed(t, after, m, before)
			crash++
			if t.Failed() {
				break
			}
		}
		close(gate)
		wg.Wait()
		if err := s.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
		if t.Failed() {
			t.Fatalf("crash %d", crash)
		}
		// The next round goes on from a crash or from the clean end.
		if rng.IntN(2) == 0 {
			d = disk{fs: d.fs.CrashClone(rng, 0), cat: d.cat.Clone()}
		}
	}
}

func checkCrashed(t *testing.T, d disk, m *model, before map[store.Key]int) {
	t.Helper()
	s, err := store.Open(t.Context(), d.config())
	if err != nil {
		t.Errorf("open after crash: %v", err)
		return
	}
	if len(s.Damage()) > 0 {
		t.Errorf("damage after crash: %+v", s.Damage())
	}
	m.check(t, s, before)
	verify(t, s)
	first := storetest.Dump(t, s)
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	d.cat.Reset()
	if s, err = store.Open(t.Context(), d.config()); err != nil {
		t.Errorf("open without catalog: %v", err)
		return
	}
	if second := storetest.Dump(t, s); first != second {
		t.Errorf("rebuilt catalog differs:\n%s", storetest.FirstDifference(first, second))
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}
