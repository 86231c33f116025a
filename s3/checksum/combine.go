package checksum

import "encoding/binary"

// Reflected generator polynomials, without their top term. Bit width-1 stands for x^0.
const (
	polyCRC32     = 0xEDB88320
	polyCRC32C    = 0x82F63B78
	polyCRC64NVME = 0x9A6C9329AC4BC9B5
)

// Combiner computes the CRC of a whole from the CRCs of its parts, in order.
type Combiner struct {
	algorithm Algorithm
	field     field
	crc       uint64
}

// NewCombiner starts a combination; a must be one that Combines.
func NewCombiner(a Algorithm) *Combiner {
	c := &Combiner{algorithm: a}
	switch a {
	case CRC32:
		c.field = field{poly: polyCRC32, width: 32}
	case CRC32C:
		c.field = field{poly: polyCRC32C, width: 32}
	case CRC64NVME:
		c.field = field{poly: polyCRC64NVME, width: 64}
	default:
		panic("checksum: " + a.String() + " cannot be combined")
	}
	return c
}

// Add appends a part: its raw CRC (of Size bytes) and its length in bytes.
func (c *Combiner) Add(raw []byte, n int64) {
	var v uint64
	if c.field.width == 32 {
		v = uint64(binary.BigEndian.Uint32(raw))
	} else {
		v = binary.BigEndian.Uint64(raw)
	}
	// Initial and final inversion cancel out, as in zlib's crc32_combine: crc(AB) = crc(A)·x^(8|B|) + crc(B).
	c.crc = c.field.mul(c.field.power(uint64(n)*8), c.crc) ^ v
}

// Sum gives the raw CRC of everything added.
func (c *Combiner) Sum() []byte {
	if c.field.width == 32 {
		return binary.BigEndian.AppendUint32(nil, uint32(c.crc))
	}
	return binary.BigEndian.AppendUint64(nil, c.crc)
}

// field is GF(2)[x] modulo a CRC polynomial, in reflected bit order.
type field struct {
	poly  uint64
	width uint
}

func (f field) mul(a, b uint64) uint64 {
	var p uint64
	for m := uint64(1) << (f.width - 1); m != 0 && a != 0; m >>= 1 {
		if a&m != 0 {
			p ^= b
			a &^= m
		}
		b = f.double(b)
	}
	return p
}

// double multiplies by x.
func (f field) double(b uint64) uint64 {
	if b&1 != 0 {
		return b>>1 ^ f.poly
	}
	return b >> 1
}

// power gives x^n.
func (f field) power(n uint64) uint64 {
	result := uint64(1) << (f.width - 1)
	for square := uint64(1) << (f.width - 2); n != 0; n >>= 1 {
		if n&1 != 0 {
			result = f.mul(square, result)
		}
		square = f.mul(square, square)
	}
	return result
}
