package bench

import (
	"math"
	"math/bits"
	"time"
)

// A histogram counts latencies in buckets whose width is under 1% of their value, from 1 ns to about 5 hours, so that
// percentiles of any number of requests cost constant memory.
type histogram struct {
	counts []int64
	n      int64
	sum    time.Duration
	max    time.Duration
}

// subBits is the number of bits below the leading one that a bucket keeps.
const subBits = 7

func bucketOf(d time.Duration) int {
	v := uint64(max(d, 0))
	if v < 1<<subBits {
		return int(v)
	}
	shift := bits.Len64(v) - subBits - 1
	return (shift+1)<<subBits + int(v>>shift) - 1<<subBits
}

// bucketTop is the largest latency that falls into bucket i.
func bucketTop(i int) time.Duration {
	if i < 1<<subBits {
		return time.Duration(i)
	}
	shift := i>>subBits - 1
	return time.Duration((uint64(i&(1<<subBits-1))+1<<subBits+1)<<shift - 1)
}

func (h *histogram) add(d time.Duration) {
	i := bucketOf(d)
	for len(h.counts) <= i {
		h.counts = append(h.counts, make([]int64, i+1-len(h.counts))...)
	}
	h.counts[i]++
	h.n++
	h.sum += d
	h.max = max(h.max, d)
}

func (h *histogram) merge(o *histogram) {
	if len(h.counts) < len(o.counts) {
		h.counts = append(h.counts, make([]int64, len(o.counts)-len(h.counts))...)
	}
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.n += o.n
	h.sum += o.sum
	h.max = max(h.max, o.max)
}

// quantile returns the latency that the fraction q of all requests did not exceed, at most 1% too high.
func (h *histogram) quantile(q float64) time.Duration {
	rank := int64(math.Ceil(q * float64(h.n)))
	var seen int64
	for i, n := range h.counts {
		seen += n
		if n > 0 && seen >= rank {
			return min(bucketTop(i), h.max)
		}
	}
	return h.max
}

func (h *histogram) mean() time.Duration {
	if h.n == 0 {
		return 0
	}
	return h.sum / time.Duration(h.n)
}
