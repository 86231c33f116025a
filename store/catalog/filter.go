package catalog

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

// filter tells of most keys that a sorted run does not have them, without reading it: the split block Bloom filter of Apache Parquet
// (https://parquet.apache.org/docs/file-format/bloomfilter/), which looks at one cache line. Of keys that the run lacks it
// lets about one in two hundred pass.
type filter []filterBlock

type filterBlock [8]uint32

const (
	filterBlockBytes = 32
	filterKeyBits    = 12
	// filterRowBlocks are kept in one row, after their checksum.
	filterRowBlocks = 1 << 10
)

// filterRows is how many rows hold a filter of so many blocks.
func filterRows(blocks int) int { return (blocks + filterRowBlocks - 1) / filterRowBlocks }

var filterSalt = filterBlock{0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d, 0x705495c7, 0x2df1424b, 0x9efc4947, 0x5c6bfb31}

// sumBytes is the length of the checksum before rows whose loss of a bit would hide keys.
const sumBytes = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// putSum fills in the checksum of the bytes that follow it.
func putSum(row []byte) []byte {
	binary.LittleEndian.PutUint32(row, crc32.Checksum(row[sumBytes:], castagnoli))
	return row
}

// cutSum returns the bytes behind the checksum, and whether it is wrong.
func cutSum(row []byte) (rest []byte, bad bool) {
	if len(row) < sumBytes || binary.LittleEndian.Uint32(row) != crc32.Checksum(row[sumBytes:], castagnoli) {
		return nil, true
	}
	return row[sumBytes:], false
}

// newFilter makes an empty filter for n keys.
func newFilter(n int) filter { return make(filter, n*filterKeyBits/(8*filterBlockBytes)+1) }

func filterHash(key string) uint64 { return xxhash.Sum64String(key) }

func (f filter) at(hash uint64) *filterBlock {
	i, _ := bits.Mul64(hash>>32<<32, uint64(len(f)))
	return &f[i]
}

func (f filter) add(hash uint64) {
	b := f.at(hash)
	for i, salt := range filterSalt {
		b[i] |= 1 << (uint32(hash) * salt >> 27)
	}
}

func (f filter) mayHave(hash uint64) bool {
	b := f.at(hash)
	for i, salt := range filterSalt {
		if b[i]&(1<<(uint32(hash)*salt>>27)) == 0 {
			return false
		}
	}
	return true
}

// encode gives the filter as values of rows.
func (f filter) encode() [][]byte {
	var out [][]byte
	for at := 0; at < len(f); at += filterRowBlocks {
		blocks := f[at:min(at+filterRowBlocks, len(f))]
		row := make([]byte, sumBytes, sumBytes+len(blocks)*filterBlockBytes)
		for _, b := range blocks {
			for _, word := range b {
				row = binary.LittleEndian.AppendUint32(row, word)
			}
		}
		out = append(out, putSum(row))
	}
	return out
}

// appendRow decodes the next row of the filter; ok is false if it is damaged.
func (f filter) appendRow(row []byte) (_ filter, ok bool) {
	rest, bad := cutSum(row)
	for ; len(rest) >= filterBlockBytes; rest = rest[filterBlockBytes:] {
		var b filterBlock
		for i := range b {
			b[i] = binary.LittleEndian.Uint32(rest[4*i:])
		}
		f = append(f, b)
	}
	return f, !bad
}
