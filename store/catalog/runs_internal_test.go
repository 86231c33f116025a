package catalog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// scatteredCatalog has runs of keys that begin with s, and merges few rows at a time.
func scatteredCatalog(t *testing.T, path string) *Catalog {
	t.Helper()
	c, err := Open(path, Options{Manual: true, Scattered: "s"})
	if err != nil {
		t.Fatal(err)
	}
	c.engine.(*boltEngine).mergeRows = 20
	return c
}

func commitAll(t *testing.T, c *Catalog, changes map[string]string, lsn uint64) {
	t.Helper()
	b := c.NewBatch()
	for k, v := range changes {
		if v == "deleted" {
			b.Delete([]byte(k))
		} else {
			b.Put([]byte(k), []byte(v))
		}
	}
	if err := c.Commit(b, lsn); err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// TestRunsAgainstModel flushes often enough for several levels of merges, with deletions, and reopens in the middle of them.
func TestRunsAgainstModel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog")
	r := rand.New(rand.NewPCG(1, 2))
	c := scatteredCatalog(t, path)
	model := map[string]string{}
	most, levels := 0, 0
	for round := range 1200 {
		changes := map[string]string{"k": fmt.Sprint(round)} // a neighbour that is not scattered
		for range r.IntN(12) {
			k := fmt.Sprintf("s%03d", r.IntN(600))
			if changes[k] = fmt.Sprint(round); r.IntN(3) == 0 {
				changes[k] = "deleted"
			} else if r.IntN(9) == 0 {
				changes[k] = ""
			}
		}
		commitAll(t, c, changes, uint64(round))
		maps.Copy(model, changes)
		maps.DeleteFunc(model, func(_, v string) bool { return v == "deleted" })
		live := c.engine.(*boltEngine).runs.live
		most = max(most, len(live))
		for i, run := range live {
			levels = max(levels, run.level)
			if i > 0 && live[i-1].level > run.level {
				t.Fatalf("round %d: run of level %d before one of %d", round, live[i-1].level, run.level)
			}
		}
		if round%97 == 50 {
			if err := c.Abort(); err != nil {
				t.Fatal(err)
			}
			c = scatteredCatalog(t, path)
		}
		if round%20 == 0 {
			compareRuns(t, c, model)
		}
	}
	if levels < 2 || most > 4*mergeRuns {
		t.Errorf("%d levels, at most %d runs", levels, most)
	}
	compareRuns(t, c, model)
	for round := range 200 { // so that what was merged goes
		commitAll(t, c, map[string]string{"k": "end"}, 2000+uint64(round))
	}
	if got, want := runRows(t, c); got != want {
		t.Errorf("%d rows in runs, %d of them live", got, want)
	}
	for k := range model {
		model[k] = "deleted"
	}
	for round := range mergeRuns * mergeRuns * mergeRuns { // until a merge of the highest level drops what was deleted
		commitAll(t, c, model, 4000+uint64(round))
		if len(c.engine.(*boltEngine).runs.live) == 0 {
			break
		}
	}
	compareRuns(t, c, map[string]string{})
	if got, _ := runRows(t, c); got > len(model)*mergeRuns {
		t.Errorf("%d rows are left of %d keys that are all deleted", got, len(model))
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestPlanIsDoneAgain works each flush out twice, as if the first attempt had failed.
func TestPlanIsDoneAgain(t *testing.T) {
	c := scatteredCatalog(t, filepath.Join(t.TempDir(), "catalog"))
	defer c.Close()
	model := map[string]string{}
	for round := range 6 * mergeRuns {
		changes := map[string]string{}
		for i := range 30 {
			changes[fmt.Sprintf("s%03d", (round*7+i*13)%600)] = fmt.Sprint(round)
		}
		maps.Copy(model, changes)
		e := c.engine.(*boltEngine)
		v, err := e.acquire()
		if err != nil {
			t.Fatal(err)
		}
		var lost table
		lost.Set("s-lost", []byte("lost"))
		if _, err := e.plan(v, &lost); err != nil {
			t.Fatal(err)
		}
		v.close()
		commitAll(t, c, changes, uint64(round+1))
	}
	compareRuns(t, c, model)
	for e := c.engine.(*boltEngine); e.merge != nil || len(e.runs.dropped) > 0; {
		commitAll(t, c, map[string]string{"k": "end"}, 1000)
	}
	if got, want := runRows(t, c); got != want {
		t.Errorf("%d rows in runs, %d of them live", got, want)
	}
}

// TestScatteredBelongsToTheStamp would otherwise miss all keys of a space.
func TestScatteredBelongsToTheStamp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog")
	if err := scatteredCatalog(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Options{Manual: true}); !errors.Is(err, ErrMismatch) {
		t.Errorf("open without scattered keys: %v", err)
	}
}

// compareRuns reads all in both directions, and single keys.
func compareRuns(t *testing.T, c *Catalog, model map[string]string) {
	t.Helper()
	want := slices.Sorted(maps.Keys(model))
	var got []string
	if err := Scan(c, nil, nil, func(k, v []byte) bool {
		if model[string(k)] != string(v) {
			t.Errorf("%s: %q, want %q", k, v, model[string(k)])
		}
		got = append(got, string(k))
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("keys %q, want %q", got, want)
	}
	var back []string
	it := c.IterReverse([]byte("s1"), []byte("s4"))
	for it.Next() {
		back = append(back, string(it.Key()))
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	slices.Reverse(back)
	from, _ := slices.BinarySearch(want, "s1")
	to, _ := slices.BinarySearch(want, "s4")
	if !slices.Equal(back, want[from:to]) {
		t.Fatalf("backwards %q, want %q", back, want[from:to])
	}
	for i := range 600 {
		k := fmt.Sprintf("s%03d", i)
		v, ok, err := c.Get([]byte(k))
		if w, exists := model[k]; err != nil || ok != exists || string(v) != w {
			t.Fatalf("%s: %q %v %v, want %q %v", k, v, ok, err, w, exists)
		}
	}
}

// runRows counts the rows of runs in the file, and those that the list tells of.
func runRows(t *testing.T, c *Catalog) (got, want int) {
	t.Helper()
	e := c.engine.(*boltEngine)
	if err := e.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketName).ForEach(func(k, _ []byte) error {
			if k[0] == reservedByte && k[1] == rowKind {
				got++
			}
			return nil
		})
	}); err != nil {
		t.Fatal(err)
	}
	for _, r := range e.runs.live {
		want += r.rows
	}
	return got, want
}

// fillRuns makes a closed catalog with runs of several levels, and a merge under way.
func fillRuns(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "catalog")
	c := scatteredCatalog(t, path)
	for round := range mergeRuns + 2 {
		changes := map[string]string{}
		for i := range 40 {
			changes[fmt.Sprintf("s%03d", (round*7+i*13)%600)] = fmt.Sprint(round)
		}
		commitAll(t, c, changes, uint64(round+1))
	}
	if c.engine.(*boltEngine).merge == nil {
		t.Fatal("no merge is under way")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestRottenRuns damages what runs are made of. Whoever meets it must say so, and the next start, too.
func TestRottenRuns(t *testing.T) {
	first := func(kind byte) func(*bbolt.Bucket) (key, value []byte) {
		return func(b *bbolt.Bucket) ([]byte, []byte) {
			k, v := b.Cursor().Seek([]byte{reservedByte, kind})
			return slices.Clone(k), slices.Clone(v)
		}
	}
	list := func(b *bbolt.Bucket) ([]byte, []byte) { return runsKey, slices.Clone(b.Get(runsKey)) }
	for _, tc := range []struct {
		name   string
		row    func(*bbolt.Bucket) (key, value []byte)
		damage func(v []byte) []byte
		open   bool // finds it
	}{
		{"bit of a filter", first(filterKind), func(v []byte) []byte { v[10] ^= 4; return v }, true},
		{"filter gone", first(filterKind), func([]byte) []byte { return nil }, true},
		{"filter cut", first(filterKind), func(v []byte) []byte { return v[:2] }, true},
		{"list gone", list, func([]byte) []byte { return nil }, true},
		{"list cut", list, func(v []byte) []byte { return v[:4] }, true},
		{"bit of the list", list, func(v []byte) []byte { v[7] ^= 1; return v }, true},
		{"list of more runs than fit", list, func(v []byte) []byte { v[sumBytes+1] = 0x7f; return putSum(v) }, true},
		{"mark of a row", first(rowKind), func(v []byte) []byte { v[0] = 9; return v }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := fillRuns(t)
			db, err := bbolt.Open(path, filePerm, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Update(func(tx *bbolt.Tx) error {
				b := tx.Bucket(bucketName)
				k, v := tc.row(b)
				if v = tc.damage(v); v == nil {
					return b.Delete(k)
				}
				return b.Put(k, v)
			}); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			c, err := Open(path, Options{Manual: true, Scattered: "s"})
			if errors.Is(err, ErrCorrupt) && tc.open {
				return
			}
			if err != nil || tc.open {
				t.Fatalf("open: %v", err)
			}
			if err := c.Check(t.Context()); !errors.Is(err, ErrCorrupt) {
				t.Errorf("scan: %v", err)
			}
			_ = c.Close()
			if _, err := Open(path, Options{Manual: true, Scattered: "s"}); !errors.Is(err, ErrCorrupt) {
				t.Errorf("open after damage was seen: %v", err)
			}
		})
	}
}

// TestMergeRefusesWrongPages lets a branch above runs name another valid page, and the page itself: a merge would miss rows for good, or never end.
func TestMergeRefusesWrongPages(t *testing.T) {
	for _, itself := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "catalog")
		c := scatteredCatalog(t, path)
		for round := range mergeRuns - 1 {
			changes := map[string]string{}
			for i := range 100 {
				changes[fmt.Sprintf("s%03d.%060d", i*5, round)] = fmt.Sprint(round)
			}
			commitAll(t, c, changes, uint64(round+1))
		}
		e := c.engine.(*boltEngine)
		m, ok := e.pages.meta(uint64(e.current.Load().tx.ID()) % 2)
		if !ok {
			t.Fatal("no meta page")
		}
		e.pages.end = m.end
		root, _, err := e.pages.root(m)
		var n boltNode
		if err = errors.Join(err, e.pages.read(&n, root, 0)); err != nil || n.kind != pageBranch || n.count < 8 {
			t.Fatalf("root of %d children: %v", n.count, err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		middle := int(n.count) / 2
		to := n.childPage(middle - 2)
		if itself {
			to = root
		}
		at := int(root)*4096 + pageHeaderBytes + middle*pageElementBytes + 8
		binary.NativeEndian.PutUint64(file[at:], to)
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		c = scatteredCatalog(t, path)
		var got error
		for round := 0; round < 30 && got == nil; round++ { // merges reach the damage
			b := c.NewBatch()
			b.Put([]byte("s999"), []byte("x"))
			_ = c.Commit(b, uint64(100+round))
			got = c.Flush(t.Context())
		}
		if !errors.Is(got, ErrCorrupt) {
			t.Errorf("page itself %v: flush: %v", itself, got)
		}
		_ = c.Close()
		if _, err := Open(path, Options{Manual: true, Scattered: "s"}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("open after damage was seen: %v", err)
		}
	}
}

// TestRandomDamageOfRuns uses damaged files in every way: errors are fine, crashes and hangs are not.
func TestRandomDamageOfRuns(t *testing.T) {
	whole, err := os.ReadFile(fillRuns(t))
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range 60 {
		path := filepath.Join(t.TempDir(), fmt.Sprint(i))
		data := slices.Clone(whole)
		for range 1 + r.IntN(20) {
			data[2*4096+r.IntN(len(data)-2*4096)] = byte(r.IntN(256))
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Open(path, Options{Manual: true, Scattered: "s"})
		if err != nil {
			continue
		}
		for i := range 600 {
			_, _, _ = c.Get(fmt.Appendf(nil, "s%03d", i))
		}
		for round := range 2 * mergeRuns {
			b := c.NewBatch()
			for i := range 20 {
				b.Put(fmt.Appendf(nil, "s%03d", (round+i*31)%600), []byte("x"))
			}
			_ = c.Commit(b, uint64(1000+round))
			if c.Flush(t.Context()) != nil {
				break
			}
		}
		_ = c.Check(t.Context())
		_ = c.Close()
	}
}

func FuzzDecodeRuns(f *testing.F) {
	s := &runs{next: 9, live: []*sortedRun{{id: 8, rows: 3, filter: newFilter(3)}, {id: 5, level: 1, rows: 70, filter: newFilter(90)}}, dropped: []uint32{2, 3}}
	f.Add(s.encode(nil)[sumBytes:])
	f.Add(s.encode(&merge{target: &sortedRun{id: 7}})[sumBytes:])
	f.Fuzz(func(t *testing.T, b []byte) {
		s, blocks, err := decodeRuns(putSum(append(make([]byte, sumBytes), b...)))
		if err == nil && len(blocks) != len(s.live) {
			t.Errorf("%d runs, %d filters", len(s.live), len(blocks))
		}
	})
}

// TestMergeOfWhatWasJustMerged has rows to spare when a merge makes the last run of the next level that was missing.
func TestMergeOfWhatWasJustMerged(t *testing.T) {
	c, err := Open(filepath.Join(t.TempDir(), "catalog"), Options{Manual: true, Scattered: "s"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	model := map[string]string{}
	for round := range mergeRuns*mergeRuns + 2*mergeRuns {
		k := fmt.Sprintf("s%03d", round)
		model[k] = "x"
		commitAll(t, c, map[string]string{k: "x"}, uint64(round+1))
	}
	compareRuns(t, c, model)
}
