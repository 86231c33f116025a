package bench

import (
	"hash/crc32"
	"slices"
	"strconv"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A Blob is the bytes of an instance in pieces: some own, some shared with other instances of the generator.
// It can be built over and over; the pieces are valid until the next build.
type Blob struct {
	Parts [][]byte
	Size  int64
	arena []byte
}

// CRC is the CRC-32C of the whole.
func (b *Blob) CRC() uint32 {
	var sum uint32
	for _, p := range b.Parts {
		sum = crc32.Update(sum, castagnoli, p)
	}
	return sum
}

// Bytes returns a copy in one piece.
func (b *Blob) Bytes() []byte {
	out := make([]byte, 0, b.Size)
	for _, p := range b.Parts {
		out = append(out, p...)
	}
	return out
}

// clone copies a blob, but for the pieces that are shared.
func (b *Blob) clone() *Blob {
	c := &Blob{Size: b.Size, Parts: slices.Clone(b.Parts)}
	for i := 0; i < len(c.Parts); i += 2 { // own and shared ones take turns
		c.Parts[i] = slices.Clone(c.Parts[i])
	}
	return c
}

// headerRoom is more than the header of any template takes.
const headerRoom = 16 << 10

// Build makes the bytes of an instance.
func (g *Generator) Build(in *Instance, blob *Blob) {
	blob.Parts = blob.Parts[:0]
	need := headerRoom + in.Frames*(8+4+2+4+25) // item header, offset table entry, SOI, comment
	if cap(blob.arena) < need {
		blob.arena = make([]byte, 0, need)
	}
	b := blob.arena[:0]
	kind := in.Series.Kind
	b = appendFileMeta(b, kind.sopClass(), in.UID, kind.transferSyntax())
	b = appendElements(b, g.header(in))
	unique := hash(g.seed, 6, uint64(in.Series.Study.Number), uint64(in.Series.Number), uint64(in.Number))
	switch kind {
	case KindSR:
		blob.Parts = append(blob.Parts, b)
	case KindUS, KindUSLoop:
		b = g.buildFrames(in, unique, b, blob)
	default:
		pixels := g.picture(kind).window(unique)
		vr := "OW"
		if kind == KindTiny {
			vr = "OB"
		}
		b = appendHeader(b, tagPixelData, vr, uint32(len(pixels)))
		b = appendStamp(b, unique)
		blob.Parts = append(blob.Parts, b, pixels[stampSize:])
	}
	if len(b) > cap(blob.arena) {
		panic("bench: a header outgrew headerRoom") // earlier parts would point to the old arena
	}
	blob.Size = 0
	for _, p := range blob.Parts {
		blob.Size += int64(len(p))
	}
}

// buildFrames appends encapsulated pixel data with a basic offset table and one fragment a frame (PS3.5 A.4).
func (g *Generator) buildFrames(in *Instance, unique uint64, b []byte, blob *Blob) []byte {
	pic := g.picture(in.Series.Kind)
	frame := func(i int) []byte { return pic.frames[(uint64(i)+unique)%jpegFrames] }
	b = appendHeader(b, tagPixelData, "OB", undefinedLength)
	b = appendTag(b, tagItem)
	b = append(b, ul(uint32(4*in.Frames))...)
	offset := 0
	for i := range in.Frames {
		b = append(b, ul(uint32(offset))...)
		offset += 8 + commentSize(frame(i)) + len(frame(i))
	}
	start := 0
	for i := range in.Frames {
		data := frame(i)
		size := commentSize(data)
		b = appendTag(b, tagItem)
		b = append(b, ul(uint32(size+len(data)))...)
		b = appendComment(b, hash(unique, uint64(i)), size)
		blob.Parts = append(blob.Parts, b[start:], data)
		start = len(b)
	}
	b = appendTag(b, tagSequenceEnd)
	b = append(b, ul(0)...)
	blob.Parts = append(blob.Parts, b[start:])
	return b
}

// Sum fills in.Sums, which must not be done twice at a time for one instance.
func (g *Generator) Sum(in *Instance, blob *Blob) *Sums {
	if in.Sums != nil {
		return in.Sums
	}
	g.Build(in, blob)
	s := &Sums{Size: blob.Size, CRC: blob.CRC()}
	switch in.Series.Kind {
	case KindSR:
	case KindUS, KindUSLoop:
		for i := range in.Frames {
			own, shared := blob.Parts[2*i], blob.Parts[2*i+1]
			own = own[len(own)-commentSize(shared):]
			s.addFrame(own, shared)
		}
	default:
		own, shared := blob.Parts[0], blob.Parts[1]
		s.addFrame(own[len(own)-stampSize:], shared)
	}
	in.Sums = s
	return s
}

func (s *Sums) addFrame(head, tail []byte) {
	s.FrameCRCs = append(s.FrameCRCs, crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, tail))
	s.FrameSizes = append(s.FrameSizes, int64(len(head)+len(tail)))
}

func itoa(n int) string { return strconv.Itoa(n) }
