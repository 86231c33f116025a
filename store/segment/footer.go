package segment

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// The footer's payload, part of the format; all integers big-endian:
//
//	entries, 32 bytes each, in the order of the file:
//	     0  8  LSN
//	     8  8  offset of the record in the file
//	    16  8  length of the payload
//	    24  4  length of the header
//	    28  1  record type
//	    29  3  NULs
//	NULs, so that the payload's length is a multiple of 512
//	trailer, 64 bytes:
//	     0 32  SHA-256 of the bytes of all headers one after the other, in the order of the entries
//	    32  8  number of entries
//	    40  8  offset of the footer's own record in the file
//	    48  4  length of the footer's own header
//	    52  4  CRC-32C of the trailer's first 52 bytes
//	    56  8  "gantryft"
//
// After the payload come the two zero blocks that end a tar archive, and the end of the file.
const (
	entryLen     = 32
	trailerLen   = 64
	trailerMagic = "gantryft"
	endLen       = 2 * sector

	// FooterTail is how many bytes at the end of a sealed file tell that it has a footer: the trailer's sector, and the end of the archive.
	FooterTail = sector + endLen

	// MaxFooterEntries is the greatest number of records in a file that is sealed: 2 Mi, 64 MiB of footer.
	MaxFooterEntries = 2 << 20
)

// ErrNoFooter means that a file does not end in a footer: it is not sealed, or cut short.
var ErrNoFooter = errors.New("segment: no footer")

// Entry is what the footer says about a record.
type Entry struct {
	LSN        uint64
	Offset     int64 // in the file
	PayloadLen int64
	HeaderLen  int
	Type       Type
}

// RecordLen returns the length in bytes of the whole record: header, payload and padding.
func (e *Entry) RecordLen() int64 {
	return int64(e.HeaderLen) + e.PayloadLen + Padding(e.PayloadLen)
}

// Footer is what seals a file.
type Footer struct {
	// Stamp of the footer's header. The LSN is the one after the last record, where the log goes on; 0 in a pack.
	Stamp   Stamp
	Offset  int64    // of the footer's record in the file, which is where the last record ends
	Entries []Entry  // all records of the file, in its order
	Digest  [32]byte // SHA-256 of the bytes of all headers, see DigestHeaders
}

// AppendFooter appends all that comes after the last record of a sealed file: the footer and the end of the archive.
func AppendFooter(dst []byte, f *Footer) ([]byte, error) {
	if len(f.Entries) > MaxFooterEntries || f.Offset < 0 {
		return dst, ErrTooLarge
	}
	payload := make([]byte, (len(f.Entries)*entryLen+trailerLen+sector-1)&^(sector-1))
	for i := range f.Entries {
		putEntry(payload[i*entryLen:], &f.Entries[i])
	}
	trailer := payload[len(payload)-trailerLen:]
	copy(trailer, f.Digest[:])
	binary.BigEndian.PutUint64(trailer[32:], uint64(len(f.Entries)))
	binary.BigEndian.PutUint64(trailer[40:], uint64(f.Offset))
	copy(trailer[56:], trailerMagic)

	h := &Header{
		Type: TypeFooter, LSN: f.Stamp.LSN, Epoch: f.Stamp.Epoch, CommitPoint: f.Stamp.CommitPoint, First: f.Stamp.First,
		Last: f.Stamp.Last, Time: f.Stamp.Time, Name: FooterName, PayloadLen: int64(len(payload)),
	}
	h.Fields.CRC = make([]uint32, (len(payload)+BlockSize-1)/BlockSize) // to learn the header's length, which is in the trailer
	sized, err := AppendHeader(nil, h)
	if err != nil {
		return dst, err
	}
	binary.BigEndian.PutUint32(trailer[48:], uint32(len(sized)))
	binary.BigEndian.PutUint32(trailer[52:], crc32.Checksum(trailer[:52], castagnoli))
	h.Fields.CRC = BlockCRCs([][]byte{payload})
	b, err := AppendHeader(dst, h)
	if err != nil {
		return dst, err
	}
	b = append(b, payload...)
	b = appendZeros(b, sector)
	return appendZeros(b, sector), nil
}

func putEntry(b []byte, e *Entry) {
	binary.BigEndian.PutUint64(b, e.LSN)
	binary.BigEndian.PutUint64(b[8:], uint64(e.Offset))
	binary.BigEndian.PutUint64(b[16:], uint64(e.PayloadLen))
	binary.BigEndian.PutUint32(b[24:], uint32(e.HeaderLen))
	b[28] = byte(e.Type)
}

// parseEntry reads an entry that must begin where the one before it ended.
func parseEntry(b []byte, at int64) (e Entry, err error) {
	e = Entry{
		LSN: binary.BigEndian.Uint64(b), Offset: int64(binary.BigEndian.Uint64(b[8:])),
		PayloadLen: int64(binary.BigEndian.Uint64(b[16:])), HeaderLen: int(binary.BigEndian.Uint32(b[24:])), Type: Type(b[28]),
	}
	if e.Offset != at || e.PayloadLen < 0 || e.PayloadLen > MaxPayload || e.HeaderLen < minHeader ||
		e.HeaderLen > MaxHeader || e.HeaderLen%sector != 0 || !e.Type.valid() {
		return e, malformed("footer entry")
	}
	return e, nil
}

// trailer is the end of a footer's payload.
type trailer struct {
	digest    [32]byte
	entries   int
	offset    int64
	headerLen int64
}

func (t *trailer) payloadLen() int64 {
	return int64(roundUp(t.entries*entryLen + trailerLen))
}

// readTrailer reads the end of a file and checks that all lengths fit it.
func readTrailer(r io.ReaderAt, size int64) (t trailer, err error) {
	var b [trailerLen + endLen]byte
	if size < minHeader+sector+endLen || size%sector != 0 {
		return t, ErrNoFooter
	}
	if err := readFull(r, b[:], size-int64(len(b))); err != nil {
		return t, err
	}
	for _, c := range b[trailerLen:] {
		if c != 0 {
			return t, ErrNoFooter
		}
	}
	if string(b[56:64]) != trailerMagic || binary.BigEndian.Uint32(b[52:]) != crc32.Checksum(b[:52], castagnoli) {
		return t, ErrNoFooter
	}
	copy(t.digest[:], b[:])
	entries := binary.BigEndian.Uint64(b[32:])
	t.offset = int64(binary.BigEndian.Uint64(b[40:]))
	t.headerLen = int64(binary.BigEndian.Uint32(b[48:]))
	t.entries = int(min(entries, MaxFooterEntries))
	if entries > MaxFooterEntries || t.headerLen > MaxHeader || t.offset < 0 || t.offset > size ||
		t.offset+t.headerLen+t.payloadLen()+endLen != size {
		return t, malformed("footer trailer")
	}
	return t, nil
}

// IsFooter says whether a file of this size ends in a footer. It reads the last bytes only; an error is one of reading.
func IsFooter(r io.ReaderAt, size int64) (bool, error) {
	_, err := readTrailer(r, size)
	if errors.Is(err, ErrNoFooter) || errors.Is(err, ErrFormat) {
		return false, nil
	}
	return err == nil, err
}

// ReadFooter reads and verifies the footer at the end of a file: its own checksums, and that its records fill the file without a
// gap. Whether the headers in the file are those that it was made for, VerifyHeaders says. The error is ErrNoFooter, ErrChecksum or
// ErrFormat, or one of reading.
func ReadFooter(r io.ReaderAt, size int64) (*Footer, error) {
	t, err := readTrailer(r, size)
	if err != nil {
		return nil, err
	}
	head := make([]byte, t.headerLen)
	if err := readFull(r, head, t.offset); err != nil {
		return nil, err
	}
	h, err := DecodeHeader(head)
	if err != nil {
		return nil, fmt.Errorf("footer: %w", err)
	}
	if h.Type != TypeFooter || h.Name != FooterName || h.PayloadLen != t.payloadLen() || int64(h.Len) != t.headerLen {
		return nil, malformed("footer header")
	}
	payload := make([]byte, h.PayloadLen)
	if err := readFull(r, payload, t.offset+t.headerLen); err != nil {
		return nil, err
	}
	if err := VerifyPayload(payload, 0, h.Fields.CRC); err != nil {
		return nil, fmt.Errorf("footer: %w", err)
	}
	f := &Footer{Stamp: h.Stamp(), Offset: t.offset, Digest: t.digest, Entries: make([]Entry, t.entries)}
	at := int64(0)
	for i := range f.Entries {
		if f.Entries[i], err = parseEntry(payload[i*entryLen:], at); err != nil {
			return nil, err
		}
		at += f.Entries[i].RecordLen()
	}
	if at != f.Offset {
		return nil, malformed("footer entries do not fill the file")
	}
	return f, nil
}

// DigestHeaders reads all headers that the entries name and returns their SHA-256. It does not look into them.
func DigestHeaders(r io.ReaderAt, entries []Entry) (digest [32]byte, err error) {
	hash := sha256.New()
	buf := make([]byte, MaxHeader)
	for i := range entries {
		if entries[i].HeaderLen < 0 || entries[i].HeaderLen > MaxHeader {
			return digest, malformed("footer entry")
		}
		b := buf[:entries[i].HeaderLen]
		if err := readFull(r, b, entries[i].Offset); err != nil {
			return digest, err
		}
		hash.Write(b)
	}
	hash.Sum(digest[:0])
	return digest, nil
}

// VerifyHeaders checks all headers of a file against its footer. A mismatch is ErrChecksum.
func (f *Footer) VerifyHeaders(r io.ReaderAt) error {
	digest, err := DigestHeaders(r, f.Entries)
	if err != nil {
		return err
	}
	if digest != f.Digest {
		return fmt.Errorf("headers against footer: %w", ErrChecksum)
	}
	return nil
}

// readFull reads all of b or fails.
func readFull(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
