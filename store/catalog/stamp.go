package catalog

import (
	"encoding/binary"
	"fmt"
)

// layoutVersion is that of this package's own part of the file. Part of the format, never reuse a number.
const layoutVersion = 1

// Reserved keys of the bbolt file. Part of the format, never rename. All data lies in one bucket:
//
//	key          value
//	00 's'       stamp: layout version (1 byte) | format version (4 bytes, big endian) | log id
//	00 'l'       applied LSN (8 bytes, big endian), written in the transaction of the changes up to it
//	01..ff ...   the owner's keys
var (
	stampKey = []byte{reservedByte, 's'}
	lsnKey   = []byte{reservedByte, 'l'}
)

func (o Options) stamp() []byte {
	b := append(make([]byte, 0, 5+len(o.LogID)), layoutVersion)
	b = binary.BigEndian.AppendUint32(b, o.FormatVersion)
	return append(b, o.LogID...)
}

func encodeLSN(lsn uint64) []byte { return binary.BigEndian.AppendUint64(nil, lsn) }

func decodeLSN(b []byte) (uint64, error) {
	if len(b) != 8 {
		return 0, fmt.Errorf("applied LSN of %d bytes: %w", len(b), ErrCorrupt)
	}
	return binary.BigEndian.Uint64(b), nil
}
