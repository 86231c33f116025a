package segment_test

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"

	"gantry/store/segment"
)

// fixCRC gives damaged headers a chance to get past the checksum.
func fixCRC(b []byte) []byte {
	b = bytes.Clone(b)
	p, err := segment.PeekHeader(b)
	if err != nil || p.HeaderLen > len(b) {
		return b
	}
	_ = p.Stamp.Apply(b[:p.HeaderLen])
	return b
}

func FuzzDecodeHeader(f *testing.F) {
	f.Add(mustHeader(f, fullHeader()))
	f.Add(mustHeader(f, plainObject()))
	f.Add(mustHeader(f, &segment.Header{Type: segment.TypeDelete, Name: "ü"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, b := range [][]byte{data, fixCRC(data)} {
			h, err := segment.DecodeHeader(b)
			if err != nil {
				known := false
				for _, want := range []error{segment.ErrShort, segment.ErrChecksum, segment.ErrFormat, segment.ErrVersion} {
					known = known || errors.Is(err, want)
				}
				if !known {
					t.Fatalf("unknown error %v", err)
				}
				continue
			}
			again, err := segment.AppendHeader(nil, h)
			if errors.Is(err, segment.ErrTooLarge) {
				continue // another encoder's shorter escapes
			}
			if err != nil {
				t.Fatalf("decoded, but not encoded: %v", err)
			}
			h2, err := segment.DecodeHeader(again)
			if err != nil {
				t.Fatal(err)
			}
			h.Len, h2.Len = 0, 0
			if !reflect.DeepEqual(h, h2) {
				t.Fatalf("got %+v, want %+v", h2, h)
			}
		}
	})
}

// FuzzFields puts arbitrary JSON into a header.
func FuzzFields(f *testing.F) {
	f.Add([]byte(`{"crc":"","bid":18446744073709551615,"k":"\ud83d\ude00\udcff\u0000\/","zz":[{"a":[]},-0.5e+7]}`))
	f.Add([]byte(` { "pt" : [ {"n":1,"c":[{"a":"SHA1","c":true,"new":1}]} , {} ] , "dcm":{"n":["x",null],"sa":{"a":null}} } `))
	f.Add([]byte(`{"k":null,"sy":{"a":"b"},"set":[[[[[[]]]]]],"dcm":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		h := &segment.Header{Version: 1, Type: segment.TypeObject, Name: "b/k"}
		h.Fields.Settings = append(append([]byte(`"`), bytes.Repeat([]byte("x"), len(text))...), '"')
		b, err := segment.AppendHeader(nil, h)
		if err != nil {
			return
		}
		// Put the text in the place of {"set":"xxx"}, filled up with spaces.
		at := bytes.Index(b, []byte(`{"set":"x`))
		if at < 0 {
			return
		}
		room := b[at : at+len(`{"set":""}`)+len(text)]
		copy(room, bytes.Repeat([]byte(" "), len(room)))
		copy(room, text)
		if err := (segment.Stamp{}).Apply(b); err != nil {
			t.Fatal(err)
		}
		got, err := segment.DecodeHeader(b)
		if err != nil {
			return
		}
		again, err := segment.AppendHeader(nil, got)
		if err != nil {
			t.Fatalf("%q: decoded, but not encoded: %v", text, err)
		}
		got2, err := segment.DecodeHeader(again)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		got.Len, got2.Len = 0, 0
		if !reflect.DeepEqual(got, got2) {
			t.Fatalf("%q: got %+v, want %+v", text, got2, got)
		}
	})
}

func FuzzScanner(f *testing.F) {
	small := exampleFile(f)
	f.Add(small.bytes, uint64(0x10000), uint16(0), byte(0))
	f.Add(small.bytes, segment.AnyLSN, uint16(600), byte(7))
	f.Fuzz(func(t *testing.T, data []byte, base uint64, at uint16, change byte) {
		if len(data) > 0 {
			data = bytes.Clone(data)
			data[int(at)%len(data)] ^= change
		}
		size := int64(len(data))
		s := segment.NewScanner(bytes.NewReader(data), size, base)
		last := int64(-1)
		for {
			h, off, err := s.Next()
			var corrupt *segment.CorruptError
			var torn *segment.TornError
			switch {
			case err == nil:
				if off <= last || off+h.RecordLen() > size {
					t.Fatalf("record at %d after %d, of %d bytes", off, last, h.RecordLen())
				}
				last = off
			case errors.As(err, &corrupt):
				if corrupt.Offset <= last || corrupt.Resume <= corrupt.Offset || corrupt.Resume >= size {
					t.Fatalf("%v after %d", err, last)
				}
				last = corrupt.Resume - 1
			case errors.As(err, &torn):
				if torn.Offset < 0 || torn.Offset >= size {
					t.Fatal(err)
				}
				return
			case errors.Is(err, io.EOF), errors.Is(err, segment.ErrVersion):
				return
			default:
				t.Fatal(err)
			}
		}
	})
}

func FuzzFooter(f *testing.F) {
	small := exampleFile(f)
	f.Add(small.bytes, int64(len(small.bytes)))
	f.Add(small.bytes[small.end():], int64(len(small.bytes))-small.end())
	f.Fuzz(func(t *testing.T, data []byte, size int64) {
		size = min(size, int64(len(data)))
		r := bytes.NewReader(data)
		footer, err := segment.ReadFooter(r, size)
		if err != nil {
			return
		}
		if ok, err := segment.IsFooter(r, size); !ok || err != nil {
			t.Fatalf("read, but not seen: %v", err)
		}
		again, err := segment.AppendFooter(nil, footer)
		if err != nil || !bytes.Equal(again, data[footer.Offset:size]) {
			t.Fatalf("encoded again, it differs: %v", err)
		}
	})
}
