package s3

import (
	"bytes"
	"crypto/md5" //nolint:gosec // S3's ETag is an MD5
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"strconv"
	"strings"
	"time"

	"gantry/s3/checksum"
	"gantry/s3/sigv4"
	"gantry/store"
)

// body is the payload of a request: decoded, and hashed on its way in one pass.
type body struct {
	src    io.Reader
	chunks *sigv4.ChunkReader // nil unless the body is aws-chunked
	size   int64              // decoded
	done   bool               // src has returned io.EOF
	took   time.Duration      // by the hashes

	md5      hash.Hash // nil if nobody wants it
	tag      hash.Hash // of which the ETag is made where md5 is nil; nil if sum serves
	sha      hash.Hash // nil unless the payload's SHA-256 is signed
	sum      hash.Hash
	sumShare bool      // sum is sha
	extra    hash.Hash // of extraAlgorithm; nil if it is not wanted besides sum

	extraAlgorithm checksum.Algorithm

	wantMD5   []byte // nil if not given
	wantSHA   string // hex, lower case
	algorithm checksum.Algorithm
	wantSum   []byte // raw; nil if not given, or in a trailer
	trailer   bool   // the checksum comes in a trailer
}

// openBody prepares reading a payload that becomes an object or part. Its checksum is computed by the algorithm that the
// client uses, and by need as well, unless that is None.
func (r *request) openBody(need checksum.Algorithm) (*body, error) {
	size, err := r.bodySize()
	if err != nil {
		return nil, err
	}
	if size > store.MaxPut {
		return nil, newError(codeEntityTooLarge, "").with("ProposedSize", itoa(size)).with("MaxSizeAllowed", itoa(int64(store.MaxPut)))
	}
	return r.newBody(size, need)
}

// newBody prepares reading a payload of a size, -1 if that is not known.
func (r *request) newBody(size int64, need checksum.Algorithm) (*body, error) {
	b := &body{src: r.Body(), size: size}
	if err := b.expect(r); err != nil {
		return nil, err
	}
	if b.algorithm == checksum.None {
		b.algorithm = need
	}
	if b.algorithm == checksum.None {
		b.algorithm = checksum.CRC64NVME // as S3 does for clients that bring none
	}
	if sigv4.IsSHA256(r.payload) {
		b.sha, b.wantSHA = sha256.New(), strings.ToLower(r.payload)
	}
	if b.sumShare = b.algorithm == checksum.SHA256 && b.sha != nil; b.sumShare {
		b.sum = b.sha
	} else {
		b.sum = b.algorithm.New()
	}
	b.tagWith(r.etags)
	if need != checksum.None && need != b.algorithm {
		b.extra, b.extraAlgorithm = need.New(), need
	}
	if isStreaming(r.payload) {
		b.chunks = sigv4.NewChunkReader(b.src, sigv4.Chunks{Payload: r.payload, Length: b.size, Trailers: r.trailers(),
			Signature: r.signature, Key: r.signingKey})
		b.src = b.chunks
	}
	return b, nil
}

// newPlainBody is a body that comes from the store itself: nothing is expected of its hashes.
func newPlainBody(src io.Reader, size int64, a checksum.Algorithm, e ETags) *body {
	b := &body{src: src, size: size, algorithm: a, sum: a.New()}
	b.tagWith(e)
	return b
}

// tagWith says what the ETag is made of.
func (b *body) tagWith(e ETags) {
	switch {
	case e == MD5 || b.wantMD5 != nil:
		b.md5 = md5.New() //nolint:gosec // see the import
	case b.algorithm != checksum.CRC64NVME:
		b.tag = checksum.CRC64NVME.New()
	}
}

func isStreaming(payload string) bool { return strings.HasPrefix(payload, "STREAMING-") }

// close gives buffers back; the body must not be read any more.
func (b *body) close() {
	if b.chunks != nil {
		_ = b.chunks.Close()
	}
}

// bodySize finds the decoded length of a payload, which S3 wants to know beforehand.
func (r *request) bodySize() (int64, error) {
	if !isStreaming(r.payload) {
		if !r.HasContentLength() {
			return 0, newError(codeMissingContentLength, "")
		}
		return r.ContentLength(), nil
	}
	v := r.amzHeader("x-amz-decoded-content-length")
	if v == "" {
		return 0, newError(codeMissingContentLength, "")
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 {
		return 0, errArgument("x-amz-decoded-content-length is not a length.", "x-amz-decoded-content-length", v)
	}
	return n, nil
}

// expect reads what the client says the hashes will be.
func (b *body) expect(r *request) error {
	var err error
	if b.wantMD5, err = r.contentMD5(); err != nil {
		return err
	}
	if r.sumOfWhole {
		return nil
	}
	if b.algorithm, b.wantSum, err = r.checksumHeader(); err != nil {
		return err
	}
	for _, name := range r.trailers() {
		a, ok := checksum.ByHeader(name)
		algorithm, _ := strings.CutPrefix(name, "x-amz-checksum-")
		switch {
		case otherChecksums[algorithm]:
			return errUnsupportedChecksum(algorithm)
		case !ok || !isStreaming(r.payload) || r.payload == sigv4.StreamingPayload:
			return newError(codeInvalidRequest, "The value specified in the x-amz-trailer header is not supported")
		case b.algorithm != checksum.None:
			return errManyChecksums()
		}
		b.algorithm, b.trailer = a, true
	}
	named := r.amzHeader("x-amz-sdk-checksum-algorithm")
	if named == "" {
		if b.algorithm == checksum.None {
			b.algorithm, err = r.namedAlgorithm()
		}
		return err
	}
	a, err := parseAlgorithm(named)
	switch {
	case err != nil:
		return err
	case b.algorithm != checksum.None && a != b.algorithm:
		return newError(codeInvalidRequest, "Value for x-amz-sdk-checksum-algorithm header is invalid.")
	}
	b.algorithm = a
	return nil
}

// parseAlgorithm reads the name of a checksum algorithm.
func parseAlgorithm(name string) (checksum.Algorithm, error) {
	a, ok := checksum.Parse(name)
	if !ok {
		return a, errUnsupportedChecksum(name)
	}
	return a, nil
}

// trailers lists the names that x-amz-trailer announces.
func (r *request) trailers() []string {
	v := r.amzHeader("x-amz-trailer")
	if v == "" {
		return nil
	}
	names := strings.Split(strings.ToLower(v), ",")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return names
}

// contentMD5 reads Content-MD5; nil if there is none.
func (r *request) contentMD5() ([]byte, error) {
	all := r.Headers("content-md5")
	if len(all) == 0 {
		return nil, nil
	}
	raw, err := base64.StdEncoding.DecodeString(all[0])
	if err != nil || len(raw) != md5.Size {
		return nil, newError(codeInvalidDigest, "").with("Content-MD5", clip(all[0]))
	}
	return raw, nil
}

// checksumHeader finds the one x-amz-checksum-* header that carries a value.
func (r *request) checksumHeader() (checksum.Algorithm, []byte, error) {
	found, raw := checksum.None, []byte(nil)
	for i := range r.amz {
		a, ok := checksum.ByHeader(r.amz[i].name)
		if !ok {
			continue
		}
		if found != checksum.None {
			return found, nil, errManyChecksums()
		}
		value := r.amz[i].value
		if r.sumOfWhole {
			value, _, _ = strings.Cut(value, "-") // of a composite checksum; the parts are counted anyway
		}
		if raw, ok = a.Decode(value); !ok {
			return a, nil, newError(codeInvalidRequest, "Value for "+a.Header()+" header is invalid.")
		}
		found = a
	}
	return found, raw, nil
}

func errManyChecksums() error {
	return newError(codeInvalidRequest, "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
}

// otherChecksums are S3's algorithms that we have not got, in lower case.
var otherChecksums = map[string]bool{"md5": true, "sha512": true, "xxhash64": true, "xxhash3": true, "xxhash128": true}

func errUnsupportedChecksum(name string) error {
	if name = strings.ToLower(name); otherChecksums[name] {
		return errNotImplemented("Header", "x-amz-checksum-"+name)
	}
	return newError(codeInvalidRequest, "Checksum algorithm provided is unsupported. Please try again with any of the valid types: "+
		"[CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.src.Read(p)
	if n > 0 {
		start := time.Now()
		b.sum.Write(p[:n])
		if b.md5 != nil {
			b.md5.Write(p[:n])
		}
		if b.tag != nil {
			b.tag.Write(p[:n])
		}
		if b.sha != nil && !b.sumShare {
			b.sha.Write(p[:n])
		}
		if b.extra != nil {
			b.extra.Write(p[:n])
		}
		b.took += time.Since(start)
	}
	if errors.Is(err, io.EOF) {
		b.done = true
	}
	return n, err
}

// drain reads the end of the body, which may hold signatures and trailers that whoever counted bytes has not asked for.
func (b *body) drain() error {
	var p [64]byte
	for !b.done {
		n, err := b.Read(p[:])
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if n > 0 {
			return newError(codeIncompleteBody, "The body is longer than its declared length.")
		}
	}
	return nil
}

// sums checks every hash that the client sent and gives those to keep. It is store.Put's Sums.
func (b *body) sums() (store.Sums, error) {
	if err := b.drain(); err != nil {
		return store.Sums{}, err
	}
	if b.sha != nil {
		if got := hexSum(b.sha); got != b.wantSHA {
			return store.Sums{}, newError(codeSHA256Mismatch, "").with("ClientComputedContentSHA256", b.wantSHA).
				with("S3ComputedContentSHA256", got)
		}
	}
	s, err := b.checkMD5()
	if err != nil {
		return store.Sums{}, err
	}
	value, err := b.checkSum()
	if err != nil {
		return store.Sums{}, err
	}
	s.Took, s.Checksums = b.took, []store.Checksum{{Algorithm: b.algorithm.String(), Value: value}}
	if b.extra != nil {
		s.Checksums = append(s.Checksums, store.Checksum{Algorithm: b.extraAlgorithm.String(), Value: checksum.Sum(b.extra)})
	}
	return s, nil
}

// checkMD5 compares the MD5 with the one sent, if one was, and gives the ETag, or what it is made of.
func (b *body) checkMD5() (store.Sums, error) {
	switch {
	case b.tag != nil:
		return store.Sums{Digest: b.tag.Sum(nil)}, nil
	case b.md5 == nil:
		return store.Sums{Digest: b.sum.Sum(nil)}, nil
	}
	var digest [md5.Size]byte
	b.md5.Sum(digest[:0])
	if b.wantMD5 != nil && !bytes.Equal(digest[:], b.wantMD5) {
		return store.Sums{}, newError(codeBadDigest, "").with("ExpectedDigest", hex.EncodeToString(b.wantMD5)).
			with("CalculatedDigest", base64.StdEncoding.EncodeToString(digest[:]))
	}
	return store.Sums{ETag: hex.EncodeToString(digest[:])}, nil
}

// checkSum compares the checksum with the one sent, if one was.
func (b *body) checkSum() (string, error) {
	got := checksum.Sum(b.sum)
	want := checksum.Encode(b.wantSum)
	switch {
	case b.trailer:
		want = b.chunks.Trailer(b.algorithm.Header())
		if _, ok := b.algorithm.Decode(want); !ok {
			return "", newError(codeInvalidRequest, "Value for "+b.algorithm.Header()+" trailing header is invalid.")
		}
	case b.wantSum == nil:
		return got, nil
	}
	if got != want {
		return "", newError(codeBadDigest, "The "+b.algorithm.String()+" you specified did not match the calculated checksum.")
	}
	return got, nil
}

func hexSum(h hash.Hash) string {
	var raw [checksum.MaxSize]byte
	return hex.EncodeToString(h.Sum(raw[:0]))
}
