package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Stats are the figures of a store at one moment. Sizes are in bytes.
type Stats struct {
	LogID     string // of this log, forever
	Epoch     uint64
	End       LSN // of the next record; everything below it is durable
	Segments  int
	LastWrite time.Time // commit time of the newest record; zero in an empty log

	FreeBytes, DiskBytes uint64
	ReserveBytes         uint64 // of free space, below which only deletes go on
	Full                 bool   // writes are refused
	Broken               error  // why no write is accepted until restart; nil if they are

	Commits       Commits
	Ingest        Ingest
	DamageFound   int64 // damaged blocks, headers and stretches met since the start, by reads and by recovery, each counted once
	CatalogBehind int64 // bytes of the log that a start after a crash now would replay
}

// Commits tells how long the last group commits took, from the write to the end of the sync.
type Commits struct {
	Count          int // at most commitWindow
	Since          time.Time
	Last, P50, P99 time.Duration
}

// Ingest is how much the log grew lately: Bytes in Span, which ends now. A Span of zero means that nothing is known.
type Ingest struct {
	Bytes int64
	Span  time.Duration
}

// Stats gives the figures. It reads a few headers, no more.
func (s *Store) Stats(ctx context.Context) (Stats, error) {
	if err := context.Cause(ctx); err != nil {
		return Stats{}, err
	}
	st := Stats{
		LogID: s.site.logID, Epoch: s.epoch(), End: s.End(), Commits: s.metrics.recent.stats(), Broken: s.brokenState.get(),
		DamageFound: s.metrics.damageFound(),
	}
	if last := s.lastTime.Load(); last > 0 {
		st.LastWrite = time.Unix(0, last).UTC()
	}
	free, total, err := s.cfg.FS.Free(s.cfg.Dir)
	if err != nil {
		return st, fmt.Errorf("look at the disk: %w", err)
	}
	st.FreeBytes, st.DiskBytes, st.ReserveBytes = free, total, s.reserve(total)
	st.Full = free < st.ReserveBytes
	durable, _ := s.catalog.AppliedLSN()
	st.CatalogBehind = max(int64(st.End)-int64(durable), 0)
	s.wal.mu.RLock()
	st.Segments = len(s.wal.segs)
	s.wal.mu.RUnlock()
	st.Ingest, err = s.ingest(ingestWindow)
	return st, err
}

// ingestWindow is how far Stats looks back to tell the rate of ingest.
const ingestWindow = 14 * 24 * time.Hour

// ingest measures the growth of the log by the commit times at which its segments begin, so that it needs no memory of
// its own: from the first segment that began within the window, or from the last one, whenever that was.
func (s *Store) ingest(window time.Duration) (Ingest, error) {
	s.wal.mu.RLock()
	segs := slices.Clone(s.wal.segs)
	s.wal.mu.RUnlock()
	end, now := s.End(), s.cfg.Clock()
	for len(segs) > 0 && segs[len(segs)-1].base >= end {
		segs = segs[:len(segs)-1] // started, and still empty
	}
	if len(segs) == 0 {
		return Ingest{}, nil
	}
	oldest := now.Add(-window).UnixNano()
	var readErr error
	i, _ := slices.BinarySearchFunc(segs, oldest, func(seg *segmentFile, oldest int64) int {
		h, err := s.readHeader(seg.base)
		switch {
		case err != nil:
			readErr = err
			return -1
		case h.Time < oldest:
			return -1
		}
		return 1
	})
	seg := segs[min(i, len(segs)-1)]
	h, err := s.readHeader(seg.base)
	if err = firstError(err, readErr); errors.Is(err, ErrCorrupt) {
		return Ingest{}, nil // the damage is told elsewhere
	}
	if err != nil {
		return Ingest{}, fmt.Errorf("measure ingest: %w", err)
	}
	return Ingest{Bytes: int64(end - seg.base), Span: max(now.Sub(time.Unix(0, h.Time)), 0)}, nil
}

// Ready tells why the store takes no writes: ErrClosed, ErrBroken or ErrFull. It is nil if it does.
func (s *Store) Ready() error {
	select {
	case <-s.stop:
		return ErrClosed
	default:
	}
	if err := s.brokenState.get(); err != nil {
		return err
	}
	if free, total, err := s.cfg.FS.Free(s.cfg.Dir); err == nil && free < s.reserve(total) {
		return ErrFull
	}
	return nil
}

// sharedError is an error that one goroutine sets and others look at.
type sharedError struct {
	mu  sync.Mutex // guards err
	err error
}

func (e *sharedError) set(err error) {
	e.mu.Lock()
	e.err = err
	e.mu.Unlock()
}

func (e *sharedError) get() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

// commitWindow is how many commits Stats looks back.
const commitWindow = 512

// commitTimes remembers how long the last commits took.
type commitTimes struct {
	mu   sync.Mutex // guards the rest
	ring [commitWindow]commitTime
	n    int // commits so far
}

type commitTime struct {
	at   time.Time
	took time.Duration
}

func (c *commitTimes) add(took time.Duration) {
	c.mu.Lock()
	c.ring[c.n%commitWindow] = commitTime{time.Now(), took}
	c.n++
	c.mu.Unlock()
}

func (c *commitTimes) stats() Commits {
	c.mu.Lock()
	n := min(c.n, commitWindow)
	times := slices.Clone(c.ring[:n])
	var out Commits
	if n > 0 {
		out = Commits{Count: n, Last: c.ring[(c.n-1)%commitWindow].took, Since: c.ring[(c.n-n)%commitWindow].at}
	}
	c.mu.Unlock()
	if n == 0 {
		return out
	}
	slices.SortFunc(times, func(a, b commitTime) int { return int(a.took - b.took) })
	out.P50, out.P99 = times[(n-1)/2].took, times[(n*99-1)/100].took
	return out
}
