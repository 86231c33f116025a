package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"golang.org/x/sys/unix"
)

// Limits on what a server may answer.
const (
	maxHeaderLines = 200
	maxBody        = 4 << 30
	readChunk      = 256 << 10 // stays in the second-level cache between the kernel's copy and the checksum
	maxGather      = 1 << 20   // see wakeAt
)

// A client is one HTTP/1.1 connection, used by one goroutine. It exists because net/http hands every request through
// two more goroutines, which on a machine shared with the server costs as much as a fast server's whole answer.
type client struct {
	base    *url.URL
	prefix  string // path of base without a trailing slash
	auth    string // header line with Basic credentials, or ""
	sign    *signer
	tls     *tls.Config
	timeout time.Duration

	conn   net.Conn
	raw    syscall.RawConn // of conn; nil under TLS
	gather int             // bytes of the body for which the kernel wakes the client
	reader *bufio.Reader
	used   bool  // the connection has answered before, so it may have been closed by the server since
	again  int64 // requests that were sent again because it was
	head   []byte
	body   []byte
	vec    net.Buffers
}

// A request is sent as it stands: target and query must be escaped already.
type request struct {
	method string
	path   string // below the client's base URL
	query  string // without the question mark; sorted by key if requests are signed
	header string // more header lines, each ended by CRLF
	body   [][]byte
	use    bodyUse
}

// A bodyUse says what is needed of an answer's body; what is not needed costs nothing.
type bodyUse int

const (
	keepAndSum bodyUse = iota // response.body and response.crc
	sumOnly                   // response.crc
	sumSet                    // response.parts, in any order
	sumList                   // response.parts, in theirs
)

// A response's body is valid until the client's next request.
type response struct {
	status      int
	contentType string
	etag        string
	body        []byte
	crc         uint32
	parts       fingerprint
	size        int64
	close       bool
	chunked     bool
	length      int64 // -1 if not given
}

func newClient(base string, timeout time.Duration) (*client, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("endpoint %q: want http(s)://host[:port][/path]", base)
	}
	c := &client{base: u, prefix: strings.TrimSuffix(u.EscapedPath(), "/"), timeout: timeout}
	if u.Scheme == "https" {
		c.tls = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	}
	return c, nil
}

func (c *client) setBasic(id, secret string) {
	if id != "" {
		c.auth = "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret)) + "\r\n"
	}
}

func (c *client) close() {
	if c.conn != nil {
		_ = c.conn.Close() // nothing is buffered for writing
		c.conn = nil
	}
}

func (c *client) dial(ctx context.Context) error {
	address := c.base.Host
	if c.base.Port() == "" {
		address = net.JoinHostPort(c.base.Hostname(), map[string]string{"http": "80", "https": "443"}[c.base.Scheme])
	}
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	c.raw, c.gather = nil, 1
	if c.tls != nil {
		conn = tls.Client(conn, c.tls)
	} else if sc, ok := conn.(syscall.Conn); ok {
		if c.raw, err = sc.SyscallConn(); err != nil {
			return errors.Join(err, conn.Close())
		}
	}
	c.conn, c.used = conn, false
	if c.reader == nil {
		c.reader = bufio.NewReaderSize(nil, 16<<10)
	}
	c.reader.Reset(conn)
	return nil
}

// wakeAt asks the kernel to wake the client when n bytes have come, n at least 1 and at most what must come, and not with every
// packet: to wake a thread costs the sender, who does it, as much as copying a packet of 64 KiB. At most maxGather are asked for.
func (c *client) wakeAt(n int64) {
	want := int(min(n, maxGather))
	if c.raw == nil || want == c.gather {
		return
	}
	err := c.raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT, want) == nil {
			c.gather = want
		}
	})
	if err != nil {
		c.raw = nil // closed: reading will tell
	}
}

// do sends the request and reads the whole answer. A connection that the server closed while idle is dialled again.
func (c *client) do(ctx context.Context, req *request) (*response, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if c.conn == nil {
			if err := c.dial(ctx); err != nil {
				return nil, err
			}
		}
		resp, started, err := c.roundTrip(ctx, req)
		if err != nil {
			stale := c.used && !started && !errors.Is(err, os.ErrDeadlineExceeded)
			c.close()
			if stale && ctx.Err() == nil {
				c.again++
				continue
			}
			return nil, err
		}
		c.used = true
		if resp.close {
			c.close()
		}
		return resp, nil
	}
}

func (c *client) roundTrip(ctx context.Context, req *request) (resp *response, started bool, err error) {
	if err := c.conn.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return nil, false, err
	}
	conn := c.conn
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	c.wakeAt(1)
	writeErr := c.write(req)
	resp, started, err = c.readHead(req.method)
	if err != nil {
		return nil, started, errors.Join(writeErr, err)
	}
	if writeErr != nil {
		resp.close = true // answered before the body was taken
	}
	return resp, true, c.readBody(req, resp)
}

func (c *client) write(req *request) error {
	var size int64
	for _, p := range req.body {
		size += int64(len(p))
	}
	h := append(c.head[:0], req.method...)
	h = append(append(append(h, ' '), c.prefix...), req.path...)
	if req.query != "" {
		h = append(append(h, '?'), req.query...)
	}
	h = append(append(append(h, " HTTP/1.1\r\nHost: "...), c.base.Host...), "\r\n"...)
	h = append(append(h, c.auth...), req.header...)
	if c.sign != nil {
		h = c.sign.appendHeaders(h, signed{req.method, c.prefix + req.path, req.query, c.base.Host}, time.Now())
	}
	if size > 0 || req.method == "PUT" || req.method == "POST" {
		h = append(strconv.AppendInt(append(h, "Content-Length: "...), size, 10), "\r\n"...)
	}
	h = append(h, "\r\n"...)
	c.head = h
	c.vec = append(append(c.vec[:0], h), req.body...)
	vec := c.vec // WriteTo consumes its receiver; c.vec keeps the array
	_, err := vec.WriteTo(c.conn)
	return err
}

var errProtocol = errors.New("answer is not HTTP/1.1")

func (c *client) readHead(method string) (resp *response, started bool, err error) {
	line, err := c.reader.ReadSlice('\n')
	if err != nil {
		return nil, len(line) > 0, err
	}
	if len(line) < 13 || !bytes.HasPrefix(line, []byte("HTTP/1.")) {
		return nil, true, errProtocol
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil {
		return nil, true, errProtocol
	}
	resp = &response{status: status, length: -1, close: line[7] == '0'}
	for range maxHeaderLines {
		line, err = c.reader.ReadSlice('\n')
		if err != nil {
			return nil, true, fmt.Errorf("header: %w", err)
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			if status >= 100 && status < 200 {
				return c.readHead(method)
			}
			if method == "HEAD" || status == 204 || status == 304 {
				resp.length, resp.chunked = 0, false
			}
			return resp, true, nil
		}
		resp.take(line)
	}
	return nil, true, errProtocol
}

// take notes the headers that matter.
func (r *response) take(line []byte) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimSpace(value)
	switch len(name) {
	case len("ETag"):
		if bytes.EqualFold(name, []byte("ETag")) {
			r.etag = string(value)
		}
	case len("Connection"):
		if bytes.EqualFold(name, []byte("Connection")) {
			r.close = r.close || bytes.EqualFold(value, []byte("close"))
		}
	case len("Content-Type"):
		if bytes.EqualFold(name, []byte("Content-Type")) {
			r.contentType = string(value)
		}
	case len("Content-Length"):
		if bytes.EqualFold(name, []byte("Content-Length")) {
			if n, err := strconv.ParseInt(string(value), 10, 64); err == nil && n >= 0 {
				r.length = n
			}
		}
	case len("Transfer-Encoding"):
		if bytes.EqualFold(name, []byte("Transfer-Encoding")) {
			r.chunked = bytes.EqualFold(value, []byte("chunked"))
		}
	}
}

// bodyReader frames the body (RFC 9112 6.3).
func (c *client) bodyReader(resp *response) io.Reader {
	switch {
	case resp.chunked:
		return httputil.NewChunkedReader(c.reader)
	case resp.length >= 0:
		return &sizedBody{c, resp.length}
	}
	resp.close = true
	return endlessBody{c}
}

// endlessBody is a body that the end of the connection ends, which wakes the client however little has come.
type endlessBody struct{ c *client }

func (b endlessBody) Read(p []byte) (int, error) {
	b.c.wakeAt(maxGather)
	return b.c.reader.Read(p)
}

// sizedBody is a body of which left bytes have still to come.
type sizedBody struct {
	c    *client
	left int64
}

func (b *sizedBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	b.c.wakeAt(max(1, b.left-int64(b.c.reader.Buffered())))
	n, err := b.c.reader.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (c *client) readBody(req *request, resp *response) error {
	if resp.length == 0 && !resp.chunked {
		resp.body = c.body[:0]
		return nil
	}
	good := resp.status < 300
	keep := req.use == keepAndSum || !good // errors are quoted, so keep their text
	if cap(c.body) < readChunk {
		c.body = make([]byte, 0, readChunk)
	}
	if keep && resp.length > int64(cap(c.body)) && resp.length <= maxBody {
		c.body = make([]byte, 0, resp.length+1) // one more, so that the end is seen without growing
	}
	buf, src := c.body[:0], c.bodyReader(resp)
	if (req.use == sumSet || req.use == sumList) && good {
		resp.parts.ordered = req.use == sumList
		if err := c.sumParts(resp, src); err != nil {
			return fmt.Errorf("body: %w", err)
		}
		return c.finishChunked(resp)
	}
	for {
		if len(buf) == cap(buf) {
			if !keep {
				buf = buf[:0]
			} else {
				buf = append(buf, 0)[:len(buf)]
			}
		}
		n, err := src.Read(buf[len(buf):cap(buf)])
		resp.crc = crc32.Update(resp.crc, castagnoli, buf[len(buf):len(buf)+n])
		resp.size += int64(n)
		buf = buf[:len(buf)+n]
		if keep && resp.size > maxBody {
			return fmt.Errorf("body over %d bytes", int64(maxBody))
		}
		if err == nil && resp.size == resp.length && !resp.chunked || errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("body: %w", err)
		}
	}
	c.body = buf
	resp.body = buf
	if resp.length >= 0 && !resp.chunked && resp.size != resp.length {
		return fmt.Errorf("body: %d of %d bytes: %w", resp.size, resp.length, io.ErrUnexpectedEOF)
	}
	return c.finishChunked(resp)
}

// sumParts takes the fingerprint of a body's parts while it comes.
func (c *client) sumParts(resp *response, src io.Reader) (err error) {
	c.body = c.body[:cap(c.body)]
	resp.size, err = resp.parts.take(resp.contentType, src, c.body[:readChunk])
	return err
}

// finishChunked reads the trailer, which httputil leaves behind.
func (c *client) finishChunked(resp *response) error {
	for range maxHeaderLines {
		if !resp.chunked {
			return nil
		}
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("trailer: %w", err)
		}
		resp.chunked = len(bytes.TrimRight(line, "\r\n")) > 0
	}
	return errProtocol
}

// want turns an unexpected status into an error that quotes the start of the answer, but nothing that a terminal would obey.
func (r *response) want(status ...int) error {
	for _, s := range status {
		if r.status == s {
			return nil
		}
	}
	return fmt.Errorf("status %d: %s", r.status, quote(r.body))
}

// quote is what an answer says of itself: what S3 has in elements of their own, without what differs from request to request, or else its start.
func quote(body []byte) string {
	text := string(body[:min(len(body), 200)])
	if code, message := xmlText(body, "Code"), xmlText(body, "Message"); code != "" {
		text = code + ": " + message
	}
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	return strings.Join(strings.Fields(text), " ")
}

// xmlText is the text of the first XML element of that name.
func xmlText(body []byte, name string) string {
	_, rest, _ := bytes.Cut(body, []byte("<"+name+">"))
	text, _, closed := bytes.Cut(rest, []byte("</"+name+">"))
	if !closed {
		return ""
	}
	return string(text[:min(len(text), 200)])
}
