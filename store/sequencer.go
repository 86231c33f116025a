package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gantry/internal/budget"
	"gantry/store/segment"
)

// Bounds of one batch. A single operation may be larger; it is then alone.
const (
	maxBatchBytes   = 64 << 20
	maxBatchRecords = 1024
	queueLength     = 1024
)

// record is one record on its way into the log.
type record struct {
	header  *segment.Header // as it will be read back
	raw     []byte          // encoded, stamped in place at commit
	payload *body           // nil if empty
}

func (r *record) size() int64 {
	n := int64(len(r.raw))
	if r.payload != nil {
		n += r.payload.size + segment.Padding(r.payload.size)
	}
	return n
}

// headerRoom holds nearly all headers, also once they are widened to end at a block; see budget.GetBuf.
const headerRoom = 16 << 10

// newRecord encodes a record up to what only the commit knows.
func newRecord(h *segment.Header, payload *body) (*record, error) {
	if payload != nil {
		h.PayloadLen, h.Fields.CRC = payload.size, payload.crcs
	}
	room := budget.GetBuf(headerRoom)
	raw, err := segment.AppendHeader(room[:0], h)
	if err != nil {
		budget.PutBuf(room)
	}
	if errors.Is(err, segment.ErrTooLarge) {
		return nil, fmt.Errorf("%w: %w", ErrMetadataTooLarge, err)
	}
	if err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	h.Len = len(raw)
	return &record{header: h, raw: aligned(raw, room), payload: payload}, nil
}

// aligned gives a header that has outgrown its buffer a larger one, which is aligned for direct I/O, too.
func aligned(raw, was []byte) []byte {
	if cap(raw) == cap(was) {
		return raw
	}
	budget.PutBuf(was)
	return append(budget.GetBuf(len(raw))[:0], raw...)
}

// op is one operation: records that are committed together or not at all.
type op struct {
	records []*record
	dropped []*record // records that check took out
	// check decides, in log order, whether the operation may go on. It may change records. errNothing ends the operation
	// well without writing anything. May be nil.
	check func(tx *txn) error
	// apply, if set, is done instead of records: a change of the catalog alone, for what is no part of the log.
	apply func(tx *txn) error
	// release gives back the memory of the payloads, once the records are written or refused. May be nil.
	release func()
	frees   bool         // goes on while the disk is nearly full: deletes
	compare func() error // does what check lacks if it says errUndecided
	begun   time.Time    // when it was queued, if its steps are measured
	done    chan error
	result  error // of check, until the batch is committed
}

// errNothing tells that an operation has nothing to do.
var errNothing = errors.New("nothing to do")

func (o *op) size() (n int64) {
	for _, r := range o.records {
		n += r.size()
	}
	return n
}

// submit hands an operation to the sequencer and waits for its end.
func (s *Store) submit(ctx context.Context, o *op) error {
	if err := s.enqueue(ctx, o); err != nil {
		o.freeHeaders()
		return err
	}
	return s.await(o)
}

// enqueue hands an operation to the sequencer. Once it is handed over it is not withdrawn: the caller's context ends only
// the wait for a place in the queue.
func (s *Store) enqueue(ctx context.Context, o *op) error {
	if o.done == nil { // else it comes again, and somebody waits already
		o.done = make(chan error, 1)
	}
	select {
	case s.queue <- o:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.stop:
		return ErrClosed
	}
}

// await waits for the end of an operation that was handed over.
func (s *Store) await(o *op) error {
	select {
	case err := <-o.done:
		return err
	case <-s.stopped:
		select {
		case err := <-o.done:
			return err
		default:
			return ErrClosed
		}
	}
}

// sequence is the sequencer: the one goroutine that decides the order of the log.
func (s *Store) sequence() {
	defer close(s.flight.queue)
	for {
		select {
		case o := <-s.queue:
			s.commit(s.drain(o))
		case <-s.stop:
			s.finish()
			return
		}
	}
}

// finish commits what was submitted before Close.
func (s *Store) finish() {
	for {
		select {
		case o := <-s.queue:
			s.commit(s.drain(o))
		default:
			return
		}
	}
}

// drain takes whatever is waiting, without a timer: batches grow by themselves while the disk is busy.
func (s *Store) drain(first *op) []*op {
	ops := []*op{first}
	size, records := first.size(), len(first.records)
	for size < maxBatchBytes && records < maxBatchRecords {
		select {
		case o := <-s.queue:
			ops = append(ops, o)
			size += o.size()
			records += len(o.records)
		default:
			return ops
		}
	}
	return ops
}

// commit decides on one batch, makes it durable, and hands it to the settler, which acknowledges it. The next one is what came
// meanwhile: a disk that writes one batch while it syncs another does both more slowly, and batches would be smaller.
func (s *Store) commit(ops []*op) {
	s.land()
	taken := time.Now()
	b, err := s.prepare(ops, s.crowded(ops))
	if b == nil && len(ops) > 1 {
		// One of them can't be applied, for example since a record it rests on is damaged. That must not be the others' trouble.
		for i := range ops {
			s.commit(ops[i : i+1])
		}
		return
	}
	if err == nil {
		err = s.write(b)
	}
	if errors.Is(err, ErrFull) {
		// Nothing of it counts. What frees space may still fit where the rest does not.
		s.land()
		if b, err = s.prepare(ops, true); err == nil {
			err = s.write(b)
		}
	}
	if err != nil {
		b = &batch{err: err}
	}
	b.ops, b.taken = ops, taken
	if s.flight.launch(b) && b.mirrored == nil {
		s.settleBatch(b) // without a change of goroutines, for which its clients would wait
		return
	}
	s.flight.queue <- b
}

// free gives back the memory of what was written.
func (o *op) free() {
	o.freeHeaders()
	if o.release != nil {
		o.release()
	}
}

func (o *op) freeHeaders() {
	for _, records := range [...][]*record{o.records, o.dropped} {
		for _, r := range records {
			budget.PutBuf(r.raw)
			r.raw = nil
		}
	}
}

// outcome is what an operation is told when its batch ended with err. A refusal, or having nothing to do, may rest on
// records of the same batch; where those did not come to be, it does not hold either.
func (o *op) outcome(err error) error {
	switch {
	case err != nil && !errors.Is(o.result, ErrFull):
		return err
	case errors.Is(o.result, errNothing):
		return nil
	}
	return o.result
}

// crowded makes ingest wait while the catalog is behind, before anything is written to the log. It tells if no room will
// come, since the catalog can't be written: then only what frees space goes on.
func (s *Store) crowded(ops []*op) bool {
	for _, o := range ops {
		if !o.frees && len(o.records) > 0 {
			return s.catalog.WaitRoom(context.Background()) != nil
		}
	}
	return false
}

// batch is a group commit in the making.
type batch struct {
	ops      []*op
	tx       *txn
	records  []*record
	size     int64
	mirrored func() error // waits for the mirror; nil where nothing was sent
	taken    time.Time    // by the sequencer
	started  time.Time    // of its write
	written  time.Time
	synced   time.Time
	err      error // nothing of it counts
}

// prepare checks the operations one by one against the catalog and those before them, and gives LSNs to the records of
// those that pass. There is no batch if one of those can't be applied.
func (s *Store) prepare(ops []*op, full bool) (*batch, error) {
	b := &batch{tx: s.newTxn(s.flight.pending()...)}
	b.tx.next = s.wal.written
	full = full || s.nearlyFull(ops)
	now := s.now()
	for i, o := range ops {
		o.result = nil
		if full && !o.frees && len(o.records) > 0 {
			o.result = ErrFull
			continue
		}
		if o.check != nil {
			o.result = o.check(b.tx)
		}
		if o.result != nil {
			continue
		}
		if err := s.place(b, o, now, i == len(ops)-1); err != nil {
			return nil, err
		}
	}
	if len(b.records) > 0 {
		b.tx.Put(space(spaceTime), appendInt(nil, now))
	}
	if err := b.tx.Err(); err != nil {
		return nil, fmt.Errorf("catalog changes: %w", err)
	}
	return b, nil
}

// place gives an operation its LSNs and makes its catalog changes, visible to the operations after it only. last tells that
// no operation comes after it.
func (s *Store) place(b *batch, o *op, now int64, last bool) error {
	if o.apply != nil {
		return o.apply(b.tx)
	}
	for i, r := range o.records {
		r.header.LSN = s.wal.written + uint64(b.size)
		if err := s.wal.align(r, i == len(o.records)-1 && last); err != nil {
			return err
		}
		b.tx.next = r.header.LSN + uint64(r.size())
		r.header.Time, r.header.Epoch = now, s.epoch()
		b.tx.pending[LSN(r.header.LSN)] = r
		b.records = append(b.records, r)
		b.size += r.size()
		if err := b.tx.apply(r.header); err != nil {
			return fmt.Errorf("apply record %s: %w", LSN(r.header.LSN), err)
		}
	}
	return nil
}

// write sends a prepared batch to the mirror and makes it durable in the log, with one fdatasync.
func (s *Store) write(b *batch) error {
	if b.size == 0 {
		return s.wal.broken // what is in doubt must not be passed by the catalog's LSN, nor be built upon
	}
	if s.wal.needsSegment(b.size) {
		if err := s.flight.drain(); err != nil { // all of a segment counts before the next one begins: no end lies before its base
			return err
		}
	}
	if err := s.wal.makeRoom(b.size); err != nil {
		return err
	}
	return s.writeLog(b)
}

func (s *Store) writeLog(b *batch) error {
	commitPoint := s.wal.end.Load()
	for i, r := range b.records {
		st := segment.Stamp{
			LSN: r.header.LSN, Epoch: r.header.Epoch, CommitPoint: commitPoint, Time: r.header.Time,
			First: i == 0, Last: i == len(b.records)-1,
		}
		if err := st.Apply(r.raw); err != nil {
			return fmt.Errorf("stamp record: %w", err)
		}
		r.header.CommitPoint, r.header.First, r.header.Last = st.CommitPoint, st.First, st.Last
	}
	bufs := b.buffers(nil)
	b.mirrored = s.sendToMirror(b, bufs)
	b.started = time.Now()
	if err := s.wal.write(bufs, b.size); err != nil {
		return s.giveUp(b, err)
	}
	b.written = time.Now()
	if err := s.wal.sync(); err != nil {
		return s.giveUp(b, err)
	}
	b.synced = time.Now()
	s.metrics.batch(len(b.records), b.size, b.synced.Sub(b.started))
	s.wal.note(b.records)
	s.lastTime.Store(b.records[len(b.records)-1].header.Time)
	return nil
}

// buffers lists what is written, in order. All of it is aligned for direct I/O: see vfs.OS.
func (b *batch) buffers(bufs [][]byte) [][]byte {
	for _, r := range b.records {
		bufs = append(bufs, r.raw)
		if r.payload != nil && r.payload.size > 0 {
			bufs = append(bufs, r.payload.bufs...)
			last := &bufs[len(bufs)-1]
			*last = padded(*last, int(segment.Padding(r.payload.size)))
		}
	}
	return bufs
}

// padded extends a buffer by n zero bytes, in place: buffers of the pools have room up to a power of two.
func padded(buf []byte, n int) []byte {
	end := len(buf) + n
	clear(buf[len(buf):end])
	return buf[:end]
}

// now is the commit time of the next batch, ns: time in the log never runs backwards (DESIGN §5).
func (s *Store) now() int64 { return max(s.lastTime.Load(), s.cfg.Clock().UnixNano()) }
