package bench

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/jpeg"
	"sync"
)

// A picture is the pixel source of one template: instances are windows into it, each shifted and stamped, so that no
// two are equal while their bytes are shared and sending them copies nothing.
type picture struct {
	rows, columns int
	bits          int    // stored; allocated is 16, or 8
	pixels        []byte // native: one image and slackRows more
	frames        [][]byte
	// frames hold JPEG files without their first two bytes (SOI): a comment that makes the frame unique goes between.
}

type imageOnce struct {
	once sync.Once
	pic  *picture
}

// slackRows is how many rows a window can be shifted by.
const slackRows = 64

// stampSize is the length of the unique start of a native image, in bytes.
const stampSize = 32

// jpegFrames is how many different ultrasound images there are.
const jpegFrames = 6

func (g *Generator) picture(k Kind) *picture {
	o := &g.images[k]
	o.once.Do(func() {
		r := &rng{hash(g.seed, 5, uint64(k))}
		switch k {
		case KindCT:
			o.pic = phantom(r, 512, 512, 1000, 24)
		case KindMR:
			o.pic = phantom(r, 256, 256, 600, 30)
		case KindCR:
			o.pic = phantom(r, 1760, 1430, 1500, 40)
		case KindDX:
			o.pic = phantom(r, 1536, 1280, 1800, 30)
		case KindUS, KindUSLoop:
			o.pic = speckle(r, 480, 640)
		case KindTiny:
			o.pic = &picture{rows: 8, columns: 8, bits: 8, pixels: make([]byte, 8*(8+slackRows))}
			r.fill(o.pic.pixels)
		}
	})
	return o.pic
}

// Prepare draws all pictures that the generator's studies need, so that the first instances cost what later ones do.
func (g *Generator) Prepare() {
	if g.perStudy > 0 {
		g.picture(g.uniform)
		return
	}
	for k := range KindTiny {
		g.picture(k)
	}
}

// phantom draws nested ellipses with noise, 12 bits in 16: about as compressible as a real slice.
func phantom(r *rng, rows, columns, level, sigma int) *picture {
	p := &picture{rows: rows, columns: columns, bits: 12}
	p.pixels = make([]byte, 0, 2*columns*(rows+slackRows))
	for y := range rows + slackRows {
		for x := range columns {
			dx, dy := x*2-columns, (y*2-rows)*columns/rows
			d := (dx*dx + dy*dy) / columns // 0 in the middle, columns at the inscribed ellipse's edge
			v := 24
			switch {
			case d < columns/9:
				v = level + 180 + dx/8
			case d < columns/3:
				v = level - (d*200)/columns + y%32
			case d < columns*3/4:
				v = level + 40
			}
			v += r.bell(sigma)
			p.pixels = binary.LittleEndian.AppendUint16(p.pixels, uint16(min(max(v, 0), 4095)))
		}
	}
	return p
}

// speckle makes JPEG frames of an ultrasound fan.
func speckle(r *rng, rows, columns int) *picture {
	p := &picture{rows: rows, columns: columns, bits: 8}
	for n := range jpegFrames {
		img := image.NewGray(image.Rect(0, 0, columns, rows))
		for y := range rows {
			half := y * columns / (2 * rows)
			for x := columns/2 - half; x < columns/2+half; x++ {
				v := 60 + (x*y/256+n*20)%70 + r.bell(22)
				img.Pix[y*img.Stride+x] = uint8(min(max(v, 0), 255))
			}
		}
		var out bytes.Buffer
		if err := jpeg.Encode(&out, img, &jpeg.Options{Quality: 85}); err != nil {
			panic("bench: encoding a grey image: " + err.Error()) // cannot fail: memory, fixed size
		}
		p.frames = append(p.frames, out.Bytes()[2:])
	}
	return p
}

// window returns the pixels of one native image, shifted by a number of rows that depends on unique.
func (p *picture) window(unique uint64) []byte {
	bytesPerPixel := 1
	if p.bits > 8 {
		bytesPerPixel = 2
	}
	row := p.columns * bytesPerPixel
	from := int(unique%slackRows) * row
	return p.pixels[from : from+p.rows*row]
}

// appendStamp appends stampSize bytes of pixels that are valid in 12 bits and differ for each unique number.
func appendStamp(b []byte, unique uint64) []byte {
	for i := range uint64(stampSize / 8) {
		b = binary.LittleEndian.AppendUint64(b, hash(unique, i)&0x07FF07FF07FF07FF)
	}
	return b
}

// commentSize is the length of SOI and the comment segment, chosen so that the frame's length becomes even.
func commentSize(frame []byte) int { return 2 + 4 + 24 + len(frame)&1 }

// appendComment appends SOI and a COM segment with a unique text (ITU-T T.81 B.2.4.5).
func appendComment(b []byte, unique uint64, size int) []byte {
	b = append(b, 0xFF, 0xD8, 0xFF, 0xFE)
	b = binary.BigEndian.AppendUint16(b, uint16(size-4))
	const digits = "0123456789abcdef"
	for i := range size - 6 {
		b = append(b, digits[(unique>>(i%16*4)^uint64(i/16))&15])
	}
	return b
}
