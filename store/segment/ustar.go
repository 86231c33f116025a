package segment

import (
	"encoding/binary"
)

// Fields of a ustar block (POSIX.1-2001, pax, "ustar Interchange Format"): part of the format.
const (
	ustarName     = 0
	ustarNameLen  = 100
	ustarMode     = 100
	ustarUID      = 108
	ustarGID      = 116
	ustarSize     = 124
	ustarMtime    = 136
	ustarChecksum = 148
	ustarType     = 156
	ustarMagic    = 257
	ustarMajor    = 329
	ustarMinor    = 337

	ustarChecksumLen = 8
	ustarNumDigits   = 11 // octal digits of size and mtime, then a NUL

	flagPax  = 'x'
	flagFile = '0'
)

// ustarTemplate is what all our blocks have in common: mode 0644, uid and gid 0, magic, device 0.
var ustarTemplate = func() (b [sector]byte) {
	copy(b[ustarMode:], "0000644\x00")
	copy(b[ustarUID:], "0000000\x00")
	copy(b[ustarGID:], "0000000\x00")
	copy(b[ustarSize:], "00000000000\x00")
	copy(b[ustarMtime:], "00000000000\x00")
	copy(b[ustarMagic:], "ustar\x0000")
	copy(b[ustarMajor:], "0000000\x00")
	copy(b[ustarMinor:], "0000000\x00")
	return b
}()

// fillUstar writes a whole block, checksum included. The name is cut to its field.
func fillUstar(b []byte, flag byte, name string, size int64) {
	copy(b[:sector], ustarTemplate[:])
	copy(b[ustarName:ustarName+ustarNameLen], name)
	b[ustarType] = flag
	putOctal(b[ustarSize:ustarSize+ustarNumDigits], uint64(size))
	sumUstar(b)
}

// sumUstar brings a block's checksum up to date.
func sumUstar(b []byte) {
	putOctal(b[ustarChecksum:ustarChecksum+6], uint64(ustarSum(b)))
	b[ustarChecksum+6], b[ustarChecksum+7] = 0, ' '
}

// ustarSum is the sum of the block's bytes with the checksum's own taken as spaces.
func ustarSum(b []byte) int {
	const low = 0x00FF00FF00FF00FF
	var lanes uint64 // four sums of 16 bits; 128 bytes of at most 255 fit each
	for i := 0; i < sector; i += 8 {
		if i == ustarChecksum&^7 || i == ustarChecksum&^7+8 {
			continue // the checksum lies across these two words
		}
		w := binary.LittleEndian.Uint64(b[i:])
		lanes += w&low + w>>8&low
	}
	sum := int(lanes&0xFFFF + lanes>>16&0xFFFF + lanes>>32&0xFFFF + lanes>>48)
	for _, c := range b[ustarChecksum&^7 : ustarChecksum] {
		sum += int(c)
	}
	for _, c := range b[ustarChecksum+ustarChecksumLen : ustarChecksum&^7+16] {
		sum += int(c)
	}
	return sum + ustarChecksumLen*' '
}

// checkUstar says whether a block is one of ours: right kind, right checksum.
func checkUstar(b []byte, flag byte) error {
	if string(b[ustarMagic:ustarMagic+8]) != "ustar\x0000" || b[ustarType] != flag {
		return malformed("not a tar block of the kind expected")
	}
	sum, ok := parseOctal(b[ustarChecksum : ustarChecksum+6])
	if !ok || sum != uint64(ustarSum(b)) || b[ustarChecksum+6] != 0 || b[ustarChecksum+7] != ' ' {
		return ErrChecksum
	}
	return nil
}

func putOctal(b []byte, v uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = '0' + byte(v&7)
		v >>= 3
	}
}

func parseOctal(b []byte) (v uint64, ok bool) {
	for _, c := range b {
		if c < '0' || c > '7' {
			return 0, false
		}
		v = v<<3 | uint64(c-'0')
	}
	return v, true
}

const hexDigits = "0123456789abcdef"

// putHex writes v in lower case over all of b.
func putHex(b []byte, v uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = hexDigits[v&15]
		v >>= 4
	}
}

// parseHex accepts what putHex writes and nothing else.
func parseHex(b []byte) (v uint64, ok bool) {
	for _, c := range b {
		d, ok := hexValue(c)
		if !ok {
			return 0, false
		}
		v = v<<4 | uint64(d)
	}
	return v, true
}

func hexValue(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// decimalLen returns how many decimal digits v has.
func decimalLen(v int) int {
	n := 1
	for v >= 10 {
		v /= 10
		n++
	}
	return n
}

// paxRecordLen returns the length of the pax record "LEN key=value\n" whose part after the digits of LEN is rest bytes long;
// LEN counts itself.
func paxRecordLen(rest int) int {
	n := rest + decimalLen(rest)
	return rest + decimalLen(n)
}

// roundUp is n rounded up to whole sectors.
func roundUp(n int) int { return (n + sector - 1) &^ (sector - 1) }
