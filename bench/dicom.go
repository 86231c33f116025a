package bench

import (
	"encoding/binary"
	"math"
	"slices"
)

// Transfer syntaxes that the generator writes.
const (
	explicitLittleEndian = "1.2.840.10008.1.2.1"
	jpegBaseline         = "1.2.840.10008.1.2.4.50"
)

// A element is one data element with its value encoded, but not yet padded. Strings hold the bytes of all values,
// numbers included, so that a header is a flat list that sorts by tag.
type element struct {
	tag uint32
	vr  string
	val string
}

const (
	tagItem          = 0xFFFEE000
	tagSequenceEnd   = 0xFFFEE0DD
	tagPixelData     = 0x7FE00010
	undefinedLength  = 0xFFFFFFFF
	preambleAndMagic = 128 + 4
)

// hasLongLength tells whether explicit VR encoding gives this VR a 32-bit length (PS3.5 7.1.2).
func hasLongLength(vr string) bool {
	switch vr {
	case "OB", "OW", "OF", "OD", "OL", "OV", "SQ", "UC", "UN", "UR", "UT", "SV", "UV":
		return true
	}
	return false
}

// padding is what makes a value of odd length even: a NUL for UIDs and bytes, else a space (PS3.5 6.2).
func padding(vr string) byte {
	switch vr {
	case "UI", "OB", "UN":
		return 0
	}
	return ' '
}

func appendTag(b []byte, tag uint32) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(tag>>16))
	return binary.LittleEndian.AppendUint16(b, uint16(tag))
}

// appendHeader appends tag, VR and length in explicit VR little endian.
func appendHeader(b []byte, tag uint32, vr string, length uint32) []byte {
	b = append(appendTag(b, tag), vr...)
	if hasLongLength(vr) {
		b = append(b, 0, 0)
		return binary.LittleEndian.AppendUint32(b, length)
	}
	return binary.LittleEndian.AppendUint16(b, uint16(length))
}

// appendElements sorts the elements by tag and appends them in explicit VR little endian.
func appendElements(b []byte, elements []element) []byte {
	slices.SortFunc(elements, func(x, y element) int { return int(int64(x.tag) - int64(y.tag)) })
	for _, e := range elements {
		n := len(e.val)
		b = appendHeader(b, e.tag, e.vr, uint32(n+n&1))
		b = append(b, e.val...)
		if n&1 == 1 {
			b = append(b, padding(e.vr))
		}
	}
	return b
}

// appendFileMeta appends preamble, magic and group 2 (PS3.10 7.1).
func appendFileMeta(b []byte, sopClass, sopInstance, transferSyntax string) []byte {
	b = append(b, make([]byte, preambleAndMagic-4)...)
	b = append(b, "DICM"...)
	group := appendElements(nil, []element{
		{0x00020001, "OB", "\x00\x01"},
		{0x00020002, "UI", sopClass},
		{0x00020003, "UI", sopInstance},
		{0x00020010, "UI", transferSyntax},
		{0x00020012, "UI", "2.25.276386925613473187640521895213716925"},
		{0x00020013, "SH", "BENCH_1"},
	})
	b = appendHeader(b, 0x00020000, "UL", 4)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(group)))
	return append(b, group...)
}

// sequence encodes the value of an SQ element of explicit lengths, one item for each list.
func sequence(items ...[]element) string {
	var b []byte
	for _, elements := range items {
		body := appendElements(nil, elements)
		b = appendTag(b, tagItem)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(body)))
		b = append(b, body...)
	}
	return string(b)
}

// code is one item of a code sequence (PS3.3 table 8.8-1a).
func code(value, scheme, meaning string) []element {
	return []element{{0x00080100, "SH", value}, {0x00080102, "SH", scheme}, {0x00080104, "LO", meaning}}
}

func us(values ...int) string {
	b := make([]byte, 0, 2*len(values))
	for _, v := range values {
		b = binary.LittleEndian.AppendUint16(b, uint16(v))
	}
	return string(b)
}

func ul(v uint32) string { return string(binary.LittleEndian.AppendUint32(nil, v)) }

func fd(v float64) string {
	return string(binary.LittleEndian.AppendUint64(nil, math.Float64bits(v)))
}

func at(tag uint32) string { return string(appendTag(nil, tag)) }
