package segment

import (
	"bytes"
	"hash/crc32"
	"slices"
	"strings"
	"unicode/utf8"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendHeader appends the header of a record: everything before the payload. It is complete and valid as it is; Stamp.Apply
// changes later what is known only then. On error dst is returned as it was.
func AppendHeader(dst []byte, h *Header) ([]byte, error) {
	if err := checkHeader(h); err != nil {
		return dst, err
	}
	start := len(dst)
	b := slices.Grow(dst, minHeader+sector)
	b = append(b, ustarTemplate[:]...) // the pax block, filled in when its body's length is known
	b, err := appendPax(b, h)
	if err != nil {
		return dst, err
	}
	body := len(b) - start - sector
	if sector+roundUp(body)+sector > MaxHeader {
		return dst, ErrTooLarge
	}
	fillUstar(b[start:start+sector], flagPax, paxName, int64(body))
	b = appendZeros(b, roundUp(body)-body)
	b = append(b, ustarTemplate[:]...)
	fillUstar(b[len(b)-sector:], flagFile, plainName(h.Name), h.PayloadLen)
	if err := h.Stamp().Apply(b[start:]); err != nil {
		return dst, err
	}
	return b, nil
}

// Widen makes a header longer by n bytes, a multiple of 512, with spaces behind the JSON of its comment, so that the record ends where
// the log wants it to. It leaves the checksums to Stamp.Apply. ErrTooLarge leaves the header as it was.
func Widen(header []byte, n int) ([]byte, error) {
	l, err := locate(header)
	switch {
	case err != nil:
		return header, err
	case len(header) != l.headerLen || n < sector || n%sector != 0:
		return header, malformed("not one header, or not whole sectors")
	case len(header)+n > MaxHeader:
		return header, ErrTooLarge
	}
	b := slices.Insert(header, l.commentTo, spaces[:n]...)
	// The comment's length, which counts its own digits, may need more of them: they take the place of as many spaces.
	was := l.commentTo + 1 - sector
	digits, more := decimalLen(was), decimalLen(was+n)-decimalLen(was)
	copy(b[sector+digits+more:l.commentTo+n], b[sector+digits:])
	putDecimal(b[sector:sector+digits+more], was+n)
	putOctal(b[ustarSize:ustarSize+ustarNumDigits], uint64(l.bodyTo-sector+n))
	sumUstar(b[:sector])
	return b, nil
}

var spaces = bytes.Repeat([]byte{' '}, MaxHeader)

// checkHeader refuses what the format cannot hold; DecodeHeader refuses the same, so that what is decoded can be encoded.
func checkHeader(h *Header) error {
	switch {
	case h.Version != 0 && h.Version != Version1:
		return ErrVersion
	case !h.Type.valid() || h.PayloadLen < 0:
		return ErrRange
	case h.PayloadLen > MaxPayload:
		return ErrTooLarge
	case !validName(h.Name):
		return ErrName
	case int64(len(h.Fields.CRC)) != (h.PayloadLen+BlockSize-1)/BlockSize:
		return malformed("number of block checksums does not fit the payload")
	}
	return nil
}

// validName says whether tar can extract a member of this name to where it belongs, without a warning.
func validName(name string) bool {
	if name == "" || len(name) > MaxName || !utf8.ValidString(name) {
		return false
	}
	for i := 0; i < len(name); i++ {
		if name[i] < ' ' || name[i] == 0x7f {
			return false
		}
	}
	if name[0] == '/' || name[len(name)-1] == '/' {
		return false
	}
	if !strings.Contains(name, "..") {
		return true
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return false
		}
	}
	return true
}

// appendPax appends the pax body: the comment with prefix and JSON, and the path where the ustar block cannot hold it.
func appendPax(b []byte, h *Header) ([]byte, error) {
	start := len(b)
	b = append(b, "     "...) // room for the record's length, which depends on itself
	b = append(b, " "+commentKey...)
	b = appendPrefix(b, h)
	b, err := appendFields(b, &h.Fields)
	if err != nil {
		return b, err
	}
	b = append(b, '\n')
	rest := len(b) - start - maxLenDigits
	if rest > MaxHeader {
		return b, ErrTooLarge
	}
	n := paxRecordLen(rest)
	digits := n - rest
	copy(b[start+digits:], b[start+maxLenDigits:])
	b = b[:start+n]
	putDecimal(b[start:start+digits], n)
	if needsPath(h.Name) {
		n := paxRecordLen(len(" "+pathKey+"\n") + len(h.Name))
		b = append(b, "     "[:decimalLen(n)]...)
		putDecimal(b[len(b)-decimalLen(n):], n)
		b = append(b, " "+pathKey...)
		b = append(b, h.Name...)
		b = append(b, '\n')
	}
	return b, nil
}

// appendPrefix appends the fixed part of the comment with all that Stamp.Apply does not patch.
func appendPrefix(b []byte, h *Header) []byte {
	const blank = prefixMagic + "00 00 0000000000000000 0000000000000000 -- " +
		"0000000000000000 0000000000000000 0000000000000000 00000000 "
	b = append(b, blank...)
	p := b[len(b)-prefixLen:]
	putDecimal(p[versionAt:versionAt+2], Version1)
	putDecimal(p[typeAt:typeAt+2], int(h.Type))
	putHex(p[payloadAt:payloadAt+u64Digits], uint64(h.PayloadLen))
	return b
}

// needsPath says whether the name does not fit the ustar block.
func needsPath(name string) bool {
	if len(name) > ustarNameLen {
		return true
	}
	for i := 0; i < len(name); i++ {
		if name[i] >= utf8.RuneSelf {
			return true
		}
	}
	return false
}

// plainName is what the ustar block holds: the name, or something like it for a reader that ignores pax.
func plainName(name string) string {
	if !needsPath(name) {
		return name
	}
	b := []byte(name[:min(len(name), ustarNameLen)])
	for i, c := range b {
		if c >= utf8.RuneSelf {
			b[i] = '_'
		}
	}
	if last := len(b) - 1; b[last] == '/' { // a slash at the end would make it a directory
		b[last] = '_'
	}
	return string(b)
}

func putDecimal(b []byte, v int) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = '0' + byte(v%10)
		v /= 10
	}
}

var zeros [sector]byte

// appendZeros appends fewer than 512 NULs.
func appendZeros(b []byte, n int) []byte { return append(b, zeros[:n]...) }
