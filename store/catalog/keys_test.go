package catalog_test

import (
	"bytes"
	"cmp"
	"strings"
	"testing"

	"gantry/store/catalog"
)

func sign(n int) int { return cmp.Compare(n, 0) }

func FuzzStringEncodings(f *testing.F) {
	f.Add("", "a", uint64(0))
	f.Add("a\x00", "a", uint64(1))
	f.Add("a\x00\xff", "a\x00\x01", uint64(1)<<63)
	f.Add("\xff", "\xff\xff", ^uint64(0))
	f.Fuzz(func(t *testing.T, a, b string, n uint64) {
		order := strings.Compare(a, b)
		// What follows must not disturb the order, whichever way round.
		after := func(key []byte, n uint64) []byte { return catalog.AppendUint64(key, n) }
		ka, kb := after(catalog.AppendString(nil, a), n), after(catalog.AppendString(nil, b), ^n)
		if order != 0 && sign(bytes.Compare(ka, kb)) != order {
			t.Errorf("%q %q: order %d", a, b, order)
		}
		ia, ib := after(catalog.AppendInvertedString(nil, a), n), after(catalog.AppendInvertedString(nil, b), ^n)
		if order != 0 && sign(bytes.Compare(ia, ib)) != -order {
			t.Errorf("%q %q: inverted order %d", a, b, order)
		}
		got, rest, err := catalog.CutString(ka)
		if err != nil || got != a || !bytes.Equal(rest, catalog.AppendUint64(nil, n)) {
			t.Errorf("cut %q: %q %x %v", a, got, rest, err)
		}
		got, rest, err = catalog.CutInvertedString(ia)
		if err != nil || got != a || !bytes.Equal(rest, catalog.AppendUint64(nil, n)) {
			t.Errorf("cut inverted %q: %q %x %v", a, got, rest, err)
		}
		if bytes.HasPrefix(ka, catalog.AppendStringPrefix(nil, b)) != strings.HasPrefix(a, b) {
			t.Errorf("prefix %q of %q", b, a)
		}
		if bytes.HasPrefix(ia, catalog.AppendInvertedStringPrefix(nil, b)) != strings.HasPrefix(a, b) {
			t.Errorf("inverted prefix %q of %q", b, a)
		}
	})
}

func FuzzCut(f *testing.F) {
	f.Add([]byte("a\x00\xffb\x00\x01rest"))
	f.Add([]byte("\xff\xfe\xff\x00"))
	f.Add([]byte("a\x00"))
	f.Add([]byte("a\x00\x02"))
	f.Add([]byte("12345678"))
	f.Fuzz(func(t *testing.T, key []byte) {
		if s, rest, err := catalog.CutString(key); err == nil {
			if again := append(catalog.AppendString(nil, s), rest...); !bytes.Equal(again, key) {
				t.Errorf("%x: again %x", key, again)
			}
		}
		if s, rest, err := catalog.CutInvertedString(key); err == nil {
			if again := append(catalog.AppendInvertedString(nil, s), rest...); !bytes.Equal(again, key) {
				t.Errorf("%x: inverted again %x", key, again)
			}
		}
		v, rest, err := catalog.CutUint64(key)
		if (err == nil) != (len(key) >= 8) {
			t.Errorf("%x: %v", key, err)
		}
		if err == nil && !bytes.Equal(append(catalog.AppendUint64(nil, v), rest...), key) {
			t.Errorf("%x: number %d", key, v)
		}
		w, _, err := catalog.CutInvertedUint64(key)
		if err == nil && w != ^v {
			t.Errorf("%x: inverted %d of %d", key, w, v)
		}
	})
}

func FuzzPrefixEnd(f *testing.F) {
	f.Add([]byte("a\xff"), []byte("b"))
	f.Add([]byte("\xff\xff"), []byte("\xff\xff\xff"))
	f.Add([]byte(""), []byte(""))
	f.Fuzz(func(t *testing.T, prefix, key []byte) {
		end := catalog.PrefixEnd(prefix)
		inside := bytes.Compare(key, prefix) >= 0 && (end == nil || bytes.Compare(key, end) < 0)
		if inside != bytes.HasPrefix(key, prefix) {
			t.Errorf("prefix %x, end %x, key %x: inside %v", prefix, end, key, inside)
		}
	})
}
