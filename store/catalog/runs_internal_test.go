package catalog

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

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
	for round := range mergeRuns * mergeRuns * 3 { // nothing is left of keys that are all deleted
		model["s"+fmt.Sprint(round)] = "deleted"
		commitAll(t, c, model, 4000+uint64(round))
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
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
