package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"gantry/internal/budget"
	"gantry/internal/vfs"
	"gantry/store/catalog"
	"gantry/store/segment"
)

// memConfig is of a store in memory that can be opened again.
func memConfig(fs vfs.FS, d *catalog.MemDisk) Config {
	return Config{
		FS: fs, Dir: "/data", Indexer: indexUID,
		OpenCatalog:   func(o catalog.Options) (*catalog.Catalog, error) { return catalog.OpenMem(d, o) },
		RemoveCatalog: func() error { d.Reset(); return nil },
	}
}

// indexUID takes an object for an instance of which it is the SOP Instance UID.
func indexUID(_ context.Context, r io.ReaderAt, size int64) (*Instance, error) {
	sop := make([]byte, size)
	if _, err := r.ReadAt(sop, 0); err != nil {
		return nil, err
	}
	in := &Instance{SOPAttrs: []byte(`{}`), StudyAttrs: []byte(`{}`), SeriesAttrs: []byte(`{}`)}
	in.Study, in.Series, in.SOP = "1.1", "1.1.1", string(sop)
	return in, nil
}

func openIn(t *testing.T, cfg Config) *Store {
	t.Helper()
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for name, settings := range map[string]BucketSettings{"plain": {}, "dicom": {DICOM: true}} {
		if _, err := s.CreateBucket(t.Context(), name, settings, Origin{}); err != nil && !errors.Is(err, ErrBucketExists) {
			t.Fatal(err)
		}
	}
	return s
}

func openInMemory(t *testing.T) *Store {
	t.Helper()
	return openIn(t, memConfig(vfs.NewMem(), catalog.NewMemDisk()))
}

func mustPut(t *testing.T, s *Store, p *Put) {
	t.Helper()
	if _, err := s.Put(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}

// rot puts a row in the place of an object's.
func rot(t *testing.T, s *Store, k Key, change func(e *entry) []byte) {
	t.Helper()
	b, err := s.Bucket(t.Context(), k.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	err = s.submit(t.Context(), &op{apply: func(tx *txn) error {
		e, err := tx.entry(b.ID, k.Name)
		if err == nil {
			tx.Put(objectKey(b.ID, k.Name), change(e))
		}
		return err
	}})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEntryLongerThanItsPayload(t *testing.T) {
	s, k := openInMemory(t), Key{Bucket: "plain", Name: "k"}
	mustPut(t, s, &Put{Key: k, Body: bytes.NewReader(make([]byte, 1000)), Size: 1000})
	rot(t, s, k, func(e *entry) []byte { e.Size = 5000; return e.append(nil, k.Name) })
	o, err := s.Get(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	done := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, o.Range(0, o.Size))
		done <- err
	}()
	select {
	case err := <-done:
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("read: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the read does not end")
	}
	if _, err := o.ReadAt(make([]byte, 10), 3000); !errors.Is(err, ErrCorrupt) {
		t.Errorf("read past the payload: %v", err)
	}
}

// TestVerifyGoesOnAfterRot: one entry that can't be read is reported like any other damage.
func TestVerifyGoesOnAfterRot(t *testing.T) {
	s := openInMemory(t)
	for _, name := range []string{"a", "b", "c"} {
		mustPut(t, s, &Put{Key: Key{Bucket: "plain", Name: name}, Body: strings.NewReader("x"), Size: 1})
	}
	k := Key{Bucket: "plain", Name: "b"}
	rot(t, s, k, func(*entry) []byte { return []byte{0xff} })
	r, err := s.Verify(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Objects != 3 || len(r.Damaged) != 1 || r.Damaged[0].Key != k {
		t.Errorf("%+v", r)
	}
}

// TestVerifyWhileDeleting: extents that go with their object are no damage.
func TestVerifyWhileDeleting(t *testing.T) {
	s, k := openInMemory(t), Key{Bucket: "plain", Name: "big"}
	const size = MaxRecord + 1
	mustPut(t, s, &Put{Key: k, Body: io.LimitReader(zeros{}, size), Size: size})
	b, err := s.Bucket(t.Context(), k.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	e, err := s.lookUp(k)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Delete(t.Context(), &Delete{Key: k}); err != nil {
		t.Fatal(err)
	}
	if err := s.tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	v := &verifier{store: s, report: &Report{}, end: s.End()}
	v.object(b, k.Name, e)
	if n := s.metrics.damageFound(); n != 0 || len(v.report.Damaged) != 0 {
		t.Errorf("%d damages counted, %v reported", n, v.report.Damaged)
	}
}

func TestRowOfNegativeLength(t *testing.T) {
	s := openInMemory(t)
	err := s.submit(t.Context(), &op{apply: func(tx *txn) error {
		l := location{LSN: 512, HeaderLen: 512, PayloadLen: -5, CRCs: []uint32{1}}
		tx.Put(garbageKey(garbageObject, 512), l.append(nil))
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.tidy(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRottenTimeDoesNotKeepClosed(t *testing.T) {
	cfg := memConfig(vfs.NewMem(), catalog.NewMemDisk())
	s, k := openIn(t, cfg), Key{Bucket: "plain", Name: "k"}
	mustPut(t, s, &Put{Key: k, Body: strings.NewReader("x"), Size: 1})
	before := s.lastTime.Load()
	err := s.submit(t.Context(), &op{apply: func(tx *txn) error {
		v, _, err := tx.Get(space(spaceTime))
		v = bytes.Clone(v)
		v[len(v)-1] |= 0x80 // one bit
		tx.Put(space(spaceTime), v)
		return err
	}})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s = openIn(t, cfg)
		if _, err := s.Head(t.Context(), k); err != nil || s.lastTime.Load() < before {
			t.Errorf("%v, time went from %d to %d", err, before, s.lastTime.Load())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestDeleteInstancesStopsAtRot(t *testing.T) {
	s := openInMemory(t)
	for i := range 20 {
		uid := fmt.Sprintf("1.1.1.%d", i+1)
		mustPut(t, s, &Put{Key: Key{Bucket: "dicom"}, Body: strings.NewReader(uid), Size: int64(len(uid)), Instance: &InstancePut{}})
	}
	rot(t, s, Key{Bucket: "dicom", Name: "1.1/1.1.1/1.1.1.10.dcm"}, func(*entry) []byte { return []byte{0xff} })
	before := budget.UsedBytes()
	if _, err := s.DeleteInstances(t.Context(), "dicom", Identity{Study: "1.1"}, Origin{}); !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
	if n := budget.UsedBytes() - before; n != 0 {
		t.Errorf("%d bytes of buffers were not put back", n)
	}
}

func TestCompleteRefusedGivesBackItsManifest(t *testing.T) {
	cfg := memConfig(vfs.NewMem(), catalog.NewMemDisk())
	cfg.Indexer = func(ctx context.Context, r io.ReaderAt, size int64) (*Instance, error) {
		in, err := indexUID(ctx, r, size)
		in.SOPAttrs = []byte(`{"00204000":"` + strings.Repeat("x", segment.MaxHeader) + `"}`)
		return in, err
	}
	s := openIn(t, cfg)
	c := uploadOnePart(t, s)
	before := budget.UsedBytes()
	if _, err := s.Complete(t.Context(), c); !errors.Is(err, ErrMetadataTooLarge) {
		t.Fatal(err)
	}
	if n := budget.UsedBytes() - before; n != 0 {
		t.Errorf("%d bytes of buffers were not put back", n)
	}
}

func uploadOnePart(t *testing.T, s *Store) *Complete {
	t.Helper()
	k := Key{Bucket: "dicom", Name: "k"}
	u, err := s.CreateUpload(t.Context(), &NewUpload{Key: k})
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.PutPart(t.Context(), &PutPart{Key: k, UploadID: u.ID, Number: 1, Body: strings.NewReader("1.2.3"), Size: 5})
	if err != nil {
		t.Fatal(err)
	}
	return &Complete{Key: k, UploadID: u.ID, Parts: []CompletePart{{Number: 1, ETag: p.ETag}}}
}

// TestAbortWhileCompleteReads: an upload that is aborted while Complete reads its parts is gone, and not damaged.
func TestAbortWhileCompleteReads(t *testing.T) {
	cfg := memConfig(vfs.NewMem(), catalog.NewMemDisk())
	var reading func()
	cfg.Indexer = func(ctx context.Context, r io.ReaderAt, size int64) (*Instance, error) {
		reading()
		return indexUID(ctx, r, size)
	}
	s := openIn(t, cfg)
	c := uploadOnePart(t, s)
	reading = func() {
		if err := errors.Join(s.Abort(t.Context(), c.Key, c.UploadID, Origin{}), s.tidy(t.Context())); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Complete(t.Context(), c); !errors.Is(err, ErrNoUpload) {
		t.Errorf("complete: %v", err)
	}

	c = uploadOnePart(t, s)
	early := *c
	early.Sums = func([]Part) (Sums, error) { // before it begins to read
		return Sums{}, errors.Join(s.Abort(t.Context(), c.Key, c.UploadID, Origin{}), s.tidy(t.Context()))
	}
	if _, err := s.Complete(t.Context(), &early); !errors.Is(err, ErrNoUpload) {
		t.Errorf("complete what is aborted: %v", err)
	}

	c = uploadOnePart(t, s)
	reading = func() { // another one completes it, and the object goes away with the parts
		reading = func() {}
		_, err := s.Complete(t.Context(), c)
		_, derr := s.Delete(t.Context(), &Delete{Key: c.Key})
		if err := errors.Join(err, derr, s.tidy(t.Context())); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Complete(t.Context(), c); !errors.Is(err, ErrNoUpload) {
		t.Errorf("complete twice: %v", err)
	}
	if n := s.metrics.damageFound(); n != 0 {
		t.Errorf("%d damages counted", n)
	}
	if err := s.tidy(t.Context()); err != nil {
		t.Error(err)
	}
	if n, err := Extents(s); n != 0 || err != nil {
		t.Errorf("%d extents are left, %v", n, err)
	}
}

// TestVerifyCountsObjects: an object that rot has taken out of the catalog is missed, though no entry is wrong.
func TestVerifyCountsObjects(t *testing.T) {
	s, k := openInMemory(t), Key{Bucket: "plain", Name: "k"}
	mustPut(t, s, &Put{Key: k, Body: strings.NewReader("x"), Size: 1})
	b, err := s.Bucket(t.Context(), k.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(tx *txn){
		"entry":  func(tx *txn) { tx.Delete(objectKey(b.ID, k.Name)) },
		"totals": func(tx *txn) { tx.Put(totalsKey(b.ID), []byte{0xff}) },
	} {
		if err := s.submit(t.Context(), &op{apply: func(tx *txn) error { change(tx); return nil }}); err != nil {
			t.Fatal(err)
		}
		r, err := s.Verify(t.Context(), nil)
		if err != nil || len(r.Damaged) != 1 || r.Damaged[0].Bucket != "plain" {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// TestDamageIsCountedOnce: who asks for a damaged object again and again does not make it many.
func TestDamageIsCountedOnce(t *testing.T) {
	fs := vfs.NewMem()
	s := openIn(t, memConfig(fs, catalog.NewMemDisk()))
	for _, name := range []string{"a", "b"} {
		k := Key{Bucket: "plain", Name: name}
		mustPut(t, s, &Put{Key: k, Body: strings.NewReader("payload of " + name), Size: 12})
		e, err := s.lookUp(k)
		if err != nil {
			t.Fatal(err)
		}
		f, err := s.wal.files.acquire(s.wal.path(s.wal.active()))
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteAt([]byte("P"), int64(e.LSN-s.wal.active().base)+int64(e.HeaderLen))
		f.release()
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			o, err := s.Get(t.Context(), k)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, o.Range(0, o.Size)); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("read: %v", err)
			}
			o.Close()
		}
	}
	if st, err := s.Stats(t.Context()); st.DamageFound != 2 || err != nil {
		t.Errorf("%d places are damaged, want 2; %v", st.DamageFound, err)
	}
}

// TestReplacedWhileOpened: a large object that is replaced, and collected, between being found and being pinned is found again.
func TestReplacedWhileOpened(t *testing.T) {
	s := openInMemory(t)
	c := uploadOnePart(t, s)
	if _, err := s.Complete(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	found := 0
	o, err := s.open(func() (Key, *entry, error) {
		e, err := s.lookUp(c.Key)
		if found++; found == 1 {
			mustPut(t, s, &Put{Key: c.Key, Body: strings.NewReader("1.2.4"), Size: 5})
			err = errors.Join(err, s.tidy(t.Context()))
		}
		return c.Key, e, err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	got := make([]byte, o.Size)
	if _, err := o.ReadAt(got, 0); err != nil || string(got) != "1.2.4" {
		t.Errorf("got %q, %v", got, err)
	}
	if len(s.pins.open) > 0 {
		t.Errorf("pins are left: %v", s.pins.open)
	}
}
