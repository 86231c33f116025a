package part10

import (
	"bytes"
	"errors"
	"io"
	"math"
	"sync"
)

// Transfer syntaxes that this package treats by name (PS3.5 section 10, PS3.6 A).
const (
	ImplicitLE = "1.2.840.10008.1.2"
	ExplicitLE = "1.2.840.10008.1.2.1"
	DeflatedLE = "1.2.840.10008.1.2.1.99"
	ExplicitBE = "1.2.840.10008.1.2.2"
	// PrivateGE is implicit little endian with big endian pixel data.
	PrivateGE = "1.2.840.113619.5.2"
	// RLE has one fragment a frame by definition.
	RLE = "1.2.840.10008.1.2.5"
)

const (
	preambleBytes = 128
	// maxMeta bounds group 2. Real ones have some 200 bytes; private information
	// (0002,0102) may add to it.
	maxMeta = 1 << 20
	// maxUIDBytes is the length of a UID (PS3.5 9.1).
	maxUIDBytes = 64
	// maxAhead bounds the elements that are passed in search of PixelRepresentation.
	maxAhead = 4096
)

// object is an opened Part 10 object: group 2 read, the scanner at the first element
// of the data set.
type object struct {
	scanner
	file     io.ReaderAt
	size     int64
	dataset  int64 // where the data set begins
	syntax   string
	mediaUID string // (0002,0003)
	dicomdir bool   // (0002,0002) names the Media Storage Directory
	z        *inflater
	pastPix  bool   // PixelData was read
	last     uint32 // tag of the element before
	looked   bool   // ahead for PixelRepresentation
	bits     int    // BitsAllocated, once note has it
	scratch  scratch
}

var objectPool = sync.Pool{New: func() any { return new(object) }}

// open reads preamble and group 2. The object is to be closed.
func open(r io.ReaderAt, size int64) (*object, error) {
	o := objectPool.Get().(*object)
	o.file, o.size, o.syntax, o.mediaUID, o.dicomdir, o.signed, o.bits = r, size, "", "", false, false, 0
	o.pastPix, o.last, o.looked = false, 0, false
	o.window.reset(r, 0, size)
	err := o.readMeta()
	if err == nil {
		err = o.begin()
	}
	if err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

func (o *object) close() {
	if o.z != nil {
		o.z.close()
		o.z = nil
	}
	o.file, o.ra, o.window.z, o.buf = nil, nil, nil, nil
	if cap(o.mem) > 4*chunkBytes {
		o.mem = nil // don't let one odd object hold memory for good
	}
	o.scratch.trim()
	objectPool.Put(o)
}

func (o *object) readMeta() error {
	if o.size < preambleBytes+4 {
		return reject(NotDICOM, 0, 0, "shorter than the 132 bytes with which a DICOM file begins")
	}
	b, err := o.peek(preambleBytes + 4)
	if err != nil {
		return err
	}
	if !bytes.Equal(b[preambleBytes:], []byte("DICM")) {
		return reject(NotDICOM, preambleBytes, 0, "no DICM prefix at byte 128: not a DICOM file (PS3.10 7.1)")
	}
	o.pos = preambleBytes + 4
	o.coding = coding{explicit: true}
	for {
		b, err := o.peek(8)
		if err != nil {
			if errors.Is(err, io.EOF) {
				break
			}
			return o.cut(err, 0)
		}
		if o.tag(b)>>16 != 2 {
			break
		}
		if o.pos == preambleBytes+4 { // some write group 2 in implicit VR
			o.explicit = (VR(b[4])<<8 | VR(b[5])).letters()
		}
		if err := o.metaElement(); err != nil {
			return err
		}
	}
	o.dataset = o.pos
	if o.pos == preambleBytes+4 {
		return reject(NotDICOM, o.pos, 0, "no group 2 after the DICM prefix")
	}
	if o.syntax == "" {
		return reject(NoTransferSyntax, o.pos, 0x00020010, "group 2 names no transfer syntax")
	}
	return nil
}

func (o *object) metaElement() error {
	e, _, err := o.next(o.end)
	if err != nil {
		return err
	}
	if e.length == undefined || e.end() > preambleBytes+4+maxMeta {
		return reject(TooLarge, e.off, e.tag, "group 2 is larger than 1 MiB")
	}
	switch e.tag {
	case 0x00020002, 0x00020003, 0x00020010:
		b, err := o.value(&e, maxMeta)
		if err != nil {
			return err
		}
		return o.metaUID(&e, trimUID(b))
	}
	return o.skip(&e, o.end, 0)
}

func (o *object) metaUID(e *element, uid []byte) error {
	switch e.tag {
	case 0x00020002:
		o.dicomdir = string(uid) == "1.2.840.10008.1.3.10"
	case 0x00020003:
		if validUID(uid) {
			o.mediaUID = string(uid)
		}
	case 0x00020010:
		if !validUID(uid) {
			return reject(NoTransferSyntax, e.off, e.tag, "the transfer syntax is no UID of 1 to 64 digits and dots")
		}
		o.syntax = string(uid)
	}
	return nil
}

// begin points the scanner at the data set, in its encoding.
func (o *object) begin() error {
	o.coding = coding{explicit: true}
	switch o.syntax {
	case ImplicitLE, PrivateGE:
		o.coding = coding{}
	case ExplicitBE:
		o.coding = coding{explicit: true, big: true}
	case DeflatedLE:
		o.z = newInflater(o.file, o.dataset, o.size)
		o.resetStream(o.z, o.dataset)
	}
	b, err := o.peek(8)
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return reject(Truncated, o.dataset, 0, "no data set after group 2")
	case err != nil:
		return err
	}
	o.correct(b)
	return nil
}

// correct changes the encoding to what the first element shows, for writers that
// announce explicit VR and write implicit, or the reverse, and for unknown syntaxes.
func (o *object) correct(b []byte) {
	vr := VR(b[4])<<8 | VR(b[5])
	known := vr.info().kind != kindNone
	switch {
	case o.explicit && !known && !vr.letters():
		if le := (coding{}); le.tag(b)>>16 <= 0x0010 && int64(le.u32(b[4:])) <= min(o.end-o.pos, math.MaxUint32) {
			o.coding = le
		}
	case !o.explicit && known:
		// An implicit length that spells a VR would be over 16 MB.
		o.explicit = true
	}
}

// written is the transfer syntax, if need be that of the bytes rather than that of the label under which nobody is to get them.
func (o *object) written() string {
	if o.syntax == ExplicitLE && !o.explicit {
		return ImplicitLE
	}
	return o.syntax
}

// nextTop reads the next element of the data set itself. Before PixelData elements
// may be out of order; behind it, anything but ascending elements, padding and zero
// bytes is no longer the data set.
func (o *object) nextTop() (e element, ok bool, err error) {
	at := o.pos
	e, ok, err = o.next(o.end)
	switch {
	case err != nil && isReject(err) && (o.pastPix || e.tag == 0):
		if o.zeros(at) {
			return e, false, nil
		}
		if o.pastPix {
			err = reject(Malformed, at, 0, "the bytes after the pixel data are no data elements")
		}
		return e, false, err
	case err != nil || !ok:
		return e, false, err
	case e.tag == 0 && o.zeros(at):
		return e, false, nil
	case e.tag>>16 == 0xFFFE || e.tag>>16 == 0:
		return e, false, reject(Malformed, at, e.tag, "no data element where one must be")
	case o.pastPix && e.tag < o.last:
		return e, false, reject(Malformed, at, 0, "the bytes after the pixel data are no data elements")
	case !e.vr.letters():
		return e, true, o.badVR(&e)
	}
	if (e.vr == US || e.vr == UN) && e.tag < tagSigned {
		o.lookAhead(&e)
	}
	if e.tag == tagPixelData && e.vr == UN && e.length == undefined {
		e.vr = OB // fragments are nothing else (PS3.5 A.4)
	}
	o.last = e.tag
	o.pastPix = o.pastPix || e.tag == tagPixelData
	return e, true, nil
}

// lookAhead reads PixelRepresentation if the VR of e, which is from the dictionary, depends on it. A deflated data set can't be read
// twice, but is explicit.
func (o *object) lookAhead(e *element) {
	if o.looked || o.z != nil || o.explicit && e.vr != UN || loadDictionary().find(e.tag).vr != vrUSorSS {
		return
	}
	o.looked = true
	at, next := o.pos, *e
	err := o.skip(&next, o.end, 0)
	for n := 0; err == nil && n < maxAhead; n++ {
		var ok bool
		if next, ok, err = o.next(o.end); err != nil || !ok || next.tag > tagSigned {
			break
		}
		if next.tag == tagSigned {
			_ = o.notePixels(&next) // it is read again
			break
		}
		err = o.skip(&next, o.end, 0)
	}
	o.pos = at
	if !o.explicit {
		e.vr = implicitVR(e.tag, o.signed)
	}
}

// badVR lets the odd VR of one element pass, as dcmtk does, but only blanks and the
// like: other bytes mean that the scanner no longer stands on an element.
func (o *object) badVR(e *element) error {
	if hi, lo := byte(e.vr>>8), byte(e.vr); okVRByte(hi) && okVRByte(lo) {
		return nil
	}
	return reject(Malformed, e.off, e.tag, "no value representation where one must be")
}

func okVRByte(c byte) bool {
	return c == 0 || c == ' ' || c == '?' || c == '-' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// zeros reports whether nothing but zero bytes follow from position at, and if so
// moves to the end. Some media pad files so.
func (o *object) zeros(at int64) bool {
	if at < o.base {
		return false // already out of the window of a stream
	}
	o.pos = at
	for {
		b, err := o.peek(1)
		if err != nil {
			return errors.Is(err, io.EOF)
		}
		rest := o.buf[o.pos-o.base:]
		if b[0] != 0 || len(bytes.Trim(rest, "\x00")) > 0 {
			return false
		}
		o.pos += int64(len(rest))
	}
}

// trimUID cuts the padding that writers use: trailing NULs and spaces.
func trimUID(b []byte) []byte { return bytes.TrimRight(b, " \x00") }

// validUID reports whether b is 1 to 64 bytes of digits and dots. More is not
// demanded: real UIDs have leading zeros in components.
func validUID(b []byte) bool {
	if len(b) == 0 || len(b) > maxUIDBytes {
		return false
	}
	for _, c := range b {
		if c != '.' && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
