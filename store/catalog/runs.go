package catalog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"go.etcd.io/bbolt"
)

// Keys that come in no order (Options.Scattered) are kept as a log-structured merge-tree keeps them (O'Neil et al., 1996): bbolt would
// rewrite a page or two of 4 KiB for each of them, since hardly two of a flush lie on the same page of a large tree. Each flush
// writes its scattered keys as a sorted run, behind one another; runs of a level are merged, a part with each flush, into one of
// the next level. A key is looked for in the newest run first. A filter tells, without reading, of nearly all runs that they lack it.
//
// A run's rows lie in bbolt's bucket under reserved keys (see stamp.go), so a flush is one transaction as before, and whatever
// checks and reads the bucket serves runs, too.

// Bounds of merging.
const (
	// mergeRuns of a level begin a merge, of at most maxMergeRuns.
	mergeRuns    = 16
	maxMergeRuns = 64
	// mergeShare is how many rows a flush merges, and deletes of what was merged, for each that it adds: more than there are levels.
	mergeShare = 4
	// minMergeRows is how many it merges at least, maxMergeRows at most, which bounds memory.
	minMergeRows = 4 << 10
	maxMergeRows = 256 << 10
)

// sortedRun is a set of scattered keys that is not changed any more.
type sortedRun struct {
	id    uint32
	level int
	rows  int // deletions among them
	filter
}

// runs are the sorted runs at one moment.
type runs struct {
	next    uint32       // id of the next run
	live    []*sortedRun // newest first; levels rise
	dropped []uint32     // whose rows are still to be deleted, in ascending order
}

// merge is several runs on their way to become one. Until all of it is written, readers use what it comes from.
type merge struct {
	target *sortedRun
	from   []*sortedRun // neighbours among the live ones
	after  string       // the last key that was written
	bottom bool         // nothing is older: deletions hide nothing
}

// row is a change of the bucket; a nil value deletes.
type row struct {
	key   string
	value []byte
}

// A row of a run has a mark before its value. A deletion has no mark.
const valueMark = 1

// isScattered tells whether a key is kept in runs.
func (e *boltEngine) isScattered(key string) bool { return strings.IndexByte(e.scattered, key[0]) >= 0 }

// meetsScattered tells whether a range can hold a scattered key.
func (e *boltEngine) meetsScattered(b bounds) bool {
	for _, c := range []byte(e.scattered) {
		if (b.hi == nil || bytes.Compare(b.hi, []byte{c}) > 0) && (len(b.lo) == 0 || b.lo[0] <= c) {
			return true
		}
	}
	return false
}

func runKey(kind byte, id uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{reservedByte, kind}, id)
}

func filterKey(id uint32, at int) string {
	return string(binary.BigEndian.AppendUint32(runKey(filterKind, id), uint32(at)))
}

// encode lists target, if there is one, among the dropped: a merge that was interrupted begins anew. A checksum comes first.
func (s *runs) encode(m *merge) []byte {
	b := make([]byte, sumBytes)
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(s.next)), uint64(len(s.live)))
	for _, r := range s.live {
		for _, v := range [...]uint64{uint64(r.id), uint64(r.level), uint64(r.rows), uint64(len(r.filter))} {
			b = binary.AppendUvarint(b, v)
		}
	}
	for _, id := range s.dropped {
		b = binary.AppendUvarint(b, uint64(id))
	}
	if m != nil {
		b = binary.AppendUvarint(b, uint64(m.target.id))
	}
	return putSum(b)
}

// decodeRuns returns also how many blocks the filters have, which it does not read.
func decodeRuns(b []byte) (s *runs, blocks []int, err error) {
	b, bad := cutSum(b)
	number := func() int {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > math.MaxInt32 {
			b, bad = nil, true
			return 0
		}
		b = b[n:]
		return int(v)
	}
	s = &runs{next: uint32(number())}
	for n := number(); n > 0 && !bad; n-- {
		s.live = append(s.live, &sortedRun{id: uint32(number()), level: number(), rows: number()})
		blocks = append(blocks, number())
	}
	for len(b) > 0 {
		s.dropped = append(s.dropped, uint32(number()))
	}
	if bad {
		return nil, nil, fmt.Errorf("%w: list of runs", ErrCorrupt)
	}
	return s, blocks, nil
}

// openRuns reads what runs there are, and their filters, whose pages it checks first as checkFile does the others.
func (e *boltEngine) openRuns() error {
	return e.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketName)
		s, blocks, err := decodeRuns(b.Get(runsKey))
		if err != nil {
			return err
		}
		e.runs = s
		var rows []row
		for i, r := range s.live {
			for at := range filterRows(blocks[i]) {
				rows = append(rows, row{key: filterKey(r.id, at), value: []byte{}})
			}
		}
		slices.SortFunc(rows, func(a, b row) int { return strings.Compare(a.key, b.key) })
		if err := e.pages.checkChanges(uint64(tx.ID()), rows); err != nil {
			return err
		}
		for i, r := range s.live {
			ok := blocks[i] > 0
			for at := 0; ok && at < filterRows(blocks[i]); at++ {
				r.filter, ok = r.appendRow(b.Get([]byte(filterKey(r.id, at))))
			}
			if !ok || len(r.filter) != blocks[i] {
				return fmt.Errorf("%w: filter of a run", ErrCorrupt)
			}
		}
		return nil
	})
}

// plan is what a flush writes beside the keys that are not scattered, and how the runs are afterwards.
type plan struct {
	filters, rows []row // in the order of their keys
	runs          runs
	merge         *merge
}

// plan works out a flush. It can be done again if the flush fails: all that it changes is bits in the filter of the merge's target, which it then sets
// again.
func (e *boltEngine) plan(v *boltView, changes *table) (*plan, error) {
	var added []row
	changes.Scan(func(k string, value []byte) bool {
		if e.isScattered(k) {
			added = append(added, row{k, value})
		}
		return true
	})
	p := &plan{runs: runs{next: e.runs.next, live: slices.Clone(e.runs.live), dropped: e.runs.dropped}}
	if e.merge != nil {
		m := *e.merge
		target := *m.target
		m.target, p.merge = &target, &m
	}
	// The more runs there are, since a large merge holds the others up, the faster it goes.
	most := min(max(e.mergeRows, mergeShare*len(added))*max(1, len(p.runs.live)/mergeRuns), maxMergeRows)
	if err := p.drop(v, most); err != nil {
		return nil, err
	}
	if err := p.advance(v, most); err != nil {
		return nil, err
	}
	p.add(added)
	return p, nil
}

// drop deletes rows of runs that were merged.
func (p *plan) drop(v *boltView, most int) error {
	for len(p.runs.dropped) > 0 && len(p.rows) < most {
		id := p.runs.dropped[0]
		rows, err := v.deletions(runKey(rowKind, id), most-len(p.rows))
		if err != nil {
			return err
		}
		p.rows = append(p.rows, rows...)
		if len(p.rows) == most {
			break // there may be more
		}
		filters, err := v.deletions(runKey(filterKind, id), math.MaxInt)
		if err != nil {
			return err
		}
		p.filters = append(p.filters, filters...)
		p.runs.dropped = p.runs.dropped[1:]
	}
	return nil
}

// advance takes the merge that is under way further, or begins one. When it has ended, the next one waits for the next flush: it may be of the run
// that this flush only writes.
func (p *plan) advance(v *boltView, most int) error {
	if p.merge == nil {
		if p.merge = p.runs.pick(); p.merge == nil {
			return nil
		}
	}
	m := p.merge
	it := v.mergeRuns(m)
	prefix := string(runKey(rowKind, m.target.id))
	for ; most > 0; most-- {
		if !it.Next() {
			if it.Err() == nil {
				p.finish()
			}
			return it.Err()
		}
		m.after = viewString(it.Key())
		if len(it.Value()) == 0 && m.bottom {
			continue
		}
		p.rows = append(p.rows, row{prefix + m.after, it.Value()})
		m.target.add(filterHash(m.after))
		m.target.rows++
	}
	return nil
}

// pick begins a merge of the lowest level that has enough runs; nil if none has.
func (s *runs) pick() *merge {
	for at, end := 0, 0; at < len(s.live); at = end {
		level, rows := s.live[at].level, 0
		for end = at; end < len(s.live) && s.live[end].level == level; end++ {
		}
		if end-at < mergeRuns {
			continue
		}
		from := s.live[max(at, end-maxMergeRuns):end]
		for _, r := range from {
			rows += r.rows
		}
		s.next++
		return &merge{
			target: &sortedRun{id: s.next - 1, level: level + 1, filter: newFilter(rows)},
			from:   slices.Clone(from), bottom: end == len(s.live),
		}
	}
	return nil
}

// finish puts the target in the place of what it was made from.
func (p *plan) finish() {
	m := p.merge
	at := slices.Index(p.runs.live, m.from[0])
	rest := slices.Clone(p.runs.live[at+len(m.from):])
	p.runs.live = p.runs.live[:at]
	if m.target.rows > 0 {
		p.keep(m.target)
		p.runs.live = append(p.runs.live, m.target)
	}
	p.runs.live = append(p.runs.live, rest...)
	for _, r := range m.from {
		p.runs.dropped = append(slices.Clip(p.runs.dropped), r.id)
	}
	slices.Sort(p.runs.dropped)
	p.merge = nil
}

// add makes a run of a flush's own keys.
func (p *plan) add(rows []row) {
	if len(rows) == 0 {
		return
	}
	r := &sortedRun{id: p.runs.next, rows: len(rows), filter: newFilter(len(rows))}
	p.runs.next++
	p.runs.live = append([]*sortedRun{r}, p.runs.live...)
	prefix := string(runKey(rowKind, r.id))
	for _, c := range rows {
		r.filter.add(filterHash(c.key))
		value := []byte{}
		if c.value != nil {
			value = append(append(make([]byte, 0, 1+len(c.value)), valueMark), c.value...)
		}
		p.rows = append(p.rows, row{prefix + c.key, value})
	}
	p.keep(r)
}

// keep writes a run's filter.
func (p *plan) keep(r *sortedRun) {
	for i, value := range r.filter.encode() {
		p.filters = append(p.filters, row{filterKey(r.id, i), value})
	}
}

// deletions lists at most n deletions of the rows whose keys begin with prefix.
func (v *boltView) deletions(prefix []byte, n int) (rows []row, err error) {
	c := v.pageCursor(prefix)
	for c.seek("", false); len(rows) < n; {
		key, _, ok := c.row()
		if !ok {
			break
		}
		rows = append(rows, row{key: string(prefix) + string(key)})
	}
	return rows, c.err
}

// mergeRuns iterates over what a merge has still to write: keys, and values with their marks.
func (v *boltView) mergeRuns(m *merge) *Iterator {
	it := &Iterator{bounds: bounds{lo: []byte(m.after + "\x00")}, current: -1, report: func(err error) error { return err }}
	for _, r := range m.from {
		it.sources = append(it.sources, source{engine: v.pageCursor(runKey(rowKind, r.id))})
	}
	return it
}

// find looks for a scattered key.
func (v *boltView) find(key []byte) (inside []byte, err error) {
	hash := filterHash(viewString(key))
	for _, r := range v.runs {
		if !r.mayHave(hash) {
			continue
		}
		row := v.bucket.Get(append(runKey(rowKind, r.id), key...))
		if row == nil {
			continue
		}
		return v.unmark(row)
	}
	return nil, nil
}

// unmark gives the value in a row, nil for a deletion.
func (v *boltView) unmark(row []byte) ([]byte, error) {
	switch {
	case len(row) == 0:
		return nil, nil
	case row[0] != valueMark:
		return nil, v.engine.corrupt("mark of a row")
	}
	return row[1:], nil
}
