package catalog

import (
	"time"
	"unsafe"

	"github.com/tidwall/btree"
)

// table is a sorted map. A nil value is a tombstone; an empty value is not nil.
type table = btree.Map[string, []byte]

// entryOverheadBytes is what one entry of a table costs beside its key and value: two slice headers at the
// usual two-thirds fill of a node, and its share of the nodes above.
const entryOverheadBytes = 96

// overlay is a table with what the flusher has to know about it.
type overlay struct {
	table table
	// bytes counts what was put in, also short values that were replaced later: their memory is shared with what lives.
	bytes int64
	// seq counts commits; that of an overlay is the last one in it.
	seq uint64
	// lsn is what the log was applied up to with seq.
	lsn uint64
	// since is when the first commit came, zero if none did.
	since time.Time
}

// setEntry sets a key, and returns the bytes that are free again since it was there before.
func setEntry(t *table, key string, value []byte) (free int64) {
	was, replaced := t.Set(key, value)
	if replaced {
		free = entryOverheadBytes
	}
	if len(was) >= ownBytes {
		free += int64(len(was))
	}
	return free
}

// dirty tells whether there is anything that the engine lacks: a commit without keys counts, for its LSN.
func (o *overlay) dirty() bool { return !o.since.IsZero() }

// copyForReading returns the table as it is now. Both share nodes, which the original copies before it writes to them.
func (o *overlay) copyForReading() *table { return o.table.Copy() }

// viewString is s without a copy: s must never be written again as long as the result lives.
func viewString(s []byte) string { return unsafe.String(unsafe.SliceData(s), len(s)) }

// viewBytes is s without a copy, with no room to append. Nobody may write to it.
func viewBytes(s string) []byte {
	if s == "" {
		return []byte{}
	}
	return unsafe.Slice(unsafe.StringData(s), len(s))
}
