package part10

import (
	"bytes"
	"strconv"
)

// maxFragments bounds the fragments of one object; a whole-slide image of 10^6 tiles
// is beyond what is made as one instance today.
const maxFragments = 1 << 20

// Range is a piece of a file.
type Range struct{ Offset, Length int64 }

// Pixels describes the pixel data of an object.
type Pixels struct {
	Tag    uint32 // (7FE0,0010), (7FE0,0008) float or (7FE0,0009) double float
	VR     VR
	Offset int64 // of the value; in the inflated data set if Deflated
	// Length of the value in bytes; if Encapsulated, all items and the delimiter.
	Length       int64
	Encapsulated bool
	Deflated     bool
	unit         int // see swapUnit

	Rows, Columns, Samples                       int
	BitsAllocated, BitsStored, HighBit           int
	Signed                                       bool
	Planar                                       int
	Photometric                                  string
	Frames                                       int   // declared; 1 if absent or no positive number
	Short                                        bool  // native, and less than Frames need
	offsetTable, extendedOffsets, extendedLength Range // where the three tables are, if they are
	fragments                                    []Range
}

// pixelAttribute takes over one of the attributes that describe pixel data.
func (p *Pixels) pixelAttribute(tag uint32, b []byte, c coding) {
	n := 0
	if len(b) >= 2 {
		n = int(c.u16(b))
	}
	switch tag {
	case 0x00280002:
		p.Samples = n
	case 0x00280004:
		p.Photometric = string(bytes.Trim(b, padding))
	case 0x00280006:
		p.Planar = n
	case 0x00280008:
		p.Frames, _ = strconv.Atoi(string(bytes.Trim(b, padding)))
	case 0x00280010:
		p.Rows = n
	case 0x00280011:
		p.Columns = n
	case 0x00280100:
		p.BitsAllocated = n
	case 0x00280101:
		p.BitsStored = n
	case 0x00280102:
		p.HighBit = n
	case 0x00280103:
		p.Signed = n == 1
	}
}

// frameBits returns the size of one native frame in bits; 0 if the attributes do not
// say. No product here can overflow: 16 bits each for rows, columns, samples and bits.
func (p *Pixels) frameBits() int64 {
	samples := int64(p.Samples)
	bits := int64(p.BitsAllocated)
	switch {
	case p.Tag == tagFloatPixels:
		samples, bits = 1, 32
	case p.Tag == tagDoublePixels:
		samples, bits = 1, 64
	case samples == 0:
		samples = 1
	}
	area := int64(p.Rows) * int64(p.Columns)
	if samples == 3 && p.Tag == tagPixelData {
		switch p.Photometric {
		case "YBR_FULL_422", "YBR_PARTIAL_422":
			return area * bits * 2
		case "YBR_PARTIAL_420":
			return area * bits * 3 / 2
		}
	}
	return area * samples * bits
}

// note keeps BitsAllocated or PixelRepresentation, on which values depend that come later.
func (o *object) note(tag uint32, n uint16) {
	if tag == tagSigned {
		o.signed = n == 1
	} else {
		o.bits = int(n)
	}
}

// swapUnit returns how many bytes of the value of e are to be reversed together to make it little endian: of pixels those of one, of which
// bits are allocated. PrivateGE has big endian pixels in little endian data.
func (o *object) swapUnit(e *element, bits int) int {
	switch {
	case !o.big && (o.syntax != PrivateGE || e.tag>>16 != 0x7FE0):
		return 1
	case e.tag == tagFloatPixels:
		return 4
	case e.tag == tagDoublePixels:
		return 8
	case e.tag != tagPixelData || e.vr == OB:
		return max(1, int(e.vr.info().unit))
	case bits == 32 || bits == 64:
		return bits / 8
	}
	return 2
}

// pixelData records the value of e, which is one of the three pixel data elements,
// and moves past it.
func (o *object) pixelData(p *Pixels, e *element) error {
	p.Tag, p.VR, p.Offset = e.tag, e.vr, e.val
	p.Deflated = o.z != nil
	p.unit = o.swapUnit(e, p.BitsAllocated)
	p.Encapsulated = e.length == undefined
	if p.Frames < 1 {
		p.Frames = 1
	}
	if !p.Encapsulated {
		p.Length = int64(e.length)
		need := p.frameBits()
		// Frames may be declared as many as 2^63: divide rather than multiply.
		p.Short = need > 0 && int64(p.Frames) > p.Length*8/need
		return o.skip(e, o.end, 0)
	}
	if err := o.readFragments(p, e); err != nil {
		return err
	}
	p.Length = o.pos - p.Offset
	return nil
}

// readFragments walks over the items of encapsulated pixel data (PS3.5 A.4). Only
// their headers are read.
func (o *object) readFragments(p *Pixels, e *element) error {
	for n := 0; ; n++ {
		item, ok, err := o.nextFragment(e)
		if err != nil || !ok {
			return err
		}
		switch {
		case item.length == undefined:
			return reject(Malformed, item.off, e.tag, "fragment of undefined length")
		case n == 0:
			p.offsetTable = Range{item.val, int64(item.length)}
		case n > maxFragments:
			return reject(TooLarge, item.off, e.tag, "more than 1048576 fragments")
		default:
			p.fragments = append(p.fragments, Range{item.val, int64(item.length)})
		}
		if err := o.skipTo(item.stop); err != nil {
			return o.cut(err, e.tag)
		}
	}
}

// nextFragment is nextItem for pixel data: it reads no more than it needs, since the
// next header is a fragment away.
func (o *object) nextFragment(e *element) (item element, ok bool, err error) {
	if o.z == nil && (o.pos < o.base || o.pos+8 > o.base+int64(len(o.buf))) && o.pos+8 <= o.end {
		if err := readAt(o.ra, o.mem[:8], o.pos); err != nil {
			return item, false, err
		}
		o.base, o.buf = o.pos, o.mem[:8]
	}
	return o.nextItem(e, o.end)
}
