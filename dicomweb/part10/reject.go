package part10

import (
	"errors"
	"fmt"
)

// Reason says why an object was refused, in a form that callers can count and map.
type Reason int

// The reasons, in the order in which an object is checked.
const (
	NotDICOM         Reason = iota + 1 // no DICM prefix or no readable group 2
	NoTransferSyntax                   // group 2 has no usable (0002,0010)
	Truncated                          // a length reaches past the end of the object
	Malformed                          // bytes that are no data element where one must be
	TooLarge                           // a named maximum of this package was exceeded
	TooDeep                            // sequences nested deeper than MaxDepth
	NoStudy                            // an object that belongs to no study
	MissingUID                         // one of the identifying UIDs is absent or empty
	BadUID                             // an identifying UID has characters or a length it must not have
	MediaDirectory                     // a DICOMDIR: the table of contents of a medium
)

// String returns the reason as a short word for metrics and logs.
func (r Reason) String() string {
	names := [...]string{"", "not_dicom", "no_transfer_syntax", "truncated", "malformed",
		"too_large", "too_deep", "no_study", "missing_uid", "bad_uid", "media_directory"}
	if r < 1 || int(r) >= len(names) {
		return "unknown"
	}
	return names[r]
}

// RejectError is the refusal of an object because of its content. It never contains
// the value of an element, so it may be logged.
type RejectError struct {
	Reason Reason
	Offset int64  // byte in the file (see the package comment) at which it shows
	Tag    uint32 // the element concerned, 0xGGGGEEEE; 0 if none
	Detail string // one sentence for people, without a final stop
}

func (e *RejectError) Error() string { return fmt.Sprintf("%s (at byte %d)", e.Why(), e.Offset) }

// Why is Error without the place.
func (e *RejectError) Why() string {
	if e.Tag == 0 {
		return e.Detail
	}
	return TagString(e.Tag) + ": " + e.Detail
}

// TagString returns "(gggg,eeee) Keyword", the keyword only where one is known.
func TagString(tag uint32) string {
	s := fmt.Sprintf("(%04X,%04X)", tag>>16, tag&0xFFFF)
	if k := KeywordOf(tag); k != "" {
		s += " " + k
	}
	return s
}

func isReject(err error) bool {
	var r *RejectError
	return errors.As(err, &r)
}

func reject(reason Reason, offset int64, tag uint32, detail string) error {
	return &RejectError{Reason: reason, Offset: offset, Tag: tag, Detail: detail}
}
