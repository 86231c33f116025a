package part10

import (
	"encoding/binary"
	"errors"
)

// Errors about frames. All of them concern one object and are final for it.
var (
	// ErrNoFrames: the object has no pixel data.
	ErrNoFrames = errors.New("the object has no pixel data")
	// ErrFrameRange: there is no frame of that number.
	ErrFrameRange = errors.New("the object has no frame of that number")
	// ErrFramesInconsistent: offset tables, fragments, sizes and the declared number
	// of frames contradict each other.
	ErrFramesInconsistent = errors.New("the pixel data cannot be cut into the declared number of frames")
	// ErrFramesVideo: a video stream, in which a frame is no piece of its own.
	ErrFramesVideo = errors.New("the pixel data is a video stream, which has no separate frames")
	// ErrFrameTable: bytes that are no encoded frame table.
	ErrFrameTable = errors.New("not a frame table")
)

// FrameTable says where the frames of an object are in its file.
//
// Encoded, it is two bytes, version and kind, then numbers as unsigned varints
// (gaps zigzag):
//
//	native    offset, bytes of a frame, count
//	single    count, then for each frame: gap, length
//	multi     count, then for each frame: number of pieces, and gap, length of each
//	computed  count
//	none      1 inconsistent, 2 video
//
// A gap is the distance from the end of the piece before, for the first piece from
// the start of the file.
type FrameTable struct {
	kind   frameKind
	count  int
	offset int64   // native
	each   int64   // native
	pieces []Range // single, multi
	starts []int32 // multi: index of a frame's first piece, and the total at the end
	why    noFrames
}

// Part of the record format, never renumber.
const frameTableVersion = 1

type frameKind byte

// Part of the record format, never renumber.
const (
	framesNative   frameKind = 1 // of equal length, one after the other
	framesSingle   frameKind = 2 // one piece each
	framesMulti    frameKind = 3 // several pieces each
	framesComputed frameKind = 4 // no range of the file: use OpenFrame
	framesNone     frameKind = 5
)

type noFrames byte

// Part of the record format, never renumber.
const (
	noFramesInconsistent noFrames = 1
	noFramesVideo        noFrames = 2
)

// maxFrameTable bounds an encoded table in a record.
const maxFrameTable = 24 << 10

// Len returns the number of frames; 0 if Err is not nil.
func (t *FrameTable) Len() int { return t.count }

// Computed reports whether frames have to be computed (OpenFrame) because they are no
// ranges of the file.
func (t *FrameTable) Computed() bool { return t.kind == framesComputed }

// Err says why there are no frames, or is nil.
func (t *FrameTable) Err() error {
	switch {
	case t.kind != framesNone:
		return nil
	case t.why == noFramesVideo:
		return ErrFramesVideo
	}
	return ErrFramesInconsistent
}

// AppendRanges appends the pieces of frame n (from 0) to dst, in order. It appends
// nothing if n is out of range or frames are computed.
func (t *FrameTable) AppendRanges(dst []Range, n int) []Range {
	if n < 0 || n >= t.count {
		return dst
	}
	switch t.kind {
	case framesNative:
		return append(dst, Range{t.offset + int64(n)*t.each, t.each})
	case framesSingle:
		return append(dst, t.pieces[n])
	case framesMulti:
		return append(dst, t.pieces[t.starts[n]:t.starts[n+1]]...)
	}
	return dst
}

// Encode returns the table in the form that DecodeFrames takes.
func (t *FrameTable) Encode() []byte {
	b := []byte{frameTableVersion, byte(t.kind)}
	put := func(n int64) { b = binary.AppendUvarint(b, uint64(n)) }
	switch t.kind {
	case framesNative:
		put(t.offset)
		put(t.each)
		put(int64(t.count))
	case framesComputed:
		put(int64(t.count))
	case framesNone:
		put(int64(t.why))
	default:
		put(int64(t.count))
		at := int64(0)
		for n := range t.count {
			pieces := t.AppendRanges(nil, n)
			if t.kind == framesMulti {
				put(int64(len(pieces)))
			}
			for _, p := range pieces {
				b = binary.AppendVarint(b, p.Offset-at)
				put(p.Length)
				at = p.Offset + p.Length
			}
		}
	}
	return b
}

// DecodeFrames reads an encoded table; its error is ErrFrameTable.
func DecodeFrames(b []byte) (*FrameTable, error) {
	if len(b) < 2 || b[0] != frameTableVersion {
		return nil, ErrFrameTable
	}
	d := tableDecoder{b: b[2:]}
	t := &FrameTable{kind: frameKind(b[1])}
	switch t.kind {
	case framesNative:
		t.offset, t.each, t.count = d.number(), d.number(), int(d.number())
		if t.each > 0 && int64(t.count) > (1<<62-t.offset)/t.each {
			d.bad = true
		}
	case framesComputed:
		t.count = int(d.number())
	case framesNone:
		t.why = noFrames(d.number())
	case framesSingle, framesMulti:
		d.pieces(t)
	default:
		d.bad = true
	}
	if d.bad || len(d.b) != 0 {
		return nil, ErrFrameTable
	}
	return t, nil
}

type tableDecoder struct {
	b   []byte
	bad bool
}

// number reads an unsigned number below 2^62.
func (d *tableDecoder) number() int64 {
	u, n := binary.Uvarint(d.b)
	if n <= 0 || u >= 1<<62 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return int64(u)
}

func (d *tableDecoder) piece(at int64) Range {
	gap, n := binary.Varint(d.b)
	if n <= 0 || gap >= 1<<62 || gap <= -1<<62 || at+gap < 0 || at+gap >= 1<<62 {
		d.bad, d.b = true, nil
		return Range{}
	}
	d.b = d.b[n:]
	r := Range{at + gap, d.number()}
	if r.Offset+r.Length >= 1<<62 {
		d.bad = true
	}
	return r
}

func (d *tableDecoder) pieces(t *FrameTable) {
	count := d.number()
	if count > int64(len(d.b)) { // every frame takes at least a byte
		d.bad = true
		return
	}
	t.count = int(count)
	at := int64(0)
	for range t.count {
		n := int64(1)
		if t.kind == framesMulti {
			n = d.number()
			t.starts = append(t.starts, int32(len(t.pieces)))
		}
		for ; n > 0 && !d.bad; n-- {
			p := d.piece(at)
			at = p.Offset + p.Length
			t.pieces = append(t.pieces, p)
		}
		if d.bad {
			return
		}
	}
	t.starts = append(t.starts, int32(len(t.pieces)))
}
