package part10

import (
	_ "embed"
	"strconv"
	"strings"
	"sync"
)

// dictionaryText is the data dictionary of PS3.6 as github.com/suyashkumar/dicom/pkg/tag
// has it (a test compares the two), one element a line: tag, VR or VRs, keyword.
//
//go:embed dictionary.tsv
var dictionaryText string

// dictEntry is one element of the dictionary. A tag of 0 marks a free slot.
type dictEntry struct {
	tag     uint32
	vr      VR // may be one of the context dependent ones
	level   level
	keyword string
}

const (
	dictBits = 14 // 16384 slots for some 5100 elements keep probes short
	dictMask = 1<<dictBits - 1
)

// dictionary is an open-addressing hash table: look-ups are on the path of every
// element of every stored object.
type dictionary struct {
	slots    [1 << dictBits]dictEntry
	keywords map[string]uint32
}

var loadDictionary = sync.OnceValue(func() *dictionary {
	d := &dictionary{keywords: make(map[string]uint32, 5200)}
	for line := range strings.Lines(dictionaryText) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		tag, err := strconv.ParseUint(f[0], 16, 32)
		if err != nil || len(f) != 3 {
			panic("part10: dictionary.tsv: bad line " + line)
		}
		d.add(dictEntry{tag: uint32(tag), vr: parseDictVR(f[1]), keyword: f[2]})
	}
	for l, list := range levelKeywords {
		for k := range strings.FieldsSeq(list) {
			tag, ok := d.keywords[k]
			if !ok {
				panic("part10: no such keyword: " + k)
			}
			d.slot(tag).level = level(l)
		}
	}
	return d
})

func parseDictVR(s string) VR {
	switch s {
	case "US/SS", "US/SS/OW":
		return vrUSorSS
	case "OB/OW":
		return vrOBorOW
	case "US/OW":
		return vrUSorOW
	}
	return VR(s[0])<<8 | VR(s[1])
}

func (d *dictionary) add(e dictEntry) {
	s := d.slot(e.tag)
	if s.tag == 0 {
		*s = e
		d.keywords[e.keyword] = e.tag
	}
}

// slot returns the slot of tag, or the free one where it would go.
func (d *dictionary) slot(tag uint32) *dictEntry {
	i := tag * 0x9E3779B1 >> (32 - dictBits)
	for {
		s := &d.slots[i&dictMask]
		if s.tag == tag || s.tag == 0 {
			return s
		}
		i++
	}
}

// find returns the entry of a standard element, also of the repeating groups, or one
// with VR 0.
func (d *dictionary) find(tag uint32) *dictEntry {
	s := d.slot(tag)
	if s.tag == 0 {
		if base := repeatingBase(tag); base != tag {
			s = d.slot(base)
		}
	}
	return s
}

// repeatingBase maps a member of a repeating group (PS3.6: 50xx, 60xx, 7Fxx groups,
// (0020,31xx), (0028,04xy), (1000,xxxy), (1010,xxxx)) to the element by which the
// dictionary lists it.
func repeatingBase(tag uint32) uint32 {
	group := tag >> 16
	switch {
	case group&0xFF01 == 0x5000 || group&0xFF01 == 0x6000:
		return tag & 0xFF00FFFF
	case group&0xFF01 == 0x7F00 && group != 0x7FE0:
		return tag & 0xFF00FFFF
	case tag&0xFFFFFF00 == 0x00203100:
		return 0x00203100
	case tag&0xFFFFFF00 == 0x00280400:
		return tag & 0xFFFFFF0F
	case tag&0xFFFFFF00 == 0x00280800:
		return tag & 0xFFFFFF0F
	case group == 0x1000:
		return 0x10000000 | tag&0xF
	case group == 0x1010:
		return 0x10100000
	}
	return tag
}

// isPrivate reports whether tag belongs to a private (odd) group.
func isPrivate(tag uint32) bool { return tag&0x10000 != 0 }

// isCreator reports whether tag reserves a block of private elements (PS3.5 7.8.1).
func isCreator(tag uint32) bool {
	return isPrivate(tag) && tag&0xFFFF >= 0x10 && tag&0xFFFF <= 0xFF
}

// VROf returns the VR of a standard element, UN for one that is unknown or private,
// LO for a private creator, UL for a group length. Where PS3.6 leaves a choice it is
// that of implicit VR (PS3.5 A.1) with unsigned pixels.
func VROf(tag uint32) VR { return implicitVR(tag, false) }

func implicitVR(tag uint32, signed bool) VR {
	switch {
	case tag&0xFFFF == 0:
		return UL
	case isCreator(tag):
		return LO
	case isPrivate(tag):
		return UN
	}
	switch vr := loadDictionary().find(tag).vr; vr {
	case 0:
		return UN
	case vrUSorSS:
		if signed {
			return SS
		}
		return US
	case vrOBorOW, vrUSorOW:
		return OW
	default:
		return vr
	}
}

// KeywordOf returns the keyword of a standard element, "" if it has none.
func KeywordOf(tag uint32) string { return loadDictionary().find(tag).keyword }

// TagByKeyword returns the tag of a keyword of PS3.6, exactly spelt.
func TagByKeyword(keyword string) (tag uint32, ok bool) {
	tag, ok = loadDictionary().keywords[keyword]
	return tag, ok
}
