package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// maxFlight is how many batches may wait for the settler.
const maxFlight = 8

// flight is the batches between the sequencer, which makes them durable, and the settler, which makes them visible and
// acknowledges them, in order. So the next batch is decided on and written while the ones before it are on their way to the mirror.
type flight struct {
	queue chan *batch

	mu      sync.Mutex // guards batches and err
	batches []*batch   // oldest first
	err     error      // why nothing is acknowledged any more; the sequencer deals with it in land
	landed  sync.Cond  // a batch has left
}

func newFlight() *flight {
	f := &flight{queue: make(chan *batch, maxFlight)}
	f.landed.L = &f.mu
	return f
}

// launch adds a batch, and tells if it is the only one.
func (f *flight) launch(b *batch) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.batches = append(f.batches, b)
	return len(f.batches) == 1
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

// land ends the log after a failure of what was in flight. Sequencer only.
func (s *Store) land() {
	if s.flight.failure() == nil {
		return
	}
	s.breakLog(s.flight.drain())
	s.flight.mu.Lock()
	s.flight.err = nil
	s.flight.mu.Unlock()
}

// breakLog refuses all that would be written from now on. Sequencer only.
func (s *Store) breakLog(cause error) {
	s.wal.broken = errors.Join(s.wal.broken, ErrBroken, cause)
	s.wal.written = s.wal.end.Load()
	s.brokenState.set(s.wal.broken)
}

// giveUp deals with a batch that could not be written or made durable: the segment is poisoned, and a new epoch begins where the last
// batch that counts ends. Sequencer only.
func (s *Store) giveUp(b *batch, cause error) error {
	s.awaitMirror(b) // which may use its bytes
	if s.flight.drain() == nil {
		err := s.wal.poison(cause)
		if err == nil {
			err = s.saveEpoch(s.epoch() + 1)
		}
		if err != nil {
			s.breakLog(errors.Join(cause, err))
		}
	}
	s.land()
	s.wal.written = s.wal.end.Load()
	return errors.Join(fullOr(cause), s.wal.broken)
}

// settle is the settler: the one goroutine that acknowledges.
func (s *Store) settle() {
	defer close(s.stopped)
	defer s.comparing.Wait()
	for b := range s.flight.queue {
		s.settleBatch(b)
	}
}

func (s *Store) settleBatch(b *batch) {
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

// awaitMirror waits until the mirror has a batch, or counts no longer. What was sent may be used until then.
func (s *Store) awaitMirror(b *batch) {
	if b.mirrored == nil {
		return
	}
	if err := b.mirrored(); err != nil {
		s.flight.fail(fmt.Errorf("mirror: %w", err)) // after which nothing may be acknowledged here (DESIGN §7 decides when that is)
	}
	b.mirrored = nil
}

// publish makes a durable batch part of the log, and visible. From here on it counts, whatever happens to the catalog in memory.
func (s *Store) publish(b *batch) error {
	s.wal.advance(b.size)
	err := s.commitCatalog(context.Background(), b.tx.Batch, s.wal.end.Load())
	if b.size > 0 {
		s.metrics.way(b)
	}
	return err
}
