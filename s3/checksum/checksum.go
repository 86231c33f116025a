// Package checksum names, computes and combines the checksums of S3
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html). It is pure: bytes in, values out.
package checksum

import (
	"crypto/sha1" //nolint:gosec // S3 offers it as a checksum, not as a signature
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/minio/crc64nvme"
)

// Algorithm is one of the checksum algorithms of S3.
type Algorithm uint8

// The algorithms. None is the absence of one.
const (
	None Algorithm = iota
	CRC32
	CRC32C
	CRC64NVME
	SHA1
	SHA256
	count
)

// MaxSize is the largest Size of an algorithm, in bytes.
const MaxSize = sha256.Size

var (
	names   = [count]string{"", "CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"}
	headers = [count]string{"", "x-amz-checksum-crc32", "x-amz-checksum-crc32c", "x-amz-checksum-crc64nvme",
		"x-amz-checksum-sha1", "x-amz-checksum-sha256"}
	elements = [count]string{"", "ChecksumCRC32", "ChecksumCRC32C", "ChecksumCRC64NVME", "ChecksumSHA1", "ChecksumSHA256"}
	sizes    = [count]int{0, 4, 4, 8, sha1.Size, sha256.Size}

	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// All lists the algorithms.
func All() []Algorithm { return []Algorithm{CRC32, CRC32C, CRC64NVME, SHA1, SHA256} }

// Parse finds an algorithm by its S3 name, in any case.
func Parse(name string) (Algorithm, bool) {
	for a := CRC32; a < count; a++ {
		if strings.EqualFold(name, names[a]) {
			return a, true
		}
	}
	return None, false
}

// ByHeader finds an algorithm by the lower-case name of its HTTP header.
func ByHeader(name string) (Algorithm, bool) {
	for a := CRC32; a < count; a++ {
		if name == headers[a] {
			return a, true
		}
	}
	return None, false
}

// ByElement finds an algorithm by the name of its XML element.
func ByElement(name string) (Algorithm, bool) {
	for a := CRC32; a < count; a++ {
		if name == elements[a] {
			return a, true
		}
	}
	return None, false
}

// String gives the name S3 uses, such as CRC32C; None is empty.
func (a Algorithm) String() string { return names[a] }

// Header gives the lower-case name of the HTTP header that carries it.
func (a Algorithm) Header() string { return headers[a] }

// Element gives the name of the XML element that carries it.
func (a Algorithm) Element() string { return elements[a] }

// Size is the length of a value in bytes.
func (a Algorithm) Size() int { return sizes[a] }

// Combines tells whether values of parts can be combined into that of the whole (the CRCs).
func (a Algorithm) Combines() bool { return a == CRC32 || a == CRC32C || a == CRC64NVME }

// New starts a computation; nil for None.
func (a Algorithm) New() hash.Hash {
	switch a {
	case CRC32:
		return crc32.NewIEEE()
	case CRC32C:
		return crc32.New(castagnoli)
	case CRC64NVME:
		return crc64nvme.New()
	case SHA1:
		return sha1.New() //nolint:gosec // see the import
	case SHA256:
		return sha256.New()
	}
	return nil
}

// Decode reads the base64 form of a value; ok is false unless it has exactly the algorithm's length.
func (a Algorithm) Decode(value string) (raw []byte, ok bool) {
	if a == None || len(value) != base64.StdEncoding.EncodedLen(a.Size()) {
		return nil, false
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(value)
	return raw, err == nil && len(raw) == a.Size()
}

// Encode gives the base64 form of a value.
func Encode(raw []byte) string { return base64.StdEncoding.EncodeToString(raw) }

// Sum gives the base64 form of what h has computed.
func Sum(h hash.Hash) string {
	var buf [MaxSize]byte
	return Encode(h.Sum(buf[:0]))
}

// Composite computes the checksum of the parts' checksums, as S3 writes it: base64, a dash, the number of parts.
func (a Algorithm) Composite(parts [][]byte) string {
	h := a.New()
	for _, p := range parts {
		h.Write(p)
	}
	return Sum(h) + "-" + strconv.Itoa(len(parts))
}
