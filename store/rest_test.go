package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"testing"

	"gantry/internal/vfs"
	"gantry/store"
	"gantry/store/catalog"
	"gantry/store/segment"
)

// TestRotInWhatWasAcknowledgedLast damages the first of several batches that were in flight at once, none of which knew of the others'
// acknowledgement. A store that was closed knows that it was no torn tail: the damage is told, and the rest served.
func TestRotInWhatWasAcknowledgedLast(t *testing.T) {
	for _, part := range []string{"header", "payload"} {
		t.Run(part, func(t *testing.T) { rotInWhatWasAcknowledgedLast(t, part == "header") })
	}
}

func rotInWhatWasAcknowledgedLast(t *testing.T, header bool) {
	const batches = 6
	d := disk{fs: vfs.NewMem(), cat: catalog.NewMemDisk()}
	m := &fakeMirror{}
	cfg := d.config()
	cfg.Mirror, cfg.SegmentBytes = m, 64<<20
	s := open(t, cfg)
	mustBucket(t, s, "plain", store.BucketSettings{})
	before := s.End()
	gate, sent := make(chan struct{}), len(m.sent())
	m.set(nil, gate)
	var puts sync.WaitGroup
	for i := range batches {
		puts.Go(func() { put(t, s, "plain", fmt.Sprint("k", i), noise(uint64(i), 3000)) })
		waitUntil(func() bool { return len(m.sent()) == sent+i+1 }) // so that each is a batch of its own
	}
	close(gate)
	puts.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	d.cat.Reset()
	lost := rotFirstFrom(t, d.fs, before, header)
	s = open(t, d.config())
	if header != (len(s.Damage()) > 0) { // of payloads, reading and verify tell
		t.Errorf("damage: %v", s.Damage())
	}
	for i := range batches {
		name := fmt.Sprint("k", i)
		if name != lost {
			if !bytes.Equal(get(t, s, "plain", name), noise(uint64(i), 3000)) {
				t.Errorf("%s: other bytes", name)
			}
			continue
		}
		want := store.ErrCorrupt
		if header {
			want = store.ErrNotFound
		}
		o, err := s.Get(t.Context(), store.Key{Bucket: "plain", Name: name})
		if err == nil {
			_, err = io.Copy(io.Discard, io.NewSectionReader(o, 0, o.Size))
			_ = o.Close()
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
}

// TestLogShorterThanAcknowledged cuts off what was acknowledged last, with the catalog. The loss is told, at each start, and the LSNs are not
// given again.
func TestLogShorterThanAcknowledged(t *testing.T) {
	d := disk{fs: vfs.NewMem(), cat: catalog.NewMemDisk()}
	s := open(t, d.config())
	mustBucket(t, s, "plain", store.BucketSettings{})
	put(t, s, "plain", "kept", noise(1, 3000))
	cut := s.End()
	put(t, s, "plain", "lost", noise(2, 3000))
	end := s.End()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f := lastSegment(t, d.fs)
	if err := errors.Join(f.Truncate(int64(cut)), f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		d.cat.Reset()
		s = open(t, d.config())
		if len(s.Damage()) == 0 {
			t.Errorf("start %d: the loss is not told", i)
		}
		if s.End() < end {
			t.Errorf("start %d: goes on at %v, before %v", i, s.End(), end)
		}
		get(t, s, "plain", "kept")
		put(t, s, "plain", fmt.Sprint("new", i), noise(3, 3000))
		for k := range i + 1 {
			get(t, s, "plain", fmt.Sprint("new", k))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func lastSegment(t *testing.T, fs vfs.FS) vfs.File {
	t.Helper()
	names, err := fs.List(logDir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := fs.OpenRW(filepath.Join(logDir, names[len(names)-1]))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// rotFirstFrom damages header or payload of the first record at or past from, and returns its key.
func rotFirstFrom(t *testing.T, fs vfs.FS, from store.LSN, header bool) string {
	t.Helper()
	f := lastSegment(t, fs) // and the first
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	first, points := "", map[uint64]bool{}
	for sc := segment.NewScanner(f, size, 0); ; {
		h, at, err := sc.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if store.LSN(h.LSN) < from {
			continue
		}
		points[h.CommitPoint] = true
		if first == "" {
			first = h.Fields.Key
			if at += int64(h.Len) + 10; header {
				at -= int64(h.Len)
			}
			b := []byte{0}
			if _, err := f.ReadAt(b, at); err != nil {
				t.Fatal(err)
			}
			b[0] ^= 1
			if _, err := f.WriteAt(b, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(points) != 1 || !points[uint64(from)] {
		t.Fatalf("commit points %v, want that at %v only", points, from)
	}
	return first
}
