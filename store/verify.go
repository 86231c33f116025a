package store

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"gantry/internal/budget"
	"gantry/internal/vfs"
	"gantry/store/catalog"
	"gantry/store/segment"
)

func (s *Store) logDir() string { return filepath.Join(s.cfg.Dir, "log") }

// Report is the result of Verify.
type Report struct {
	Segments, Records int64
	Bytes             int64
	Objects           int64           // live objects looked at
	Damage            []Damage        // stretches of the log that are not what was written, live or dead
	Damaged           []DamagedObject // live objects that damage touches
}

// DamagedObject is a live object that can't be read whole.
type DamagedObject struct {
	Key
	LSN    LSN
	Detail string
}

// Clean tells that nothing is damaged.
func (r *Report) Clean() bool { return len(r.Damage) == 0 && len(r.Damaged) == 0 }

// Verify reads and checks everything: each header, each payload, each footer, and that each entry of the catalog leads to
// its record. It lists the live objects that damage touches. It may run while the store is in use.
func (s *Store) Verify(ctx context.Context, progress func(Progress)) (*Report, error) {
	v := &verifier{store: s, report: &Report{}, progress: progress, end: s.End()}
	s.wal.mu.RLock()
	segs := slices.Clone(s.wal.segs)
	s.wal.mu.RUnlock()
	for i, seg := range segs {
		end := v.end
		if i < len(segs)-1 {
			end = segs[i+1].base
		}
		if err := v.segment(ctx, seg, end); err != nil {
			return nil, fmt.Errorf("verify segment %s: %w", seg.name(), err)
		}
	}
	if err := v.objects(ctx); err != nil {
		return nil, err
	}
	return v.report, nil
}

type verifier struct {
	store    *Store
	report   *Report
	progress func(Progress)
	end      LSN
	streams  map[uint64]bool // with damaged or missing extents
}

// segment checks one file up to the LSN end.
func (v *verifier) segment(ctx context.Context, seg *segmentFile, end LSN) error {
	w := v.store.wal
	f, err := w.files.acquire(w.path(seg))
	if err != nil {
		return err
	}
	defer f.release()
	fileSize, err := f.Size()
	if err != nil {
		return err
	}
	size := min(fileSize, int64(end-seg.base))
	v.report.Segments++
	sc := segment.NewScanner(forgiving{File: f}, size, uint64(seg.base))
	for {
		h, off, err := sc.Next()
		var torn *segment.TornError
		var rot *segment.CorruptError
		switch {
		case errors.Is(err, io.EOF):
			return v.endOf(seg, f, sc.Offset(), int64(end-seg.base))
		case errors.As(err, &torn):
			v.bad(seg, torn.Offset, int64(end-seg.base), torn.Error())
			return nil
		case errors.As(err, &rot):
			v.bad(seg, rot.Offset, rot.Resume, rot.Error())
			continue
		case err != nil:
			return err
		}
		v.record(seg, f, h, off)
		if err := context.Cause(ctx); err != nil {
			return err
		}
	}
}

// forgiving reads zeros where the disk gives nothing but errors: a bad sector is damage like any other, and what lies around it is
// checked as well.
type forgiving struct {
	vfs.File
	met *unreadable // set to the last of them, if not nil
}

// unreadable is a place that could not be read.
type unreadable struct {
	off int64
	err error
}

// pageSize is the piece in which disks lose data.
const pageSize = 4096

// ReadAt implements io.ReaderAt.
func (f forgiving) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, fs.ErrClosed) {
		return n, err
	}
	for at := 0; at < len(p); {
		next := min(at+pageSize-int((off+int64(at))%pageSize), len(p))
		if n, err := f.File.ReadAt(p[at:next], off+int64(at)); err != nil {
			clear(p[at+n : next])
			if f.met != nil {
				*f.met = unreadable{off + int64(at), err}
			}
		}
		at = next
	}
	return len(p), nil
}

func (v *verifier) record(seg *segmentFile, f vfs.File, h *segment.Header, off int64) {
	v.report.Records++
	v.report.Bytes += h.RecordLen()
	if !v.store.payloadGood(f, off, h) {
		v.bad(seg, off, off+h.RecordLen(), "payload checksum differs")
	}
	if v.progress != nil && v.report.Records%256 == 0 {
		v.progress(Progress{
			Records: v.report.Records, Bytes: v.report.Bytes, TotalBytes: int64(v.end), DamageFound: len(v.report.Damage),
		})
	}
}

// endOf checks that the records reach the segment's end, and its footer.
func (v *verifier) endOf(seg *segmentFile, f vfs.File, off, want int64) error {
	if off < want {
		v.bad(seg, off, want, "records are missing")
		return nil
	}
	v.store.wal.mu.RLock()
	sealed := seg.sealed
	v.store.wal.mu.RUnlock()
	if !sealed {
		return nil
	}
	size, err := f.Size() // after the look at sealed: the footer may have come meanwhile
	if err != nil {
		return err
	}
	ft, err := segment.ReadFooter(f, size)
	if err == nil {
		var digest [32]byte
		if digest, err = segment.DigestHeaders(f, ft.Entries); err == nil && digest != ft.Digest {
			err = errors.New("footer digest differs from the headers")
		}
	}
	if err != nil {
		v.bad(seg, off, off, "footer: "+err.Error())
	}
	return nil
}

func (v *verifier) bad(seg *segmentFile, from, to int64, detail string) {
	v.report.Damage = append(v.report.Damage, Damage{
		Segment: seg.name(), From: seg.base + LSN(from), To: seg.base + LSN(to), Detail: detail,
	})
}

// payloadGood reads and checks a record's payload and padding.
func (s *Store) payloadGood(f vfs.File, off int64, h *segment.Header) bool {
	buf := budget.GetBuf(segment.BlockSize)[:segment.BlockSize]
	defer budget.PutBuf(buf)
	pos, left := off+int64(h.Len), h.PayloadLen
	for i := 0; left > 0; i++ {
		b := buf[:min(left, segment.BlockSize)]
		if n, _ := f.ReadAt(b, pos); n < len(b) || i >= len(h.Fields.CRC) || crc32.Checksum(b, castagnoli) != h.Fields.CRC[i] {
			return false
		}
		pos, left = pos+int64(len(b)), left-int64(len(b))
	}
	pad := buf[:segment.Padding(h.PayloadLen)]
	if n, _ := f.ReadAt(pad, pos); n < len(pad) {
		return false
	}
	for _, c := range pad {
		if c != 0 {
			return false
		}
	}
	return true
}

// damagedAt finds the damage that a record lies in.
func (v *verifier) damagedAt(lsn LSN) (Damage, bool) {
	for _, d := range v.report.Damage {
		if lsn >= d.From && lsn < d.To {
			return d, true
		}
	}
	return Damage{}, false
}

// objects goes through the catalog and lists the live objects that are damaged.
func (v *verifier) objects(ctx context.Context) error {
	if err := v.extents(ctx); err != nil {
		return err
	}
	buckets, err := v.store.Buckets(ctx)
	if err != nil {
		return err
	}
	for _, b := range buckets {
		prefix := inBucket(spaceObject, b.ID)
		listed := int64(0)
		before, _ := getTotals(v.store.catalog, b.ID)
		err := v.store.scan(ctx, prefix, catalog.PrefixEnd(prefix), func(k, val []byte) (bool, error) {
			name := string(k[len(prefix):])
			listed++
			e, err := decodeEntry(val, name)
			if err != nil {
				v.report.Objects++
				v.report.Damaged = append(v.report.Damaged, DamagedObject{Key: Key{Bucket: b.Name, Name: name}, Detail: err.Error()})
				return true, nil
			}
			v.object(b, name, e)
			return true, nil
		})
		if err == nil {
			err = v.count(b, before, listed)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// count reports a bucket whose catalog has lost objects, or has some twice, as rot makes it, unless it was written to meanwhile.
func (v *verifier) count(b Bucket, before totals, listed int64) error {
	now, err := getTotals(v.store.catalog, b.ID)
	detail := fmt.Sprintf("the catalog lists %d objects and counts %d", listed, now.Objects)
	switch {
	case errors.Is(err, ErrCorrupt):
		detail = "the catalog's totals of the bucket: " + err.Error()
	case err != nil || now != before || v.store.End() != v.end || listed == now.Objects:
		return err
	}
	v.report.Damaged = append(v.report.Damaged, DamagedObject{Key: Key{Bucket: b.Name}, Detail: detail})
	return nil
}

// extents finds the streams that damage touches.
func (v *verifier) extents(ctx context.Context) error {
	v.streams = make(map[uint64]bool)
	if len(v.report.Damage) == 0 {
		return nil
	}
	prefix := space(spaceExtent)
	return v.store.scan(ctx, prefix, catalog.PrefixEnd(prefix), func(k, val []byte) (bool, error) {
		d := decoder{b: val}
		at := d.location()
		if d.err != nil {
			return false, d.err
		}
		if _, bad := v.damagedAt(at.LSN); bad {
			stream, _, err := catalog.CutUint64(k[len(prefix):])
			if err != nil {
				return false, err
			}
			v.streams[stream] = true
		}
		return true, nil
	})
}

func (v *verifier) object(b Bucket, name string, e *entry) {
	if e.LSN >= v.end {
		return // stored meanwhile
	}
	if e.Large { // its extents stay as long as it is looked at
		v.store.pins.add(e.LSN)
		defer v.store.pins.drop(e.LSN)
		if v.gone(b, name, e) {
			return
		}
	}
	v.report.Objects++
	detail := ""
	if d, bad := v.damagedAt(e.LSN); bad {
		detail = fmt.Sprintf("segment %s offset %d: %s", d.Segment, v.offset(d), d.Detail)
	} else if h, err := v.store.readHeader(e.LSN); err != nil {
		detail = err.Error()
	} else if h.Fields.Key != name || h.Fields.BucketID != b.ID {
		detail = "the catalog leads to another object's record"
	} else if e.Large {
		detail = v.large(e)
	}
	if detail == "" || v.gone(b, name, e) {
		return
	}
	v.report.Damaged = append(v.report.Damaged, DamagedObject{Key: Key{Bucket: b.Name, Name: name}, LSN: e.LSN, Detail: detail})
}

// gone tells whether an object was deleted or replaced meanwhile.
func (v *verifier) gone(b Bucket, name string, e *entry) bool {
	now, err := getEntry(v.store.catalog, b.ID, name)
	return err == nil && (now == nil || now.LSN != e.LSN)
}

func (v *verifier) offset(d Damage) int64 {
	base, _ := parseSegmentName(d.Segment)
	return int64(d.From - base)
}

// large tells what is wrong with the extents of a large object.
func (v *verifier) large(e *entry) string {
	m, err := v.store.readManifest(e.location)
	if err != nil {
		return err.Error()
	}
	for i := range m {
		if v.streams[m[i].Stream] {
			return fmt.Sprintf("extents of stream %s are damaged", LSN(m[i].Stream))
		}
		for x := range m[i].extents() {
			if _, err := v.store.extent(m[i].Stream, x); err != nil {
				return err.Error()
			}
		}
	}
	return ""
}
