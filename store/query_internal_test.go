package store

import (
	"errors"
	"testing"

	"gantry/store/catalog"
)

// indexEntry is an entry of an index as it is in the catalog, without the index's prefix.
func indexEntry(ix Index, h Hit) (key, value []byte) {
	key = indexKey(1, ix, h.Value, h.Study)[len(indexPrefix(1, ix)):]
	return key, appendStr(appendStr(appendStr(nil, h.Detail), h.Date), h.Time)
}

var exampleHits = map[Index]Hit{
	ByPatientID: {Value: "PAT-0012345", Study: "1.2.826.0.1.3680043.8.498.1234", Detail: "HOSPITAL", Date: "20240131", Time: "120000.000000"},
	ByName:      {Value: "müller^jörg\x00", Study: "1.2.3", Date: "20240131"},
	ByDate:      {Value: "20240131120000.000000", Study: "1.2.826.0.1.3680043.8.498.1234", Date: "20240131", Time: "120000.000000"},
	ByModality:  {Value: "CT", Study: "1.2.3"},
}

func TestDecodeHit(t *testing.T) {
	for ix, want := range exampleHits {
		key, value := indexEntry(ix, want)
		got, err := decodeHit(ix, key, value)
		if err != nil || got != want {
			t.Errorf("%c: got %+v, %v, want %+v", ix, got, err, want)
		}
		clear(key) // what a hit holds is its own
		clear(value)
		if got != want {
			t.Errorf("%c: the hit changed with the catalog's bytes", ix)
		}
		key, value = indexEntry(ix, want)
		for n := range value {
			if _, err := decodeHit(ix, key, value[:n]); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%c: %d of %d bytes: %v", ix, n, len(value), err)
			}
		}
		if _, err := decodeHit(ix, nil, value); !errors.Is(err, catalog.ErrEncoding) {
			t.Errorf("%c: no key: %v", ix, err)
		}
	}
}

func BenchmarkDecodeHit(b *testing.B) {
	for _, ix := range []Index{ByPatientID, ByDate} {
		key, value := indexEntry(ix, exampleHits[ix])
		b.Run(string(rune(ix)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := decodeHit(ix, key, value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
