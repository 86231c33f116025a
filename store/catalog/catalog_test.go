package catalog_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sort"
	"testing"
	"time"

	"gantry/store/catalog"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the random tests, 0 for a new one")

// disk opens the same durable state again and again, through either engine.
type disk struct {
	name string
	open func(catalog.Options) (*catalog.Catalog, error)
	// reset removes the state.
	reset func() error
}

func disks(t *testing.T) []disk {
	t.Helper()
	path := filepath.Join(t.TempDir(), "catalog.db")
	mem := catalog.NewMemDisk()
	return []disk{
		{
			name:  "bolt",
			open:  func(o catalog.Options) (*catalog.Catalog, error) { return catalog.Open(path, o) },
			reset: func() error { return catalog.Remove(path) },
		},
		{
			name:  "mem",
			open:  func(o catalog.Options) (*catalog.Catalog, error) { return catalog.OpenMem(mem, o) },
			reset: func() error { mem.Reset(); return nil },
		},
	}
}

// eachDisk runs fn with each engine.
func eachDisk(t *testing.T, fn func(t *testing.T, d disk)) {
	t.Helper()
	for _, d := range disks(t) {
		t.Run(d.name, func(t *testing.T) { fn(t, d) })
	}
}

// manual has keys of both kinds among those of the tests.
var manual = catalog.Options{FormatVersion: 1, LogID: "log", Scattered: "ak\xfe", Manual: true}

func mustOpen(t testing.TB, d disk, o catalog.Options) *catalog.Catalog {
	t.Helper()
	c, err := d.open(o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := c.Abort(); err != nil {
			t.Errorf("abort: %v", err)
		}
	})
	return c
}

// put commits the pairs key, value, key, value… An empty value is put as such; "-" deletes.
func put(t testing.TB, c *catalog.Catalog, lsn uint64, pairs ...string) {
	t.Helper()
	b := c.NewBatch()
	fill(b, pairs...)
	if err := c.Commit(b, lsn); err != nil {
		t.Fatalf("commit: %v", err)
	}
}

func fill(b *catalog.Batch, pairs ...string) {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "-" {
			b.Delete([]byte(pairs[i]))
		} else {
			b.Put([]byte(pairs[i]), []byte(pairs[i+1]))
		}
	}
}

func flush(t testing.TB, c *catalog.Catalog) {
	t.Helper()
	if err := c.Flush(context.Background()); err != nil {
		t.Fatalf("flush: %v", err)
	}
}

// dump returns all pairs from lo to hi as text.
func dump(t testing.TB, it *catalog.Iterator) string {
	t.Helper()
	var out bytes.Buffer
	for it.Next() {
		fmt.Fprintf(&out, "%s=%s ", it.Key(), it.Value())
	}
	if err := it.Close(); err != nil {
		t.Fatalf("iterate: %v", err)
	}
	return out.String()
}

func wantDump(t testing.TB, r catalog.Reader, want string) {
	t.Helper()
	if got := dump(t, r.Iter(nil, nil)); got != want {
		t.Fatalf("contents:\n got %s\nwant %s", got, want)
	}
}

func TestLayersReadAsOne(t *testing.T) {
	eachDisk(t, func(t *testing.T, d disk) {
		c := mustOpen(t, d, manual)
		put(t, c, 1, "a", "1", "b", "1", "c", "1", "e", "")
		flush(t, c)
		put(t, c, 2, "b", "-", "c", "2", "d", "2")
		b := c.NewBatch()
		fill(b, "a", "3", "d", "-", "f", "3")
		wantDump(t, c, "a=1 c=2 d=2 e= ")
		wantDump(t, b, "a=3 c=2 e= f=3 ")
		if got := dump(t, b.IterReverse(nil, nil)); got != "f=3 e= c=2 a=3 " {
			t.Fatalf("reverse: %s", got)
		}
		if got := dump(t, b.Iter([]byte("b"), []byte("f"))); got != "c=2 e= " {
			t.Fatalf("range: %s", got)
		}
		if got := dump(t, b.IterReverse([]byte("b"), []byte("e"))); got != "c=2 " {
			t.Fatalf("reverse range: %s", got)
		}
		v, ok, err := b.Get([]byte("e"))
		if err != nil || !ok || len(v) != 0 {
			t.Fatalf("empty value: %q %v %v", v, ok, err)
		}
		if _, ok, _ := b.Get([]byte("b")); ok {
			t.Fatal("deleted key is found")
		}
	})
}

func TestPendingBatchesReadThrough(t *testing.T) {
	eachDisk(t, func(t *testing.T, d disk) {
		c := mustOpen(t, d, manual)
		put(t, c, 1, "a", "0", "b", "0", "c", "0")
		b1 := c.NewBatch()
		fill(b1, "a", "1", "b", "1")
		b2 := c.NewBatch(b1)
		fill(b2, "b", "2", "c", "-")
		b3 := c.NewBatch(b1, b2)
		fill(b3, "d", "3")
		wantDump(t, b3, "a=1 b=2 d=3 ")
		wantDump(t, c, "a=0 b=0 c=0 ")
		for i, b := range []*catalog.Batch{b1, b2, b3} {
			if err := c.Commit(b, uint64(i+2)); err != nil {
				t.Fatal(err)
			}
			wantDump(t, b3, "a=1 b=2 d=3 ")
		}
		wantDump(t, c, "a=1 b=2 d=3 ")
		b1.Put([]byte("x"), nil)
		if !errors.Is(b1.Err(), catalog.ErrSealed) {
			t.Fatalf("put to a sealed batch: %v", b1.Err())
		}
	})
}

func TestReopenShowsLastFlush(t *testing.T) {
	eachDisk(t, func(t *testing.T, d disk) {
		c := mustOpen(t, d, manual)
		put(t, c, 10, "a", "1")
		flush(t, c)
		put(t, c, 20, "a", "2", "b", "2")
		if durable, visible := c.AppliedLSN(); durable != 10 || visible != 20 {
			t.Fatalf("applied LSN: %d %d", durable, visible)
		}
		if err := c.Abort(); err != nil {
			t.Fatal(err)
		}
		c = mustOpen(t, d, manual)
		wantDump(t, c, "a=1 ")
		if durable, visible := c.AppliedLSN(); durable != 10 || visible != 10 {
			t.Fatalf("applied LSN after crash: %d %d", durable, visible)
		}
		put(t, c, 20, "a", "2", "b", "2")
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		c = mustOpen(t, d, manual)
		wantDump(t, c, "a=2 b=2 ")
		if _, visible := c.AppliedLSN(); visible != 20 {
			t.Fatalf("applied LSN after close: %d", visible)
		}
		if err := c.Check(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestOpenRefusesOtherStamp(t *testing.T) {
	eachDisk(t, func(t *testing.T, d disk) {
		if err := mustOpen(t, d, manual).Close(); err != nil {
			t.Fatal(err)
		}
		for _, o := range []catalog.Options{
			{FormatVersion: 2, LogID: "log"},
			{FormatVersion: 1, LogID: "other"},
		} {
			if _, err := d.open(o); !errors.Is(err, catalog.ErrMismatch) {
				t.Errorf("open with %+v: %v", o, err)
			}
		}
		if err := d.reset(); err != nil {
			t.Fatal(err)
		}
		c := mustOpen(t, d, catalog.Options{FormatVersion: 2, LogID: "other"})
		wantDump(t, c, "")
	})
}

func TestCommitRefuses(t *testing.T) {
	c := mustOpen(t, disks(t)[1], manual)
	put(t, c, 5, "a", "1")
	cases := []struct {
		name string
		lsn  uint64
		fill func(b *catalog.Batch)
		want error
	}{
		{"lower LSN", 4, func(b *catalog.Batch) { fill(b, "b", "1") }, catalog.ErrOrder},
		{"empty key", 6, func(b *catalog.Batch) { b.Put(nil, nil) }, catalog.ErrInvalidKey},
		{"long key", 6, func(b *catalog.Batch) { b.Delete(make([]byte, catalog.MaxKeyBytes+1)) }, catalog.ErrInvalidKey},
		{"reserved key", 6, func(b *catalog.Batch) { fill(b, "b", "1", "\x00b", "1") }, catalog.ErrInvalidKey},
		{"large value", 6, func(b *catalog.Batch) { b.Put([]byte("b"), make([]byte, catalog.MaxValueBytes+1)) }, catalog.ErrValueTooLarge},
	}
	for _, tc := range cases {
		b := c.NewBatch()
		tc.fill(b)
		if err := c.Commit(b, tc.lsn); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
	wantDump(t, c, "a=1 ")
	put(t, c, 0, "b", "2")
	if _, visible := c.AppliedLSN(); visible != 5 {
		t.Errorf("visible LSN after a commit without one: %d", visible)
	}
}

func TestClosedRefuses(t *testing.T) {
	eachDisk(t, func(t *testing.T, d disk) {
		c := mustOpen(t, d, manual)
		b := c.NewBatch()
		fill(b, "a", "1")
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		_, _, getErr := c.Get([]byte("a"))
		for name, err := range map[string]error{
			"get":    getErr,
			"iter":   c.Iter(nil, nil).Close(),
			"commit": c.Commit(b, 1),
			"room":   nilIfRoom(c),
			"again":  closedTwice(c),
		} {
			if !errors.Is(err, catalog.ErrClosed) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func nilIfRoom(c *catalog.Catalog) error { return c.WaitRoom(context.Background()) }

func closedTwice(c *catalog.Catalog) error {
	if err := c.Close(); err != nil {
		return err
	}
	return catalog.ErrClosed
}

// model is a sorted map that the catalog is compared with.
type model map[string]string

func (m model) clone() model {
	out := make(model, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

func (m model) keys(lo, hi string, bounded bool) []string {
	var keys []string
	for k := range m {
		if k >= lo && (!bounded || k < hi) {
			keys = append(keys, k)
		}
	}
	sort.Strings(keys)
	return keys
}

func newRand(t testing.TB) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// randomKey makes clashes and shared prefixes likely.
func randomKey(r *rand.Rand) string {
	n := 1 + r.IntN(4)
	b := make([]byte, n)
	for i := range b {
		b[i] = "\x01\x00abcd\xfe\xff"[r.IntN(8)]
	}
	if b[0] == 0 {
		b[0] = 'a'
	}
	if r.IntN(4) == 0 {
		b = fmt.Appendf(b, "%03d", r.IntN(400))
	}
	return string(b)
}

func TestModel(t *testing.T) {
	eachDisk(t, func(t *testing.T, d disk) {
		r := newRand(t)
		h := &modelRun{t: t, d: d, r: r, c: mustOpen(t, d, manual), now: model{}, flushed: model{}}
		steps := 1500
		if testing.Short() {
			steps = 300
		}
		for range steps {
			h.step()
		}
		if err := h.c.Check(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
}

type modelRun struct {
	t            *testing.T
	d            disk
	r            *rand.Rand
	c            *catalog.Catalog
	now, flushed model
	lsn, durable uint64
}

func (h *modelRun) step() {
	h.t.Helper()
	switch p := h.r.IntN(100); {
	case p < 50:
		h.commit()
	case p < 60:
		h.flush()
	case p < 63:
		h.crash()
	case p < 85:
		h.walk(h.c, h.now, nil)
	default:
		s := h.c.Snapshot()
		defer s.Close()
		then := h.now.clone()
		h.walk(s, then, func() {
			if h.r.IntN(4) == 0 {
				h.flush()
			} else {
				h.commit()
			}
		})
		h.compareGets(s, then)
	}
}

func (h *modelRun) commit() {
	b := h.c.NewBatch()
	next := h.now.clone()
	for range h.r.IntN(30) {
		k := randomKey(h.r)
		if h.r.IntN(3) == 0 {
			b.Delete([]byte(k))
			delete(next, k)
			continue
		}
		v := fmt.Sprintf("%d.%d", h.lsn, h.r.IntN(1000))
		if h.r.IntN(20) == 0 {
			v = ""
		}
		b.Put([]byte(k), []byte(v))
		next[k] = v
	}
	if h.r.IntN(4) == 0 {
		h.walk(b, next, nil)
		h.compareGets(b, next)
	}
	h.lsn += uint64(h.r.IntN(3))
	if err := h.c.Commit(b, h.lsn); err != nil {
		h.t.Fatal(err)
	}
	h.now = next
}

func (h *modelRun) flush() {
	flush(h.t, h.c)
	h.flushed, h.durable = h.now.clone(), h.lsn
	if durable, _ := h.c.AppliedLSN(); durable != h.durable {
		h.t.Fatalf("durable LSN %d, want %d", durable, h.durable)
	}
}

func (h *modelRun) crash() {
	if err := h.c.Abort(); err != nil {
		h.t.Fatal(err)
	}
	h.c = mustOpen(h.t, h.d, manual)
	h.now, h.lsn = h.flushed.clone(), h.durable
	if _, visible := h.c.AppliedLSN(); visible != h.lsn {
		h.t.Fatalf("LSN after crash %d, want %d", visible, h.lsn)
	}
}

func (h *modelRun) compareGets(r catalog.Reader, m model) {
	h.t.Helper()
	for range 20 {
		k := randomKey(h.r)
		v, ok, err := r.Get([]byte(k))
		want, exists := m[k]
		if err != nil || ok != exists || string(v) != want {
			h.t.Fatalf("get %q: %q %v %v, want %q %v", k, v, ok, err, want, exists)
		}
	}
}

// walk steps and seeks through a random range in a random direction.
func (h *modelRun) walk(r catalog.Reader, m model, between func()) {
	h.t.Helper()
	lo, hi := randomKey(h.r), randomKey(h.r)
	if h.r.IntN(3) == 0 {
		lo = ""
	}
	loBytes, hiBytes := []byte(lo), []byte(hi)
	bounded := h.r.IntN(3) != 0
	if !bounded {
		hiBytes = nil
	}
	keys := m.keys(lo, hi, bounded)
	reverse := h.r.IntN(2) == 0
	it := r.Iter(loBytes, hiBytes)
	if reverse {
		it.Close()
		it = r.IterReverse(loBytes, hiBytes)
		sort.Sort(sort.Reverse(sort.StringSlice(keys)))
	}
	defer it.Close()
	at, ok := 0, it.Next()
	for n := 0; ; n++ {
		if ok != (at < len(keys)) {
			h.t.Fatalf("at %d of %d: next is %v (reverse %v, err %v)", at, len(keys), ok, reverse, it.Err())
		}
		if ok && (string(it.Key()) != keys[at] || string(it.Value()) != m[keys[at]]) {
			h.t.Fatalf("at %d: %q=%q, want %q=%q", at, it.Key(), it.Value(), keys[at], m[keys[at]])
		}
		if between != nil && n%7 == 3 {
			between()
			between = nil
		}
		switch {
		case n < 300 && h.r.IntN(3) == 0:
			target := randomKey(h.r)
			at = sort.Search(len(keys), func(i int) bool {
				if reverse {
					return keys[i] <= target
				}
				return keys[i] >= target
			})
			ok = it.Seek([]byte(target))
		case !ok:
			if it.Err() != nil {
				h.t.Fatal(it.Err())
			}
			return
		default:
			at++
			ok = it.Next()
		}
	}
}

// TestReplacedValuesAreNotCounted puts long values of one key again and again, as each instance does with the row of its study.
func TestReplacedValuesAreNotCounted(t *testing.T) {
	eachDisk(t, func(t *testing.T, d disk) {
		c := mustOpen(t, d, manual)
		for lsn := range uint64(1000) {
			b := c.NewBatch()
			for range 3 {
				b.Put([]byte("study"), make([]byte, 4<<10))
			}
			if got := b.Bytes(); got < 4<<10 || got > 8<<10 {
				t.Fatalf("a batch of one long value takes %d bytes", got)
			}
			if err := c.Commit(b, lsn); err != nil {
				t.Fatal(err)
			}
		}
		// What stays of each batch is the block that its keys lie in.
		if got := c.Stats().ActiveBytes; got < 1000*(1<<10) || got > 1000*(1<<10)+(8<<10) {
			t.Errorf("%d bytes for one value of 4 KiB", got)
		}
	})
}
