package dicomweb

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"gantry/store"
)

// errUnreadable is what Read of a body says that can only be written.
var errUnreadable = errors.New("body is written, not read")

// sendRange sends n bytes of an object from off on, or the part of them that a Range header asks for. It closes the
// object when all is sent, or on an error.
func (rq *request) sendRange(o *store.Object, off, n int64) error {
	rq.SetHeader("Accept-Ranges", "bytes")
	first, length, kind := parseByteRange(rq.Header("Range"), n)
	if rq.Header("If-Range") != "" || rq.Method() == "HEAD" { // no validators are given out for single parts; ranges are of GET (RFC 9110 14.2)
		kind = rangeNone
	}
	switch kind {
	case rangeBad:
		_ = o.Close()
		return &requestError{status: http.StatusRequestedRangeNotSatisfiable, message: "range not satisfiable",
			header: [][2]string{{"Content-Range", "bytes */" + strconv.FormatInt(n, 10)}}}
	case rangePart:
		rq.Status(http.StatusPartialContent)
		rq.SetHeader("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, first+length-1, n))
		off, n = off+first, length
	}
	rq.SendStream(n, &objectRange{o: o, r: o.Range(off, n)})
	return nil
}

// objectRange is a range of an object together with the object, closed as one.
type objectRange struct {
	o *store.Object
	r io.ReadCloser
}

func (b *objectRange) Read(p []byte) (int, error) { return b.r.Read(p) }

// WriteTo lets the store write without a copy of its own.
func (b *objectRange) WriteTo(w io.Writer) (int64, error) {
	if wt, ok := b.r.(io.WriterTo); ok {
		return wt.WriteTo(w)
	}
	return io.Copy(w, b.r)
}

func (b *objectRange) Close() error { return errors.Join(b.r.Close(), b.o.Close()) }

type rangeKind int

const (
	rangeNone rangeKind = iota // no range, or one that is ignored: send all
	rangePart
	rangeBad // unsatisfiable
)

// parseByteRange reads a Range header (RFC 9110 14.2) for a body of size bytes. Several ranges, other units and malformed ranges
// are ignored, as the RFC allows.
func parseByteRange(header string, size int64) (first, length int64, kind rangeKind) {
	spec, ok := strings.CutPrefix(strings.TrimSpace(header), "bytes=")
	if !ok || strings.Contains(spec, ",") {
		return 0, size, rangeNone
	}
	from, to, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok {
		return 0, size, rangeNone
	}
	if from == "" { // the last n bytes
		n, err := strconv.ParseUint(to, 10, 63)
		switch {
		case err != nil:
			return 0, size, rangeNone
		case n == 0 || size == 0:
			return 0, 0, rangeBad
		}
		length = min(int64(n), size)
		return size - length, length, rangePart
	}
	a, err := strconv.ParseUint(from, 10, 63)
	if err != nil {
		return 0, size, rangeNone
	}
	b := uint64(size - 1)
	if to != "" {
		if b, err = strconv.ParseUint(to, 10, 63); err != nil || b < a {
			return 0, size, rangeNone
		}
	}
	if int64(a) >= size {
		return 0, 0, rangeBad
	}
	last := min(int64(b), size-1)
	return int64(a), last - int64(a) + 1, rangePart
}
