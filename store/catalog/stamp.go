package catalog

import (
	"encoding/binary"
	"fmt"
)

// layoutVersion is that of this package's own part of the file. Part of the format, never reuse a number.
const layoutVersion = 2

// Reserved keys of the bbolt file. Part of the format, never rename. All data lies in one bucket:
//
//	key          value
//	00 'f'       filter of a sorted run: its id (4 bytes, big endian), a number (4) → blocks (see filter)
//	00 'l'       applied LSN (8 bytes, big endian), written in the transaction of the changes up to it
//	00 'r'       list of the sorted runs (see runs)
//	00 's'       stamp: layout version (1 byte) | format version (4 bytes, big endian) | scattered: length (1 byte), bytes | log id
//	00 't'       row of a sorted run: its id (4 bytes, big endian), a scattered key → nothing if deleted, else 01 and the value
//	01..ff ...   the owner's keys, but the scattered ones
var (
	stampKey = []byte{reservedByte, 's'}
	lsnKey   = []byte{reservedByte, 'l'}
	runsKey  = []byte{reservedByte, 'r'}
)

// Kinds of the reserved keys that there are many of; an id follows.
const (
	filterKind  = 'f'
	rowKind     = 't'
	runKeyBytes = 2 + 4
)

func (o Options) stamp() []byte {
	b := binary.BigEndian.AppendUint32([]byte{layoutVersion}, o.FormatVersion)
	b = append(append(b, byte(len(o.Scattered))), o.Scattered...)
	return append(b, o.LogID...)
}

func encodeLSN(lsn uint64) []byte { return binary.BigEndian.AppendUint64(nil, lsn) }

func decodeLSN(b []byte) (uint64, error) {
	if len(b) != 8 {
		return 0, fmt.Errorf("applied LSN of %d bytes: %w", len(b), ErrCorrupt)
	}
	return binary.BigEndian.Uint64(b), nil
}
