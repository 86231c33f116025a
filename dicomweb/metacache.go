package dicomweb

import (
	"container/list"
	"sync"
)

// metadataCache keeps built metadata of series, the least recently used going first. Keys name the state of the series
// they were built from, so that an entry is never stale: it is only never asked for again.
type metadataCache struct {
	max int64 // bytes of all values; none are kept if not positive

	mu    sync.Mutex // guards what follows
	size  int64
	items map[string]*list.Element
	order *list.List // of *cached, most recent first
}

type cached struct {
	key   string
	value []byte
}

func newMetadataCache(max int64) *metadataCache {
	return &metadataCache{max: max, items: map[string]*list.Element{}, order: list.New()}
}

// get returns a value that must not be changed.
func (c *metadataCache) get(key string) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.items[key]
	if !ok {
		return nil, false
	}
	c.order.MoveToFront(e)
	v, _ := e.Value.(*cached)
	return v.value, true
}

// fits tells whether a value of n bytes would be kept: one alone must not push out all others.
func (c *metadataCache) fits(n int64) bool { return n <= c.max/4 }

// put keeps a value that must not be changed any more.
func (c *metadataCache) put(key string, value []byte) {
	if !c.fits(int64(len(value))) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.items[key]; ok {
		return
	}
	c.items[key] = c.order.PushFront(&cached{key, value})
	c.size += int64(len(value))
	for c.size > c.max {
		last := c.order.Back()
		v, _ := last.Value.(*cached)
		c.order.Remove(last)
		delete(c.items, v.key)
		c.size -= int64(len(v.value))
	}
}
