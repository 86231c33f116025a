package store

import (
	"errors"
	"sync"
	"time"
)

// maxFlight is how many batches may be written and not yet durable.
const maxFlight = 8

// flight is the batches between the sequencer, which writes them, and the syncer, which makes them durable, visible and
// acknowledged, in order. So the next batch is decided on and written while the disk is busy with the ones before it, and
// one fdatasync serves all that were written until it began.
type flight struct {
	queue chan *batch

	mu      sync.Mutex // guards batches and err
	batches []*batch   // oldest first
	err     error      // why nothing in flight counts any more; the sequencer deals with it in land
	landed  sync.Cond  // a batch has left
}

func newFlight() *flight {
	f := &flight{queue: make(chan *batch, maxFlight)}
	f.landed.L = &f.mu
	return f
}

// launch hands a batch to the syncer.
func (f *flight) launch(b *batch) {
	f.mu.Lock()
	f.batches = append(f.batches, b)
	f.mu.Unlock()
	f.queue <- b
}

// pending lists the transactions in flight that later ones build upon.
func (f *flight) pending() []*txn {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*txn
	for _, b := range f.batches {
		if b.err == nil {
			out = append(out, b.tx)
		}
	}
	return out
}

// fail makes all that is in flight fail, and all that is launched before land.
func (f *flight) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = errors.Join(f.err, err)
}

func (f *flight) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// drain waits until nothing is in flight, and tells whether that went well. Sequencer only.
func (f *flight) drain() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.batches) > 0 {
		f.landed.Wait()
	}
	return f.err
}

// leave takes the oldest batch out.
func (f *flight) leave() {
	f.mu.Lock()
	f.batches[0] = nil
	f.batches = f.batches[1:]
	f.mu.Unlock()
	f.landed.Signal()
}

// errMirror marks a failure of the mirror, after which nothing may be acknowledged here (DESIGN §7 decides when that is).
var errMirror = errors.New("mirror")

// land deals with a failure of what was in flight: the segment is poisoned, and a new epoch begins where the last durable
// batch ends. Sequencer only.
func (s *Store) land() {
	if s.flight.failure() == nil {
		return
	}
	err := s.flight.drain()
	switch {
	case s.wal.broken != nil:
	case errors.Is(err, errMirror) || errors.Is(err, ErrBroken):
		s.wal.broken = errors.Join(ErrBroken, err)
	default:
		s.wal.poison(err)
		s.newEpoch()
	}
	if s.wal.broken != nil {
		s.brokenState.set(s.wal.broken)
	}
	s.wal.written = s.wal.end.Load()
	s.flight.mu.Lock()
	s.flight.err = nil
	s.flight.mu.Unlock()
}

// settle is the syncer: the one goroutine that makes batches durable and acknowledges them.
func (s *Store) settle() {
	defer close(s.stopped)
	defer s.comparing.Wait()
	group := make([]*batch, 0, maxFlight)
	for b := range s.flight.queue {
		group = append(group[:0], b)
		for len(s.flight.queue) > 0 {
			group = append(group, <-s.flight.queue)
		}
		s.settleGroup(group)
		clear(group)
	}
}

func (s *Store) settleGroup(group []*batch) {
	if s.flight.failure() == nil {
		if err := s.syncGroup(group); err != nil {
			s.flight.fail(err)
		}
	}
	for _, b := range group {
		s.awaitMirror(b)
		err := b.err
		if err == nil {
			err = s.flight.failure()
		}
		if err == nil {
			if err = s.publish(b); err != nil {
				s.flight.fail(errors.Join(ErrBroken, err))
			}
		}
		if b.tx != nil {
			b.tx.inFlight = nil // else each transaction would keep all before it alive
		}
		for _, o := range b.ops {
			out := o.outcome(err)
			if errors.Is(out, errUndecided) {
				s.setAside(o)
				continue
			}
			o.free()
			o.done <- out
		}
		s.flight.leave()
	}
}

// awaitMirror waits until the mirror has a batch, or counts no longer. What was sent may be used until then.
func (s *Store) awaitMirror(b *batch) {
	if b.mirrored == nil {
		return
	}
	if err := b.mirrored(); err != nil {
		s.flight.fail(errors.Join(errMirror, err))
	}
	b.mirrored = nil
}

// syncGroup makes what was written durable with one fdatasync.
func (s *Store) syncGroup(group []*batch) error {
	var records int
	var size int64
	var started time.Time
	for _, b := range group {
		if b.err == nil && b.size > 0 {
			if size == 0 {
				started = b.started
			}
			records += len(b.records)
			size += b.size
		}
	}
	if size == 0 {
		return nil
	}
	err := s.wal.sync()
	now := time.Now()
	for _, b := range group {
		b.synced = now
	}
	s.metrics.batch(records, size, now.Sub(started))
	return err
}

// publish makes a durable batch part of the log, and visible. From here on it counts, whatever happens to the catalog in memory.
func (s *Store) publish(b *batch) error {
	s.wal.advance(b.size)
	err := s.commitCatalog(b.tx.Batch, s.wal.end.Load())
	if b.size > 0 {
		s.metrics.way(b)
	}
	return err
}
