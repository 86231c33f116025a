package segment

import (
	"bytes"
	"fmt"
	"io"
	"time"
)

// Describe writes a header for people, the JSON as it is in the file. It shows what it can of a header that is damaged, and returns
// what is wrong with it. What it writes may name patients.
func Describe(w io.Writer, off int64, header []byte) error {
	l, err := locate(header)
	if err != nil {
		return err
	}
	p, err := parsePrefix(header, l)
	if err != nil {
		return err
	}
	h, damage := DecodeHeader(header)
	name := "(damaged)"
	if damage == nil {
		name = h.Name
	}
	batch := []byte{mark(p.Stamp.First, markFirst), mark(p.Stamp.Last, markLast)}
	json := header[l.prefix+prefixLen : max(l.prefix+prefixLen, min(l.commentTo, len(header)))]
	_, err = fmt.Fprintf(w, "offset %d: %s %q\n  version %d, header %d, payload %d, padding %d\n"+
		"  LSN %#x, epoch %d, batch %s, commit point %#x, time %s\n  %s\n",
		off, p.Type, name, p.Version, p.HeaderLen, p.PayloadLen, Padding(p.PayloadLen),
		p.Stamp.LSN, p.Stamp.Epoch, batch, p.Stamp.CommitPoint, time.Unix(0, p.Stamp.Time).UTC().Format(time.RFC3339Nano), bytes.TrimRight(json, " "))
	if damage != nil {
		return damage
	}
	return err
}
