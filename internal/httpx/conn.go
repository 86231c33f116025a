package httpx

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"
)

// phase is what a connection is doing; it decides which deadline applies to a read.
type phase int8

const (
	phaseIdle    phase = iota // no byte of the next request seen
	phaseHeader               // reading headers
	phaseRequest              // the rest: body, response, drain
)

const (
	// lingerTime and lingerBytes bound what is read and dropped after a
	// response that the client may still be too busy sending to have read:
	// closing at once would reset the connection and destroy that response.
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 4 << 20
	// tlsWriteChunk bounds one TLS write: a timeout in the middle of it can't
	// be resumed, so progress has to be seen in steps.
	tlsWriteChunk = 64 << 10
)

// conn is the connection as fasthttp sees it. It owns all deadlines: those
// that fasthttp sets are ignored, because they are absolute.
//
// Fields without a lock belong to the goroutine that serves the connection
// (or that of its suspended handler, see expect.go; they alternate).
type conn struct {
	net.Conn           // TCP or TLS
	srv      *Server   // never nil
	home     *listener // where it goes when parked
	tls      *tls.Conn // nil on plain connections
	tcp      *net.TCPConn
	raw      syscall.RawConn // nil where the socket can't be looked at
	peer     netip.Addr

	phase       phase
	idleUntil   time.Time // zero: not yet set for this wait
	headerUntil time.Time // zero: not yet set for this request
	readUntil   time.Time // deadlines as last given to the kernel
	writeUntil  time.Time
	in, out     meter
	handshaken  bool

	expecting *expectation // for the request about to be served
	suspended *suspended   // handler waiting for its "100 Continue"
	failed    error        // of a write that was reported as done; the next read returns it
	readErr   error        // first error in reading a body
	writeErr  error        // first error in writing a response
	cork      bool         // another write follows the next full-buffer one
	more      bool         // another write of the same response follows this one
	pending   []byte       // held back by cork

	parking atomic.Bool // the next Close parks instead
	linger  atomic.Bool // Close lingers
	closed  atomic.Bool
}

func newConn(s *Server, home *listener, nc net.Conn) *conn {
	c := &conn{Conn: nc, srv: s, home: home,
		in:  newMeter(s.cfg.MinBodyRate, s.cfg.BodyGrace),
		out: newMeter(s.cfg.MinBodyRate, s.cfg.BodyGrace)}
	if tc, ok := nc.(*tls.Conn); ok {
		c.tls, nc = tc, tc.NetConn()
	}
	c.tcp, _ = nc.(*net.TCPConn)
	if sc, ok := nc.(syscall.Conn); ok {
		c.raw, _ = sc.SyscallConn()
	}
	if s.cfg.TLS != nil && c.tls == nil {
		c.tls = tls.Server(nc, s.cfg.TLS)
		c.Conn = c.tls
	}
	if ap, err := netip.ParseAddrPort(nc.RemoteAddr().String()); err == nil {
		c.peer = ap.Addr().Unmap().WithZone("")
	}
	return c
}

// connState is fasthttp's hook; it marks where one request ends and the next begins.
func connState(nc net.Conn, state fasthttp.ConnState) {
	c, ok := nc.(*conn)
	if !ok {
		return
	}
	switch state {
	case fasthttp.StateActive:
		if c.phase == phaseIdle { // pipelined: its first bytes are already here
			c.toHeader()
		}
	case fasthttp.StateIdle:
		c.phase = phaseIdle
		c.idleUntil = time.Time{}
		c.linger.Store(false)
	}
}

func (c *conn) toHeader() {
	c.phase = phaseHeader
	c.headerUntil = time.Time{}
}

// toRequest starts the rolling deadlines of body and response.
func (c *conn) toRequest() {
	c.phase = phaseRequest
	c.in.reset()
	c.out.reset()
	c.readErr, c.writeErr = nil, nil
	c.cork, c.more = false, false
}

// headersDone makes fasthttp call SetReadDeadline when it has read a request's
// headers, before it reads up to 8 KiB of the body, still ahead of the handler.
func headersDone(*fasthttp.RequestHeader) fasthttp.RequestConfig {
	return fasthttp.RequestConfig{ReadTimeout: 1}
}

// SetReadDeadline says that the headers are read; see headersDone. It sets no
// deadline: fasthttp's are absolute, ours roll.
func (c *conn) SetReadDeadline(time.Time) error {
	if c.phase == phaseHeader {
		c.toRequest()
	}
	return nil
}

// SetDeadline does nothing; see SetReadDeadline.
func (c *conn) SetDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing; see SetReadDeadline.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

func (c *conn) Read(p []byte) (int, error) {
	if c.failed != nil {
		c.readErr = c.failed
		return 0, c.failed
	}
	switch c.phase {
	case phaseIdle:
		return c.readIdle(p)
	case phaseHeader:
		return c.readHeader(p)
	}
	return c.readBody(p)
}

// readIdle waits for the first byte of a request. If it doesn't come soon, the
// connection is parked: fasthttp drops it together with its buffers.
func (c *conn) readIdle(p []byte) (int, error) {
	now := time.Now()
	if c.idleUntil.IsZero() {
		c.idleUntil = now.Add(c.srv.cfg.IdleTimeout)
	}
	park := c.srv.cfg.IdleTimeout
	if c.raw != nil {
		park = min(park, maxParkAfter)
	}
	if c.tls != nil && !c.handshaken {
		if err := c.handshake(now.Add(park)); err != nil {
			return 0, err
		}
	}
	if d := c.readUntil.Sub(now); d < park || d > 3*park {
		c.setReadUntil(now.Add(2 * park))
	}
	n, err := c.Conn.Read(p)
	switch {
	case n > 0:
		c.toHeader()
		return n, nil
	case isTimeout(err):
		return 0, c.park()
	case errors.Is(err, io.EOF):
		return 0, err
	}
	return 0, errParked // broken before a request began: nobody to tell
}

// handshake starts when the client does, for it can't be resumed after a
// timeout: a client that says nothing until then is parked first.
func (c *conn) handshake(start time.Time) error {
	if !c.waitReadable(start) {
		return c.park()
	}
	until := time.Now().Add(c.srv.cfg.HeaderTimeout)
	c.readUntil, c.writeUntil = until, until
	_ = c.Conn.SetDeadline(until)
	if err := c.tls.Handshake(); err != nil {
		c.srv.metrics.connErrors.Inc()
		var plain tls.RecordHeaderError
		if errors.As(err, &plain) && plain.Conn != nil && startsRequest(plain.RecordHeader[:]) {
			_, _ = io.WriteString(plain.Conn, "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\n\r\nthis port is served by https\n")
		}
		return errParked
	}
	c.handshaken = true
	return nil
}

// startsRequest tells whether b begins a request without TLS. No TLS record begins with a letter.
func startsRequest(b []byte) bool {
	return bytes.IndexFunc(b, func(r rune) bool { return (r < 'A' || r > 'Z') && r != ' ' && r != '/' }) < 0
}

// readHeader reads under one absolute deadline.
func (c *conn) readHeader(p []byte) (int, error) {
	if c.headerUntil.IsZero() {
		c.headerUntil = time.Now().Add(c.srv.cfg.HeaderTimeout)
		c.setReadUntil(c.headerUntil)
	}
	return c.Conn.Read(p)
}

// readBody reads under the rolling deadline.
func (c *conn) readBody(p []byte) (int, error) {
	start := time.Now()
	c.rollRead(start)
	n, err := c.Conn.Read(p)
	if slow := c.in.add(n, time.Since(start)); slow || isTimeout(err) {
		err = errTimeout(os.ErrDeadlineExceeded)
	}
	if err != nil && c.readErr == nil {
		c.readErr = err
	}
	return n, err
}

func (c *conn) setReadUntil(t time.Time) {
	c.readUntil = t
	_ = c.Conn.SetReadDeadline(t)
}

// needsRoll reports whether a deadline must be moved: it must not be nearer
// than what the meter has left, nor much later. Deadlines are set a quarter of
// a window late, for moving them at every read would cost more than it is worth.
func needsRoll(until, now time.Time, left, window time.Duration) bool {
	d := until.Sub(now)
	return d < left || d > left+window/2
}

func (c *conn) rollRead(now time.Time) {
	left := c.in.left()
	if needsRoll(c.readUntil, now, left, c.in.window) {
		c.setReadUntil(now.Add(left + c.in.window/4))
	}
}

// Write sends p under the rolling deadline.
func (c *conn) Write(p []byte) (int, error) {
	if len(c.pending) > 0 {
		return c.writePending(p)
	}
	if c.cork && len(p) == writeBufferSize && c.tcp != nil && c.tls == nil {
		// The first part of a response; the rest is about to follow, and one
		// writev sends both.
		c.cork = false
		c.pending = append(c.pending, p...)
		return len(p), nil
	}
	n, err := c.write(p)
	if err != nil && c.suspended != nil {
		// This was "100 Continue". fasthttp would drop the request without a
		// word to the handler; let the next read tell it instead.
		c.failed = err
		return len(p), nil
	}
	return n, err
}

// writePending sends what was held back and p in one system call if possible.
func (c *conn) writePending(p []byte) (int, error) {
	held := len(c.pending)
	start := time.Now()
	c.rollWrite(start)
	n, err := c.writev(c.pending, p)
	c.pending = c.pending[:0]
	slow := c.out.add(n, time.Since(start))
	if err == nil {
		return len(p), nil
	}
	if isTimeout(err) && !slow {
		if n < held {
			return 0, c.wroteErr(err)
		}
		m, err := c.write(p[n-held:])
		return n - held + m, err
	}
	return max(0, n-held), c.wroteErr(err)
}

func (c *conn) write(p []byte) (int, error) {
	done := 0
	for {
		chunk := p[done:]
		if c.tls != nil && len(chunk) > tlsWriteChunk {
			chunk = chunk[:tlsWriteChunk]
		}
		start := time.Now()
		c.rollWrite(start)
		n, err := c.writeChunk(chunk)
		done += n
		slow := c.out.add(n, time.Since(start))
		switch {
		case err != nil && (slow || !isTimeout(err) || c.tls != nil):
			return done, c.wroteErr(err)
		case done == len(p):
			return done, nil
		}
	}
}

func (c *conn) writeChunk(p []byte) (int, error) {
	if c.more && c.tls == nil && c.raw != nil {
		return c.writev(p)
	}
	return c.Conn.Write(p)
}

// writev sends buffers with one system call, if they go at once. While more is set, the kernel holds back what does not fill a
// packet: the end of a body would otherwise cost a packet, and wake the client, twice.
func (c *conn) writev(bufs ...[]byte) (n int, err error) {
	if !c.more || c.raw == nil {
		list := net.Buffers(bufs)
		n64, err := list.WriteTo(c.tcp)
		return int(n64), err
	}
	waitErr := c.raw.Write(func(fd uintptr) bool {
		for err == nil && len(bufs) > 0 {
			var m int
			if m, err = unix.SendmsgBuffers(int(fd), bufs, nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL); errors.Is(err, unix.EINTR) {
				err = nil
			}
			n += max(m, 0)
			bufs = consume(bufs, max(m, 0))
		}
		if errors.Is(err, unix.EAGAIN) {
			err = nil
			return false
		}
		return true
	})
	if err == nil {
		err = waitErr
	}
	return n, err
}

// consume drops the first n bytes of buffers, and those that are empty then.
func consume(bufs [][]byte, n int) [][]byte {
	for len(bufs) > 0 && n >= len(bufs[0]) {
		n -= len(bufs[0])
		bufs = bufs[1:]
	}
	if n > 0 {
		bufs[0] = bufs[0][n:]
	}
	return bufs
}

func (c *conn) wroteErr(err error) error {
	if c.writeErr == nil {
		c.writeErr = err
	}
	return err
}

func (c *conn) rollWrite(now time.Time) {
	left := c.out.left()
	if needsRoll(c.writeUntil, now, left, c.out.window) {
		c.writeUntil = now.Add(left + c.out.window/4)
		_ = c.Conn.SetWriteDeadline(c.writeUntil)
	}
}

// park makes the coming Close hand the connection to its listener.
func (c *conn) park() error {
	if c.raw != nil && c.home != nil && !c.srv.draining.Load() {
		c.pending = nil
		c.parking.Store(true)
	}
	return errParked
}

// waitReadable waits until a read would not block, without reading.
func (c *conn) waitReadable(until time.Time) bool {
	if c.raw == nil {
		return true
	}
	c.setReadUntil(until)
	err := c.raw.Read(func(fd uintptr) bool {
		_, err := peek(fd)
		return !errors.Is(err, unix.EAGAIN)
	})
	return err == nil
}

// peek looks for input without taking it. EAGAIN means that there is none,
// and (0, nil) that there will be none.
func peek(fd uintptr) (int, error) {
	var b [1]byte
	for {
		n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// gone looks whether the client has closed its side or the connection broke.
// Any goroutine may ask while the connection is open or closed.
func (c *conn) gone() bool {
	if c.raw == nil {
		return c.closed.Load()
	}
	gone := false
	err := c.raw.Control(func(fd uintptr) {
		if c.tls != nil {
			// Under TLS a farewell record lies before the end of the stream.
			p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
			n, err := unix.Poll(p, 0)
			gone = err == nil && n > 0
			return
		}
		n, err := peek(fd)
		gone = err == nil && n == 0 || err != nil && !errors.Is(err, unix.EAGAIN)
	})
	return gone || err != nil
}

// Close parks the connection or closes it, lingering if the client may not
// have read its response. Shutdown may call it from another goroutine.
func (c *conn) Close() error {
	if c.parking.CompareAndSwap(true, false) {
		c.home.park(c)
		return nil
	}
	if !c.closed.CompareAndSwap(false, true) {
		return nil
	}
	if c.linger.Load() {
		c.lingerClose()
	}
	err := c.Conn.Close()
	c.srv.removeConn(c)
	return err
}

func (c *conn) lingerClose() {
	if c.tcp == nil {
		return
	}
	if c.tls != nil {
		_ = c.tls.CloseWrite()
	}
	_ = c.tcp.CloseWrite()
	_ = c.tcp.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, c.tcp, lingerBytes)
}

// abort closes the connection from outside of its goroutine.
func (c *conn) abort() {
	if c.tcp != nil {
		_ = c.tcp.Close()
		return
	}
	_ = c.Conn.Close()
}
