package part10_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"gantry/dicomweb/part10"
)

var (
	mutations = flag.Int("mutations", 2, "damaged copies made of every file of the corpus")
	seed      = flag.Uint64("seed", 1, "seed of the damage")
)

// damage changes some bytes of the header, a length above all, or cuts the file.
func damage(b []byte, r *rand.Rand) []byte {
	b = bytes.Clone(b)
	for range 1 + r.IntN(4) {
		at := r.IntN(min(len(b), 8192))
		switch r.IntN(4) {
		case 0:
			b[at] = byte(r.Uint32())
		case 1:
			copy(b[at:], "\xff\xff\xff\xff")
		case 2:
			b[at] ^= 1 << r.IntN(8)
		default:
			if r.IntN(4) == 0 {
				b = b[:max(at, 1)]
			} else {
				copy(b[at:], []byte{0, 0, 0, 0})
			}
		}
	}
	return b
}

// TestDamagedFiles runs everything over damaged copies of real files.
func TestDamagedFiles(t *testing.T) {
	r := rand.New(rand.NewPCG(*seed, 0))
	for _, name := range corpusFiles(t, "valid", "broken", "nonstudy", "hostile", "synthetic") {
		whole := read(t, name)
		if len(whole) == 0 {
			continue
		}
		for n := range *mutations {
			b := damage(whole, r)
			start := time.Now()
			useAll(t, filepath.Base(name), b)
			if d := time.Since(start); d > 10*time.Second {
				t.Errorf("%s, copy %d of seed %d took %v", filepath.Base(name), n, *seed, d)
			}
		}
	}
}

func useAll(t *testing.T, name string, b []byte) {
	t.Helper()
	in, err := index(b)
	checkReject(t, err)
	if err != nil {
		return
	}
	out, err := jsonOf(b)
	checkReject(t, err)
	if err == nil && !json.Valid([]byte(out)) {
		t.Errorf("%s: no JSON: %.300q", name, out)
	}
	if in.Pixels != nil && !in.FramesScan {
		table, err := part10.DecodeFrames(in.Frames)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if table.Computed() {
			readFrame(t, b, table.Len()-1)
		}
	}
	r := bytes.NewReader(b)
	size, err := part10.ExplicitLESize(r, r.Size())
	if errors.Is(err, part10.ErrCannot) {
		return
	}
	checkReject(t, err)
	if err != nil {
		t.Errorf("%s: accepted, but cannot be converted: %v", name, err)
		return
	}
	var conv bytes.Buffer
	if err := part10.ToExplicitLE(&conv, r, r.Size()); err != nil || int64(conv.Len()) != size {
		t.Errorf("%s: converted to %d bytes and %v, want %d", name, conv.Len(), err, size)
	}
	after, err := index(conv.Bytes())
	if err != nil {
		t.Errorf("%s: the converted object is refused: %v", name, err)
	} else if after.SOPUID != in.SOPUID {
		t.Errorf("%s: identity changed", name)
	}
}
