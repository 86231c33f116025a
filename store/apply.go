package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"gantry/store/catalog"
	"gantry/store/segment"
)

// txn turns records into catalog changes, in log order: while they are being committed, when the log is replayed, and when
// the catalog is rebuilt. What it does depends on nothing but the record and the catalog's state, so all three agree (I7).
// It belongs to the sequencer.
type txn struct {
	*catalog.Batch
	log     recordReader
	pending map[LSN]*record // records of this batch, which are not in the log yet
	// inFlight are the batches before this one that are durable and not yet acknowledged. Their payloads may be read from the log
	// alone: their buffers are given back when they land.
	inFlight []*txn
	next     uint64 // LSN of the next record, while a batch is prepared
	damaged  bool   // replay has met damage: what a record rests on may be missing
	row      []byte // room for a row on its way into the batch, which copies it
}

// put sets a key to a row.
func (tx *txn) put(key []byte, row interface{ append(b []byte) []byte }) {
	tx.row = row.append(tx.row[:0])
	tx.Put(key, tx.row)
}

// recordReader reads records that are in the log.
type recordReader interface {
	readHeader(lsn LSN) (*segment.Header, error)
	readPayload(h *segment.Header) ([]byte, error)
}

// apply makes the catalog changes of one record. An unknown type changes nothing: the record is kept, and a version that
// knows it will index it.
func (tx *txn) apply(h *segment.Header) error {
	switch h.Type {
	case segment.TypeObject, segment.TypeComplete:
		return tx.applyObject(h)
	case segment.TypeExtent:
		return tx.applyExtent(h)
	case segment.TypePart:
		return tx.applyPart(h)
	case segment.TypeDelete:
		return tx.applyDelete(h)
	case segment.TypeUpload:
		return tx.applyUpload(h)
	case segment.TypeAbort:
		return tx.applyAbort(h)
	case segment.TypeBucket:
		return tx.applyBucket(h)
	case segment.TypeBucketDelete:
		return tx.applyBucketDelete(h)
	}
	return nil
}

func (tx *txn) applyObject(h *segment.Header) error {
	f := &h.Fields
	old, err := tx.entry(f.BucketID, f.Key)
	if err != nil {
		return err
	}
	if old != nil {
		if old.LSN == LSN(h.LSN) {
			return nil // replayed
		}
		if err := tx.forget(f.BucketID, f.Key, old, h.Time); err != nil {
			return err
		}
	}
	if err := tx.restoreBucket(h); err != nil {
		return err
	}
	var damage error
	if h.Type == segment.TypeComplete {
		if err := tx.closeStreams(h); errors.Is(err, ErrCorrupt) {
			damage = err // the object stays, unreadable: it must neither vanish nor uncover an older one
		} else if err != nil {
			return err
		}
	}
	e := entryOf(h)
	tx.row = e.append(tx.row[:0], f.Key)
	tx.Put(objectKey(f.BucketID, f.Key), tx.row)
	if err := tx.addTotals(f.BucketID, e, 1); err != nil {
		return err
	}
	if f.DICOM == nil {
		return damage
	}
	return firstError(tx.index(h), damage)
}

// restoreBucket makes a bucket anew whose own record is damaged, from what an object in it tells: its settings are lost, its
// objects are not.
func (tx *txn) restoreBucket(h *segment.Header) error {
	if !tx.damaged {
		return nil
	}
	f := &h.Fields
	have, err := getBucket(tx, f.Bucket)
	if err == nil && have.ID >= f.BucketID || err != nil && !errors.Is(err, ErrNoBucket) {
		return err
	}
	b := Bucket{ID: f.BucketID, Name: f.Bucket, Owner: f.Owner, Created: timeOf(h), Settings: BucketSettings{DICOM: f.DICOM != nil}}
	tx.put(bucketKey(b.Name), &b)
	return nil
}

func (tx *txn) applyDelete(h *segment.Header) error {
	f := &h.Fields
	old, err := tx.entry(f.BucketID, f.Key)
	if err != nil || old == nil {
		return err
	}
	tx.Delete(objectKey(f.BucketID, f.Key))
	return tx.forget(f.BucketID, f.Key, old, h.Time)
}

// forget undoes what a live object has in the catalog besides its entry.
func (tx *txn) forget(bucket uint64, key string, old *entry, now int64) error {
	if old.Large {
		tx.put(garbageKey(garbageObject, uint64(old.LSN)), old.location)
	}
	if err := tx.addTotals(bucket, old, -1); err != nil {
		return err
	}
	if old.Instance == nil {
		return nil
	}
	return tx.unindex(bucket, old, now)
}

func (tx *txn) applyExtent(h *segment.Header) error {
	tx.put(extentKey(h.Fields.Stream, h.Fields.Index), locationOf(h))
	if h.Fields.Index == 0 {
		tx.Put(openKey(h.Fields.Stream), nil)
	}
	return nil
}

func (tx *txn) applyPart(h *segment.Header) error {
	f := &h.Fields
	id, err := parseUploadID(f.UploadID)
	if err != nil {
		return fmt.Errorf("part record %s: %w", LSN(h.LSN), err)
	}
	if err := tx.dropPart(partKey(id, f.PartNumber)); err != nil {
		return err
	}
	p := storedPart{
		Part: Part{
			Number: f.PartNumber, Size: f.Size, ETag: f.ETag, Modified: timeOf(h),
			Checksums: checksumsOf(f.Checksums),
		},
		LSN: LSN(h.LSN), Stream: f.Stream,
	}
	tx.put(partKey(id, f.PartNumber), &p)
	tx.Delete(openKey(f.Stream))
	return nil
}

// dropPart gives the extents of a part, if there is one, to the collector.
func (tx *txn) dropPart(key []byte) error {
	v, ok, err := tx.Get(key)
	if err != nil || !ok {
		return err
	}
	p, err := decodePart(v)
	if err != nil {
		return err
	}
	tx.Put(garbageKey(garbageStream, p.Stream), nil)
	return nil
}

func (tx *txn) applyUpload(h *segment.Header) error {
	f := &h.Fields
	if err := tx.restoreBucket(h); err != nil {
		return err
	}
	u := Upload{
		NewUpload: NewUpload{
			Key: Key{Bucket: f.Bucket, Name: f.Key}, Meta: metaOf(f), Origin: Origin{Owner: f.Owner, Principal: f.Principal},
		},
		Initiated: timeOf(h),
	}
	if len(f.Checksums) > 0 { // the algorithm announced, without a value
		u.ChecksumAlgorithm, u.ChecksumComposite = f.Checksums[0].Algorithm, f.Checksums[0].Composite
	}
	tx.put(uploadKey(f.BucketID, f.Key, LSN(h.LSN)), &u)
	return nil
}

func (tx *txn) applyAbort(h *segment.Header) error {
	id, err := parseUploadID(h.Fields.UploadID)
	if err != nil {
		return fmt.Errorf("abort record %s: %w", LSN(h.LSN), err)
	}
	return tx.endUpload(h.Fields.BucketID, h.Fields.Key, id, func(uint64) bool { return false })
}

// endUpload removes an upload and its parts. Streams that are used belong to the object it became.
func (tx *txn) endUpload(bucket uint64, key string, id LSN, used func(stream uint64) bool) error {
	tx.Delete(uploadKey(bucket, key, id))
	prefix := partPrefix(id)
	var keys [][]byte
	var derr error
	err := catalog.Scan(tx, prefix, catalog.PrefixEnd(prefix), func(k, v []byte) bool {
		var p storedPart
		if p, derr = decodePart(v); derr != nil {
			return false
		}
		keys = append(keys, append([]byte(nil), k...))
		if !used(p.Stream) {
			tx.Put(garbageKey(garbageStream, p.Stream), nil)
		}
		return true
	})
	if err != nil || derr != nil {
		return firstError(err, derr)
	}
	for _, k := range keys {
		tx.Delete(k)
	}
	return nil
}

// closeStreams gives the extents of a large object their owner, and ends the upload that it came from.
func (tx *txn) closeStreams(h *segment.Header) error {
	f := &h.Fields
	if f.UploadID == "" {
		tx.Delete(openKey(f.Stream))
		return nil
	}
	id, err := parseUploadID(f.UploadID)
	if err != nil {
		return fmt.Errorf("complete record %s: %w", LSN(h.LSN), err)
	}
	m, err := tx.manifest(h)
	if errors.Is(err, ErrCorrupt) { // any part may be in it
		return firstError(tx.endUpload(f.BucketID, f.Key, id, func(uint64) bool { return true }), err)
	}
	if err != nil {
		return err
	}
	used := make(map[uint64]bool, len(m))
	for _, p := range m {
		used[p.Stream] = true
		if tx.damaged { // the record of the part may be the damaged one
			tx.Delete(openKey(p.Stream))
		}
	}
	return tx.endUpload(f.BucketID, f.Key, id, func(stream uint64) bool { return used[stream] })
}

func (tx *txn) manifest(h *segment.Header) (manifest, error) {
	if r, ok := tx.pending[LSN(h.LSN)]; ok {
		return parseManifest(r.payload.bytes())
	}
	b, err := tx.log.readPayload(h)
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	return parseManifest(b)
}

// header reads the header of a record that is committed, or pending in this batch.
func (tx *txn) header(lsn LSN) (*segment.Header, error) {
	if r, ok := tx.pending[lsn]; ok {
		return r.header, nil
	}
	for _, f := range tx.inFlight {
		if r, ok := f.pending[lsn]; ok {
			return r.header, nil
		}
	}
	return tx.log.readHeader(lsn)
}

func (tx *txn) applyBucket(h *segment.Header) error {
	f := &h.Fields
	b := Bucket{ID: f.BucketID, Name: f.Bucket, Owner: f.Owner, Created: timeOf(h)}
	if b.ID == 0 { // a new bucket is named by the record that made it
		b.ID = h.LSN
	} else {
		old, err := getBucket(tx, f.Bucket)
		switch {
		case err == nil:
			b.Created, b.Owner = old.Created, old.Owner
		case !errors.Is(err, ErrNoBucket): // else the record that made it is damaged
			return err
		}
	}
	if len(f.Settings) > 0 {
		if err := json.Unmarshal(f.Settings, &b.Settings); err != nil {
			return fmt.Errorf("bucket record %s: %w", LSN(h.LSN), err)
		}
	}
	tx.put(bucketKey(b.Name), &b)
	return nil
}

// applyBucketDelete also ends uploads that were started while the bucket's last ones were being aborted.
func (tx *txn) applyBucketDelete(h *segment.Header) error {
	f := &h.Fields
	tx.Delete(bucketKey(f.Bucket))
	tx.Delete(totalsKey(f.BucketID))
	type upload struct {
		key string
		id  LSN
	}
	var open []upload
	var derr error
	prefix := inBucket(spaceUpload, f.BucketID)
	err := catalog.Scan(tx, prefix, catalog.PrefixEnd(prefix), func(k, _ []byte) bool {
		var u upload
		u.key, _, derr = catalog.CutString(k[len(prefix):])
		u.id = LSN(tailUint64(k))
		open = append(open, u)
		return derr == nil
	})
	if err := firstError(err, derr); err != nil {
		return err
	}
	for _, u := range open {
		if err := tx.endUpload(f.BucketID, u.key, u.id, func(uint64) bool { return false }); err != nil {
			return err
		}
	}
	return nil
}

func (tx *txn) entry(bucket uint64, key string) (*entry, error) { return getEntry(tx, bucket, key) }

func getEntry(r catalog.Reader, bucket uint64, key string) (*entry, error) {
	v, ok, err := r.Get(objectKey(bucket, key))
	if err != nil || !ok {
		return nil, err
	}
	return decodeEntry(v, key)
}

// addTotals keeps the number and size of a bucket's objects.
func (tx *txn) addTotals(bucket uint64, e *entry, n int64) error {
	t, err := getTotals(tx, bucket)
	if err != nil {
		return err
	}
	t.Objects += n
	t.Bytes += n * e.Size
	if e.Instance == nil {
		t.Unindexed += n
	}
	tx.put(totalsKey(bucket), &t)
	return nil
}

func entryOf(h *segment.Header) *entry {
	f := &h.Fields
	e := &entry{
		location: locationOf(h), Large: h.Type == segment.TypeComplete, Size: h.PayloadLen, ETag: f.ETag,
		Modified: timeOf(h), Owner: f.Owner, Meta: metaOf(f), Checksums: checksumsOf(f.Checksums),
		PartCount: f.PartCount,
	}
	if e.Large {
		e.Size = f.Size
	}
	if f.DICOM != nil {
		id := identityOf(f.DICOM)
		e.Instance = &id
	}
	return e
}

func locationOf(h *segment.Header) location {
	return location{LSN: LSN(h.LSN), HeaderLen: h.Len, PayloadLen: h.PayloadLen, CRCs: h.Fields.CRC}
}

func metaOf(f *segment.Fields) Meta {
	return Meta{System: f.System, User: f.User, Tags: f.Tags, StorageClass: f.StorageClass}
}

func checksumsOf(in []segment.Checksum) []Checksum {
	if len(in) == 0 {
		return nil
	}
	out := make([]Checksum, len(in))
	for i, c := range in {
		out[i] = Checksum(c)
	}
	return out
}

func segmentChecksums(in []Checksum) []segment.Checksum {
	if len(in) == 0 {
		return nil
	}
	out := make([]segment.Checksum, len(in))
	for i, c := range in {
		out[i] = segment.Checksum(c)
	}
	return out
}

// parseUploadID reads what uploadID wrote.
func parseUploadID(s string) (LSN, error) {
	if len(s) != 16 {
		return 0, ErrNoUpload
	}
	v, err := strconv.ParseUint(s, 16, 64)
	if err != nil {
		return 0, ErrNoUpload
	}
	return LSN(v), nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
