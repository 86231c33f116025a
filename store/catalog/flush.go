package catalog

import (
	"errors"
	"sync"
	"time"
)

// flusher is the goroutine that moves overlays to the engine, seen from outside.
type flusher struct {
	kick chan struct{} // one token: look whether a flush is due
	quit chan struct{}
	done chan struct{}
	once sync.Once
}

func (f *flusher) init() {
	f.kick = make(chan struct{}, 1)
	f.quit = make(chan struct{})
	f.done = make(chan struct{})
}

func (f *flusher) wake() {
	select {
	case f.kick <- struct{}{}:
	default:
	}
}

func (f *flusher) stop() {
	f.once.Do(func() { close(f.quit) })
	<-f.done
}

// flushState is guarded by Catalog.mu.
type flushState struct {
	// wanted is the commit that a call of Flush waits for; 0 if none does. It overrides the pause after a failure.
	wanted uint64
	// pressed means that somebody waits for room. It does not override the pause.
	pressed bool
	// retryAt is when to try again after a failure, pause how long the next wait will be.
	retryAt time.Time
	pause   time.Duration
	// err is the outcome of the last attempt; final means that there will be no other.
	err   error
	final bool

	attempts, failures, keys, commitWaits uint64
	took                                  time.Duration
}

func (c *Catalog) runFlusher() {
	defer close(c.flusher.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait, armed := c.flushDue()
		if armed && wait <= 0 {
			_ = c.flushOnce() // told to OnError, and kept for Stats
			continue
		}
		var expired <-chan time.Time
		if armed {
			timer.Reset(wait)
			expired = timer.C
		}
		select {
		case <-c.flusher.quit:
			return
		case <-c.flusher.kick:
		case <-expired:
		}
	}
}

// flushDue returns how long to wait until the next flush, and whether there will be one without further commits.
func (c *Catalog) flushDue() (wait time.Duration, armed bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	switch {
	case c.closed || c.flush.final || (c.frozen == nil && !c.active.dirty()):
		return 0, false
	case c.flush.wanted > c.durableSeq:
		return 0, true
	case c.opts.Manual:
		return 0, false
	case c.flush.err != nil:
		return time.Until(c.flush.retryAt), true
	case c.frozen != nil || c.flush.pressed || c.active.bytes >= c.opts.FreezeBytes:
		return 0, true
	}
	return c.opts.FreezeAge - time.Since(c.active.since), true
}

// freeze returns the overlay to write: the one left from a failed attempt, or the active one. nil if there is nothing.
func (c *Catalog) freeze() *overlay {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.frozen == nil && c.active.dirty() {
		c.frozen = c.active
		c.active = &overlay{lsn: c.frozen.lsn, seq: c.frozen.seq}
		c.shared = c.active.copyForReading()
	}
	return c.frozen
}

// flushOnce writes one overlay. Only one goroutine may be here: the flusher, or Close after it.
func (c *Catalog) flushOnce() error {
	frozen := c.freeze()
	if frozen == nil {
		return nil
	}
	began := time.Now()
	err := c.engine.write(&frozen.table, frozen.lsn)
	if err != nil {
		c.opts.OnError(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	f := &c.flush
	f.attempts++
	f.err = err
	// Whoever still waits asks again.
	f.wanted, f.pressed = 0, false
	if err != nil {
		f.failures++
		f.final = errors.Is(err, ErrBroken) || errors.Is(err, ErrCorrupt)
		f.pause = min(max(2*f.pause, c.opts.RetryMin), c.opts.RetryMax)
		f.retryAt = time.Now().Add(f.pause)
	} else {
		f.took, f.pause = time.Since(began), 0
		f.keys += uint64(frozen.table.Len())
		c.durableSeq, c.durableLSN = frozen.seq, frozen.lsn
		// The engine has it: only now may it leave the overlays.
		c.frozen = nil
		c.drops.Add(1)
	}
	c.announceLocked()
	return err
}

// flushLast writes everything that is left.
func (c *Catalog) flushLast() error {
	for {
		c.mu.RLock()
		left, final, err := c.frozen != nil || c.active.dirty(), c.flush.final, c.flush.err
		c.mu.RUnlock()
		if !left {
			return nil
		}
		if final {
			return err
		}
		if err := c.flushOnce(); err != nil {
			return err
		}
	}
}

func (c *Catalog) announceLocked() {
	close(c.changed)
	c.changed = make(chan struct{})
}
