package part10

import (
	"encoding/binary"
	"errors"
	"io"
)

// MaxDepth is how deep sequences may be nested.
const MaxDepth = 128

const undefined = 0xFFFFFFFF // value length that means: up to a delimiter

const (
	tagItem         = 0xFFFEE000
	tagItemEnd      = 0xFFFEE00D
	tagSeqEnd       = 0xFFFEE0DD
	tagFloatPixels  = 0x7FE00008 // FloatPixelData
	tagDoublePixels = 0x7FE00009 // DoubleFloatPixelData
	tagPixelData    = 0x7FE00010
	tagBits         = 0x00280100 // BitsAllocated
	tagSigned       = 0x00280103 // PixelRepresentation
	tagPadding      = 0xFFFCFFFC
)

// element is the header of a data element, item or delimiter.
type element struct {
	tag    uint32
	length uint32
	vr     VR    // 0 for items and delimiters
	off    int64 // position of the header
	val    int64 // position of the value
	stop   int64 // of items: where it ends, or must have ended if its length is undefined
}

// end returns the position after a value of defined length.
func (e *element) end() int64 { return e.val + int64(e.length) }

// filler reports whether the element says nothing of the object: a group length, or the padding of a data set or item.
func (e *element) filler() bool { return e.tag&0xFFFF == 0 || e.tag == tagPadding }

// coding is how elements are written (PS3.5 7.1 and 7.3).
type coding struct {
	explicit bool
	big      bool
}

func (c coding) u16(b []byte) uint16 {
	if c.big {
		return binary.BigEndian.Uint16(b)
	}
	return binary.LittleEndian.Uint16(b)
}

func (c coding) u32(b []byte) uint32 {
	if c.big {
		return binary.BigEndian.Uint32(b)
	}
	return binary.LittleEndian.Uint32(b)
}

func (c coding) u64(b []byte) uint64 {
	if c.big {
		return binary.BigEndian.Uint64(b)
	}
	return binary.LittleEndian.Uint64(b)
}

func (c coding) tag(b []byte) uint32 { return uint32(c.u16(b))<<16 | uint32(c.u16(b[2:])) }

// scanner reads element headers one after the other. The caller consumes or skips
// each value before it asks for the next.
type scanner struct {
	window
	coding
	signed bool // PixelRepresentation of the data set is 1
}

// next reads the header of the next element, which must begin before limit. ok is
// false at limit, or at the end of the object if limit is unknown.
func (s *scanner) next(limit int64) (e element, ok bool, err error) {
	e.off = s.pos
	if s.pos >= limit {
		return e, false, nil
	}
	b, err := s.peek(8)
	if err != nil {
		if errors.Is(err, io.EOF) {
			return e, false, nil
		}
		return e, false, s.cut(err, 0)
	}
	e.tag = s.tag(b)
	head := int64(8)
	switch {
	case e.tag>>16 == 0xFFFE || !s.explicit:
		e.length = s.u32(b[4:])
		if e.tag>>16 != 0xFFFE {
			e.vr = s.implicitVR(&e)
		}
	default:
		e.vr = VR(b[4])<<8 | VR(b[5])
		if !e.vr.info().long && (e.vr.info().kind != kindNone || !e.vr.letters()) {
			e.length = uint32(s.u16(b[6:])) // also of VRs that are no letters, as dcmtk reads them
			break
		}
		if b, err = s.peek(12); err != nil {
			return e, false, s.cut(err, e.tag)
		}
		e.length, head = s.u32(b[8:]), 12
	}
	e.val = e.off + head
	if e.tag != tagItemEnd && e.tag != tagSeqEnd { // whose length means nothing
		if err := s.bounded(&e, limit); err != nil {
			return e, false, err
		}
	}
	s.pos = e.val
	return e, true, nil
}

func (s *scanner) implicitVR(e *element) VR {
	vr := implicitVR(e.tag, s.signed)
	if e.length == undefined && vr == UN {
		return SQ
	}
	return vr
}

// bounded checks that the element ends within its enclosing item and the object.
func (s *scanner) bounded(e *element, limit int64) error {
	end := e.val
	if e.length != undefined {
		end = e.end()
	}
	switch {
	case end <= limit && end <= s.end:
		return nil
	case end > s.end:
		return reject(Truncated, e.off, e.tag, "element reaches past the end of the object")
	}
	return reject(Malformed, e.off, e.tag, "element reaches past the end of its item")
}

// cut turns the end of the object inside something into a rejection.
func (s *scanner) cut(err error, tag uint32) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		var src *sourceError
		if !errors.As(err, &src) {
			return reject(Truncated, s.pos, tag, "object ends inside an element")
		}
	}
	return err
}

// value returns the bytes of a value of defined length at most max, and consumes it.
func (s *scanner) value(e *element, max int) ([]byte, error) {
	if int64(e.length) > int64(max) {
		return nil, reject(TooLarge, e.off, e.tag, "value is longer than allowed here")
	}
	b, err := s.peek(int(e.length))
	if err != nil {
		return nil, s.cut(err, e.tag)
	}
	s.pos += int64(e.length)
	return b, nil
}

// nextItem reads the header of the next item of seq. ok is false after the last one.
func (s *scanner) nextItem(seq *element, limit int64) (item element, ok bool, err error) {
	if seq.length != undefined {
		limit = seq.end()
	}
	item, ok, err = s.next(limit)
	switch {
	case err != nil:
		return item, false, err
	case !ok && seq.length == undefined:
		return item, false, reject(Truncated, s.pos, seq.tag, "sequence has no delimiter")
	case !ok:
		return item, false, nil
	case item.tag == tagSeqEnd:
		if seq.length != undefined { // a stray delimiter ends it all the same
			return item, false, s.skipTo(limit)
		}
		return item, false, nil
	case item.tag != tagItem:
		return item, false, reject(Malformed, item.off, seq.tag, "sequence holds something that is no item")
	}
	item.stop = limit
	if item.length != undefined {
		item.stop = item.end()
	}
	return item, true, nil
}

// nextIn reads the next element of an item; ok is false after the last one.
func (s *scanner) nextIn(item *element) (e element, ok bool, err error) {
	e, ok, err = s.next(item.stop)
	switch {
	case err != nil:
		return e, false, err
	case !ok && item.length == undefined:
		return e, false, reject(Truncated, s.pos, item.tag, "item has no delimiter")
	case ok && e.tag == tagItemEnd:
		if item.length != undefined {
			return e, false, s.skipTo(item.stop)
		}
		return e, false, nil
	case ok && e.tag>>16 == 0xFFFE:
		return e, false, reject(Malformed, e.off, e.tag, "item or delimiter where an element must be")
	}
	return e, ok, nil
}

// skip moves past the value of e; depth counts the sequences around it.
func (s *scanner) skip(e *element, limit int64, depth int) error {
	switch {
	case e.length != undefined:
		if err := s.skipTo(e.end()); err != nil {
			return s.cut(err, e.tag)
		}
		return nil
	case e.vr.info().kind == kindBytes && e.vr != UN:
		return s.skipFragments(e, limit)
	case depth >= MaxDepth:
		return reject(TooDeep, e.off, e.tag, "sequences are nested too deep")
	}
	was := s.enterUN(e)
	err := s.skipItems(e, limit, depth)
	s.coding = was
	return err
}

func (s *scanner) skipItems(e *element, limit int64, depth int) error {
	for {
		item, ok, err := s.nextItem(e, limit)
		if err != nil || !ok {
			return err
		}
		if item.length != undefined {
			if err := s.skipTo(item.stop); err != nil {
				return s.cut(err, e.tag)
			}
			continue
		}
		if err := s.skipItem(&item, depth); err != nil {
			return err
		}
	}
}

func (s *scanner) skipItem(item *element, depth int) error {
	for {
		e, ok, err := s.nextIn(item)
		if err != nil || !ok {
			return err
		}
		if err := s.skip(&e, item.stop, depth+1); err != nil {
			return err
		}
	}
}

// enterUN switches to implicit little endian for a UN of undefined length (PS3.5
// 6.2.2 note 4), unless its first element shows a VR after all. It returns the
// encoding to be restored.
func (s *scanner) enterUN(e *element) coding {
	was := s.coding
	if e.vr != UN || !s.explicit {
		return was
	}
	b, err := s.peek(16)
	if err == nil && VR(b[12])<<8|VR(b[13]) != 0 && (VR(b[12])<<8|VR(b[13])).info().kind != kindNone {
		return was
	}
	s.coding = coding{}
	return was
}

// skipFragments moves past encapsulated pixel data (PS3.5 A.4).
func (s *scanner) skipFragments(e *element, limit int64) error {
	for {
		item, ok, err := s.nextItem(e, limit)
		if err != nil || !ok {
			return err
		}
		if item.length == undefined {
			return reject(Malformed, item.off, e.tag, "fragment of undefined length")
		}
		if err := s.skipTo(item.stop); err != nil {
			return s.cut(err, e.tag)
		}
	}
}
