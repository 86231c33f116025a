package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gantry/console"
	"gantry/store/segment"
)

func newSegment() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "segment",
		Short: "Look into a segment",
		Long: `Look into one file of the log, with nothing else at hand: no data directory, no catalog. A running gantry is not disturbed.

A segment is a tar archive: “tar tf FILE” and “tar xf FILE” work as well. These commands also check the checksums, and show what tar
does not.`,
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("segment: say ls or cat")}
		},
	}
	cmd.AddCommand(newSegmentLs(), newSegmentCat())
	return cmd
}

// segmentFile is an open file of the log.
type segmentFile struct {
	*os.File
	size int64
	base uint64 // LSN of the first byte, or segment.AnyLSN if the name doesn't tell
}

// openSegment opens a segment. The LSN of its first byte is its name: 16 hex digits.
func openSegment(path string) (*segmentFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	s := &segmentFile{File: f, size: info.Size(), base: segment.AnyLSN}
	name, _, _ := strings.Cut(filepath.Base(path), ".")
	if lsn, ok := parseLSN(name); ok {
		s.base = lsn
	}
	return s, nil
}

// parseLSN reads the 16 hex digits that LSNs are written as.
func parseLSN(s string) (uint64, bool) {
	if len(s) != 16 {
		return 0, false
	}
	v, err := strconv.ParseUint(s, 16, 64)
	return v, err == nil
}

// scan calls record for each header, and damage for what is not one. What damage tells is complete: the scan goes on to the end.
func (s *segmentFile) scan(record func(h *segment.Header, off int64) error, damage func(from, to int64, err error)) error {
	sc := segment.NewScanner(s, s.size, s.base)
	for {
		h, off, err := sc.Next()
		var torn *segment.TornError
		var rot *segment.CorruptError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &torn):
			damage(torn.Offset, s.size, fmt.Errorf("no whole record: %w", torn.Err))
			return nil
		case errors.As(err, &rot):
			damage(rot.Offset, rot.Resume, rot.Err)
			continue
		case err != nil:
			return err
		}
		if err := record(h, off); err != nil {
			return err
		}
	}
}

// payload writes the payload of a record, block by block; nothing of a damaged block is written. A nil writer only checks.
func (s *segmentFile) payload(w io.Writer, h *segment.Header, off int64) error {
	if h.Fields.Encoding != "" {
		return fmt.Errorf("payload is encoded as %q, which this version does not know", h.Fields.Encoding)
	}
	buf := make([]byte, min(h.PayloadLen, segment.BlockSize))
	pos := off + int64(h.Len)
	for i, left := 0, h.PayloadLen; left > 0; i++ {
		b := buf[:min(left, segment.BlockSize)]
		if _, err := s.ReadAt(b, pos); err != nil {
			return fmt.Errorf("read payload: %w", err)
		}
		if err := segment.VerifyPayload(b, i, h.Fields.CRC); err != nil {
			return &damagedError{off: pos, err: err}
		}
		if w != nil {
			if _, err := w.Write(b); err != nil {
				return err
			}
		}
		pos, left = pos+int64(len(b)), left-int64(len(b))
	}
	return nil
}

// damagedError is damage of a payload, and where in the file it is.
type damagedError struct {
	off int64
	err error
}

func (e *damagedError) Error() string { return fmt.Sprintf("offset %d: %v", e.off, e.err) }

func (e *damagedError) Unwrap() error { return e.err }

func newSegmentLs() *cobra.Command {
	var l segmentLs
	cmd := &cobra.Command{
		Use:   "ls FILE",
		Short: "List the records of a segment",
		Long: `List the records of a segment, one line each: LSN, type, epoch, commit time, size of the payload, name. What is not a record is
reported as a line “damage”, with the offsets in the file where it begins and ends and what is wrong; the records after it are listed. A file that
was being written when it was copied, or when the power failed, may end in such a stretch without any loss.

Names may hold patient data.

Exit codes: 0 done; 1 error; 2 wrong arguments; 3 done, but something is damaged.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := openSegment(args[0])
			if err != nil {
				return err
			}
			defer func() { _ = f.Close() }()
			l.out, l.note = cmd.OutOrStdout(), cmd.ErrOrStderr()
			return l.run(f)
		},
	}
	cmd.Flags().BoolVarP(&l.long, "long", "l", false, "show everything that each header says")
	cmd.Flags().BoolVar(&l.check, "check", false, "read and check the payloads, too")
	return cmd
}

// segmentLs is one run of `segment ls`.
type segmentLs struct {
	long, check bool
	out, note   io.Writer

	records, bytes, damaged int64
	last                    int64 // where the last record ends
}

func (l *segmentLs) run(f *segmentFile) error {
	err := f.scan(func(h *segment.Header, off int64) error { return l.record(f, h, off) }, l.damage)
	if err != nil {
		return err
	}
	state := "not sealed"
	ft, err := segment.ReadFooter(f, f.size)
	switch {
	case err == nil:
		state = "sealed"
		if err := ft.VerifyHeaders(f); err != nil && l.damaged == 0 {
			l.damage(ft.Offset, f.size, fmt.Errorf("footer: %w", err))
		}
	case errors.Is(err, segment.ErrNoFooter):
	case errors.Is(err, segment.ErrChecksum), errors.Is(err, segment.ErrFormat), errors.Is(err, segment.ErrVersion):
		l.damage(l.last, f.size, fmt.Errorf("footer: %w", err))
	default:
		return err
	}
	fmt.Fprintf(l.note, "%d records with %s, %s, %d places damaged\n", l.records, console.Size(l.bytes), state, l.damaged)
	if l.damaged > 0 {
		return errFindings
	}
	return nil
}

func (l *segmentLs) record(f *segmentFile, h *segment.Header, off int64) error {
	l.records++
	l.bytes += h.PayloadLen
	l.last = off + h.RecordLen()
	if err := l.print(f, h, off); err != nil {
		return err
	}
	if !l.check {
		return nil
	}
	err := f.payload(nil, h, off)
	if bad := (*damagedError)(nil); errors.As(err, &bad) {
		l.damage(off, l.last, fmt.Errorf("record %016x: %w", h.LSN, err))
		return nil
	}
	return err
}

func (l *segmentLs) print(f *segmentFile, h *segment.Header, off int64) error {
	if l.long {
		raw := make([]byte, h.Len)
		if _, err := f.ReadAt(raw, off); err != nil {
			return fmt.Errorf("read header: %w", err)
		}
		if err := segment.Describe(l.out, off, raw); err != nil {
			return fmt.Errorf("describe record: %w", err)
		}
		_, err := fmt.Fprintln(l.out)
		return err
	}
	at := time.Unix(0, h.Time).UTC().Format("2006-01-02T15:04:05.000Z")
	_, err := fmt.Fprintf(l.out, "%016x  %-12s %4d  %s %12d  %s\n", h.LSN, h.Type, h.Epoch, at, h.PayloadLen, h.Name)
	return err
}

func (l *segmentLs) damage(from, to int64, err error) {
	l.damaged++
	fmt.Fprintf(l.out, "damage  %d to %d: %v\n", from, to, err)
}
