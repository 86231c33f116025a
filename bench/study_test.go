package bench_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image/jpeg"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"gantry/bench"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// oneOfEach returns the first instance of each kind that the mix holds.
func oneOfEach(g *bench.Generator) map[bench.Kind]*bench.Instance {
	out := make(map[bench.Kind]*bench.Instance)
	for _, st := range g.Studies(16) {
		for _, se := range st.Series {
			if out[se.Kind] == nil {
				out[se.Kind] = se.Instances[0]
			}
		}
	}
	tiny := bench.NewUniformGenerator(1, bench.KindTiny, 3)
	out[bench.KindTiny] = tiny.Instance(4)
	return out
}

func build(t *testing.T, g *bench.Generator, in *bench.Instance) []byte {
	t.Helper()
	if in.Series.Kind == bench.KindTiny {
		g = bench.NewUniformGenerator(1, bench.KindTiny, 3)
	}
	var blob bench.Blob
	g.Build(in, &blob)
	got := blob.Bytes()
	if int64(len(got)) != blob.Size {
		t.Fatalf("size %d, parts hold %d", blob.Size, len(got))
	}
	if blob.CRC() != crc32.Checksum(got, castagnoli) {
		t.Fatal("CRC of the parts is not that of the whole")
	}
	return got
}

func TestSeedDecidesEveryByte(t *testing.T) {
	for kind, in := range oneOfEach(bench.NewGenerator(7)) {
		a := build(t, bench.NewGenerator(7), in)
		if kind == bench.KindTiny {
			continue
		}
		same := bench.NewGenerator(7).Study(in.Series.Study.Number).Series[in.Series.Number-1].Instances[0]
		if b := build(t, bench.NewGenerator(7), same); !bytes.Equal(a, b) {
			t.Errorf("%s: two generators of one seed differ", kind.Modality())
		}
		other := bench.NewGenerator(8).Study(in.Series.Study.Number)
		if other.UID == in.Series.Study.UID || other.PatientID == in.Series.Study.PatientID {
			t.Errorf("%s: another seed gave the same identity", kind.Modality())
		}
	}
}

func TestInstancesAreUnique(t *testing.T) {
	g := bench.NewGenerator(3)
	uids := make(map[string]bool)
	crcs := make(map[uint32]bool)
	frames := make(map[uint32]bool)
	var blob bench.Blob
	for i := range 150 {
		in := g.Instance(i)
		s := g.Sum(in, &blob)
		if uids[in.UID] || crcs[s.CRC] {
			t.Fatalf("instance %d repeats an earlier one", i)
		}
		uids[in.UID], crcs[s.CRC] = true, true
		if len(in.UID) > 64 {
			t.Fatalf("UID %q is too long", in.UID)
		}
		if len(s.FrameCRCs) != in.Frames {
			t.Fatalf("instance %d: %d frame sums, %d frames", i, len(s.FrameCRCs), in.Frames)
		}
		for _, f := range s.FrameCRCs {
			if frames[f] {
				t.Fatalf("instance %d repeats pixels", i)
			}
			frames[f] = true
		}
	}
}

func TestSizesAreRealistic(t *testing.T) {
	g := bench.NewGenerator(1)
	want := map[bench.Kind][2]int{
		bench.KindCT: {525_000, 540_000}, bench.KindMR: {131_072, 140_000}, bench.KindCR: {5_000_000, 5_100_000},
		bench.KindDX: {3_900_000, 4_000_000}, bench.KindUS: {30_000, 200_000}, bench.KindUSLoop: {600_000, 4_000_000},
		bench.KindSR: {4_000, 16_000}, bench.KindTiny: {700, 1_300},
	}
	for kind, in := range oneOfEach(g) {
		n := len(build(t, g, in))
		if n < want[kind][0] || n > want[kind][1] {
			t.Errorf("%s (%d): %d bytes, want %v", kind.Modality(), kind, n, want[kind])
		}
	}
}

// TestElementsAscend walks the top level of each file: tags must grow, lengths must be even and end at the end.
func TestElementsAscend(t *testing.T) {
	g := bench.NewGenerator(1)
	for kind, in := range oneOfEach(g) {
		if err := walk(build(t, g, in)); err != nil {
			t.Errorf("%s (%d): %v", kind.Modality(), kind, err)
		}
	}
}

func walk(b []byte) error {
	if string(b[128:132]) != "DICM" {
		return fmt.Errorf("no magic")
	}
	le := binary.LittleEndian
	last := uint32(0)
	for at := 132; at < len(b); {
		tag := uint32(le.Uint16(b[at:]))<<16 | uint32(le.Uint16(b[at+2:]))
		vr := string(b[at+4 : at+6])
		n, head := int(le.Uint16(b[at+6:])), 8
		switch vr {
		case "OB", "OW", "SQ", "UN", "UT":
			n, head = int(le.Uint32(b[at+8:])), 12
		}
		if tag <= last {
			return fmt.Errorf("tag %08x after %08x", tag, last)
		}
		if n == 0xFFFFFFFF {
			return nil // encapsulated: dcmdump and the frame test look inside
		}
		if n%2 != 0 || at+head+n > len(b) {
			return fmt.Errorf("tag %08x: length %d at %d of %d", tag, n, at, len(b))
		}
		last, at = tag, at+head+n
	}
	return nil
}

func TestFramesAreJPEG(t *testing.T) {
	g := bench.NewGenerator(1)
	in := oneOfEach(g)[bench.KindUSLoop]
	b := build(t, g, in)
	sums := g.Sum(in, new(bench.Blob))
	le := binary.LittleEndian
	at := bytes.Index(b, []byte{0xE0, 0x7F, 0x10, 0x00, 'O', 'B', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF}) + 12
	table := b[at+8 : at+8+int(le.Uint32(b[at+4:]))]
	first := at + 8 + len(table)
	for i := range in.Frames {
		from := first + int(le.Uint32(table[4*i:]))
		frame := b[from+8 : from+8+int(le.Uint32(b[from+4:]))]
		if crc32.Checksum(frame, castagnoli) != sums.FrameCRCs[i] {
			t.Fatalf("frame %d is not where the offset table says", i+1)
		}
		if _, err := jpeg.Decode(bytes.NewReader(frame)); err != nil {
			t.Fatalf("frame %d: %v", i+1, err)
		}
	}
}

func TestDcmtkReadsEveryKind(t *testing.T) {
	tool, err := exec.LookPath("dcmdump")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("dcmdump (Debian: dcmtk) is needed in CI")
		}
		t.Skip("dcmdump (Debian: dcmtk) is not installed")
	}
	g := bench.NewGenerator(1)
	for kind, in := range oneOfEach(g) {
		path := filepath.Join(t.TempDir(), "x.dcm")
		if err := os.WriteFile(path, build(t, g, in), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(tool, "+fo", path).CombinedOutput()
		if err != nil || bytes.Contains(out, []byte("E: ")) || bytes.Contains(out, []byte("W: ")) {
			t.Errorf("%s (%d): %v\n%s", kind.Modality(), kind, err, out)
		}
	}
}

// TestInstancesFollowTheirIODs asks dicom3tools what each kind lacks; those of KindTiny stand for nothing.
func TestInstancesFollowTheirIODs(t *testing.T) {
	tool, err := exec.LookPath("dciodvfy")
	if err != nil {
		t.Skip("dciodvfy (Debian: dicom3tools) is not installed")
	}
	g := bench.NewGenerator(1)
	for kind, in := range oneOfEach(g) {
		if kind == bench.KindTiny {
			continue
		}
		path := filepath.Join(t.TempDir(), "x.dcm")
		if err := os.WriteFile(path, build(t, g, in), 0o600); err != nil {
			t.Fatal(err)
		}
		out, _ := exec.Command(tool, path).CombinedOutput() // its exit code tells less
		if !bytes.Contains(out, []byte("Warning")) || bytes.Contains(out, []byte("Error")) {
			t.Errorf("%s (%d):\n%s", kind.Modality(), kind, out)
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	g := bench.NewGenerator(1)
	var blob bench.Blob
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		g.Build(g.Instance(i%400), &blob)
		b.SetBytes(blob.Size)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
