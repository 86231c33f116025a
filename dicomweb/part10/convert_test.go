package part10_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gantry/dicomweb/part10"
)

// convert returns b in Explicit VR Little Endian, having checked its announced size.
func convert(t testing.TB, b []byte) []byte {
	t.Helper()
	r := bytes.NewReader(b)
	size, err := part10.ExplicitLESize(r, r.Size())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := part10.ToExplicitLE(&out, r, r.Size()); err != nil {
		t.Fatal(err)
	}
	if int64(out.Len()) != size {
		t.Fatalf("wrote %d bytes, announced %d", out.Len(), size)
	}
	return out.Bytes()
}

var convertible = map[string]bool{
	part10.ImplicitLE: true, part10.ExplicitBE: true, part10.DeflatedLE: true, part10.PrivateGE: true, part10.ExplicitLE: true,
}

func TestExplicitLESaysTheSame(t *testing.T) {
	for _, name := range corpusFiles(t, "valid", "synthetic") {
		t.Run(filepath.Base(name), func(t *testing.T) {
			b := read(t, name)
			before, err := index(b)
			if err != nil {
				t.Fatal(err)
			}
			if !convertible[before.TransferSyntax] {
				_, err := part10.ExplicitLESize(bytes.NewReader(b), int64(len(b)))
				if !errors.Is(err, part10.ErrCannot) {
					t.Errorf("got %v, want ErrCannot", err)
				}
				return
			}
			out := convert(t, b)
			after, err := index(out)
			if err != nil {
				t.Fatal(err)
			}
			if after.TransferSyntax != part10.ExplicitLE {
				t.Errorf("transfer syntax %s", after.TransferSyntax)
			}
			if got, want := string(metadata(t, out)), string(metadata(t, b)); got != want {
				t.Errorf("metadata changed:\n%.2000s\n%.2000s", got, want)
			}
			sameFrames(t, b, out, before, after)
		})
	}
}

// TestNoFillerIsConverted: group lengths would be wrong, and padding is of no use.
func TestNoFillerIsConverted(t *testing.T) {
	padding := implicitEl(0xFFFCFFFC, "\x00\x00")
	out := convert(t, file(part10.ImplicitLE, implicitIDs()+
		implicitEl(0x00400275, item(implicitEl(0x00400000, u32(0))+implicitEl(0x00400009, "id")+padding))+padding))
	want := undefinedEl(0x00400275, "SQ", delimited(el(0x00400009, "SH", "id")))
	if !strings.HasSuffix(string(out), want) {
		t.Errorf("got %q, want it to end in %q", out, want)
	}
}

func sameFrames(t *testing.T, a, b []byte, x, y *part10.Instance) {
	if (x.Pixels == nil) != (y.Pixels == nil) {
		t.Fatal("pixel data on one side only")
	}
	if x.Pixels == nil {
		return
	}
	p, errP := part10.DecodeFrames(x.Frames)
	q, errQ := part10.DecodeFrames(y.Frames)
	if errP != nil || errQ != nil || p.Len() != q.Len() {
		t.Fatalf("frame tables: %v, %v", errP, errQ)
	}
	for n := range p.Len() {
		if !bytes.Equal(frame(t, a, p, n), frame(t, b, q, n)) {
			t.Errorf("frame %d changed", n)
		}
	}
}

// TestExplicitLEAgreesWithDcmconv compares what dcmdump says of our conversion with
// what it says of dcmtk's.
func TestExplicitLEAgreesWithDcmconv(t *testing.T) {
	dcmconv := tool(t, "dcmconv")
	known := knownDifferences(t)
	for _, name := range corpusFiles(t, "valid") {
		b := read(t, name)
		in, err := index(b)
		if err != nil {
			t.Fatal(err)
		}
		if !convertible[in.TransferSyntax] || in.TransferSyntax == part10.ExplicitLE {
			continue
		}
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			ours, theirs := filepath.Join(dir, "ours.dcm"), filepath.Join(dir, "theirs.dcm")
			if err := os.WriteFile(ours, convert(t, b), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(dcmconv, "-q", "+te", "-uc", name, theirs)
			cmd.Env = append(os.Environ(), "DCMDICTPATH=/usr/share/libdcmtk17/dicom.dic")
			if err := cmd.Run(); err != nil {
				if known[filepath.Base(name)+" +te"] == "" {
					t.Errorf("dcmconv: %v", err)
				}
				return
			}
			got, err := dcmdump(t, ours, false)
			if err != nil {
				t.Fatalf("dcmdump of ours: %v", err)
			}
			want, err := dcmdump(t, theirs, false)
			if err != nil {
				t.Fatalf("dcmdump of dcmconv's: %v", err)
			}
			for path, w := range want {
				g, ok := got[path]
				if !ok {
					t.Errorf("%s: missing", path)
				} else if g.vr != w.vr || strings.Join(g.values, `\`) != strings.Join(w.values, `\`) {
					t.Errorf("%s: got %s %.60q, dcmconv %s %.60q", path, g.vr, g.values, w.vr, w.values)
				}
			}
			for path := range got {
				if _, ok := want[path]; !ok {
					t.Errorf("%s: not in dcmconv's output", path)
				}
			}
			if in.TransferSyntax != part10.ExplicitBE || in.Pixels == nil || in.Pixels.BitsAllocated <= 16 {
				// Of wider pixels dcmtk swaps each half alone; the twin files below show that
				// whole pixels are big endian.
				samePixels(t, ours, theirs)
			}
		})
	}
}

func samePixels(t *testing.T, ours, theirs string) {
	a, b := read(t, ours), read(t, theirs)
	x, errX := index(a)
	y, errY := index(b)
	if errX != nil || errY != nil {
		t.Fatal(errX, errY)
	}
	sameFrames(t, a, b, x, y)
}

func TestMetadataIsJSON(t *testing.T) {
	for _, name := range corpusFiles(t, "valid", "synthetic", "broken", "hostile") {
		b := read(t, name)
		out, err := part10.WriteJSON(nil, bytes.NewReader(b), int64(len(b)), part10.JSONOptions{PixelVR: "OW"})
		checkReject(t, err)
		if err == nil && !json.Valid(out) {
			t.Errorf("%s: not JSON", filepath.Base(name))
		}
	}
}

// TestUnreadableItemIsNotConverted: what can't be read can't be rewritten, but can be given as it was stored.
func TestUnreadableItemIsNotConverted(t *testing.T) {
	bad := string(tagBytes(0x00189346)) + "\xff\xff\xff\xff" + item(string(tagBytes(0x00080100))+"\x00\x40\x00\x00"+"ab") +
		string(tagBytes(0xFFFEE0DD)) + u32(0)
	set := implicitEl(0x00080016, "1.2.840.10008.5.1.4.1.1.7\x00") + implicitEl(0x00080018, "1.2.3.4\x00") + bad +
		implicitEl(0x0020000D, "1.2.3\x00") + implicitEl(0x0020000E, "1.2.3.1\x00")
	b := file(part10.ImplicitLE, set)
	if _, err := index(b); err != nil {
		t.Fatalf("not stored: %v", err)
	}
	if _, err := part10.NewConversion(bytes.NewReader(b), int64(len(b))); !errors.Is(err, part10.ErrCannot) {
		t.Errorf("conversion: %v", err)
	}
}

func TestBigEndianPixelsOf32Bits(t *testing.T) {
	little := read(t, filepath.Join(corpus(t), "valid", "deb-python3-pydicom__rtdose.dcm"))
	big := read(t, filepath.Join(corpus(t), "valid", "deb-python3-pydicom__rtdose_expb.dcm"))
	x, errX := index(little)
	y, errY := index(big)
	if errX != nil || errY != nil {
		t.Fatal(errX, errY)
	}
	sameFrames(t, little, big, x, y)
	for _, b := range [][]byte{big, geOf32Bits()} {
		v, err := part10.Element(bytes.NewReader(b), int64(len(b)), "7FE00010")
		if err != nil {
			t.Fatal(err)
		}
		f, err := v.Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		value, err := io.ReadAll(f)
		if frames, frameErr := framesOf(t, b); err != nil || frameErr != nil || string(value) != strings.Join(frames, "") {
			t.Errorf("bulk data are not the frames: %v, %v", err, frameErr)
		}
		f.Close()
	}
}

// geOf32Bits is implicit little endian with big endian pixels, in General Electric's private transfer syntax.
func geOf32Bits() []byte {
	return file(part10.PrivateGE, implicitIDs()+implicitEl(0x00280010, u16(1))+implicitEl(0x00280011, u16(2))+
		implicitEl(0x00280100, u16(32))+implicitEl(0x7FE00010, "dcbahgfe"))
}
