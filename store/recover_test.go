package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"gantry/internal/vfs"
	"gantry/store"
	"gantry/store/catalog"
)

// A site file that was lost is made anew from the log: the same log, and an epoch that no record has yet.
func TestLostSiteFile(t *testing.T) {
	d := disk{fs: vfs.NewMem(), cat: catalog.NewMemDisk()}
	type site struct {
		LogID string `json:"log_id"`
		Epoch uint64 `json:"epoch"`
	}
	read := func() (s site) {
		t.Helper()
		b, err := vfs.ReadFile(d.fs, "/data/site.json", 1<<20)
		if err == nil {
			err = json.Unmarshal(b, &s)
		}
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for i := range 5 {
		s := open(t, d.config())
		if i == 0 {
			mustBucket(t, s, "plain", store.BucketSettings{})
		}
		put(t, s, "plain", fmt.Sprint(i), []byte("data"))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	before := read()
	if err := d.fs.Remove("/data/site.json"); err != nil {
		t.Fatal(err)
	}
	s := open(t, d.config())
	after := read()
	if after.LogID != before.LogID || after.Epoch <= before.Epoch {
		t.Errorf("site %+v, was %+v", after, before)
	}
	for i := range 5 {
		if got := get(t, s, "plain", fmt.Sprint(i)); string(got) != "data" {
			t.Errorf("object %d: %q", i, got)
		}
	}
	verify(t, s)
}

// What looks like the end of a sealed segment may be the end of an object: the segment is sealed all the same.
func TestObjectThatLooksLikeAFooter(t *testing.T) {
	d := disk{fs: vfs.NewMem(), cat: catalog.NewMemDisk()}
	s := open(t, d.config())
	mustBucket(t, s, "plain", store.BucketSettings{})
	put(t, s, "plain", "filler", noise(1, 200<<10))
	put(t, s, "plain", "next", noise(1, 100<<10)) // the first segment is sealed now
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := d.fs.List(logDir)
	if err != nil || len(names) != 2 {
		t.Fatalf("%q, %v", names, err)
	}
	sealed, err := vfs.ReadFile(d.fs, filepath.Join(logDir, names[0]), 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	footer := sealed[len(sealed)-4096:]

	d = disk{fs: vfs.NewMem(), cat: catalog.NewMemDisk()}
	fault := vfs.NewFault(d.fs)
	cfg := d.config()
	cfg.FS = fault
	s = open(t, cfg)
	mustBucket(t, s, "plain", store.BucketSettings{})
	fault.SetRule(vfs.FailKind(vfs.OpTruncate, nil)) // the sealer fails, as in a crash
	put(t, s, "plain", "first", append(noise(1, 200<<10), footer...))
	put(t, s, "plain", "next", noise(1, 100<<10))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	fault.SetRule(nil)
	s = open(t, cfg)
	store.WaitSealed(s)
	verify(t, s)
	if size, _, err := d.fs.Stat(filepath.Join(logDir, names[0])); err != nil || size < 200<<10+4096+2048 {
		t.Errorf("the segment has %d bytes, %v", size, err)
	}
}

// One operation that can't be applied is refused alone.
func TestOneBadOperationIsRefusedAlone(t *testing.T) {
	m := &fakeMirror{}
	cfg := mirroredConfig(vfs.NewMem(), catalog.NewMemDisk(), m)
	cfg.Indexer = func(ctx context.Context, r io.ReaderAt, size int64) (*store.Instance, error) {
		in, err := testIndexer(ctx, r, size)
		if err == nil && in.PatientID == "LONG" {
			in.PatientID = strings.Repeat("P", 20_000) // more than a key of the catalog may have
		}
		return in, err
	}
	s := open(t, cfg)
	mustBucket(t, s, "dicom", store.BucketSettings{DICOM: true})
	gate := make(chan struct{})
	m.mu.Lock()
	m.onSend = func(store.Batch) { <-gate } // holds the sequencer: what comes meanwhile makes one batch
	m.mu.Unlock()
	before := len(m.sent())
	put := func(name, body string) chan error {
		done := make(chan error, 1)
		go func() {
			_, err := s.Put(t.Context(), &store.Put{Key: store.Key{Bucket: "dicom", Name: name}, Body: strings.NewReader(body), Size: -1})
			done <- err
		}()
		return done
	}
	first := put("first", "1")
	waitUntil(func() bool { return len(m.sent()) > before })
	good := []chan error{put("a", "a"), put("b", "b")}
	bad := put("bad", "dicom|1.1|1.1.1|1.1.1.1|LONG|20240101|CT|body")
	good = append(good, put("c", "c"))
	waitUntil(func() bool { return store.Queued(s) == len(good)+1 })
	close(gate)
	if err := <-first; err != nil {
		t.Error(err)
	}
	for i, g := range good {
		if err := <-g; err != nil {
			t.Errorf("good operation %d: %v", i, err)
		}
	}
	if err := <-bad; !errors.Is(err, catalog.ErrInvalidKey) {
		t.Errorf("bad operation: %v", err)
	}
	if _, err := s.Head(t.Context(), store.Key{Bucket: "dicom", Name: "bad"}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("bad operation left: %v", err)
	}
	verify(t, s)
}

// A catalog that can't be written refuses what may be refused before anything reaches the log; deletes and reads go on.
func TestCatalogThatCannotBeWritten(t *testing.T) {
	d := disk{fs: vfs.NewMem(), cat: catalog.NewMemDisk()}
	cfg := d.config()
	cfg.OverlayBytes = 256 << 10
	cfg.OpenCatalog = func(o catalog.Options) (*catalog.Catalog, error) { return catalog.OpenMem(d.cat, o) }
	s := open(t, cfg)
	mustBucket(t, s, "plain", store.BucketSettings{})
	put(t, s, "plain", "old", []byte("old"))
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("catalog disk is gone")
	d.cat.SetFault(func() error { return broken })
	var err error
	n := 0
	for err == nil && n < 10_000 {
		n++
		_, err = s.Put(t.Context(), &store.Put{Key: store.Key{Bucket: "plain", Name: fmt.Sprint("k", n)}, Body: strings.NewReader("x"), Size: 1})
	}
	if !errors.Is(err, store.ErrFull) || n < 50 {
		t.Fatalf("put %d: %v", n, err)
	}
	end := s.End()
	if _, err := s.Put(t.Context(), &store.Put{Key: store.Key{Bucket: "plain", Name: "more"}, Body: strings.NewReader("x"), Size: 1}); !errors.Is(err, store.ErrFull) {
		t.Errorf("put: %v", err)
	}
	if s.End() != end {
		t.Errorf("a refused put reached the log")
	}
	if _, err := s.Delete(t.Context(), &store.Delete{Key: store.Key{Bucket: "plain", Name: "old"}}); err != nil {
		t.Errorf("delete: %v", err)
	}
	if got := get(t, s, "plain", "k1"); string(got) != "x" {
		t.Errorf("got %q", got)
	}
	d.cat.SetFault(nil)
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(t, s, "plain", "again", []byte("room"))
}

// A site file that is damaged says so, and what to do.
func TestDamagedSiteFile(t *testing.T) {
	d := disk{fs: vfs.NewMem(), cat: catalog.NewMemDisk()}
	s := open(t, d.config())
	mustBucket(t, s, "plain", store.BucketSettings{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.fs.Remove("/data/site.json"); err != nil {
		t.Fatal(err)
	}
	f, err := d.fs.Create("/data/site.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(t.Context(), d.config()); err == nil || !strings.Contains(err.Error(), "/data/site.json is damaged") {
		t.Fatal(err)
	}
	if err := d.fs.Remove("/data/site.json"); err != nil {
		t.Fatal(err)
	}
	s = open(t, d.config())
	verify(t, s)
}

// TestStoppedWhileStarting stops a start while it replays: nothing is left running or locked, and the next one finds everything.
func TestStoppedWhileStarting(t *testing.T) {
	d := disk{fs: vfs.NewMem(), cat: catalog.NewMemDisk()}
	s := open(t, d.config())
	acked, _, err := script(s)
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	d.cat.Reset()
	ctx, cancel := context.WithCancelCause(t.Context())
	fault, stopped := vfs.NewFault(d.fs), errors.New("stopped")
	fault.SetRule(func(op vfs.Op) vfs.Fate {
		if op.Kind == vfs.OpRead && strings.HasSuffix(op.Name, ".tar") {
			cancel(stopped)
		}
		return vfs.Fate{}
	})
	if _, err := store.Open(ctx, faultConfig(fault, d.cat)); !errors.Is(err, stopped) {
		t.Fatalf("open: %v", err)
	}
	checkGoroutines(t, before)
	s = open(t, d.config())
	expect(t, s, acked, nil)
	verify(t, s)
}

// TestBucketLostLongBefore: a bucket whose record is damaged comes back with its first object, however much of the log was replayed in
// between.
func TestBucketLostLongBefore(t *testing.T) {
	d := disk{fs: vfs.NewMem(), cat: catalog.NewMemDisk()}
	s := open(t, d.config())
	mustBucket(t, s, "other", store.BucketSettings{})
	lost := s.End()
	mustBucket(t, s, "lost", store.BucketSettings{})
	for i := range 4500 { // more than one step of the replay takes
		put(t, s, "other", fmt.Sprint(i), nil)
	}
	put(t, s, "lost", "o", []byte("kept"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := d.fs.OpenRW("/data/log/0000000000000000.tar")
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte("rot"), int64(lost)+700)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	d.cat.Reset()
	s = open(t, d.config())
	if len(s.Damage()) == 0 {
		t.Error("no damage is reported")
	}
	if got := get(t, s, "lost", "o"); string(got) != "kept" {
		t.Errorf("got %q", got)
	}
}
