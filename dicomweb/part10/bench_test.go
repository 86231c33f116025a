package part10_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/suyashkumar/dicom"
	"github.com/suyashkumar/dicom/pkg/tag"

	"gantry/dicomweb/part10"
)

// benchFiles are a CT of some 250 elements in both little endian syntaxes, and an
// enhanced MR of some 2800 elements, most of them in nested sequences.
var benchFiles = []string{
	"dicomParser__CT1_UNC.explicit_little_endian.dcm",
	"dicomParser__CT1_UNC.implicit_little_endian.dcm",
	"dcm_qa_xa30__0002_1.3.12.2.1107.5.2.43.67093.2022071112125588473309167.dcm",
}

// benchmarkFiles counts the bytes of headers: nothing here reads pixels.
func benchmarkFiles(b *testing.B, run func(b *testing.B, file []byte)) {
	for _, name := range benchFiles {
		file := read(b, filepath.Join(corpus(b), "valid", name))
		in, err := index(file)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(in.HeaderLen)
			run(b, file)
		})
	}
}

func BenchmarkIndex(b *testing.B) {
	benchmarkFiles(b, func(b *testing.B, file []byte) {
		for b.Loop() {
			if _, err := index(file); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkWriteJSON(b *testing.B) {
	benchmarkFiles(b, func(b *testing.B, file []byte) {
		var dst []byte
		opts := part10.JSONOptions{BulkDataURI: func(dst, path []byte) []byte { return append(dst, path...) }}
		for b.Loop() {
			var err error
			if dst, err = part10.WriteJSON(dst[:0], bytes.NewReader(file), int64(len(file)), opts); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkLibraryParse is the yardstick: the parser of suyashkumar/dicom over the same
// header, which leaves the values in the file's character set.
func BenchmarkLibraryParse(b *testing.B) {
	benchmarkFiles(b, func(b *testing.B, file []byte) {
		for b.Loop() {
			p, err := dicom.NewParser(bytes.NewReader(file), int64(len(file)), nil, dicom.SkipPixelData(),
				dicom.AllowUnknownSpecificCharacterSet())
			if err != nil {
				b.Fatal(err)
			}
			for {
				e, err := p.Next()
				if err != nil || e.Tag == tag.PixelData {
					break
				}
			}
		}
	})
}
