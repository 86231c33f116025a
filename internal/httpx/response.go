package httpx

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
)

// SendBytes makes b the whole response body. It copies b.
func (c *Ctx) SendBytes(b []byte) {
	c.resetBody()
	c.responded = true
	c.sent = int64(len(b))
	if c.method == http.MethodHead {
		c.sent = 0
	}
	c.rc.Response.SetBody(b)
}

// SendHead answers a HEAD request for a body of n bytes without needing one.
func (c *Ctx) SendHead(n int64) {
	c.resetBody()
	c.responded = true
	c.rc.Response.SkipBody = true
	c.rc.Response.Header.SetContentLength(int(n))
}

// NoContent sends status without a body.
func (c *Ctx) NoContent(status int) {
	c.Status(status)
	c.resetBody()
	c.responded = true
}

// SendStream makes r, which must give exactly n bytes, the response body. It
// is read after the handler has returned; if it is an io.WriterTo, by that. If
// it fails or gives less or more, the connection is cut so that the client sees a
// short body. r is closed exactly once, whatever happens: also for HEAD, whose
// response has the length but no body, when the client is gone, and when the
// handler returns an error after all. r may be nil if n is 0.
func (c *Ctx) SendStream(n int64, r io.ReadCloser) {
	c.resetBody()
	c.responded = true
	if r == nil {
		r = http.NoBody
	}
	if n < 0 {
		_ = r.Close()
		panic("httpx: SendStream with a negative length")
	}
	c.stream.active, c.stream.r, c.stream.size = true, r, n
	c.rc.Response.SetBodyStream(&c.stream, int(n))
}

// SendChunked makes what fn writes the response body, in chunks: its length
// is not known. fn runs after the handler has returned, not at all for HEAD;
// writes are gathered in a buffer, and an interface{ Flush() error } of w
// sends what is there. If fn returns an error, the connection is cut so that the
// client can tell that the body is not whole.
func (c *Ctx) SendChunked(fn func(w io.Writer) error) {
	c.resetBody()
	c.responded = true
	c.stream.active, c.stream.fn, c.stream.size = true, fn, -1
	if !c.rc.Request.Header.IsHTTP11() {
		c.sendUntilClose()
		return
	}
	c.rc.Response.SetBodyStream(&c.stream, -1)
}

// resetBody drops a body prepared before, but keeps status and headers.
func (c *Ctx) resetBody() {
	if c.stream.active {
		c.stream.drop()
	}
	c.rc.Hijack(nil)
	c.rc.HijackSetNoResponse(false)
	c.rc.Response.ResetBody()
	c.rc.Response.SkipBody = false
	c.sent = 0
	c.responded = false
}

// resetResponse drops all that was prepared, headers included.
func (c *Ctx) resetResponse() {
	c.resetBody()
	h := &c.rc.Response.Header
	closing := h.ConnectionClose()
	h.Reset()
	h.DisableNormalizing()
	h.SetNoDefaultContentType(true)
	if closing {
		h.SetConnectionClose()
	}
	c.status = http.StatusOK
}

// chunkBuffer is how much of a chunked response is gathered before it is sent.
const chunkBuffer = 32 << 10

// copyBuffer is the unit in which readers that are no io.WriterTo are sent.
const copyBuffer = 64 << 10

var (
	chunkPool = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, chunkBuffer) }}
	copyPool  = sync.Pool{New: func() any { b := make([]byte, copyBuffer); return &b }}
)

// responseStream is a response body that fasthttp sends after the handler has
// returned. Its Close ends the request.
type responseStream struct {
	c      *Ctx
	active bool
	r      io.ReadCloser           // SendStream
	size   int64                   // of r
	fn     func(w io.Writer) error // SendChunked
	err    error                   // why the body was cut short
}

// SupportsBodyWriteTo makes fasthttp use WriteTo.
func (s *responseStream) SupportsBodyWriteTo() bool { return true }

// Read exists only because fasthttp takes readers.
func (s *responseStream) Read([]byte) (int, error) {
	return 0, errors.New("httpx: response stream is written, not read")
}

// WriteTo sends the body. It never panics.
func (s *responseStream) WriteTo(w io.Writer) (n int64, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = s.c.srv.panicked(s.c, p)
		}
		s.c.sent = n
		s.err = err
	}()
	if s.fn != nil {
		return s.writeChunks(w)
	}
	s.c.conn.cork = s.size > writeBufferSize
	cw := &countWriter{w: w, conn: s.c.conn, size: s.size}
	if wt, ok := s.r.(io.WriterTo); ok {
		_, err = wt.WriteTo(cw)
	} else {
		err = copyStream(cw, s.r, s.size)
	}
	if err == nil && cw.n != s.size {
		err = fmt.Errorf("httpx: body stream gave %d of %d bytes", cw.n, s.size)
	}
	return cw.n, err
}

func (s *responseStream) writeChunks(w io.Writer) (int64, error) {
	cw := &countWriter{w: w}
	buf, _ := chunkPool.Get().(*bufio.Writer)
	buf.Reset(cw)
	err := s.fn(buf)
	if err == nil {
		err = buf.Flush()
	}
	buf.Reset(nil)
	chunkPool.Put(buf)
	return cw.n, err
}

// countWriter counts what it lets through; unlike a source's own count, that
// includes what was written before a panic.
type countWriter struct {
	w    io.Writer
	n    int64
	conn *conn // told whether more than this write is to come; may be nil
	size int64
}

func (cw *countWriter) Write(p []byte) (int, error) {
	if cw.conn != nil {
		cw.conn.more = cw.n+int64(len(p)) < cw.size
	}
	n, err := cw.w.Write(p)
	cw.n += int64(n)
	return n, err
}

// copyStream copies size bytes of r, and one more if there is one, so that a
// source that is too long is noticed.
func copyStream(w io.Writer, r io.Reader, size int64) error {
	bp, _ := copyPool.Get().(*[]byte)
	defer copyPool.Put(bp)
	buf := *bp
	for {
		n, err := fill(r, buf[:min(int64(len(buf)), size+1)])
		if n > 0 && (err == nil || errors.Is(err, io.EOF)) {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return werr
			}
			size -= int64(n)
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil // the caller compares lengths
		case err != nil:
			return err
		case size < 0:
			return errors.New("httpx: body stream is longer than announced")
		}
	}
}

// fill reads until p is full, passing on r's error as it is.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = r.Read(p[n:])
		n += m
	}
	return n, err
}

// Close ends the request: fasthttp calls it when the response was sent, or will never be.
func (s *responseStream) Close() error {
	if !s.active {
		return nil
	}
	s.active = false
	if s.err == nil {
		s.err = s.c.conn.writeErr
	}
	var err error
	if s.r != nil {
		err = s.closeSource()
	}
	s.c.srv.finish(s.c)
	return err
}

// drop closes the source of a response that won't be sent.
func (s *responseStream) drop() {
	r := s.r
	s.active = false
	if r != nil {
		_ = s.closeSource()
	}
	s.r, s.fn, s.size = nil, nil, 0
}

func (s *responseStream) closeSource() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = s.c.srv.panicked(s.c, p)
		}
	}()
	return s.r.Close()
}

// sendUntilClose is SendChunked for HTTP/1.0, which knows no chunks: the end of
// the connection is the end of the body, and a reset says that it came early.
func (c *Ctx) sendUntilClose() {
	rc := c.rc
	rc.HijackSetNoResponse(true)
	rc.Hijack(func(nc net.Conn) {
		s := &c.stream
		defer func() { _ = s.Close() }()
		rc.Response.Header.Del("Connection") // fasthttp has granted keep-alive to those who asked for it
		rc.SetConnectionClose()
		if _, err := nc.Write(rc.Response.Header.Header()); err != nil || c.method == http.MethodHead {
			return
		}
		if _, err := s.WriteTo(nc); err != nil && c.conn.tcp != nil {
			_ = c.conn.tcp.SetLinger(0)
		}
	})
}
