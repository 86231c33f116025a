package httpx

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

// Ctx is one request and its response. It belongs to the goroutine of the
// handler and ends with the response; strings it returns are copies and may be kept.
type Ctx struct {
	// Principal is who makes the request (a key id), for the access log. Handlers set it.
	Principal string
	// Route names the kind of request, e.g. "PutObject", for those who don't
	// configure a RouteLabel. Handlers set it, from a small fixed set.
	Route string

	srv     *Server
	rc      *fasthttp.RequestCtx
	conn    *conn
	start   time.Time
	framing framing
	length  int64 // of the body; lengthChunked if unknown

	requestID string
	method    string
	path      string
	rawQuery  string
	authority string // of an absolute-form request target
	query     *Query
	forwarded *forwarded
	reqCtx    *requestContext
	expect    *expectation
	body      bodyReader
	stream    responseStream

	status    int
	sent      int64 // body bytes
	responded bool
	err       error // what the handler failed with
}

const lengthChunked = -1

// init reads what is needed of every request.
func (c *Ctx) init() {
	h := &c.rc.Request.Header
	c.status = http.StatusOK
	c.expect, c.conn.expecting = c.conn.expecting, nil
	c.framing = scanFraming(h.RawHeaders())
	c.length = max(int64(h.ContentLength()), lengthChunked)
	if c.length == lengthChunked && !c.framing.hasTransfer {
		c.length = 0 // fasthttp's -2: neither length nor chunks, hence no body
	}
	c.method = methodString(h.Method())
	c.splitTarget(h.RequestURI())
	c.body.c = c
	c.stream.c = c
	c.rc.Response.Header.DisableNormalizing()
}

// splitTarget cuts the request target (RFC 9112 section 3.2) without decoding anything.
func (c *Ctx) splitTarget(target []byte) {
	if len(target) > 0 && target[0] != '/' {
		if _, rest, ok := bytes.Cut(target, []byte("://")); ok {
			end := bytes.IndexAny(rest, "/?")
			if end < 0 {
				end = len(rest)
			}
			c.authority, target = string(rest[:end]), rest[end:]
			if at := bytes.LastIndexByte([]byte(c.authority), '@'); at >= 0 {
				c.authority = c.authority[at+1:]
			}
		}
	}
	path, query, _ := bytes.Cut(target, []byte("?"))
	c.path, c.rawQuery = string(path), string(query)
	if c.path == "" {
		c.path = "/"
	}
}

// methodString avoids an allocation for the usual methods.
func methodString(m []byte) string {
	switch string(m) {
	case http.MethodGet:
		return http.MethodGet
	case http.MethodHead:
		return http.MethodHead
	case http.MethodPut:
		return http.MethodPut
	case http.MethodPost:
		return http.MethodPost
	case http.MethodDelete:
		return http.MethodDelete
	case http.MethodOptions:
		return http.MethodOptions
	}
	return string(m)
}

// methodLabel is the method for logs and metrics: clients can make up methods.
func (c *Ctx) methodLabel() string {
	if c.srv.known[c.method] {
		return c.method
	}
	return "other"
}

// Method is the request method as sent; any token is possible.
func (c *Ctx) Method() string { return c.method }

// RawPath is the path as sent, up to but excluding "?": neither decoded nor
// cleaned. A target in absolute form is reduced to its path. It is never empty.
func (c *Ctx) RawPath() string { return c.path }

// RawQuery is what follows the first "?" as sent.
func (c *Ctx) RawQuery() string { return c.rawQuery }

// Query is the query, parsed once.
func (c *Ctx) Query() Query {
	if c.query == nil {
		q := ParseQuery(c.rawQuery)
		c.query = &q
	}
	return *c.query
}

// Host is the host (and port) that the client asked for, as sent: the authority of an
// absolute-form target, else the Host header.
func (c *Ctx) Host() string {
	if c.authority != "" {
		return c.authority
	}
	return string(c.rc.Request.Header.Host())
}

// IsTLS reports whether the client's connection to this server is encrypted.
func (c *Ctx) IsTLS() bool { return c.conn.tls != nil }

// PeerIP is the address at the other end of the connection, proxy or not.
// It is the zero Addr if the connection isn't by IP.
func (c *Ctx) PeerIP() netip.Addr { return c.conn.peer }

// Header is the first value of the named header (any spelling), or "".
func (c *Ctx) Header(name string) string {
	return string(c.rc.Request.Header.Peek(name))
}

// Headers are all values of the named header in the order sent; nil if there are none.
func (c *Ctx) Headers(name string) []string {
	if strings.EqualFold(name, "trailer") { // which fasthttp gives in a spelling of its own
		return headerValues(c.rc.Request.Header.RawHeaders(), name)
	}
	all := c.rc.Request.Header.PeekAll(name)
	if len(all) == 0 {
		return nil
	}
	out := make([]string, len(all))
	for i, v := range all {
		out[i] = string(v)
	}
	return out
}

// VisitHeaders calls f for each header line. Names come in the canonical form
// (Content-Type); values of a repeated name come one by one, in order.
func (c *Ctx) VisitHeaders(f func(name, value string)) {
	for k, v := range c.rc.Request.Header.All() {
		if c.length != 0 || c.framing.hasLength || string(k) != "Content-Length" {
			f(string(k), string(v))
		}
	}
}

// ContentLength is the length of the body in bytes: 0 without a body, -1 if
// unknown because it is chunked.
func (c *Ctx) ContentLength() int64 { return c.length }

// HasContentLength reports whether the client sent a Content-Length header,
// which a length of 0 doesn't tell.
func (c *Ctx) HasContentLength() bool { return c.framing.hasLength }

// IsChunked reports whether the body comes in HTTP chunks, of unknown total.
func (c *Ctx) IsChunked() bool { return c.length == lengthChunked }

// LimitBody refuses bodies of more than n bytes: at once with a 413 *Error
// if the length is known, else Body fails with it after n bytes.
func (c *Ctx) LimitBody(n int64) error {
	if c.length > n {
		return errTooLarge()
	}
	c.body.limit, c.body.limited = n, true
	return nil
}

// Body is the request body. It returns io.EOF only when the body came whole:
// exactly Content-Length bytes, or up to the last chunk. Other ends are
//   - io.ErrUnexpectedEOF: the client or the network broke off;
//   - *Error 408: the client kept below the minimum rate;
//   - *Error 400: malformed chunks; *Error 413: more than LimitBody allows.
//
// Errors repeat. What the handler leaves unread is dropped, and the
// connection closed if that is more than 256 KiB, or if the body is chunked and
// the handler failed.
func (c *Ctx) Body() io.Reader { return &c.body }

// Context ends with context.Canceled when the client goes away, when Shutdown
// runs out of patience, or when the request is over, that is, when the response
// was sent. The client is looked at every quarter of a second, and only while
// somebody waits on Done.
func (c *Ctx) Context() context.Context {
	if c.reqCtx == nil {
		c.reqCtx = newRequestContext(c.srv, c.conn)
	}
	return c.reqCtx
}

// RequestID is a random 16-digit upper-case hexadecimal number.
func (c *Ctx) RequestID() string {
	if c.requestID == "" {
		const digits = "0123456789ABCDEF"
		var b [16]byte
		for i, v := 0, rand.Uint64(); i < len(b); i, v = i+1, v>>4 {
			b[i] = digits[v&15]
		}
		c.requestID = string(b[:])
	}
	return c.requestID
}

// SetHeader sets a response header with the spelling given (S3 clients want
// "ETag"). Line breaks in the value are dropped. Content-Length, Date and
// Transfer-Encoding are set by the server.
func (c *Ctx) SetHeader(name, value string) {
	if !managedHeader(name) {
		c.rc.Response.Header.Set(name, value)
	}
}

// AddHeader adds one more value of a response header.
func (c *Ctx) AddHeader(name, value string) {
	if !managedHeader(name) {
		c.rc.Response.Header.Add(name, value)
	}
}

// managedHeader knows the header that fasthttp would let a handler break framing with.
func managedHeader(name string) bool {
	return len(name) == len("Content-Length") && http.CanonicalHeaderKey(name) == "Content-Length"
}

// Status sets the response status; the default is 200.
func (c *Ctx) Status(code int) {
	c.status = code
	c.rc.Response.SetStatusCode(code)
}

// Written reports whether a response was prepared by one of the Send methods
// or NoContent. A handler may still return an error instead.
func (c *Ctx) Written() bool { return c.responded }
