package budget_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"unsafe"

	"gantry/internal/budget"
)

func mustAcquire(t *testing.T, b *budget.Budget, n int64) *budget.Reservation {
	t.Helper()
	r, err := b.Acquire(t.Context(), n)
	if err != nil {
		t.Fatalf("Acquire(%d): %v", n, err)
	}
	return r
}

func TestTooLarge(t *testing.T) {
	b := budget.New(100)
	for _, n := range []int64{101, -1} {
		if _, err := b.Acquire(t.Context(), n); !errors.Is(err, budget.ErrTooLarge) {
			t.Errorf("Acquire(%d): %v, want ErrTooLarge", n, err)
		}
	}
	mustAcquire(t, b, 100)
	if got := b.Stats().InUse; got != 100 {
		t.Errorf("in use %d, want 100", got)
	}
}

func TestReleaseOnce(t *testing.T) {
	b := budget.New(100)
	other := mustAcquire(t, b, 40)
	r := mustAcquire(t, b, 60)
	r.Shrink(70)
	if got := r.Size(); got != 60 {
		t.Errorf("size %d after Shrink to more, want 60", got)
	}
	r.Shrink(10)
	r.Release()
	r.Release()
	if got := b.Stats().InUse; got != 40 {
		t.Errorf("in use %d, want 40", got)
	}
	other.Release()
	(*budget.Reservation)(nil).Release()
}

// A small reservation must not overtake a large one that came first.
func TestFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := budget.New(100)
		first := mustAcquire(t, b, 60)
		order := make(chan int64, 2)
		for _, n := range []int64{95, 10} {
			go func() {
				r, err := b.Acquire(t.Context(), n)
				if err != nil {
					t.Errorf("Acquire(%d): %v", n, err)
					return
				}
				order <- n
				r.Release()
			}()
			synctest.Wait()
		}
		if s := b.Stats(); s.Waiters != 2 || s.Waiting != 105 {
			t.Fatalf("stats %+v, want two waiters for 105 bytes although 10 would fit", s)
		}
		first.Release()
		if got := []int64{<-order, <-order}; got[0] != 95 || got[1] != 10 {
			t.Errorf("served in order %v, want [95 10]", got)
		}
	})
}

// A waiter that gives up must not hold up those behind it.
func TestCancelledHeadLetsOthersPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := budget.New(100)
		first := mustAcquire(t, b, 60)
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() {
			_, err := b.Acquire(ctx, 90)
			failed <- err
		}()
		synctest.Wait()
		got := make(chan *budget.Reservation, 1)
		go func() {
			r, _ := b.Acquire(t.Context(), 40)
			got <- r
		}()
		synctest.Wait()
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled Acquire: %v", err)
		}
		(<-got).Release()
		first.Release()
		if s := b.Stats(); s.InUse != 0 || s.Waiters != 0 || s.Waiting != 0 {
			t.Errorf("stats %+v at the end", s)
		}
	})
}

// Nothing is lost or granted twice, however releases and cancellations interleave.
func TestNeverExceedsTotal(t *testing.T) {
	const total = 1000
	b := budget.New(total)
	var inUse atomic.Int64
	var wg sync.WaitGroup
	for seed := range uint64(16) {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(1, seed))
			for range 500 {
				ctx, cancel := context.WithCancel(t.Context())
				if rnd.IntN(4) == 0 {
					go cancel()
				}
				n := rnd.Int64N(total + 1)
				if r, err := b.Acquire(ctx, n); err == nil {
					if got := inUse.Add(n); got > total {
						t.Errorf("%d bytes granted of %d", got, total)
					}
					inUse.Add(-n)
					r.Release()
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if s := b.Stats(); s.InUse != 0 || s.Waiters != 0 || s.Waiting != 0 {
		t.Errorf("stats %+v at the end", s)
	}
}

func TestBufferClasses(t *testing.T) {
	for _, c := range []struct{ n, want int }{
		{0, 4 << 10}, {1, 4 << 10}, {4096, 4 << 10}, {4097, 8 << 10}, {128 << 10, 128 << 10},
		{4<<20 - 1, 4 << 20}, {4 << 20, 4 << 20}, {4<<20 + 1, 4<<20 + 1},
	} {
		b := budget.GetBuf(c.n)
		if len(b) != c.n || cap(b) < c.want || c.n <= budget.MaxBuf && cap(b) != c.want {
			t.Errorf("GetBuf(%d): len %d, cap %d, want cap %d", c.n, len(b), cap(b), c.want)
		}
		budget.PutBuf(b)
	}
}

func TestBuffersAreReusedAndIdleIsBounded(t *testing.T) {
	before := budget.UsedBytes()
	a := budget.GetBuf(64 << 10)
	a[0] = 42
	budget.PutBuf(a[:10])
	b := budget.GetBuf(60 << 10)
	if b[0] != 42 {
		t.Error("buffer was not reused")
	}
	budget.PutBuf(b)
	var bufs [][]byte
	for range 64 {
		bufs = append(bufs, budget.GetBuf(1<<20))
	}
	for _, b := range bufs {
		b[0] = 1
		budget.PutBuf(b)
	}
	if got := budget.IdleBytes(); got > 32<<20 || got < 16<<20 {
		t.Errorf("%d bytes idle after putting back 64 MiB, want some, at most 32 MiB", got)
	}
	budget.PutBuf(nil)
	budget.PutBuf(make([]byte, 5000))
	budget.PutBuf(make([]byte, 8<<10))
	if got := budget.UsedBytes(); got != before {
		t.Errorf("%d bytes in use, want %d", got, before)
	}
}

func TestBufferPutTwicePanics(t *testing.T) {
	a, b := budget.GetBuf(8<<10), budget.GetBuf(8<<10) // b keeps their memory apart
	defer budget.PutBuf(b)
	budget.PutBuf(a)
	defer func() {
		if recover() == nil {
			t.Error("nobody noticed")
		}
	}()
	budget.PutBuf(a)
}

// TestBuffersNeverOverlap gets and puts buffers of all sizes at random, more than there is room for; each must keep what was written to it.
func TestBuffersNeverOverlap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	type held struct {
		b    []byte
		mark byte
	}
	var all []held
	var bytes int
	for i := range 60_000 {
		if len(all) > 0 && (bytes > 160<<20 || r.IntN(2) == 0) {
			k := r.IntN(len(all))
			h := all[k]
			for _, at := range []int{0, len(h.b) / 2, len(h.b) - 1} {
				if h.b[at] != h.mark {
					t.Fatalf("step %d: a buffer of %d bytes changed at %d", i, len(h.b), at)
				}
			}
			bytes -= cap(h.b)
			budget.PutBuf(h.b)
			all[k] = all[len(all)-1]
			all = all[:len(all)-1]
			continue
		}
		n := 1 + r.IntN(1<<(8+r.IntN(15)))
		h := held{budget.GetBuf(n), byte(r.IntN(256))}
		if len(h.b) != n || uintptr(unsafe.Pointer(&h.b[0]))%512 != 0 {
			t.Fatalf("step %d: %d bytes, want %d, aligned", i, len(h.b), n)
		}
		for _, at := range []int{0, n / 2, n - 1} {
			h.b[at] = h.mark
		}
		bytes += cap(h.b)
		all = append(all, h)
	}
	for _, h := range all {
		budget.PutBuf(h.b)
	}
	if n := budget.UsedBytes(); n != 0 {
		t.Errorf("%d bytes in use after all were put back", n)
	}
	all = nil // What was free in pieces is whole again.
	for range 32 {
		all = append(all, held{b: budget.GetBuf(budget.MaxBuf)})
	}
	if n := budget.UsedBytes(); n != 128<<20 {
		t.Errorf("%d MiB of 128 in use", n>>20)
	}
	for _, h := range all {
		budget.PutBuf(h.b)
	}
}

func BenchmarkAcquireRelease(b *testing.B) {
	bud := budget.New(1 << 30)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r, err := bud.Acquire(b.Context(), 128<<10)
			if err != nil {
				b.Fatal(err)
			}
			r.Release()
		}
	})
}

func BenchmarkGetPutBuf(b *testing.B) {
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			budget.PutBuf(budget.GetBuf(128 << 10))
		}
	})
}
