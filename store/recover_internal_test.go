package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gantry/internal/vfs"
	"gantry/store/catalog"
)

// smallCatalogConfig is of a store whose catalog is soon full, and does not wait long for room.
func smallCatalogConfig(d *catalog.MemDisk) Config {
	cfg := memConfig(vfs.NewMem(), d)
	cfg.OverlayBytes = 64 << 10
	cfg.OpenCatalog = func(o catalog.Options) (*catalog.Catalog, error) {
		o.CommitWait = 10 * time.Millisecond
		return catalog.OpenMem(d, o)
	}
	return cfg
}

// TestLargePutInDoubt: a put that failed when its record was in the log already may come to be all the same, and then whole.
func TestLargePutInDoubt(t *testing.T) {
	const size = MaxRecord + 1<<20
	k := Key{Bucket: "plain", Name: "big"}
	for name, fail := range map[string]func(cfg *Config, fs *vfs.Fault, failing *atomic.Bool){
		"disk": func(_ *Config, fs *vfs.Fault, failing *atomic.Bool) {
			fs.SetRule(func(op vfs.Op) vfs.Fate {
				if failing.Load() && (op.Kind == vfs.OpSync || op.Kind == vfs.OpCreate) {
					return vfs.Fate{Err: vfs.ErrInjected}
				}
				return vfs.Fate{}
			})
		},
		"mirror": func(cfg *Config, _ *vfs.Fault, failing *atomic.Bool) { cfg.Mirror = failingMirror{failing} },
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewFault(vfs.NewMem())
			cfg := memConfig(fs, catalog.NewMemDisk())
			var failing atomic.Bool
			again := cfg
			fail(&cfg, fs, &failing)
			s := openIn(t, cfg)
			_, err := s.Put(t.Context(), &Put{Key: k, Body: io.LimitReader(zeros{}, size), Size: size, Sums: func() (Sums, error) {
				failing.Store(true) // all extents are in the log
				return Sums{}, nil
			}})
			failing.Store(false)
			if err == nil {
				t.Fatal("stored")
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openIn(t, again)
			if err := s.tidy(t.Context()); err != nil {
				t.Fatal(err)
			}
			o, err := s.Get(t.Context(), k)
			if errors.Is(err, ErrNotFound) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer o.Close()
			r := o.Range(0, o.Size)
			defer r.Close()
			if n, err := io.Copy(io.Discard, r); n != size || err != nil {
				t.Errorf("the object is there, but of %d bytes %d can be read: %v", size, n, err)
			}
		})
	}
}

// TestNothingPassesWhatIsInDoubt: once a batch is in the log and not in the catalog, no later change may take the catalog past it.
func TestNothingPassesWhatIsInDoubt(t *testing.T) {
	d := catalog.NewMemDisk()
	cfg := smallCatalogConfig(d)
	s := openIn(t, cfg)
	gate := make(chan struct{})
	d.SetFault(func() error { <-gate; return nil })
	put := func(name string) error {
		meta := Meta{User: map[string]string{"m": strings.Repeat("x", 1000)}}
		_, err := s.Put(t.Context(), &Put{Key: Key{Bucket: "plain", Name: name}, Body: strings.NewReader("x"), Size: 1, Meta: meta})
		return err
	}
	for i := 0; s.catalog.Stats().ActiveBytes+s.catalog.Stats().FrozenBytes < 54<<10; i++ {
		if err := put(fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	const last = 12
	goOn := Hold(s)
	var wg sync.WaitGroup
	var ended atomic.Int32
	for i := range last {
		wg.Go(func() { _ = put(fmt.Sprint("last", i)); ended.Add(1) }) // in doubt
	}
	waitFor(func() bool { return Queued(s) == last })
	goOn()
	waitFor(func() bool { return InFlight(s) == last || ended.Load() == last }) // on a busy machine they may be over before anybody looks
	wg.Go(func() { _ = s.submit(t.Context(), &op{apply: func(*txn) error { return nil }}) })
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	wg.Wait()
	close(gate)
	d.SetFault(nil)
	if err := <-closed; err != nil {
		t.Log(err) // it could not write all
	}
	var kept [2]int
	for i := range kept {
		s := openIn(t, cfg)
		for n := range last {
			if _, err := s.Head(t.Context(), Key{Bucket: "plain", Name: fmt.Sprint("last", n)}); err == nil {
				kept[i]++
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		d.Reset()
	}
	if kept[0] != kept[1] {
		t.Errorf("the catalog has %d of the batch, and %d once it is rebuilt from the log", kept[0], kept[1])
	}
}

// TestManyValuesCostLittle: an attribute of thousands of values must not hold up the sequencer.
func TestManyValuesCostLittle(t *testing.T) {
	v := studyValue{Instances: 1, PatientID: strings.Repeat(`ab\`, 3000), Accession: strings.Repeat(`cd\`, 3000)}
	if n := len(v.terms()); n > 1+2*maxValues {
		t.Errorf("%d terms", n)
	}
}

// TestModalitiesAreThoseOfTheIndex: what a study lists is what it is found by, also where a code has a space in it.
func TestModalitiesAreThoseOfTheIndex(t *testing.T) {
	v := studyValue{Instances: 1}
	for _, name := range []string{`CT\MR `, "C T", "", `MR\\OT`} {
		v.Modalities.add(name, 1)
	}
	indexed := map[string]bool{}
	for _, x := range v.terms() {
		if x.ix == ByModality && x.value != "" {
			indexed[x.value] = true
		}
	}
	listed := v.modalities()
	if got := strings.Join(listed, ","); got != "C T,CT,MR,OT" || len(indexed) != len(listed) {
		t.Errorf("listed %s, indexed %v", got, indexed)
	}
}

type failingMirror struct{ failing *atomic.Bool }

func (m failingMirror) Send(Batch) func() error {
	fails := m.failing.Load()
	return func() error {
		if fails {
			return errors.New("the mirror is gone")
		}
		return nil
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestLargeBodiesAfterAFullDisk(t *testing.T) {
	fs := vfs.NewMem()
	fs.SetCapacity(4 << 20)
	cfg := memConfig(fs, catalog.NewMemDisk())
	cfg.MinFreeBytes = 2 << 20
	s, k := openIn(t, cfg), Key{Bucket: "plain", Name: "k"}
	u, err := s.CreateUpload(t.Context(), &NewUpload{Key: k})
	if err != nil {
		t.Fatal(err)
	}
	body := make([]byte, 3<<20)
	part := func() error {
		_, err := s.PutPart(t.Context(), &PutPart{Key: k, UploadID: u.ID, Number: 1, Body: bytes.NewReader(body), Size: int64(len(body))})
		return err
	}
	for range maxOpenStreams + 10 {
		if err := part(); !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
	}
	fs.SetCapacity(1 << 30)
	var last error
	for began := time.Now(); time.Since(began) < 10*time.Second; { // the disk is looked at again after a while
		if last = part(); !errors.Is(last, ErrFull) {
			break
		}
	}
	if last != nil {
		t.Errorf("with room again: %v", last)
	}
}

// TestLostLastSegment: what a segment held that is gone is reported, also where it was shorter than the footer of the one before.
func TestLostLastSegment(t *testing.T) {
	fs, d := vfs.NewMem(), catalog.NewMemDisk()
	cfg := memConfig(fs, d)
	cfg.SegmentBytes = 1 << 20
	s := openIn(t, cfg)
	for n := 0; len(s.wal.segs) < 2; n++ {
		mustPut(t, s, &Put{Key: Key{Bucket: "plain", Name: fmt.Sprint(n)}, Body: strings.NewReader("x"), Size: 1})
	}
	WaitSealed(s)
	path := s.wal.path(s.wal.segs[1])
	if err := errors.Join(s.Close(), fs.Remove(path)); err != nil {
		t.Fatal(err)
	}
	for _, catalogLost := range []bool{false, true} {
		if catalogLost {
			d.Reset()
		}
		s, err := Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Damage()) == 0 {
			t.Errorf("catalog lost %v: an acknowledged object is gone, and no damage reported", catalogLost)
		}
		_ = s.Close()
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	d := catalog.NewMemDisk()
	cfg := smallCatalogConfig(d)
	s := openIn(t, cfg)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 400 {
				p := &Put{Key: Key{Bucket: "plain", Name: fmt.Sprintf("%d/%d", w, i)}, Body: strings.NewReader("x"), Size: 1}
				for {
					if _, err := s.Put(t.Context(), p); !errors.Is(err, ErrFull) {
						break
					}
				}
			}
		})
	}
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	d.Reset()
	d.SetFault(func() error { return errors.New("no space left on device") })
	defer d.SetFault(nil)
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		s, err := Open(short, cfg)
		if err == nil {
			_ = s.Close()
		}
		done <- err
	}()
	select {
	case err := <-done:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("open: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("Open goes on after its context ended")
	}
}

// TestRestoredSegmentIsLearnt: a segment that was missing when the catalog was made, and is there again, is in the catalog at the next
// start; one that stays away costs no start anything.
func TestRestoredSegmentIsLearnt(t *testing.T) {
	for name, lost := range map[string]int{"first": 0, "middle": 1, "last": 2} {
		for _, kept := range []int{-1, 0, 100 << 10} { // bytes of the file, or no file
			t.Run(fmt.Sprint(name, kept), func(t *testing.T) {
				fs, d := vfs.NewMem(), catalog.NewMemDisk()
				cfg := memConfig(fs, d)
				cfg.SegmentBytes = 1 << 20
				rebuilt := 0
				cfg.RemoveCatalog = func() error { rebuilt++; d.Reset(); return nil }
				s := openIn(t, cfg)
				n := 0
				for ; len(s.wal.segs) < 3 || n%5 != 0; n++ {
					mustPut(t, s, &Put{Key: Key{Bucket: "plain", Name: fmt.Sprint(n)}, Body: strings.NewReader(strings.Repeat("x", 300<<10)), Size: 300 << 10})
				}
				WaitSealed(s)
				path := s.wal.path(s.wal.segs[lost])
				whole, err := vfs.ReadFile(fs, path, 1<<30)
				if err := errors.Join(err, s.Close(), fs.Remove(path)); err != nil {
					t.Fatal(err)
				}
				write := func(b []byte) {
					f, err := fs.Create(path)
					if err == nil {
						_, err = f.WriteAt(b, 0)
						err = errors.Join(err, f.Sync(), f.Close())
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				if kept >= 0 {
					write(whole[:kept])
				}
				d.Reset()
				for i := range 3 {
					s := openIn(t, cfg)
					if _, err := s.Bucket(t.Context(), "dicom"); len(s.Damage()) == 0 && i == 0 || err != nil {
						t.Fatalf("damage %v, %v", s.Damage(), err)
					}
					mustPut(t, s, &Put{Key: Key{Bucket: "plain", Name: fmt.Sprint("later", i)}, Body: strings.NewReader("x"), Size: 1})
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
				}
				if rebuilt > 0 {
					t.Errorf("the catalog was made anew %d times, with the segment still missing", rebuilt)
				}
				if kept >= 0 {
					if err := fs.Remove(path); err != nil {
						t.Fatal(err)
					}
				}
				write(whole)
				s = openIn(t, cfg)
				for i := range n {
					if _, err := s.Head(t.Context(), Key{Bucket: "plain", Name: fmt.Sprint(i)}); err != nil {
						t.Errorf("object %d: %v", i, err)
					}
				}
				if r, err := s.Verify(t.Context(), nil); err != nil || !r.Clean() || r.Objects != int64(n)+3 {
					t.Errorf("verify: %+v, %v", r, err)
				}
			})
		}
	}
}
