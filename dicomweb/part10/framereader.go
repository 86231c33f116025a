package part10

import (
	"errors"
	"io"
)

// FrameReader gives one computed frame: little endian, beginning on a byte.
type FrameReader struct {
	Length int64 // bytes that Read gives in all

	o     *object
	src   io.Reader
	unit  int   // bytes reversed together
	drop  int   // bytes before the frame in the first unit
	shift uint  // bits before the frame in its first byte
	tail  uint  // bits of the last byte that belong to it; 0 means all
	left  int64 // bytes still to be given
	buf   []byte
	ready []byte // of buf: swapped, not yet given
	eof   bool
}

// OpenFrame returns frame n (from 0) of an object whose pixel data is uncompressed,
// for those of which FrameTable.Computed is true. It is to be labelled with the
// transfer syntax ExplicitLE and application/octet-stream. Close it.
func OpenFrame(r io.ReaderAt, size int64, n int) (*FrameReader, error) {
	o, p, err := openPixels(r, size)
	if err != nil {
		return nil, err
	}
	f, err := o.openFrame(p, n)
	if err != nil {
		o.close()
		return nil, err
	}
	return f, nil
}

func (o *object) openFrame(p *Pixels, n int) (*FrameReader, error) {
	bits := p.nativeBits()
	switch {
	case p.Encapsulated || isCompressed(o.syntax) || bits == 0:
		return nil, ErrFramesInconsistent
	case n < 0 || n >= p.Frames || int64(n) >= p.Length*8/bits:
		return nil, ErrFrameRange
	}
	first, last := int64(n)*bits, int64(n+1)*bits
	f := &FrameReader{o: o, unit: p.unit, Length: (bits + 7) / 8, shift: uint(first % 8), tail: uint(bits % 8)}
	u := int64(f.unit)
	from := first / 8 / u * u
	to := min(((last+7)/8+u-1)/u*u, p.Length)
	f.drop, f.left = int(first/8-from), f.Length
	f.buf = make([]byte, chunkBytes+8)
	if o.z == nil {
		f.src = io.NewSectionReader(o.file, p.Offset+from, to-from)
		return f, nil
	}
	err := f.inflateFrom(p.Offset+from, to-from)
	return f, err
}

// inflateFrom makes n inflated bytes from position pos the source, reading the
// deflated data set once more from its start.
func (f *FrameReader) inflateFrom(pos, n int64) error {
	o := f.o
	o.z.close()
	o.z = newInflater(o.file, o.dataset, o.size)
	if _, err := io.CopyN(io.Discard, o.z, pos-o.dataset); err != nil {
		return err
	}
	f.src = io.LimitReader(o.z, n)
	return nil
}

// Read gives the frame's next bytes.
func (f *FrameReader) Read(p []byte) (int, error) {
	if f.left == 0 {
		return 0, io.EOF
	}
	if len(f.ready) < 2 && !f.eof {
		if err := f.fill(); err != nil {
			return 0, err
		}
	}
	n := min(len(p), len(f.ready))
	if !f.eof && f.shift > 0 {
		n = min(n, len(f.ready)-1) // the last byte is the next one's first half
	}
	if n = int(min(int64(n), f.left)); n == 0 {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.ErrUnexpectedEOF
	}
	copy(p, f.ready[:n])
	if f.shift > 0 {
		f.shiftBits(p[:n])
	}
	f.ready = f.ready[n:]
	if f.left -= int64(n); f.left == 0 && f.tail > 0 {
		p[n-1] &= 1<<f.tail - 1
	}
	return n, nil
}

// shiftBits moves the frame's bits to byte boundaries; the first pixel is in the
// least significant bit (PS3.5 8.1.1).
func (f *FrameReader) shiftBits(p []byte) {
	for i := range p {
		next := byte(0)
		if i+1 < len(f.ready) {
			next = f.ready[i+1]
		}
		p[i] = f.ready[i]>>f.shift | next<<(8-f.shift)
	}
}

func (f *FrameReader) fill() error {
	keep := copy(f.buf, f.ready)
	room := (len(f.buf) - keep) / 8 * 8
	n, err := io.ReadFull(f.src, f.buf[keep:keep+room])
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		f.eof, err = true, nil
	}
	if err != nil {
		return err
	}
	swapUnits(f.buf[keep:keep+n], f.unit)
	f.ready = f.buf[:keep+n]
	if f.drop > 0 {
		f.ready, f.drop = f.ready[min(f.drop, len(f.ready)):], 0
	}
	return nil
}

// Close releases what the reader holds.
func (f *FrameReader) Close() error {
	if f.o != nil {
		f.o.close()
		f.o = nil
	}
	return nil
}
