package store_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gantry/internal/vfs"
	"gantry/store"
	"gantry/store/catalog"
	"gantry/store/segment"
	"gantry/store/storetest"
)

var rotRuns = flag.Int("rot-runs", longOr(2000, 30), "runs of the bit rot tests")

const logDir = "/data/log"

// archive is a store on a disk in memory, with what is known of it.
type archive struct {
	disk
	want    map[store.Key][]byte
	records []*rotRecord
}

// rotRecord is a record as the log has it.
type rotRecord struct {
	segment string
	off     int64
	header  *segment.Header
	streams []uint64 // that a large object consists of

	inHeader, inPayload, inPadding bool    // where bits were flipped
	blocks                         []int64 // offsets of the payload's blocks that were hit
}

func (r *rotRecord) hit() bool { return r.inHeader || r.inPayload || r.inPadding }

func (a *archive) config() store.Config {
	cfg := a.disk.config()
	cfg.SegmentBytes = 1 << 20
	return cfg
}

// newArchive fills a store with records of all kinds and closes it.
func newArchive(t *testing.T) *archive {
	t.Helper()
	a := &archive{disk: disk{fs: vfs.NewMem(), cat: catalog.NewMemDisk()}, want: map[store.Key][]byte{}}
	s := open(t, a.config())
	mustBucket(t, s, "plain", store.BucketSettings{})
	mustBucket(t, s, "dicom", store.BucketSettings{DICOM: true, Duplicates: store.Replace})
	if _, err := s.UpdateBucket(t.Context(), "plain", store.BucketSettings{Duplicates: store.Keep}, store.Origin{}); err != nil {
		t.Fatal(err)
	}
	for i := range 25 {
		a.put(t, s, store.Key{Bucket: "plain", Name: fmt.Sprintf("k%d", i)}, noise(uint64(i), 10_000*i))
		in := instance(i%3, i%2, i%15, "P") // some twice
		a.put(t, s, store.Key{Bucket: "dicom", Name: fmt.Sprintf("i%d", i)}, in)
	}
	a.put(t, s, store.Key{Bucket: "plain", Name: "blocks"}, noise(99, 3<<20+5))
	a.put(t, s, store.Key{Bucket: "plain", Name: "large"}, noise(98, store.MaxRecord+1))
	for i := range 6 {
		k, v := store.Key{Bucket: "plain", Name: fmt.Sprintf("parts%d", i)}, noise(uint64(200+i), 3000*i+1)
		up, err := s.CreateUpload(t.Context(), &store.NewUpload{Key: k})
		if err != nil {
			t.Fatal(err)
		}
		p, err := s.PutPart(t.Context(), &store.PutPart{Key: k, UploadID: up.ID, Number: 1, Body: bytes.NewReader(v), Size: -1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = s.Complete(t.Context(), &store.Complete{Key: k, UploadID: up.ID, Parts: []store.CompletePart{{Number: 1, ETag: p.ETag}}}); err != nil {
			t.Fatal(err)
		}
		a.want[k] = v
	}
	for i := range 8 {
		a.put(t, s, store.Key{Bucket: "plain", Name: fmt.Sprintf("k%d", 3*i)}, noise(uint64(300+i), 700*i))
		k := store.Key{Bucket: "plain", Name: fmt.Sprintf("k%d", 3*i+1)}
		if _, err := s.Delete(t.Context(), &store.Delete{Key: k}); err != nil {
			t.Fatal(err)
		}
		a.want[k] = nil
	}
	verify(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	a.scan(t)
	return a
}

func (a *archive) put(t *testing.T, s *store.Store, k store.Key, v []byte) {
	t.Helper()
	put(t, s, k.Bucket, k.Name, v)
	a.want[k] = v
}

var streamField = regexp.MustCompile(` stream=([0-9a-f]{16}) `)

// scan lists the records of the log.
func (a *archive) scan(t *testing.T) {
	t.Helper()
	names, err := a.fs.List(logDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := vfs.ReadFile(a.fs, filepath.Join(logDir, name), 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		base, err := strconv.ParseUint(strings.TrimSuffix(name, ".tar"), 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		sc := segment.NewScanner(bytes.NewReader(b), int64(len(b)), base)
		for {
			h, off, err := sc.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			r := &rotRecord{segment: name, off: off, header: h}
			if h.Type == segment.TypeComplete {
				for _, m := range streamField.FindAllStringSubmatch(string(b[off+int64(h.Len):][:h.PayloadLen]), -1) {
					id, _ := strconv.ParseUint(m[1], 16, 64)
					r.streams = append(r.streams, id)
				}
			}
			a.records = append(a.records, r)
		}
	}
}

// clone copies disk and knowledge.
func (a *archive) clone(rng *rand.Rand) *archive {
	c := *a
	c.disk = disk{fs: a.fs.CrashClone(rng, 0), cat: a.cat.Clone()}
	c.records = make([]*rotRecord, len(a.records))
	for i, r := range a.records {
		copied := *r
		c.records[i] = &copied
	}
	return &c
}

// rot flips a bit of a random record.
func (a *archive) rot(t *testing.T, rng *rand.Rand) {
	t.Helper()
	r := a.records[rng.IntN(len(a.records))]
	if r.hit() { // two flips might undo each other
		return
	}
	f, err := a.fs.OpenRW(filepath.Join(logDir, r.segment))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	headerLen, pad := int64(r.header.Len), segment.Padding(r.header.PayloadLen)
	at := rng.Int64N(headerLen)
	switch n := rng.IntN(5); {
	case n < 2 && r.header.PayloadLen > 0:
		off := rng.Int64N(r.header.PayloadLen)
		at = headerLen + off
		r.inPayload = true
		r.blocks = append(r.blocks, r.off+headerLen+off/segment.BlockSize*segment.BlockSize)
	case n == 2 && pad > 0:
		at = headerLen + r.header.PayloadLen + rng.Int64N(pad)
		r.inPadding = true
	default:
		r.inHeader = true
	}
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, r.off+at); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	b[0] ^= 1 << rng.IntN(8)
	if _, err := f.WriteAt(b, r.off+at); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

// live finds the record of each live object, by its LSN.
func (a *archive) live(t *testing.T, s *store.Store) map[store.Key]*rotRecord {
	t.Helper()
	out := map[store.Key]*rotRecord{}
	for k, v := range a.want {
		if v == nil {
			continue
		}
		info, err := s.Head(t.Context(), k)
		if err != nil {
			t.Fatalf("head %v: %v", k, err)
		}
		i := slices.IndexFunc(a.records, func(r *rotRecord) bool { return r.header.LSN == uint64(info.LSN) })
		out[k] = a.records[i]
	}
	return out
}

// commit is the highest commit point that the log carries where it can be read.
func (a *archive) commit() (point store.LSN) {
	for _, r := range a.records {
		if !r.inHeader {
			point = max(point, store.LSN(r.header.CommitPoint))
		}
	}
	return point
}

// parts are the records that an object consists of.
func (a *archive) parts(r *rotRecord) []*rotRecord {
	out := []*rotRecord{r}
	for _, e := range a.records {
		if e.header.Type == segment.TypeExtent && slices.Contains(r.streams, e.header.Fields.Stream) {
			out = append(out, e)
		}
	}
	return out
}

func TestBitRot(t *testing.T) {
	base := newArchive(t)
	for run := range *rotRuns {
		seed := *seedFlag + uint64(run)
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 77))
			a := base.clone(rng)
			for range 1 + rng.IntN(12) {
				a.rot(t, rng)
			}
			a.checkKept(t)
			a.checkRebuilt(t)
		})
	}
}

// checkKept opens the store with its catalog: each read of a damaged block fails and names it, everything else is served, and
// Verify lists just the damaged objects.
func (a *archive) checkKept(t *testing.T) {
	t.Helper()
	s := open(t, a.config())
	damaged := map[store.Key]bool{}
	live := a.live(t, s)
	for k, r := range live {
		var bad []*rotRecord // whose payload can't be read
		for _, p := range a.parts(r) {
			damaged[k] = damaged[k] || p.hit()
			if p.inPayload {
				bad = append(bad, p)
			}
		}
		got, err := readAll(s, k)
		var corrupt *store.CorruptError
		switch {
		case len(bad) == 0 && (err != nil || !bytes.Equal(got, a.want[k])):
			t.Errorf("%v is undamaged: %d of %d bytes, %v", k, len(got), len(a.want[k]), err)
		case len(bad) > 0 && (!errors.As(err, &corrupt) || !errors.Is(err, store.ErrCorrupt)):
			t.Errorf("%v is damaged: %d bytes, %v", k, len(got), err)
		case len(bad) > 0 && !slices.ContainsFunc(bad, func(p *rotRecord) bool {
			return p.segment == corrupt.Segment && slices.Contains(p.blocks, corrupt.Offset) && corrupt.LSN == store.LSN(p.header.LSN)
		}):
			t.Errorf("%v: %v names another place", k, err)
		}
		if len(bad) > 0 && !bytes.HasPrefix(a.want[k], got) {
			t.Errorf("%v: %d bytes before the damage are wrong", k, len(got))
		}
	}
	maps.DeleteFunc(damaged, func(_ store.Key, d bool) bool { return !d })
	rep, err := s.Verify(t.Context(), nil)
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	listed := map[store.Key]bool{}
	for _, d := range rep.Damaged {
		listed[d.Key] = true
	}
	if !maps.Equal(listed, damaged) || len(listed) != len(rep.Damaged) {
		t.Errorf("verify lists %v, want %v; damage %+v", rep.Damaged, damaged, rep.Damage)
	}
	for _, r := range a.records {
		if r.hit() && !covered(rep.Damage, store.LSN(r.header.LSN)) {
			t.Errorf("verify misses the damage of record %x in %+v", r.header.LSN, rep.Damage)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func covered(damage []store.Damage, lsn store.LSN) bool {
	return slices.ContainsFunc(damage, func(d store.Damage) bool { return d.From <= lsn && lsn < d.To })
}

// checkRebuilt opens the store without its catalog: it opens, reports each damaged header, and serves what is whole.
func (a *archive) checkRebuilt(t *testing.T) {
	t.Helper()
	a.cat.Reset()
	s := open(t, a.config())
	lost := map[uint64]bool{}
	for _, r := range a.records {
		if !r.inHeader {
			continue
		}
		lost[r.header.LSN] = true
		// What nothing says was acknowledged is a torn tail.
		if lsn := store.LSN(r.header.LSN); lsn < a.commit() && !covered(s.Damage(), lsn) {
			t.Errorf("record %s is damaged and not reported: %+v", lsn, s.Damage())
		}
	}
	for k, want := range a.want {
		var last *rotRecord // the newest record of the key
		for _, r := range a.records {
			if r.header.Fields.Key == k.Name && r.header.Fields.Bucket == k.Bucket && slices.Contains([]segment.Type{segment.TypeObject, segment.TypeComplete, segment.TypeDelete}, r.header.Type) {
				last = r
			}
		}
		if lost[last.header.LSN] || store.LSN(last.header.LSN) >= a.commit() {
			continue // reported; an older version may be there
		}
		got, err := readAll(s, k)
		whole := true
		for _, p := range a.parts(last) {
			whole = whole && !p.inHeader && !p.inPayload
		}
		switch {
		case want == nil && !errors.Is(err, store.ErrNotFound):
			t.Errorf("%v was deleted: %d bytes, %v", k, len(got), err)
		case want != nil && whole && (err != nil || !bytes.Equal(got, want)):
			t.Errorf("%v is whole: %d of %d bytes, %v", k, len(got), len(want), err)
		case want != nil && !whole && !errors.Is(err, store.ErrCorrupt):
			t.Errorf("%v is damaged: %d bytes, %v", k, len(got), err)
		}
	}
	put(t, s, "plain", "new", []byte("new"))
	if got := get(t, s, "plain", "new"); string(got) != "new" {
		t.Errorf("after the damage: got %q", got)
	}
	if _, err := s.Verify(t.Context(), nil); err != nil {
		t.Errorf("verify: %v", err)
	}
	before := storetest.Dump(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, a.config())
	if after := storetest.Dump(t, s); after != before {
		t.Errorf("after a restart: %s", storetest.FirstDifference(before, after))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// A footer that rots is told by Verify; the records do not suffer.
func TestRottenFooter(t *testing.T) {
	base := newArchive(t)
	for seed := range uint64(10) {
		rng := rand.New(rand.NewPCG(seed, 3))
		a := base.clone(rng)
		s := open(t, a.config())
		store.WaitSealed(s)
		names, err := a.fs.List(logDir)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(logDir, names[rng.IntN(len(names)-1)])
		b, err := vfs.ReadFile(a.fs, name, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		ft, err := segment.ReadFooter(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		at := ft.Offset + rng.Int64N(int64(len(b))-ft.Offset)
		f, err := a.fs.OpenRW(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte{b[at] ^ 1<<rng.IntN(8)}, at); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		rep, err := s.Verify(t.Context(), nil)
		if err != nil || len(rep.Damaged) > 0 {
			t.Errorf("verify: %+v, %v", rep, err)
		}
		if rep.Clean() {
			t.Errorf("seed %d: a flipped bit at %d of %d in a footer from %d on is not seen", seed, at, len(b), ft.Offset)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A log that is shorter than what the catalog has seen is reported, and no LSN is given twice.
func TestLostLog(t *testing.T) {
	base := newArchive(t)
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, fs *vfs.Mem, names []string)
	}{
		{"all", func(t *testing.T, fs *vfs.Mem, names []string) { remove(t, fs, names...) }},
		{"first segment", func(t *testing.T, fs *vfs.Mem, names []string) { remove(t, fs, names[0]) }},
		{"middle segment", func(t *testing.T, fs *vfs.Mem, names []string) { remove(t, fs, names[len(names)/2]) }},
		{"last segment", func(t *testing.T, fs *vfs.Mem, names []string) { remove(t, fs, names[len(names)-1]) }},
		{"end of the last segment", func(t *testing.T, fs *vfs.Mem, _ []string) {
			f := lastSegment(t, fs)
			if err := errors.Join(f.Truncate(512), f.Sync(), f.Close()); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := base.clone(rand.New(rand.NewPCG(1, 1)))
			s := open(t, a.config())
			end := s.End()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			names, err := a.fs.List(logDir)
			if err != nil {
				t.Fatal(err)
			}
			c.spoil(t, a.fs, names)
			for range 2 {
				s = open(t, a.config())
				if len(s.Damage()) == 0 {
					t.Errorf("nothing is reported")
				}
				if s.End() < end {
					t.Errorf("log ends at %s, was at %s", s.End(), end)
				}
				put(t, s, "plain", "new", []byte("new"))
				if got := get(t, s, "plain", "new"); string(got) != "new" {
					t.Errorf("got %q", got)
				}
				for k, want := range a.want {
					if got, err := readAll(s, k); err == nil && want != nil && !bytes.Equal(got, want) {
						t.Errorf("%v: wrong bytes", k)
					} else if err != nil && want != nil && !errors.Is(err, store.ErrCorrupt) {
						t.Errorf("%v: %v", k, err)
					}
				}
				end = s.End()
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func remove(t *testing.T, fs *vfs.Mem, names ...string) {
	t.Helper()
	for _, n := range names {
		if err := fs.Remove(filepath.Join(logDir, n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := fs.SyncDir(logDir); err != nil {
		t.Fatal(err)
	}
}

// Sectors that can't be read are damage like any other: Verify goes on, and lists what lies there and nothing else.
func TestUnreadableSectors(t *testing.T) {
	base := newArchive(t)
	for seed := range uint64(10) {
		rng := rand.New(rand.NewPCG(seed, 9))
		a := base.clone(rng)
		r := a.records[rng.IntN(len(a.records))]
		at := (r.off + rng.Int64N(r.header.RecordLen())) / 4096 * 4096
		name := filepath.Join(logDir, r.segment)
		fault := vfs.NewFault(a.fs)
		cfg := a.config()
		cfg.FS = fault
		s := open(t, cfg)
		store.WaitSealed(s)
		fault.SetRule(func(op vfs.Op) vfs.Fate {
			if op.Kind == vfs.OpRead && op.Name == name && op.Off < at+4096 && op.Off+op.Len > at {
				return vfs.Fate{Err: vfs.ErrInjected}
			}
			return vfs.Fate{}
		})
		for _, x := range a.records {
			x.inPayload = x.segment == r.segment && x.off < at+4096 && x.off+x.header.RecordLen() > at
		}
		want := map[store.Key]bool{}
		for k, x := range a.live(t, s) {
			if slices.ContainsFunc(a.parts(x), (*rotRecord).hit) {
				want[k] = true
			}
		}
		rep, err := s.Verify(t.Context(), nil)
		if err != nil {
			t.Fatalf("verify: %v", err)
		}
		listed := map[store.Key]bool{}
		for _, d := range rep.Damaged {
			listed[d.Key] = true
		}
		if !maps.Equal(listed, want) || rep.Clean() {
			t.Errorf("seed %d: verify lists %v, want %v", seed, listed, want)
		}
		fault.SetRule(nil)
		verify(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Sectors that can't be read while the log is replayed are damage like any other, too: the store opens, and serves the rest. Nothing is
// cut off for that: when they can be read again, all is there.
func TestUnreadableSectorsInReplay(t *testing.T) {
	base := newArchive(t)
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 11))
		a := base.clone(rng)
		r := a.records[1+rng.IntN(len(a.records)-1)]
		at, name := r.off/4096*4096, filepath.Join(logDir, r.segment)
		fault := vfs.NewFault(a.fs)
		fault.SetRule(func(op vfs.Op) vfs.Fate {
			if op.Kind == vfs.OpRead && op.Name == name && op.Off < at+4096 && op.Off+op.Len > at {
				return vfs.Fate{Err: vfs.ErrInjected}
			}
			return vfs.Fate{}
		})
		a.cat.Reset()
		cfg := a.config()
		cfg.FS = fault
		s := open(t, cfg)
		if !covered(s.Damage(), store.LSN(r.header.LSN)) {
			t.Errorf("seed %d: the record at %x is not reported: %+v", seed, r.header.LSN, s.Damage())
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		fault.SetRule(nil)
		a.cat.Reset()
		s = open(t, cfg)
		for k, want := range a.want {
			if got, err := readAll(s, k); !bytes.Equal(got, want) || want != nil && err != nil {
				t.Errorf("seed %d: %v: %d bytes of %d, %v", seed, k, len(got), len(want), err)
			}
		}
		if len(s.Damage()) > 0 {
			t.Errorf("seed %d: damage stays: %+v", seed, s.Damage())
		}
		verify(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
