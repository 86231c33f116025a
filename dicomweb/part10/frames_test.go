package part10_test

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gantry/dicomweb/part10"
)

// frame returns frame n of b through its table.
func frame(t testing.TB, b []byte, table *part10.FrameTable, n int) []byte {
	t.Helper()
	if table.Computed() {
		f, err := part10.OpenFrame(bytes.NewReader(b), int64(len(b)), n)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		want := f.Length
		out, err := io.ReadAll(f)
		if err != nil || int64(len(out)) != want {
			t.Fatalf("frame %d: got %d bytes and %v, want %d", n, len(out), err, want)
		}
		return out
	}
	var out []byte
	for _, r := range table.AppendRanges(nil, n) {
		out = append(out, b[r.Offset:r.Offset+r.Length]...)
	}
	return out
}

func TestFramesOfRealFiles(t *testing.T) {
	known := manifest(t)
	for _, name := range corpusFiles(t, "valid", "synthetic") {
		t.Run(filepath.Base(name), func(t *testing.T) {
			b := read(t, name)
			in, err := index(b)
			if err != nil {
				t.Fatal(err)
			}
			if in.Pixels == nil {
				if in.Frames != nil {
					t.Error("frames without pixel data")
				}
				return
			}
			if in.Frames == nil {
				t.Fatalf("no frame table: %+v", in)
			}
			table, err := part10.DecodeFrames(in.Frames)
			if err != nil {
				t.Fatal(err)
			}
			if table.Err() != nil {
				if !errors.Is(table.Err(), part10.ErrFramesVideo) {
					t.Error(table.Err())
				}
				return
			}
			if want, err := strconv.Atoi(known[filepath.Base(name)]["frames"]); err == nil && want != table.Len() {
				t.Errorf("got %d frames, want %d", table.Len(), want)
			}
			for n := range table.Len() {
				checkImage(t, n, in, frame(t, b, table, n))
			}
		})
	}
}

// checkImage looks whether a frame begins and ends as images of its kind do.
func checkImage(t *testing.T, n int, in *part10.Instance, f []byte) {
	t.Helper()
	head, tail := f[:min(8, len(f))], f[max(0, len(f)-3):]
	switch part10.FrameMediaType(in.TransferSyntax) {
	case "image/jpeg", "image/jls":
		if !bytes.HasPrefix(f, []byte{0xFF, 0xD8, 0xFF}) || !bytes.Contains(tail, []byte{0xFF, 0xD9}) {
			t.Errorf("frame %d is no JPEG image: % x … % x", n, head, tail)
		}
	case "image/jp2", "image/jphc":
		if !bytes.HasPrefix(f, []byte{0xFF, 0x4F, 0xFF, 0x51}) && !bytes.HasPrefix(f, []byte{0, 0, 0, 12}) {
			t.Errorf("frame %d is no JPEG 2000 image: % x", n, head)
		}
	case "image/dicom-rle":
		if len(f) < 64 || f[0] == 0 || f[0] > 15 {
			t.Errorf("frame %d has no RLE header: % x", n, head)
		}
	default:
		if len(f) == 0 {
			t.Errorf("frame %d is empty", n)
		}
	}
}

const jpeg, j2k = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.90"

// framesOf returns all frames of an object, or the error of its table.
func framesOf(t *testing.T, b []byte) ([]string, error) {
	t.Helper()
	in, err := index(b)
	if err != nil {
		t.Fatal(err)
	}
	table, err := part10.DecodeFrames(in.Frames)
	if err != nil {
		t.Fatal(err)
	}
	scanned, err := part10.ScanFrames(bytes.NewReader(b), int64(len(b)))
	if err != nil || !bytes.Equal(scanned.Encode(), in.Frames) {
		t.Errorf("scanning gives another table: %v", err)
	}
	var all []string
	for n := range table.Len() {
		all = append(all, string(frame(t, b, table, n)))
	}
	return all, table.Err()
}

func TestFrameCases(t *testing.T) {
	const soi, codestream = "\xff\xd8\xff\xe0", "\xff\x4f\xff\x51"
	encapsulated := func(syntax, frames, before, items string) []byte {
		return file(syntax, ids()+image(2, 2, 8, frames)+before+undefinedEl(0x7FE00010, "OB", items))
	}
	extended := el(0x7FE00001, "OV", u64(0)+u64(12)) + el(0x7FE00002, "OV", u64(3)+u64(4))
	for _, c := range []struct {
		name string
		b    []byte
		want []string
	}{
		{"one fragment a frame, no table", encapsulated(jpeg, "2", "", item("")+item("aaaa")+item("bbbb")), []string{"aaaa", "bbbb"}},
		{"one frame, several fragments", encapsulated(jpeg, "1", "", item("")+item("aaaa")+item("bb")), []string{"aaaabb"}},
		{"basic table", encapsulated(jpeg, "2", "", item(u32(0)+u32(20))+item("aa")+item("bb")+item("cccc")), []string{"aabb", "cccc"}},
		{"wrong table, but as many fragments", encapsulated(jpeg, "2", "", item(u32(0)+u32(21))+item("aa")+item("bb")), []string{"aa", "bb"}},
		{"wrong table", encapsulated(jpeg, "2", "", item(u32(0)+u32(21))+item("aa")+item("bb")+item("cc")), nil},
		{"extended table cuts padding", encapsulated(jpeg, "2", extended, item("")+item("aaa\x00")+item("bbbb")), []string{"aaa", "bbbb"}},
		{"start markers", encapsulated(jpeg, "2", "", item("")+item(soi)+item("bb")+item(soi)), []string{soi + "bb", soi}},
		{"start markers of JPEG 2000", encapsulated(j2k, "2", "", item("")+item(codestream)+item(codestream)+item("cc")), []string{codestream, codestream + "cc"}},
		{"fewer fragments than frames", encapsulated(jpeg, "3", "", item("")+item("aa")), nil},
		{"RLE has one fragment a frame", encapsulated(part10.RLE, "2", "", item("")+item(soi)+item("bb")+item(soi)), nil},
		{"no fragment", encapsulated(jpeg, "1", "", ""), nil},
		{"fragments inside deflate", file(part10.DeflatedLE, deflate(ids()+image(2, 2, 8, "2")+undefinedEl(0x7FE00010, "OB", item("")+item("a")+item("b")+item("c")))), nil},
		{"deflated", file(part10.DeflatedLE, deflate(ids()+image(2, 2, 8, "2")+el(0x7FE00010, "OB", "aaaabbbb"))), []string{"aaaa", "bbbb"}},
		{"native", file(part10.ExplicitLE, ids()+image(2, 2, 8, "2")+el(0x7FE00010, "OB", "aaaabbbb")), []string{"aaaa", "bbbb"}},
		{"native, too short", file(part10.ExplicitLE, ids()+image(2, 2, 8, "3")+el(0x7FE00010, "OB", "aaaabbbb")), nil},
		{"labelled JPEG, but native", file(jpeg, ids()+image(2, 2, 8, "2")+el(0x7FE00010, "OB", "aaaabbbb")), nil},
		{"one bit, byte aligned", file(part10.ExplicitLE, ids()+image(2, 4, 1, "2")+el(0x7FE00010, "OB", "ab")), []string{"a", "b"}},
		{"one bit, across bytes", file(part10.ExplicitLE, ids()+image(3, 1, 1, "4")+el(0x7FE00010, "OB", "\xd1\x0e")),
			[]string{"\x01", "\x02", "\x03", "\x07"}},
		{"float", file(part10.ExplicitLE, ids()+image(1, 1, 32, "2")+el(0x7FE00008, "OF", "aaaabbbb")), []string{"aaaa", "bbbb"}},
		{"big endian words in GE's syntax", file(part10.PrivateGE, implicitIDs()+implicitEl(0x00280010, u16(1))+implicitEl(0x00280011, u16(2))+
			implicitEl(0x00280100, u16(16))+implicitEl(0x7FE00010, "abcd")), []string{"badc"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := framesOf(t, c.b)
			if c.want == nil {
				if !errors.Is(err, part10.ErrFramesInconsistent) {
					t.Errorf("got %q and %v, want ErrFramesInconsistent", got, err)
				}
				return
			}
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("got %q and %v, want %q", got, err, c.want)
			}
		})
	}
}

func implicitIDs() string {
	return implicitEl(0x00080016, "1.2.3.9\x00") + implicitEl(0x00080018, "1.2.3.4\x00") +
		implicitEl(0x0020000D, "1.2.3\x00") + implicitEl(0x0020000E, "1.2.3.1\x00")
}

func TestFrameTableTooLongForTheRecord(t *testing.T) {
	var items strings.Builder
	items.WriteString(item(""))
	const frames = 20000
	for range frames {
		items.WriteString(item("ab"))
	}
	b := file(jpeg, ids()+image(2, 2, 8, strconv.Itoa(frames))+undefinedEl(0x7FE00010, "OB", items.String()))
	in, err := index(b)
	if err != nil || in.Frames != nil || !in.FramesScan {
		t.Fatalf("%v: table of %d bytes, scan %v", err, len(in.Frames), in.FramesScan)
	}
	table, err := part10.ScanFrames(bytes.NewReader(b), int64(len(b)))
	if err != nil || table.Len() != frames || string(frame(t, b, table, frames-1)) != "ab" {
		t.Errorf("%v: %d frames", err, table.Len())
	}
}
