package store

// Batch is a group commit as it goes into the log, to be put at the same LSN at the other site.
type Batch struct {
	Epoch       uint64
	LSN         LSN   // of its first byte
	Segment     LSN   // first LSN of the segment it lies in
	CommitPoint LSN   // everything below is acknowledged or may be
	Bytes       int64 // sum of Data
	Data        [][]byte
}

// Mirror takes every batch before it is written locally. Replication satisfies it.
type Mirror interface {
	// Send starts sending a batch and returns without waiting for the other site. durable blocks until the batch is on stable
	// storage there, or counts without it (DESIGN §7); an error means that nothing may be acknowledged any more. Data is
	// valid until durable returns. Send is called by one goroutine, in log order; durable of several batches at once, in any order.
	Send(b Batch) (durable func() error)
}

// sendToMirror hands a batch over before it is written locally, so that the two overlap. durable is nil if there is no mirror.
func (s *Store) sendToMirror(b *batch, data [][]byte) (durable func() error) {
	if s.cfg.Mirror == nil {
		return nil
	}
	return s.cfg.Mirror.Send(Batch{
		Epoch: s.epoch(), LSN: LSN(b.records[0].header.LSN), Segment: s.wal.active().base,
		CommitPoint: LSN(b.records[0].header.CommitPoint), Bytes: b.size, Data: data,
	})
}
