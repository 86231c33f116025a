package catalog

import (
	"bytes"
	"errors"
	"runtime/debug"
	"slices"
	"sort"
	"sync/atomic"

	"go.etcd.io/bbolt"
)

// boltView is a read transaction that is shared by all who read between two flushes, since nothing changes meanwhile.
// A bbolt read transaction may be used concurrently as long as its bucket was looked up before (etcd relies on
// that, too). It doesn't keep pages from being reused: those are free once no reader is older than the transaction
// that replaced them, and the shared one is always the newest, until a slow reader holds on to its own.
type boltView struct {
	engine *boltEngine
	tx     *bbolt.Tx
	bucket *bbolt.Bucket
	runs   []*sortedRun // newest first
	// refs counts users, and one for being the current one. At 0 it is closed for good.
	refs atomic.Int64
}

// newView opens the present state.
func (e *boltEngine) newView() (v *boltView, err error) {
	if e.stuck.Load() {
		return nil, ErrCorrupt
	}
	v = &boltView{engine: e, runs: e.runs.live}
	v.refs.Store(1)
	defer func() {
		switch {
		case err == nil:
		case v.tx != nil:
			_ = v.tx.Rollback()
		case errors.Is(err, ErrCorrupt):
			// A fault within Begin leaves bbolt's lock of the meta pages taken.
			e.stuck.Store(true)
		}
	}()
	defer e.guard(debug.SetPanicOnFault(true), &err)
	if v.tx, err = e.db.Begin(false); err != nil {
		return nil, err
	}
	if v.bucket = v.tx.Bucket(bucketName); v.bucket == nil {
		err = ErrCorrupt
	}
	return v, err
}

// refresh makes the present state the one that readers get.
func (e *boltEngine) refresh() error {
	v, err := e.newView()
	if err != nil {
		return err
	}
	e.publish(v)
	return nil
}

// publish replaces the current view, by none if v is nil.
func (e *boltEngine) publish(v *boltView) {
	if old := e.current.Swap(v); old != nil {
		old.close()
	}
}

// acquire returns the current view with a use added.
func (e *boltEngine) acquire() (*boltView, error) {
	for {
		v := e.current.Load()
		if v == nil {
			return nil, ErrClosed
		}
		if n := v.refs.Load(); n > 0 && v.refs.CompareAndSwap(n, n+1) {
			return v, nil
		}
	}
}

// close gives one use back.
func (v *boltView) close() {
	if v.refs.Add(-1) == 0 {
		// The only error is a transaction that is closed already.
		_ = v.tx.Rollback()
	}
}

func (v *boltView) get(key []byte) (value []byte, ok bool, err error) {
	defer v.engine.guard(debug.SetPanicOnFault(true), &err)
	var inside []byte
	if v.engine.isScattered(viewString(key)) {
		inside, err = v.find(key)
	} else {
		inside = v.bucket.Get(key)
	}
	if inside == nil || err != nil {
		return nil, false, err
	}
	if err := v.inspect(key, inside); err != nil {
		return nil, false, err
	}
	value = make([]byte, len(inside))
	copy(value, inside)
	return value, true, nil
}

// inspect returns ErrCorrupt for lengths that nobody wrote: the bytes may end anywhere.
func (v *boltView) inspect(key, value []byte) error {
	if len(key) > MaxKeyBytes || len(value) > MaxValueBytes {
		return v.engine.corrupt("key of %d bytes, value of %d", len(key), len(value))
	}
	return nil
}

func (v *boltView) cursors(b bounds) (out []engineCursor) {
	if v.engine.meetsScattered(b) {
		for _, r := range v.runs {
			out = append(out, v.runCursor(b, r))
		}
	}
	return append(out, &boltCursor{view: v, cursor: v.bucket.Cursor(), bounds: b})
}

func (v *boltView) runCursor(b bounds, r *sortedRun) *boltCursor {
	return &boltCursor{view: v, cursor: v.bucket.Cursor(), bounds: b, prefix: runKey(rowKind, r.id)}
}

// maxStretchBytes ends a stretch early when its values are large.
const maxStretchBytes = 64 << 10

// boltCursor reads stretches. What it hands out are copies: bbolt's own bytes end with the transaction.
type boltCursor struct {
	view   *boltView
	cursor *bbolt.Cursor
	bounds bounds
	// prefix of the keys of a sorted run; nil for keys that are not scattered.
	prefix []byte
	// pos, unbounded: where the next load begins, if fresh.
	pos              string
	unbounded, fresh bool
	end              bool
	// last is the key read last, empty if none was since seek.
	last string
	// pairBytes is the mean size of a pair in the last stretch: how much room the next one needs.
	pairBytes int
}

func (c *boltCursor) seek(pos string, unbounded bool) {
	c.pos, c.unbounded, c.fresh, c.end, c.last = pos, unbounded, true, false, ""
}

func (c *boltCursor) load(r *stretch, n int) (err error) {
	r.keys, r.values = r.keys[:0], r.values[:0]
	if c.end {
		return nil
	}
	defer c.view.engine.guard(debug.SetPanicOnFault(true), &err)
	var block []byte
	total := 0
	for len(r.keys) < n && total < maxStretchBytes {
		k, v := c.step()
		if !c.holds(k) {
			c.end = true
			break
		}
		k = k[len(c.prefix):]
		if c.prefix != nil {
			if v, err = c.view.unmark(v); err != nil {
				return err
			}
		}
		if err := c.view.inspect(k, v); err != nil {
			return err
		}
		if !c.inOrder(viewString(k)) {
			return c.view.engine.corrupt("keys out of order")
		}
		size := len(k) + len(v)
		if size > cap(block)-len(block) {
			left := (n - len(r.keys)) * (c.pairBytes + c.pairBytes/32 + 1)
			block = make([]byte, 0, max(size, min(left, maxStretchBytes)))
		}
		at := len(block)
		block = append(append(block, k...), v...)
		mid := at + len(k)
		c.last = viewString(block[at:mid])
		r.keys = append(r.keys, c.last)
		if v != nil {
			v = block[mid:len(block):len(block)]
		}
		r.values = append(r.values, v)
		total += size
	}
	if len(r.keys) > 0 {
		c.pairBytes = total / len(r.keys)
	}
	c.trim(r)
	return nil
}

// holds tells whether a row of the bucket is one of those that the cursor reads.
func (c *boltCursor) holds(key []byte) bool {
	if c.prefix != nil {
		return bytes.HasPrefix(key, c.prefix) && len(key) > len(c.prefix)
	}
	return key != nil && key[0] != reservedByte
}

// inOrder tells whether key may follow the last one. Among damaged pages a cursor may run in a circle.
func (c *boltCursor) inOrder(key string) bool {
	switch {
	case c.last == "":
		return true
	case c.bounds.reverse:
		return key < c.last
	}
	return key > c.last
}

// trim drops what lies past the end of the range.
func (c *boltCursor) trim(r *stretch) {
	n := len(r.keys)
	if n == 0 || !c.bounds.past(r.keys[n-1]) {
		return
	}
	c.end = true
	n = sort.Search(n, func(i int) bool { return c.bounds.past(r.keys[i]) })
	r.keys, r.values = r.keys[:n], r.values[:n]
}

func (c *boltCursor) step() (key, value []byte) {
	if !c.fresh {
		if c.bounds.reverse {
			return c.cursor.Prev()
		}
		return c.cursor.Next()
	}
	c.fresh = false
	pos := viewBytes(c.pos)
	if c.prefix != nil {
		pos = append(slices.Clip(c.prefix), pos...)
	}
	if !c.bounds.reverse {
		return c.cursor.Seek(pos)
	}
	if c.unbounded {
		pos = PrefixEnd(c.prefix)
	}
	if pos != nil {
		if k, _ := c.cursor.Seek(pos); k != nil {
			return c.cursor.Prev()
		}
	}
	return c.cursor.Last()
}
