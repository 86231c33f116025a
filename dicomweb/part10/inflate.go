package part10

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

// A deflated data set may inflate to inflateFree bytes whatever its size, and to
// inflateRatio times its size beyond. Real images of one colour reach some 200.
const (
	inflateFree  = 64 << 20
	inflateRatio = 256
)

var flatePool = sync.Pool{New: func() any { return flate.NewReader(nil) }}

// inflater reads a raw deflate stream (RFC 1951) within bounds.
type inflater struct {
	src    *section
	flate  io.ReadCloser
	offset int64 // of the deflated bytes in the file
	out    int64 // bytes given so far
	max    int64
}

func newInflater(ra io.ReaderAt, offset, size int64) *inflater {
	z := &inflater{offset: offset, max: max(inflateFree, inflateRatio*(size-offset))}
	z.src = &section{r: io.NewSectionReader(ra, offset, size-offset)}
	z.flate = flatePool.Get().(io.ReadCloser)
	// Reset of klauspost's reader cannot fail.
	_ = z.flate.(flate.Resetter).Reset(z.src, nil)
	return z
}

func (z *inflater) Read(p []byte) (int, error) {
	if z.out >= z.max {
		return 0, reject(TooLarge, z.offset, 0, "deflated data set inflates beyond the allowed ratio")
	}
	n, err := z.flate.Read(p[:min(int64(len(p)), z.max-z.out)])
	z.out += int64(n)
	switch {
	case err == nil || err == io.EOF: //nolint:errorlint // io.Reader returns io.EOF itself
		return n, err
	case z.src.err != nil:
		return n, &sourceError{fmt.Errorf("read object: %w", z.src.err)}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return n, reject(Truncated, z.offset, 0, "deflated data set ends in the middle")
	}
	return n, reject(Malformed, z.offset, 0, "data set is labelled deflated but is no deflate stream")
}

// close returns the decoder to the pool.
func (z *inflater) close() {
	if z.flate != nil {
		flatePool.Put(z.flate)
		z.flate = nil
	}
}

// section remembers a failure of the source, which flate would hide.
type section struct {
	r   *io.SectionReader
	n   int64 // bytes read
	err error
}

func (c *section) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	switch {
	case err == nil:
	case !errors.Is(err, io.EOF):
		c.err = err
	case c.n < c.r.Size():
		c.err = io.ErrUnexpectedEOF
	}
	return n, err
}
