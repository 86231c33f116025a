package catalog_test

import (
	"bytes"
	"cmp"
	"errors"
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

func TestUIDsTakeHalfTheirLength(t *testing.T) {
	for uid, want := range map[string]string{
		"": "\x00", "1": "\x30", "1.2": "\x31\x40", "1.20": "\x31\x42\x00", "..": "\x11\x00", "09": "\x2b\x00",
		"1.a": "\xff1.a\x00\x01", "\x00": "\xff\x00\xff\x00\x01",
	} {
		key := catalog.AppendUID([]byte("k"), uid)
		if string(key) != "k"+want {
			t.Errorf("%q: %x, want %x", uid, key[1:], want)
		}
	}
	for _, bad := range []string{"", "\x31", "\x01", "\xd0", "\x3f\x00", "\x31\x05", "\x01\x00", "\xff1.a"} {
		if uid, _, err := catalog.CutUID([]byte(bad)); !errors.Is(err, catalog.ErrEncoding) {
			t.Errorf("%x: %q, %v", bad, uid, err)
		}
	}
}

func FuzzUIDs(f *testing.F) {
	f.Add("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", uint64(0))
	f.Add("1.2", "1.20", ^uint64(0))
	f.Add("", "x", uint64(1))
	f.Add("1.10", "1.9", uint64(1)<<63)
	f.Fuzz(func(t *testing.T, a, b string, n uint64) {
		isUID := func(s string) bool { return strings.Trim(s, ".0123456789") == "" }
		ka, kb := catalog.AppendUID(nil, a), catalog.AppendUID(nil, b)
		if a != b && (bytes.HasPrefix(ka, kb) || bytes.Equal(ka, kb)) {
			t.Errorf("%q %q: %x begins with %x", a, b, ka, kb)
		}
		if isUID(a) == isUID(b) && sign(bytes.Compare(catalog.AppendUint64(ka, n), catalog.AppendUint64(kb, n))) != strings.Compare(a, b) {
			t.Errorf("%q %q: wrong order", a, b)
		}
		got, rest, err := catalog.CutUID(catalog.AppendUint64(ka, n))
		if err != nil || got != a || !bytes.Equal(rest, catalog.AppendUint64(nil, n)) {
			t.Errorf("cut %q: %q %x %v", a, got, rest, err)
		}
		if uid, rest, err := catalog.CutUID([]byte(b)); err == nil && isUID(uid) && b[0] != 0xff {
			if again := append(catalog.AppendUID(nil, uid), rest...); string(again) != b {
				t.Errorf("%x: again %x", b, again)
			}
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
