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
		c.offer(k, make([]byte, minCached))
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
	small := blockKey{12288, 0}
	for range 3 {
		c.offer(small, make([]byte, minCached-1))
	}
	if has(c, small) {
		t.Error("a tiny block was kept")
	}
}

// TestBlockCacheGivesWhatItTook lets blocks of all sizes come, go, and be held, and looks at every byte given out.
func TestBlockCacheGivesWhatItTook(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	c := newTestCache(t, 64*minCached)
	content := func(k blockKey) []byte {
		return bytes.Repeat([]byte{byte(k.lsn), byte(k.lsn >> 8), byte(k.i)}, (minCached+2)/3+int(k.lsn)*37%(minCached/2))
	}
	held := map[*cachedBlock]blockKey{}
	hits := 0
	for range 20_000 {
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
	if hits < 5000 || total > len(c.ring) || len(c.queue) != len(c.blocks) {
		t.Errorf("%d hits, %d of %d bytes in %d blocks, %d known", hits, total, len(c.ring), len(c.queue), len(c.blocks))
	}
}

// TestBlockCacheStepsOverBlocksInUse holds one block for good, as a slow client does: others must still come and go.
func TestBlockCacheStepsOverBlocksInUse(t *testing.T) {
	c := newTestCache(t, 16*minCached)
	for i := range 3 {
		for range 2 {
			c.offer(blockKey{LSN(i), 0}, bytes.Repeat([]byte{byte(i)}, minCached))
		}
	}
	held := c.get(blockKey{1, 0})
	if held == nil {
		t.Fatal("nothing was kept")
	}
	fresh := 0
	for i := 3; i < 400; i++ {
		k := blockKey{LSN(i), 0}
		for range 2 * admitEvery {
			c.offer(k, bytes.Repeat([]byte{byte(i)}, minCached))
		}
		if has(c, k) {
			fresh++
		}
	}
	if fresh < 350 {
		t.Errorf("%d of 397 blocks got in beside one in use", fresh)
	}
	if held.data[0] != 1 || held.data[minCached-1] != 1 {
		t.Error("the block in use was overwritten")
	}
	c.release(held)
}

func TestNoBlockCache(t *testing.T) {
	c := newTestCache(t, 0)
	for range 3 {
		c.offer(blockKey{1, 0}, make([]byte, minCached))
	}
	if has(c, blockKey{1, 0}) {
		t.Error("kept a block without memory")
	}
}
