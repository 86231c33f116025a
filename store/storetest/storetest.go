// Package storetest is one suite of tests that every arrangement of a store must pass, whatever its files and its catalog
// lie on. After each test everything stored is verified, and a catalog rebuilt from the log must give the same answers as the
// one that grew with it (I7).
package storetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"gantry/store"
)

// Arrange completes a configuration with what makes up the arrangement: files and catalog. drop deletes the catalog of a store
// that is closed.
type Arrange func(t testing.TB, cfg store.Config) (ready store.Config, drop func() error)

// Run runs the suite.
func Run(t *testing.T, arrange Arrange) {
	for _, c := range []struct {
		name string
		run  func(*harness)
	}{
		{"Sizes", testSizes},
		{"LargeObject", testLargeObject},
		{"BodiesThatAreNotStored", testRefusedBodies},
		{"Keys", testKeys},
		{"Metadata", testMetadata},
		{"OverwriteAndDelete", testOverwriteAndDelete},
		{"OpenObjectsStay", testOpenObjectsStay},
		{"Listing", testListing},
		{"OneWinner", testOneWinner},
		{"CompareAndSwap", testCompareAndSwap},
		{"Conditions", testConditions},
		{"Buckets", testBuckets},
		{"BucketMadeAnew", testBucketMadeAnew},
		{"DeleteBucketWithUploads", testDeleteBucketWithUploads},
		{"Multipart", testMultipart},
		{"MultipartRefusals", testMultipartRefusals},
		{"AbortWhileCompleting", testAbortWhileCompleting},
		{"ListUploads", testListUploads},
		{"UploadExpiry", testUploadExpiry},
		{"Identity", testIdentity},
		{"SameInstanceAtOnce", testSameInstanceAtOnce},
		{"SameLargeInstance", testSameLargeInstance},
		{"DuplicatesNobodyWaitsFor", testDuplicatesNobodyWaitsFor},
		{"DuplicateTakesItsPlace", testDuplicateTakesItsPlace},
		{"RowsFollowTheOldest", testRowsFollowTheOldest},
		{"Conflicts", testConflicts},
		{"DeleteInstances", testDeleteInstances},
		{"StrictBuckets", testStrictBuckets},
		{"InstancesByMultipart", testInstancesByMultipart},
		{"Search", testSearch},
		{"TimeNeverRunsBackwards", testTime},
		{"Closed", testClosed},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(start(t, arrange)) })
	}
}

// harness is a store under test.
type harness struct {
	testing.TB
	*store.Store
	cfg   store.Config
	drop  func() error
	clock *clock
}

// clock is a time that only the test moves.
type clock struct {
	mu  sync.Mutex // guards now
	now time.Time
}

func (c *clock) get() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Millisecond)
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func start(t *testing.T, arrange Arrange) *harness {
	t.Helper()
	h := &harness{TB: t, clock: &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}}
	h.cfg, h.drop = arrange(t, store.Config{
		Indexer: Indexer, Clock: h.clock.get, SegmentBytes: 24 << 20, BodyBytes: 64 << 20, MinFreeBytes: 1,
	})
	h.open()
	t.Cleanup(h.finish)
	return h
}

func (h *harness) open() {
	h.Helper()
	s, err := store.Open(context.Background(), h.cfg)
	if err != nil {
		h.Fatalf("open: %v", err)
	}
	h.Store = s
	if len(s.Damage()) > 0 {
		h.Errorf("damage: %+v", s.Damage())
	}
}

func (h *harness) close() {
	h.Helper()
	if err := h.Close(); err != nil {
		h.Fatalf("close: %v", err)
	}
}

func (h *harness) reopen() {
	h.Helper()
	h.close()
	h.open()
}

func (h *harness) rebuild() {
	h.Helper()
	h.close()
	if err := h.drop(); err != nil {
		h.Fatalf("drop catalog: %v", err)
	}
	h.open()
}

// finish checks what holds after every test.
func (h *harness) finish() {
	if h.Failed() {
		_ = h.Close()
		return
	}
	h.reopen()
	report, err := h.Verify(context.Background(), nil)
	if err != nil || !report.Clean() {
		h.Errorf("verify: %+v, %v", report, err)
	}
	before := Dump(h, h.Store)
	h.rebuild()
	if after := Dump(h, h.Store); after != before {
		h.Errorf("rebuilt catalog differs: %s", FirstDifference(before, after))
	}
	h.close()
}

// noise is n bytes that no compression would shrink.
func noise(seed uint64, n int) []byte {
	rng := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 1})
	b := make([]byte, n)
	_, _ = rng.Read(b) // never fails
	return b
}

func (h *harness) bucket(name string, st store.BucketSettings) store.Bucket {
	h.Helper()
	b, err := h.CreateBucket(h.Context(), name, st, store.Origin{Owner: "owner"})
	if err != nil {
		h.Fatalf("create bucket %s: %v", name, err)
	}
	return b
}

func (h *harness) plain() { h.bucket("plain", store.BucketSettings{}) }

func key(name string) store.Key { return store.Key{Bucket: "plain", Name: name} }

func (h *harness) put(k store.Key, data []byte) store.PutResult {
	h.Helper()
	res, err := h.Put(h.Context(), &store.Put{Key: k, Body: bytes.NewReader(data), Size: int64(len(data))})
	if err != nil {
		h.Fatalf("put %q: %v", k.Name, err)
	}
	if !res.Stored || res.Size != int64(len(data)) {
		h.Errorf("put %q: stored %v, size %d of %d", k.Name, res.Stored, res.Size, len(data))
	}
	return res
}

func (h *harness) get(k store.Key) ([]byte, error) {
	o, err := h.Get(h.Context(), k)
	if err != nil {
		return nil, err
	}
	r := o.Range(0, o.Size)
	b, err := io.ReadAll(r)
	return b, errors.Join(err, r.Close(), o.Close())
}

// holds checks that an object is there and whole.
func (h *harness) holds(k store.Key, want []byte) {
	h.Helper()
	got, err := h.get(k)
	if err != nil || !bytes.Equal(got, want) {
		h.Errorf("get %q: %d bytes of %d, %v", k.Name, len(got), len(want), err)
	}
	info, err := h.Head(h.Context(), k)
	if err != nil || info.Size != int64(len(want)) || info.ETag == "" || info.LSN == 0 || info.Version != store.NullVersion {
		h.Errorf("head %q: %+v, %v", k.Name, info, err)
	}
}

// lacks checks that there is no object.
func (h *harness) lacks(k store.Key) {
	h.Helper()
	if _, err := h.Head(h.Context(), k); !errors.Is(err, store.ErrNotFound) {
		h.Errorf("head %q: %v, want ErrNotFound", k.Name, err)
	}
	if o, err := h.Get(h.Context(), k); !errors.Is(err, store.ErrNotFound) {
		h.Errorf("get %q: %v, want ErrNotFound", k.Name, err)
		if err == nil {
			_ = o.Close()
		}
	}
}

func (h *harness) delete(k store.Key) {
	h.Helper()
	if _, err := h.Delete(h.Context(), &store.Delete{Key: k}); err != nil {
		h.Errorf("delete %q: %v", k.Name, err)
	}
}

// keys lists a bucket.
func (h *harness) keys(bucket string) string {
	h.Helper()
	page, err := h.List(h.Context(), &store.List{Bucket: bucket, Max: store.MaxPage})
	if err != nil {
		h.Errorf("list: %v", err)
	}
	var names []string
	for _, o := range page.Objects {
		names = append(names, o.Name)
	}
	return strings.Join(names, " ")
}

// wants checks an error.
func (h *harness) wants(what string, err, want error) {
	h.Helper()
	if !errors.Is(err, want) {
		h.Errorf("%s: %v, want %v", what, err, want)
	}
}

// together runs n functions at once and waits for them.
func together(n int, fn func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { fn(i) })
	}
	wg.Wait()
}
