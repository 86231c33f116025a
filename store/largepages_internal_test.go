package store

import (
	"errors"
	"io"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"time"

	"gantry/internal/vfs"
	"gantry/store/catalog"
)

func TestHotSlabs(t *testing.T) {
	const piece = slabBytes / 8
	p := newLargePages()
	a, b := &segmentFile{base: 0}, &segmentFile{base: 512 << 20}
	read := func(seg *segmentFile, off int64, times int) {
		for range times {
			p.read(seg, off, piece)
		}
	}
	want := func(what string, seg *segmentFile, off int64) {
		t.Helper()
		select {
		case s := <-p.hot:
			if s != (slab{seg, off}) {
				t.Errorf("%s: %+v is hot", what, s)
			}
		default:
			if seg != nil {
				t.Errorf("%s: nothing is hot", what)
			}
		}
	}
	read(a, 3*slabBytes+5, 8*hotReads-1)
	read(b, 3*slabBytes, 8*hotReads-1)
	want("one read too few", nil, 0)
	read(a, 4*slabBytes-1, 1)
	want("the last of its reads", a, 3*slabBytes)
	read(a, 3*slabBytes, 9*hotReads)
	want("it had its turn", nil, 0)
	read(b, 3*slabBytes, 1)
	want("the same place of another segment", b, 3*slabBytes)
	p.forget()
	read(a, 3*slabBytes, 8*hotReads)
	want("counted anew", a, 3*slabBytes)

	p.forget()
	for i := range int64(cap(p.hot) + 1) {
		read(a, i*slabBytes, 8*hotReads)
	}
	for i := range int64(cap(p.hot)) {
		want("waiting", a, i*slabBytes)
	}
	last := int64(cap(p.hot)) * slabBytes
	read(a, last, 8*hotReads)
	want("once there is room again", a, last)
}

func TestHotSlabsFromMany(t *testing.T) {
	p := newLargePages()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 1000 * hotReads {
				p.read(&segmentFile{}, int64(i)*slabBytes*17, slabBytes)
			}
		})
	}
	wg.Wait()
}

// TestEnlargeWhatIsComplete: a slab that is still written to is left alone, and so is all if the system can't.
func TestEnlargeWhatIsComplete(t *testing.T) {
	var enlarged []int64
	fault := vfs.NewFault(vfs.NewMem())
	fault.SetRule(func(op vfs.Op) vfs.Fate {
		if op.Kind == vfs.OpEnlargePages {
			enlarged = append(enlarged, op.Off)
			switch len(enlarged) {
			case 1:
				return vfs.Fate{Err: vfs.ErrInjected} // this slab's trouble, not the others'
			case 2:
				return vfs.Fate{Err: errors.ErrUnsupported}
			}
		}
		return vfs.Fate{}
	})
	l, err := openWAL(fault, "/log", 1<<30, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.startSegment(0); err != nil {
		t.Fatal(err)
	}
	l.end.Store(3*slabBytes - 1)
	seg := l.active()
	done := make(chan struct{})
	go func() {
		l.enlarge(t.Context())
		close(done)
	}()
	for _, off := range []int64{0, 2 * slabBytes, slabBytes} {
		l.pages.hot <- slab{seg, off}
	}
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("goes on where there are no large pages")
	}
	if len(enlarged) != 2 || enlarged[0] != 0 || enlarged[1] != slabBytes {
		t.Errorf("enlarged %v", enlarged)
	}
}

// TestReadsEnlargeWhatIsHot: what was hot while it was written to gets its large page once it is complete.
func TestReadsEnlargeWhatIsHot(t *testing.T) {
	fs := vfs.NewFault(vfs.NewMem())
	asked := make(chan int64, 100)
	fs.SetRule(func(op vfs.Op) vfs.Fate {
		if op.Kind == vfs.OpEnlargePages {
			asked <- op.Off
		}
		return vfs.Fate{}
	})
	cfg := memConfig(fs, catalog.NewMemDisk())

	s, k := openIn(t, cfg), Key{Bucket: "plain", Name: "k"}
	put := func(name string) {
		mustPut(t, s, &Put{Key: Key{Bucket: "plain", Name: name}, Body: io.LimitReader(zeros{}, 1<<20), Size: 1 << 20})
	}
	put("k")
	o, err := s.Get(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	read := func() {
		for range 4 * hotReads {
			if _, err := io.Copy(io.Discard, o.Range(0, o.Size)); err != nil {
				t.Fatal(err)
			}
		}
	}
	read()
	waitFor(func() bool { return len(s.wal.pages.hot) == 0 })
	put("next")
	put("another")
	for range 100 { // what the first reads asked for may still be looked at
		read()
		if len(asked) > 0 {
			break
		}
	}
	select {
	case off := <-asked:
		if off != 0 {
			t.Errorf("the slab at %d", off)
		}
	case <-time.After(10 * time.Second):
		t.Error("nothing was enlarged")
	}
}

func waitFor(done func() bool) {
	for !done() {
		runtime.Gosched()
	}
}
