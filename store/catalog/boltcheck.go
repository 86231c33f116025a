package catalog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"slices"
	"sort"
	"syscall"

	"golang.org/x/sync/errgroup"
)

// bbolt's file format: pages in the byte order of the machine, each with its number, kind, count of elements and count of pages that
// follow it as its overflow (https://github.com/etcd-io/bbolt/tree/main/internal/common).
const (
	pageHeaderBytes  = 16 // number 8, kind 2, count 2, overflow 4
	pageElementBytes = 16 // leaf: flags, position, key bytes, value bytes, 4 each; branch: position 4, key bytes 4, page 8
	pageBranch       = 0x01
	pageLeaf         = 0x02
	pageFreelist     = 0x10
	bucketElement    = 0x01       // flag of a leaf element whose value is a bucket
	bucketBytes      = 16         // root page 8, sequence 8; the page itself follows where the root is 0
	metaMagic        = 0xED0CDAED // page 0 or 1, by the lowest bit of the transaction
	metaSumAt        = 56
	metaBytes        = metaSumAt + 8
	firstPage        = 2
	minPageBytes     = 1 << 10
	maxPageBytes     = 1 << 25
	// maxDepth of the tree: no path is longer, not even with two elements a page. A longer one runs in a circle.
	maxDepth = 64
	// pageReaders read at a time: a disk serves several reads in the time of one.
	pageReaders = 8
)

// boltPages reads the file of a boltEngine beside bbolt. bbolt trusts what it maps: it would free as many pages as a rotten
// overflow count says, copy as many bytes as a rotten length says, and follow a pointer in a circle, until memory ends.
// So the pages that opening the file or a write makes it use are read and checked first. That also brings them into the page
// cache several at a time, where bbolt would fault them in one by one.
type boltPages struct {
	file      *os.File
	pageBytes int
	// end is above all pages in use.
	end uint64
}

// visit is a page to check, and what leads there: changes, or that it lies on the left or the right edge of a part of the tree whose
// neighbour may lose so many keys that the two are merged.
type visit struct {
	page        uint64
	key         string // its first key, as the page above has it; empty for the root
	changes     []row
	left, right bool
}

// boltMeta is a state of the file: the root of its buckets, its list of free pages, and the end of its pages.
type boltMeta struct{ root, freelist, end, tx uint64 }

// checkFile checks, before bbolt opens the file, what is then read: the free list, both edges of the tree, and the rows that tell of all
// others (see openRuns for the rest). A file that another process has open it leaves to bbolt, which will say so.
func checkFile(path string) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }() // gives up the lock, too
	if syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil {
		return nil
	}
	p := boltPages{file: f}
	for p.pageBytes = minPageBytes; p.pageBytes <= maxPageBytes; p.pageBytes *= 2 {
		even, ok0 := p.meta(0)
		odd, ok1 := p.meta(1)
		if ok1 && (!ok0 || odd.tx > even.tx) {
			even, ok0 = odd, true
		}
		if ok0 {
			return p.check(even, []row{{key: string(lsnKey), value: []byte{}}, {key: string(runsKey), value: []byte{}}, {key: string(stampKey), value: []byte{}}})
		}
	}
	return fmt.Errorf("%w: no valid meta page", ErrCorrupt)
}

// checkChanges checks every page that writing changes in the state of transaction tx makes bbolt use, and returns ErrCorrupt if one
// is not as bbolt wrote it.
func (p boltPages) checkChanges(tx uint64, changes []row) error {
	m, err := p.metaOf(tx)
	if err != nil {
		return err
	}
	return p.check(m, changes)
}

// metaOf reads the meta page of transaction tx, one of the last two.
func (p *boltPages) metaOf(tx uint64) (boltMeta, error) {
	m, ok := p.meta(tx % 2)
	if !ok || m.tx != tx {
		return m, fmt.Errorf("%w: meta page %d", ErrCorrupt, tx%2)
	}
	return m, nil
}

// check checks the free list, both edges of the tree, and the pages that changes lead to.
func (p boltPages) check(m boltMeta, changes []row) error {
	p.end = m.end
	if err := p.checkFreelist(m.freelist); err != nil {
		return err
	}
	root, _, err := p.root(m)
	var level []visit
	if root != 0 {
		level = []visit{{page: root, changes: changes, left: true, right: true}}
	}
	for depth := 0; err == nil && len(level) > 0; depth++ {
		if depth == maxDepth {
			return fmt.Errorf("%w: pages in a circle", ErrCorrupt)
		}
		level, err = p.checkLevel(level)
	}
	return err
}

// root finds the root of the tree, see boltNode.bucket.
func (p *boltPages) root(m boltMeta) (root uint64, inner boltNode, err error) {
	var top boltNode
	if err := p.read(&top, m.root, bucketElement); err != nil {
		return 0, top, err
	}
	return top.bucket(string(bucketName))
}

// meta reads one of the two meta pages; ok is false if it is damaged or of another page size.
func (p *boltPages) meta(page uint64) (m boltMeta, ok bool) {
	b := make([]byte, metaBytes)
	if _, err := p.file.ReadAt(b, int64(page)*int64(p.pageBytes)+pageHeaderBytes); err != nil {
		return m, false
	}
	word := func(at int) uint64 { return binary.NativeEndian.Uint64(b[at:]) }
	sum := fnv.New64a()
	_, _ = sum.Write(b[:metaSumAt])
	m = boltMeta{root: word(16), freelist: word(32), end: word(40), tx: word(48)}
	return m, binary.NativeEndian.Uint32(b) == metaMagic && binary.NativeEndian.Uint32(b[8:]) == uint32(p.pageBytes) && word(metaSumAt) == sum.Sum64()
}

// checkLevel checks pages of one level of the tree and returns those below them.
func (p *boltPages) checkLevel(level []visit) ([]visit, error) {
	below := make([][]visit, len(level))
	var work errgroup.Group
	work.SetLimit(pageReaders)
	const share = 32
	for at := 0; at < len(level); at += share {
		work.Go(func() error {
			var n boltNode
			for i := at; i < min(at+share, len(level)); i++ {
				v := &level[i]
				if err := p.child(&n, v.page, v.key); err != nil {
					return err
				}
				below[i] = n.below(v)
			}
			return nil
		})
	}
	if err := work.Wait(); err != nil {
		return nil, err
	}
	next := level[:0]
	for _, v := range below {
		next = append(next, v...)
	}
	return next, nil
}

// child makes n what page id is, whose first key is known unless it is empty.
func (p *boltPages) child(n *boltNode, id uint64, first string) error {
	if err := p.read(n, id, 0); err != nil {
		return err
	}
	if first != "" && (n.count == 0 || string(n.key(0)) != first) {
		return fmt.Errorf("%w: page %d is another one's child", ErrCorrupt, id)
	}
	return nil
}

// page reads the page id into b, which it makes as large as the pages that hold size bytes.
func (p *boltPages) page(b []byte, id uint64, size int) (_ []byte, h pageHeader, err error) {
	if id < firstPage || id >= p.end {
		return b, h, fmt.Errorf("%w: page %d of %d", ErrCorrupt, id, p.end)
	}
	size = (size + p.pageBytes - 1) / p.pageBytes * p.pageBytes
	b = slices.Grow(b[:0], size)[:size]
	if _, err := p.file.ReadAt(b, int64(id)*int64(p.pageBytes)); err != nil {
		return b, h, fmt.Errorf("%w: page %d: %w", ErrCorrupt, id, err)
	}
	h = headerOf(b)
	if h.id != id || id+uint64(h.overflow) >= p.end {
		return b, h, fmt.Errorf("%w: header of page %d", ErrCorrupt, id)
	}
	return b, h, nil
}

type pageHeader struct {
	id          uint64
	kind, count uint16
	overflow    uint32
}

func headerOf(b []byte) pageHeader {
	return pageHeader{
		id: binary.NativeEndian.Uint64(b), kind: binary.NativeEndian.Uint16(b[8:]),
		count: binary.NativeEndian.Uint16(b[10:]), overflow: binary.NativeEndian.Uint32(b[12:]),
	}
}

// read makes n what page id of the tree is, and checks it. flags are what its elements must have if it is a leaf.
func (p *boltPages) read(n *boltNode, id uint64, flags uint32) (err error) {
	if n.bytes, n.pageHeader, err = p.page(n.bytes, id, p.pageBytes); err != nil {
		return err
	}
	if table := n.tableBytes(); table > len(n.bytes) {
		if n.bytes, n.pageHeader, err = p.page(n.bytes, id, table); err != nil {
			return err
		}
	}
	used, ok := n.measure(flags)
	// bbolt gives a node just the pages that it needs.
	if pages := (used + int64(p.pageBytes) - 1) / int64(p.pageBytes); !ok || pages != int64(n.overflow)+1 {
		return fmt.Errorf("%w: elements of page %d", ErrCorrupt, id)
	}
	if used > int64(len(n.bytes)) {
		if n.bytes, n.pageHeader, err = p.page(n.bytes, id, int(used)); err != nil {
			return err
		}
	}
	if !n.sorted() {
		return fmt.Errorf("%w: order of page %d", ErrCorrupt, id)
	}
	return nil
}

// boltNode is a branch or leaf page.
type boltNode struct {
	pageHeader
	bytes []byte
}

// tableBytes is how far the table of elements reaches.
func (n *boltNode) tableBytes() int { return pageHeaderBytes + int(n.count)*pageElementBytes }

// element returns where the key of the i-th element lies within the node, and the lengths of key and value.
func (n *boltNode) element(i int) (at, key, value int64, flags uint32) {
	offset := int64(pageHeaderBytes + i*pageElementBytes)
	e := n.bytes[offset:][:pageElementBytes]
	word := func(i int) int64 { return int64(binary.NativeEndian.Uint32(e[4*i:])) }
	if n.kind == pageBranch {
		return offset + word(0), word(1), 0, 0
	}
	return offset + word(1), word(2), word(3), uint32(word(0))
}

// measure returns the bytes that the node's elements take, false if they are not one behind the other, as bbolt writes them,
// or beyond the limits of keys and values. Of the node only the table has to be there.
func (n *boltNode) measure(flags uint32) (used int64, ok bool) {
	used = int64(n.tableBytes())
	if n.kind != pageBranch && n.kind != pageLeaf {
		return 0, false
	}
	if n.kind == pageBranch {
		flags = 0
	}
	for i := range int(n.count) {
		at, key, value, f := n.element(i)
		if at != used || key < 1 || key > runKeyBytes+MaxKeyBytes || value > 1+MaxValueBytes || f != flags {
			return 0, false
		}
		used += key + value
	}
	return used, n.kind == pageLeaf || n.count > 0
}

// childPage returns the page that the i-th element of a branch leads to.
func (n *boltNode) childPage(i int) uint64 {
	return binary.NativeEndian.Uint64(n.bytes[pageHeaderBytes+i*pageElementBytes+8:])
}

func (n *boltNode) key(i int) []byte {
	at, key, _, _ := n.element(i)
	return n.bytes[at:][:key]
}

func (n *boltNode) sorted() bool {
	for i := 1; i < int(n.count); i++ {
		if bytes.Compare(n.key(i-1), n.key(i)) >= 0 {
			return false
		}
	}
	return true
}

// bucket finds the bucket that the node, a leaf of buckets, holds under name: the page of its root or, if that is 0, the root itself, a leaf within
// the node, of which it checks all there is.
func (n *boltNode) bucket(name string) (root uint64, inner boltNode, err error) {
	for i := range int(n.count) {
		at, key, value, _ := n.element(i)
		if string(n.key(i)) != name || value < bucketBytes {
			continue
		}
		b := n.bytes[at+key:][:value]
		if root = binary.NativeEndian.Uint64(b); root != 0 {
			return root, inner, nil
		}
		if b = b[bucketBytes:]; len(b) < pageHeaderBytes {
			break
		}
		inner = boltNode{pageHeader: headerOf(b), bytes: b}
		if inner.id != 0 || inner.overflow != 0 || inner.kind != pageLeaf || inner.tableBytes() > len(b) {
			break
		}
		if used, ok := inner.measure(0); !ok || used > int64(len(b)) || !inner.sorted() {
			break
		}
		return 0, inner, nil
	}
	return 0, inner, fmt.Errorf("%w: bucket", ErrCorrupt)
}

// below returns the pages below the node that a visit of it leads to, from left to right. A page that loses keys may be merged with its
// neighbour, and then the edges of the two where they meet.
func (n *boltNode) below(v *visit) (visits []visit) {
	if n.kind != pageBranch {
		return nil
	}
	last, count := -1, int(n.count)
	at := func(i int) *visit { // i never falls
		if i != last {
			visits = append(visits, visit{page: n.childPage(i), key: string(n.key(i))})
			last = i
		}
		return &visits[len(visits)-1]
	}
	if v.left {
		at(0).left = true
	}
	changes := v.changes
	before := false // the child before loses keys
	for i := 0; i < count && (before || len(changes) > 0); i++ {
		here := changes
		if i+1 < count {
			end := viewString(n.key(i + 1))
			here = changes[:sort.Search(len(changes), func(k int) bool { return changes[k].key >= end })]
		}
		changes = changes[len(here):]
		loses := slices.ContainsFunc(here, func(r row) bool { return r.value == nil })
		if loses && i > 0 {
			at(i - 1).right = true
		}
		if before {
			at(i).left = true
		}
		if len(here) > 0 {
			at(i).changes = here
		}
		before = loses
	}
	if v.right {
		at(count - 1).right = true
	}
	return visits
}

// checkFreelist checks the page that lists unused ones: bbolt frees it with the next write, and would hand out whatever it names.
func (p *boltPages) checkFreelist(id uint64) error {
	b, h, err := p.page(nil, id, p.pageBytes)
	if err != nil {
		return err
	}
	const idBytes = 8
	bad := fmt.Errorf("%w: free list", ErrCorrupt)
	count, from := uint64(h.count), uint64(pageHeaderBytes)
	if h.count == 0xFFFF {
		count, from = binary.NativeEndian.Uint64(b[from:]), from+idBytes
	}
	// bbolt sizes the page before it takes its place from the list that it will write there.
	pages := uint64(h.overflow) + 1
	if h.kind != pageFreelist || count > p.end ||
		pages < (from+count*idBytes)/uint64(p.pageBytes)+1 || pages > (from+idBytes+(count+pages)*idBytes)/uint64(p.pageBytes)+1 {
		return bad
	}
	if b, _, err = p.page(b, id, int(from+count*idBytes)); err != nil {
		return err
	}
	last := uint64(firstPage - 1)
	for i := range count {
		free := binary.NativeEndian.Uint64(b[from+i*idBytes:])
		if free <= last || free >= p.end {
			return bad
		}
		last = free
	}
	return nil
}
