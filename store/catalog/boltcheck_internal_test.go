package catalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// rawPage is a page of a file as it stands there.
type rawPage struct {
	id       uint64
	bytes    []byte
	keys     []string
	children []uint64
}

func rawPageOf(file []byte, id uint64) rawPage {
	p := rawPage{id: id, bytes: file[id*4096:]}
	n := boltNode{pageHeader: headerOf(p.bytes), bytes: p.bytes}
	for i := range int(n.count) {
		p.keys = append(p.keys, string(n.key(i)))
		if n.kind == pageBranch {
			p.children = append(p.children, binary.NativeEndian.Uint64(p.bytes[pageHeaderBytes+i*pageElementBytes+8:]))
		}
	}
	return p
}

// threeLevels makes a file whose root has branches below it, and returns its bytes, its state and its root.
func threeLevels(t *testing.T) (path string, file []byte, m boltMeta, root rawPage) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "catalog.db")
	e, err := openBolt(path, []byte("s"), "")
	if err != nil {
		t.Fatal(err)
	}
	tab := new(table)
	for i := range 20_000 {
		tab.Set(fmt.Sprintf("key-%040d", i), make([]byte, 200))
	}
	if err := e.write(tab, 1); err != nil {
		t.Fatal(err)
	}
	m, _ = e.pages.meta(uint64(e.current.Load().tx.ID()) % 2)
	top := uint64(e.current.Load().bucket.Root())
	if err := e.close(); err != nil {
		t.Fatal(err)
	}
	if file, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	root = rawPageOf(file, top)
	if len(root.children) < 4 || len(rawPageOf(file, root.children[1]).children) < 4 {
		t.Fatal("too few pages")
	}
	return path, file, m, root
}

func setChild(p rawPage, i int, id uint64) {
	binary.NativeEndian.PutUint64(p.bytes[pageHeaderBytes+i*pageElementBytes+8:], id)
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// TestOpenOfRottenPages damages what bbolt reads when it opens a file: it would not survive any of these.
func TestOpenOfRottenPages(t *testing.T) {
	cases := []struct {
		name   string
		damage func(file []byte, m boltMeta, root rawPage)
	}{
		{"first child is the root", func(_ []byte, _ boltMeta, root rawPage) { setChild(root, 0, root.id) }},
		{"last child is the root", func(_ []byte, _ boltMeta, root rawPage) { setChild(root, len(root.children)-1, root.id) }},
		{"count of free pages", func(file []byte, m boltMeta, _ rawPage) {
			p := file[m.freelist*4096:]
			p[10], p[11] = 0xff, 0xff
			binary.NativeEndian.PutUint64(p[pageHeaderBytes:], 1<<36)
		}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			path, file, m, root := threeLevels(t)
			tc.damage(file, m, root)
			if err := os.WriteFile(path, file, filePerm); err != nil {
				t.Fatal(err)
			}
			if _, err := openBolt(path, []byte("s"), ""); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("open: %v", err)
			}
		})
	}
}

// TestChildOfAnotherPage swaps a leaf for one of another branch: keys written there would never be found again.
func TestChildOfAnotherPage(t *testing.T) {
	path, file, _, root := threeLevels(t)
	one, other := rawPageOf(file, root.children[2]), rawPageOf(file, root.children[3])
	key := rawPageOf(file, one.children[3]).keys[1]
	setChild(one, 3, other.children[3])
	if err := os.WriteFile(path, file, filePerm); err != nil {
		t.Fatal(err)
	}
	e, err := openBolt(path, []byte("s"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	tab := new(table)
	tab.Set(key, []byte("new"))
	if err := e.write(tab, 2); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("write: %v", err)
	}
}

// TestRottenCousin empties a branch but for its first leaf. Once the branch is merged with the one beside it, so is that leaf with the last
// one there, on either side.
func TestRottenCousin(t *testing.T) {
	for _, left := range []bool{true, false} {
		path, file, _, root := threeLevels(t)
		branch := rawPageOf(file, root.children[2])
		beside := rawPageOf(file, root.children[3])
		keep, cousin := branch.children[len(branch.children)-1], beside.children[0]
		if left {
			beside = rawPageOf(file, root.children[1])
			keep, cousin = branch.children[0], beside.children[len(beside.children)-1]
		}
		binary.NativeEndian.PutUint32(file[cousin*4096+12:], 1<<22)
		if err := os.WriteFile(path, file, filePerm); err != nil {
			t.Fatal(err)
		}
		e, err := openBolt(path, []byte("s"), "")
		if err != nil {
			t.Fatal(err)
		}
		tab := new(table)
		for _, child := range branch.children {
			keys := rawPageOf(file, child).keys
			if child == keep {
				keys = keys[1:]
			}
			for _, k := range keys {
				tab.Set(k, nil)
			}
		}
		before := allocated()
		if err := e.write(tab, 2); !errors.Is(err, ErrCorrupt) {
			t.Errorf("left %v: write: %v", left, err)
		}
		if n := allocated() - before; n > 64<<20 {
			t.Errorf("left %v: %d MB allocated", left, n>>20)
		}
		if err := e.close(); err != nil {
			t.Error(err)
		}
	}
}

// TestFileEndsWithItsMapping gives the file little address space: a write past it fails at once, and reads go on.
func TestFileEndsWithItsMapping(t *testing.T) {
	was := mapSizes
	defer func() { mapSizes = was }()
	mapSizes = [...]int{1 << 25, 1 << 25, 1 << 25}
	e, err := openBolt(filepath.Join(t.TempDir(), "catalog.db"), []byte("s"), "")
	if err != nil {
		t.Fatal(err)
	}
	small, large := new(table), new(table)
	small.Set("a", []byte("1"))
	for i := range 4 {
		large.Set(fmt.Sprint("b", i), make([]byte, 10<<20))
	}
	if err := e.write(small, 1); err != nil {
		t.Fatal(err)
	}
	if err := e.write(large, 2); err == nil || errors.Is(err, ErrCorrupt) || errors.Is(err, ErrBroken) {
		t.Fatalf("write of 40 MB into 32: %v", err)
	}
	if v, ok, err := e.get([]byte("a")); err != nil || !ok || string(v) != "1" {
		t.Fatalf("get: %q %v %v", v, ok, err)
	}
	if err := e.write(small, 2); err != nil {
		t.Fatal(err)
	}
	if err := e.close(); err != nil {
		t.Fatal(err)
	}
}
