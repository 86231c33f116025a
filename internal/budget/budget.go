// Package budget bounds the memory of request bodies (invariant I9): a
// first-come-first-served semaphore of bytes, and pools of buffers.
//
// Whoever wants to hold a body in memory reserves all of it before reading any
// of it. Reserving in pieces could deadlock: every upload would hold some and
// wait for more. Order of arrival keeps a large reservation from starving behind a
// stream of small ones.
package budget

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
)

// ErrTooLarge means that a reservation could never be granted.
var ErrTooLarge = errors.New("budget: reservation exceeds the total")

// Budget is a number of bytes that reservations share. It is safe for concurrent use.
type Budget struct {
	total int64

	mu      sync.Mutex // guards the rest
	used    int64
	queue   list.List // of *waiter, in order of arrival
	waiting int64     // bytes in queue
}

type waiter struct {
	n     int64
	ready chan struct{} // closed when granted
}

// Stats is a moment's view of a Budget, in bytes; Waiters is a count.
type Stats struct {
	Total, InUse, Waiting int64
	Waiters               int
}

// New returns a budget of total bytes.
func New(total int64) *Budget { return &Budget{total: max(total, 0)} }

// Total is the budget's size in bytes.
func (b *Budget) Total() int64 { return b.total }

// Acquire waits until n bytes are free and it is this caller's turn. It returns
// ErrTooLarge if n exceeds the total, and ctx's error if that comes first.
func (b *Budget) Acquire(ctx context.Context, n int64) (*Reservation, error) {
	if n < 0 || n > b.total {
		return nil, fmt.Errorf("%w: %d of %d bytes", ErrTooLarge, n, b.total)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r := &Reservation{b: b, n: n}
	b.mu.Lock()
	if n == 0 || b.queue.Len() == 0 && b.used+n <= b.total {
		b.used += n
		b.mu.Unlock()
		return r, nil
	}
	w := &waiter{n: n, ready: make(chan struct{})}
	e := b.queue.PushBack(w)
	b.waiting += n
	b.mu.Unlock()

	select {
	case <-w.ready:
		return r, nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-w.ready: // granted at the same moment: the caller no longer wants it
		b.used -= n
	default:
		b.queue.Remove(e)
		b.waiting -= n
	}
	b.grantLocked() // those behind may fit where this one did not
	return nil, ctx.Err()
}

// grantLocked serves the queue's head while it fits.
func (b *Budget) grantLocked() {
	for e := b.queue.Front(); e != nil; e = b.queue.Front() {
		w := e.Value.(*waiter)
		if b.used+w.n > b.total {
			return
		}
		b.queue.Remove(e)
		b.waiting -= w.n
		b.used += w.n
		close(w.ready)
	}
}

func (b *Budget) put(n int64) {
	b.mu.Lock()
	b.used -= n
	b.grantLocked()
	b.mu.Unlock()
}

// Stats reports what is in use and what is waited for.
func (b *Budget) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Stats{Total: b.total, InUse: b.used, Waiting: b.waiting, Waiters: b.queue.Len()}
}

// Reservation is a share of a Budget. Its methods are safe for concurrent use.
type Reservation struct {
	b  *Budget
	mu sync.Mutex // guards n; taken before the budget's
	n  int64
}

// Size is how many bytes are still reserved.
func (r *Reservation) Size() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}

// Shrink gives back all but n bytes; a reservation never grows.
func (r *Reservation) Shrink(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n = max(n, 0); n < r.n {
		r.b.put(r.n - n)
		r.n = n
	}
}

// Release gives everything back. Only the first call does anything; on a nil
// Reservation it does nothing.
func (r *Reservation) Release() {
	if r != nil {
		r.Shrink(0)
	}
}
