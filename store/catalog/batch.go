package catalog

import (
	"fmt"
	"sync/atomic"
)

// Limits of one entry. bbolt's own are 32 KiB and 2 GiB.
const (
	MaxKeyBytes   = 16 << 10
	MaxValueBytes = 16 << 20
)

// Sizes of the blocks that a batch copies keys and values into: doubled from the first to the last, so that a small
// batch wastes little and a large one needs few allocations.
const (
	minBlockBytes = 1 << 10
	maxBlockBytes = 32 << 10
	// ownBytes is the length from which on a value does not lie in a block.
	ownBytes = 256
)

// Batch collects changes that become visible together. It reads through: Get and Iter show its own changes over those
// of pending batches over the catalog. It belongs to one goroutine until it is sealed, by Commit or by
// a later batch that reads through it; then it can be read by several. Once it is committed only later batches read through it.
type Batch struct {
	catalog *Catalog
	// pending are the uncommitted batches below this one, newest first.
	pending []*Batch
	changes table
	block   []byte
	nextLen int
	bytes   int64
	err     error
	sealed  atomic.Bool
}

// NewBatch starts a batch over the catalog and, if given, over batches not committed yet, oldest first: what a sequencer
// decides must see the batches that are still on their way to the disk. They are sealed by this, and MUST be
// committed in the order given before this one; if one of them is given up, this one must be too.
func (c *Catalog) NewBatch(pending ...*Batch) *Batch {
	b := &Batch{catalog: c, nextLen: minBlockBytes}
	for i := len(pending) - 1; i >= 0; i-- {
		pending[i].sealed.Store(true)
		b.pending = append(b.pending, pending[i])
	}
	return b
}

// Put sets key to value. Both are copied.
func (b *Batch) Put(key, value []byte) {
	if len(value) > MaxValueBytes {
		b.fail(fmt.Errorf("put %d bytes: %w", len(value), ErrValueTooLarge))
		return
	}
	if b.check(key) {
		k, v := b.keep(key), b.keepValue(value)
		b.bytes -= setEntry(&b.changes, k, v)
	}
}

// Delete removes key; it need not exist.
func (b *Batch) Delete(key []byte) {
	if b.check(key) {
		k := b.keep(key)
		b.bytes -= setEntry(&b.changes, k, nil)
	}
}

// Err returns the first change that was refused: ErrInvalidKey, ErrValueTooLarge, ErrSealed. Ask before the log
// is written: Commit refuses such a batch as a whole.
func (b *Batch) Err() error { return b.err }

// Len returns how many keys the batch changes.
func (b *Batch) Len() int { return b.changes.Len() }

// Bytes returns what the batch will take of the overlay's budget.
func (b *Batch) Bytes() int64 { return b.bytes }

// Get returns the value of key as it will be after the batch, see Reader.
func (b *Batch) Get(key []byte) ([]byte, bool, error) {
	k := viewString(key)
	if v, ok := b.changes.Get(k); ok {
		return v, v != nil, nil
	}
	for _, p := range b.pending {
		if v, ok := p.changes.Get(k); ok {
			return v, v != nil, nil
		}
	}
	return b.catalog.Get(key)
}

// Iter iterates over the keys from lo up to but not including hi, in ascending order, as they will be after the batch, see
// Reader. Changes made to the batch later don't show.
func (b *Batch) Iter(lo, hi []byte) *Iterator { return b.iter(lo, hi, false) }

// IterReverse is Iter in descending order.
func (b *Batch) IterReverse(lo, hi []byte) *Iterator { return b.iter(lo, hi, true) }

func (b *Batch) iter(lo, hi []byte, reverse bool) *Iterator {
	tables := make([]*table, 0, 3+len(b.pending))
	if b.sealed.Load() {
		tables = append(tables, &b.changes)
	} else {
		tables = append(tables, b.changes.Copy())
	}
	for _, p := range b.pending {
		tables = append(tables, &p.changes)
	}
	s := b.catalog.Snapshot()
	it := newIterator(bounds{lo: lo, hi: hi, reverse: reverse}, s, tables)
	it.owned = s
	return it
}

func (b *Batch) check(key []byte) bool {
	switch {
	case b.sealed.Load():
		b.fail(ErrSealed)
	case len(key) == 0 || len(key) > MaxKeyBytes:
		b.fail(fmt.Errorf("key of %d bytes: %w", len(key), ErrInvalidKey))
	case key[0] == reservedByte:
		b.fail(fmt.Errorf("reserved key: %w", ErrInvalidKey))
	default:
		return true
	}
	return false
}

func (b *Batch) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

// keep copies a key into the batch's memory.
func (b *Batch) keep(key []byte) string {
	b.bytes += entryOverheadBytes
	return viewString(b.keepBytes(key))
}

// keepValue copies a value. One that is long has memory of its own, which is free again once the value is replaced: rows of studies are,
// with each of their instances.
func (b *Batch) keepValue(value []byte) []byte {
	if len(value) < ownBytes {
		return b.keepBytes(value)
	}
	b.bytes += int64(len(value))
	return append(make([]byte, 0, len(value)), value...)
}

func (b *Batch) keepBytes(in []byte) []byte {
	if len(in) > cap(b.block)-len(b.block) {
		size := max(b.nextLen, len(in))
		b.block = make([]byte, 0, size)
		b.bytes += int64(size)
		b.nextLen = min(2*b.nextLen, maxBlockBytes)
	}
	at := len(b.block)
	b.block = append(b.block, in...)
	return b.block[at:len(b.block):len(b.block)]
}
