package httpx

import (
	"errors"
	"io"
)

var errRequestOver = errors.New("httpx: body read after the request was over")

// bodyReader is Ctx.Body: fasthttp's stream made exact.
type bodyReader struct {
	c       *Ctx
	read    int64
	limit   int64
	limited bool
	end     error // sticky
}

func (b *bodyReader) Read(p []byte) (int, error) {
	c := b.c
	if c == nil {
		return 0, errRequestOver
	}
	if b.end == nil {
		b.begin()
	}
	if b.end != nil {
		return 0, b.end
	}
	if len(p) == 0 {
		return 0, nil
	}
	p = b.clip(p)
	n, err := c.rc.RequestBodyStream().Read(p)
	b.read += int64(n)
	switch {
	case b.limited && b.read > b.limit:
		over := int(b.read - b.limit)
		b.read, n, b.end = b.limit, n-over, errTooLarge()
	case c.length >= 0 && b.read == c.length:
		b.end = io.EOF
	case errors.Is(err, io.EOF) && c.length < 0 && c.conn.readErr == nil:
		b.end = io.EOF
	case err != nil:
		b.end = bodyError(c.conn.readErr)
	}
	if n > 0 && !errors.Is(b.end, io.EOF) {
		return n, nil // the error comes with the next call
	}
	return n, b.end
}

// begin makes the client send, if it waits for that.
func (b *bodyReader) begin() {
	c := b.c
	if c.length == 0 {
		b.end = io.EOF
		return
	}
	if e := c.expect; e != nil {
		c.expect = nil
		e.pause()
		if e.err != nil {
			b.end = e.err
			return
		}
	}
	if c.rc.RequestBodyStream() == nil {
		b.end = io.ErrUnexpectedEOF
	}
}

// clip keeps one read from going far past the limit of a chunked body, yet
// lets it see whether there is more.
func (b *bodyReader) clip(p []byte) []byte {
	if b.limited && int64(len(p)) > b.limit-b.read+1 {
		return p[:b.limit-b.read+1]
	}
	return p
}

// unread reports whether some of the body may still be on its way.
func (c *Ctx) unread() bool {
	return c.length != 0 && !errors.Is(c.body.end, io.EOF)
}
