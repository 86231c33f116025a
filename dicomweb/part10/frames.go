package part10

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
)

// frames records where the frames are.
func (x *indexer) frames() error {
	if x.in.Pixels == nil {
		return nil
	}
	t, err := x.object.frameTable(&x.pixels)
	if err != nil {
		return err
	}
	x.pixels.fragments = nil // the table has them
	if b := t.Encode(); len(b) <= maxFrameTable {
		x.in.Frames = b
		return nil
	}
	x.in.FramesScan = true
	return nil
}

// ScanFrames finds the frames of the object in r by reading its header and walking
// over its fragments. It is for objects whose table is too long to be recorded. The
// error is ErrNoFrames, a *RejectError, or from r; what contradicts itself within
// the pixel data is told by the table's Err.
func ScanFrames(r io.ReaderAt, size int64) (*FrameTable, error) {
	o, p, err := openPixels(r, size)
	if err != nil {
		return nil, err
	}
	defer o.close()
	return o.frameTable(p)
}

// openPixels opens an object and reads it up to the end of its pixel data.
func openPixels(r io.ReaderAt, size int64) (*object, *Pixels, error) {
	o, err := open(r, size)
	if err != nil {
		return nil, nil, err
	}
	p := new(Pixels)
	if err := o.findPixels(p); err != nil {
		o.close()
		return nil, nil, err
	}
	return o, p, nil
}

func (o *object) findPixels(p *Pixels) error {
	for {
		e, ok, err := o.nextTop()
		switch {
		case err != nil:
			return err
		case !ok:
			return ErrNoFrames
		case e.tag>>16 == 0x0028 && e.length <= 64:
			b, err := o.value(&e, 64)
			if err != nil {
				return err
			}
			p.pixelAttribute(e.tag, b, o.coding)
			continue
		case e.tag == 0x7FE00001:
			p.extendedOffsets = Range{e.val, int64(e.length)}
		case e.tag == 0x7FE00002:
			p.extendedLength = Range{e.val, int64(e.length)}
		case e.tag == tagFloatPixels || e.tag == tagDoublePixels || e.tag == tagPixelData:
			return o.pixelData(p, &e)
		}
		if err := o.skip(&e, o.end, 0); err != nil {
			return err
		}
	}
}

// frameTable resolves the pixel data to frames.
func (o *object) frameTable(p *Pixels) (*FrameTable, error) {
	switch {
	case isVideo(o.syntax):
		return &FrameTable{kind: framesNone, why: noFramesVideo}, nil
	case p.Encapsulated && p.Deflated, !p.Encapsulated && isCompressed(o.syntax):
		return inconsistent(), nil
	case !p.Encapsulated:
		return p.nativeTable(), nil
	}
	return o.encapsulatedTable(p)
}

func inconsistent() *FrameTable { return &FrameTable{kind: framesNone, why: noFramesInconsistent} }

// nativeTable cuts uncompressed pixel data into frames of equal size.
func (p *Pixels) nativeTable() *FrameTable {
	bits := p.nativeBits()
	if bits == 0 || int64(p.Frames) > p.Length*8/bits {
		return inconsistent()
	}
	if p.unit > 1 || p.Deflated || bits%8 != 0 {
		return &FrameTable{kind: framesComputed, count: p.Frames}
	}
	return &FrameTable{kind: framesNative, count: p.Frames, offset: p.Offset, each: bits / 8}
}

// nativeBits is frameBits, except that an object whose only frame cannot be measured
// has its whole value as that frame, and that some who say YBR_FULL_422 store all
// samples all the same.
func (p *Pixels) nativeBits() int64 {
	bits := p.frameBits()
	full := int64(p.Rows) * int64(p.Columns) * int64(p.Samples) * int64(p.BitsAllocated)
	switch {
	case bits == 0 && p.Frames == 1:
		return p.Length * 8
	case full > bits && int64(p.Frames) <= p.Length*8/full && p.Length <= full/8*int64(p.Frames)+1:
		return full
	}
	return bits
}

// encapsulatedTable assigns fragments to frames: by the extended offset table, the
// basic one, or, without either, by what the fragments themselves show.
func (o *object) encapsulatedTable(p *Pixels) (*FrameTable, error) {
	offsets, lengths, err := o.offsetTables(p)
	if err != nil {
		return nil, err
	}
	frags := p.fragments
	if len(offsets) == p.Frames {
		if t := p.byOffsets(offsets, lengths); t != nil {
			return t, nil
		}
	}
	switch {
	case len(frags) == p.Frames:
		return &FrameTable{kind: framesSingle, count: p.Frames, pieces: frags}, nil
	case p.Frames == 1 && len(frags) > 1:
		return &FrameTable{kind: framesMulti, count: 1, pieces: frags, starts: []int32{0, int32(len(frags))}}, nil
	case len(frags) < p.Frames || o.syntax == RLE:
		return inconsistent(), nil
	}
	return o.byMarkers(p)
}

// offsetTables reads the extended, else the basic offset table. lengths is nil
// for the basic one.
func (o *object) offsetTables(p *Pixels) (offsets, lengths []uint64, err error) {
	if p.extendedOffsets.Length >= 8 {
		if offsets, err = o.readNumbers(p.extendedOffsets, 8); err != nil {
			return nil, nil, err
		}
		if p.extendedLength.Length == p.extendedOffsets.Length {
			lengths, err = o.readNumbers(p.extendedLength, 8)
		}
		return offsets, lengths, err
	}
	offsets, err = o.readNumbers(p.offsetTable, 4)
	return offsets, nil, err
}

// readNumbers reads a table of little endian numbers; none if it is longer than any
// table that can be right.
func (o *object) readNumbers(r Range, width int) ([]uint64, error) {
	if r.Length > int64(width)*maxFragments || r.Length%int64(width) != 0 || o.z != nil {
		return nil, nil
	}
	b := make([]byte, r.Length)
	if err := readAt(o.file, b, r.Offset); err != nil {
		return nil, err
	}
	out := make([]uint64, 0, len(b)/width)
	for ; len(b) >= width; b = b[width:] {
		if width == 4 {
			out = append(out, uint64(binary.LittleEndian.Uint32(b)))
		} else {
			out = append(out, binary.LittleEndian.Uint64(b))
		}
	}
	return out, nil
}

// byOffsets cuts at the fragments that the table points to; nil if an offset is not
// that of a fragment, or they do not ascend from the first one.
func (p *Pixels) byOffsets(offsets, lengths []uint64) *FrameTable {
	if len(p.fragments) == 0 {
		return nil
	}
	base := p.fragments[0].Offset - 8
	t := &FrameTable{kind: framesMulti, count: p.Frames}
	next := 0
	for i, f := range p.fragments {
		if next < len(offsets) && uint64(f.Offset-8-base) == offsets[next] {
			t.starts = append(t.starts, int32(i))
			next++
		} else if i == 0 {
			return nil
		}
	}
	if next != len(offsets) {
		return nil
	}
	t.pieces, t.starts = p.fragments, append(t.starts, int32(len(p.fragments)))
	if len(p.fragments) == p.Frames {
		t.kind, t.starts = framesSingle, nil
		t.cutPadding(lengths)
	}
	return t
}

// cutPadding shortens frames of one fragment to the lengths of the extended offset
// table, which leave out the padding byte.
func (t *FrameTable) cutPadding(lengths []uint64) {
	for i, n := range lengths {
		if have := uint64(t.pieces[i].Length); n <= have && have-n <= 1 {
			t.pieces[i].Length = int64(n)
		}
	}
}

// startMarkers are the first bytes of an image of the compressions that may spread
// one over several fragments: JPEG and JPEG-LS, JPEG 2000, JP2.
var startMarkers = [][]byte{{0xFF, 0xD8, 0xFF}, {0xFF, 0x4F, 0xFF, 0x51}, {0, 0, 0, 0x0C, 0x6A, 0x50}}

// byMarkers begins a frame at every fragment that begins an image.
func (o *object) byMarkers(p *Pixels) (*FrameTable, error) {
	t := &FrameTable{kind: framesMulti, count: p.Frames, pieces: p.fragments}
	var head [6]byte
	for i, f := range p.fragments {
		b := head[:min(int64(len(head)), f.Length)]
		if err := readAt(o.file, b, f.Offset); err != nil {
			return nil, err
		}
		begins := false
		for _, m := range startMarkers {
			begins = begins || bytes.HasPrefix(b, m)
		}
		switch {
		case begins:
			t.starts = append(t.starts, int32(i))
		case i == 0:
			return inconsistent(), nil
		}
	}
	if len(t.starts) != p.Frames {
		return inconsistent(), nil
	}
	t.starts = append(t.starts, int32(len(p.fragments)))
	return t, nil
}

const jpegFamily = "1.2.840.10008.1.2.4."

// isCompressed reports whether pixel data of a transfer syntax is encapsulated.
func isCompressed(syntax string) bool {
	return strings.HasPrefix(syntax, jpegFamily) || syntax == RLE || strings.HasPrefix(syntax, "1.2.840.10008.1.2.8.") ||
		strings.HasPrefix(syntax, "1.2.840.10008.1.2.11.")
}

func isVideo(syntax string) bool {
	return strings.HasPrefix(syntax, jpegFamily+"10") && len(syntax) >= len(jpegFamily)+3
}

// FrameMediaType returns the media type of a frame stored in a transfer syntax
// (PS3.18 8.7.3.3); application/octet-stream for uncompressed ones.
func FrameMediaType(syntax string) string {
	switch n := strings.TrimPrefix(syntax, jpegFamily); {
	case syntax == RLE:
		return "image/dicom-rle"
	case n == syntax:
		return "application/octet-stream"
	case isVideo(syntax) && n < "102":
		return "video/mpeg"
	case isVideo(syntax) && n[:3] < "107":
		return "video/mp4"
	case isVideo(syntax):
		return "video/H265"
	case n == "80" || n == "81":
		return "image/jls"
	case n == "90" || n == "91":
		return "image/jp2"
	case n == "92" || n == "93":
		return "image/jpx"
	case n == "110" || n == "111" || n == "112":
		return "image/jxl"
	case strings.HasPrefix(n, "20"):
		return "image/jphc"
	case len(n) == 2 && n < "80":
		return "image/jpeg"
	}
	return "application/octet-stream"
}
