package store

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// largePages has the kernel hold in large pages what is read from its page cache again and again. What was read at random it holds
// in pages of 4 KiB, out of which a copy takes three times as long (docs/performance.md), and it makes larger ones only while it reads
// from the disk. So a slab that was read hotReads times over is read from the disk once more.
type largePages struct {
	// counts has a place for each slab, by its hash; where two meet, the one read last has it. The upper half says which slab it
	// is, the lower one how many bytes of it were read.
	counts [1 << placeBits]atomic.Uint64
	hot    chan slab
}

// slab is a part of a segment that one large page holds, complete and never written again.
type slab struct {
	seg *segmentFile
	off int64 // in the segment; a multiple of slabBytes
}

const (
	slabBytes = 2 << 20
	// hotReads is how often all of a slab is read before it is worth a read from the disk, and memory that its readers' caches
	// have not seen yet.
	hotReads  = 16
	placeBits = 15
	countMask = 1<<32 - 1
	// restAfter is how long nothing is enlarged after a slab was, in times of what that took: readers go first.
	restAfter = 3
	// recount is how often the count begins anew, since the kernel may have dropped what was enlarged.
	recount = time.Hour
)

func newLargePages() *largePages { return &largePages{hot: make(chan slab, 64)} }

// place finds the count of a slab, and its upper half if it is that slab's.
func (p *largePages) place(seg *segmentFile, off int64) (count *atomic.Uint64, tag uint64) {
	hash := (uint64(seg.base) + uint64(off)/slabBytes) * 0x9e3779b97f4a7c15 // Knuth, TAOCP 6.4: Fibonacci hashing
	return &p.counts[hash>>(64-placeBits)], hash << 32
}

// read counts n bytes read from a segment at off.
func (p *largePages) read(seg *segmentFile, off int64, n int) {
	place, tag := p.place(seg, off)
	was := place.Load()
	now := tag + uint64(n)
	if was>>32 == now>>32 {
		if was&countMask >= hotReads*slabBytes {
			return // it had its turn
		}
		now = was + uint64(n)
	}
	if !place.CompareAndSwap(was, now) || now&countMask < hotReads*slabBytes {
		return
	}
	select {
	case p.hot <- slab{seg, off / slabBytes * slabBytes}:
	default:
		place.Store(0)
	}
}

func (p *largePages) forget() {
	for i := range p.counts {
		p.counts[i].Store(0)
	}
}

// enlarge gives large pages to hot slabs until ctx ends, or the system has none to give.
func (l *wal) enlarge(ctx context.Context) {
	anew := time.NewTicker(recount)
	defer anew.Stop()
	for {
		var rest time.Duration
		select {
		case s := <-l.pages.hot:
			begun := time.Now()
			if err := l.enlargeSlab(s); errors.Is(err, errors.ErrUnsupported) {
				l.logger.Info("no large pages for what is read often", "error", err)
				return
			} else if err != nil {
				l.logger.Warn("no large page", "segment", s.seg.name(), "offset", s.off, "error", err)
			}
			rest = restAfter * time.Since(begun)
		case <-anew.C:
			l.pages.forget()
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(rest):
		case <-ctx.Done():
			return
		}
	}
}

func (l *wal) enlargeSlab(s slab) error {
	if s.off+slabBytes > int64(l.endOf(s.seg)-s.seg.base) { // it is still written to: its turn comes later
		count, _ := l.pages.place(s.seg, s.off)
		count.Store(0)
		return nil
	}
	f, err := l.files.acquire(l.path(s.seg))
	if err != nil {
		return nil //nolint:nilerr // whoever reads it next is told
	}
	defer f.release()
	return f.EnlargePages(s.off, slabBytes)
}
