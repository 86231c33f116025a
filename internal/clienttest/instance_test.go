package clienttest_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// uidRoot is the arc of UIDs made from UUIDs; ours are only ever seen by this test.
const uidRoot = "2.25.77"

// instance describes a made CR image.
type instance struct {
	study, series, sop string
	patient            string
	number             int
	side               int // rows and columns
}

// newInstance numbers instance n of a series of a study.
func newInstance(study, series, n, side int) instance {
	return instance{
		study: fmt.Sprintf("%s.%d", uidRoot, study), series: fmt.Sprintf("%s.%d.%d", uidRoot, study, series), sop: fmt.Sprintf("%s.%d.%d.%d", uidRoot, study, series, n),
		patient: fmt.Sprintf("P%05d", study%7), number: n, side: side,
	}
}

func (i instance) path() string {
	return "/studies/" + i.study + "/series/" + i.series + "/instances/" + i.sop
}

func (i instance) key() string { return i.study + "/" + i.series + "/" + i.sop + ".dcm" }

// encode writes the instance as a Part 10 file in Explicit VR Little Endian; its pixels come from its UID.
func (i instance) encode() []byte {
	const crStorage, explicitLE = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.1.2.1"
	meta := slices.Concat(
		element(0x0002, 0x0001, "OB", []byte{0, 1}), element(0x0002, 0x0002, "UI", []byte(crStorage)), element(0x0002, 0x0003, "UI", []byte(i.sop)),
		element(0x0002, 0x0010, "UI", []byte(explicitLE)), element(0x0002, 0x0012, "UI", []byte(uidRoot)))
	length := binary.LittleEndian.AppendUint32(nil, uint32(len(meta)))
	var seed uint64
	for _, c := range []byte(i.sop) {
		seed = seed*131 + uint64(c)
	}
	u16 := func(v int) []byte { return binary.LittleEndian.AppendUint16(nil, uint16(v)) }
	text := func(s string) []byte { return []byte(s) }
	return slices.Concat(
		make([]byte, 128), text("DICM"), element(0x0002, 0x0000, "UL", length), meta,
		element(0x0008, 0x0016, "UI", text(crStorage)), element(0x0008, 0x0018, "UI", text(i.sop)), element(0x0008, 0x0020, "DA", text(fmt.Sprintf("2024%02d%02d", 1+i.number%12, 1+i.number%28))),
		element(0x0008, 0x0030, "TM", text("101500")), element(0x0008, 0x0050, "SH", text("A"+i.patient)), element(0x0008, 0x0060, "CS", text("CR")),
		element(0x0010, 0x0010, "PN", text("Test^"+i.patient)), element(0x0010, 0x0020, "LO", text(i.patient)),
		element(0x0020, 0x000d, "UI", text(i.study)), element(0x0020, 0x000e, "UI", text(i.series)), element(0x0020, 0x0013, "IS", text(fmt.Sprint(i.number))),
		element(0x0028, 0x0002, "US", u16(1)), element(0x0028, 0x0004, "CS", text("MONOCHROME2")), element(0x0028, 0x0010, "US", u16(i.side)), element(0x0028, 0x0011, "US", u16(i.side)),
		element(0x0028, 0x0100, "US", u16(8)), element(0x0028, 0x0101, "US", u16(8)), element(0x0028, 0x0102, "US", u16(7)), element(0x0028, 0x0103, "US", u16(0)),
		element(0x7fe0, 0x0010, "OB", content(i.side*i.side, seed)))
}

// element encodes one element with an explicit VR, padded to an even length.
func element(group, elem uint16, vr string, value []byte) []byte {
	value = bytes.Clone(value)
	if len(value)%2 == 1 {
		pad := byte(' ')
		if vr == "UI" || vr == "OB" {
			pad = 0
		}
		value = append(value, pad)
	}
	b := binary.LittleEndian.AppendUint16(nil, group)
	b = binary.LittleEndian.AppendUint16(b, elem)
	b = append(b, vr...)
	if strings.HasPrefix(vr, "O") {
		b = binary.LittleEndian.AppendUint32(append(b, 0, 0), uint32(len(value)))
	} else {
		b = binary.LittleEndian.AppendUint16(b, uint16(len(value)))
	}
	return append(b, value...)
}
