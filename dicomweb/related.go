package dicomweb

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"gantry/internal/budget"
)

// Bounds of a multipart/related body.
const (
	relatedWindow   = 64 << 10 // bytes buffered while looking for the boundary, and read at a time
	maxLineRead     = 8 << 10  // bytes read at a time while looking for lines: what is more is copied once more
	maxPartHeader   = 8 << 10  // bytes of all header lines of one part
	maxPreamble     = 64 << 10 // bytes before the first boundary
	maxBoundaryTail = 64       // bytes of padding after a boundary on its line
)

var (
	errNoBoundary     = errors.New("no boundary found in the multipart body")
	errPartHeader     = errors.New("malformed or oversized part header")
	errBadBoundary    = errors.New("boundary parameter is missing or too long")
	errUnfinishedBody = fmt.Errorf("multipart body ends before its closing boundary: %w", io.ErrUnexpectedEOF)
)

// relatedReader splits a multipart/related body (RFC 2387, RFC 2046 5.1) into its parts, one after the other, with a
// fixed window of memory. Lines may end in LF alone if the first boundary line does. A body that ends without its
// closing boundary makes the read of its last part, or next, fail with io.ErrUnexpectedEOF.
type relatedReader struct {
	src        io.Reader
	buf        []byte
	start, end int
	taken      int64      // bytes read from src
	srcErr     error      // what src returned at its end
	dash       []byte     // "--boundary"
	delim      *delimiter // line end + dash, once the first boundary was seen
	inPart     bool
	fresh      bool // nothing of the current part was read yet
	closed     bool // closing boundary seen
}

func newRelatedReader(src io.Reader, boundary string) (*relatedReader, error) {
	if boundary == "" || len(boundary) > maxBoundaryLen || strings.ContainsAny(boundary, "\r\n") {
		return nil, errBadBoundary
	}
	return &relatedReader{src: src, buf: budget.GetBuf(relatedWindow), dash: []byte("--" + boundary)}, nil
}

// close gives the window back. The reader must not be used any more.
func (r *relatedReader) close() {
	budget.PutBuf(r.buf)
	r.buf = nil
}

// next goes to the next part and returns its header, names in lower case. What was left unread of the current part is
// skipped. io.EOF means that the closing boundary was reached.
func (r *relatedReader) next() (map[string]string, error) {
	if r.closed {
		return nil, io.EOF
	}
	if r.delim == nil {
		if err := r.skipPreamble(); err != nil {
			return nil, err
		}
	} else if r.inPart {
		if _, err := io.Copy(io.Discard, readerOnly{r}); err != nil {
			return nil, err
		}
	}
	if r.closed {
		return nil, io.EOF
	}
	h, err := r.header()
	if err != nil {
		return nil, err
	}
	r.inPart, r.fresh = true, true
	return h, nil
}

// consumed counts the bytes of the body before what Read gives next.
func (r *relatedReader) consumed() int64 { return r.taken - int64(r.end-r.start) }

type readerOnly struct{ io.Reader }

// skipPreamble looks for the first boundary line and learns from it how lines end.
func (r *relatedReader) skipPreamble() error {
	skipped := 0
	for {
		line, err := r.line(relatedWindow - 1)
		if err != nil {
			return errors.Join(errNoBoundary, notEOF(err))
		}
		if bytes.HasPrefix(line, r.dash) {
			if tail, final, ok := boundaryTail(line[len(r.dash):]); ok && tail == len(line)-len(r.dash) || final {
				r.closed = final
				text := append([]byte("\r\n"), r.dash...)
				if !bytes.HasSuffix(line, []byte("\r\n")) {
					text = text[1:]
				}
				r.delim = newDelimiter(text)
				return nil
			}
		}
		if skipped += len(line); skipped > maxPreamble {
			return errNoBoundary
		}
	}
}

// notEOF turns a plain end into an unexpected one.
func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// boundaryTail judges what follows a boundary: n bytes of padding and line end, or the two dashes of the closing one.
// ok is false where neither is there, so that the bytes are content.
func boundaryTail(b []byte) (n int, final, ok bool) {
	if bytes.HasPrefix(b, []byte("--")) {
		return 2, true, true
	}
	for n < len(b) && n < maxBoundaryTail && (b[n] == ' ' || b[n] == '\t') {
		n++
	}
	if n < len(b) && b[n] == '\r' {
		n++
	}
	if n < len(b) && b[n] == '\n' {
		return n + 1, false, true
	}
	return 0, false, false
}

// header reads the header lines of a part up to the empty line.
func (r *relatedReader) header() (map[string]string, error) {
	h := make(map[string]string, 4)
	last := ""
	for left := maxPartHeader; ; {
		line, err := r.line(left)
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil, errUnfinishedBody
			}
			return nil, err
		}
		left -= len(line)
		text := string(bytes.TrimRight(line, "\r\n"))
		if text == "" {
			return h, nil
		}
		if (text[0] == ' ' || text[0] == '\t') && last != "" {
			h[last] += " " + strings.TrimSpace(text)
			continue
		}
		name, value, ok := strings.Cut(text, ":")
		if !ok || left <= 0 {
			return nil, errPartHeader
		}
		last = strings.ToLower(strings.TrimSpace(name))
		h[last] = strings.TrimSpace(value)
	}
}

// line returns the next line with its end, at most max bytes; it stays valid until the next call.
func (r *relatedReader) line(max int) ([]byte, error) {
	searched := 0
	for {
		window := r.buf[r.start:r.end]
		if i := bytes.IndexByte(window[searched:], '\n'); i >= 0 {
			n := searched + i + 1
			if n > max {
				return nil, errPartHeader
			}
			r.start += n
			return window[:n], nil
		}
		searched = len(window)
		if searched >= max {
			return nil, errPartHeader
		}
		if err := r.fill(maxLineRead); err != nil {
			// A closing boundary needs no line end after it.
			if errors.Is(err, io.EOF) && len(window) > 0 && r.delim == nil {
				r.start = r.end
				return window, nil
			}
			return nil, err
		}
	}
}

// fill reads up to most bytes more into the window, moving its content to the front if need be. It returns the source's error
// once nothing more can come.
func (r *relatedReader) fill(most int) error {
	if r.srcErr != nil {
		return r.srcErr
	}
	if r.start > 0 {
		copy(r.buf, r.buf[r.start:r.end])
		r.end -= r.start
		r.start = 0
	}
	for range 100 {
		n, err := r.src.Read(r.buf[r.end:min(r.end+most, len(r.buf))])
		r.end += n
		r.taken += int64(n)
		r.srcErr = err
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// Read reads the content of the current part. io.EOF comes only after the part's closing boundary was seen.
func (r *relatedReader) Read(p []byte) (int, error) {
	if !r.inPart {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if r.start == r.end && !r.fresh && r.srcErr == nil && len(p) > maxLineRead {
			if n := r.direct(p[:min(len(p), relatedWindow)]); n > 0 {
				return n, nil
			}
		}
		n, done, err := r.content()
		if n > 0 {
			n = copy(p, r.buf[r.start:r.start+n])
			r.start += n
			r.fresh = false
			return n, nil
		}
		if done {
			r.inPart = false
			return 0, io.EOF
		}
		if err != nil {
			return 0, err
		}
	}
}

// direct reads content past the empty window, which only gets what may not be content.
func (r *relatedReader) direct(p []byte) int {
	n, err := r.src.Read(p)
	r.taken += int64(n)
	r.srcErr = err
	content := r.delim.index(p[:n])
	if content < 0 {
		content = n - r.delim.tail(p[:n])
	}
	r.start, r.end = 0, copy(r.buf, p[content:n])
	return content
}

// content tells how many bytes at the front of the window are certainly content. When there is none and the boundary
// is next, it consumes the boundary and says done.
func (r *relatedReader) content() (n int, done bool, err error) {
	window := r.buf[r.start:r.end]
	delim, at := r.delim.text, 0
	switch {
	case r.fresh && bytes.HasPrefix(window, r.dash):
		delim = r.dash // an empty part: the boundary follows the header's empty line at once
	case r.fresh && bytes.HasPrefix(r.dash, window):
		return r.fillOrRest(len(window)) // perhaps
	default:
		at = r.delim.index(window)
	}
	if at > 0 {
		return at, false, nil
	}
	if at < 0 {
		if safe := len(window) - r.delim.tail(window); safe > 0 {
			return safe, false, nil
		}
		return r.fillOrRest(len(window))
	}
	tail := window[len(delim):]
	used, final, ok := boundaryTail(tail)
	if !ok {
		if len(tail) < maxBoundaryTail && r.srcErr == nil && onlyPadding(tail) {
			return r.fillOrRest(0)
		}
		return 1, false, nil
	}
	r.start += len(delim) + used
	r.closed = final
	return 0, true, nil
}

// fillOrRest reads on; rest bytes are content if the source has ended.
func (r *relatedReader) fillOrRest(rest int) (int, bool, error) {
	err := r.fill(relatedWindow)
	if err == nil {
		return 0, false, nil
	}
	if rest > 0 {
		return rest, false, nil
	}
	if errors.Is(err, io.EOF) {
		return 0, false, errUnfinishedBody
	}
	return 0, false, err
}

// onlyPadding tells whether b may be the beginning of a boundary line's tail.
func onlyPadding(b []byte) bool {
	if len(b) == 1 && b[0] == '-' {
		return true
	}
	return len(bytes.Trim(b, " \t\r")) == 0
}
