package catalog

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// reserveShare is the part of the overlay that WaitRoom keeps free (1/8): room for what must go on when the disk is full,
// such as deletes.
const reserveShare = 8

// Commit makes the batch visible, all at once, and notes that the log is applied up to lsn; 0 leaves that as it is,
// for changes that come from elsewhere than the log. It waits, at most Options.CommitWait, only if the overlay is full, and then returns
// ErrFull or, if the engine is past help, ErrBroken or ErrCorrupt: the batch isn't visible and may be committed again. Batches
// MUST be committed in the order of their LSNs.
func (c *Catalog) Commit(b *Batch, lsn uint64) error {
	b.sealed.Store(true)
	if b.err != nil {
		return b.err
	}
	var deadline <-chan time.Time
	for {
		c.mu.Lock()
		ready, err := c.admitLocked(b, lsn)
		if ready || err != nil {
			due := ready && c.applyLocked(b, lsn)
			c.mu.Unlock()
			if due && !c.opts.Manual {
				c.flusher.wake()
			}
			if ready {
				b.pending = nil // they are committed too: else each batch would keep all before it alive
			}
			return err
		}
		changed := c.changed
		c.flush.pressed = true
		if deadline == nil {
			c.flush.commitWaits++
		}
		c.mu.Unlock()
		c.flusher.wake()
		if deadline == nil {
			timer := time.NewTimer(c.opts.CommitWait)
			defer timer.Stop()
			deadline = timer.C
		}
		select {
		case <-changed:
		case <-deadline:
			return c.fullError()
		}
	}
}

func (c *Catalog) admitLocked(b *Batch, lsn uint64) (bool, error) {
	switch {
	case c.closed:
		return false, ErrClosed
	case b.catalog != c:
		return false, errors.New("catalog: batch of another catalog")
	case lsn != 0 && lsn < c.active.lsn:
		return false, fmt.Errorf("commit at %d after %d: %w", lsn, c.active.lsn, ErrOrder)
	case c.usedLocked() == 0 || c.usedLocked()+b.bytes <= c.opts.OverlayBytes:
		return true, nil
	case c.flush.final:
		return false, c.flush.err
	}
	return false, nil
}

// applyLocked adds a batch to the active overlay. It tells whether the flusher has to know: of a first batch, and of a large overlay.
func (c *Catalog) applyLocked(b *Batch, lsn uint64) (due bool) {
	o := c.active
	b.changes.Scan(func(k string, v []byte) bool {
		o.bytes -= setEntry(&o.table, k, v)
		return true
	})
	if b.changes.Len() > 0 {
		c.shared = nil
	}
	o.bytes += b.bytes
	o.seq++
	if lsn != 0 {
		o.lsn = lsn
	}
	if !o.dirty() {
		o.since, due = time.Now(), true
	}
	return due || o.bytes >= c.opts.FreezeBytes
}

// usedLocked returns the bytes in both overlays.
func (c *Catalog) usedLocked() int64 {
	if c.frozen == nil {
		return c.active.bytes
	}
	return c.active.bytes + c.frozen.bytes
}

func (c *Catalog) fullError() error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return errors.Join(ErrFull, c.flush.err)
}

// WaitRoom waits until an eighth of the overlay's budget is free. A sequencer asks before it writes to the log what can be
// refused, so that Commit finds room afterwards. While flushes fail it doesn't wait but returns ErrFull.
func (c *Catalog) WaitRoom(ctx context.Context) error {
	for {
		c.mu.Lock()
		room := !c.closed && c.usedLocked() <= c.opts.OverlayBytes-c.opts.OverlayBytes/reserveShare
		err := c.flush.err
		if c.closed {
			err = ErrClosed
		} else if err != nil {
			err = errors.Join(ErrFull, err)
		}
		changed := c.changed
		if !room {
			c.flush.pressed = true
		}
		c.mu.Unlock()
		if room {
			return nil
		}
		if err != nil {
			return err
		}
		c.flusher.wake()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
