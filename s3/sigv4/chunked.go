package sigv4

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"slices"
	"strings"
	"sync"
)

// The aws-chunked coding
// (https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html, and …/sigv4-streaming-trailers.html):
//
//	chunk    = hex-size [";chunk-signature=" 64 hex] CRLF data CRLF
//	last     = "0" [";chunk-signature=" 64 hex] CRLF
//	trailer  = name ":" value CRLF             (only in the -TRAILER variants)
//	signed   = "x-amz-trailer-signature:" 64 hex CRLF
//	end      = CRLF
const (
	chunkBuffer   = 4 << 10 // bytes; no line may be longer
	maxTrailers   = 8
	maxSizeDigits = 16
)

// Chunks describes an aws-chunked body.
type Chunks struct {
	Payload  string   // one of the Streaming constants
	Length   int64    // decoded length that the client declared
	Trailers []string // lower-case names that x-amz-trailer announced

	// Signature and Key check the chunks' signatures; without a Key they are read and not checked.
	Signature *Signature
	Key       []byte
}

// ChunkReader decodes an aws-chunked body. Bytes are handed out before the signature of their chunk is checked; a wrong
// one is an *Error from a later Read, so that nothing may be made visible before io.EOF.
type ChunkReader struct {
	cfg      Chunks
	br       *bufio.Reader
	left     int64 // of the current chunk
	total    int64 // decoded so far
	err      error
	sum      hash.Hash // SHA-256 of the current chunk, nil if signatures are not checked
	want     []byte    // signature of the current chunk
	previous []byte    // signature of the chunk before
	trailers []trailer
}

type trailer struct{ name, value string }

var bufferPool = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, chunkBuffer) }}

// NewChunkReader decodes r. Close must be called when it is no longer read.
func NewChunkReader(r io.Reader, cfg Chunks) *ChunkReader {
	c := &ChunkReader{cfg: cfg, br: bufferPool.Get().(*bufio.Reader)}
	c.br.Reset(r)
	if cfg.Key != nil && c.signed() {
		c.sum = sha256.New()
		c.previous = []byte(cfg.Signature.Hex)
	}
	return c
}

// Close gives buffers back; it does not close what is read.
func (c *ChunkReader) Close() error {
	if c.br != nil {
		c.br.Reset(nil)
		bufferPool.Put(c.br)
		c.br = nil
	}
	if c.err == nil {
		c.err = io.ErrClosedPipe
	}
	return nil
}

// Trailer gives the value of a trailing header once Read has returned io.EOF.
func (c *ChunkReader) Trailer(name string) string {
	for _, t := range c.trailers {
		if t.name == name {
			return t.value
		}
	}
	return ""
}

func (c *ChunkReader) signed() bool     { return c.cfg.Payload != StreamingUnsignedTrailer }
func (c *ChunkReader) hasTrailer() bool { return c.cfg.Payload != StreamingPayload }

// Read gives decoded bytes. A body that does not hold exactly the declared length is an *Error with IncompleteBody.
func (c *ChunkReader) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := c.read(p)
	c.err = err
	return n, err
}

func (c *ChunkReader) read(p []byte) (int, error) {
	if c.left == 0 {
		if err := c.nextChunk(); err != nil {
			return 0, err
		}
	}
	n, err := c.br.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	c.total += int64(n)
	if c.sum != nil {
		c.sum.Write(p[:n])
	}
	if err != nil {
		return n, cutShort(err)
	}
	if c.left == 0 {
		return n, c.endChunk()
	}
	return n, nil
}

// nextChunk reads the head of the next chunk; after the last one it reads the end of the body and returns io.EOF.
func (c *ChunkReader) nextChunk() error {
	size, err := c.head()
	if err != nil {
		return err
	}
	if size > 0 {
		if size > c.cfg.Length-c.total {
			return errIncomplete()
		}
		c.left = size
		return nil
	}
	if c.total != c.cfg.Length {
		return errIncomplete()
	}
	if err := c.checkChunk(); err != nil {
		return err
	}
	if err := c.end(); err != nil {
		return err
	}
	return io.EOF
}

func (c *ChunkReader) head() (int64, error) {
	line, err := c.line()
	if err != nil {
		return 0, err
	}
	digits, extension, found := bytes.Cut(line, []byte(";"))
	size, ok := parseHex(bytes.TrimSpace(digits))
	if !ok {
		return 0, errMalformed()
	}
	if !c.signed() {
		return size, nil // extensions mean nothing here
	}
	sig, isSig := bytes.CutPrefix(bytes.TrimSpace(extension), []byte("chunk-signature="))
	if !found || !isSig || len(sig) != 2*sha256.Size {
		return 0, errMalformed()
	}
	c.want = append(c.want[:0], sig...)
	return size, nil
}

func parseHex(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > maxSizeDigits {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		d := unhex(c)
		if d > 15 {
			return 0, false
		}
		n = n<<4 | uint64(d)
	}
	return int64(n), n <= 1<<62
}

// line reads up to CRLF, which it drops. The line is valid until the next read.
func (c *ChunkReader) line() ([]byte, error) {
	line, err := c.br.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, errMalformed()
	}
	if err != nil {
		return nil, cutShort(err)
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
}

func (c *ChunkReader) endChunk() error {
	var crlf [2]byte
	if _, err := io.ReadFull(c.br, crlf[:]); err != nil {
		return cutShort(err)
	}
	if crlf != [2]byte{'\r', '\n'} {
		return errMalformed()
	}
	return c.checkChunk()
}

func (c *ChunkReader) checkChunk() error {
	if c.sum == nil {
		return nil
	}
	text := c.appendPrefix(nil, algorithm+"-PAYLOAD")
	text = append(text, emptySHA256+"\n"...)
	var digest [sha256.Size]byte
	text = hex.AppendEncode(text, c.sum.Sum(digest[:0]))
	c.sum.Reset()
	return c.check(text, c.want)
}

func (c *ChunkReader) check(text, want []byte) error {
	if !equalMAC(c.cfg.Key, text, string(want)) {
		return mismatch(c.cfg.Signature.KeyID, string(text), string(want), "")
	}
	c.previous = append(c.previous[:0], want...)
	return nil
}

func (c *ChunkReader) appendPrefix(b []byte, name string) []byte {
	for _, s := range []string{name, c.cfg.Signature.Time, c.cfg.Signature.Scope(), string(c.previous)} {
		b = append(b, s...)
		b = append(b, '\n')
	}
	return b
}

// end reads what follows the last chunk. Some clients leave out the final CRLF, and some put an empty line between the
// trailers and their signature.
func (c *ChunkReader) end() error {
	var signature []byte
	for {
		if _, err := c.br.Peek(1); errors.Is(err, io.EOF) {
			break
		}
		line, err := c.line()
		if err != nil {
			return err
		}
		if len(line) == 0 && c.signed() && len(c.trailers) > 0 && signature == nil {
			continue
		}
		if len(line) == 0 {
			break
		}
		if !c.hasTrailer() {
			return errMalformed()
		}
		if signature, err = c.trailer(line, signature); err != nil {
			return err
		}
	}
	return c.checkTrailers(signature)
}

func (c *ChunkReader) trailer(line, signature []byte) ([]byte, error) {
	name, value, ok := strings.Cut(string(line), ":")
	name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
	if !ok || len(c.trailers) >= maxTrailers {
		return nil, errTrailer()
	}
	if name == "x-amz-trailer-signature" {
		return []byte(value), nil
	}
	if !slices.Contains(c.cfg.Trailers, name) || c.Trailer(name) != "" {
		return nil, errTrailer()
	}
	c.trailers = append(c.trailers, trailer{name, value})
	return signature, nil
}

func (c *ChunkReader) checkTrailers(signature []byte) error {
	if len(c.trailers) != len(c.cfg.Trailers) {
		return errTrailer()
	}
	if c.sum == nil || !c.hasTrailer() || len(c.trailers) == 0 && signature == nil {
		return nil
	}
	var text []byte
	for _, t := range c.trailers {
		text = append(text, t.name+":"+t.value+"\n"...)
	}
	sum := sha256.Sum256(text)
	return c.check(hex.AppendEncode(c.appendPrefix(nil, algorithm+"-TRAILER"), sum[:]), signature)
}

const codeIncomplete = "IncompleteBody"

// cutShort turns the end of the input inside the coding into IncompleteBody; other errors pass.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errIncomplete()
	}
	return err
}

func errIncomplete() error {
	return &Error{Code: codeIncomplete, Message: "The request body terminated unexpectedly"}
}

func errMalformed() error {
	return &Error{Code: "InvalidRequest", Message: "The aws-chunked encoding of the body is malformed."}
}

func errTrailer() error {
	return &Error{Code: "MalformedTrailerError",
		Message: "The request contained trailing data that was not well-formed or did not conform to our published schema."}
}
