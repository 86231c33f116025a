package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"gantry/store/catalog"
	"gantry/store/segment"
)

// CreateUpload starts a multipart upload: ErrNoBucket, ErrInvalidKey, ErrMetadataTooLarge, ErrFull.
func (s *Store) CreateUpload(ctx context.Context, n *NewUpload) (Upload, error) {
	if err := firstError(CheckKey(n.Name), checkMeta(&n.Meta)); err != nil {
		return Upload{}, err
	}
	b, err := getBucket(s.catalog, n.Bucket)
	if err != nil {
		return Upload{}, err
	}
	h := &segment.Header{Type: segment.TypeUpload, Name: segment.ControlName(segment.TypeUpload, n.Bucket+"/"+n.Name)}
	h.Fields = objectFields(b, n.Name, &n.Meta, &n.Origin, Sums{})
	if n.ChecksumAlgorithm != "" {
		h.Fields.Checksums = []segment.Checksum{{Algorithm: n.ChecksumAlgorithm, Composite: n.ChecksumComposite}}
	}
	if err := s.submitRecord(ctx, h, func(tx *txn) error { return checkBucket(tx, b) }, false); err != nil {
		return Upload{}, err
	}
	return s.Upload(ctx, n.Key, LSN(h.LSN).String())
}

// Upload gives an upload in progress: ErrNoBucket, ErrNoUpload.
func (s *Store) Upload(_ context.Context, k Key, id string) (Upload, error) {
	b, err := getBucket(s.catalog, k.Bucket)
	if err != nil {
		return Upload{}, err
	}
	return getUpload(s.catalog, b, k, id)
}

func getUpload(r catalog.Reader, b Bucket, k Key, id string) (Upload, error) {
	lsn, err := parseUploadID(id)
	if err != nil {
		return Upload{}, err
	}
	v, ok, err := r.Get(uploadKey(b.ID, k.Name, lsn))
	if err != nil {
		return Upload{}, err
	}
	if !ok {
		return Upload{}, ErrNoUpload
	}
	return decodeUpload(v, k, lsn)
}

// PutPart stores a part. Errors: as Put, ErrNoUpload, ErrInvalidPart (its number).
func (s *Store) PutPart(ctx context.Context, p *PutPart) (Part, error) {
	if p.Number < 1 || p.Number > MaxParts {
		return Part{}, fmt.Errorf("%w: number %d", ErrInvalidPart, p.Number)
	}
	b, err := getBucket(s.catalog, p.Bucket)
	if err != nil {
		return Part{}, err
	}
	if _, err := getUpload(s.catalog, b, p.Key, p.UploadID); err != nil {
		return Part{}, err
	}
	up, err := s.receive(ctx, p.Body, p.Size, 0)
	if err != nil {
		return Part{}, err
	}
	defer up.close()
	var sums Sums
	if p.Sums != nil {
		if sums, err = p.Sums(); err != nil {
			return Part{}, err
		}
	}
	o, err := s.partOp(b, p, up, sums)
	if err != nil {
		return Part{}, err
	}
	if err := s.submit(ctx, o); err != nil {
		return Part{}, err
	}
	up.committed()
	h := o.records[len(o.records)-1].header
	return Part{Number: p.Number, Size: up.size, ETag: h.Fields.ETag, Modified: timeOf(h), Checksums: sums.Checksums}, nil
}

// partOp makes the operation that commits a part: the extents still in memory, and the record that names the stream.
func (s *Store) partOp(b Bucket, p *PutPart, up *received, sums Sums) (*op, error) {
	o := &op{check: func(tx *txn) error {
		if err := checkBucket(tx, b); err != nil {
			return err
		}
		_, err := getUpload(tx, b, p.Key, p.UploadID)
		return err
	}}
	if up.stream == nil {
		var err error
		if up.stream, err = s.newStream(); err != nil {
			return nil, err
		}
		for _, ext := range up.body.extents() {
			r, err := up.stream.record(ext)
			if err != nil {
				o.freeHeaders()
				return nil, err
			}
			o.records = append(o.records, r)
		}
		up.stream.owned = true // its extents come and go with the part's record
	}
	if sums.ETag == "" {
		sums.ETag = (&draft{upload: up}).makeETag(sums.Digest)
	}
	h := &segment.Header{Type: segment.TypePart}
	h.Name = segment.ControlName(segment.TypePart, fmt.Sprintf("%s/%05d", p.UploadID, p.Number))
	h.Fields = originFields(b, p.Name, &p.Origin)
	h.Fields.UploadID, h.Fields.PartNumber, h.Fields.Stream, h.Fields.Size = p.UploadID, p.Number, up.stream.id, up.size
	h.Fields.ETag, h.Fields.Checksums = sums.ETag, segmentChecksums(sums.Checksums)
	r, err := newRecord(h, nil)
	if err != nil {
		o.freeHeaders()
		return nil, err
	}
	o.records = append(o.records, r)
	return o, nil
}

// Parts lists the parts of an upload in progress, by number, from after on: ErrNoBucket, ErrNoUpload.
func (s *Store) Parts(ctx context.Context, k Key, id string, after, limit int) (parts []Part, truncated bool, err error) {
	if _, err := s.Upload(ctx, k, id); err != nil {
		return nil, false, err
	}
	lsn, err := parseUploadID(id)
	if err != nil {
		return nil, false, err
	}
	limit = min(max(limit, 0), MaxPage)
	err = s.scan(ctx, partKey(lsn, min(max(after, 0), MaxParts)+1), catalog.PrefixEnd(partPrefix(lsn)), func(_, v []byte) (bool, error) {
		if len(parts) == limit {
			truncated = limit > 0
			return false, nil
		}
		p, err := decodePart(v)
		parts = append(parts, p.Part)
		return true, err
	})
	return parts, truncated, err
}

// Uploads lists uploads in progress by key, then by start: ErrNoBucket.
func (s *Store) Uploads(ctx context.Context, l *ListUploads) (UploadPage, error) {
	b, err := getBucket(s.catalog, l.Bucket)
	if err != nil {
		return UploadPage{}, err
	}
	root := inBucket(spaceUpload, b.ID)
	lo := catalog.AppendStringPrefix(root[:len(root):len(root)], l.Prefix)
	hi := catalog.PrefixEnd(lo)
	if l.AfterKey != "" {
		after := catalog.PrefixEnd(uploadPrefix(b.ID, l.AfterKey))
		if id, err := parseUploadID(l.AfterID); err == nil {
			after = catalog.After(uploadKey(b.ID, l.AfterKey, id))
		}
		if string(after) > string(lo) {
			lo = after
		}
	}
	var page UploadPage
	n, limit := 0, min(max(l.Max, 0), MaxPage)
	err = s.scan(ctx, lo, hi, func(k, v []byte) (bool, error) {
		name, rest, err := catalog.CutString(k[len(root):])
		if err != nil {
			return false, err
		}
		common := commonPrefix(name, l.Prefix, l.Delimiter)
		if common != "" && (l.AfterKey >= common && strings.HasPrefix(l.AfterKey, common) ||
			len(page.Prefixes) > 0 && page.Prefixes[len(page.Prefixes)-1] == common) {
			return true, nil
		}
		if n == limit {
			page.Truncated = limit > 0
			return false, nil
		}
		n++
		if common != "" {
			page.Prefixes = append(page.Prefixes, common)
			page.NextKey, page.NextID = common, ""
			return true, nil
		}
		u, err := decodeUpload(v, Key{Bucket: b.Name, Name: name}, LSN(tailUint64(rest)))
		page.Uploads = append(page.Uploads, u)
		page.NextKey, page.NextID = name, u.ID
		return true, err
	})
	return page, err
}

// commonPrefix is the key up to and with the first delimiter after the prefix; empty if there is none.
func commonPrefix(key, prefix, delimiter string) string {
	if delimiter == "" {
		return ""
	}
	i := strings.Index(key[len(prefix):], delimiter)
	if i < 0 {
		return ""
	}
	return key[:len(prefix)+i+len(delimiter)]
}

// Abort ends an upload and forgets its parts: ErrNoBucket, ErrNoUpload.
func (s *Store) Abort(ctx context.Context, k Key, id string, o Origin) error {
	b, err := getBucket(s.catalog, k.Bucket)
	if err != nil {
		return err
	}
	h := &segment.Header{Type: segment.TypeAbort, Name: segment.ControlName(segment.TypeAbort, id), Fields: originFields(b, k.Name, &o)}
	h.Fields.UploadID = id
	return s.submitRecord(ctx, h, func(tx *txn) error {
		_, err := getUpload(tx, b, k, id)
		return err
	}, true)
}

// Complete makes an object of an upload's parts. No byte is copied: the object's record names the parts' extents. In a dicom
// bucket the object is read once more to be indexed. Errors: as Put, ErrNoUpload, ErrInvalidPart, ErrInvalidPartOrder, ErrPartTooSmall.
func (s *Store) Complete(ctx context.Context, c *Complete) (PutResult, error) {
	b, err := getBucket(s.catalog, c.Bucket)
	if err != nil {
		return PutResult{}, err
	}
	u, err := getUpload(s.catalog, b, c.Key, c.UploadID)
	if err != nil {
		return PutResult{}, err
	}
	chosen, err := s.choose(c)
	if err != nil {
		return PutResult{}, err
	}
	d := &draft{bucket: b, put: &Put{Key: c.Key, Meta: u.Meta, Origin: c.Origin, If: c.If}}
	if d.put.Owner == "" {
		d.put.Owner = u.Owner
	}
	d.upload = &received{store: s}
	defer func() { d.upload.body.free() }()
	if err := s.assemble(ctx, c, d, chosen); err != nil {
		return PutResult{}, d.refuse(err)
	}
	err = s.submit(ctx, &op{records: d.records, check: func(tx *txn) error {
		if err := d.checkParts(tx, c, chosen); err != nil {
			return err
		}
		return d.check(tx)
	}})
	if err != nil {
		return PutResult{}, d.refuse(err)
	}
	s.metrics.stored()
	info := entryOf(d.object.header).info(c.Key)
	return PutResult{Info: info, Stored: true, Duplicate: d.duplicate, Unindexed: d.unindexed}, nil
}

// Completed gives the object under a key if it is what an upload became: ErrNoUpload for any other, and all of Head.
func (s *Store) Completed(_ context.Context, k Key, id string) (Info, error) {
	e, err := s.lookUp(k)
	if err != nil {
		return Info{}, err
	}
	if e.PartCount == 0 {
		return Info{}, ErrNoUpload
	}
	h, err := s.wal.readHeader(e.LSN)
	if err != nil {
		return Info{}, err
	}
	if h.Fields.UploadID != id {
		return Info{}, ErrNoUpload
	}
	return e.info(k), nil
}

// choose finds the parts that the client named.
func (s *Store) choose(c *Complete) ([]storedPart, error) {
	id, err := parseUploadID(c.UploadID)
	if err != nil {
		return nil, err
	}
	if len(c.Parts) == 0 || len(c.Parts) > MaxParts {
		return nil, fmt.Errorf("%w: %d parts", ErrInvalidPart, len(c.Parts))
	}
	for i := range c.Parts[1:] {
		if c.Parts[i+1].Number <= c.Parts[i].Number {
			return nil, ErrInvalidPartOrder
		}
	}
	chosen := make([]storedPart, len(c.Parts))
	for i, want := range c.Parts {
		if want.Number < 1 || want.Number > MaxParts {
			return nil, fmt.Errorf("%w: number %d", ErrInvalidPart, want.Number)
		}
		v, ok, err := s.catalog.Get(partKey(id, want.Number))
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("%w: number %d", ErrInvalidPart, want.Number)
		}
		if chosen[i], err = decodePart(v); err != nil {
			return nil, err
		}
		if !want.matches(&chosen[i].Part) {
			return nil, fmt.Errorf("%w: number %d", ErrInvalidPart, want.Number)
		}
		if i < len(c.Parts)-1 && chosen[i].Size < MinPart {
			return nil, fmt.Errorf("%w: number %d", ErrPartTooSmall, want.Number)
		}
	}
	return chosen, nil
}

func (c *CompletePart) matches(p *Part) bool {
	if strings.Trim(c.ETag, `"`) != p.ETag {
		return false
	}
	for _, want := range c.Checksums {
		if !slices.Contains(p.Checksums, want) {
			return false
		}
	}
	return true
}

// assemble makes the object's record out of the chosen parts.
func (s *Store) assemble(ctx context.Context, c *Complete, d *draft, chosen []storedPart) error {
	m := make(manifest, len(chosen))
	parts := make([]Part, len(chosen))
	up := d.upload
	for i := range chosen {
		m[i] = piece{Stream: chosen[i].Stream, Part: chosen[i].Part}
		parts[i] = chosen[i].Part
		up.size += chosen[i].Size
	}
	if up.size > MaxObject {
		return ErrTooLarge
	}
	var sums Sums
	var err error
	if c.Sums != nil {
		if sums, err = c.Sums(parts); err != nil {
			return err
		}
	}
	if d.bucket.Settings.DICOM {
		for i := range m { // the collector leaves alone what is being read
			s.pins.add(LSN(m[i].Stream))
			defer s.pins.drop(LSN(m[i].Stream))
		}
		if err := d.checkParts(s.catalog, c, chosen); err != nil {
			return err
		}
		up.object = &Object{store: s, large: m, Info: Info{Size: up.size}}
		if err := s.readInstance(ctx, d); err != nil {
			return err
		}
	}
	text := m.append(nil)
	if len(text) > maxManifest {
		return fmt.Errorf("%w: part table of %d bytes", ErrMetadataTooLarge, len(text))
	}
	up.body = bodyOf(text)
	if sums.ETag == "" {
		sums.ETag = d.makeETag(sums.Digest)
	}
	h := &segment.Header{Type: segment.TypeComplete, Name: segment.MemberName(c.Bucket, c.Name)}
	h.Fields = objectFields(d.bucket, c.Name, &d.put.Meta, &d.put.Origin, sums)
	h.Fields.Size, h.Fields.UploadID, h.Fields.PartCount = up.size, c.UploadID, len(parts)
	if d.instance != nil {
		h.Fields.DICOM = dicomFields(d.instance)
	}
	d.object, err = newRecord(h, up.body)
	d.records = []*record{d.object}
	return err
}

// checkParts makes sure that the upload is still there and no part was replaced meanwhile.
func (d *draft) checkParts(r catalog.Reader, c *Complete, chosen []storedPart) error {
	if _, err := getUpload(r, d.bucket, c.Key, c.UploadID); err != nil {
		return err
	}
	id, err := parseUploadID(c.UploadID)
	if err != nil {
		return err
	}
	for i := range chosen {
		v, ok, err := r.Get(partKey(id, chosen[i].Number))
		if err != nil {
			return err
		}
		now, derr := decodePart(v)
		if !ok || derr != nil || now.LSN != chosen[i].LSN {
			return firstError(derr, fmt.Errorf("%w: number %d", ErrInvalidPart, chosen[i].Number))
		}
	}
	return nil
}
