package segment

import (
	"encoding/binary"
	"hash/crc32"
	"time"
)

// Stamp is what the log decides about a record when it commits it.
type Stamp struct {
	LSN         uint64
	Epoch       uint64
	CommitPoint uint64
	First, Last bool
	Time        int64 // nanoseconds since 1970 UTC, 0 to MaxTime
}

// Apply writes the stamp into a header that AppendHeader made, or into a copy of any other one (packs and compaction
// restamp without touching the JSON), and brings the checksums up to date. It neither checks the old ones nor allocates.
// The header must be whole; on error it is unchanged.
func (s Stamp) Apply(header []byte) error {
	if s.Time < 0 || s.Time > MaxTime {
		return ErrRange
	}
	l, err := locate(header)
	if err != nil {
		return err
	}
	if len(header) != l.headerLen {
		return malformed("not exactly one header")
	}
	p := header[l.prefix : l.prefix+prefixLen]
	putHex(p[lsnAt:lsnAt+u64Digits], s.LSN)
	putHex(p[epochAt:epochAt+u64Digits], s.Epoch)
	putHex(p[commitAt:commitAt+u64Digits], s.CommitPoint)
	putHex(p[timeAt:timeAt+u64Digits], uint64(s.Time))
	p[marksAt], p[marksAt+1] = mark(s.First, markFirst), mark(s.Last, markLast)

	member := header[l.headerLen-sector:]
	putOctal(member[ustarMtime:ustarMtime+ustarNumDigits], uint64(s.Time/int64(time.Second)))
	sumUstar(member)

	var sum [4]byte
	binary.BigEndian.PutUint32(sum[:], headerCRC(header, l.prefix+crcAt))
	for i, c := range sum {
		p[crcAt+2*i], p[crcAt+2*i+1] = hexDigits[c>>4], hexDigits[c&15]
	}
	return nil
}

func mark(on bool, c byte) byte {
	if on {
		return c
	}
	return markNone
}

var crcBlank = []byte("00000000")

// headerCRC is the checksum of a header whose own digits are at the given place.
func headerCRC(header []byte, at int) uint32 {
	sum := crc32.Update(0, castagnoli, header[:at])
	sum = crc32.Update(sum, castagnoli, crcBlank)
	return crc32.Update(sum, castagnoli, header[at+crcDigits:])
}

// layout is where things are in a header.
type layout struct {
	prefix    int // offset of the prefix
	commentTo int // offset of the newline that ends the comment
	bodyTo    int // offset of the end of the pax body, before its padding
	headerLen int
}

// locate finds the parts of a header by the pax block's size and the comment's length. It needs PeekLen bytes at most, and
// checks only what it uses.
func locate(b []byte) (l layout, err error) {
	if len(b) < minHeader {
		if len(b) >= ustarMagic+5 && string(b[ustarMagic:ustarMagic+5]) != "ustar" {
			return l, malformed("no tar block")
		}
		if len(b) < PeekLen {
			return l, &ShortError{Need: minHeader}
		}
	}
	if string(b[ustarMagic:ustarMagic+5]) != "ustar" || b[ustarType] != flagPax {
		return l, malformed("no pax block")
	}
	size, ok := parseOctal(b[ustarSize : ustarSize+ustarNumDigits])
	if !ok || size > MaxHeader-2*sector || size < prefixLen {
		return l, malformed("length of the pax body")
	}
	l.bodyTo = sector + int(size)
	l.headerLen = sector + roundUp(int(size)) + sector
	n, at := 0, sector
	for ; at < sector+maxLenDigits && b[at] != ' '; at++ {
		if b[at] < '0' || b[at] > '9' {
			return l, malformed("length of the comment")
		}
		n = n*10 + int(b[at]-'0')
	}
	l.prefix = at + 1 + len(commentKey)
	l.commentTo = sector + n - 1
	if b[at] != ' ' || string(b[at+1:l.prefix]) != commentKey ||
		l.commentTo < l.prefix+prefixLen || l.commentTo >= l.bodyTo {
		return l, malformed("no comment where it must be")
	}
	if string(b[l.prefix:l.prefix+len(prefixMagic)]) != prefixMagic {
		return l, malformed("comment is not one of ours")
	}
	return l, nil
}
