package segment_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"gantry/store/segment"
)

// plainObject is the header of an ordinary S3 object of 128 KiB.
func plainObject() *segment.Header {
	return &segment.Header{
		Type: segment.TypeObject, Name: segment.MemberName("images", "2026/01/02/ct-0001/slice-0042.dcm"), PayloadLen: 128 << 10,
		Time: 1_789_000_000_123_456_789,
		Fields: segment.Fields{
			CRC: []uint32{0x12345678}, BucketID: 12, Bucket: "images", Key: "2026/01/02/ct-0001/slice-0042.dcm",
			NullVersion: true, Owner: "root", Principal: "AKIAEXAMPLE", Door: "s3", Peer: "192.0.2.17:50123",
			RequestID: "0123456789abcdef", ETag: "d41d8cd98f00b204e9800998ecf8427e",
			System: map[string]string{"content-type": "application/dicom"},
		},
	}
}

// dicomObject is the header of an instance with 2 KB of attributes.
func dicomObject() *segment.Header {
	h := plainObject()
	attrs := func(n int) json.RawMessage {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"%08X":{"vr":"LO","Value":["value %d"]}`, 0x00080020+i, i)
		}
		return json.RawMessage("{" + b.String()[1:] + "}")
	}
	uid := func(s string) string { return "1.2.826.0.1.3680043.8.498.1234567890123456789." + s }
	h.Fields.DICOM = &segment.DICOM{
		SOPClass: "1.2.840.10008.5.1.4.1.1.2", SOPInstance: uid("3"), Series: uid("2"),
		Study: uid("1"), TransferSyntax: "1.2.840.10008.1.2.1", Charset: "ISO_IR 100", DataSet: 340, HeaderLen: 1800, PatientID: "PAT-0001",
		PatientIDIssuer: "HOSP", Accession: "A-0001", Modality: "CT", StudyDate: "20260102", StudyTime: "101112",
		Names: []string{"Doe^Jane"}, InstanceNumber: 42, StudyAttrs: attrs(14), SeriesAttrs: attrs(10), InstanceAttrs: attrs(14),
	}
	return h
}

func benchmarkEncode(b *testing.B, h *segment.Header) {
	buf := make([]byte, 0, segment.MaxHeader)
	stamp := segment.Stamp{LSN: 1 << 40, Epoch: 3, CommitPoint: 1 << 39, First: true, Last: true, Time: h.Time}
	b.ReportAllocs()
	for b.Loop() {
		head, err := segment.AppendHeader(buf, h)
		if err != nil {
			b.Fatal(err)
		}
		if err := stamp.Apply(head); err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(head)))
	}
}

func BenchmarkEncodePlain(b *testing.B) { benchmarkEncode(b, plainObject()) }
func BenchmarkEncodeDICOM(b *testing.B) { benchmarkEncode(b, dicomObject()) }

func benchmarkDecode(b *testing.B, h *segment.Header) {
	head := mustHeader(b, h)
	b.SetBytes(int64(len(head)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := segment.DecodeHeader(head); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodePlain(b *testing.B) { benchmarkDecode(b, plainObject()) }
func BenchmarkDecodeDICOM(b *testing.B) { benchmarkDecode(b, dicomObject()) }

func BenchmarkStamp(b *testing.B) {
	head := mustHeader(b, plainObject())
	stamp := segment.Stamp{LSN: 1, Time: 1}
	b.ReportAllocs()
	for b.Loop() {
		if err := stamp.Apply(head); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPeek(b *testing.B) {
	head := mustHeader(b, plainObject())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := segment.PeekHeader(head); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMemberName(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_ = segment.MemberName("images", "2026/01/02/ct-0001/slice-0042.dcm")
	}
}

func BenchmarkVerifyPayload(b *testing.B) {
	payload := make([]byte, 512<<10)
	sums := segment.BlockCRCs([][]byte{payload})
	b.SetBytes(int64(len(payload)))
	for b.Loop() {
		if err := segment.VerifyPayload(payload, 0, sums); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkScan(b *testing.B) {
	f := newFile(b, 0)
	rng := newRand()
	for range 1000 {
		f.add(b, object(rng, "b", "k", 2000))
	}
	b.SetBytes(int64(len(f.bytes)))
	b.ReportAllocs()
	for b.Loop() {
		s := f.scanner()
		for {
			if _, _, err := s.Next(); err != nil {
				break
			}
		}
	}
}
