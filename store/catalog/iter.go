package catalog

import (
	"sort"

	"github.com/tidwall/btree"
)

// Reader is what snapshots, batches and the catalog itself have in common.
type Reader interface {
	// Get returns the value of key, and whether it exists. The value may be kept and MUST NOT be modified.
	Get(key []byte) (value []byte, ok bool, err error)
	// Iter returns an iterator over keys from lo up to but not including hi in ascending order; a nil hi has no end. The iterator stands before the first key.
	// It MUST be closed. lo and hi must not change meanwhile.
	Iter(lo, hi []byte) *Iterator
	// IterReverse is Iter in descending order, beginning below hi.
	IterReverse(lo, hi []byte) *Iterator
}

var (
	_ Reader = (*Catalog)(nil)
	_ Reader = (*Snapshot)(nil)
	_ Reader = (*Batch)(nil)
)

// Scan calls fn for each key from lo up to but not including hi in ascending order until fn returns false.
func Scan(r Reader, lo, hi []byte, fn func(key, value []byte) bool) error {
	it := r.Iter(lo, hi)
	for it.Next() {
		if !fn(it.Key(), it.Value()) {
			break
		}
	}
	return it.Close()
}

// After returns the smallest key greater than key: where to resume a scan that ended with key.
func After(key []byte) []byte {
	return append(append(make([]byte, 0, len(key)+1), key...), 0)
}

// Iterator walks over keys in one direction. It is for one goroutine.
//
//	it := r.Iter(lo, hi)
//	for ok := it.Next(); ok; {
//		...
//		if wholeFolderSeen {
//			ok = it.Seek(PrefixEnd(folder))
//		} else {
//			ok = it.Next()
//		}
//	}
//	err := it.Close()
type Iterator struct {
	bounds bounds
	// sources are the layers, newest first. A key in an earlier one hides the same key in a later one.
	sources []source
	// current is the source that gave the current key; -1 if there is none.
	current int
	// started and done tell that a first position was taken and that the end was reached.
	started, done bool
	err           error
	// report is told of err and returns it.
	report func(error) error
	// owned is closed with the iterator, if any.
	owned *Snapshot
}

func newIterator(b bounds, s *Snapshot, above []*table) *Iterator {
	if len(b.lo) == 0 || b.lo[0] == reservedByte {
		b.lo = []byte{reservedByte + 1}
	}
	it := &Iterator{bounds: b, current: -1, report: s.catalog.readError}
	if s.err != nil {
		it.err, it.done = s.err, true
		return it
	}
	it.sources = make([]source, 0, len(above)+3)
	for _, t := range append(above, s.active, s.frozen) {
		if t != nil && t.Len() > 0 {
			it.sources = append(it.sources, source{iter: t.Iter(), reverse: b.reverse})
		}
	}
	for _, c := range s.tx.cursors(b) {
		it.sources = append(it.sources, source{engine: c, reverse: b.reverse})
	}
	return it
}

// Next moves to the next key in the iterator's direction, to the first one at the start. It returns false at the end or after
// an error.
func (it *Iterator) Next() bool {
	if it.done {
		return false
	}
	if !it.started {
		if it.bounds.reverse {
			return it.seek(viewString(it.bounds.hi), it.bounds.hi == nil)
		}
		return it.seek(viewString(it.bounds.lo), false)
	}
	if it.current >= 0 && !it.step(it.current) {
		return false
	}
	return it.settle()
}

// Seek moves to the first key at or after key or, in reverse, to the last key at or before it, within the iterator's range;
// it may go back, too. The result is as that of Next. A nil key (PrefixEnd of the last prefix there is) is the end.
func (it *Iterator) Seek(key []byte) bool {
	if it.err != nil {
		return false
	}
	if !it.bounds.reverse {
		if key == nil {
			it.done, it.current = true, -1
			return false
		}
		return it.seek(max(string(key), viewString(it.bounds.lo)), false)
	}
	if key == nil {
		return it.seek(viewString(it.bounds.hi), it.bounds.hi == nil)
	}
	below := string(After(key))
	if it.bounds.hi != nil {
		below = min(below, viewString(it.bounds.hi))
	}
	return it.seek(below, false)
}

// Key returns the current key. It may be kept and MUST NOT be modified.
func (it *Iterator) Key() []byte { return viewBytes(it.sources[it.current].key) }

// Value returns the current value. It may be kept and MUST NOT be modified.
func (it *Iterator) Value() []byte { return it.sources[it.current].value }

// Err returns the error that ended the iteration, nil if it was the end of the range.
func (it *Iterator) Err() error { return it.err }

// Close ends the iteration and returns Err. It may be called twice.
func (it *Iterator) Close() error {
	it.done, it.current, it.sources = true, -1, nil
	if it.owned != nil {
		it.owned.Close()
		it.owned = nil
	}
	return it.err
}

func (it *Iterator) seek(pos string, unbounded bool) bool {
	// A source that is already at or past pos need not move, if pos lies ahead of where the iterator is.
	ahead := it.started && !it.done && it.current >= 0 && !unbounded && it.isAhead(pos)
	it.started, it.done, it.current = true, false, -1
	for i := range it.sources {
		if err := it.sources[i].seek(pos, unbounded, ahead); err != nil {
			return it.fail(err)
		}
	}
	return it.settle()
}

func (it *Iterator) isAhead(pos string) bool {
	at := it.sources[it.current].key
	if it.bounds.reverse {
		return pos <= at
	}
	return pos > at
}

// settle finds the source with the next key, skipping what newer layers hide and what they deleted.
func (it *Iterator) settle() bool {
	for {
		best := it.nearest()
		if best < 0 || it.bounds.past(it.sources[best].key) {
			it.done, it.current = true, -1
			return false
		}
		key := it.sources[best].key
		for i := best + 1; i < len(it.sources); i++ {
			if s := &it.sources[i]; s.ok && s.key == key && !it.step(i) {
				return false
			}
		}
		if it.sources[best].value != nil {
			it.current = best
			return true
		}
		if !it.step(best) {
			return false
		}
	}
}

// nearest returns the newest of the sources that have the next key, -1 at the end.
func (it *Iterator) nearest() int {
	best := -1
	for i := range it.sources {
		s := &it.sources[i]
		if !s.ok {
			continue
		}
		if best < 0 || (it.bounds.reverse && s.key > it.sources[best].key) ||
			(!it.bounds.reverse && s.key < it.sources[best].key) {
			best = i
		}
	}
	return best
}

func (it *Iterator) step(i int) bool {
	if err := it.sources[i].next(); err != nil {
		return it.fail(err)
	}
	return true
}

func (it *Iterator) fail(err error) bool {
	it.err, it.done, it.current = it.report(err), true, -1
	return false
}

// Lengths of the stretches read from an engine: short after a seek, for skip-scans take one key of each, longer in a scan.
const (
	firstStretchKeys = 4
	maxStretchKeys   = 96
)

// source is one layer below an iterator: a table, or one of the engine's.
type source struct {
	key     string
	value   []byte
	ok      bool
	reverse bool
	iter    btree.MapIter[string, []byte]
	// engine is nil for a table. stretch is what was read ahead, at is where key is in it, want how long the next one should be.
	engine  engineCursor
	stretch stretch
	at      int
	want    int
}

func (s *source) seek(pos string, unbounded, ahead bool) error {
	if ahead && (!s.ok || (s.reverse && s.key < pos) || (!s.reverse && s.key >= pos)) {
		return nil
	}
	if s.engine == nil {
		s.seekTable(pos, unbounded)
		return nil
	}
	if ahead && s.seekStretch(pos) {
		return nil
	}
	s.engine.seek(pos, unbounded)
	s.want = firstStretchKeys
	return s.load()
}

func (s *source) seekTable(pos string, unbounded bool) {
	switch {
	case !s.reverse:
		s.ok = s.iter.Seek(pos)
	case unbounded || !s.iter.Seek(pos):
		s.ok = s.iter.Last()
	default:
		s.ok = s.iter.Prev()
	}
	s.take()
}

// seekStretch looks for pos in what was read ahead.
func (s *source) seekStretch(pos string) bool {
	rest := s.stretch.keys[s.at:]
	i := sort.Search(len(rest), func(i int) bool {
		if s.reverse {
			return rest[i] < pos
		}
		return rest[i] >= pos
	})
	if i == len(rest) {
		return false
	}
	s.at += i
	s.key, s.value = s.stretch.keys[s.at], s.stretch.values[s.at]
	return true
}

func (s *source) next() error {
	if s.engine == nil {
		if s.reverse {
			s.ok = s.iter.Prev()
		} else {
			s.ok = s.iter.Next()
		}
		s.take()
		return nil
	}
	if s.at++; s.at < len(s.stretch.keys) {
		s.key, s.value = s.stretch.keys[s.at], s.stretch.values[s.at]
		return nil
	}
	return s.load()
}

func (s *source) take() {
	if s.ok {
		s.key, s.value = s.iter.Key(), s.iter.Value()
	}
}

func (s *source) load() error {
	s.at = 0
	if err := s.engine.load(&s.stretch, s.want); err != nil {
		s.ok = false
		return err
	}
	s.want = min(s.want*4, maxStretchKeys)
	if s.ok = len(s.stretch.keys) > 0; s.ok {
		s.key, s.value = s.stretch.keys[0], s.stretch.values[0]
	}
	return nil
}
