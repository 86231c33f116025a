package catalog

// engine holds the durable state below the overlay. One goroutine writes; any number read.
type engine interface {
	// begin opens a consistent view. It MUST be closed.
	begin() (engineTx, error)
	// get is a read of one key in a view of its own; the value is a copy.
	get(key []byte) (value []byte, ok bool, err error)
	// write applies a table and its LSN in one durable transaction: all or nothing. Errors that are ErrBroken or ErrCorrupt are
	// final, others may be tried again.
	write(changes *table, lsn uint64) error
	// lsn returns what the last write carried.
	lsn() uint64
	// stats fills in what it knows.
	stats(s *Stats)
	// close waits for open views.
	close() error
}

// engineTx is one view. Its cursors are for one goroutine each.
type engineTx interface {
	get(key []byte) (value []byte, ok bool, err error)
	// cursors read a range as layers, newest first: a key in an earlier one hides the same key in a later one, and a nil value deletes.
	cursors(b bounds) []engineCursor
	close()
}

// engineCursor reads stretches of keys in the direction of its bounds.
type engineCursor interface {
	// seek makes the next load begin at the first key at or after pos or, in reverse, at the last key before pos.
	// unbounded stands for the very end in reverse.
	seek(pos string, unbounded bool)
	// load replaces the stretch by about n next keys, fewer at the end and for large values. An empty stretch means the end.
	load(r *stretch, n int) error
}

// stretch is a piece of an engine's contents. Its keys and values are copies that are never written again.
type stretch struct {
	keys   []string
	values [][]byte
}

// reservedByte begins the keys that only engines may use.
const reservedByte = 0x00

// bounds is a range of keys and the direction it is read in. A nil hi has no end.
type bounds struct {
	lo, hi  []byte
	reverse bool
}

// past tells whether key lies beyond the end in the direction of reading.
func (b *bounds) past(key string) bool {
	if b.reverse {
		return key < viewString(b.lo)
	}
	return b.hi != nil && key >= viewString(b.hi)
}
