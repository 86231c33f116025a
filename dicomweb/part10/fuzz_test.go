package part10_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"testing"
	"unicode/utf8"

	"gantry/dicomweb/part10"
)

// seeds are objects that reach every part of the reader.
func seeds() [][]byte {
	nested := undefinedEl(0x00400275, "SQ", delimited(el(0x00080005, "CS", "ISO_IR 100")+el(0x00321060, "LO", "M\xfcller"))+
		item(el(0x00400007, "LO", "x")))
	set := el(0x00080005, "CS", `\ISO 2022 IR 87`) + ids() + el(0x00100010, "PN", "Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B") + nested +
		image(2, 2, 8, "2")
	implicit := implicitEl(0x00080016, "1.2.3.9\x00") + implicitEl(0x00080018, "1.2.3.4\x00") +
		implicitEl(0x0020000D, "1.2.3\x00") + implicitEl(0x0020000E, "1.2.3.1\x00") + implicitEl(0x00091001, "private ") +
		implicitEl(0x00400275, item(implicitEl(0x00400007, "x "))) + implicitEl(0x7FE00010, "abcd")
	return [][]byte{
		file(part10.ExplicitLE, set+el(0x7FE00010, "OB", "abcdefgh")),
		file("1.2.840.10008.1.2.4.50", set+undefinedEl(0x7FE00010, "OB", item(u32(0)+u32(10))+item("\xff\xd8")+item("\xff\xd8\xff\xd9"))),
		file("1.2.840.10008.1.2.4.90", set+el(0x7FE00001, "OV", u64(0)+u64(10))+el(0x7FE00002, "OV", u64(1)+u64(2))+
			undefinedEl(0x7FE00010, "OB", item("")+item("ab")+item("cd"))),
		file(part10.ImplicitLE, implicit),
		file(part10.DeflatedLE, deflate(set+el(0x7FE00010, "OB", "abcdefgh"))),
		file(part10.DeflatedLE, deflate(set+undefinedEl(0x7FE00010, "OB", item(u32(0)+u32(10))+item("ab")+item("cdef")))),
		file(part10.ExplicitLE, set+undefinedEl(0x00091010, "UN", delimited(implicitEl(0x00091011, "ab")))),
	}
}

func addSeeds(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s)
	}
}

func FuzzIndex(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := index(b)
		checkReject(t, err)
		if err != nil {
			return
		}
		for _, attrs := range [][]byte{in.StudyAttrs, in.SeriesAttrs, in.InstanceAttrs} {
			if !json.Valid(attrs) || len(attrs) > 32<<10 {
				t.Errorf("attributes are no JSON of at most 32 KiB: %.200q", attrs)
			}
		}
		if in.Frames == nil {
			return
		}
		table, err := part10.DecodeFrames(in.Frames)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(table.Encode(), in.Frames) {
			t.Error("frame table changes when it is encoded again")
		}
		for n := range min(table.Len(), 100) {
			for _, r := range table.AppendRanges(nil, n) {
				if r.Offset < 0 || r.Length < 0 || r.Offset+r.Length > int64(len(b)) {
					t.Errorf("frame %d: %v lies outside of %d bytes", n, r, len(b))
				}
			}
		}
		if table.Computed() {
			readFrame(t, b, table.Len()-1)
		}
	})
}

func readFrame(t *testing.T, b []byte, n int) {
	f, err := part10.OpenFrame(bytes.NewReader(b), int64(len(b)), n)
	if err != nil {
		return
	}
	defer f.Close()
	if f.Length > 1<<20 {
		return
	}
	got, err := io.Copy(io.Discard, f)
	if err == nil && got != f.Length {
		t.Errorf("frame %d: got %d bytes, want %d", n, got, f.Length)
	}
}

func FuzzWriteJSON(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		var paths []string
		out, err := part10.WriteJSON(nil, r, r.Size(), part10.JSONOptions{Inline: 8, PixelVR: "OB",
			BulkDataURI: func(dst, path []byte) []byte {
				paths = append(paths, string(path))
				return append(dst, path...)
			}})
		checkReject(t, err)
		if err != nil {
			return
		}
		if !json.Valid(out) || !utf8.Valid(out) {
			t.Fatalf("no JSON: %.500q", out)
		}
		for _, p := range paths[:min(len(paths), 20)] {
			v, err := part10.Element(r, r.Size(), p)
			if err != nil {
				checkBulkError(t, p, err)
				continue
			}
			if v.Direct && (v.Range.Offset < 0 || v.Range.Offset+v.Range.Length > r.Size()) {
				t.Errorf("%s: %v lies outside of %d bytes", p, v.Range, r.Size())
			}
		}
	})
}

// checkBulkError allows what a fuzzed object may do to an element that was announced:
// PixelData was added by option, or stands behind an earlier one of the same tag.
func checkBulkError(t *testing.T, path string, err error) {
	var r *part10.RejectError
	if !errors.Is(err, part10.ErrNoElement) && !errors.As(err, &r) {
		t.Errorf("%s: %v", path, err)
	}
}

func FuzzToExplicitLE(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		size, err := part10.ExplicitLESize(r, r.Size())
		if err != nil {
			if !errors.Is(err, part10.ErrCannot) {
				checkReject(t, err)
			}
			return
		}
		var out bytes.Buffer
		if err := part10.ToExplicitLE(&out, r, r.Size()); err != nil || int64(out.Len()) != size {
			t.Fatalf("got %d bytes and %v, want %d", out.Len(), err, size)
		}
		// What was an object still is one, of the same identity.
		if before, err := index(b); err == nil {
			after, err := index(out.Bytes())
			if err != nil {
				t.Fatalf("the converted object is refused: %v", err)
			}
			if before.SOPUID != after.SOPUID || before.StudyUID != after.StudyUID {
				t.Error("identity changed")
			}
		}
	})
}

func FuzzCharset(f *testing.F) {
	f.Add(`\ISO 2022 IR 87`, []byte("Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"))
	f.Add("GB18030", []byte{0xB5, 0xDA, 0x5C})
	f.Add("ISO_IR 166", []byte{0xA1})
	f.Fuzz(func(t *testing.T, declared string, raw []byte) {
		if out := part10.ParseCharset(declared).Append(nil, raw); !utf8.Valid(out) {
			t.Errorf("%q: % x becomes invalid UTF-8 % x", declared, raw, out)
		}
	})
}

func FuzzDecodeFrames(f *testing.F) {
	f.Add([]byte{1, 1, 8, 4, 2})
	f.Add([]byte{1, 3, 2, 1, 16, 4, 2, 16, 4, 16, 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		table, err := part10.DecodeFrames(b)
		if err != nil {
			return
		}
		again, err := part10.DecodeFrames(table.Encode())
		if err != nil || again.Len() != table.Len() {
			t.Errorf("% x does not survive: %v", b, err)
		}
	})
}
