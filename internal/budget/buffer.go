package budget

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Buffers come in powers of two between these sizes. Larger ones are made
// and left to the garbage collector.
const (
	MinBuf = 4 << 10
	MaxBuf = 4 << 20

	minBits = 12
	maxBits = 22
)

// maxIdle bounds the bytes that all pools together keep for later. What
// exceeds it goes to the garbage collector.
const maxIdle = 32 << 20

// pool keeps free buffers of one class on a stack. Unlike sync.Pool it
// outlives collections: at megabytes a piece, allocating anew costs a
// clearing of the memory, and drives the heap up between two collections.
type pool struct {
	mu   sync.Mutex // guards free
	free [][]byte   // last put, first got: its memory is still in cache
}

var (
	pools [maxBits - minBits + 1]pool
	idle  atomic.Int64 // bytes in pools
)

// class is the index of the smallest class that holds n bytes.
func class(n int) int { return max(bits.Len(uint(max(n, 1)-1)), minBits) - minBits }

// GetBuf returns a buffer of length n. Its contents are arbitrary, in
// particular whatever its last user left there: write before you show.
func GetBuf(n int) []byte {
	if n > MaxBuf {
		return make([]byte, n)
	}
	i := class(n)
	p := &pools[i]
	p.mu.Lock()
	if k := len(p.free) - 1; k >= 0 {
		b := p.free[k]
		p.free[k] = nil
		p.free = p.free[:k]
		p.mu.Unlock()
		idle.Add(-int64(cap(b)))
		return b[:n]
	}
	p.mu.Unlock()
	return make([]byte, n, 1<<(i+minBits))
}

// PutBuf takes back a buffer from GetBuf, sliced or not as long as it starts
// where it did. The caller must not use it any more, nor put it twice. Other
// buffers, and nil, are ignored.
func PutBuf(b []byte) {
	size := cap(b)
	if size < MinBuf || size > MaxBuf || size&(size-1) != 0 {
		return
	}
	if idle.Add(int64(size)) > maxIdle {
		idle.Add(-int64(size))
		return
	}
	p := &pools[class(size)]
	p.mu.Lock()
	p.free = append(p.free, b[:0])
	p.mu.Unlock()
}

// IdleBytes is how much memory the pools hold for later.
func IdleBytes() int64 { return idle.Load() }
