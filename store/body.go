package store

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"
	"time"

	"gantry/internal/budget"
	"gantry/store/segment"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// body is a payload in memory: pooled buffers of one checksum block each, all full but the last.
type body struct {
	bufs [][]byte
	crcs []uint32
	size int64
	took time.Duration // by the checksums
}

// readBody fills a body from r until its end, or limit bytes, or the size it is declared to have (-1: unknown), whichever is
// first; ended tells that the end was seen.
func readBody(r io.Reader, declared, limit int64) (b *body, ended bool, err error) {
	b = &body{}
	if declared >= 0 {
		limit = min(limit, declared)
	}
	for b.size < limit {
		buf := budget.GetBuf(int(min(limit-b.size, segment.BlockSize)))
		n, err := fill(r, buf)
		b.add(fit(buf, n))
		if errors.Is(err, io.EOF) {
			return b, true, nil
		}
		if err != nil {
			b.free()
			return nil, false, err
		}
	}
	return b, false, nil
}

// peek looks whether r has more to give: rest is nil at its end.
func peek(r io.Reader) (rest io.Reader, err error) {
	probe := make([]byte, 1)
	n, err := fill(r, probe)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if n == 0 {
		return nil, nil
	}
	return io.MultiReader(bytes.NewReader(probe), r), nil
}

// footprint is the memory that readBody takes for a body of the given size: its buffers are powers of two.
func footprint(size int64) int64 {
	rest := size % segment.BlockSize
	if rest == 0 {
		return size
	}
	return size - rest + max(int64(1)<<bits.Len64(uint64(rest-1)), budget.MinBuf)
}

// memory is what a body's buffers take.
func (b *body) memory() (n int64) {
	if b == nil {
		return 0
	}
	for _, buf := range b.bufs {
		n += int64(cap(buf))
	}
	return n
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
	start := time.Now()
	b.bufs = append(b.bufs, buf)
	b.crcs = append(b.crcs, crc32.Checksum(buf, castagnoli))
	b.took += time.Since(start)
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
