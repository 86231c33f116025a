package store

import (
	"context"
	"errors"
	"fmt"
	"io"

	"gantry/store/catalog"
	"gantry/store/segment"
)

// Damage is a stretch of the log that can't be read as records.
type Damage struct {
	Segment  string
	From, To LSN
	Detail   string
}

// Damage lists what recovery found unreadable. Everything else is served.
func (s *Store) Damage() []Damage { return s.damage }

// recover brings the store to where it was when the last batch was acknowledged.
func (s *Store) recover(ctx context.Context) error {
	var err error
	if s.wal, err = openWAL(s.cfg.FS, s.logDir(), s.cfg.SegmentBytes, s.cfg.Logger); err != nil {
		return err
	}
	if err := s.identify(); err != nil {
		return err
	}
	if err := s.openCatalog(); err != nil {
		return err
	}
	if err := s.replay(ctx); err != nil {
		return fmt.Errorf("replay log: %w", err)
	}
	s.wal.written = s.wal.end.Load()
	if err := s.saveEpoch(s.epoch() + 1); err != nil {
		return err
	}
	s.wal.sealAll(s.stop)
	return nil
}

// identify finds out which log this is.
func (s *Store) identify() error {
	j, err := s.loadSite()
	if err != nil {
		return err
	}
	s.site.logID = j.LogID
	s.site.epoch.Store(j.Epoch)
	commit, err := j.commit()
	if err != nil {
		return fmt.Errorf("read site file: commit point: %w", err)
	}
	s.site.commit.Store(commit)
	if j.LogID != "" {
		return nil
	}
	if empty, err := s.wal.empty(); err != nil || empty {
		s.site.logID = newLogID()
		return err
	}
	s.wal.end.Store(segment.MaxHeader) // enough to read the first record
	s.site.logID, err = s.logIDFromLog()
	s.wal.end.Store(0)
	if err != nil {
		return err
	}
	// The epochs are in the records: go through all of them.
	if err := s.cfg.RemoveCatalog(); err != nil {
		return fmt.Errorf("remove catalog: %w", err)
	}
	return nil
}

// readTime finds the commit time that the log has reached, if the catalog knows it: time in the log never runs backwards,
// whatever the clock says after a restart.
func (s *Store) readTime() error {
	v, ok, err := s.catalog.Get(space(spaceTime))
	if err != nil || !ok {
		return err
	}
	d := decoder{b: v}
	s.lastTime.Store(d.int())
	return d.err
}

func (s *Store) openCatalog() error {
	opts := catalog.Options{
		FormatVersion: catalogFormat, LogID: s.site.logID, Scattered: scatteredSpaces, OverlayBytes: s.cfg.OverlayBytes,
		OnError: func(err error) { s.cfg.Logger.Error("catalog", "error", err) },
	}
	var err error
	s.catalog, err = s.cfg.OpenCatalog(opts)
	if err == nil {
		if err = firstError(s.readTime(), s.checkHoles()); err != nil {
			err = errors.Join(err, s.catalog.Abort())
		}
	}
	if errors.Is(err, catalog.ErrCorrupt) || errors.Is(err, catalog.ErrMismatch) || errors.Is(err, ErrCorrupt) || errors.Is(err, errFilled) {
		s.cfg.Logger.Warn("catalog is rebuilt from the log", "reason", err)
		if err := s.cfg.RemoveCatalog(); err != nil {
			return fmt.Errorf("remove catalog: %w", err)
		}
		s.catalog, err = s.cfg.OpenCatalog(opts)
	}
	if err != nil {
		return fmt.Errorf("open catalog: %w", err)
	}
	return nil
}

// errFilled is of a catalog that was made when a part of the log was missing or damaged, which is there again: it lacks what that part says.
var errFilled = errors.New("a part of the log that could not be read was restored")

// checkHoles looks whether a segment was restored that the catalog could not learn from: errFilled.
func (s *Store) checkHoles() error {
	applied, _ := s.catalog.AppliedLSN()
	s.wal.end.Store(applied) // as far as there can be holes
	defer s.wal.end.Store(0)
	prefix := space(spaceHole)
	return s.scan(context.Background(), prefix, catalog.PrefixEnd(prefix), func(k, _ []byte) (bool, error) {
		at, _, err := catalog.CutUint64(k[len(prefix):])
		if err == nil && s.wholeAt(LSN(at)) {
			err = errFilled
		}
		return true, err
	})
}

// wholeAt tells whether the log has a whole record at an LSN.
func (s *Store) wholeAt(lsn LSN) bool {
	h, err := s.readHeader(lsn)
	if err != nil || h.Type == segment.TypeFooter { // which has the LSN of the record behind it
		return false
	}
	seg, err := s.wal.segmentOf(lsn)
	if err != nil {
		return false
	}
	f, err := s.wal.files.acquire(s.wal.path(seg))
	if err != nil {
		return false
	}
	defer f.release()
	return s.payloadGood(f, int64(lsn-seg.base), h)
}

// replayer applies the log from where the catalog ends.
type replayer struct {
	store    *Store
	tx       *txn
	records  int // in tx
	progress Progress
}

// replayBatch is how many records go into one catalog batch.
const replayBatch = 2000

func (s *Store) replay(ctx context.Context) error {
	applied, _ := s.catalog.AppliedLSN()
	r := &replayer{store: s, tx: s.newTxn()}
	s.wal.end.Store(applied)
	segs := s.wal.segs
	if err := r.checkFiles(LSN(applied), LSN(s.site.commit.Load())); err != nil {
		return err
	}
	r.tx.damaged = len(s.damage) > 0
	for i, seg := range segs {
		last := i == len(segs)-1
		if !last && seg.end <= LSN(applied) {
			continue
		}
		if err := r.segment(ctx, seg, last); err != nil {
			return fmt.Errorf("segment %s: %w", seg.name(), err)
		}
	}
	if err := r.flush(ctx); err != nil {
		return err
	}
	if commit := LSN(s.site.commit.Load()); s.End() < commit {
		s.wal.skipTo(commit)
	}
	return nil
}

// checkFiles reports what is missing of the log as far as the catalog has applied it, which replay does not look at, and at its end what
// is missing below the commit point. LSNs that are lost are not given again.
func (r *replayer) checkFiles(applied, commit LSN) error {
	s := r.store
	var have LSN // up to which the log is there
	segs := s.wal.segs
	for i, seg := range segs {
		if seg.base > have {
			d := Damage{From: have, To: seg.base, Detail: "segments are missing"}
			if seg.base > applied {
				r.hole(d)
			} else {
				s.reportDamage(d)
			}
		}
		size, _, err := s.cfg.FS.Stat(s.wal.path(seg))
		if err != nil {
			return err
		}
		have = seg.base + LSN(size)
		if i == len(segs)-1 {
			if have, err = s.wal.recordsEnd(seg, size); err != nil {
				return err
			}
			break
		}
		if have < seg.end && seg.end <= applied { // else replay reports it
			s.reportDamage(Damage{Segment: seg.name(), From: have, To: seg.end, Detail: "records are missing"})
		}
		have = seg.end
	}
	if have < applied {
		s.reportDamage(Damage{From: have, To: applied, Detail: "the log ends before what the catalog has seen"})
		s.wal.skipTo(applied)
	}
	if lost := max(have, applied); lost < commit {
		r.hole(Damage{From: lost, To: commit, Detail: "the log ends before what was acknowledged"})
	}
	return nil
}

// segment replays one file from the log's end so far.
func (r *replayer) segment(ctx context.Context, seg *segmentFile, last bool) error {
	w := r.store.wal
	f, err := w.files.acquire(w.path(seg))
	if err != nil {
		return err
	}
	defer f.release()
	size, err := f.Size()
	if err != nil {
		return err
	}
	valid := size
	if !last {
		valid = min(size, int64(seg.end-seg.base))
	}
	from := int64(max(LSN(w.end.Load()), seg.base) - seg.base)
	t := &tail{replayer: r, seg: seg, file: f, size: valid, from: from, commit: seg.end}
	if last {
		if err := f.Sync(); err != nil { // a process that was killed may have written the last batch only: from now on it counts
			return err
		}
		if t.commit, err = t.commitPoint(); err != nil {
			return err
		}
		t.unread = unreadable{}
		if err := t.lookForFooter(size); err != nil {
			return err
		}
	}
	if err := t.replay(ctx); err != nil {
		return err
	}
	return t.finish(last, size)
}

// tail is the part of a segment that is replayed.
type tail struct {
	*replayer
	seg    *segmentFile
	file   *openFile
	size   int64 // bytes of the file that count
	from   int64
	commit LSN // everything below was acknowledged or may have been: it must be there
	batch  []*segment.Header
	torn   bool
	unread unreadable
}

// scanner goes through the records from where the catalog ends.
func (t *tail) scanner() *segment.Scanner {
	sc := segment.NewScanner(t.reader(), t.size, uint64(t.seg.base))
	sc.SkipTo(t.from)
	return sc
}

func (t *tail) reader() forgiving { return forgiving{File: t.file, met: &t.unread} }

// commitPoint is the highest one known: from the site file, which a store at rest writes, or from a batch of the tail. Those carry what
// was acknowledged when they were written, up to maxFlight batches before them and more.
func (t *tail) commitPoint() (LSN, error) {
	point := max(t.seg.base+LSN(t.from), LSN(t.store.site.commit.Load()))
	sc := t.scanner()
	for {
		h, _, err := sc.Next()
		var torn *segment.TornError
		var rot *segment.CorruptError
		switch {
		case errors.Is(err, io.EOF), errors.As(err, &torn):
			return point, nil
		case errors.As(err, &rot):
			continue
		case err != nil:
			return 0, err
		}
		if h.First {
			point = max(point, LSN(h.CommitPoint))
		}
	}
}

// lookForFooter tells whether the last segment is sealed, as it is when the one after it was lost: then all of it counts.
func (t *tail) lookForFooter(size int64) error {
	sealed, err := segment.IsFooter(t.file, size)
	if err != nil || !sealed {
		return err
	}
	t.seg.sealed = true
	if ft, err := segment.ReadFooter(t.file, size); err == nil {
		t.commit = max(t.commit, t.seg.base+LSN(ft.Offset))
	}
	return nil
}

// replay applies batch by batch. It tells apart a clean end, a torn tail past the commit point, which is cut at whole
// batches, and damage below it, which is reported and skipped.
func (t *tail) replay(ctx context.Context) error {
	sc := t.scanner()
	for !t.torn {
		h, _, err := sc.Next()
		var torn *segment.TornError
		var rot *segment.CorruptError
		switch {
		case errors.Is(err, io.EOF):
			return t.endOfFile(ctx, sc.Offset())
		case errors.As(err, &torn):
			return t.bad(ctx, torn.Offset, t.size, torn)
		case errors.As(err, &rot):
			if err := t.bad(ctx, rot.Offset, rot.Resume, rot); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		if err := t.add(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

// add takes one record; the last one of a batch applies it.
func (t *tail) add(ctx context.Context, h *segment.Header) error {
	if h.First && len(t.batch) > 0 { // the end of the batch before is missing: damaged, and reported as such
		if err := t.applyBatch(ctx); err != nil {
			return err
		}
	}
	t.batch = append(t.batch, h)
	if !h.Last {
		return nil
	}
	end := LSN(h.LSN) + LSN(h.RecordLen())
	if end > t.commit && !t.whole() {
		return t.tear()
	}
	if err := t.applyBatch(ctx); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// tear ends the replay at a batch that is not whole. One that can't be read may have been acknowledged, and is no torn tail.
func (t *tail) tear() error {
	t.torn = true
	if t.seg.base+LSN(t.unread.off) < t.commit {
		return nil
	}
	return t.unread.err
}

// whole verifies a batch that nothing says was acknowledged: all its records, all its bytes.
func (t *tail) whole() bool {
	if !t.batch[0].First {
		return false
	}
	next := t.batch[0].LSN
	for _, h := range t.batch {
		if h.LSN != next || !t.store.payloadGood(t.reader(), int64(LSN(h.LSN)-t.seg.base), h) {
			return false
		}
		next += uint64(h.RecordLen())
	}
	return true
}

// bad deals with bytes that are no records.
func (t *tail) bad(ctx context.Context, from, to int64, cause error) error {
	at := t.seg.base + LSN(from)
	if at >= t.commit {
		return t.tear()
	}
	if err := t.applyBatch(ctx); err != nil { // what was readable of the batch
		return err
	}
	if t.unread.err != nil {
		cause, t.unread = errors.Join(cause, t.unread.err), unreadable{}
	}
	t.hole(Damage{Segment: t.seg.name(), From: at, To: t.seg.base + LSN(to), Detail: cause.Error()})
	t.store.wal.end.Store(uint64(t.seg.base) + uint64(to))
	return nil
}

// endOfFile is the clean end, unless a batch is missing its rest.
func (t *tail) endOfFile(ctx context.Context, off int64) error {
	if len(t.batch) > 0 {
		return t.bad(ctx, off, off, errors.New("batch without its last record"))
	}
	return nil
}

// applyBatch applies the records collected.
func (t *tail) applyBatch(ctx context.Context) error {
	for _, h := range t.batch {
		t.store.wal.end.Store(h.LSN + uint64(h.RecordLen()))
		if err := t.apply(h); err != nil {
			return err
		}
	}
	t.batch = t.batch[:0]
	if t.records >= replayBatch {
		return t.flush(ctx)
	}
	return nil
}

func (r *replayer) apply(h *segment.Header) error {
	s := r.store
	s.lastTime.Store(max(s.lastTime.Load(), h.Time))
	if h.Epoch > s.epoch() {
		s.site.epoch.Store(h.Epoch) // the site file was lost or is old
	}
	r.records++
	r.progress.Records++
	if err := r.tx.apply(h); err != nil {
		if !errors.Is(err, ErrCorrupt) {
			return err
		}
		r.tx.damaged = true
		s.reportDamage(Damage{From: LSN(h.LSN), To: LSN(h.LSN) + LSN(h.RecordLen()), Detail: err.Error()})
	}
	return nil
}

func (r *replayer) flush(ctx context.Context) error {
	s := r.store
	if r.records > 0 {
		r.tx.Put(space(spaceTime), appendInt(nil, s.lastTime.Load()))
		if err := s.commitCatalog(ctx, r.tx.Batch, s.wal.end.Load()); err != nil {
			return err
		}
		r.tx, r.records = s.newTxn(), 0
		r.tx.damaged = len(s.damage) > 0
	}
	if s.cfg.Progress != nil {
		r.progress.Bytes, r.progress.DamageFound = int64(s.wal.end.Load()), len(s.damage)
		r.progress.TotalBytes = s.wal.size()
		s.cfg.Progress(r.progress)
	}
	return nil
}

// finish cuts a torn tail off the last segment, and reports bytes that another one lacks.
func (t *tail) finish(last bool, fileSize int64) error {
	s := t.store
	end := LSN(s.wal.end.Load())
	if !last {
		if end < t.seg.end {
			t.hole(Damage{Segment: t.seg.name(), From: end, To: t.seg.end, Detail: "records are missing"})
			s.wal.end.Store(uint64(t.seg.end))
		}
		return nil
	}
	keep := int64(max(end, t.seg.base) - t.seg.base)
	if t.seg.sealed || fileSize <= keep {
		return nil
	}
	s.cfg.Logger.Info("torn tail cut off", "segment", t.seg.name(), "at", end.String(), "bytes", fileSize-keep)
	if err := t.file.Truncate(keep); err != nil {
		return fmt.Errorf("cut torn tail: %w", err)
	}
	return t.file.Sync()
}

func (s *Store) reportDamage(d Damage) {
	s.damage = append(s.damage, d)
	s.metrics.corrupt(place{d.From, int64(d.To)})
	s.cfg.Logger.Error("damage found", "segment", d.Segment, "from", d.From.String(), "to", d.To.String(), "detail", d.Detail)
}

// hole reports damage of what is being applied, and has the catalog remember that it lacks that.
func (r *replayer) hole(d Damage) {
	r.tx.damaged = true
	r.store.reportDamage(d)
	if d.To > d.From {
		r.tx.Put(holeKey(d.From), nil)
		r.records++
	}
}

// newTxn starts collecting catalog changes.
// Transactions in flight, oldest first, are seen through.
func (s *Store) newTxn(inFlight ...*txn) *txn {
	below := make([]*catalog.Batch, len(inFlight))
	for i, tx := range inFlight {
		below[i] = tx.Batch
	}
	return &txn{Batch: s.catalog.NewBatch(below...), log: s, pending: make(map[LSN]*record), inFlight: inFlight}
}

// commitCatalog makes a batch visible. Its records are durable, so a catalog that is full for now is waited for.
func (s *Store) commitCatalog(ctx context.Context, b *catalog.Batch, lsn uint64) error {
	for {
		err := s.catalog.Commit(b, lsn)
		if !errors.Is(err, catalog.ErrFull) {
			return err
		}
		select {
		case <-s.stop:
			return err
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		default:
			s.cfg.Logger.Warn("catalog is full: writes wait for it", "error", err)
		}
	}
}
