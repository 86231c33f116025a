package checksum_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"gantry/s3/checksum"
)

// The check values of "123456789" are those of the CRC catalogue (reveng) and FIPS 180.
func TestKnownValues(t *testing.T) {
	want := map[checksum.Algorithm]string{
		checksum.CRC32:     "y/Q5Jg==",
		checksum.CRC32C:    "4waSgw==",
		checksum.CRC64NVME: "rosUhgp5mIg=",
		checksum.SHA1:      "98O8HYCOBHMq32eZZczDTKeuNEE=",
		checksum.SHA256:    "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=",
	}
	for a, w := range want {
		h := a.New()
		h.Write([]byte("123456789"))
		if got := checksum.Sum(h); got != w {
			t.Errorf("%s: got %s, want %s", a, got, w)
		}
		if raw, ok := a.Decode(w); !ok || len(raw) != a.Size() {
			t.Errorf("%s: Decode(%s) = %x, %v", a, w, raw, ok)
		}
		if _, ok := a.Decode(w + "AAAA"); ok {
			t.Errorf("%s: a longer value was accepted", a)
		}
	}
}

func TestNames(t *testing.T) {
	for _, a := range checksum.All() {
		if b, ok := checksum.Parse(a.String()); !ok || a != b {
			t.Errorf("Parse(%s) = %v, %v", a, b, ok)
		}
		if b, ok := checksum.ByHeader(a.Header()); !ok || a != b {
			t.Errorf("ByHeader(%s) = %v, %v", a.Header(), b, ok)
		}
		if b, ok := checksum.ByElement(a.Element()); !ok || a != b {
			t.Errorf("ByElement(%s) = %v, %v", a.Element(), b, ok)
		}
	}
	if _, ok := checksum.Parse(""); ok {
		t.Error("the empty name is an algorithm")
	}
}

func TestCombine(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, a := range checksum.All() {
		if !a.Combines() {
			continue
		}
		for range 200 {
			whole := a.New()
			c := checksum.NewCombiner(a)
			for range rnd.IntN(5) {
				part := make([]byte, rnd.IntN(3000))
				for i := range part {
					part[i] = byte(rnd.Uint32())
				}
				whole.Write(part)
				h := a.New()
				h.Write(part)
				c.Add(h.Sum(nil), int64(len(part)))
			}
			if got, want := c.Sum(), whole.Sum(nil); !bytes.Equal(got, want) {
				t.Fatalf("%s: combined %x, want %x", a, got, want)
			}
		}
	}
}

func TestComposite(t *testing.T) {
	part := func(s string) []byte {
		h := checksum.SHA256.New()
		h.Write([]byte(s))
		return h.Sum(nil)
	}
	h := checksum.SHA256.New()
	h.Write(part("a"))
	h.Write(part("b"))
	want := checksum.Sum(h) + "-2"
	if got := checksum.SHA256.Composite([][]byte{part("a"), part("b")}); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
