package catalog

// Snapshot is a consistent view: the state after some prefix of the committed batches. It is for one goroutine at a
// time, and MUST be closed soon: see the package comment.
type Snapshot struct {
	catalog *Catalog
	tx      engineTx
	active  *table
	frozen  *table
	lsn     uint64
	err     error
}

// Snapshot takes a view of what is visible now. An error of the engine shows in each use of the snapshot.
func (c *Catalog) Snapshot() *Snapshot {
	s := &Snapshot{catalog: c}
	for {
		// The engine's view must hold all that isn't in the overlays any more: true if no overlay was dropped between
		// taking the one and the other. It may hold the frozen overlay's changes already; they are the same there.
		// Begin stays outside the lock, since bbolt can make it wait.
		drops := c.drops.Load()
		tx, err := c.engine.begin()
		if err != nil {
			s.err = c.readError(err)
			return s
		}
		if s.take(drops) {
			s.tx = tx
			c.snapshots.Add(1)
			return s
		}
		tx.close()
		if s.err != nil {
			return s
		}
	}
}

// take notes the overlays, unless one was dropped since drops was read.
func (s *Snapshot) take(drops uint64) bool {
	c := s.catalog
	c.mu.RLock()
	ok := s.takeLocked(drops)
	c.mu.RUnlock()
	if ok || s.err != nil || c.drops.Load() != drops {
		return ok
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shared == nil {
		c.shared = c.active.copyForReading()
	}
	return s.takeLocked(drops)
}

func (s *Snapshot) takeLocked(drops uint64) bool {
	c := s.catalog
	if c.closed {
		s.err = ErrClosed
		return false
	}
	if c.drops.Load() != drops || c.shared == nil {
		return false
	}
	s.active, s.lsn = c.shared, c.active.lsn
	if c.frozen != nil {
		s.frozen = &c.frozen.table
	}
	return true
}

// LSN returns what the log was applied up to in this view.
func (s *Snapshot) LSN() uint64 { return s.lsn }

// Get returns the value of key, see Reader.
func (s *Snapshot) Get(key []byte) ([]byte, bool, error) {
	if s.err != nil {
		return nil, false, s.err
	}
	if !validKey(key) {
		return nil, false, nil
	}
	for _, t := range [...]*table{s.active, s.frozen} {
		if t == nil {
			continue
		}
		if v, ok := t.Get(viewString(key)); ok {
			return v, v != nil, nil
		}
	}
	v, ok, err := s.tx.get(key)
	return v, ok, s.catalog.readError(err)
}

// Iter iterates in ascending order, see Reader. Iterators of a snapshot end with it.
func (s *Snapshot) Iter(lo, hi []byte) *Iterator {
	return newIterator(bounds{lo: lo, hi: hi}, s, nil)
}

// IterReverse iterates in descending order, see Reader. Iterators of a snapshot end with it.
func (s *Snapshot) IterReverse(lo, hi []byte) *Iterator {
	return newIterator(bounds{lo: lo, hi: hi, reverse: true}, s, nil)
}

// Close releases the view. It may be called twice.
func (s *Snapshot) Close() {
	if s.tx == nil {
		return
	}
	s.tx.close()
	s.tx, s.err = nil, ErrClosed
	s.active, s.frozen = nil, nil
	s.catalog.snapshots.Add(-1)
}

// Iter iterates over what is visible now, in a snapshot that lives as long as the iterator, see Reader.
func (c *Catalog) Iter(lo, hi []byte) *Iterator {
	s := c.Snapshot()
	it := s.Iter(lo, hi)
	it.owned = s
	return it
}

// IterReverse is Iter in descending order.
func (c *Catalog) IterReverse(lo, hi []byte) *Iterator {
	s := c.Snapshot()
	it := s.IterReverse(lo, hi)
	it.owned = s
	return it
}
