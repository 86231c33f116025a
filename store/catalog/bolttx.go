package catalog

import (
	"runtime/debug"

	"go.etcd.io/bbolt"
)

// maxRunBytes ends a run early when its values are large.
const maxRunBytes = 64 << 10

// boltTx is a read transaction.
type boltTx struct {
	engine *boltEngine
	tx     *bbolt.Tx
	bucket *bbolt.Bucket
}

func (t *boltTx) get(key []byte) (value []byte, ok bool, err error) {
	defer t.engine.guard(debug.SetPanicOnFault(true), &err)
	v := t.bucket.Get(key)
	if v == nil {
		return nil, false, nil
	}
	value = make([]byte, len(v))
	copy(value, v)
	return value, true, nil
}

func (t *boltTx) close() {
	// The only error is a transaction that is closed already.
	_ = t.tx.Rollback()
}

func (t *boltTx) cursor(b bounds) engineCursor {
	return &boltCursor{tx: t, cursor: t.bucket.Cursor(), bounds: b}
}

// boltCursor reads runs. What it hands out are copies: bbolt's own bytes end with the transaction.
type boltCursor struct {
	tx     *boltTx
	cursor *bbolt.Cursor
	bounds bounds
	// pos, unbounded: where the next load begins, if fresh.
	pos              string
	unbounded, fresh bool
	end              bool
	// keys and values of the run being read, in the mapping. Nothing stays in them between loads.
	keys, values [maxRunKeys][]byte
}

func (c *boltCursor) seek(pos string, unbounded bool) {
	c.pos, c.unbounded, c.fresh, c.end = pos, unbounded, true, false
}

func (c *boltCursor) load(r *run, n int) (err error) {
	r.reset()
	if c.end {
		return nil
	}
	defer c.tx.engine.guard(debug.SetPanicOnFault(true), &err)
	count, total := 0, 0
	for count < min(n, maxRunKeys) && total < maxRunBytes {
		k, v := c.step()
		if k == nil || k[0] == reservedByte || c.bounds.past(viewString(k)) {
			c.end = true
			break
		}
		c.keys[count], c.values[count] = k, v
		count++
		total += len(k) + len(v)
	}
	c.copyRun(r, count, total)
	return nil
}

// copyRun copies what was read into one block of its own.
func (c *boltCursor) copyRun(r *run, count, total int) {
	block := make([]byte, 0, total)
	for i := range count {
		at := len(block)
		block = append(append(block, c.keys[i]...), c.values[i]...)
		mid := at + len(c.keys[i])
		r.keys = append(r.keys, viewString(block[at:mid]))
		r.values = append(r.values, block[mid:len(block):len(block)])
		c.keys[i], c.values[i] = nil, nil
	}
}

func (c *boltCursor) step() (key, value []byte) {
	if !c.fresh {
		if c.bounds.reverse {
			return c.cursor.Prev()
		}
		return c.cursor.Next()
	}
	c.fresh = false
	if !c.bounds.reverse {
		return c.cursor.Seek(viewBytes(c.pos))
	}
	if !c.unbounded {
		if k, _ := c.cursor.Seek(viewBytes(c.pos)); k != nil {
			return c.cursor.Prev()
		}
	}
	return c.cursor.Last()
}
