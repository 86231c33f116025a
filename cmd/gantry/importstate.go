package main

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// fileKey is what is noted of a file: a hash of its path, size and time.
type fileKey [16]byte

// storeID tells the store that has the files, and how far its log goes.
type storeID struct {
	log    string
	bucket string
	end    uint64
}

// importState notes the files that were stored, so that a later run passes over them. It is a text file that is only
// appended to: a first line that names the log and the bucket, then one line for each file, a hash in hex, and "end" with
// an LSN now and then. It is only a cache: losing it, or its last lines, costs time and nothing else.
//
// It must never outlive what it speaks of: it counts for one log only, and not if that log ends before it did.
type importState struct {
	seen map[fileKey]struct{}

	mu   sync.Mutex // guards file
	file *os.File   // nil if no notes are kept
}

const stateHead = "gantry import 1"

// defaultStatePath names one file for each archive of each store.
func defaultStatePath(id storeID) (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "gantry", "import")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	return filepath.Join(dir, id.log+"-"+id.bucket), nil
}

// openImportState reads the notes and opens them for more. Notes of another log, of one that went further than this one
// does, or that are not wanted, begin anew. A file of something else is an error, and stays.
func openImportState(path string, id storeID, anew bool) (*importState, error) {
	s := &importState{seen: map[fileKey]struct{}{}}
	old, err := os.Open(path)
	if err == nil {
		err = errors.Join(s.read(old, id), old.Close())
	}
	if errors.Is(err, errNoNotes) {
		return nil, usageError{fmt.Errorf("%s: %w", path, err)}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errOtherStore) {
		return nil, fmt.Errorf("notes of earlier imports: %w", err)
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_APPEND
	fresh := anew || err != nil
	if fresh {
		clear(s.seen)
		flags |= os.O_TRUNC
	}
	if s.file, err = os.OpenFile(path, flags, 0o600); err != nil {
		return nil, usageError{err}
	}
	// A line that was cut by a crash must not run into the next one.
	head := "\n"
	if fresh {
		head = fmt.Sprintf("%s %s %s\n", stateHead, id.log, id.bucket)
	}
	if err := s.line(head); err != nil {
		return nil, err
	}
	return s, s.addEnd(id.end)
}

var (
	errOtherStore = errors.New("of another store")
	errNoNotes    = errors.New("is not a file of import's notes, and would be overwritten: remove it, or name another one with --state")
)

func (s *importState) read(r io.Reader, id storeID) error {
	sc := bufio.NewScanner(r)
	head, ok := stateHead+" ", sc.Scan()
	first := sc.Text()
	switch {
	case sc.Err() != nil && !errors.Is(sc.Err(), bufio.ErrTooLong):
		return sc.Err()
	case sc.Err() != nil, !strings.HasPrefix(first, head) && (!strings.HasPrefix(head, first) || sc.Scan()): // cut, with nothing behind it
		return errNoNotes
	case !ok || first != head+id.log+" "+id.bucket:
		return errOtherStore
	}
	for sc.Scan() {
		if text, ok := strings.CutPrefix(sc.Text(), "end "); ok {
			if end, err := strconv.ParseUint(text, 16, 64); err != nil || end > id.end {
				return errOtherStore
			}
			continue
		}
		var key fileKey
		if b, err := hex.DecodeString(sc.Text()); err == nil && len(b) == len(key) {
			s.seen[fileKey(b)] = struct{}{}
		}
	}
	if errors.Is(sc.Err(), bufio.ErrTooLong) { // what a loss of power left: no notes are as long
		return errOtherStore
	}
	return sc.Err()
}

// has tells whether an earlier run has stored a file.
func (s *importState) has(key fileKey) bool {
	_, ok := s.seen[key]
	return ok
}

// add notes that a file is stored: durably, at the other end.
func (s *importState) add(key fileKey) error { return s.line(hex.EncodeToString(key[:]) + "\n") }

// addEnd notes how far the log went.
func (s *importState) addEnd(lsn uint64) error { return s.line(fmt.Sprintf("end %016x\n", lsn)) }

func (s *importState) line(text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	if _, err := s.file.WriteString(text); err != nil {
		return fmt.Errorf("note what is done: %w", err)
	}
	return nil
}

func (s *importState) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}
