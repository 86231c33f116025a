package store

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"gantry/internal/budget"
	"gantry/store/segment"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// body is a payload in memory: pooled buffers of one checksum block each, all full but the last.
type body struct {
	bufs [][]byte
	crcs []uint32
	size int64
}

// readBody fills a body from r until its end or limit bytes, whichever is first; more tells that the limit came first
// and r may hold more. hint is the expected size, or -1.
func readBody(r io.Reader, hint, limit int64) (b *body, more bool, err error) {
	b = &body{}
	for b.size < limit {
		want := min(limit-b.size, segment.BlockSize)
		if hint >= 0 {
			want = min(want, max(hint-b.size, 1)) // at least one byte, to see the end
		}
		buf := budget.GetBuf(int(want))[:want]
		n, err := fill(r, buf)
		b.add(fit(buf, n))
		if errors.Is(err, io.EOF) {
			return b, false, nil
		}
		if err != nil {
			b.free()
			return nil, false, err
		}
	}
	return b, true, nil
}

// fill reads until p is full. Unlike io.ReadFull it leaves the source's io.ErrUnexpectedEOF, a body cut short, apart
// from its io.EOF, a clean end.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var c int
		c, err = r.Read(p[n:])
		n += c
	}
	if n == len(p) && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// fit gives the n bytes read into a buffer in one that is not much larger: a body of unknown length was read into a whole
// block.
func fit(buf []byte, n int) []byte {
	if n > cap(buf)/4 {
		return buf[:n]
	}
	var small []byte
	if n > 0 {
		small = append(budget.GetBuf(n)[:0], buf[:n]...)
	}
	budget.PutBuf(buf)
	return small
}

func (b *body) add(buf []byte) {
	if len(buf) == 0 {
		return
	}
	b.bufs = append(b.bufs, buf)
	b.crcs = append(b.crcs, crc32.Checksum(buf, castagnoli))
	b.size += int64(len(buf))
}

// free gives the buffers back. The body must not be used afterwards.
func (b *body) free() {
	if b == nil {
		return
	}
	for _, buf := range b.bufs {
		budget.PutBuf(buf)
	}
	b.bufs = nil
}

// ReadAt makes a body readable by an Indexer.
func (b *body) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read body at %d: negative offset", off)
	}
	n := 0
	for n < len(p) && off < b.size {
		c := copy(p[n:], b.bufs[off/segment.BlockSize][off%segment.BlockSize:])
		n += c
		off += int64(c)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// bodyOf copies b into a body.
func bodyOf(b []byte) *body {
	out := &body{}
	for len(b) > 0 {
		n := min(len(b), segment.BlockSize)
		out.add(append(budget.GetBuf(n)[:0], b[:n]...))
		b = b[n:]
	}
	return out
}

func (b *body) bytes() []byte {
	if b == nil {
		return nil
	}
	return bytes.Join(b.bufs, nil)
}

func (b *body) checksums() []uint32 {
	if b == nil {
		return nil
	}
	return b.crcs
}

// extents cuts a body into pieces of ExtentSize that share its buffers.
func (b *body) extents() []*body {
	const blocks = ExtentSize / segment.BlockSize
	var out []*body
	for i := 0; i < len(b.bufs); i += blocks {
		end := min(i+blocks, len(b.bufs))
		ext := &body{bufs: b.bufs[i:end], crcs: b.crcs[i:end]}
		for _, buf := range ext.bufs {
			ext.size += int64(len(buf))
		}
		out = append(out, ext)
	}
	return out
}
