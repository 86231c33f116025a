package segment

import (
	"errors"
	"fmt"
	"io"
)

// AnyLSN as the base of a scanner means that LSNs don't follow from offsets, as in packs.
const AnyLSN = ^uint64(0)

// TornError means that a file does not end with a whole record. The bytes from Offset on are what a crash left of writes that were
// never synced, or a file that was cut. Whether a record must have been there only the commit point tells.
type TornError struct {
	Offset int64 // where the last whole record ends
	Err    error // what is wrong there
}

// Error implements error.
func (e *TornError) Error() string {
	return fmt.Sprintf("segment: torn tail at offset %d: %v", e.Offset, e.Err)
}

// Unwrap returns what is wrong.
func (e *TornError) Unwrap() error { return e.Err }

// CorruptError means that bytes in the middle of a file are not a record, but that there are records after them. Past the
// commit point it can also be the trace of a crash, which keeps or loses unsynced sectors in any order.
type CorruptError struct {
	Offset int64 // where a record should begin
	Resume int64 // where the next good one begins
	Err    error // what is wrong at Offset
}

// Error implements error.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("segment: corrupt from offset %d to %d: %v", e.Offset, e.Resume, e.Err)
}

// Unwrap returns what is wrong.
func (e *CorruptError) Unwrap() error { return e.Err }

const (
	smallRead  = 8 << 10  // when payloads are skipped: most headers in one read
	searchRead = 1 << 20  // when looking for the next header
	largeRead  = 64 << 10 // when records are small: many in one read
)

// Scanner goes through the headers of a segment or pack in the order of the file. It reads no payloads, except to look for
// the next header where one is damaged. It holds at most about 1 MiB. Not for concurrent use.
type Scanner struct {
	r    io.ReaderAt
	size int64
	base uint64
	next int64 // where the next record should begin
	err  error // sticky end

	buf   []byte // bytes of the file from bufAt on
	bufAt int64
	last  int64 // length of the last record, which tells how much to read ahead
}

// NewScanner starts at the beginning of a file of size bytes, whose first byte has the LSN base (AnyLSN for a pack). Bytes that do
// not belong to the file any more (a poisoned tail) are cut off by a smaller size.
func NewScanner(r io.ReaderAt, size int64, base uint64) *Scanner {
	return &Scanner{r: r, size: size, base: base, last: largeRead}
}

// SkipTo sets the offset at which Next goes on, which must be one where a record begins.
func (s *Scanner) SkipTo(off int64) { s.next, s.err = off, nil }

// Offset returns where the next record should begin: after io.EOF, where the records end and the footer, if any, begins.
func (s *Scanner) Offset() int64 { return s.next }

// Next returns the next header and the offset of its record. At the end of the file, or at the footer, it returns io.EOF; a
// *TornError where the file ends in something else; a *CorruptError where there is damage, and then the next call goes on after
// it. The whole record, padding included, lies within the file; that the payload is undamaged is for the caller to check.
// Errors of reading are returned as they are, and the call may be repeated.
func (s *Scanner) Next() (*Header, int64, error) {
	if s.err != nil {
		return nil, 0, s.err
	}
	if s.next >= s.size {
		s.err = io.EOF
		return nil, 0, s.err
	}
	h, err := s.headerAt(s.next)
	if err != nil {
		if !damaged(err) {
			return nil, 0, err
		}
		return nil, 0, s.damage(err)
	}
	if h.Type == TypeFooter {
		s.err = io.EOF
		return nil, 0, s.err
	}
	at := s.next
	s.last = h.RecordLen()
	s.next += s.last
	return h, at, nil
}

// damaged tells bad bytes from a read that failed.
func damaged(err error) bool {
	return errors.Is(err, ErrFormat) || errors.Is(err, ErrChecksum) || errors.Is(err, ErrShort)
}

// headerAt returns the header at off if it is good and its record ends within the file.
func (s *Scanner) headerAt(off int64) (*Header, error) {
	want := smallRead
	if s.last < largeRead/4 {
		want = largeRead
	}
	b, err := s.window(off, want)
	if err != nil {
		return nil, err
	}
	h, err := DecodeHeader(b)
	var short *ShortError
	if errors.As(err, &short) && int64(short.Need) <= s.size-off {
		if b, err = s.window(off, short.Need); err != nil {
			return nil, err
		}
		h, err = DecodeHeader(b)
	}
	switch {
	case err != nil:
		return nil, err
	case s.base != AnyLSN && h.LSN != s.base+uint64(off):
		return nil, malformed("LSN does not fit the offset")
	case h.RecordLen() > s.size-off:
		return nil, malformed("record goes past the end")
	}
	return h, nil
}

// window returns the bytes from off on, at least want of them or up to the end of the file.
func (s *Scanner) window(off int64, want int) ([]byte, error) {
	want = int(min(int64(want), s.size-off))
	have := s.bufAt + int64(len(s.buf)) - off
	if off >= s.bufAt && (have >= int64(want) || have >= minHeader && s.holdsHeader(off)) {
		return s.buf[off-s.bufAt:], nil
	}
	if cap(s.buf) < want {
		s.buf = make([]byte, want)
	}
	s.buf, s.bufAt = s.buf[:want], off
	if err := readFull(s.r, s.buf, off); err != nil {
		s.buf = s.buf[:0]
		return nil, err
	}
	return s.buf, nil
}

// holdsHeader says whether the buffer has all of the header at off, if there is one.
func (s *Scanner) holdsHeader(off int64) bool {
	p, err := PeekHeader(s.buf[off-s.bufAt:])
	return err == nil && int64(p.HeaderLen) <= s.bufAt+int64(len(s.buf))-off
}

// damage finds out what follows the damage at s.next.
func (s *Scanner) damage(cause error) error {
	resume, err := s.trustedEnd(s.next)
	if err == nil && resume < 0 {
		resume, err = s.search(s.next + sector)
	}
	if err != nil {
		return err
	}
	if resume < 0 {
		s.err = &TornError{Offset: s.next, Err: cause}
		return s.err
	}
	e := &CorruptError{Offset: s.next, Resume: resume, Err: cause}
	s.next = resume
	return e
}

// trustedEnd returns where the damaged record at off ends if its lengths have survived and a good header follows, else -1. It
// keeps search out of a payload that holds, by chance or malice, something like records.
func (s *Scanner) trustedEnd(off int64) (int64, error) {
	b, err := s.window(off, MaxHeader)
	if err != nil {
		return 0, err
	}
	p, err := PeekHeader(b)
	if err != nil || len(b) < p.HeaderLen || s.base != AnyLSN && p.Stamp.LSN != s.base+uint64(off) {
		return -1, nil
	}
	member := b[p.HeaderLen-sector : p.HeaderLen]
	size, ok := parseOctal(member[ustarSize : ustarSize+ustarNumDigits])
	if checkUstar(b, flagPax) != nil || checkUstar(member, flagFile) != nil || !ok || int64(size) != p.PayloadLen {
		return -1, nil
	}
	next := off + p.RecordLen()
	if next+minHeader > s.size {
		return -1, nil
	}
	if _, err := s.headerAt(next); err != nil {
		if damaged(err) {
			err = nil
		}
		return -1, err
	}
	return next, nil
}

// search returns the offset of the next good header from off on, -1 if there is none.
func (s *Scanner) search(off int64) (int64, error) {
	off = (off + sector - 1) &^ (sector - 1)
	buf := make([]byte, min(searchRead, max(s.size-off, 0)))
	for off+minHeader <= s.size {
		b := buf[:min(int64(len(buf)), s.size-off)]
		if err := readFull(s.r, b, off); err != nil {
			return 0, err
		}
		for i := 0; i+sector <= len(b); i += sector {
			if checkUstar(b[i:i+sector], flagPax) != nil {
				continue
			}
			_, err := s.headerAt(off + int64(i))
			if err == nil {
				return off + int64(i), nil
			}
			if !damaged(err) {
				return 0, err
			}
		}
		off += int64(len(b)) &^ (sector - 1)
	}
	return -1, nil
}
