package segment_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"gantry/store/segment"
)

// record is what a test puts into a file.
type record struct {
	header  segment.Header
	payload []byte
}

// file is a segment made for a test.
type file struct {
	base    uint64
	bytes   []byte
	entries []segment.Entry
	records []record
}

// object returns a record of an object with random bytes.
func object(rng *rand.Rand, bucket, key string, size int) record {
	payload := make([]byte, size)
	for i := range payload {
		payload[i] = byte(rng.Uint32())
	}
	return record{
		header: segment.Header{
			Type: segment.TypeObject, Name: segment.MemberName(bucket, key), Time: 1_767_225_600_000_000_000,
			Fields: segment.Fields{BucketID: 1, Bucket: bucket, Key: key, ETag: fmt.Sprintf("%x", rng.Uint64())},
		},
		payload: payload,
	}
}

func newFile(t testing.TB, base uint64, records ...record) *file {
	t.Helper()
	f := &file{base: base}
	for _, r := range records {
		f.add(t, r)
	}
	return f
}

func (f *file) add(t testing.TB, r record) {
	t.Helper()
	h := r.header
	h.Version, h.LSN = segment.Version1, f.base+uint64(len(f.bytes))
	h.PayloadLen = int64(len(r.payload))
	h.Fields.CRC = segment.BlockCRCs([][]byte{r.payload})
	head := mustHeader(t, &h)
	h.Len = len(head)
	f.entries = append(f.entries, segment.Entry{
		LSN: h.LSN, Offset: int64(len(f.bytes)), PayloadLen: h.PayloadLen, HeaderLen: h.Len, Type: h.Type,
	})
	f.bytes = append(append(f.bytes, head...), r.payload...)
	f.bytes = append(f.bytes, make([]byte, segment.Padding(h.PayloadLen))...)
	f.records = append(f.records, record{header: h, payload: r.payload})
}

// end is where the records end.
func (f *file) end() int64 {
	if len(f.entries) == 0 {
		return 0
	}
	last := f.entries[len(f.entries)-1]
	return last.Offset + last.RecordLen()
}

func (f *file) seal(t testing.TB) {
	t.Helper()
	digest, err := segment.DigestHeaders(bytes.NewReader(f.bytes), f.entries)
	if err != nil {
		t.Fatal(err)
	}
	footer := &segment.Footer{
		Stamp:  segment.Stamp{LSN: f.base + uint64(f.end()), Epoch: 3, Time: 1_767_225_700_000_000_000},
		Offset: f.end(), Entries: f.entries, Digest: digest,
	}
	if f.bytes, err = segment.AppendFooter(f.bytes, footer); err != nil {
		t.Fatal(err)
	}
}

func (f *file) reader() *bytes.Reader { return bytes.NewReader(f.bytes) }

func (f *file) scanner() *segment.Scanner {
	return segment.NewScanner(f.reader(), int64(len(f.bytes)), f.base)
}
