package segment_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"testing"

	"gantry/store/segment"
)

func newRand() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

func sampleFile(t testing.TB) *file {
	rng := newRand()
	big := fullHeader()
	f := newFile(t, 1<<40)
	for i, size := range []int{0, 1, 511, 512, 513, 100_000, 3, segment.BlockSize + 7} {
		f.add(t, object(rng, "bucket", "key/"+string(rune('a'+i)), size))
	}
	f.add(t, record{header: *big, payload: []byte("full")})
	for range 50 {
		f.add(t, object(rng, "bucket", "small", int(rng.Uint32N(2000))))
	}
	return f
}

// scanAll returns the headers found and the last error.
func scanAll(t *testing.T, s *segment.Scanner, f *file) (found int, err error) {
	t.Helper()
	for {
		h, off, err := s.Next()
		if err != nil {
			return found, err
		}
		if want := f.records[found].header; !reflect.DeepEqual(*h, want) || off != f.entries[found].Offset {
			t.Fatalf("record %d at %d: got %+v, want %+v", found, off, *h, want)
		}
		found++
	}
}

func TestScanWhole(t *testing.T) {
	f := sampleFile(t)
	for _, sealed := range []bool{false, true} {
		if sealed {
			f.seal(t)
		}
		s := f.scanner()
		n, err := scanAll(t, s, f)
		if n != len(f.records) || !errors.Is(err, io.EOF) {
			t.Errorf("sealed %v: %d of %d records, %v", sealed, n, len(f.records), err)
		}
		if s.Offset() != f.end() {
			t.Errorf("sealed %v: ended at %d, want %d", sealed, s.Offset(), f.end())
		}
		if _, _, err := s.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("after the end: %v", err)
		}
	}
}

func TestScanEmpty(t *testing.T) {
	if _, _, err := segment.NewScanner(bytes.NewReader(nil), 0, 0).Next(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
	f := newFile(t, 77)
	f.seal(t)
	if _, _, err := f.scanner().Next(); !errors.Is(err, io.EOF) {
		t.Errorf("footer only: %v", err)
	}
}

// A file cut anywhere gives all whole records and then says where the last one ends.
func TestScanTorn(t *testing.T) {
	rng := newRand()
	f := newFile(t, 512)
	for range 6 {
		f.add(t, object(rng, "b", "k", int(rng.Uint32N(1500))))
	}
	for size := range len(f.bytes) {
		whole := 0
		end := int64(0)
		for whole < len(f.entries) && f.entries[whole].Offset+f.entries[whole].RecordLen() <= int64(size) {
			end = f.entries[whole].Offset + f.entries[whole].RecordLen()
			whole++
		}
		s := segment.NewScanner(f.reader(), int64(size), f.base)
		n, err := scanAll(t, s, f)
		var torn *segment.TornError
		switch {
		case n != whole:
			t.Fatalf("cut to %d: %d records, want %d", size, n, whole)
		case end == int64(size) && !errors.Is(err, io.EOF):
			t.Fatalf("cut to %d: %v, want a clean end", size, err)
		case end != int64(size) && (!errors.As(err, &torn) || torn.Offset != end):
			t.Fatalf("cut to %d: %v, want torn at %d", size, err, end)
		}
	}
}

func TestScanZeroTail(t *testing.T) {
	f := sampleFile(t)
	end := f.end()
	f.bytes = append(f.bytes, make([]byte, 3<<20)...)
	n, err := scanAll(t, f.scanner(), f)
	var torn *segment.TornError
	if n != len(f.records) || !errors.As(err, &torn) || torn.Offset != end {
		t.Errorf("%d records, %v", n, err)
	}
}

// Damage in any header is reported with its place, and every other record is found.
func TestScanCorrupt(t *testing.T) {
	f := sampleFile(t)
	f.seal(t)
	rng := newRand()
	for i, e := range f.entries {
		for range 20 {
			at := e.Offset + rng.Int64N(int64(e.HeaderLen))
			old := f.bytes[at]
			f.bytes[at] ^= byte(1 + rng.IntN(255))
			checkDamage(t, f, i)
			f.bytes[at] = old
		}
		wiped := bytes.Clone(f.bytes[e.Offset : e.Offset+int64(e.HeaderLen)])
		clear(f.bytes[e.Offset : e.Offset+int64(e.HeaderLen)])
		checkDamage(t, f, i)
		copy(f.bytes[e.Offset:], wiped)
	}
}

func checkDamage(t *testing.T, f *file, damaged int) {
	t.Helper()
	s := f.scanner()
	next := 0
	for {
		h, off, err := s.Next()
		var corrupt *segment.CorruptError
		switch {
		case errors.Is(err, io.EOF):
			if next != len(f.entries) {
				t.Fatalf("record %d damaged: ended before %d", damaged, next)
			}
			return
		case errors.As(err, &corrupt):
			e := f.entries[damaged]
			if next != damaged || corrupt.Offset != e.Offset || corrupt.Resume != e.Offset+e.RecordLen() {
				t.Fatalf("record %d damaged: at %d %v", damaged, next, err)
			}
		case err != nil:
			t.Fatalf("record %d damaged: %v", damaged, err)
		case next == damaged || off != f.entries[next].Offset || h.LSN != f.entries[next].LSN:
			t.Fatalf("record %d damaged: found %d at %d", damaged, next, off)
		}
		next++
	}
}

// A payload that holds records of its own, with LSNs that even fit, does not deceive the search.
func TestScanPayloadWithRecords(t *testing.T) {
	rng := newRand()
	outer := object(rng, "b", "outer", 0)
	f := newFile(t, 0, outer)
	headerLen := int64(f.entries[0].HeaderLen)
	inner := newFile(t, uint64(headerLen), object(rng, "b", "inner", 100), object(rng, "b", "inner", 100))
	outer.payload = inner.bytes
	f = newFile(t, 0, outer, object(rng, "b", "after", 10))
	if int64(f.entries[0].HeaderLen) != headerLen {
		t.Fatal("test is wrong: the header's length changed")
	}
	f.bytes[700] ^= 1 // inside the JSON
	checkDamage(t, f, 0)
}

// In a pack records keep their LSNs, which then fit no offset.
func TestScanPack(t *testing.T) {
	f := sampleFile(t)
	s := segment.NewScanner(f.reader(), int64(len(f.bytes)), segment.AnyLSN)
	if n, err := scanAll(t, s, f); n != len(f.records) || !errors.Is(err, io.EOF) {
		t.Errorf("%d records, %v", n, err)
	}
	s = segment.NewScanner(f.reader(), int64(len(f.bytes)), f.base+512)
	var torn *segment.TornError
	if _, _, err := s.Next(); !errors.As(err, &torn) {
		t.Errorf("wrong base: %v", err)
	}
}

func TestScanSkipTo(t *testing.T) {
	f := sampleFile(t)
	s := f.scanner()
	s.SkipTo(f.entries[5].Offset)
	h, off, err := s.Next()
	if err != nil || off != f.entries[5].Offset || h.LSN != f.entries[5].LSN {
		t.Errorf("got %d %v", off, err)
	}
}

type failingReader struct {
	io.ReaderAt
	fail bool
}

var errRead = errors.New("read failed")

func (r *failingReader) ReadAt(p []byte, off int64) (int, error) {
	if r.fail {
		return 0, errRead
	}
	return r.ReaderAt.ReadAt(p, off)
}

// A failed read is neither damage nor the end; the scan can go on.
func TestScanReadError(t *testing.T) {
	f := sampleFile(t)
	r := &failingReader{ReaderAt: f.reader(), fail: true}
	s := segment.NewScanner(r, int64(len(f.bytes)), f.base)
	if _, _, err := s.Next(); !errors.Is(err, errRead) {
		t.Fatalf("got %v", err)
	}
	r.fail = false
	if n, err := scanAll(t, s, f); n != len(f.records) || !errors.Is(err, io.EOF) {
		t.Errorf("after the failure: %d records, %v", n, err)
	}
}
