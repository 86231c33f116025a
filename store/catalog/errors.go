package catalog

import "errors"

// Errors of Open.
var (
	// ErrMismatch means that the file belongs to another log, or has another format version. Remove it and replay the log.
	ErrMismatch = errors.New("catalog: format version or log differs")
	// ErrLocked means that another process has the file open.
	ErrLocked = errors.New("catalog: in use by another process")
)

// ErrCorrupt means that the engine's file is damaged: at Open, or later by a read or a flush. Once seen, the next Open
// returns it too. Remove the file and replay the log.
var ErrCorrupt = errors.New("catalog: corrupt")

// Errors of commits and flushes.
var (
	// ErrFull means that the overlay's budget is used up and the engine took nothing within Options.CommitWait. The
	// batch is not visible; the same batch may be committed again.
	ErrFull = errors.New("catalog: overlay full")
	// ErrBroken means that the engine failed in a way that must not be retried (a failed fdatasync). Reads go on; what is in
	// the overlay can't be written any more. The process has to open the catalog anew, which returns ErrCorrupt.
	ErrBroken = errors.New("catalog: engine broken")
	// ErrOrder means that a commit carried a lower LSN than one before it.
	ErrOrder = errors.New("catalog: LSN runs backwards")
	// ErrClosed is returned by everything after Close or Abort, and by a closed snapshot.
	ErrClosed = errors.New("catalog: closed")
)

// Errors of batches.
var (
	// ErrInvalidKey means an empty key, one longer than MaxKeyBytes, or one in the reserved range beginning with 0x00.
	ErrInvalidKey = errors.New("catalog: invalid key")
	// ErrValueTooLarge means a value longer than MaxValueBytes.
	ErrValueTooLarge = errors.New("catalog: value too large")
	// ErrSealed means a change to a batch that was committed or that a later batch reads through.
	ErrSealed = errors.New("catalog: batch is sealed")
)

// ErrEncoding means that a key is not what the encoders of this package make.
var ErrEncoding = errors.New("catalog: malformed key")
