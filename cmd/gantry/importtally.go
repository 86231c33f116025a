package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"sync"

	"gantry/console"
)

// What can become of a file.
const (
	stored     = "stored"
	known      = "known"   // the same data set was stored already
	earlier    = "earlier" // an earlier run has stored it
	refused    = "refused"
	unreadable = "unreadable"
	notDICOM   = "not-dicom"
	link       = "link"     // a symbolic link, left out
	dicomdir   = "dicomdir" // nothing to store: what it lists are the files beside it
)

type outcome struct{ kind, reason string }

// tally counts outcomes and writes the report.
type tally struct {
	mu       sync.Mutex // guards the rest
	report   io.Writer
	writeErr error
	counts   map[string]int64
	files    int64 // done
	bytes    int64 // of these
	sent     int64 // of these, bytes that were read

	totalFiles, totalBytes int64
	counted                bool // the totals are final
}

func (t *tally) add(f foundFile, o outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = map[string]int64{}
	}
	t.counts[o.kind]++
	if o.kind != link {
		t.files++
		t.bytes += f.size
	}
	switch o.kind {
	case earlier:
		return
	case stored, known:
		t.sent += f.size
		return
	}
	if o.kind != link {
		t.sent += f.size
	}
	_, err := fmt.Fprintf(t.report, "%s\t%s\t%s\n", tsvField(f.path()), o.kind, tsvField(o.reason))
	if t.writeErr == nil {
		t.writeErr = err
	}
}

// tsvField quotes what would break a line.
func tsvField(s string) string {
	if q := strconv.Quote(s); len(q) != len(s)+2 {
		return q
	}
	return s
}

// count notes one more file that there is to do.
func (t *tally) count(size int64) {
	t.mu.Lock()
	t.totalFiles++
	t.totalBytes += size
	t.mu.Unlock()
}

func (t *tally) countDone() {
	t.mu.Lock()
	t.counted = true
	t.mu.Unlock()
}

// line is the progress. The rate leaves out what earlier runs have stored; so does the time left, as far as can be known.
func (t *tally) line(p *progress) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	bad := t.counts[refused] + t.counts[unreadable]
	s := fmt.Sprintf("%d files, %s", t.files, console.Size(t.bytes))
	left := int64(0)
	if t.counted {
		s = fmt.Sprintf("%d of %d files, %s of %s", t.files, t.totalFiles, console.Size(t.bytes), console.Size(t.totalBytes))
		left = max(t.totalBytes-t.bytes, 0)
	}
	return fmt.Sprintf("%s, %s, %d refused", s, p.pace(t.sent, t.sent+left), bad)
}

func (t *tally) summary() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var parts []string
	for _, o := range []struct{ kind, text string }{
		{stored, "stored"}, {known, "stored before"}, {earlier, "done by an earlier run"}, {refused, "refused"},
		{unreadable, "unreadable"}, {notDICOM, "not DICOM"}, {dicomdir, "DICOMDIR"}, {link, "links left out"},
	} {
		if n := t.counts[o.kind]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, o.text))
		}
	}
	if len(parts) == 0 {
		return "no files"
	}
	return fmt.Sprintf("%d files: %s", t.files, strings.Join(parts, ", "))
}

// verdict is how the command ends.
func (t *tally) verdict() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.writeErr != nil {
		return fmt.Errorf("write report: %w", t.writeErr)
	}
	if t.counts[refused]+t.counts[unreadable] > 0 {
		return errFindings
	}
	return nil
}

// plainError leaves out the path, which stands beside it already.
func plainError(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}
