package store

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"gantry/store/catalog"
	"gantry/store/segment"
)

// manifest lists the pieces of a large object, in order. Its text form is the payload of the object's record: each line
// begins with the extents to join, so that a person with nothing but the extracted archive can rebuild the object.
type manifest []piece

// piece is one stream of extents: a part of a multipart upload, or a whole object.
type piece struct {
	Stream uint64
	Part   // Number is 0 for an object that was not multipart
}

// extents is how many extents hold the piece: all full but the last.
func (p *piece) extents() int { return int((p.Size + ExtentSize - 1) / ExtentSize) }

const manifestHead = "# A large object. Join these files in order to get it: cat LINE1 LINE2 ...\n"

// maxManifest bounds the text of MaxParts lines.
const maxManifest = 8 << 20

func (m manifest) append(b []byte) []byte {
	b = append(b, manifestHead...)
	for _, p := range m {
		name := segment.ExtentName(p.Stream, 0)
		dir := name[:strings.LastIndexByte(name, '/')]
		b = fmt.Appendf(b, "%s/* stream=%016x size=%d part=%d etag=%s modified=%d", dir, p.Stream, p.Size, p.Number,
			url.QueryEscape(p.ETag), p.Modified.UnixNano())
		for _, c := range p.Checksums {
			b = fmt.Appendf(b, " %s=%s", c.Algorithm, c.Value)
		}
		b = append(b, '\n')
	}
	return b
}

func parseManifest(b []byte) (manifest, error) {
	var m manifest
	for line := range bytes.Lines(b) {
		if bytes.HasPrefix(line, []byte("#")) {
			continue
		}
		p, err := parsePiece(strings.TrimSuffix(string(line), "\n"))
		if err != nil {
			return nil, fmt.Errorf("manifest line %d: %w", len(m)+1, err)
		}
		if m = append(m, p); len(m) > MaxParts {
			return nil, fmt.Errorf("manifest has more than %d parts: %w", MaxParts, ErrCorrupt)
		}
	}
	return m, nil
}

func parsePiece(line string) (piece, error) {
	var p piece
	for i, field := range strings.Split(line, " ") {
		if i == 0 {
			continue // the files, for people
		}
		k, v, _ := strings.Cut(field, "=")
		var err error
		switch k {
		case "stream":
			p.Stream, err = strconv.ParseUint(v, 16, 64)
		case "size":
			p.Size, err = strconv.ParseInt(v, 10, 64)
		case "part":
			p.Number, err = strconv.Atoi(v)
		case "etag":
			p.ETag, err = url.QueryUnescape(v)
		case "modified":
			var ns int64
			ns, err = strconv.ParseInt(v, 10, 64)
			p.Modified = time.Unix(0, ns).UTC()
		default:
			p.Checksums = append(p.Checksums, Checksum{Algorithm: k, Value: v})
		}
		if err != nil {
			return piece{}, fmt.Errorf("field %d: %w", i, ErrCorrupt)
		}
	}
	if p.Size < 0 || p.Size > MaxObject || p.Number < 0 || p.Number > MaxParts {
		return piece{}, fmt.Errorf("value out of range: %w", ErrCorrupt)
	}
	return p, nil
}

// storedPart is the catalog's value for a part of an upload in progress.
type storedPart struct {
	Part
	LSN    LSN // of the part's record: a part that is uploaded again has another
	Stream uint64
}

func (p *storedPart) append(b []byte) []byte {
	b = appendUint(appendUint(b, uint64(p.LSN)), p.Stream)
	b = appendInt(appendInt(b, int64(p.Number)), p.Size)
	b = appendStr(b, p.ETag)
	return appendChecksums(appendInt(b, p.Modified.UnixNano()), p.Checksums)
}

func decodePart(v []byte) (storedPart, error) {
	d := decoder{b: v}
	p := storedPart{LSN: LSN(d.uint()), Stream: d.uint(), Part: Part{
		Number: int(d.int()), Size: d.int(), ETag: d.str(), Modified: time.Unix(0, d.int()).UTC(), Checksums: d.checksums(),
	}}
	return p, d.err
}

// append leaves out what the key tells.
func (u *Upload) append(b []byte) []byte {
	b = appendInt(b, u.Initiated.UnixNano())
	b = appendStr(appendStr(b, u.Owner), u.Principal)
	b = appendMap(appendMap(appendMap(b, u.System), u.User), u.Tags)
	b = appendStr(appendStr(b, u.StorageClass), u.ChecksumAlgorithm)
	return appendBool(b, u.ChecksumComposite)
}

func decodeUpload(v []byte, k Key, id LSN) (Upload, error) {
	d := decoder{b: v}
	u := Upload{ID: id.String(), Initiated: time.Unix(0, d.int()).UTC()}
	u.Key = k
	u.Owner, u.Principal = d.str(), d.str()
	u.System, u.User, u.Tags = d.stringMap(), d.stringMap(), d.stringMap()
	u.StorageClass, u.ChecksumAlgorithm, u.ChecksumComposite = d.str(), d.str(), d.bool()
	return u, d.err
}

// totals are a bucket's counters.
type totals struct {
	Objects, Bytes        int64
	Duplicates, Unindexed int64
}

func (t *totals) append(b []byte) []byte {
	for _, n := range []int64{t.Objects, t.Bytes, t.Duplicates, t.Unindexed} {
		b = appendInt(b, n)
	}
	return b
}

func getTotals(r catalog.Reader, bucket uint64) (totals, error) {
	v, ok, err := r.Get(totalsKey(bucket))
	if err != nil || !ok {
		return totals{}, err
	}
	d := decoder{b: v}
	t := totals{Objects: d.int(), Bytes: d.int(), Duplicates: d.int(), Unindexed: d.int()}
	return t, d.err
}

func (b *Bucket) append(v []byte) []byte {
	v = appendUint(v, b.ID)
	v = appendInt(v, b.Created.UnixNano())
	v = appendStr(v, b.Owner)
	v = appendBool(appendBool(v, b.Settings.DICOM), b.Settings.Strict)
	return appendStr(v, string(b.Settings.Duplicates))
}

func decodeBucket(v []byte, name string) (Bucket, error) {
	d := decoder{b: v}
	b := Bucket{Name: name, ID: d.uint(), Created: time.Unix(0, d.int()).UTC(), Owner: d.str(), Settings: BucketSettings{
		DICOM: d.bool(), Strict: d.bool(), Duplicates: Duplicates(d.str()),
	}}
	return b, d.err
}

func getBucket(r catalog.Reader, name string) (Bucket, error) {
	v, ok, err := r.Get(bucketKey(name))
	if err != nil {
		return Bucket{}, closedOr(err)
	}
	if !ok {
		return Bucket{}, ErrNoBucket
	}
	return decodeBucket(v, name)
}

// closedOr turns the catalog's error after Close into ErrClosed.
func closedOr(err error) error {
	if errors.Is(err, catalog.ErrClosed) {
		return ErrClosed
	}
	return err
}

func timeOf(h *segment.Header) time.Time { return time.Unix(0, h.Time).UTC() }
