package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"gantry/store"
	"gantry/store/segment"
)

func newSegmentCat() *cobra.Command {
	var list bool
	cmd := &cobra.Command{
		Use:   "cat FILE LSN|NAME",
		Short: "Write the payload of a record to stdout",
		Long: `Write the payload of one record to stdout, every block checked against its checksum before it is written. The record is named by its LSN
(16 hex digits, as ls shows it) or by its name; where several have that name, the last one is meant. A large object lies in extents: if they are all
in the file, they are checked and written one after the other; if not, nothing is written, and stderr tells which are elsewhere.

Exit codes: 0 done; 1 error, or no such record; 2 wrong arguments; 3 the record is damaged, or extents are not in this file.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := openSegment(args[0])
			if err != nil {
				return err
			}
			defer func() { _ = f.Close() }()
			c := segmentCat{file: f, what: args[1], list: list, out: cmd.OutOrStdout(), note: cmd.ErrOrStderr()}
			return c.run()
		},
	}
	cmd.Flags().BoolVar(&list, "list", false, "of a large object, write the list of its extents instead of its bytes")
	return cmd
}

// place is where a record is.
type place struct {
	off int64
	h   *segment.Header
}

// segmentCat is one run of `segment cat`.
type segmentCat struct {
	file      *segmentFile
	what      string
	list      bool
	out, note io.Writer

	found   place
	same    int              // records that fit
	extents map[string]int64 // offsets of extents by name
	damaged bool
}

func (c *segmentCat) run() error {
	c.extents = map[string]int64{}
	lsn, byLSN := parseLSN(c.what)
	err := c.file.scan(func(h *segment.Header, off int64) error {
		if h.Type == segment.TypeExtent {
			c.extents[h.Name] = off
		}
		if byLSN && h.LSN == lsn || !byLSN && h.Name == c.what {
			c.found = place{off, h}
			c.same++
		}
		return nil
	}, func(from, to int64, err error) {
		c.damaged = true
		fmt.Fprintf(c.note, "damage  %d to %d: %v\n", from, to, err)
	})
	switch {
	case err != nil:
		return err
	case c.found.h == nil && c.damaged:
		fmt.Fprintf(c.note, "no record %s is readable in this file\n", c.what)
		return errFindings
	case c.found.h == nil:
		return fmt.Errorf("no record %s in this file", c.what)
	case c.same > 1:
		fmt.Fprintf(c.note, "%d records have this name; the last one is written, LSN %016x\n", c.same, c.found.h.LSN)
	}
	if c.found.h.Type == segment.TypeComplete && !c.list {
		err = c.large()
	} else {
		err = c.file.payload(c.out, c.found.h, c.found.off)
	}
	if bad := (*damagedError)(nil); errors.As(err, &bad) {
		fmt.Fprintf(c.note, "damaged: %v\n", err)
		return errFindings
	}
	return err
}

// maxList bounds the text that lists the extents of a large object.
const maxList = 8 << 20

// large writes a large object, if the file has all of it.
func (c *segmentCat) large() error {
	if c.found.h.PayloadLen > maxList {
		return fmt.Errorf("the list of extents has %d bytes, too many", c.found.h.PayloadLen)
	}
	var text bytes.Buffer
	if err := c.file.payload(&text, c.found.h, c.found.off); err != nil {
		return err
	}
	names, err := extentNames(text.String())
	if err != nil {
		return err
	}
	missing := 0
	for _, name := range names {
		if _, ok := c.extents[name]; !ok {
			missing++
			fmt.Fprintf(c.note, "elsewhere: %s\n", name)
		}
	}
	if missing > 0 {
		fmt.Fprintf(c.note, "a large object: %d of its %d extents are not in this file\n", missing, len(names))
		return errFindings
	}
	fmt.Fprintf(c.note, "a large object of %d extents\n", len(names))
	for _, name := range names {
		if err := c.extent(c.extents[name]); err != nil {
			return err
		}
	}
	return nil
}

// extent writes the payload of the record at an offset where the scan found one.
func (c *segmentCat) extent(off int64) error {
	raw := make([]byte, min(segment.MaxHeader, c.file.size-off))
	if _, err := c.file.ReadAt(raw, off); err != nil {
		return fmt.Errorf("read header: %w", err)
	}
	h, err := segment.DecodeHeader(raw)
	if err != nil {
		return fmt.Errorf("extent at offset %d: %w", off, err)
	}
	return c.file.payload(c.out, h, off)
}

// extentNames reads the payload of a large object's record: one line for each stream of extents, with "stream=" and
// "size=" after the files' names.
func extentNames(text string) ([]string, error) {
	var names []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		var stream uint64
		var err error
		size := int64(-1)
		for field := range strings.FieldsSeq(line) {
			if v, ok := strings.CutPrefix(field, "stream="); ok {
				stream, err = strconv.ParseUint(v, 16, 64)
			}
			if v, ok := strings.CutPrefix(field, "size="); ok && err == nil {
				size, err = strconv.ParseInt(v, 10, 64)
			}
		}
		if err != nil || size < 0 || size > store.MaxObject {
			return nil, errors.New("the list of extents is not one that this version knows")
		}
		for i := range (size + store.ExtentSize - 1) / store.ExtentSize {
			names = append(names, segment.ExtentName(stream, int(i)))
		}
		if len(names) > store.MaxObject/store.ExtentSize+store.MaxParts {
			return nil, errors.New("the list of extents is longer than any object")
		}
	}
	return names, nil
}
