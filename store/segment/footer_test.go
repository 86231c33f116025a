package segment_test

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"gantry/store/segment"
)

func TestFooterRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, 14, 15, 59} {
		f := sampleFile(t)
		f.entries = f.entries[:n]
		f.bytes = f.bytes[:f.end()]
		if ok, err := segment.IsFooter(f.reader(), int64(len(f.bytes))); ok || err != nil {
			t.Errorf("%d records, not sealed: %v %v", n, ok, err)
		}
		if _, err := segment.ReadFooter(f.reader(), int64(len(f.bytes))); !errors.Is(err, segment.ErrNoFooter) {
			t.Errorf("%d records, not sealed: %v", n, err)
		}
		f.seal(t)
		if ok, err := segment.IsFooter(f.reader(), int64(len(f.bytes))); !ok || err != nil {
			t.Errorf("%d records: %v %v", n, ok, err)
		}
		got, err := segment.ReadFooter(f.reader(), int64(len(f.bytes)))
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Entries) != n || n > 0 && !reflect.DeepEqual(got.Entries, f.entries) || got.Offset != f.end() ||
			got.Stamp.LSN != f.base+uint64(f.end()) {
			t.Errorf("%d records: got %+v", n, got)
		}
		if err := got.VerifyHeaders(f.reader()); err != nil {
			t.Error(err)
		}
	}
}

// Any changed bit of the footer, and any other size of the file, is noticed.
func TestFooterDamage(t *testing.T) {
	rng := newRand()
	f := newFile(t, 0, object(rng, "b", "k1", 10), object(rng, "b", "k2", 600))
	f.seal(t)
	for i := f.end(); i < int64(len(f.bytes)); i++ {
		f.bytes[i] ^= 0x10
		if _, err := segment.ReadFooter(f.reader(), int64(len(f.bytes))); err == nil {
			t.Fatalf("byte %d changed: not noticed", i)
		}
		f.bytes[i] ^= 0x10
		if _, err := segment.ReadFooter(f.reader(), i); err == nil {
			t.Fatalf("cut to %d: not noticed", i)
		}
	}
	long := append(bytes.Clone(f.bytes), make([]byte, 512)...)
	if _, err := segment.ReadFooter(bytes.NewReader(long), int64(len(long))); err == nil {
		t.Error("longer file: not noticed")
	}
	footer, err := segment.ReadFooter(f.reader(), int64(len(f.bytes)))
	if err != nil {
		t.Fatal(err)
	}
	f.bytes[600] ^= 1
	if err := footer.VerifyHeaders(f.reader()); !errors.Is(err, segment.ErrChecksum) {
		t.Errorf("damaged header: %v", err)
	}
}

// A footer of more than one block of payload.
func TestFooterLarge(t *testing.T) {
	const n = 40_000
	f := &segment.Footer{Entries: make([]segment.Entry, n), Offset: n * 2048}
	for i := range f.Entries {
		f.Entries[i] = segment.Entry{
			LSN: uint64(i) * 2048, Offset: int64(i) * 2048, PayloadLen: 400, HeaderLen: 1536, Type: segment.TypeObject,
		}
	}
	b, err := segment.AppendFooter(nil, f)
	if err != nil {
		t.Fatal(err)
	}
	r := offsetReader{bytes.NewReader(b), f.Offset}
	got, err := segment.ReadFooter(r, f.Offset+int64(len(b)))
	if err != nil || !reflect.DeepEqual(got, f) {
		t.Errorf("got %d entries, %v", len(got.Entries), err)
	}
	f.Entries = make([]segment.Entry, segment.MaxFooterEntries+1)
	if _, err := segment.AppendFooter(nil, f); !errors.Is(err, segment.ErrTooLarge) {
		t.Errorf("too many entries: %v", err)
	}
}

// offsetReader has bytes only from an offset on.
type offsetReader struct {
	r  *bytes.Reader
	at int64
}

func (r offsetReader) ReadAt(p []byte, off int64) (int, error) { return r.r.ReadAt(p, off-r.at) }
