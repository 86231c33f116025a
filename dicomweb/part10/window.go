package part10

import (
	"errors"
	"fmt"
	"io"
	"math"
)

// chunkBytes is what the window reads at a time: most headers fit in one.
const chunkBytes = 32 << 10

// window is a forward-moving view of an object. It reads either straight from the
// stored bytes or from the inflated stream of a deflated data set.
type window struct {
	ra  io.ReaderAt // the stored bytes; nil when z is used
	z   io.Reader   // inflated bytes, positions below are then in the inflated data
	end int64       // first position past the object; math.MaxInt64 if not known yet
	pos int64       // next byte to be consumed
	buf []byte      // bytes [base, base+len(buf))
	mem []byte      // backing of buf, kept between objects

	base int64
}

func (w *window) reset(ra io.ReaderAt, pos, end int64) {
	w.ra, w.z, w.pos, w.end, w.base = ra, nil, pos, end, pos
	w.buf = w.mem[:0]
}

func (w *window) resetStream(z io.Reader, pos int64) {
	w.ra, w.z, w.pos, w.end, w.base = nil, z, pos, math.MaxInt64, pos
	w.buf = w.mem[:0]
}

// peek returns the next n bytes without consuming them, valid until the next call.
// It returns fewer only together with io.EOF (none left) or io.ErrUnexpectedEOF.
// The caller has bounded n.
func (w *window) peek(n int) ([]byte, error) {
	i := w.pos - w.base
	if have := int64(len(w.buf)) - i; i >= 0 && have >= int64(n) {
		return w.buf[i : i+int64(n)], nil
	}
	return w.fill(n)
}

func (w *window) fill(n int) ([]byte, error) {
	if int64(n) > w.end-w.pos {
		return w.shortfall()
	}
	if need := max(n, chunkBytes); cap(w.mem) < need {
		mem := make([]byte, need)
		copy(mem, w.buf)
		w.mem, w.buf = mem, mem[:len(w.buf)]
	}
	if w.z != nil {
		return w.fillStream(n)
	}
	want := min(int64(cap(w.mem)), w.end-w.pos)
	got, err := w.ra.ReadAt(w.mem[:want], w.pos)
	w.base, w.buf = w.pos, w.mem[:got]
	if got >= n {
		return w.buf[:n], nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = fmt.Errorf("read object at %d: source ends before its stated size: %w", w.pos+int64(got), io.ErrUnexpectedEOF)
		return nil, &sourceError{err}
	}
	return nil, &sourceError{fmt.Errorf("read object at %d: %w", w.pos+int64(got), err)}
}

func (w *window) shortfall() ([]byte, error) {
	if w.pos >= w.end {
		return nil, io.EOF
	}
	return nil, io.ErrUnexpectedEOF
}

func (w *window) fillStream(n int) ([]byte, error) {
	keep := copy(w.mem[:cap(w.mem)], w.buf[w.pos-w.base:])
	got, err := io.ReadAtLeast(w.z, w.mem[keep:cap(w.mem)], n-keep)
	w.base, w.buf = w.pos, w.mem[:keep+got]
	switch {
	case len(w.buf) >= n:
		return w.buf[:n], nil
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		w.end = w.base + int64(len(w.buf))
		return w.shortfall()
	}
	return nil, err
}

// skipTo moves on to position p, which is not before pos. Past the end of the object
// it returns io.ErrUnexpectedEOF.
func (w *window) skipTo(p int64) error {
	if p > w.end {
		return io.ErrUnexpectedEOF
	}
	if w.z == nil || p <= w.base+int64(len(w.buf)) {
		w.pos = p
		return nil
	}
	todo := p - (w.base + int64(len(w.buf)))
	w.buf, w.base, w.pos = w.mem[:0], p, p
	if cap(w.mem) < chunkBytes {
		w.mem = make([]byte, chunkBytes)
	}
	for todo > 0 {
		got, err := w.z.Read(w.mem[:min(todo, int64(cap(w.mem)))])
		todo -= int64(got)
		switch {
		case todo == 0:
		case errors.Is(err, io.EOF):
			w.end = p - todo
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
	}
	return nil
}

// readAt fills b from r; the error is a failure of the source.
func readAt(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return &sourceError{fmt.Errorf("read object at %d: %w", off+int64(n), err)}
}

// sourceError marks a failure of the source, as opposed to one of its content.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }
