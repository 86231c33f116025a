package segment

import (
	"errors"
	"fmt"
)

// Part of the format, never change.
const (
	// Version1 is the first format version. It has everything in this package.
	Version1 = 1

	sector       = 512
	commentKey   = "comment="
	pathKey      = "path="
	paxName      = ".gantry/pax" // name field of pax blocks; only readers that don't know pax ever see it
	prefixMagic  = "gantry "
	prefixLen    = 110
	versionAt    = 7
	typeAt       = 10
	lsnAt        = 13
	epochAt      = 30
	marksAt      = 47
	commitAt     = 50
	timeAt       = 67
	payloadAt    = 84
	crcAt        = 101
	crcDigits    = 8
	u64Digits    = 16
	markFirst    = 'F'
	markLast     = 'L'
	markNone     = '-'
	maxLenDigits = 5 // a header is at most 65536 bytes, so is a pax record
)

// Limits. A reader refuses what exceeds them before it allocates anything.
const (
	// MaxHeader is the greatest length of a header in bytes: everything before the payload.
	MaxHeader = 64 << 10
	// MaxPayload is the greatest length of a payload in bytes.
	MaxPayload = 1 << 30
	// MaxName is the greatest length of a member name in bytes.
	MaxName = 8 << 10
	// MaxTime is the last commit time, in nanoseconds since 1970, whose seconds fit tar's 11 octal digits (year 2242).
	MaxTime = 0o77777777777*1e9 + 999_999_999
	// BlockSize is how many payload bytes one checksum covers.
	BlockSize = 1 << 20
	// PeekLen is how many bytes of a record PeekHeader needs at most.
	PeekLen = 1024

	minHeader = 3 * sector
)

// Errors of encoding.
var (
	// ErrTooLarge means that a header does not fit MaxHeader, or a payload MaxPayload.
	ErrTooLarge = errors.New("segment: record too large")
	// ErrName means that a member name is empty, longer than MaxName, not UTF-8, has control characters, or would leave the
	// directory that an archive is extracted to.
	ErrName = errors.New("segment: bad member name")
	// ErrRange means that a time or a number does not fit its field.
	ErrRange = errors.New("segment: value out of range")
)

// Errors of decoding.
var (
	// ErrShort means that more bytes are needed; the error is a *ShortError.
	ErrShort = errors.New("segment: more bytes needed")
	// ErrChecksum means that the bytes are not those which were written.
	ErrChecksum = errors.New("segment: checksum mismatch")
	// ErrFormat means that the bytes are not a record, or not one that this format allows.
	ErrFormat = errors.New("segment: malformed record")
	// ErrVersion means that the record was written by a newer gantry in a format which this one cannot read.
	ErrVersion = errors.New("segment: unknown format version")
)

// ShortError says how many bytes, from the beginning of the record, must be at hand.
type ShortError struct{ Need int }

// Error implements error.
func (e *ShortError) Error() string { return fmt.Sprintf("%v: %d", ErrShort, e.Need) }

// Unwrap makes it an ErrShort.
func (e *ShortError) Unwrap() error { return ErrShort }

func malformed(what string) error { return fmt.Errorf("%w: %s", ErrFormat, what) }

// Padding returns how many NULs follow n bytes of payload, so that the next record starts at a multiple of 512.
func Padding(n int64) int64 { return -n & (sector - 1) }
