package segment_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"gantry/store/segment"
)

// fullHeader has every field set, with the nastiest values that they may have.
func fullHeader() *segment.Header {
	return &segment.Header{
		Version: segment.Version1, Type: segment.TypeObject, LSN: 0xfedcba9876543210, Epoch: 7, CommitPoint: 1 << 63,
		First: true, Last: false, Time: 1_789_000_000_123_456_789,
		Name: segment.MemberName("bucket", "a/é//../x"), PayloadLen: segment.BlockSize + 1,
		Fields: segment.Fields{
			Encoding: "zstd", CRC: []uint32{0xdeadbeef, 1}, BucketID: 1<<64 - 1, Bucket: "bucket", Key: "a/é//../\xff\n\"\\\u2028\x00",
			VersionID: "v1", NullVersion: true, DeleteMarker: true, Owner: "owner", Principal: "who", Door: "s3",
			Peer: "192.0.2.1:104", CallingAE: "CT1", CalledAE: "GANTRY", RequestID: "r-1", Size: 5 << 40, ETag: "abc-2",
			Checksums: []segment.Checksum{{Algorithm: "CRC32C", Value: "AAAA", Composite: true}, {Algorithm: "SHA1", Value: "/+=="}},
			Parts: []segment.Part{
				{Number: 1, Size: 5 << 20, ETag: "e1", Checksums: []segment.Checksum{{Algorithm: "SHA256", Value: "x"}}},
				{Number: 10000, Size: 1},
			},
			PartCount: 2, Stream: 1<<64 - 1, Index: 9, UploadID: "u", PartNumber: 3,
			System: map[string]string{"content-type": "image/jpeg", "cache-control": "a, b"},
			User:   map[string]string{"": "empty name", "latin": "caf\xe9"}, Tags: map[string]string{"k": ""},
			StorageClass: "GLACIER_IR", LockMode: "COMPLIANCE", RetainUntil: -1, LegalHold: true,
			DICOM: &segment.DICOM{
				SOPClass: "1.2", SOPInstance: "1.3", Series: "1.4", Study: "1.5",
				TransferSyntax: "1.2.840.10008.1.2.1", Charset: `\ISO 2022 IR 87`, DataSet: 340, HeaderLen: 1234, FrameCount: 2, Frames: "AAECAw==", FramesScan: true,
				PatientID: "P1", PatientIDIssuer: "H", Accession: "A1", AccessionIssuer: "R", Modality: "CT",
				StudyDate: "20260102", StudyTime: "030405", Names: []string{"Yamada^Tarou", "山田^太郎", ""}, InstanceNumber: -4,
				StudyAttrs: json.RawMessage(`{"00100020":{"vr":"LO","Value":["P1"]}}`), SeriesAttrs: json.RawMessage(`{}`),
				InstanceAttrs: json.RawMessage(`{"x":[1.5e-3, null ,true,false,"\ud83d\ude00",[[],{}]]}`),
				Extra:         map[string]json.RawMessage{"zz": json.RawMessage(`{"new":1}`)},
			},
			Settings: json.RawMessage(`"x"`),
			Extra:    map[string]json.RawMessage{"zz": json.RawMessage(`null`), "\"": json.RawMessage(`[1,2]`)},
		},
	}
}

func mustHeader(t testing.TB, h *segment.Header) []byte {
	t.Helper()
	b, err := segment.AppendHeader(nil, h)
	if err != nil {
		t.Fatalf("AppendHeader: %v", err)
	}
	return b
}

func TestHeaderRoundTrip(t *testing.T) {
	plain := &segment.Header{Version: 1, Type: segment.TypeDelete, Name: "b/k"}
	unknown := &segment.Header{Version: 1, Type: 77, Name: ".gantry/type77/x", Last: true}
	for _, want := range []*segment.Header{fullHeader(), plain, unknown} {
		b := mustHeader(t, want)
		want.Len = len(b)
		got, err := segment.DecodeHeader(b)
		if err != nil {
			t.Fatalf("DecodeHeader: %v", err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
		again := mustHeader(t, got)
		if string(again) != string(b) {
			t.Errorf("encoding what was decoded gives other bytes")
		}
		if len(b)%512 != 0 {
			t.Errorf("header of %d bytes", len(b))
		}
	}
}

// Every field of the structs must be set in fullHeader, or the round trip proves nothing about it.
func TestFullHeaderIsFull(t *testing.T) {
	h := fullHeader()
	for _, v := range []reflect.Value{reflect.ValueOf(h.Fields), reflect.ValueOf(*h.Fields.DICOM)} {
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				t.Errorf("%s.%s is not set", v.Type().Name(), v.Type().Field(i).Name)
			}
		}
	}
}

func TestStampApply(t *testing.T) {
	h := fullHeader()
	want := mustHeader(t, h)
	late := *h
	late.LSN, late.Epoch, late.CommitPoint, late.First, late.Last, late.Time = 0, 0, 0, false, false, 0
	b := mustHeader(t, &late)
	if err := h.Stamp().Apply(b); err != nil {
		t.Fatal(err)
	}
	if string(b) != string(want) {
		t.Error("a stamped header differs from one encoded at once")
	}
	stamp := h.Stamp()
	if n := testing.AllocsPerRun(100, func() { _ = stamp.Apply(b) }); n != 0 {
		t.Errorf("Apply allocates %v times", n)
	}
	stamp.Time = segment.MaxTime + 1
	if err := stamp.Apply(b); !errors.Is(err, segment.ErrRange) || string(b) != string(want) {
		t.Errorf("time past the range: %v", err)
	}
	if err := h.Stamp().Apply(b[:len(b)-1]); err == nil {
		t.Error("a header cut short was stamped")
	}
}

func TestPeekHeader(t *testing.T) {
	h := fullHeader()
	b := mustHeader(t, h)
	p, err := segment.PeekHeader(b[:segment.PeekLen])
	if err != nil {
		t.Fatal(err)
	}
	want := segment.Peek{Version: 1, Type: h.Type, Stamp: h.Stamp(), PayloadLen: h.PayloadLen, HeaderLen: len(b)}
	if p != want {
		t.Errorf("got %+v, want %+v", p, want)
	}
	if got, want := p.RecordLen(), int64(len(b))+segment.BlockSize+512; got != want {
		t.Errorf("record length %d, want %d", got, want)
	}
}

// Any changed bit, and any cut, must be noticed.
func TestDecodeHeaderDamage(t *testing.T) {
	b := mustHeader(t, fullHeader())
	for i := range b {
		for bit := range 8 {
			b[i] ^= 1 << bit
			if _, err := segment.DecodeHeader(b); err == nil {
				t.Fatalf("bit %d of byte %d flipped: not noticed", bit, i)
			}
			b[i] ^= 1 << bit
		}
	}
	for n := range b {
		_, err := segment.DecodeHeader(b[:n])
		var short *segment.ShortError
		if !errors.As(err, &short) || !errors.Is(err, segment.ErrShort) || short.Need <= n {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := segment.DecodeHeader(append(b, 1, 2, 3)); err != nil {
		t.Errorf("bytes after the header: %v", err)
	}
}

func TestAppendHeaderRefuses(t *testing.T) {
	object := func(change func(h *segment.Header)) *segment.Header {
		h := &segment.Header{Type: segment.TypeObject, Name: "b/k"}
		change(h)
		return h
	}
	tests := []struct {
		name string
		h    *segment.Header
		want error
	}{
		{"no name", object(func(h *segment.Header) { h.Name = "" }), segment.ErrName},
		{"absolute", object(func(h *segment.Header) { h.Name = "/b/k" }), segment.ErrName},
		{"folder", object(func(h *segment.Header) { h.Name = "b/k/" }), segment.ErrName},
		{"up", object(func(h *segment.Header) { h.Name = "b/../k" }), segment.ErrName},
		{"newline", object(func(h *segment.Header) { h.Name = "b\nk" }), segment.ErrName},
		{"not UTF-8", object(func(h *segment.Header) { h.Name = "b\xff" }), segment.ErrName},
		{"long name", object(func(h *segment.Header) { h.Name = strings.Repeat("n", segment.MaxName+1) }), segment.ErrName},
		{"no type", object(func(h *segment.Header) { h.Type = 0 }), segment.ErrRange},
		{"type 100", object(func(h *segment.Header) { h.Type = 100 }), segment.ErrRange},
		{"time", object(func(h *segment.Header) { h.Time = -1 }), segment.ErrRange},
		{"payload", object(func(h *segment.Header) { h.PayloadLen = segment.MaxPayload + 1 }), segment.ErrTooLarge},
		{"version", object(func(h *segment.Header) { h.Version = 2 }), segment.ErrVersion},
		{"checksums", object(func(h *segment.Header) { h.PayloadLen = 1 }), segment.ErrFormat},
		{"large", object(func(h *segment.Header) { h.Fields.ETag = strings.Repeat("x", segment.MaxHeader) }), segment.ErrTooLarge},
		{"raw", object(func(h *segment.Header) { h.Fields.Settings = json.RawMessage("{") }), segment.ErrFormat},
		{"raw twice", object(func(h *segment.Header) { h.Fields.Settings = json.RawMessage("1,\"k\":2") }), segment.ErrFormat},
		{"known extra", object(func(h *segment.Header) {
			h.Fields.Extra = map[string]json.RawMessage{"dcm": json.RawMessage("1")}
		}), segment.ErrFormat},
	}
	for _, test := range tests {
		dst := []byte("before")
		got, err := segment.AppendHeader(dst, test.h)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: got error %v, want %v", test.name, err, test.want)
		}
		if string(got) != "before" {
			t.Errorf("%s: dst changed", test.name)
		}
	}
}

// The greatest header that is accepted is exactly MaxHeader long and decodes.
func TestLargestHeader(t *testing.T) {
	h := &segment.Header{Type: segment.TypeObject, Name: "b/k"}
	base := len(mustHeader(t, h))
	for n := segment.MaxHeader - base - 600; ; n++ {
		h.Fields.ETag = strings.Repeat("x", n)
		b, err := segment.AppendHeader(nil, h)
		if errors.Is(err, segment.ErrTooLarge) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, err := segment.DecodeHeader(b); err != nil || got.Fields.ETag != h.Fields.ETag || len(b) > segment.MaxHeader {
			t.Fatalf("header of %d bytes: %v", len(b), err)
		}
	}
}

// TestWidenedHeaderMeansTheSame widens headers, stamps and decodes them.
func TestWidenedHeaderMeansTheSame(t *testing.T) {
	for _, h := range []*segment.Header{plainObject(), dicomObject(), fullHeader()} {
		want, err := segment.DecodeHeader(mustHeader(t, h))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{512, 1024, 3584, 9 << 10, 512} { // and once more
			b, err := segment.Widen(mustHeader(t, h), n)
			if err == nil && n == 512 {
				b, err = segment.Widen(b, 1024)
				n += 1024
			}
			if err != nil || len(b) != want.Len+n {
				t.Fatalf("widened by %d: %d bytes, %v", n, len(b), err)
			}
			if err := h.Stamp().Apply(b); err != nil {
				t.Fatal(err)
			}
			got, err := segment.DecodeHeader(b)
			if err != nil {
				t.Fatalf("widened by %d: %v", n, err)
			}
			got.Len = want.Len
			if !reflect.DeepEqual(got, want) {
				t.Errorf("widened by %d: got %+v, want %+v", n, got, want)
			}
		}
	}
	b := mustHeader(t, plainObject())
	for _, n := range []int{0, 100, -512, segment.MaxHeader} {
		if got, err := segment.Widen(b, n); err == nil || string(got) != string(b) {
			t.Errorf("widened by %d: %v", n, err)
		}
	}
}
