package catalog

import (
	"fmt"
	"sync"
)

// MemDisk is what an in-memory catalog leaves behind: like a file it survives its catalog, exactly as of the last
// flush. Flushes are atomic. It is for tests of crashes on in-memory file systems, where bbolt, which wants a real
// file, can't take part. It is safe for concurrent use.
type MemDisk struct {
	mu    sync.Mutex
	table *table // replaced as a whole, never changed
	at    uint64
	stamp string
	// opens counts catalogs opened on it; only the last one may write.
	opens uint64
	fault func() error
}

// NewMemDisk returns an empty disk.
func NewMemDisk() *MemDisk { return &MemDisk{table: new(table)} }

// Clone returns an independent copy of the present state: what a crash now would leave.
func (d *MemDisk) Clone() *MemDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &MemDisk{table: d.table, at: d.at, stamp: d.stamp}
}

// SetFault makes each later write call fault first and fail with its error, if any. nil ends that.
func (d *MemDisk) SetFault(fault func() error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = fault
}

// Reset empties the disk, as Remove does with a file. A catalog still open on it can't write any more.
func (d *MemDisk) Reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.table, d.at, d.stamp = new(table), 0, ""
	d.opens++
}

// OpenMem opens a catalog on a MemDisk. It behaves as one from Open. A catalog that is still open on the same disk is cut off: its
// flushes fail with ErrBroken, so that it may be left behind as a crash would.
func OpenMem(d *MemDisk, opts Options) (*Catalog, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if stamp := string(opts.stamp()); d.stamp == "" {
		d.stamp = stamp
	} else if d.stamp != stamp {
		return nil, fmt.Errorf("open catalog: %w", ErrMismatch)
	}
	d.opens++
	return start(&memEngine{disk: d, id: d.opens, opened: d.at}, opts), nil
}

type memEngine struct {
	disk   *MemDisk
	id     uint64
	opened uint64 // the LSN at open
}

func (e *memEngine) lsn() uint64 { return e.opened }

func (e *memEngine) begin() (engineTx, error) {
	e.disk.mu.Lock()
	defer e.disk.mu.Unlock()
	if e.disk.opens != e.id {
		return nil, ErrBroken
	}
	return &memTx{table: e.disk.table}, nil
}

func (e *memEngine) get(key []byte) ([]byte, bool, error) {
	tx, err := e.begin()
	if err != nil {
		return nil, false, err
	}
	return tx.get(key)
}

func (e *memEngine) write(changes *table, lsn uint64) error {
	d := e.disk
	d.mu.Lock()
	fault := d.fault
	d.mu.Unlock()
	if fault != nil {
		if err := fault(); err != nil {
			return fmt.Errorf("flush catalog: %w", err)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.opens != e.id {
		return fmt.Errorf("flush catalog: disk was opened again: %w", ErrBroken)
	}
	next := d.table.Copy()
	changes.Scan(func(k string, v []byte) bool {
		if v == nil {
			next.Delete(k)
		} else {
			next.Set(k, v)
		}
		return true
	})
	d.table, d.at = next, lsn
	return nil
}

func (e *memEngine) stats(*Stats) {}
func (e *memEngine) close() error { return nil }

type memTx struct{ table *table }

func (t *memTx) get(key []byte) ([]byte, bool, error) {
	v, ok := t.table.Get(viewString(key))
	return v, ok, nil
}

func (t *memTx) close() {}

func (t *memTx) cursors(b bounds) []engineCursor {
	return []engineCursor{&memCursor{source: source{iter: t.table.Iter(), reverse: b.reverse}}}
}

// memCursor reads stretches from a table.
type memCursor struct{ source source }

func (c *memCursor) seek(pos string, unbounded bool) { c.source.seekTable(pos, unbounded) }

func (c *memCursor) load(r *stretch, n int) error {
	r.keys, r.values = r.keys[:0], r.values[:0]
	for ; n > 0 && c.source.ok; n-- {
		r.keys = append(r.keys, c.source.key)
		r.values = append(r.values, c.source.value)
		if err := c.source.next(); err != nil {
			return err
		}
	}
	return nil
}
