package segment

import (
	"fmt"
	"hash/crc32"
)

// BlockCRCs returns the CRC-32C of each BlockSize of the payload that the buffers hold when joined.
func BlockCRCs(payload [][]byte) []uint32 {
	var b Blocks
	for _, p := range payload {
		b.add(p)
	}
	return b.Sums()
}

// Blocks computes block checksums of a payload that comes in pieces. The zero value is ready for use.
type Blocks struct {
	sums []uint32 // the last one may be of an unfinished block
	n    int      // bytes in the last block
}

// Write takes the next bytes of the payload. It never fails.
func (b *Blocks) Write(p []byte) (int, error) {
	b.add(p)
	return len(p), nil
}

func (b *Blocks) add(p []byte) {
	for len(p) > 0 {
		if len(b.sums) == 0 || b.n == BlockSize {
			b.sums, b.n = append(b.sums, 0), 0
		}
		take := min(len(p), BlockSize-b.n)
		last := len(b.sums) - 1
		b.sums[last] = crc32.Update(b.sums[last], castagnoli, p[:take])
		b.n += take
		p = p[take:]
	}
}

// Sums returns the checksums of what was written so far. The slice stays the Blocks' own until Reset.
func (b *Blocks) Sums() []uint32 { return b.sums }

// Reset begins a new payload. It gives up the slice that Sums returned.
func (b *Blocks) Reset() { *b = Blocks{} }

// BlockError says which block of a payload is damaged. It is an ErrChecksum.
type BlockError struct{ Block int }

// Error implements error.
func (e *BlockError) Error() string { return fmt.Sprintf("%v: block %d", ErrChecksum, e.Block) }

// Unwrap makes it an ErrChecksum.
func (e *BlockError) Unwrap() error { return ErrChecksum }

// VerifyPayload checks bytes that begin with block first of a payload against the payload's checksums. The bytes must end with a
// block, or with the payload. The error is a *BlockError, or an ErrFormat if there are more blocks than checksums.
func VerifyPayload(p []byte, first int, sums []uint32) error {
	for i := first; len(p) > 0; i++ {
		block := p[:min(len(p), BlockSize)]
		if i < 0 || i >= len(sums) {
			return malformed("more payload than checksums")
		}
		if crc32.Checksum(block, castagnoli) != sums[i] {
			return &BlockError{Block: i}
		}
		p = p[len(block):]
	}
	return nil
}
