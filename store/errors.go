package store

import (
	"errors"
	"fmt"
)

// What a caller asked for does not exist, or exists already.
var (
	ErrNotFound       = errors.New("object not found")
	ErrNoBucket       = errors.New("bucket not found")
	ErrNoUpload       = errors.New("upload not found")
	ErrBucketExists   = errors.New("bucket exists")
	ErrBucketNotEmpty = errors.New("bucket is not empty")
)

// A request is refused for what it is or for the state it meets; nothing was stored.
var (
	ErrInvalidBucketName = errors.New("invalid bucket name")
	ErrInvalidKey        = errors.New("invalid object key")
	ErrPrecondition      = errors.New("precondition failed")
	ErrTooLarge          = errors.New("object too large")
	ErrMetadataTooLarge  = errors.New("metadata too large")
	ErrIncompleteBody    = errors.New("body does not have its declared length")
	ErrInvalidPart       = errors.New("part is missing or its ETag differs")
	ErrInvalidPartOrder  = errors.New("parts are not in ascending order")
	ErrPartTooSmall      = errors.New("a part other than the last is below 5 MiB")
	ErrRetained          = errors.New("object is under retention")
	ErrNotDICOM          = errors.New("not a readable DICOM object")
	ErrDuplicate         = errors.New("another object with this SOP Instance UID is stored")
	ErrWrongStudy        = errors.New("study instance UID differs from the one requested")
)

// The store cannot do it now; the request may be right.
var (
	ErrFull    = errors.New("disk full: writes are refused until space is freed")
	ErrBusy    = errors.New("too much in flight")
	ErrBroken  = errors.New("log is broken: no write is accepted until restart")
	ErrClosed  = errors.New("store is closed")
	ErrCorrupt = errors.New("stored data is damaged")
)

// CorruptError tells where damage was found. It wraps ErrCorrupt. Segment and offset name the place for an operator;
// the object is named by its LSN, never by a key, which may hold patient data.
type CorruptError struct {
	Segment string // file name of the segment
	Offset  int64  // byte offset in the file of the damaged block or header
	LSN     LSN    // record that holds it; 0 when unknown
	Detail  string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("segment %s offset %d record %s: %s: %v", e.Segment, e.Offset, e.LSN, e.Detail, ErrCorrupt)
}

// Unwrap makes errors.Is(err, ErrCorrupt) true.
func (e *CorruptError) Unwrap() error { return ErrCorrupt }
