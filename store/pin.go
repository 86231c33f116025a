package store

import "sync"

// pins are the large objects that somebody reads: their extents stay known until that ends, whatever happened to the objects.
type pins struct {
	mu   sync.Mutex // guards open
	open map[LSN]int
}

func (p *pins) add(lsn LSN) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		p.open = make(map[LSN]int)
	}
	p.open[lsn]++
}

func (p *pins) drop(lsn LSN) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open[lsn]--; p.open[lsn] == 0 {
		delete(p.open, lsn)
	}
}

func (p *pins) held(lsn LSN) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open[lsn] > 0
}
