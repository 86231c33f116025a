package store

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"sync"

	"gantry/internal/budget"
	"gantry/store/segment"
)

// Head describes the current object under a key: ErrNoBucket, ErrNotFound.
func (s *Store) Head(_ context.Context, k Key) (Info, error) {
	e, err := s.lookUp(k)
	if err != nil {
		return Info{}, err
	}
	return e.info(k), nil
}

func (s *Store) lookUp(k Key) (*entry, error) {
	b, err := getBucket(s.catalog, k.Bucket)
	if err != nil {
		return nil, err
	}
	e, err := getEntry(s.catalog, b.ID, k.Name)
	if err != nil {
		return nil, err
	}
	if e == nil {
		return nil, ErrNotFound
	}
	return e, nil
}

// Object is a stored object, open for reading. It stays what it is, whatever is stored under its key meanwhile. It may be
// read by several goroutines.
type Object struct {
	Info
	store  *Store
	at     location
	large  manifest // nil unless the bytes are in extents
	pinned bool     // its extents are kept until Close
	unpin  sync.Once
}

// Get opens the current object under a key: ErrNoBucket, ErrNotFound. The caller must close it.
func (s *Store) Get(_ context.Context, k Key) (*Object, error) {
	return s.open(func() (Key, *entry, error) {
		e, err := s.lookUp(k)
		return k, e, err
	})
}

// OpenInstance opens the object of an indexed instance by its SOP Instance UID alone: ErrNoBucket, ErrNotFound. The caller must
// close it.
func (s *Store) OpenInstance(_ context.Context, bucket, sop string) (*Object, error) {
	return s.open(func() (Key, *entry, error) { return s.instanceEntry(bucket, sop) })
}

// open opens the object that find finds, which it may have to do more than once.
func (s *Store) open(find func() (Key, *entry, error)) (*Object, error) {
	for {
		k, e, err := find()
		if err != nil {
			return nil, err
		}
		o := &Object{Info: e.info(k), store: s, at: e.location}
		if !e.Large {
			return o, nil
		}
		ok, err := o.openLarge(k)
		if ok {
			return o, nil
		}
		_ = o.Close()
		if err != nil {
			return nil, err
		}
	}
}

// openLarge pins a large object and reads its manifest. It is not ok if another took its place before the pin.
func (o *Object) openLarge(k Key) (ok bool, err error) {
	o.pinned = true
	o.store.pins.add(o.LSN)
	now, err := o.store.lookUp(k)
	if err != nil || now.LSN != o.LSN {
		return false, err
	}
	o.large, err = o.store.readManifest(o.at)
	return err == nil, err
}

// Close releases the object.
func (o *Object) Close() error {
	o.unpin.Do(func() {
		if o.pinned {
			o.store.pins.drop(o.LSN)
		}
	})
	return nil
}

// Parts lists the parts of an object that was uploaded in parts, nil for any other.
func (o *Object) Parts() ([]Part, error) {
	if o.PartCount == 0 {
		return nil, nil
	}
	out := make([]Part, len(o.large))
	for i := range o.large {
		out[i] = o.large[i].Part
	}
	return out, nil
}

// PartRange tells where a part lies in the object: ErrInvalidPart if there is none of that number.
func (o *Object) PartRange(number int) (off, n int64, part Part, err error) {
	for i := range o.large {
		if p := &o.large[i]; p.Number == number {
			return off, p.Size, p.Part, nil
		}
		off += o.large[i].Size
	}
	return 0, 0, Part{}, ErrInvalidPart
}

// ReadAt reads verified bytes (I5). Damage is a *CorruptError, and nothing of a damaged block is given out.
func (o *Object) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read object at %d: negative offset", off)
	}
	n := 0
	for n < len(p) && off < o.Size {
		b, err := o.block(off)
		if err != nil {
			return n, err
		}
		c := copy(p[n:], b.data)
		b.free()
		n += c
		off += int64(c)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Range streams n verified bytes from off on. A range outside the object is cut to it. Closing it does not close the object.
func (o *Object) Range(off, n int64) io.ReadCloser {
	off = min(max(off, 0), o.Size)
	return &rangeReader{object: o, off: off, end: off + min(max(n, 0), o.Size-off)}
}

// verified is a piece of a block that was read and checked.
type verified struct {
	data   []byte // the bytes asked for
	buf    []byte // pooled; nil if they are the cache's
	cache  *blockCache
	cached *cachedBlock
}

func (v *verified) free() {
	if v.buf != nil {
		budget.PutBuf(v.buf)
	}
	if v.cached != nil {
		v.cache.release(v.cached)
	}
	*v = verified{}
}

// block reads the block that holds an offset, and gives its bytes from there on.
func (o *Object) block(off int64) (verified, error) {
	at, pos, err := o.locate(off)
	if err != nil {
		return verified{}, err
	}
	i := int(pos / segment.BlockSize)
	b, err := o.store.readBlock(&at, i)
	if err != nil {
		return verified{}, err
	}
	skip := pos - int64(i)*segment.BlockSize
	if skip >= int64(len(b.data)) { // the catalog says that the object is longer than its payload
		b.free()
		return verified{}, o.store.damaged(&CorruptError{LSN: at.LSN, Detail: "offset past the payload"})
	}
	b.data = b.data[skip:]
	return b, nil
}

// locate finds the record that holds an offset of the object, and the offset in its payload.
func (o *Object) locate(off int64) (location, int64, error) {
	if o.large == nil {
		return o.at, off, nil
	}
	for i := range o.large {
		p := &o.large[i]
		if off >= p.Size {
			off -= p.Size
			continue
		}
		at, err := o.store.extent(p.Stream, int(off/ExtentSize))
		return at, off % ExtentSize, err
	}
	return location{}, 0, fmt.Errorf("offset past the manifest: %w", ErrCorrupt)
}

func (s *Store) extent(stream uint64, index int) (location, error) {
	v, ok, err := s.catalog.Get(extentKey(stream, index))
	if err != nil {
		return location{}, closedOr(err)
	}
	if !ok {
		return location{}, s.damaged(&CorruptError{Detail: fmt.Sprintf("extent %d of stream %s is missing", index, LSN(stream))})
	}
	d := decoder{b: v}
	at := d.location()
	return at, d.err
}

// readBlock gives block i of a payload: one that was verified before, or one that is now.
func (s *Store) readBlock(at *location, i int) (verified, error) {
	key := blockKey{at.LSN, i}
	if b := s.cache.get(key); b != nil {
		s.metrics.cacheHits.Inc()
		return verified{data: b.data, cache: s.cache, cached: b}, nil
	}
	buf, err := s.readDisk(at, i)
	if err != nil {
		return verified{}, err
	}
	s.cache.offer(key, buf)
	return verified{data: buf, buf: buf}, nil
}

// readDisk reads block i of a payload into a pooled buffer and verifies it.
func (s *Store) readDisk(at *location, i int) ([]byte, error) {
	s.metrics.diskReads.Inc()
	off := int64(i) * segment.BlockSize
	n := min(at.PayloadLen-off, segment.BlockSize)
	if n <= 0 || i >= len(at.CRCs) {
		return nil, s.damaged(&CorruptError{LSN: at.LSN, Detail: "block outside the payload"})
	}
	buf := budget.GetBuf(int(n))[:n]
	seg, pos, err := s.wal.readAt(buf, at.LSN, int64(at.HeaderLen)+off)
	if err == nil && crc32.Checksum(buf, castagnoli) == at.CRCs[i] {
		return buf, nil
	}
	budget.PutBuf(buf)
	if errors.Is(err, errNotOpened) {
		return nil, err
	}
	detail := "payload checksum differs"
	if err != nil {
		detail = err.Error()
	}
	return nil, s.damaged(&CorruptError{Segment: seg, Offset: pos, LSN: at.LSN, Detail: detail})
}

// damaged counts and logs damage that a reader met.
func (s *Store) damaged(e *CorruptError) error {
	s.metrics.corrupt(place{e.LSN, e.Offset})
	s.cfg.Logger.Error("damage found", "segment", e.Segment, "offset", e.Offset, "lsn", e.LSN.String(), "detail", e.Detail)
	return e
}

// errNotOpened is a failure that says nothing about the stored bytes: no file handles are left, or the store is closed.
var errNotOpened = errors.New("open segment")

// readAt fills p from a record, off bytes after its start. It returns where that is, for error reports.
func (l *wal) readAt(p []byte, lsn LSN, off int64) (name string, pos int64, err error) {
	seg, err := l.segmentOf(lsn)
	if err != nil {
		return "", 0, err
	}
	name, pos = seg.name(), int64(lsn-seg.base)+off
	f, err := l.files.acquire(l.path(seg))
	if errors.Is(err, fs.ErrNotExist) {
		return name, pos, fmt.Errorf("open segment: %w", err)
	}
	if err != nil {
		return name, pos, fmt.Errorf("%w: %w", errNotOpened, err)
	}
	defer f.release()
	n, err := f.ReadAt(p, pos)
	if n == len(p) {
		l.pages.read(seg, pos, n)
		return name, pos, nil
	}
	if errors.Is(err, io.EOF) {
		return name, pos, io.ErrUnexpectedEOF
	}
	return name, pos, err
}

// readHeader reads and verifies the header of a record.
func (l *wal) readHeader(lsn LSN) (*segment.Header, error) {
	seg, err := l.segmentOf(lsn)
	if err != nil {
		return nil, err
	}
	size := int64(l.endOf(seg) - lsn)
	if size <= 0 {
		return nil, &CorruptError{Segment: seg.name(), Offset: int64(lsn - seg.base), LSN: lsn, Detail: "past the end of the segment"}
	}
	pos := int64(lsn - seg.base)
	f, err := l.files.acquire(l.path(seg))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &CorruptError{Segment: seg.name(), Offset: pos, LSN: lsn, Detail: err.Error()}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotOpened, err)
	}
	defer f.release()
	buf := make([]byte, min(size, 8<<10))
	for {
		// What lies behind the header may be unreadable, or missing: that is not this record's trouble.
		n, readErr := forgiving{File: f}.ReadAt(buf, pos)
		h, err := segment.DecodeHeader(buf[:n])
		var short *segment.ShortError
		if n == len(buf) && errors.As(err, &short) && short.Need > n && short.Need <= segment.MaxHeader && int64(short.Need) <= size {
			buf = make([]byte, short.Need)
			continue
		}
		if err == nil && h.LSN != uint64(lsn) {
			err = errors.New("it is another record's")
		}
		if err != nil {
			return nil, &CorruptError{Segment: seg.name(), Offset: pos, LSN: lsn, Detail: fmt.Sprintf("header: %v", errors.Join(err, readErr))}
		}
		return h, nil
	}
}

// readPayload reads a small payload whole, verified.
func (s *Store) readPayload(h *segment.Header) ([]byte, error) { return s.payload(locationOf(h)) }

func (s *Store) readHeader(lsn LSN) (*segment.Header, error) { return s.wal.readHeader(lsn) }

func (s *Store) payload(at location) ([]byte, error) {
	if at.PayloadLen > maxManifest {
		return nil, s.damaged(&CorruptError{LSN: at.LSN, Detail: "manifest too large"})
	}
	out := make([]byte, 0, at.PayloadLen)
	for i := range at.CRCs {
		b, err := s.readBlock(&at, i)
		if err != nil {
			return nil, err
		}
		out = append(out, b.data...)
		b.free()
	}
	return out, nil
}

func (s *Store) readManifest(at location) (manifest, error) {
	b, err := s.payload(at)
	if err != nil {
		return nil, err
	}
	return parseManifest(b)
}

// rangeReader streams a range block by block.
type rangeReader struct {
	object   *Object
	off, end int64
	block    verified
}

// next makes sure that the current block has bytes to give; io.EOF at the end of the range.
func (r *rangeReader) next() error {
	if len(r.block.data) > 0 {
		return nil
	}
	r.block.free()
	if r.off >= r.end {
		return io.EOF
	}
	b, err := r.object.block(r.off)
	if err != nil {
		return err
	}
	b.data = b.data[:min(int64(len(b.data)), r.end-r.off)]
	r.block = b
	return nil
}

func (r *rangeReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := r.next(); err != nil {
		return 0, err
	}
	n := copy(p, r.block.data)
	r.block.data = r.block.data[n:]
	r.off += int64(n)
	return n, nil
}

// WriteTo writes the rest of the range without another copy.
func (r *rangeReader) WriteTo(w io.Writer) (total int64, err error) {
	for {
		if err := r.next(); errors.Is(err, io.EOF) {
			return total, nil
		} else if err != nil {
			return total, err
		}
		n, err := w.Write(r.block.data)
		r.block.data = r.block.data[n:]
		r.off += int64(n)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
}

func (r *rangeReader) Close() error {
	r.block.free()
	r.off = r.end
	return nil
}
