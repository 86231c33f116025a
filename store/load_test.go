package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gantry/internal/budget"
	"gantry/internal/vfs"
	"gantry/store"
	"gantry/store/catalog"
)

// checkGoroutines fails if more goroutines are left than before.
func checkGoroutines(t *testing.T, before int) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, were %d:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
		runtime.Gosched()
	}
}

// TestMixedWork does everything at once, for the race detector, and looks for what is left over.
func TestMixedWork(t *testing.T) {
	before := runtime.NumGoroutine()
	d := disk{fs: vfs.NewMem(), cat: catalog.NewMemDisk()}
	s, err := store.Open(t.Context(), d.config())
	if err != nil {
		t.Fatal(err)
	}
	mustBucket(t, s, "plain", store.BucketSettings{})
	mustBucket(t, s, "dicom", store.BucketSettings{DICOM: true, Duplicates: store.Keep})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 5))
			for range 60 {
				if err := mixedStep(t.Context(), s, rng); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 3 {
			if rep, err := s.Verify(t.Context(), nil); err != nil || !rep.Clean() {
				t.Errorf("verify meanwhile: %+v, %v", rep, err)
			}
			if err := errors.Join(store.Tidy(s), s.Flush(t.Context())); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	if n := store.BudgetInUse(s); n != 0 {
		t.Errorf("%d bytes of the budget are still taken", n)
	}
	verify(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	checkGoroutines(t, before)
}

// mixedStep does one random thing. Errors that others' work explains are none.
func mixedStep(ctx context.Context, s *store.Store, rng *rand.Rand) error {
	k := store.Key{Bucket: "plain", Name: fmt.Sprint("k", rng.IntN(10))}
	var err error
	switch n := rng.IntN(100); {
	case n < 25:
		_, err = s.Put(ctx, &store.Put{Key: k, Body: bytes.NewReader(noise(1, rng.IntN(50_000))), Size: -1})
	case n < 27:
		_, err = s.Put(ctx, &store.Put{Key: k, Body: bytes.NewReader(noise(1, store.MaxRecord+1)), Size: -1})
	case n < 45:
		in := instance(rng.IntN(2), rng.IntN(2), rng.IntN(4), fmt.Sprint("P", rng.IntN(2)))
		_, err = s.Put(ctx, &store.Put{Key: store.Key{Bucket: "dicom"}, Body: bytes.NewReader(in), Size: -1, Instance: &store.InstancePut{}})
	case n < 50:
		_, err = s.DeleteInstances(ctx, "dicom", store.Identity{Study: fmt.Sprint("1.", rng.IntN(2))}, store.Origin{})
	case n < 60:
		_, err = s.Delete(ctx, &store.Delete{Key: k})
	case n < 70:
		w := &traffic{s: s, rng: rng, m: &model{history: map[store.Key][][]byte{}, acked: map[store.Key]int{}}}
		err = w.multipart(ctx, k, w.data())
	case n < 80:
		_, err = s.List(ctx, &store.List{Bucket: "plain", Max: 100})
	case n < 90:
		err = s.Search(ctx, "dicom", store.ByDate, "", "", func(h store.Hit) bool {
			_ = s.Instances(ctx, "dicom", h.Study, "", func(store.InstanceRow) bool { return true })
			return true
		})
	default:
		_, err = readAll(s, k)
	}
	for _, fine := range []error{store.ErrNotFound, store.ErrNoUpload, store.ErrDuplicate} {
		if errors.Is(err, fine) {
			return nil
		}
	}
	return err
}

// TestCloseDuringTraffic closes under load: every call returns, what was acknowledged is there.
func TestCloseDuringTraffic(t *testing.T) {
	before := runtime.NumGoroutine()
	d := disk{fs: vfs.NewMem(), cat: catalog.NewMemDisk()}
	s, err := store.Open(t.Context(), d.config())
	if err != nil {
		t.Fatal(err)
	}
	mustBucket(t, s, "plain", store.BucketSettings{})
	var acked sync.Map
	var puts atomic.Int64
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := 0; ; i++ {
				k := store.Key{Bucket: "plain", Name: fmt.Sprintf("%d/%d", w, i)}
				size := 100
				if w == 0 {
					size = store.MaxRecord + 1
				}
				_, err := s.Put(context.Background(), &store.Put{Key: k, Body: bytes.NewReader(make([]byte, size)), Size: int64(size)})
				if errors.Is(err, store.ErrClosed) {
					return
				}
				if err != nil {
					t.Errorf("put: %v", err)
					return
				}
				acked.Store(k, size)
				puts.Add(1)
			}
		})
	}
	waitUntil(func() bool { return puts.Load() > 200 })
	var closers sync.WaitGroup
	for range 3 {
		closers.Go(func() {
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
	closers.Wait()
	wg.Wait()
	checkGoroutines(t, before)
	s = open(t, d.config())
	acked.Range(func(k, size any) bool {
		if info, err := s.Head(t.Context(), k.(store.Key)); err != nil || info.Size != int64(size.(int)) {
			t.Errorf("%v: %+v, %v", k, info.Size, err)
		}
		return true
	})
	verify(t, s)
}

// stuckReader gives nothing until it is let go.
type stuckReader struct{ gate chan struct{} }

func (r stuckReader) Read([]byte) (int, error) {
	<-r.gate
	return 0, io.ErrUnexpectedEOF
}

// TestBodyBudget fills the budget with bodies that don't come. Others wait, as long as their context lets them, and none
// is held up once there is room.
func TestBodyBudget(t *testing.T) {
	d := disk{fs: vfs.NewMem(), cat: catalog.NewMemDisk()}
	cfg := d.config()
	cfg.BodyBytes = store.MaxRecord
	s := open(t, cfg)
	mustBucket(t, s, "plain", store.BucketSettings{})
	gate := make(chan struct{})
	stuck := make(chan error, 1)
	go func() {
		_, err := s.Put(t.Context(), &store.Put{Key: store.Key{Bucket: "plain", Name: "stuck"}, Body: stuckReader{gate}, Size: -1})
		stuck <- err
	}()
	waitUntil(func() bool { return store.BudgetInUse(s) == store.MaxRecord })
	ctx, cancel := context.WithCancel(t.Context())
	refused := make(chan error, 1)
	go func() {
		_, err := s.Put(ctx, &store.Put{Key: store.Key{Bucket: "plain", Name: "impatient"}, Body: strings.NewReader("x"), Size: 1})
		refused <- err
	}()
	patient := make(chan error, 1)
	waitUntil(func() bool { return store.BudgetWaiters(s) == 1 })
	go func() {
		_, err := s.Put(t.Context(), &store.Put{Key: store.Key{Bucket: "plain", Name: "patient"}, Body: strings.NewReader("x"), Size: 1})
		patient <- err
	}()
	waitUntil(func() bool { return store.BudgetWaiters(s) == 2 })
	cancel()
	if err := <-refused; !errors.Is(err, store.ErrBusy) || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled while waiting for room: %v", err)
	}
	close(gate)
	if err := <-stuck; !errors.Is(err, store.ErrIncompleteBody) {
		t.Errorf("stuck body: %v", err)
	}
	if err := <-patient; err != nil {
		t.Errorf("patient body: %v", err)
	}
	if n := store.BudgetInUse(s); n != 0 {
		t.Errorf("%d bytes are still taken", n)
	}
}

// TestDeletedMeanwhile: of two clients that delete a study at once, one finds nothing left to do. The buffers of its tombstones
// must not be lost.
func TestDeletedMeanwhile(t *testing.T) {
	d := disk{fs: vfs.NewMem(), cat: catalog.NewMemDisk()}
	s := open(t, d.config())
	mustBucket(t, s, "dicom", store.BucketSettings{DICOM: true})
	for i := range 3 {
		in := bytes.NewReader(instance(0, 0, i, "P"))
		if _, err := s.Put(t.Context(), &store.Put{Key: store.Key{Bucket: "dicom"}, Body: in, Size: -1, Instance: &store.InstancePut{}}); err != nil {
			t.Fatal(err)
		}
	}
	before := budget.UsedBytes()
	goOn := store.Hold(s)
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 2)
	for range 2 {
		go func() {
			n, err := s.DeleteInstances(t.Context(), "dicom", store.Identity{Study: "1.0"}, store.Origin{})
			done <- result{n, err}
		}()
	}
	waitUntil(func() bool { return store.Queued(s) == 2 })
	goOn()
	a, b := <-done, <-done
	if a.n < b.n {
		a, b = b, a
	}
	if a.n != 3 || a.err != nil || b.n != 0 || !errors.Is(b.err, store.ErrNotFound) {
		t.Errorf("deleted %+v and %+v, want 3 and ErrNotFound", a, b)
	}
	if n := budget.UsedBytes(); n != before {
		t.Errorf("%d bytes of buffers were not put back", n-before)
	}
}

// TestMemoryOfDeletions deletes more studies at once than there is memory for their tombstones.
func TestMemoryOfDeletions(t *testing.T) {
	d := disk{fs: vfs.NewMem(), cat: catalog.NewMemDisk()}
	s := open(t, d.config())
	mustBucket(t, s, "dicom", store.BucketSettings{DICOM: true})
	const studies, each = 20, 300
	for i := range studies * each {
		put(t, s, "dicom", fmt.Sprint(i), instance(i%studies, 0, i, "P"))
	}
	before := budget.UsedBytes()
	goOn := store.Hold(s)
	var wg sync.WaitGroup
	for i := range studies {
		wg.Go(func() {
			if n, err := s.DeleteInstances(t.Context(), "dicom", store.Identity{Study: fmt.Sprint("1.", i)}, store.Origin{}); n != each || err != nil {
				t.Errorf("deleted %d, %v", n, err)
			}
		})
	}
	waitUntil(func() bool { return store.DeletionsWaiting(s)+store.Queued(s) == studies })
	if n := budget.UsedBytes() - before; n > 32<<20 {
		t.Errorf("tombstones take %d bytes", n)
	}
	goOn()
	wg.Wait()
	if n := budget.UsedBytes(); n != before {
		t.Errorf("%d bytes of buffers were not put back", n-before)
	}
}

// TestReplacedMeanwhile: what took the place of an instance after a client asked to delete its study is not deleted.
func TestReplacedMeanwhile(t *testing.T) {
	d := disk{fs: vfs.NewMem(), cat: catalog.NewMemDisk()}
	s := open(t, d.config())
	mustBucket(t, s, "dicom", store.BucketSettings{DICOM: true})
	put(t, s, "dicom", "key", instance(0, 0, 0, "old"))
	goOn := store.Hold(s)
	want := instance(0, 0, 0, "new")
	replace, err := s.Begin(t.Context(), &store.Put{Key: store.Key{Bucket: "dicom", Name: "key"}, Body: bytes.NewReader(want), Size: -1})
	if err != nil {
		t.Fatal(err)
	}
	deleted := make(chan error, 1)
	go func() {
		_, err := s.DeleteInstances(t.Context(), "dicom", store.Identity{Study: "1.0"}, store.Origin{})
		deleted <- err
	}()
	waitUntil(func() bool { return store.Queued(s) == 2 })
	goOn()
	if _, err := replace.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := <-deleted; !errors.Is(err, store.ErrNotFound) {
		t.Errorf("delete: %v, want ErrNotFound", err)
	}
	if got := get(t, s, "dicom", "key"); !bytes.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// TestBodyBudgetOfBoundedBodies: what a body of unknown size can hold at most is all that it takes from the budget, and all
// that it may hold.
func TestBodyBudgetOfBoundedBodies(t *testing.T) {
	d := disk{fs: vfs.NewMem(), cat: catalog.NewMemDisk()}
	s := open(t, d.config())
	mustBucket(t, s, "plain", store.BucketSettings{})
	for _, c := range []struct{ atMost, want int64 }{
		{0, store.MaxRecord}, {1 << 40, store.MaxRecord}, {300 << 10, 512 << 10}, {5<<20 + 1, 5<<20 + 4<<10},
	} {
		gate := make(chan struct{})
		done := make(chan error, 1)
		go func() {
			_, err := s.Put(t.Context(), &store.Put{Key: store.Key{Bucket: "plain", Name: "o"}, Body: stuckReader{gate}, Size: -1, AtMost: c.atMost})
			done <- err
		}()
		waitUntil(func() bool { return store.BudgetInUse(s) != 0 })
		if n := store.BudgetInUse(s); n != c.want {
			t.Errorf("at most %d: %d bytes are reserved, want %d", c.atMost, n, c.want)
		}
		close(gate)
		if err := <-done; !errors.Is(err, store.ErrIncompleteBody) {
			t.Errorf("at most %d: %v", c.atMost, err)
		}
	}
	const most = 300 << 10
	for _, c := range []struct {
		size, atMost int64
		want         error
	}{
		{most - 1, most, nil}, {most, most, nil}, {most + 1, most, store.ErrIncompleteBody}, {0, most, nil},
		{store.MaxRecord, store.MaxRecord, nil}, {store.MaxRecord + 1, store.MaxRecord + 1, nil},
	} {
		res, err := s.Put(t.Context(), &store.Put{Key: store.Key{Bucket: "plain", Name: "o"}, Body: zeroReader(c.size), Size: -1, AtMost: c.atMost})
		if !errors.Is(err, c.want) || err == nil && res.Size != c.size {
			t.Errorf("%d bytes of at most %d: %d stored, %v", c.size, c.atMost, res.Size, err)
		}
	}
	if n := store.BudgetInUse(s); n != 0 {
		t.Errorf("%d bytes are still taken", n)
	}
}

// TestBodyBudgetOfLargeBodies: once its beginning is in the log, a large body takes one extent of the budget.
func TestBodyBudgetOfLargeBodies(t *testing.T) {
	d := disk{fs: vfs.NewMem(), cat: catalog.NewMemDisk()}
	s := open(t, d.config())
	mustBucket(t, s, "plain", store.BucketSettings{})
	gate, stuck := make(chan struct{}), make(chan struct{})
	rest := readerFunc(func([]byte) (int, error) {
		close(stuck)
		<-gate
		return 0, io.ErrUnexpectedEOF
	})
	done := make(chan error, 1)
	go func() {
		body := io.MultiReader(zeroReader(store.MaxRecord+1), rest)
		_, err := s.Put(t.Context(), &store.Put{Key: store.Key{Bucket: "plain", Name: "o"}, Body: body, Size: -1})
		done <- err
	}()
	<-stuck
	if n := store.BudgetInUse(s); n != store.ExtentSize {
		t.Errorf("%d bytes are reserved, want %d", n, store.ExtentSize)
	}
	close(gate)
	if err := <-done; !errors.Is(err, store.ErrIncompleteBody) {
		t.Errorf("put: %v", err)
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// zeroReader gives n zeros.
func zeroReader(n int64) io.Reader { return io.LimitReader(zeros{}, n) }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// discardFS is a file system whose segments keep nothing, to see what the store itself holds.
type discardFS struct{ vfs.FS }

type discardFile struct {
	vfs.File
}

func (f discardFS) Create(name string) (vfs.File, error) { return f.wrap(f.FS.Create(name)) }
func (f discardFS) OpenRW(name string) (vfs.File, error) { return f.wrap(f.FS.OpenRW(name)) }

func (f discardFS) wrap(file vfs.File, err error) (vfs.File, error) {
	return discardFile{File: file}, err
}

func (f discardFile) WriteV(bufs [][]byte, _ int64) (n int64, err error) {
	for _, b := range bufs {
		n += int64(len(b))
	}
	return n, nil
}

// TestMemoryOfParallelUploads sends far more than the budget at once, in bodies of several kinds: what the process holds stays
// near the budget (I9).
func TestMemoryOfParallelUploads(t *testing.T) {
	d := disk{fs: vfs.NewMem(), cat: catalog.NewMemDisk()}
	cfg := d.config()
	cfg.FS, cfg.BodyBytes, cfg.SegmentBytes = discardFS{d.fs}, 32<<20, 1<<40
	s := open(t, cfg)
	mustBucket(t, s, "plain", store.BucketSettings{})
	var peak atomic.Uint64
	stop := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		var m runtime.MemStats
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
				runtime.ReadMemStats(&m)
				peak.Store(max(peak.Load(), m.HeapAlloc))
			}
		}
	})
	var start runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&start)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			size := []int64{store.MaxRecord, store.MaxRecord + 1, 40 << 20, 10, 20 << 20}[i%5]
			declared := []int64{size, -1, size, 10, 10}[i%5] // the last kind lies
			_, err := s.Put(t.Context(), &store.Put{Key: store.Key{Bucket: "plain", Name: fmt.Sprint(i)}, Body: zeroReader(size), Size: declared})
			if declared == 10 && size != 10 {
				if !errors.Is(err, store.ErrIncompleteBody) {
					t.Errorf("a body of %d bytes declared as 10: %v", size, err)
				}
			} else if err != nil {
				t.Errorf("put %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	close(stop)
	watcher.Wait()
	// The budget, what the buffer pools keep for later, and the catalog.
	if limit := start.HeapAlloc + 32<<20 + 32<<20 + 16<<20; peak.Load() > limit {
		t.Errorf("the heap reached %d MiB from %d, limit %d", peak.Load()>>20, start.HeapAlloc>>20, limit>>20)
	}
	if n := store.BudgetInUse(s); n != 0 {
		t.Errorf("%d bytes of the budget are still taken", n)
	}
}

// TestCollectEmptiesTheCatalog deletes large objects, replaces parts, aborts uploads and breaks off bodies: no extent stays
// known, except those of an object that is being read.
func TestCollectEmptiesTheCatalog(t *testing.T) {
	d := disk{fs: vfs.NewMem(), cat: catalog.NewMemDisk()}
	s := open(t, d.config())
	mustBucket(t, s, "plain", store.BucketSettings{})
	large := noise(1, store.MaxRecord+1)
	put(t, s, "plain", "large", large)
	o, err := s.Get(t.Context(), store.Key{Bucket: "plain", Name: "large"})
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "plain", "large", large[:10])
	_, err = s.Put(t.Context(), &store.Put{Key: store.Key{Bucket: "plain", Name: "cut"}, Body: bytes.NewReader(large), Size: 2 * store.MaxRecord})
	if !errors.Is(err, store.ErrIncompleteBody) {
		t.Errorf("cut body: %v", err)
	}
	for i := range 4 {
		k := store.Key{Bucket: "plain", Name: fmt.Sprint("parts", i)}
		up, err := s.CreateUpload(t.Context(), &store.NewUpload{Key: k})
		if err != nil {
			t.Fatal(err)
		}
		var p store.Part
		for n := range 3 { // the same part thrice, and one that is not used
			for _, number := range []int{1, 2} {
				if p, err = s.PutPart(t.Context(), &store.PutPart{Key: k, UploadID: up.ID, Number: number, Body: bytes.NewReader(large[n:]), Size: -1}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if i == 0 {
			err = s.Abort(t.Context(), k, up.ID, store.Origin{})
		} else {
			_, err = s.Complete(t.Context(), &store.Complete{Key: k, UploadID: up.ID, Parts: []store.CompletePart{{Number: 2, ETag: p.ETag}}})
		}
		if err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			_, err = s.Delete(t.Context(), &store.Delete{Key: k})
		} else if i == 2 {
			put(t, s, "plain", k.Name, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	const perLarge, perPart = 5, 4 // extents
	check := func(s *store.Store, want int) {
		t.Helper()
		if err := store.Tidy(s); err != nil {
			t.Fatal(err)
		}
		if n, err := store.Extents(s); err != nil || n != want {
			t.Errorf("%d extents are known, want %d, %v", n, want, err)
		}
	}
	check(s, perLarge+perPart)
	r := o.Range(0, o.Size)
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, large) {
		t.Errorf("an object that was open: %d bytes, %v", len(got), err)
	}
	_ = r.Close()
	_ = o.Close()
	check(s, perPart)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	d.cat.Reset()
	s = open(t, d.config())
	check(s, perPart)
	verify(t, s)
	if _, err := s.Delete(t.Context(), &store.Delete{Key: store.Key{Bucket: "plain", Name: "parts3"}}); err != nil {
		t.Fatal(err)
	}
	check(s, 0)
}

// TestOpenInstanceKeepsALargeOne deletes a large instance while it is open: its extents go when it is closed.
func TestOpenInstanceKeepsALargeOne(t *testing.T) {
	d := disk{fs: vfs.NewMem(), cat: catalog.NewMemDisk()}
	s := open(t, d.config())
	mustBucket(t, s, "archive", store.BucketSettings{DICOM: true})
	image, sop := append(instance(1, 2, 3, "P"), noise(1, store.MaxRecord)...), "1.1.2.3"
	res, err := s.Put(t.Context(), &store.Put{Key: store.Key{Bucket: "archive"}, Body: bytes.NewReader(image), Size: -1, Instance: &store.InstancePut{}})
	if err != nil || !res.Stored {
		t.Fatalf("stored: %+v, %v", res, err)
	}
	o, err := s.OpenInstance(t.Context(), "archive", sop)
	if err != nil || o.Key != res.Key || o.Instance.SOP != sop {
		t.Fatalf("open: %+v, %v", o, err)
	}
	if _, err := s.Delete(t.Context(), &store.Delete{Key: res.Key}); err != nil {
		t.Fatal(err)
	}
	if err := store.Tidy(s); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, o.Size)
	if _, err := o.ReadAt(got, 0); err != nil || !bytes.Equal(got, image) {
		t.Errorf("read while it is open: %v", err)
	}
	if err := errors.Join(o.Close(), store.Tidy(s)); err != nil {
		t.Fatal(err)
	}
	if n, err := store.Extents(s); n != 0 || err != nil {
		t.Errorf("%d extents are left, %v", n, err)
	}
	if _, err := s.OpenInstance(t.Context(), "archive", sop); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("open what was deleted: %v", err)
	}
}
