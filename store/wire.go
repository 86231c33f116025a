package store

import (
	"crypto/md5" //nolint:gosec // what an ETag is, not what protects anything
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gantry/store/catalog"
)

// Catalog values are sequences of varints and length-prefixed strings, in the order in which each type's append and
// decode functions list them. The catalog is disposable: a change here only needs a new catalogFormat.

func appendInt(b []byte, v int64) []byte { return binary.AppendVarint(b, v) }

func appendUint(b []byte, v uint64) []byte { return binary.AppendUvarint(b, v) }

func appendStr[T ~string | ~[]byte](b []byte, s T) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// appendText is appendStr for what shorthand makes shorter.
func appendText(b []byte, s string) []byte {
	var room [512]byte
	return appendStr(b, abbreviate(room[:0], s))
}

// appendUID is appendStr for UIDs.
func appendUID(b []byte, uid string) []byte { return catalog.AppendUID(b, uid) }

// appendETag takes 17 bytes for an MD5 sum in hexadecimal, and little more for one followed by a number: 0 and the string stand for
// anything else, and what etagOf makes an ETag of for those.
func appendETag(b []byte, etag string) []byte {
	kind := uint64(1)
	digits, suffix, parts := strings.Cut(etag, "-")
	if parts {
		n, _ := strconv.ParseUint(suffix, 10, 32) // what is none does not come back as it was
		kind = n + 2
	}
	sum, err := hex.DecodeString(digits)
	if err != nil || len(sum) != md5.Size || etagOf(kind, sum) != etag {
		return appendStr(appendUint(b, 0), etag)
	}
	return append(appendUint(b, kind), sum...)
}

// etagOf is an MD5 sum in hexadecimal, with the suffix -n if kind is n+2.
func etagOf(kind uint64, sum []byte) string {
	var room [64]byte
	out := hex.AppendEncode(room[:0], sum)
	if kind > 1 {
		out = strconv.AppendUint(append(out, '-'), kind-2, 10)
	}
	return string(out)
}

func appendStrs(b []byte, s []string) []byte {
	b = appendUint(b, uint64(len(s)))
	for _, v := range s {
		b = appendStr(b, v)
	}
	return b
}

func appendMap(b []byte, m map[string]string) []byte {
	b = appendUint(b, uint64(len(m)))
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		b = appendText(appendText(b, k), m[k])
	}
	return b
}

func appendCounts(b []byte, c counts) []byte {
	b = appendUint(b, uint64(len(c)))
	for i := range c {
		b = appendInt(appendStr(b, c[i].name), int64(c[i].n))
	}
	return b
}

func appendChecksums(b []byte, sums []Checksum) []byte {
	b = appendUint(b, uint64(len(sums)))
	for _, c := range sums {
		b = appendStr(appendStr(b, c.Algorithm), c.Value)
		b = appendBool(b, c.Composite)
	}
	return b
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// decoder reads what the append functions wrote. The first error sticks; every length is checked against what remains.
type decoder struct {
	b   []byte
	of  string // if not empty, ends with the bytes of b: strings are cut out of it
	err error
}

func (d *decoder) fail() {
	if d.err == nil {
		d.err = fmt.Errorf("catalog value: %w", ErrCorrupt)
	}
	d.b = nil
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// size reads a length: nobody wrote one beyond most.
func (d *decoder) size(most uint64) int64 {
	n := d.uint()
	if n > most {
		d.fail()
		return 0
	}
	return int64(n)
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) bool() bool {
	if len(d.b) == 0 {
		d.fail()
		return false
	}
	v := d.b[0] != 0
	d.b = d.b[1:]
	return v
}

func (d *decoder) bytes() []byte {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) str() string {
	v := d.bytes()
	if d.of == "" {
		return string(v)
	}
	end := len(d.of) - len(d.b)
	return d.of[end-len(v) : end]
}

func (d *decoder) text() string {
	var room [128]byte
	return string(spellOut(room[:0], d.bytes()))
}

func (d *decoder) uid() string {
	uid, rest, err := catalog.CutUID(d.b)
	if err != nil {
		d.fail()
		return ""
	}
	d.b = rest
	return uid
}

// etag reads an ETag; see appendETag.
func (d *decoder) etag() string {
	kind := d.uint()
	if kind == 0 {
		return d.str()
	}
	if len(d.b) < md5.Size {
		d.fail()
		return ""
	}
	sum := d.b[:md5.Size]
	d.b = d.b[md5.Size:]
	return etagOf(kind, sum)
}

// count reads the length of a list whose items take at least one byte each.
func (d *decoder) count() int {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) strs() []string {
	n := d.count()
	if n == 0 {
		return nil
	}
	out := make([]string, 0, n)
	for range n {
		out = append(out, d.str())
	}
	return out
}

func (d *decoder) stringMap() map[string]string {
	n := d.count()
	if n == 0 {
		return nil
	}
	m := make(map[string]string, n)
	for range n {
		k := d.text()
		m[k] = d.text()
	}
	return m
}

func (d *decoder) counts() counts {
	n := d.count()
	c := make(counts, 0, n+1) // one is often added
	for range n {
		c = append(c, count{d.str(), int(d.int())})
	}
	return c
}

func (d *decoder) checksums() []Checksum {
	n := d.count()
	if n == 0 {
		return nil
	}
	out := make([]Checksum, 0, n)
	for range n {
		out = append(out, Checksum{Algorithm: d.str(), Value: d.str(), Composite: d.bool()})
	}
	return out
}
