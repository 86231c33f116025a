package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"gantry/store/segment"
)

// seal writes the footer of a segment that is no longer appended to. It is off the write path; a failure leaves the
// segment unsealed, which costs nothing but the footer, and is tried again at the next start.
func (l *wal) seal(seg *segmentFile) {
	if err := l.writeFooter(seg); err != nil {
		l.logger.Warn("segment left unsealed", "segment", seg.name(), "error", err)
		return
	}
	l.mu.Lock()
	seg.sealed = true
	l.mu.Unlock()
}

func (l *wal) writeFooter(seg *segmentFile) (err error) {
	f, err := l.fs.OpenRW(l.path(seg))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size := int64(seg.end - seg.base)
	have, err := f.Size()
	if err != nil {
		return err
	}
	if have < size {
		return fmt.Errorf("%d bytes are missing: %w", size-have, ErrCorrupt)
	}
	if err := f.Truncate(size); err != nil { // a poisoned tail, or room reserved and not used
		return err
	}
	footer, err := seg.footer(f)
	if err != nil {
		return err
	}
	// What tells that there is a footer is written once the rest of it is durable: else power lost now could leave a footer with holes.
	rest := len(footer) - segment.FooterTail
	for _, piece := range [...][2]int{{0, rest}, {rest, len(footer)}} {
		if _, err := f.WriteAt(footer[piece[0]:piece[1]], size+int64(piece[0])); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return nil
}

// footer makes the footer from what was noted, or else from the file.
func (s *segmentFile) footer(r io.ReaderAt) ([]byte, error) {
	c := s.noted
	s.noted = nil
	if c == nil || c.end != s.end {
		var err error
		if c, err = readContents(r, s.base, s.end); err != nil {
			return nil, err
		}
	}
	return c.footer()
}

// contents is what the footer of a segment says of its records. It is noted while they are written, since reading them
// again from the disk would cost ingest its bandwidth.
type contents struct {
	base, end LSN // end is where the last record noted ends
	entries   []segment.Entry
	digest    hash.Hash
	stamp     segment.Stamp // of the last record
}

// maxNoted bounds the memory of contents, at 20 MB and as much again while they grow: segments of more records are read again.
// Objects of 1 KB make 120 000 records in a segment of the usual size.
const maxNoted = 1 << 19

func newContents(base LSN) *contents { return &contents{base: base, end: base, digest: sha256.New()} }

// note adds the records of a batch that was written. Sequencer only.
func (l *wal) note(records []*record) {
	seg := l.active()
	if seg.noted == nil {
		return
	}
	for _, r := range records {
		seg.noted.add(r.header, r.raw)
	}
	if len(seg.noted.entries) > maxNoted {
		seg.noted = nil
	}
}

func (c *contents) add(h *segment.Header, raw []byte) {
	c.digest.Write(raw)
	c.entries = append(c.entries, segment.Entry{
		LSN: h.LSN, Offset: int64(LSN(h.LSN) - c.base), PayloadLen: h.PayloadLen, HeaderLen: h.Len, Type: h.Type,
	})
	c.stamp, c.end = h.Stamp(), LSN(h.LSN)+LSN(h.RecordLen())
}

func (c *contents) footer() ([]byte, error) {
	ft := segment.Footer{Offset: int64(c.end - c.base), Entries: c.entries, Stamp: c.stamp}
	ft.Stamp.LSN = uint64(c.end)
	copy(ft.Digest[:], c.digest.Sum(nil))
	return segment.AppendFooter(nil, &ft)
}

// readContents goes through the headers of a segment whose records end at end.
func readContents(r io.ReaderAt, base, end LSN) (*contents, error) {
	c := newContents(base)
	sc := segment.NewScanner(r, int64(end-base), uint64(base))
	raw := make([]byte, segment.MaxHeader)
	for {
		h, off, err := sc.Next()
		if errors.Is(err, io.EOF) {
			return c, nil
		}
		if err != nil {
			return nil, err
		}
		if _, err := r.ReadAt(raw[:h.Len], off); err != nil {
			return nil, err
		}
		c.add(h, raw[:h.Len])
	}
}

// sealAll seals, in the background, the segments that a crash left without a footer. It goes through all of them, which may be very
// many, one by one until stop is closed.
func (l *wal) sealAll(stop <-chan struct{}) {
	segs := slices.Clone(l.segs[:max(len(l.segs)-1, 0)])
	for _, seg := range segs {
		seg.handed = true
	}
	l.sealing.Go(func() {
		for _, seg := range segs {
			select {
			case <-stop:
				return
			default:
				l.sealIfNot(seg)
			}
		}
	})
}

func (l *wal) sealIfNot(seg *segmentFile) {
	f, err := l.files.acquire(l.path(seg))
	if err != nil {
		l.logger.Warn("segment not looked at", "segment", seg.name(), "error", err)
		return
	}
	size, err := f.Size()
	if err == nil && size > int64(seg.end-seg.base) { // else what looks like a footer is the end of somebody's object
		var sealed bool
		if sealed, err = segment.IsFooter(f, size); sealed {
			l.mu.Lock()
			seg.sealed = true
			l.mu.Unlock()
		}
	}
	f.release()
	if err == nil && !seg.sealed {
		l.seal(seg)
	}
}
