package store

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Catalog values are sequences of varints and length-prefixed strings, in the order in which each type's append and
// decode functions list them. The catalog is disposable: a change here only needs a new catalogFormat.

func appendInt(b []byte, v int64) []byte { return binary.AppendVarint(b, v) }

func appendUint(b []byte, v uint64) []byte { return binary.AppendUvarint(b, v) }

func appendStr[T ~string | ~[]byte](b []byte, s T) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
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
		b = appendStr(appendStr(b, k), m[k])
	}
	return b
}

func appendCounts(b []byte, m map[string]int) []byte {
	b = appendUint(b, uint64(len(m)))
	for _, k := range sortedKeys(m) {
		b = appendInt(appendStr(b, k), int64(m[k]))
	}
	return b
}

func sortedKeys(m map[string]int) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
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

func (d *decoder) str() string { return string(d.bytes()) }

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
		k := d.str()
		m[k] = d.str()
	}
	return m
}

func (d *decoder) counts() map[string]int {
	n := d.count()
	m := make(map[string]int, n)
	for range n {
		k := d.str()
		m[k] = int(d.int())
	}
	return m
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
