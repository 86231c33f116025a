package store

import "context"

// Queued is how many operations wait for the sequencer.
func Queued(s *Store) int { return len(s.queue) }

// Hold keeps the sequencer from all that is queued after it, until goOn is called.
func Hold(s *Store) (goOn func()) {
	held, gate := make(chan struct{}), make(chan struct{})
	go func() {
		_ = s.submit(context.Background(), &op{check: func(*txn) error {
			close(held)
			<-gate
			return errNothing
		}})
	}()
	<-held
	return func() { close(gate) }
}

// InFlight is how many operations are durable here and not yet acknowledged.
func InFlight(s *Store) (n int) {
	s.flight.mu.Lock()
	defer s.flight.mu.Unlock()
	for _, b := range s.flight.batches {
		n += len(b.ops)
	}
	return n
}

// Extents is how many extents the catalog knows, live or not.
func Extents(s *Store) (n int, err error) {
	prefix := space(spaceExtent)
	err = s.scan(context.Background(), prefix, []byte{spaceExtent + 1}, func(_, _ []byte) (bool, error) {
		n++
		return true, nil
	})
	return n, err
}

// Tidy does now what maintenance does every minute.
func Tidy(s *Store) error { return s.tidy(context.Background()) }

// BudgetInUse is how much of the budget for bodies is taken, in bytes.
func BudgetInUse(s *Store) int64 { return s.budget.Stats().InUse }

// BudgetWaiters is how many bodies wait for room.
func BudgetWaiters(s *Store) int { return s.budget.Stats().Waiters }

// DeletionsWaiting is how many deletions of many instances wait for memory.
func DeletionsWaiting(s *Store) int { return s.tombstones.Stats().Waiters }

// WaitSealed waits until all segments but the last have their footer.
func WaitSealed(s *Store) { s.wal.sealing.Wait() }
