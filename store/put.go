package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"gantry/internal/budget"
	"gantry/store/segment"
)

// InstanceError is the refusal of an object whose DICOM identity is known. It wraps the reason.
type InstanceError struct {
	Identity Identity
	Err      error
}

// Error names no UID: the text may reach a log.
func (e *InstanceError) Error() string { return e.Err.Error() }

// Unwrap gives the reason.
func (e *InstanceError) Unwrap() error { return e.Err }

// Put stores one object. It is durable when Put returns (I1). The order of the write path (DESIGN §5):
//
//  1. room for the body is reserved in the budget, then the body is read into pooled buffers, checksummed on the way; what
//     exceeds MaxRecord goes to the log as extents, invisible until the object is complete
//  2. what needs no state is checked: length, the gateway's checksums, DICOM
//  3. the record is queued; the sequencer checks what depends on state, in log order
//  4. space is reserved, LSNs are given, the batch goes to the mirror first, then to the local log: one write, one sync
//  5. the commit point advances
//  6. the batch is applied to the catalog, then acknowledged
//
// Errors: ErrNoBucket, ErrInvalidKey, ErrTooLarge, ErrMetadataTooLarge, ErrIncompleteBody, ErrPrecondition, ErrNotFound (If.IfMatch),
// ErrNotDICOM, ErrDuplicate, ErrWrongStudy, ErrFull, ErrBusy, ErrBroken, ErrClosed, the errors of Body and Sums. Once the
// DICOM identity is known, an *InstanceError wraps them.
func (s *Store) Put(ctx context.Context, p *Put) (PutResult, error) {
	pending, err := s.Begin(ctx, p)
	if err != nil {
		return PutResult{}, err
	}
	return pending.Wait()
}

// Pending is a put that is on its way into the log.
type Pending struct {
	store *Store
	draft *draft
	op    *op
}

// Begin does what Put does up to the queue (1 to 3), so that the next body of the same client can be read meanwhile. Puts
// begun one after the other are committed in that order, but for instances that have to be compared with what is stored first.
// Wait must be called; nothing waits for that.
func (s *Store) Begin(ctx context.Context, p *Put) (*Pending, error) {
	bucket, err := s.checkPut(p)
	if err != nil {
		return nil, err
	}
	// 1
	start := time.Now()
	up, err := s.receive(ctx, p.Body, p.Size, p.AtMost)
	if err != nil {
		return nil, err
	}
	received := time.Since(start)
	// 2
	d := &draft{put: p, bucket: bucket, upload: up}
	if err := s.examine(ctx, d); err != nil {
		up.close()
		return nil, d.refuse(err)
	}
	s.metrics.step(stepHash, d.hashing)
	s.metrics.step(stepReceive, max(0, received-d.hashing))
	// 3 to 6, by the sequencer: see prepare and write
	o := &op{records: d.records, check: d.check, release: up.release, begun: time.Now(), compare: func() error { return s.compare(d) }}
	if err := s.enqueue(ctx, o); err != nil {
		o.freeHeaders()
		up.close()
		return nil, d.refuse(err)
	}
	return &Pending{store: s, draft: d, op: o}, nil
}

// Wait returns when the put is durable, or refused. It must be called once.
func (p *Pending) Wait() (PutResult, error) {
	d := p.draft
	defer d.upload.close()
	if err := p.store.await(p.op); err != nil {
		return PutResult{}, d.refuse(err)
	}
	if d.same != nil {
		return PutResult{Info: *d.same, Unindexed: d.unindexed}, nil
	}
	d.upload.committed()
	p.store.metrics.stored()
	info := entryOf(d.object.header).info(Key{Bucket: d.put.Bucket, Name: d.object.header.Fields.Key})
	return PutResult{Info: info, Stored: true, Duplicate: d.duplicate, Unindexed: d.unindexed}, nil
}

func (s *Store) checkPut(p *Put) (Bucket, error) {
	if err := checkMeta(&p.Meta); err != nil {
		return Bucket{}, err
	}
	if p.Instance == nil {
		if err := CheckKey(p.Name); err != nil {
			return Bucket{}, err
		}
	}
	if p.Size > MaxObject {
		return Bucket{}, ErrTooLarge
	}
	return getBucket(s.catalog, p.Bucket)
}

// CheckKey tells whether a name can be an object key: ErrInvalidKey.
func CheckKey(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: it is empty", ErrInvalidKey)
	case len(name) > MaxKeyBytes:
		return fmt.Errorf("%w: longer than %d bytes", ErrInvalidKey, MaxKeyBytes)
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: not UTF-8", ErrInvalidKey)
	case strings.IndexByte(name, 0) >= 0:
		return fmt.Errorf("%w: it holds a NUL", ErrInvalidKey)
	}
	return nil
}

func checkMeta(m *Meta) error {
	n := 0
	for k, v := range m.User {
		n += len(k) + len(v)
	}
	if n > MaxUserMeta {
		return fmt.Errorf("%w: user metadata of %d bytes", ErrMetadataTooLarge, n)
	}
	return nil
}

// received is a body: in memory, or its beginning already in the log.
type received struct {
	store  *Store
	body   *body // the whole, or the extents not yet in the log
	stream *stream
	object *Object // what an upload's parts make together
	size   int64
	claim  *budget.Reservation
}

// receive reads a body to its end. Bodies beyond MaxRecord stream into extents. size is -1 if unknown, atMost 0.
func (s *Store) receive(ctx context.Context, r io.Reader, size, atMost int64) (*received, error) {
	limit := int64(MaxRecord)
	if size < 0 && atMost > 0 {
		limit = min(limit, atMost)
	}
	room := limit
	if size >= 0 {
		room = min(limit, size)
	}
	claim, err := s.budget.Acquire(ctx, max(footprint(room), 1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBusy, err)
	}
	up := &received{store: s, claim: claim}
	if err := up.read(ctx, r, size, limit); err != nil {
		up.close()
		return nil, err
	}
	claim.Shrink(up.body.memory())
	return up, nil
}

// read reads what fits limit, and sends what is more to the log, unless limit says that there is none.
func (u *received) read(ctx context.Context, r io.Reader, size, limit int64) error {
	if r == nil {
		r = strings.NewReader("")
	}
	b, ended, err := readBody(r, size, limit)
	if err != nil {
		return bodyError(err)
	}
	u.body, u.size = b, b.size
	if ended {
		return u.checkSize(size)
	}
	rest, err := peek(r)
	if err != nil {
		return bodyError(err)
	}
	if rest == nil {
		return u.checkSize(size)
	}
	if size == u.size || limit < MaxRecord {
		return errBodyTooLong
	}
	return u.spill(ctx, rest, size)
}

// errBodyTooLong tells that a body goes on after its declared length.
var errBodyTooLong = fmt.Errorf("%w: there is more", ErrIncompleteBody)

func (u *received) checkSize(size int64) error {
	if size >= 0 && u.size != size {
		return fmt.Errorf("%w: %d of %d bytes", ErrIncompleteBody, u.size, size)
	}
	return nil
}

// spill moves what was read to the log as extents, and the rest of r after it.
func (u *received) spill(ctx context.Context, r io.Reader, size int64) error {
	var err error
	if u.stream, err = u.store.newStream(); err != nil {
		return err
	}
	head := u.body
	u.body = nil
	for _, ext := range head.extents() {
		err = errors.Join(err, u.stream.write(ctx, ext, err != nil))
	}
	u.claim.Shrink(ExtentSize)
	for ended := false; !ended && err == nil; {
		ended, err = u.spillNext(ctx, r, size)
	}
	if err != nil {
		return err
	}
	return u.checkSize(size)
}

// spillNext moves one extent's worth to the log.
func (u *received) spillNext(ctx context.Context, r io.Reader, size int64) (ended bool, err error) {
	left := int64(-1)
	if size >= 0 {
		left = size - u.size
	}
	if left == 0 {
		rest, err := peek(r)
		if err == nil && rest != nil {
			err = errBodyTooLong
		}
		return true, bodyError(err)
	}
	ext, ended, err := readBody(r, left, ExtentSize)
	if err != nil {
		return true, bodyError(err)
	}
	if ext.size == 0 {
		return true, nil
	}
	if u.size += ext.size; u.size > MaxObject {
		ext.free()
		return true, ErrTooLarge
	}
	return ended, u.stream.write(ctx, ext, false)
}

// bodyError makes a body cut short recognisable; other errors of the source stay as they are.
func bodyError(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %w", ErrIncompleteBody, err)
	}
	return err
}

// committed says that the extents have an owner now.
func (u *received) committed() {
	if u.stream != nil {
		u.stream.owned = true
	}
}

// release gives back the memory of the body.
func (u *received) release() {
	u.body.free()
	u.claim.Release()
}

// close releases everything. It may be called after release, and must be called once.
func (u *received) close() {
	u.release()
	u.stream.abandon()
	u.stream.close()
}

// readerAt gives the bytes received, wherever they are.
func (u *received) readerAt() io.ReaderAt {
	if u.object != nil {
		return u.object
	}
	if u.stream == nil {
		return u.body
	}
	return &Object{store: u.store, large: manifest{{Stream: u.stream.id, Part: Part{Size: u.size}}}, Info: Info{Size: u.size}}
}

// draft is an object on its way: what examine found out, and what check decides with the catalog's state.
type draft struct {
	put       *Put
	bucket    Bucket
	upload    *received
	records   []*record
	object    *record
	instance  *Instance
	unindexed error
	duplicate bool
	hashing   time.Duration
	same      *Info        // set by check: this data set is stored already
	undecided []sopEntry   // what check wants to have compared before it can decide
	compared  map[LSN]bool // which objects were compared, and whether they hold the same data set
}

// refuse adds the identity to an error, if it is known.
func (d *draft) refuse(err error) error {
	if d.instance == nil {
		return err
	}
	return &InstanceError{Identity: d.instance.Identity, Err: err}
}

// examine does all that needs no state, and encodes the record.
func (s *Store) examine(ctx context.Context, d *draft) error {
	p := d.put
	var sums Sums
	if p.Sums != nil {
		var err error
		if sums, err = p.Sums(); err != nil {
			return err
		}
	}
	d.hashing = sums.Took
	if d.upload.body != nil {
		d.hashing += d.upload.body.took
	}
	start := time.Now()
	if d.bucket.Settings.DICOM || p.Instance != nil {
		if err := s.readInstance(ctx, d); err != nil {
			return err
		}
	}
	parsed := time.Now()
	s.metrics.step(stepParse, parsed.Sub(start))
	defer func() { s.metrics.step(stepEncode, time.Since(parsed)) }()
	key := p.Name
	if p.Instance != nil {
		key = d.instance.objectName()
	}
	if sums.ETag == "" {
		sums.ETag = d.makeETag(sums.Digest)
	}
	h := &segment.Header{Type: segment.TypeObject, Name: segment.MemberName(d.bucket.Name, key)}
	h.Fields = objectFields(d.bucket, key, &p.Meta, &p.Origin, sums)
	if d.instance != nil {
		h.Fields.DICOM = dicomFields(d.instance)
	}
	payload := d.upload.body
	if st := d.upload.stream; st != nil {
		h.Type = segment.TypeComplete
		h.Fields.Size, h.Fields.Stream = d.upload.size, st.id
		payload = bodyOf(manifest{{Stream: st.id, Part: Part{Size: d.upload.size, ETag: sums.ETag}}}.append(nil))
		defer func() { d.upload.body = payload }()
	}
	r, err := newRecord(h, payload)
	if err != nil {
		return err
	}
	d.object, d.records = r, []*record{r}
	return nil
}

// readInstance has the Indexer read the object. In a bucket that is not strict, an object put by key may be anything.
func (s *Store) readInstance(ctx context.Context, d *draft) error {
	in, err := s.cfg.Indexer(ctx, d.upload.readerAt(), d.upload.size)
	switch {
	case err == nil:
		d.instance = in
		if d.put.Instance != nil && d.put.Instance.Study != "" && d.put.Instance.Study != in.Study {
			return ErrWrongStudy
		}
		return nil
	case errors.Is(err, ErrCorrupt):
		return err
	case d.put.Instance != nil || d.bucket.Settings.Strict:
		return fmt.Errorf("%w: %w", ErrNotDICOM, err)
	}
	d.unindexed = err
	return nil
}

func objectFields(b Bucket, key string, m *Meta, o *Origin, sums Sums) segment.Fields {
	f := originFields(b, key, o)
	f.ETag, f.Checksums = sums.ETag, segmentChecksums(sums.Checksums)
	f.System, f.User, f.Tags, f.StorageClass = m.System, m.User, m.Tags, m.StorageClass
	return f
}

func originFields(b Bucket, key string, o *Origin) segment.Fields {
	return segment.Fields{
		BucketID: b.ID, Bucket: b.Name, Key: key, NullVersion: key != "", Owner: o.Owner, Principal: o.Principal, Door: o.Door,
		Peer: o.Peer, CallingAE: o.CallingAE, CalledAE: o.CalledAE, RequestID: o.RequestID,
	}
}

// makeETag derives an entity tag from what is known of the bytes anyway. Equal bytes have equal tags; unequal ones of one size, one
// instance and one header may have too, if somebody made them to, for it rests on CRC-32C, and on digest if there is one. It ends in
// -1, so that nobody takes it for an MD5.
func (d *draft) makeETag(digest []byte) string {
	h := sha256.New()
	h.Write(digest)
	if d.instance != nil {
		_, _ = io.WriteString(h, d.instance.SOP) // a hash never fails
		h.Write(d.instance.SOPAttrs)
	}
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(d.upload.size))
	h.Write(b[:])
	crcs := d.upload.body.checksums()
	if d.upload.stream != nil {
		crcs = d.upload.stream.crcs
	}
	for _, c := range crcs {
		binary.BigEndian.PutUint32(b[:4], c)
		h.Write(b[:4])
	}
	return hex.EncodeToString(h.Sum(nil)[:16]) + "-1"
}

// check decides, in log order, whether the object may be stored.
func (d *draft) check(tx *txn) error {
	d.same, d.undecided = nil, d.undecided[:0] // of an earlier try
	if err := checkBucket(tx, d.bucket); err != nil {
		return err
	}
	if d.instance != nil {
		if err := d.checkIdentity(tx); err != nil {
			return err
		}
	}
	return checkCondition(tx, d.bucket.ID, d.object.header.Fields.Key, &d.put.If)
}

// checkBucket fails if the bucket was deleted, or deleted and made again, since the request looked it up.
func checkBucket(tx *txn, b Bucket) error {
	now, err := getBucket(tx, b.Name)
	if err != nil {
		return err
	}
	if now.ID != b.ID {
		return ErrNoBucket
	}
	return nil
}

func checkCondition(tx *txn, bucket uint64, key string, c *Condition) error {
	if *c == (Condition{}) {
		return nil
	}
	e, err := tx.entry(bucket, key)
	if err != nil {
		return err
	}
	if e == nil {
		if c.IfMatch != "" {
			return ErrNotFound
		}
		return nil
	}
	switch {
	case c.IfMatch != "" && c.IfMatch != "*" && c.IfMatch != e.ETag:
		return fmt.Errorf("%w: If-Match", ErrPrecondition)
	case c.IfNoneMatch == "*" || c.IfNoneMatch != "" && c.IfNoneMatch == e.ETag:
		return fmt.Errorf("%w: If-None-Match", ErrPrecondition)
	case !c.IfModified.IsZero() && e.Modified.Unix() != c.IfModified.Unix():
		return fmt.Errorf("%w: last modified time", ErrPrecondition)
	case c.IfSize != nil && *c.IfSize != e.Size:
		return fmt.Errorf("%w: size", ErrPrecondition)
	}
	return nil
}
