package catalog

import (
	"bytes"
	"fmt"
	"sort"
)

// pageCursor reads the rows of a sorted run for a merge: in ascending order, with their marks. It checks each page before it uses it, as
// boltPages does. What a merge does not see would be lost for good, and what goes wrong in a flush comes back at the next start.
type pageCursor struct {
	pages  boltPages
	root   uint64
	prefix []byte // of the run's keys
	path   []boltNode
	at     []int // element in each node of path
	err    error
}

// pageCursor begins before the first row of a run.
func (v *boltView) pageCursor(prefix []byte) *pageCursor {
	c := &pageCursor{pages: v.engine.pages, prefix: prefix}
	m, err := c.pages.metaOf(uint64(v.tx.ID()))
	if err == nil {
		c.pages.end = m.end
		var inner boltNode
		if c.root, inner, err = c.pages.root(m); err == nil && c.root == 0 {
			c.path, c.at = []boltNode{inner}, []int{0}
		}
	}
	c.err = err
	return c
}

// seek implements engineCursor, forwards only.
func (c *pageCursor) seek(pos string, _ bool) {
	if c.err != nil {
		return
	}
	key := append(c.prefix[:len(c.prefix):len(c.prefix)], pos...)
	if c.root != 0 {
		c.path, c.at = c.path[:0], c.at[:0]
		c.err = c.descend(c.root, "", key)
	}
	if c.err == nil {
		leaf := &c.path[len(c.path)-1]
		c.at[len(c.at)-1] = sort.Search(int(leaf.count), func(i int) bool { return bytes.Compare(leaf.key(i), key) >= 0 })
	}
}

// descend goes down from a page to the leaf where key is, or would be; first is the first key of the page, if known.
func (c *pageCursor) descend(page uint64, first string, key []byte) error {
	for {
		if len(c.path) == maxDepth {
			return fmt.Errorf("%w: pages in a circle", ErrCorrupt)
		}
		var n boltNode
		if err := c.pages.child(&n, page, first); err != nil {
			return err
		}
		i := 0
		if n.kind == pageBranch {
			i = max(0, sort.Search(int(n.count), func(i int) bool { return bytes.Compare(n.key(i), key) > 0 })-1)
			page, first = n.childPage(i), string(n.key(i))
		}
		c.path, c.at = append(c.path, n), append(c.at, i)
		if n.kind == pageLeaf {
			return nil
		}
	}
}

// row returns the next row, whose bytes are good until the next call; ok is false at the end of the run.
func (c *pageCursor) row() (key, value []byte, ok bool) {
	for c.err == nil {
		top := len(c.path) - 1
		n := &c.path[top]
		if i := c.at[top]; i < int(n.count) {
			c.at[top]++
			at, keyBytes, valueBytes, _ := n.element(i)
			key, rest := n.bytes[at:][:keyBytes], n.bytes[at+keyBytes:][:valueBytes]
			if !bytes.HasPrefix(key, c.prefix) {
				return nil, nil, false
			}
			return key[len(c.prefix):], rest, true
		}
		for top--; top >= 0 && c.at[top]+1 == int(c.path[top].count); top-- {
		}
		if top < 0 {
			return nil, nil, false
		}
		c.at[top]++
		above := &c.path[top]
		c.path, c.at = c.path[:top+1], c.at[:top+1]
		c.err = c.descend(above.childPage(c.at[top]), string(above.key(c.at[top])), nil)
	}
	return nil, nil, false
}

// load implements engineCursor.
func (c *pageCursor) load(s *stretch, n int) error {
	s.keys, s.values = s.keys[:0], s.values[:0]
	for len(s.keys) < n {
		key, value, ok := c.row()
		if !ok {
			break
		}
		s.keys = append(s.keys, string(key))
		s.values = append(s.values, append(make([]byte, 0, len(value)), value...))
	}
	return c.err
}
