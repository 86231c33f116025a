package store

import (
	"sync"

	"gantry/internal/budget"
)

// blockCache keeps verified blocks in memory: frames of one block, the study that everybody looks at. Its memory is one ring
// outside the garbage collector's sight, which with blocks that are not tiny is nearly all that it costs. New blocks push out the
// oldest; what is still wanted then comes back soon. A block gets in when it is read for the second time within a while, and if that
// would push out another, once in a few times only: so neither reading everything once, nor reading at random more than the ring
// holds, keeps it busy with copying. Blocks never change, so nothing has ever to be taken back.
type blockCache struct {
	mu     sync.Mutex // guards all below, and the users of entries
	ring   []byte
	head   int            // where the next block goes
	queue  []*cachedBlock // oldest first
	blocks map[blockKey]*cachedBlock
	seen   map[blockKey]bool // read once
	order  []blockKey        // of seen, overwritten in turn
	next   int
	turn   int
}

// blockKey is a block of a record's payload.
type blockKey struct {
	lsn LSN
	i   int
}

// cachedBlock is a block in the ring. Its bytes stay while it has users.
type cachedBlock struct {
	key   blockKey
	data  []byte
	at    int
	users int
}

const (
	// seenBlocks is how many blocks read once are remembered: at the sizes of images, those of some gigabytes.
	seenBlocks = 8 << 10
	// admitEvery is how seldom a block pushes out others.
	admitEvery = 8
	// minCached is the least length of a block: to read a smaller one again costs little, and to remember it too much.
	minCached = 8 << 10
	// maxStepOver is how many blocks in use are stepped over in search of room.
	maxStepOver = 16
)

func newBlockCache(size int64) (*blockCache, error) {
	c := &blockCache{blocks: make(map[blockKey]*cachedBlock), seen: make(map[blockKey]bool)}
	if size <= 0 {
		return c, nil
	}
	var err error
	c.ring, err = budget.MapRegion(int(size))
	return c, err
}

// get returns a block to be released, nil if it is not here.
func (c *blockCache) get(k blockKey) *cachedBlock {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.blocks[k]
	if b != nil {
		b.users++
	}
	return b
}

func (c *blockCache) release(b *cachedBlock) {
	c.mu.Lock()
	b.users--
	c.mu.Unlock()
}

// offer tells of a block that was read and verified. A copy of it is kept if it is worth that.
func (c *blockCache) offer(k blockKey, data []byte) {
	b := c.reserve(k, len(data))
	if b == nil {
		return
	}
	copy(b.data, data) // without the lock: until it is published, its maker is its only user
	c.mu.Lock()
	defer c.mu.Unlock()
	b.users--
	if c.ring != nil && c.blocks[k] == nil {
		c.blocks[k] = b
	}
}

// reserve finds a place for a block of n bytes, if it is to be kept.
func (c *blockCache) reserve(k blockKey, n int) *cachedBlock {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n < minCached || n > len(c.ring)/4 || c.blocks[k] != nil || !c.seenLocked(k) {
		return nil
	}
	at, ok := c.roomLocked(n)
	if !ok {
		return nil
	}
	b := &cachedBlock{key: k, at: at, data: c.ring[at : at+n : at+n], users: 1}
	c.head = at + n
	c.queue = append(c.queue, b)
	return b
}

// seenLocked tells whether a block was read before, and remembers it.
func (c *blockCache) seenLocked(k blockKey) bool {
	if c.seen[k] {
		return true
	}
	if len(c.order) < seenBlocks {
		c.order = append(c.order, k)
	} else {
		delete(c.seen, c.order[c.next])
		c.order[c.next] = k
		c.next = (c.next + 1) % seenBlocks
	}
	c.seen[k] = true
	return false
}

// roomLocked finds n bytes in the ring: where the oldest blocks are, which lie from head on, but for those in use.
func (c *blockCache) roomLocked(n int) (at int, ok bool) {
	crowded, steps := false, 0
	for {
		at = c.head
		if at+n > len(c.ring) {
			at = 0
		}
		if len(c.queue) == 0 || !c.inWay(c.queue[0], at, n) {
			return at, true
		}
		if !crowded {
			crowded = true
			if c.turn++; c.turn%admitEvery != 0 {
				return 0, false
			}
		}
		b := c.queue[0]
		c.queue = c.queue[1:]
		if b.users == 0 {
			c.dropLocked(b)
			continue
		}
		// It stays, as if it were the newest.
		c.queue = append(c.queue, b)
		c.head = b.at + len(b.data)
		if steps++; steps > maxStepOver || steps >= len(c.queue) {
			return 0, false
		}
	}
}

func (c *blockCache) dropLocked(b *cachedBlock) {
	if c.blocks[b.key] == b {
		delete(c.blocks, b.key)
	}
}

// inWay tells whether a block lies in what would be written, or skipped at the end of the ring.
func (c *blockCache) inWay(b *cachedBlock, at, n int) bool {
	if at < c.head && b.at >= c.head { // the end is skipped
		return true
	}
	return b.at < at+n && b.at+len(b.data) > at
}

// close gives the ring back, unless somebody still reads from it.
func (c *blockCache) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	ring := c.ring
	c.ring = nil
	for _, b := range c.queue {
		if b.users > 0 {
			ring = nil
		}
	}
	c.queue = nil
	clear(c.blocks)
	if ring == nil {
		return nil
	}
	return budget.UnmapRegion(ring)
}
