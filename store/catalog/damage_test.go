package catalog_test

import (
	"encoding/binary"
	"errors"
	"maps"
	"os"
	"runtime"
	"slices"
	"testing"

	"gantry/store/catalog"
)

// pagesOf returns the numbers of the pages of one kind in a file of bbolt's, its page of buckets left out.
func pagesOf(file []byte, kind uint16) (ids []int) {
	for id := 2; id < len(file)/4096; id++ {
		p := file[id*4096:]
		count := binary.NativeEndian.Uint16(p[10:])
		if binary.NativeEndian.Uint64(p) == uint64(id) && binary.NativeEndian.Uint16(p[8:]) == kind && count > 1 {
			ids = append(ids, id)
		}
	}
	return ids
}

// TestRottenPages damages what bbolt takes at its word. A page must be refused before memory or time is spent on what it says.
func TestRottenPages(t *testing.T) {
	const branch, leaf, freelist = 0x01, 0x02, 0x10
	word := func(at int, v uint32) func([]byte, int) {
		return func(p []byte, _ int) { binary.NativeEndian.PutUint32(p[at:], v) }
	}
	cases := []struct {
		name   string
		kind   uint16
		damage func(p []byte, id int)
		// reads, write: whether a scan, and a flush that touches each leaf, must fail.
		reads, write bool
	}{
		{"none", leaf, func([]byte, int) {}, false, false},
		{"overflow of a leaf", leaf, word(12, 0x5b000000), false, true},
		{"overflow of a leaf, within the file", leaf, word(12, 3), false, true},
		{"overflow of a branch", branch, word(12, 0x5b000000), false, true},
		{"overflow of the free list", freelist, word(12, 2), false, true},
		{"value of 1.5 GB", leaf, word(16+12, 0x5b000000), true, true},
		{"value longer by one", leaf, func(p []byte, _ int) { p[16+12]++ }, false, true},
		{"key of 1.5 GB", leaf, word(16+8, 0x5b000000), true, true},
		{"key elsewhere", leaf, func(p []byte, _ int) { p[16+5]++ }, false, true},
		{"count", leaf, func(p []byte, _ int) { p[11] = 0xff }, true, true},
		{"kind", leaf, func(p []byte, _ int) { p[8] = branch }, true, true},
		{"order", leaf, func(p []byte, _ int) { p[16+binary.NativeEndian.Uint32(p[16+4:])] = 0xff }, true, true},
		{"bucket among the values", leaf, func(p []byte, _ int) { p[16] = 1 }, false, true},
		{"child beyond the end", branch, func(p []byte, _ int) { p[16+16+8+3] = 0xff }, true, true},
		{"free page in use", freelist, func(p []byte, _ int) { copy(p[24:32], p[16:24]) }, false, true},
		{"child is the page itself", branch, func(p []byte, id int) { binary.NativeEndian.PutUint64(p[16+16+8:], uint64(id)) }, false, true},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			path := fillFile(t)
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			ids := pagesOf(file, tc.kind)
			if len(ids) == 0 {
				t.Fatal("no such page")
			}
			id := ids[len(ids)/2] // the first leaf and the last are those that Open reads
			tc.damage(file[id*4096:], id)
			if err := os.WriteFile(path, file, 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := catalog.Open(path, manual)
			if errors.Is(err, catalog.ErrCorrupt) && tc.kind != leaf {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			before := allocated()
			if tc.reads {
				if err := c.Check(t.Context()); !errors.Is(err, catalog.ErrCorrupt) {
					t.Errorf("scan: %v", err)
				}
			}
			benchCommit(t, c, 0, 5000)
			if err := c.Flush(t.Context()); errors.Is(err, catalog.ErrCorrupt) != tc.write {
				t.Errorf("flush: %v", err)
			}
			if n := allocated() - before; n > 64<<20 {
				t.Errorf("%d MB allocated", n>>20)
			}
			if tc.write {
				_ = c.Close()
				if _, err := catalog.Open(path, manual); !errors.Is(err, catalog.ErrCorrupt) {
					t.Errorf("open after damage was seen: %v", err)
				}
			}
		})
	}
}

// TestRottenNeighbour deletes most keys of a leaf beside a damaged one: bbolt merges the two.
func TestRottenNeighbour(t *testing.T) {
	path := fillFile(t)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	keys := make(map[string][]string) // of each leaf, by its first
	page := make(map[string][]byte)
	for _, id := range pagesOf(file, 0x02) {
		p := file[id*4096:]
		var all []string
		for i := range int(binary.NativeEndian.Uint16(p[10:])) {
			e := p[16+16*i:]
			all = append(all, string(e[binary.NativeEndian.Uint32(e[4:]):][:binary.NativeEndian.Uint32(e[8:])]))
		}
		keys[all[0]], page[all[0]] = all, p
	}
	first := slices.Sorted(maps.Keys(keys))
	if len(first) < 50 {
		t.Fatalf("%d leaves", len(first))
	}
	binary.NativeEndian.PutUint32(page[first[20]][12:], 3)
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := catalog.Open(path, manual)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := c.NewBatch()
	for _, k := range keys[first[21]][1:] {
		b.Delete([]byte(k))
	}
	if err := c.Commit(b, 9000); err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(t.Context()); !errors.Is(err, catalog.ErrCorrupt) {
		t.Errorf("flush: %v", err)
	}
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
