package dicomweb

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// FuzzDelimiter compares with the plain ways of finding a text, or its beginning at the end.
func FuzzDelimiter(f *testing.F) {
	f.Add([]byte("\r\n--b"), []byte("abc\r\n--b\r\n"))
	f.Add([]byte("aaa"), []byte("aabaaabaa"))
	f.Add([]byte("\r\n--0123456789abcdef"), []byte("0123456789abcdef\r\n--0123456789abcdef"))
	f.Add([]byte("\r\n--\r\n--"), []byte("\r\n--\r\n\r\n--\r"))
	f.Fuzz(func(t *testing.T, text, b []byte) {
		if len(text) == 0 || len(text) > maxDelimiter {
			return
		}
		d := newDelimiter(text)
		if got, want := d.index(b), bytes.Index(b, text); got != want {
			t.Errorf("%q in %q: at %d, want %d", text, b, got, want)
		}
		want := min(len(b), len(text)-1)
		for !bytes.HasPrefix(text, b[len(b)-want:]) {
			want--
		}
		if got := d.tail(b); got != want {
			t.Errorf("end of %q that begins %q: %d bytes, want %d", b, text, got, want)
		}
	})
}

// TestDelimiterInFewLetters meets many near misses.
func TestDelimiterInFewLetters(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	letters := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = "ab"[r.IntN(8)/7]
		}
		return b
	}
	for range 5000 {
		text, b := letters(1+r.IntN(24)), letters(r.IntN(200))
		d := newDelimiter(text)
		if got, want := d.index(b), bytes.Index(b, text); got != want {
			t.Fatalf("%q in %q: at %d, want %d", text, b, got, want)
		}
	}
}

func BenchmarkDelimiter(b *testing.B) {
	body := make([]byte, 64<<10)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range body {
		body[i] = byte(r.Uint32())
	}
	for name, boundary := range map[string]string{"short": "b", "25": "bench-boundary-4f2a9c", "uuid": strings.Repeat("4f2a9c1d", 4)} {
		d := newDelimiter([]byte("\r\n--" + boundary))
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if d.index(body) >= 0 {
					b.Fatal("found")
				}
			}
		})
		b.Run(name+" plain", func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if bytes.Contains(body, d.text) {
					b.Fatal("found")
				}
			}
		})
	}
}
