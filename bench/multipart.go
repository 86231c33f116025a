package bench

import (
	"bytes"
	"errors"
	"hash/crc32"
	"io"
	"mime"
	"strconv"
	"strings"
)

var errMultipart = errors.New("multipart answer is malformed")

// A window is what was read of a body and not yet used.
type window struct {
	src  io.Reader
	buf  []byte // all of it
	have []byte // in buf
	read int64
	err  error // of src
}

// more reads on: errMultipart if there is no room, io.EOF at the end.
func (w *window) more() error {
	if len(w.have) == len(w.buf) {
		return errMultipart
	}
	if w.err != nil {
		return w.err
	}
	kept := copy(w.buf, w.have)
	n, err := w.src.Read(w.buf[kept:])
	w.have, w.err = w.buf[:kept+n], err
	w.read += int64(n)
	return nil
}

// cut removes what comes before and after the next sep, which must come soon.
func (w *window) cut(sep []byte) (before []byte, err error) {
	for from := 0; ; {
		if i := bytes.Index(w.have[from:], sep); i >= 0 {
			before = w.have[:from+i]
			w.have = w.have[from+i+len(sep):]
			return before, nil
		}
		from = max(0, len(w.have)-len(sep)+1)
		if err := w.more(); err != nil {
			return nil, unexpected(err)
		}
	}
}

// starts tells whether sep comes next.
func (w *window) starts(sep []byte) (bool, error) {
	for len(w.have) < len(sep) {
		if err := w.more(); err != nil {
			return false, unexpected(err)
		}
	}
	return bytes.HasPrefix(w.have, sep), nil
}

// unexpected is the error of a body that ends too early.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return errMultipart
	}
	return err
}

// A checksum is the CRC-32C of what passed.
type checksum struct {
	crc  uint32
	size int64
}

func (c *checksum) add(p []byte) {
	c.crc = crc32.Update(c.crc, castagnoli, p)
	c.size += int64(len(p))
}

// sized sums a part whose length is given, which the delimiter must follow.
func (w *window) sized(n int64, delimiter []byte) (c checksum, err error) {
	for {
		p := w.have[:min(int64(len(w.have)), n-c.size)]
		c.add(p)
		w.have = w.have[len(p):]
		if c.size == n {
			break
		}
		if err := w.more(); err != nil {
			return c, unexpected(err)
		}
	}
	ok, err := w.starts(delimiter)
	if err == nil && !ok {
		err = errMultipart
	}
	if err != nil {
		return c, err
	}
	w.have = w.have[len(delimiter):]
	return c, nil
}

// unsized sums what comes before the next delimiter, and removes that.
func (w *window) unsized(delimiter []byte) (c checksum, err error) {
	for {
		if i := bytes.Index(w.have, delimiter); i >= 0 {
			c.add(w.have[:i])
			w.have = w.have[i+len(delimiter):]
			return c, nil
		}
		safe := max(0, len(w.have)-len(delimiter)+1)
		c.add(w.have[:safe])
		w.have = w.have[safe:]
		if err := w.more(); err != nil {
			return c, unexpected(err)
		}
	}
}

// rest reads the body to its end.
func (w *window) rest() (c checksum, err error) {
	for {
		c.add(w.have)
		w.have = nil
		if err := w.more(); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return c, err
		}
	}
}

// eachPart calls f with the checksum of every part of a multipart/related body (RFC 2046 5.1.1), or once with that of the whole
// body if it is of another type. A part's Content-Length saves the search for the next boundary, and must be right. Nothing but
// buf is held in memory, which headers must fit into.
func eachPart(contentType string, src io.Reader, buf []byte, f func(checksum)) (read int64, err error) {
	w := &window{src: src, buf: buf}
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil || !strings.HasPrefix(media, "multipart/") {
		c, err := w.rest()
		f(c)
		return w.read, err
	}
	delimiter := []byte("\r\n--" + params["boundary"])
	err = w.parts(delimiter, f)
	if err == nil {
		_, err = w.rest()
	}
	return w.read, err
}

// parts goes through the parts up to the one that says it was the last.
func (w *window) parts(delimiter []byte, f func(checksum)) error {
	first, err := w.starts(delimiter[2:])
	if err != nil {
		return err
	}
	if first {
		w.have = w.have[len(delimiter)-2:]
	} else if _, err := w.cut(delimiter); err != nil {
		return err
	}
	for {
		if last, err := w.starts([]byte("--")); last || err != nil {
			return err
		}
		header, err := w.cut([]byte("\r\n\r\n"))
		if err != nil {
			return err
		}
		var c checksum
		if n := contentLength(header); n >= 0 {
			c, err = w.sized(n, delimiter)
		} else {
			c, err = w.unsized(delimiter)
		}
		if err != nil {
			return err
		}
		f(c)
	}
}

// contentLength returns the length that a part's header gives, or -1.
func contentLength(header []byte) int64 {
	for line := range bytes.Lines(header) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(bytes.TrimSpace(name), []byte("Content-Length")) {
			n, err := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
			if err == nil {
				return n
			}
		}
	}
	return -1
}

// A fingerprint stands for a set of byte strings, or for a list of them.
type fingerprint struct {
	ordered bool
	count   int
	bytes   int64
	sum     uint64
}

func (p *fingerprint) add(crc uint32, size int64) {
	p.count++
	p.bytes += size
	p.sum += mix(uint64(crc)<<32 ^ uint64(size))
	if p.ordered {
		p.sum = mix(p.sum)
	}
}

// take takes the fingerprint of all parts of a body, and tells how long that is.
func (p *fingerprint) take(contentType string, src io.Reader, buf []byte) (read int64, err error) {
	return eachPart(contentType, src, buf, func(c checksum) { p.add(c.crc, c.size) })
}
