package part10_test

import (
	"bytes"
	"encoding/binary"

	"gantry/dicomweb/part10"
)

// The functions here make small objects for tests: elements in explicit little endian,
// or what their name says.

func el(tag uint32, vr, value string) string {
	if len(value)%2 == 1 {
		value += " "
	}
	return rawEl(tag, vr, value)
}

func rawEl(tag uint32, vr, value string) string {
	b := tagBytes(tag)
	b = append(b, vr...)
	switch vr {
	case "OB", "OW", "OF", "OD", "OL", "OV", "SQ", "UN", "UT", "UC", "UR", "SV", "UV":
		b = binary.LittleEndian.AppendUint32(append(b, 0, 0), uint32(len(value)))
	default:
		b = binary.LittleEndian.AppendUint16(b, uint16(len(value)))
	}
	return string(b) + value
}

func tagBytes(tag uint32) []byte {
	return binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(nil, uint16(tag>>16)), uint16(tag))
}

func u16(n int) string { return string(binary.LittleEndian.AppendUint16(nil, uint16(n))) }
func u32(n int) string { return string(binary.LittleEndian.AppendUint32(nil, uint32(n))) }
func u64(n int) string { return string(binary.LittleEndian.AppendUint64(nil, uint64(n))) }

// item is an item or a fragment; delimited is one of undefined length.
func item(value string) string { return string(tagBytes(0xFFFEE000)) + u32(len(value)) + value }

func delimited(value string) string {
	return string(tagBytes(0xFFFEE000)) + "\xff\xff\xff\xff" + value + string(tagBytes(0xFFFEE00D)) + u32(0)
}

// open is an element of undefined length.
func undefinedEl(tag uint32, vr, items string) string {
	return string(tagBytes(tag)) + vr + "\x00\x00\xff\xff\xff\xff" + items + string(tagBytes(0xFFFEE0DD)) + u32(0)
}

// implicitEl is an element in implicit VR.
func implicitEl(tag uint32, value string) string {
	return string(tagBytes(tag)) + u32(len(value)) + value
}

// file puts preamble and group 2 before a data set.
func file(syntax, dataset string) []byte {
	meta := el(0x00020010, "UI", syntax+string(make([]byte, len(syntax)%2)))
	meta = el(0x00020000, "UL", u32(len(meta))) + meta
	return []byte(string(make([]byte, 128)) + "DICM" + meta + dataset)
}

// ids are the elements without which an object is refused.
func ids() string {
	return el(0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.7") + el(0x00080018, "UI", "1.2.3.4\x00") +
		el(0x0020000D, "UI", "1.2.3\x00") + el(0x0020000E, "UI", "1.2.3.1\x00")
}

// image describes pixel data of one sample.
func image(rows, columns, bits int, frames string) string {
	return el(0x00280002, "US", u16(1)) + el(0x00280004, "CS", "MONOCHROME2") + el(0x00280008, "IS", frames) +
		el(0x00280010, "US", u16(rows)) + el(0x00280011, "US", u16(columns)) + el(0x00280100, "US", u16(bits))
}

func jsonOf(b []byte) (string, error) {
	out, err := part10.WriteJSON(nil, bytes.NewReader(b), int64(len(b)), part10.JSONOptions{
		BulkDataURI: func(dst, path []byte) []byte { return append(dst, path...) },
	})
	return string(out), err
}
