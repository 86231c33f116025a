package part10

import (
	"errors"
	"io"
	"strconv"
	"strings"
)

// ErrNoElement: the object has no element at the path, or it is a sequence.
var ErrNoElement = errors.New("the object has no such value")

// ErrPath: a path that is not TAG or TAG/ITEM/…/TAG.
var ErrPath = errors.New("not the path of an element")

// Value is the value of one element, found by Element.
type Value struct {
	Tag uint32
	VR  VR
	// Range is the value in the file. If Direct is false the bytes there are not the
	// value: it lies in deflated data, or is big endian; use Open.
	Range  Range
	Direct bool
	// Fragments are the pieces of an encapsulated value, without the offset table;
	// nil if the value is not encapsulated.
	Fragments []Range

	unit int
}

// Element finds the value at path, as WriteJSON gives it to BulkDataURI: eight hex
// digits for an element of the data set, "GGGGEEEE/n/GGGGEEEE" for one in item n
// (from 1) of a sequence, and so on. The error is ErrPath, ErrNoElement, a
// *RejectError, or from r.
func Element(r io.ReaderAt, size int64, path string) (*Value, error) {
	steps, err := parsePath(path)
	if err != nil {
		return nil, err
	}
	o, err := open(r, size)
	if err != nil {
		return nil, err
	}
	defer o.close()
	return o.seek(o.end, steps, o.nextTop)
}

// notePixels keeps what values depend on that come later.
func (o *object) notePixels(e *element) error {
	if e.length != 2 {
		return o.skip(e, o.end, 0)
	}
	was := o.reveal(e, 2)
	defer func() { o.coding = was }()
	b, err := o.value(e, 2)
	if err == nil {
		o.note(e.tag, o.u16(b))
	}
	return err
}

// step is an element and, unless it is the last one, the item to go into.
type step struct {
	tag  uint32
	item int
}

func parsePath(path string) ([]step, error) {
	parts := strings.Split(path, "/")
	if len(parts)%2 == 0 || len(parts) > 2*MaxDepth+1 {
		return nil, ErrPath
	}
	var steps []step
	for i := 0; i < len(parts); i += 2 {
		tag, err := strconv.ParseUint(parts[i], 16, 32)
		if err != nil || len(parts[i]) != 8 {
			return nil, ErrPath
		}
		s := step{tag: uint32(tag)}
		if i+1 < len(parts) {
			if s.item, err = strconv.Atoi(parts[i+1]); err != nil || s.item < 1 {
				return nil, ErrPath
			}
		}
		steps = append(steps, s)
	}
	return steps, nil
}

// descend follows the steps from e, which is the first of them.
func (o *object) descend(e *element, limit int64, steps []step) (*Value, error) {
	if len(steps) == 1 {
		return o.found(e)
	}
	o.reveal(e, 0)
	if k := e.vr.info().kind; k != kindSeq && (e.length != undefined || k == kindBytes && e.vr != UN) {
		return nil, ErrNoElement
	}
	o.enterUN(e)
	for n := 1; ; n++ {
		item, ok, err := o.nextItem(e, limit)
		switch {
		case err != nil:
			return nil, err
		case !ok:
			return nil, ErrNoElement
		case n == steps[0].item:
			return o.seek(item.stop, steps[1:], func() (element, bool, error) { return o.nextIn(&item) })
		case item.length != undefined:
			err = o.cut(o.skipTo(item.stop), e.tag)
		default:
			err = o.skipItem(&item, 0)
		}
		if err != nil {
			return nil, err
		}
	}
}

// seek goes to the first of the steps among the elements that next gives, and from there on.
func (o *object) seek(limit int64, steps []step, next func() (element, bool, error)) (*Value, error) {
	for {
		e, ok, err := next()
		switch {
		case err != nil:
			return nil, err
		case !ok:
			return nil, ErrNoElement
		case e.tag == steps[0].tag:
			return o.descend(&e, limit, steps)
		case e.tag == tagBits, e.tag == tagSigned:
			err = o.notePixels(&e)
		default:
			err = o.skip(&e, limit, 0)
		}
		if err != nil {
			return nil, err
		}
	}
}

func (o *object) found(e *element) (*Value, error) {
	info := e.vr.info()
	v := &Value{Tag: e.tag, VR: e.vr, unit: o.swapUnit(e, o.bits)}
	switch {
	case info.kind == kindNone && e.length != undefined:
		v.VR = UN
	case e.length == undefined && info.kind == kindBytes && e.vr != UN:
		var p Pixels
		if err := o.readFragments(&p, e); err != nil {
			return nil, err
		}
		v.Fragments = p.fragments
		v.Range, v.Direct = Range{e.val, o.pos - e.val}, o.z == nil
		return v, nil
	case e.length == undefined:
		return nil, ErrNoElement
	case info.kind == kindSeq: // WriteJSON refers to a sequence it cannot read as UN
		v.VR = UN
	}
	v.Range = Range{e.val, int64(e.length)}
	v.Direct = o.z == nil && v.unit == 1
	return v, nil
}

// Open returns the value, little endian. r and size are those that Element was called
// with.
func (v *Value) Open(r io.ReaderAt, size int64) (*FrameReader, error) {
	o, err := open(r, size)
	if err != nil {
		return nil, err
	}
	f := &FrameReader{o: o, unit: v.unit, Length: v.Range.Length, left: v.Range.Length, buf: make([]byte, chunkBytes+8)}
	if o.z == nil {
		f.src = io.NewSectionReader(r, v.Range.Offset, v.Range.Length)
		return f, nil
	}
	if err := f.inflateFrom(v.Range.Offset, v.Range.Length); err != nil {
		o.close()
		return nil, err
	}
	return f, nil
}
