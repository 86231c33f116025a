package part10

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrCannot: the object is not in a transfer syntax that can be rewritten as Explicit
// VR Little Endian without decoding pixels.
// Nor can one be that holds an item which can't be read.
var ErrCannot = errors.New("the object cannot be converted to Explicit VR Little Endian")

// ExplicitLESize returns the length in bytes of what ToExplicitLE writes.
func ExplicitLESize(r io.ReaderAt, size int64) (int64, error) {
	c, err := NewConversion(r, size)
	if err != nil {
		return 0, err
	}
	return c.Size, nil
}

// ToExplicitLE writes the object in r as a Part 10 object in Explicit VR Little
// Endian. See NewConversion.
func ToExplicitLE(w io.Writer, r io.ReaderAt, size int64) error {
	c, err := NewConversion(r, size)
	if err != nil {
		return err
	}
	_, err = c.WriteTo(w)
	return err
}

// Conversion is an object that is to be written as Explicit VR Little Endian.
type Conversion struct {
	Size int64 // bytes that WriteTo writes

	r       io.ReaderAt
	size    int64
	asIs    bool // nothing to change
	meta    []byte
	asBytes map[int64]bool // offsets of sequences that are written as UN
}

// NewConversion prepares to rewrite an object of Implicit VR Little Endian, Explicit
// VR Big Endian, Deflated or GE's private syntax: VRs from the dictionary and the
// data set (PS3.5 A.1), private elements as UN, sequences and items of undefined length,
// no group lengths and no trailing padding, preamble and group 2 kept but for the
// transfer syntax. An object in Explicit VR Little Endian is copied as it is. The
// error is ErrCannot for any other syntax, for encapsulated pixel data and for what
// can't be read within an item, a *RejectError, or from r.
func NewConversion(r io.ReaderAt, size int64) (*Conversion, error) {
	o, err := open(r, size)
	if err != nil {
		return nil, err
	}
	defer o.close()
	c := &Conversion{r: r, size: size}
	switch o.written() {
	case ExplicitLE:
		c.asIs, c.Size = true, size
		return c, nil
	case ImplicitLE, ExplicitBE, DeflatedLE, PrivateGE:
	default:
		return nil, ErrCannot
	}
	if c.meta, err = explicitMeta(r, size); err != nil {
		return nil, err
	}
	x := converter{object: o, asBytes: map[int64]bool{}}
	if err := x.dataset(); isReject(err) { // within an item that storing passes over
		return nil, ErrCannot
	} else if err != nil {
		return nil, err
	}
	c.asBytes, c.Size = x.asBytes, x.n+int64(len(c.meta))
	return c, nil
}

// WriteTo writes the converted object. It may be called once for every reader; after
// an error what was written is no whole object.
func (c *Conversion) WriteTo(w io.Writer) (int64, error) {
	if c.asIs {
		return io.Copy(w, io.NewSectionReader(c.r, 0, c.size))
	}
	o, err := open(c.r, c.size)
	if err != nil {
		return 0, err
	}
	defer o.close()
	out := bufio.NewWriterSize(w, chunkBytes)
	x := converter{object: o, out: out, asBytes: c.asBytes, n: int64(len(c.meta))}
	if _, err := out.Write(c.meta); err != nil {
		return 0, err
	}
	if err := x.dataset(); err != nil {
		return x.n, err
	}
	if x.n != c.Size {
		return x.n, fmt.Errorf("converted object has %d bytes instead of %d: did it change?", x.n, c.Size)
	}
	return x.n, out.Flush()
}

// explicitMeta returns preamble and group 2 with the transfer syntax replaced.
func explicitMeta(r io.ReaderAt, size int64) ([]byte, error) {
	o := objectPool.Get().(*object)
	o.file, o.size = r, size
	o.window.reset(r, 0, size)
	defer o.close()
	head, err := o.peek(preambleBytes + 4)
	if err != nil {
		return nil, err
	}
	meta := append([]byte(nil), head...)
	meta = append(meta, 2, 0, 0, 0, 'U', 'L', 4, 0, 0, 0, 0, 0)
	start := len(meta)
	o.pos = preambleBytes + 4
	o.coding = coding{explicit: true}
	for {
		b, err := o.peek(8)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, o.cut(err, 0)
		}
		if err != nil || o.tag(b)>>16 != 2 {
			break
		}
		if o.pos == preambleBytes+4 {
			o.explicit = (VR(b[4])<<8 | VR(b[5])).letters()
		}
		e, _, err := o.next(o.end)
		if err != nil {
			return nil, err
		}
		value, err := o.value(&e, maxMeta)
		if err != nil {
			return nil, err
		}
		switch e.tag {
		case 0x00020000:
			continue
		case 0x00020010:
			value = []byte(ExplicitLE + "\x00")
		}
		meta = appendExplicit(meta, e.tag, explicitVR(e.vr, len(value)), uint32(len(value)))
		meta = append(meta, value...)
	}
	binary.LittleEndian.PutUint32(meta[start-4:], uint32(len(meta)-start))
	return meta, nil
}

// explicitVR returns the VR under which a value of n bytes can be written: what is too
// long for a 16-bit length, or has no VR, becomes UN (PS3.5 6.2.2).
func explicitVR(vr VR, n int) VR {
	info := vr.info()
	if info.kind == kindNone || !info.long && n > 0xFFFF {
		return UN
	}
	return vr
}

// appendExplicit appends an element header in Explicit VR Little Endian.
func appendExplicit(dst []byte, tag uint32, vr VR, length uint32) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(tag>>16))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(tag))
	dst = append(dst, byte(vr>>8), byte(vr))
	if !vr.info().long {
		return binary.LittleEndian.AppendUint16(dst, uint16(length))
	}
	dst = append(dst, 0, 0)
	return binary.LittleEndian.AppendUint32(dst, length)
}

// converter rewrites a data set. Without out it only counts, and finds the sequences
// that have to be written as bytes.
type converter struct {
	*object
	out     *bufio.Writer
	n       int64
	head    [16]byte
	asBytes map[int64]bool
}

func (x *converter) dataset() error {
	for {
		e, ok, err := x.nextTop()
		if err != nil || !ok {
			return err
		}
		if e.tag>>16 <= 2 {
			err = x.skip(&e, x.end, 0)
		} else {
			err = x.element(&e, x.end, 0)
		}
		if err != nil {
			return err
		}
	}
}

func (x *converter) element(e *element, limit int64, depth int) error {
	info := e.vr.info()
	switch {
	case e.filler():
		return x.skip(e, limit, depth)
	case x.asBytes[e.off]:
		return x.value(e, UN)
	case info.kind == kindSeq || e.length == undefined && (info.kind == kindNone || e.vr == UN):
		return x.sequence(e, limit, depth)
	case e.length == undefined:
		return ErrCannot // encapsulated
	}
	if e.length == 2 && (e.tag == tagSigned || e.tag == tagBits && depth == 0) {
		b, err := x.peek(2)
		if err != nil {
			return x.cut(err, e.tag)
		}
		x.note(e.tag, x.u16(b))
	}
	return x.value(e, explicitVR(e.vr, int(e.length)+int(e.length&1)))
}

// sequence writes a sequence with undefined lengths throughout. One of defined length
// that can't be read as items is written as UN, whose bytes are implicit VR as those
// of the source (PS3.5 6.2.2 note 4).
func (x *converter) sequence(e *element, limit int64, depth int) error {
	n := x.n
	was, signed := x.enterUN(e), x.signed
	err := x.items(e, limit, depth)
	x.coding, x.signed = was, signed
	if err == nil || x.out != nil || !isReject(err) || e.length == undefined {
		return err
	}
	if x.explicit {
		return ErrCannot
	}
	x.n, x.asBytes[e.off] = n+12+int64(e.length)+int64(e.length&1), true
	return x.skip(e, limit, depth)
}

func (x *converter) items(seq *element, limit int64, depth int) error {
	if depth >= MaxDepth {
		return reject(TooDeep, seq.off, seq.tag, "sequences are nested too deep")
	}
	if err := x.put(appendExplicit(x.head[:0], seq.tag, SQ, undefined)); err != nil {
		return err
	}
	for {
		item, ok, err := x.nextItem(seq, limit)
		if err != nil {
			return err
		}
		if !ok {
			return x.delimiter(tagSeqEnd, 0)
		}
		if err := x.delimiter(tagItem, undefined); err != nil {
			return err
		}
		if err := x.item(&item, depth+1); err != nil {
			return err
		}
		if err := x.delimiter(tagItemEnd, 0); err != nil {
			return err
		}
	}
}

func (x *converter) item(item *element, depth int) error {
	signed := x.signed
	for {
		e, ok, err := x.nextIn(item)
		if err != nil {
			return err
		}
		if !ok {
			x.signed = signed
			return nil
		}
		if err := x.element(&e, item.stop, depth); err != nil {
			return err
		}
	}
}

func (x *converter) delimiter(tag, length uint32) error {
	b := binary.LittleEndian.AppendUint16(x.head[:0], uint16(tag>>16))
	b = binary.LittleEndian.AppendUint16(b, uint16(tag))
	return x.put(binary.LittleEndian.AppendUint32(b, length))
}

func (x *converter) put(b []byte) error {
	x.n += int64(len(b))
	if x.out == nil {
		return nil
	}
	_, err := x.out.Write(b)
	return err
}

// value writes one value under vr, little endian and of even length.
func (x *converter) value(e *element, vr VR) error {
	odd := e.length & 1
	if err := x.put(appendExplicit(x.head[:0], e.tag, vr, e.length+odd)); err != nil {
		return err
	}
	if x.out == nil {
		x.n += int64(e.length)
		if err := x.skipTo(e.end()); err != nil {
			return x.cut(err, e.tag)
		}
	} else if err := x.copyValue(e); err != nil {
		return err
	}
	if odd == 0 {
		return nil
	}
	pad := byte(' ')
	if k := vr.info().kind; k == kindBytes || k == kindUID || k == kindInt || k == kindFloat || k == kindTag {
		pad = 0
	}
	return x.put([]byte{pad})
}

func (x *converter) copyValue(e *element) error {
	unit := x.swapUnit(e, x.bits)
	for todo := int64(e.length); todo > 0; {
		b, err := x.peek(int(min(todo, chunkBytes)))
		if err != nil {
			return x.cut(err, e.tag)
		}
		x.pos += int64(len(b))
		todo -= int64(len(b))
		if unit > 1 {
			x.scratch.swap = append(x.scratch.swap[:0], b...)
			b = x.scratch.swap
			swapUnits(b, unit)
		}
		if err := x.put(b); err != nil {
			return err
		}
	}
	return nil
}
