package part10_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/suyashkumar/dicom/pkg/tag"

	"gantry/dicomweb/part10"
)

// TestDictionaryIsTheLibrarys compares dictionary.tsv with its source.
func TestDictionaryIsTheLibrarys(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(string(read(t, "dictionary.tsv"))), "\n")
	for _, l := range lines {
		f := strings.Split(l, "\t")
		n, err := strconv.ParseUint(f[0], 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		info, err := tag.Find(tag.Tag{Group: uint16(n >> 16), Element: uint16(n)})
		if err != nil || strings.Join(info.VRs, "/") != f[1] || info.Keyword != f[2] {
			t.Errorf("%s: the library has %v %v", l, info, err)
		}
		if got, ok := part10.TagByKeyword(f[2]); !ok || part10.KeywordOf(uint32(n)) != f[2] && got == uint32(n) {
			t.Errorf("%s: keyword leads to %08X, tag to %q", l, got, part10.KeywordOf(uint32(n)))
		}
	}
	if len(lines) < 5000 {
		t.Errorf("only %d entries", len(lines))
	}
}

func TestVROf(t *testing.T) {
	for n, want := range map[uint32]part10.VR{
		0x00100010: part10.PN, 0x60100010: part10.US, 0x60103000: part10.OW, 0x50FE3000: part10.OW, 0x002031AB: part10.CS,
		0x00090010: part10.LO, 0x00091001: part10.UN, 0x00080000: part10.UL, 0x7FE00010: part10.OW, 0x00280106: part10.US,
		0x12340001: part10.UN, 0x7FE00001: part10.OV,
	} {
		if got := part10.VROf(n); got != want {
			t.Errorf("%08X: got %v, want %v", n, got, want)
		}
	}
}
