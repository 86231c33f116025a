package dicomweb

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/errgroup"

	"gantry/dicomweb/part10"
	"gantry/store"
)

const (
	// metadataWindow is how many instances are read and turned into JSON before they are written.
	metadataWindow = 128
	// maxMetadataBuffer is how much metadata is collected before it is streamed instead of sent with its length.
	maxMetadataBuffer = 16 << 20
	// maxHeaderBuffer is the largest header read in one piece; larger ones are read in small ones.
	maxHeaderBuffer = 4 << 20
	// headerSlack is how much is read beyond the header, for part10 reads in chunks.
	headerSlack = 64 << 10
	// headersAtOnce is how many headers of one answer are read at the same time. Where they come from the disk, that is sooner done
	// than with one reader a core, and as soon where they do not.
	headersAtOnce = 8
)

// metadata serves the metadata of a study, series or instance as DICOM JSON (PS3.18 10.4.1.1.2).
func (rq *request) metadata() error {
	contentType := jsonType(rq.accepts())
	if contentType == "" {
		return notAcceptable()
	}
	parts, err := rq.metadataParts()
	if err != nil {
		return err
	}
	etag := rq.metadataTag(parts)
	rq.SetHeader("ETag", etag)
	rq.SetHeader("Cache-Control", "no-cache") // ask again, with If-None-Match
	rq.AddHeader("Vary", "Accept, Accept-Encoding")
	if matchesTag(rq.Header("If-None-Match"), etag) {
		rq.NoContent(http.StatusNotModified)
		return nil
	}
	rq.SetHeader("Content-Type", contentType)
	key, gz := etag, acceptsGzip(rq.Headers("Accept-Encoding"))
	if gz {
		rq.SetHeader("Content-Encoding", "gzip")
		key += "gz"
	}
	if body, ok := rq.g.cache.get(key); ok {
		return rq.sendWhole(body)
	}
	return rq.buildMetadata(parts, key, gz)
}

// metadataPart is a series, or an instance, whose metadata is wanted.
type metadataPart struct {
	series string
	state  string      // changes whenever the metadata may
	count  int         // of instances
	one    *store.Info // nil of a series
}

// metadataParts looks up what the path names; never none.
func (rq *request) metadataParts() ([]metadataPart, error) {
	var parts []metadataPart
	switch {
	case rq.route.sop != "":
		info, err := rq.g.objects.InstanceInfo(rq.ctx, rq.bucket, rq.route.sop)
		if err != nil {
			return nil, err
		}
		id := info.Instance
		if !rq.names(id) {
			return nil, notFound("instance")
		}
		parts = append(parts, metadataPart{id.Series, fmt.Sprint(id.SOP, info.LSN, info.Modified.UnixNano()), 1, &info})
	case rq.route.series != "":
		row, err := rq.g.objects.SeriesRow(rq.ctx, rq.bucket, rq.route.study, rq.route.series)
		if err != nil {
			return nil, err
		}
		parts = append(parts, seriesPart(&row))
	default:
		err := rq.g.objects.SeriesOf(rq.ctx, rq.bucket, rq.route.study, func(row store.SeriesRow) bool {
			parts = append(parts, seriesPart(&row))
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	if len(parts) == 0 {
		return nil, notFound("study")
	}
	return parts, nil
}

func seriesPart(row *store.SeriesRow) metadataPart {
	return metadataPart{row.UID, fmt.Sprint(row.UID, row.LSN, row.Modified.UnixNano(), row.Instances), row.Instances, nil}
}

// metadataTag is a weak entity tag of the metadata: a digest of all that it depends on.
func (rq *request) metadataTag(parts []metadataPart) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n%s\n", rq.base, rq.bucket, rq.route.study)
	for _, p := range parts {
		fmt.Fprintln(h, p.state)
	}
	return `W/"` + hex.EncodeToString(h.Sum(nil)[:16]) + `"`
}

// matchesTag compares weakly (RFC 9110 13.1.2).
func matchesTag(header, etag string) bool {
	for t := range strings.SplitSeq(header, ",") {
		t = strings.TrimSpace(t)
		if t == "*" || t != "" && strings.TrimPrefix(t, "W/") == strings.TrimPrefix(etag, "W/") {
			return true
		}
	}
	return false
}

var gzipPool = sync.Pool{New: func() any {
	z, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		panic("gzip level: " + err.Error())
	}
	return z
}}

func compress(body []byte) []byte {
	var b bytes.Buffer
	z, _ := gzipPool.Get().(*gzip.Writer)
	defer gzipPool.Put(z)
	z.Reset(&b)
	_, _ = z.Write(body) // a bytes.Buffer takes everything
	_ = z.Close()
	return b.Bytes()
}

// buildMetadata makes the body. If it stays small it is sent with its length and kept; otherwise it is streamed while
// it is made.
func (rq *request) buildMetadata(parts []metadataPart, key string, gz bool) error {
	if err := rq.g.builds.Acquire(rq.ctx, 1); err != nil {
		return err
	}
	release := sync.OnceFunc(func() { rq.g.builds.Release(1) })
	defer release()
	if body, ok := rq.g.cache.get(key); ok { // built while we waited
		return rq.sendWhole(body)
	}
	b := &metadataBuilder{rq: rq, parts: parts}
	left := 0
	for _, p := range parts {
		left += p.count
	}
	body := []byte{'['}
	for len(body) <= rq.g.maxMetadata {
		before := len(body)
		more, err := b.window(rq.ctx, &body)
		if err != nil {
			return err
		}
		if left -= metadataWindow; before == 1 && left > 0 { // what is to come will be about as large
			body = slices.Grow(body, min(len(body)/metadataWindow*left*9/8, rq.g.maxMetadata))
		}
		if !more {
			body = append(body, ']')
			if gz {
				body = compress(body)
			}
			rq.g.cache.put(key, body)
			return rq.sendBuilt(body)
		}
	}
	rq.SendChunked(func(w io.Writer) error {
		if !gz {
			return b.stream(w, body)
		}
		z, _ := gzipPool.Get().(*gzip.Writer)
		defer gzipPool.Put(z)
		z.Reset(w)
		if err := b.stream(z, body); err != nil {
			return err
		}
		return z.Close()
	})
	return nil
}

// metadataBuilder makes the metadata of several series, a window of instances at a time.
type metadataBuilder struct {
	rq    *request
	parts []metadataPart
	rows  []headerRef // of the current part, not yet done
	wrote bool
}

// headerRef is what is needed to read an instance's header.
type headerRef struct {
	ref
	header int64 // length of the header in bytes
	frames int
}

// stream writes what was collected, then the rest.
func (b *metadataBuilder) stream(w io.Writer, body []byte) error {
	for {
		if _, err := w.Write(body); err != nil {
			return err
		}
		if err := b.rq.g.builds.Acquire(b.rq.ctx, 1); err != nil {
			return err
		}
		body = body[:0]
		more, err := b.window(b.rq.ctx, &body)
		b.rq.g.builds.Release(1)
		if err != nil {
			return err
		}
		if !more {
			_, err := w.Write([]byte{']'})
			return err
		}
	}
}

// window appends the metadata of the next instances; more is false when there were none left.
func (b *metadataBuilder) window(ctx context.Context, body *[]byte) (more bool, err error) {
	for len(b.rows) == 0 {
		if len(b.parts) == 0 {
			return false, nil
		}
		if err := b.nextPart(ctx); err != nil {
			return false, err
		}
	}
	n := min(metadataWindow, len(b.rows))
	docs, err := b.documents(ctx, b.rows[:n])
	if err != nil {
		return false, err
	}
	b.rows = b.rows[n:]
	for _, d := range docs {
		if b.wrote {
			*body = append(*body, ',')
		}
		b.wrote = true
		*body = append(*body, *d...)
		documentPool.Put(d)
	}
	return true, nil
}

// nextPart lists the instances of the next series.
func (b *metadataBuilder) nextPart(ctx context.Context) error {
	p := b.parts[0]
	b.parts = b.parts[1:]
	if p.one != nil {
		b.rows = []headerRef{headerOf(p.one.Instance, p.one.Name, p.one.LSN, p.one.Size)}
		return nil
	}
	return b.rq.g.objects.Instances(ctx, b.rq.bucket, b.rq.route.study, p.series, func(row store.InstanceRow) bool {
		b.rows = append(b.rows, headerOf(&row.Identity, row.Key, row.LSN, row.Size))
		return true
	})
}

func headerOf(id *store.Identity, key string, lsn store.LSN, size int64) headerRef {
	h := headerRef{ref: refOf(id, key, lsn, size), header: id.HeaderLen, frames: id.FrameCount}
	if h.syntax == deflatedLE || h.header <= 0 || h.header > h.size { // offsets count inflated bytes
		h.header = h.size
	}
	return h
}

var (
	documentPool = sync.Pool{New: func() any { return new([]byte) }}
	headerPool   = sync.Pool{New: func() any { return new([]byte) }}
)

// documents makes the JSON of some instances, in order, several at a time.
func (b *metadataBuilder) documents(ctx context.Context, rows []headerRef) ([]*[]byte, error) {
	docs := make([]*[]byte, len(rows))
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(max(headersAtOnce, runtime.GOMAXPROCS(0)))
	for i := range rows {
		work.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			d, _ := documentPool.Get().(*[]byte)
			var err error
			*d, err = b.rq.document((*d)[:0], &rows[i])
			docs[i] = d
			return err
		})
	}
	return docs, work.Wait()
}

// document appends the DICOM JSON of one instance.
func (rq *request) document(dst []byte, h *headerRef) ([]byte, error) {
	o, err := rq.open(h.ref)
	if err != nil {
		return dst, err
	}
	defer o.Close()
	prefix := escaped(instanceURL(rq.base, rq.route.study, h.series, h.sop) + "/bulkdata/")
	opts := part10.JSONOptions{BulkDataURI: func(dst, path []byte) []byte {
		if dst = append(dst, prefix...); len(path) == 0 {
			return append(dst, pixelDataTag...)
		}
		return append(dst, path...)
	}}
	size, ahead := h.size, int64(headerSlack)
	if !convertible(h.syntax) {
		ahead = pixelTagBytes
	}
	buf, _ := headerPool.Get().(*[]byte)
	defer headerPool.Put(buf)
	src, err := readAhead(o, buf, min(h.header+ahead, size))
	if err != nil {
		return dst, err
	}
	if !convertible(h.syntax) && startsPixelData(src, h.header) { // don't walk over the fragments
		size, opts.PixelVR = h.header, "OB"
	}
	return part10.WriteJSON(dst, src, size, opts)
}

const pixelTagBytes = 4

// startsPixelData tells whether the header ends with (7FE0,0010), not with numbers as pixels or with the object.
func startsPixelData(src io.ReaderAt, header int64) bool {
	var tag [pixelTagBytes]byte
	n, _ := src.ReadAt(tag[:], header)
	return n == len(tag) && string(tag[:]) == "\xe0\x7f\x10\x00"
}

// readAhead reads the first n bytes of an object in one go, if they are not too many, for the store verifies whole
// blocks whatever is read of them.
func readAhead(o *store.Object, buf *[]byte, n int64) (io.ReaderAt, error) {
	if n > maxHeaderBuffer {
		return o, nil
	}
	*buf = slices.Grow((*buf)[:0], int(n))[:n]
	if got, err := o.ReadAt(*buf, 0); int64(got) < n {
		return nil, err
	}
	return &headed{*buf, o}, nil
}

// headed is an object whose first bytes are at hand.
type headed struct {
	head []byte
	rest io.ReaderAt
}

func (h *headed) ReadAt(p []byte, off int64) (int, error) {
	if off >= 0 && off+int64(len(p)) <= int64(len(h.head)) {
		return copy(p, h.head[off:]), nil
	}
	return h.rest.ReadAt(p, off)
}

// escaped returns s as it stands inside a JSON string.
func escaped(s string) string {
	q := appendJSONValue(nil, s)
	return string(q[1 : len(q)-1])
}
