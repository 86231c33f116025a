package store

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// instanceAttrs is what is indexed of a CT image.
const instanceAttrs = `{"00080008":{"vr":"CS","Value":["ORIGINAL","PRIMARY","AXIAL"]},"00080012":{"vr":"DA","Value":["20240102"]},` +
	`"00080016":{"vr":"UI","Value":["1.2.840.10008.5.1.4.1.1.2"]},"00080018":{"vr":"UI","Value":["2.25.324675400286574629699226794660765133956"]},` +
	`"00200013":{"vr":"IS","Value":[50]},"00280002":{"vr":"US","Value":[1]},"00280004":{"vr":"CS","Value":["MONOCHROME2"]},` +
	`"00280010":{"vr":"US","Value":[512]},"00280011":{"vr":"US","Value":[512]},"00280030":{"vr":"DS","Value":[0.7,0.7]},` +
	`"00280100":{"vr":"US","Value":[16]},"00281050":{"vr":"DS","Value":[40]},"00400275":{"vr":"SQ","Value":[{"00400007":{"vr":"LO","Value":["Schädel"]}}]}}`

func TestShorthand(t *testing.T) {
	seen := map[byte]bool{plainText: true}
	for _, s := range shorthand {
		if seen[s.code] || s.code >= 0x20 && s.code < 0xf5 || len(s.text) < 2 || !utf8.ValidString(s.text) {
			t.Errorf("code %#x of %q", s.code, s.text)
		}
		seen[s.code] = true
		if got := abbreviate(nil, s.text); len(got) != 1 || got[0] != s.code {
			t.Errorf("%q: %x, another one hides it", s.text, got)
		}
	}
	short := abbreviate(nil, instanceAttrs)
	if len(short) > len(instanceAttrs)*2/5 || string(spellOut(nil, short)) != instanceAttrs {
		t.Errorf("%d bytes of %d: %q", len(short), len(instanceAttrs), spellOut(nil, short))
	}
}

func FuzzShorthand(f *testing.F) {
	f.Add(instanceAttrs)
	f.Add("\x00")
	f.Add("a\x01b\xff")
	f.Fuzz(func(t *testing.T, s string) {
		short := abbreviate([]byte("x"), s)[1:]
		if got := spellOut([]byte("y"), short); string(got) != "y"+s || len(short) > len(s)+1 {
			t.Errorf("%q: %x, %q", s, short, got)
		}
		spellOut(nil, []byte(s))
	})
}

func TestETagsTakeHalfTheirLength(t *testing.T) {
	for _, etag := range []string{"0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef-1", "0123456789abcdef0123456789abcdef-99"} {
		if b := appendETag(nil, etag); len(b) != 17 {
			t.Errorf("%q: %x", etag, b)
		}
	}
}

func FuzzETag(f *testing.F) {
	sum := strings.Repeat("0af9", 8)
	for _, s := range []string{"", sum, sum + "-1", sum + "-10000", sum + "-", sum + "-01", sum + "-+1", strings.ToUpper(sum), sum + "-1-2", sum + "-99999999999", sum[:31] + "g"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b := appendETag(nil, s)
		d := decoder{b: append(b, "rest"...)}
		if got := d.etag(); got != s || d.err != nil || string(d.b) != "rest" {
			t.Errorf("%q: %x, %q, %v", s, b, got, d.err)
		}
		d = decoder{b: []byte(s)}
		if d.etag(); d.err != nil && !errors.Is(d.err, ErrCorrupt) {
			t.Error(d.err)
		}
	})
}

func BenchmarkShorthand(b *testing.B) {
	var buf []byte
	b.Run("abbreviate", func(b *testing.B) {
		b.SetBytes(int64(len(instanceAttrs)))
		for b.Loop() {
			buf = abbreviate(buf[:0], instanceAttrs)
		}
	})
	short := abbreviate(nil, instanceAttrs)
	b.Run("spell out", func(b *testing.B) {
		b.SetBytes(int64(len(instanceAttrs)))
		for b.Loop() {
			buf = spellOut(buf[:0], short)
		}
	})
}
