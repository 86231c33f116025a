package store

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func newTestCache(t *testing.T, size int64) *blockCache {
	t.Helper()
	c, err := newBlockCache(size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func has(c *blockCache, k blockKey) bool {
	b := c.get(k)
	if b == nil {
		return false
	}
	c.release(b)
	return true
}

func TestBlockCacheTakesWhatIsReadAgain(t *testing.T) {
	c := newTestCache(t, 1<<20)
	k := blockKey{4096, 0}
	for i, want := range []bool{false, true, true} {
		c.offer(k, []byte("block"))
		if got := has(c, k); got != want {
			t.Errorf("offered %d times: kept %v, want %v", i+1, got, want)
		}
	}
	big := blockKey{8192, 0}
	for range 3 {
		c.offer(big, make([]byte, 1<<19))
	}
	if has(c, big) {
		t.Error("a block of half the cache was kept")
	}
}

// TestBlockCacheGivesWhatItTook lets blocks of all sizes come, go, and be held, and looks at every byte given out.
func TestBlockCacheGivesWhatItTook(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	c := newTestCache(t, 64<<10)
	content := func(k blockKey) []byte {
		return bytes.Repeat([]byte{byte(k.lsn), byte(k.lsn >> 8), byte(k.i)}, 1+int(k.lsn)*37%4000)
	}
	held := map[*cachedBlock]blockKey{}
	hits := 0
	for range 60_000 {
		k := blockKey{LSN(r.IntN(60)), r.IntN(2)}
		b := c.get(k)
		if b == nil {
			c.offer(k, content(k))
			continue
		}
		hits++
		if !bytes.Equal(b.data, content(k)) {
			t.Fatalf("block %v has other bytes", k)
		}
		if _, twice := held[b]; !twice && r.IntN(50) == 0 {
			held[b] = k // for a while
		} else {
			c.release(b)
		}
		for b, k := range held {
			if !bytes.Equal(b.data, content(k)) {
				t.Fatalf("block %v changed while it was held", k)
			}
			if r.IntN(20) == 0 {
				c.release(b)
				delete(held, b)
			}
		}
	}
	for b := range held {
		c.release(b)
	}
	total := 0
	for _, b := range c.queue {
		total += len(b.data)
	}
	if hits == 0 || total > len(c.ring) || len(c.queue) != len(c.blocks) {
		t.Errorf("%d hits, %d of %d bytes in %d blocks, %d known", hits, total, len(c.ring), len(c.queue), len(c.blocks))
	}
}

func TestNoBlockCache(t *testing.T) {
	c := newTestCache(t, 0)
	for range 3 {
		c.offer(blockKey{1, 0}, []byte("x"))
	}
	if has(c, blockKey{1, 0}) {
		t.Error("kept a block without memory")
	}
}
