package part10_test

import (
	"bytes"
	"io"
	"path/filepath"
	"strconv"
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
				t.Logf("ERR %v %v", in.TransferSyntax, table.Err())
				return
			}
			if want, err := strconv.Atoi(known[filepath.Base(name)]["frames"]); err == nil && want != table.Len() {
				t.Errorf("got %d frames, want %d", table.Len(), want)
			}
			for n := range table.Len() {
				f := frame(t, b, table, n)
				switch part10.FrameMediaType(in.TransferSyntax) {
				case "image/jpeg", "image/jls":
					if !bytes.HasPrefix(f, []byte{0xFF, 0xD8, 0xFF}) || !bytes.Contains(f[max(0, len(f)-3):], []byte{0xFF, 0xD9}) {
						t.Errorf("frame %d is no JPEG image: % x … % x", n, f[:min(8, len(f))], f[max(0, len(f)-8):])
					}
				case "image/jp2", "image/jphc":
					if !bytes.HasPrefix(f, []byte{0xFF, 0x4F, 0xFF, 0x51}) && !bytes.HasPrefix(f, []byte{0, 0, 0, 12}) {
						t.Errorf("frame %d is no JPEG 2000 image: % x", n, f[:min(8, len(f))])
					}
				case "application/octet-stream":
					if !in.Pixels.Encapsulated && len(f) == 0 {
						t.Error("empty frame")
					}
				}
			}
		})
	}
}
