package bench

import (
	"bytes"
	"errors"
	"hash/crc32"
	"mime"
	"strconv"
	"strings"
)

var errMultipart = errors.New("multipart answer is malformed")

// eachPart calls f with every part of a multipart/related body (RFC 2046 5.1.1), or once with the whole body if it is
// of another type. A part's Content-Length, where it is right, saves the search for the next boundary.
func eachPart(contentType string, body []byte, f func(data []byte) error) error {
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil || !strings.HasPrefix(media, "multipart/") {
		return f(body)
	}
	delimiter := []byte("\r\n--" + params["boundary"])
	if bytes.HasPrefix(body, delimiter[2:]) {
		body = body[len(delimiter)-2:]
	} else {
		_, rest, ok := bytes.Cut(body, delimiter)
		if !ok {
			return errMultipart
		}
		body = rest
	}
	for !bytes.HasPrefix(body, []byte("--")) {
		header, data, ok := bytes.Cut(body, []byte("\r\n\r\n"))
		if !ok {
			return errMultipart
		}
		n := contentLength(header)
		if n < 0 || n > len(data) || !bytes.HasPrefix(data[n:], delimiter) {
			if n = bytes.Index(data, delimiter); n < 0 {
				return errMultipart
			}
		}
		if err := f(data[:n]); err != nil {
			return err
		}
		body = data[n+len(delimiter):]
	}
	return nil
}

// contentLength returns the length that a part's header gives, or -1.
func contentLength(header []byte) int {
	for line := range bytes.Lines(header) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(bytes.TrimSpace(name), []byte("Content-Length")) {
			n, err := strconv.Atoi(string(bytes.TrimSpace(value)))
			if err == nil {
				return n
			}
		}
	}
	return -1
}

// A fingerprint stands for a set of byte strings in any order.
type fingerprint struct {
	count int
	bytes int64
	sum   uint64
}

func (p *fingerprint) add(crc uint32, size int64) {
	p.count++
	p.bytes += size
	p.sum += mix(uint64(crc)<<32 ^ uint64(size))
}

// fingerprintOf takes the fingerprint of all parts of an answer.
func fingerprintOf(resp *response) (fingerprint, error) {
	var p fingerprint
	err := eachPart(resp.contentType, resp.body, func(data []byte) error {
		p.add(crc32.Checksum(data, castagnoli), int64(len(data)))
		return nil
	})
	return p, err
}
