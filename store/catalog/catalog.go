package catalog

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Options of a catalog. Zero values of the numbers mean the defaults given.
type Options struct {
	// FormatVersion of what the owner puts in, and LogID, the log that it is derived from (at most MaxLogIDBytes). Open refuses a
	// file that was made with others.
	FormatVersion uint32
	LogID         string
	// Scattered are first bytes of keys that come in no order, such as hashes, at most 255: to write them costs far less then, to look one up
	// a little more. They belong to what Open compares.
	Scattered string

	// OverlayBytes bounds both overlays together (64 MiB). A batch larger than that is taken by an empty overlay only.
	OverlayBytes int64
	// FreezeBytes (8 MiB) and FreezeAge (5 s): the overlay is written to the engine when it is that large or that old.
	FreezeBytes int64
	FreezeAge   time.Duration
	// CommitWait is how long Commit waits for room in a full overlay before it returns ErrFull (10 s).
	CommitWait time.Duration
	// RetryMin and RetryMax bound the pause after a failed flush, which doubles with each failure (1 s, 30 s).
	RetryMin, RetryMax time.Duration
	// Manual leaves flushing to Flush and Close alone: for tests of crashes.
	Manual bool
	// OnError is told of failed flushes and of damage found by reads, from whichever goroutine met them. It must not call
	// the catalog. Its errors hold no keys or values. May be nil.
	OnError func(error)
}

// Defaults of Options.
const (
	defaultOverlayBytes = 64 << 20
	defaultFreezeBytes  = 8 << 20
	defaultFreezeAge    = 5 * time.Second
	defaultCommitWait   = 10 * time.Second
	defaultRetryMin     = time.Second
	defaultRetryMax     = 30 * time.Second
)

// MaxLogIDBytes bounds Options.LogID.
const MaxLogIDBytes = 255

func (o Options) withDefaults() (Options, error) {
	if len(o.LogID) > MaxLogIDBytes {
		return o, fmt.Errorf("catalog: log id of %d bytes, at most %d", len(o.LogID), MaxLogIDBytes)
	}
	if len(o.Scattered) > math.MaxUint8 {
		return o, fmt.Errorf("catalog: %d scattered bytes, at most %d", len(o.Scattered), math.MaxUint8)
	}
	if o.OverlayBytes < 0 || o.FreezeBytes < 0 || o.FreezeAge < 0 || o.CommitWait < 0 || o.RetryMin < 0 || o.RetryMax < 0 {
		return o, errors.New("catalog: negative option")
	}
	setDefault(&o.OverlayBytes, defaultOverlayBytes)
	setDefault(&o.FreezeBytes, min(defaultFreezeBytes, max(o.OverlayBytes/2, 1)))
	setDefault(&o.FreezeAge, defaultFreezeAge)
	setDefault(&o.CommitWait, defaultCommitWait)
	setDefault(&o.RetryMin, defaultRetryMin)
	setDefault(&o.RetryMax, max(defaultRetryMax, o.RetryMin))
	if o.OnError == nil {
		o.OnError = func(error) {}
	}
	return o, nil
}

func setDefault[T int64 | time.Duration](v *T, def T) {
	if *v == 0 {
		*v = def
	}
}

// Catalog is safe for concurrent use, except where a type it hands out says otherwise.
type Catalog struct {
	engine    engine
	opts      Options
	drops     atomic.Uint64 // how many frozen overlays were dropped; written under mu
	snapshots atomic.Int64
	damaged   atomic.Bool // a read met damage
	flusher   flusher

	// mu guards what follows. No I/O and no call of the engine happens under it.
	mu     sync.RWMutex
	closed bool
	// active takes commits. frozen, nil if there is none, is on its way to the engine and never changes.
	active, frozen *overlay
	// shared is a copy of active's table for snapshots, nil if active changed since.
	shared *table
	// durableSeq and durableLSN say what the engine has.
	durableSeq, durableLSN uint64
	// changed is closed, and replaced, when a flush ended or the catalog was closed.
	changed chan struct{}
	// flush is the state of the flusher that others may see.
	flush flushState
}

// Open opens the bbolt file at path, or makes it. Besides errors of the file system it returns ErrLocked and, when the file
// has to be removed and the log replayed from its start, ErrCorrupt or ErrMismatch.
func Open(path string, opts Options) (*Catalog, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	e, err := openBolt(path, opts.stamp(), opts.Scattered)
	if err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	return start(e, opts), nil
}

func start(e engine, opts Options) *Catalog {
	c := &Catalog{engine: e, opts: opts, changed: make(chan struct{})}
	c.durableLSN = e.lsn()
	c.active = &overlay{lsn: c.durableLSN}
	c.shared = c.active.copyForReading()
	c.flusher.init()
	go c.runFlusher()
	return c
}

// Get returns the value of key as it is visible now, see Reader.
func (c *Catalog) Get(key []byte) ([]byte, bool, error) {
	if !validKey(key) {
		return nil, false, nil
	}
	k := viewString(key)
	c.mu.RLock()
	if c.closed {
		c.mu.RUnlock()
		return nil, false, ErrClosed
	}
	v, ok := c.active.table.Get(k)
	if !ok && c.frozen != nil {
		v, ok = c.frozen.table.Get(k)
	}
	c.mu.RUnlock()
	if ok {
		return v, v != nil, nil
	}
	// What is in neither overlay was in the engine before the look-up, and still is.
	v, ok, err := c.engine.get(key)
	return v, ok, c.readError(err)
}

// AppliedLSN returns what the log was applied up to: durably, which is where replay begins after a crash, and visibly.
func (c *Catalog) AppliedLSN() (durable, visible uint64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.durableLSN, c.active.lsn
}

// checkStep is how many keys Check reads in one snapshot.
const checkStep = 10_000

// Check reads all keys and values and returns ErrCorrupt if that can't be done or they are out of order. Commits made
// meanwhile may be seen or not.
func (c *Catalog) Check(ctx context.Context) error {
	from := []byte{}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		last, err := c.checkFrom(from)
		if err != nil || last == nil {
			return c.readError(err)
		}
		from = After(last)
	}
}

// checkFrom checks some keys and returns the last one, nil at the end.
func (c *Catalog) checkFrom(from []byte) (last []byte, err error) {
	it := c.Iter(from, nil)
	defer func() { err = errors.Join(err, it.Close()) }()
	for range checkStep {
		if !it.Next() {
			return nil, it.Err()
		}
		last = it.Key()
	}
	return last, nil
}

// Close writes what is left to the engine and closes it, after the last snapshot was closed. If it returns an error of the write, the
// log has to be replayed from the durable LSN, as always. It may be called twice.
func (c *Catalog) Close() error {
	if !c.stop() {
		return nil
	}
	err := c.flushLast()
	return errors.Join(err, c.engine.close())
}

// Abort closes without writing anything: what a crash would leave.
func (c *Catalog) Abort() error {
	if !c.stop() {
		return nil
	}
	return c.engine.close()
}

// stop refuses new work and waits for the flusher. It returns false if that was done before.
func (c *Catalog) stop() bool {
	c.mu.Lock()
	was := c.closed
	c.closed = true
	if !was {
		c.announceLocked()
	}
	c.mu.Unlock()
	if !was {
		c.flusher.stop()
	}
	return !was
}

// Stats is a glance at the catalog. Bytes of overlays are those counted against the budget.
type Stats struct {
	ActiveKeys, FrozenKeys   int
	ActiveBytes, FrozenBytes int64
	OverlayMaxBytes          int64
	DurableLSN, VisibleLSN   uint64
	OpenSnapshots            int64
	// Flushes and FlushErrors count attempts; FlushError is the outcome of the last one, FlushTime how long the last good
	// one took, FlushedKeys all keys written.
	Flushes, FlushErrors uint64
	FlushError           error
	FlushTime            time.Duration
	FlushedKeys          uint64
	// CommitWaits counts commits that had to wait for room.
	CommitWaits uint64
	// FileBytes is the size of the engine's file, FreeBytes what of it can be reused now, PendingBytes what can be once open
	// snapshots are closed and another flush went by.
	FileBytes, FreeBytes, PendingBytes int64
}

// Stats returns the current figures.
func (c *Catalog) Stats() Stats {
	c.mu.RLock()
	s := Stats{
		ActiveKeys: c.active.table.Len(), ActiveBytes: c.active.bytes,
		OverlayMaxBytes: c.opts.OverlayBytes,
		DurableLSN:      c.durableLSN, VisibleLSN: c.active.lsn,
		OpenSnapshots: c.snapshots.Load(),
		Flushes:       c.flush.attempts, FlushErrors: c.flush.failures, FlushError: c.flush.err,
		FlushTime: c.flush.took, FlushedKeys: c.flush.keys, CommitWaits: c.flush.commitWaits,
	}
	if c.frozen != nil {
		s.FrozenKeys, s.FrozenBytes = c.frozen.table.Len(), c.frozen.bytes
	}
	closed := c.closed
	c.mu.RUnlock()
	if !closed {
		c.engine.stats(&s)
	}
	return s
}

// readError reports the first damage that a read meets to the owner, and passes err on.
func (c *Catalog) readError(err error) error {
	if errors.Is(err, ErrCorrupt) && !c.damaged.Swap(true) {
		c.opts.OnError(err)
	}
	return err
}

func validKey(key []byte) bool {
	return len(key) > 0 && len(key) <= MaxKeyBytes && key[0] != reservedByte
}

// Flush writes what is visible now to the engine, and returns once that is durable or the attempt failed.
func (c *Catalog) Flush(ctx context.Context) error {
	c.mu.Lock()
	target := c.active.seq
	attempts := c.flush.attempts
	c.mu.Unlock()
	for {
		c.mu.Lock()
		done, err := c.flushOutcomeLocked(target, attempts)
		changed := c.changed
		if !done {
			c.flush.wanted = max(c.flush.wanted, target)
		}
		c.mu.Unlock()
		if done {
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

func (c *Catalog) flushOutcomeLocked(target, attempts uint64) (done bool, err error) {
	switch {
	case c.durableSeq >= target:
		return true, nil
	case c.closed:
		return true, ErrClosed
	case c.flush.final:
		return true, c.flush.err
	case c.flush.attempts > attempts && c.flush.err != nil:
		return true, c.flush.err
	}
	return false, nil
}
