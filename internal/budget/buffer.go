package budget

import (
	"math/bits"
	"sync"
	"unsafe"
)

// Buffers come in powers of two between these sizes. Larger ones are made
// and left to the garbage collector.
const (
	MinBuf = 4 << 10
	MaxBuf = 4 << 20

	minBits = 12
	maxBits = 22
)

// Buffers lie in one region of memory, in huge pages where the system has
// them: to write half a megabyte past the page cache the kernel then looks up
// one page instead of 128, and the disk is given one piece. See ADR 8.
const (
	regionBytes = 128 << 20
	// maxIdle bounds the memory that is kept for later.
	maxIdle = 32 << 20
)

// class is the index of the smallest size that holds n bytes.
func class(n int) int { return max(bits.Len(uint(max(n, 1)-1)), minBits) - minBits }

// GetBuf returns a buffer of length n. Its contents are arbitrary, in
// particular whatever its last user left there: write before you show. It
// must be given back by PutBuf; what is not is lost until the process ends.
// Only when very many are in use are further ones made on the heap.
func GetBuf(n int) []byte {
	if n > MaxBuf {
		return make([]byte, n)
	}
	i := class(n)
	if b := buffers.get(i); b != nil {
		return b[:n]
	}
	return make([]byte, n, MinBuf<<i)
}

// PutBuf takes back a buffer from GetBuf, sliced or not as long as it starts
// where it did. The caller must not use it any more, nor put it twice, which
// panics. Other buffers, and nil, are ignored.
func PutBuf(b []byte) { buffers.put(b) }

// IdleBytes is how much memory is held for later.
func IdleBytes() int64 {
	buffers.mu.Lock()
	defer buffers.mu.Unlock()
	return buffers.touched - buffers.used
}

// UsedBytes is how much of the region was got and not put back.
func UsedBytes() int64 {
	buffers.mu.Lock()
	defer buffers.mu.Unlock()
	return buffers.used
}

const (
	orders   = maxBits - minBits + 1
	topOrder = orders - 1
	units    = regionBytes / MinBuf
	topUnits = MaxBuf / MinBuf
	none     = -1
)

// buddies divides the region as a buddy system (Knowlton, A Fast Storage
// Allocator, CACM 8:10): a block of 2^k units is split in two, and joined
// with its other half when both are free. Blocks are named by their first
// unit.
type buddies struct {
	mu      sync.Mutex // guards the rest
	mapped  bool
	region  []byte        // nil if there is none to be had
	first   [orders]int32 // free block of each size that was freed last: its memory is still in cache
	blocks  [units]buddy
	used    int64
	touched int64 // bytes of the largest blocks that have memory
}

// buddy is what is known of the block that begins at a unit.
type buddy struct {
	state      buddyState
	order      int8
	touched    bool // of a largest block: it has memory
	next, prev int32
}

type buddyState int8

const (
	inside buddyState = iota // no block begins here
	free
	taken
)

var buffers buddies

func (a *buddies) get(order int) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.mapped {
		a.start()
	}
	k := order
	for k < orders && a.first[k] == none {
		k++
	}
	if k == orders {
		return nil
	}
	at := a.first[k]
	a.unlink(at)
	for k > order {
		k--
		a.link(at+1<<k, k)
	}
	a.blocks[at].state, a.blocks[at].order = taken, int8(order)
	a.used += MinBuf << order
	if top := &a.blocks[at&^(topUnits-1)]; !top.touched {
		top.touched = true
		a.touched += MaxBuf
	}
	from, size := int(at)*MinBuf, MinBuf<<order
	return a.region[from : from+size : from+size]
}

func (a *buddies) put(b []byte) {
	if cap(b) == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	offset := uintptr(unsafe.Pointer(unsafe.SliceData(b))) - uintptr(unsafe.Pointer(unsafe.SliceData(a.region)))
	if offset >= uintptr(len(a.region)) || offset%MinBuf != 0 {
		return
	}
	at := int32(offset / MinBuf)
	if a.blocks[at].state != taken {
		panic("budget: buffer put twice")
	}
	order := int(a.blocks[at].order)
	a.used -= MinBuf << order
	a.blocks[at].state = inside
	for order < topOrder {
		other := at ^ 1<<order
		if a.blocks[other].state != free || int(a.blocks[other].order) != order {
			break
		}
		a.unlink(other)
		at = min(at, other)
		order++
	}
	if order == topOrder && a.touched-a.used > maxIdle && a.giveBack(at) {
		a.linkLast(at)
		return
	}
	a.link(at, order)
}

// giveBack returns the memory of a largest block to the system.
func (a *buddies) giveBack(at int32) bool {
	if !discard(a.region[int(at)*MinBuf:][:MaxBuf]) {
		return false
	}
	a.blocks[at].touched = false
	a.touched -= MaxBuf
	return true
}

func (a *buddies) start() {
	a.mapped = true
	for k := range a.first {
		a.first[k] = none
	}
	region, err := MapRegion(regionBytes + hugePage)
	if err != nil {
		return // the heap serves, too
	}
	start := -int(uintptr(unsafe.Pointer(unsafe.SliceData(region)))) & (hugePage - 1)
	a.region = region[start:][:regionBytes:regionBytes]
	for at := int32(units - topUnits); at >= 0; at -= topUnits {
		a.link(at, topOrder)
	}
}

func (a *buddies) link(at int32, order int) {
	b := &a.blocks[at]
	b.state, b.order, b.prev, b.next = free, int8(order), none, a.first[order]
	if b.next != none {
		a.blocks[b.next].prev = at
	}
	a.first[order] = at
}

// linkLast makes a largest block free that is to be taken only when no other is left.
func (a *buddies) linkLast(at int32) {
	last := a.first[topOrder]
	if last == none {
		a.link(at, topOrder)
		return
	}
	for a.blocks[last].next != none {
		last = a.blocks[last].next
	}
	b := &a.blocks[at]
	b.state, b.order, b.prev, b.next = free, topOrder, last, none
	a.blocks[last].next = at
}

func (a *buddies) unlink(at int32) {
	b := &a.blocks[at]
	if b.prev == none {
		a.first[b.order] = b.next
	} else {
		a.blocks[b.prev].next = b.next
	}
	if b.next != none {
		a.blocks[b.next].prev = b.prev
	}
	b.state = inside
}
