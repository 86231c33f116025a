package catalog

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Encodings of key parts. Each keeps the order of what it encodes and ends by itself, so that parts can be put one after the
// other and bytes.Compare of whole keys compares part by part. Part of the format, never change.
//
//	string            bytes, each 00 as 00 ff, then 00 01
//	inverted string   the same with every bit flipped: descending order
//	UID               four bits a character, 0 at the end; any other string as ff and a string
//	uint64            8 bytes, big endian
//	inverted uint64   the same with every bit flipped
const (
	escapeByte     = 0x00
	escapedZero    = 0xff
	terminatorByte = 0x01
)

// AppendString appends s so that keys sort by the bytes of s.
func AppendString(dst []byte, s string) []byte {
	return append(AppendStringPrefix(dst, s), escapeByte, terminatorByte)
}

// AppendStringPrefix appends s without its end: what all keys begin with whose string begins with s.
func AppendStringPrefix(dst []byte, s string) []byte {
	for {
		i := bytes.IndexByte(viewBytes(s), escapeByte)
		if i < 0 {
			return append(dst, s...)
		}
		dst = append(append(dst, s[:i]...), escapeByte, escapedZero)
		s = s[i+1:]
	}
}

// CutString decodes a string from the front of key and returns what follows it.
func CutString(key []byte) (s string, rest []byte, err error) {
	i := bytes.IndexByte(key, escapeByte)
	if i >= 0 && i+1 < len(key) && key[i+1] == terminatorByte {
		return string(key[:i]), key[i+2:], nil
	}
	return cutEscaped(key, 0x00)
}

// AppendInvertedString appends s so that keys sort by the bytes of s in descending order.
func AppendInvertedString(dst []byte, s string) []byte {
	at := len(dst)
	dst = AppendString(dst, s)
	invert(dst[at:])
	return dst
}

// AppendInvertedStringPrefix appends s without its end: what all keys begin with whose inverted string begins with s.
func AppendInvertedStringPrefix(dst []byte, s string) []byte {
	at := len(dst)
	dst = AppendStringPrefix(dst, s)
	invert(dst[at:])
	return dst
}

// CutInvertedString decodes an inverted string from the front of key and returns what follows it.
func CutInvertedString(key []byte) (s string, rest []byte, err error) { return cutEscaped(key, 0xff) }

// cutEscaped decodes a string whose bytes were all XORed with mask.
func cutEscaped(key []byte, mask byte) (s string, rest []byte, err error) {
	var out []byte
	for i := 0; i < len(key); i++ {
		c := key[i] ^ mask
		if c != escapeByte {
			out = append(out, c)
			continue
		}
		if i++; i == len(key) {
			break
		}
		switch key[i] ^ mask {
		case terminatorByte:
			return string(out), key[i+1:], nil
		case escapedZero:
			out = append(out, 0)
		default:
			return "", nil, fmt.Errorf("escape %#x: %w", key[i], ErrEncoding)
		}
	}
	return "", nil, fmt.Errorf("string without end: %w", ErrEncoding)
}

func invert(b []byte) {
	for i := range b {
		b[i] = ^b[i]
	}
}

// uidDigits are the characters of a UID (PS3.5 9.1), in their order, which is that of their codes: 1 and up, 0 is the end.
const uidDigits = "\x00.0123456789"

// notUID comes before a string that holds other characters.
const notUID = 0xff

func uidCode(c byte) byte {
	switch {
	case c == '.':
		return 1
	case c >= '0' && c <= '9':
		return c - '0' + 2
	}
	return 0
}

// AppendUID appends a UID in half its length. Keys sort by the bytes of it; strings that are no UIDs come last.
func AppendUID(dst []byte, uid string) []byte {
	start := len(dst)
	for i := 0; i < len(uid); i++ {
		code := uidCode(uid[i])
		switch {
		case code == 0:
			return AppendString(append(dst[:start], notUID), uid)
		case i%2 == 0:
			dst = append(dst, code<<4)
		default:
			dst[len(dst)-1] |= code
		}
	}
	if len(uid)%2 == 0 {
		dst = append(dst, 0)
	}
	return dst
}

// CutUID decodes a UID from the front of key and returns what follows it.
func CutUID(key []byte) (uid string, rest []byte, err error) {
	if len(key) > 0 && key[0] == notUID {
		return CutString(key[1:])
	}
	var room [64]byte
	out := room[:0]
	for i, c := range key {
		high, low := c>>4, c&0xf
		if int(high) >= len(uidDigits) || int(low) >= len(uidDigits) || high == 0 && low != 0 {
			break
		}
		if high != 0 {
			out = append(out, uidDigits[high])
		}
		if low == 0 {
			return string(out), key[i+1:], nil
		}
		out = append(out, uidDigits[low])
	}
	return "", nil, fmt.Errorf("UID: %w", ErrEncoding)
}

// AppendUint64 appends v so that keys sort by it.
func AppendUint64(dst []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(dst, v) }

// CutUint64 decodes a number from the front of key and returns what follows it.
func CutUint64(key []byte) (v uint64, rest []byte, err error) {
	if len(key) < 8 {
		return 0, nil, fmt.Errorf("number of %d bytes: %w", len(key), ErrEncoding)
	}
	return binary.BigEndian.Uint64(key), key[8:], nil
}

// AppendInvertedUint64 appends v so that keys sort by it in descending order.
func AppendInvertedUint64(dst []byte, v uint64) []byte { return AppendUint64(dst, ^v) }

// CutInvertedUint64 decodes an inverted number from the front of key and returns what follows it.
func CutInvertedUint64(key []byte) (v uint64, rest []byte, err error) {
	v, rest, err = CutUint64(key)
	return ^v, rest, err
}

// PrefixEnd returns the smallest key greater than all keys that begin with prefix, nil if there is none.
func PrefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := append([]byte(nil), prefix[:i+1]...)
			end[i]++
			return end
		}
	}
	return nil
}
