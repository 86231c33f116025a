package httpx_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"gantry/internal/httpx"
)

// recorder is a handler that reads whole bodies and notes what it saw.
type recorder struct {
	mu    sync.Mutex // guards the rest
	paths []string
	errs  []error
	sizes []int
}

func (r *recorder) handle(c *httpx.Ctx) error {
	var err error
	n := 0
	if !strings.HasPrefix(c.RawPath(), "/unread") {
		var b []byte
		b, err = io.ReadAll(c.Body())
		n = len(b)
	}
	r.mu.Lock()
	r.paths = append(r.paths, c.RawPath())
	r.errs = append(r.errs, err)
	r.sizes = append(r.sizes, n)
	r.mu.Unlock()
	if err != nil {
		return err
	}
	c.SendBytes([]byte("ok"))
	return nil
}

func (r *recorder) check(t *testing.T, wantCalls int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.paths {
		if strings.Contains(p, "hidden") {
			t.Errorf("smuggled request %s was handled", p)
		}
	}
	if len(r.paths) != wantCalls {
		t.Errorf("handler called %d times, want %d: %v", len(r.paths), wantCalls, r.paths)
	}
}

const hidden = "GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"

// Requests that two parsers could read differently are refused with 400, the
// connection is closed, and what follows is not taken for a request.
func TestAmbiguousFramingIsRefused(t *testing.T) {
	const put = "PUT /x HTTP/1.1\r\nHost: h\r\n"
	for name, req := range map[string]string{
		"length and chunked":       put + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"chunked and length":       put + "Transfer-Encoding: chunked\r\nContent-Length: 40\r\n\r\n0\r\n\r\n",
		"two lengths":              put + "Content-Length: 0\r\nContent-Length: 33\r\n\r\n",
		"two equal lengths":        put + "Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
		"list of lengths":          put + "Content-Length: 0, 0\r\n\r\n",
		"length with sign":         put + "Content-Length: +0\r\n\r\n",
		"negative length":          put + "Content-Length: -1\r\n\r\n",
		"hexadecimal length":       put + "Content-Length: 0x0\r\n\r\n",
		"empty length":             put + "Content-Length:\r\n\r\n",
		"length beyond 64 bits":    put + "Content-Length: 99999999999999999999\r\n\r\n",
		"space before colon":       put + "Content-Length : 0\r\n\r\n",
		"xchunked":                 put + "Transfer-Encoding: xchunked\r\n\r\n",
		"chunked twice":            put + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"chunked, identity":        put + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
		"identity":                 put + "Transfer-Encoding: identity\r\n\r\n",
		"identity and length":      put + "Transfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n",
		"gzip":                     put + "Transfer-Encoding: gzip\r\n\r\n",
		"vertical tab":             put + "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n",
		"bare LF":                  put + "X: y\nContent-Length: 0\r\n\r\n",
		"NUL in value":             put + "X: a\x00b\r\nContent-Length: 0\r\n\r\n",
		"CR in value":              put + "X: a\rTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
		"space in name":            put + "Transfer Encoding: chunked\r\nContent-Length : 0\r\n\r\n",
		"first line folded":        "PUT /x HTTP/1.1\r\n Host: h\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
		"no host":                  "PUT /x HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
		"two hosts":                put + "Host: other\r\nContent-Length: 0\r\n\r\n",
		"chunks in HTTP/1.0":       "PUT /x HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"no version":               "PUT /x\r\nHost: h\r\n\r\n",
		"HTTP/2 preface":           "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"not HTTP":                 "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
		"control character in URI": "PUT /x\x01 HTTP/1.1\r\nHost: h\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var rec recorder
			s := serve(t, httpx.Config{Handler: rec.handle})
			c := s.dial(t)
			c.send("%s%s%s", req, hidden, hidden)
			resp, _ := c.expect(400)
			if !resp.Close {
				t.Error("response does not announce that the connection closes")
			}
			c.expectClosed()
			rec.check(t, 0)
		})
	}
}

// A malformed chunked body is an error for the handler, never an end.
func TestMalformedChunks(t *testing.T) {
	for name, body := range map[string]string{
		"LF in extension":     "5;a\nb\r\nhello\r\n0\r\n\r\n",
		"LF after size":       "5\nhello\r\n0\r\n\r\n",
		"no size":             "\r\nhello\r\n0\r\n\r\n",
		"sign":                "+5\r\nhello\r\n0\r\n\r\n",
		"0x":                  "0x5\r\nhello\r\n0\r\n\r\n",
		"huge":                "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
		"negative by wrap":    "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
		"longer than said":    "5\r\nhello!\r\n0\r\n\r\n",
		"LF after data":       "5\r\nhello\n0\r\n\r\n",
		"text for size":       "five\r\nhello\r\n0\r\n\r\n",
		"smuggling trailer":   "5\r\nhello\r\n0\r\nContent-Length: 3\r\n\r\n",
		"malformed trailer":   "5\r\nhello\r\n0\r\nno colon\r\n\r\n",
		"space within size":   "5 5\r\nhello\r\n0\r\n\r\n",
		"extension after OWS": "5 ;a\r\nhello\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var rec recorder
			s := serve(t, httpx.Config{Handler: rec.handle})
			c := s.dial(t)
			c.send("PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%s%s", body, hidden)
			resp, _ := c.expect(400)
			if !resp.Close {
				t.Error("connection is to be kept")
			}
			c.expectClosed()
			rec.check(t, 1)
			var e *httpx.Error
			if !errors.As(rec.errs[0], &e) || e.Status != 400 {
				t.Errorf("body error %v, want *Error 400", rec.errs[0])
			}
		})
	}
}

// A body that the client doesn't finish is io.ErrUnexpectedEOF, wherever it ends.
func TestShortBodyIsUnexpectedEOF(t *testing.T) {
	chunked := "PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	length := "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n"
	for name, req := range map[string]string{
		"half":                   length + strings.Repeat("x", 50000),
		"nothing":                length,
		"one byte":               length + "x",
		"within the first 8 KiB": length + strings.Repeat("x", 5000),
		"at 8 KiB":               length + strings.Repeat("x", 8192),
		"all but one":            length + strings.Repeat("x", 99999),
		"no chunk":               chunked,
		"in size":                chunked + "5",
		"after size":             chunked + "5\r\n",
		"in chunk":               chunked + "5\r\nhel",
		"after data":             chunked + "5\r\nhello",
		"after chunk":            chunked + "5\r\nhello\r\n",
		"many chunks":            chunked + strings.Repeat("5\r\nhello\r\n", 5000),
		"before last":            chunked + "5\r\nhello\r\n0",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := make(chan error, 1)
			s := serve(t, httpx.Config{Handler: func(c *httpx.Ctx) error {
				_, err := io.Copy(io.Discard, c.Body())
				_, again := c.Body().Read(make([]byte, 10))
				if again == nil || err == nil || again.Error() != err.Error() {
					t.Errorf("error does not repeat: %v, then %v", err, again)
				}
				got <- err
				return err
			}})
			c := s.dial(t)
			c.send("%s", req)
			_ = c.Conn.(*net.TCPConn).CloseWrite()
			// The first 8 KiB are read before the handler is called: without
			// them it never is.
			c.response("PUT")
			c.expectClosed()
			select {
			case err := <-got:
				if !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("body ended with %v, want io.ErrUnexpectedEOF", err)
				}
			default:
				if len(req)-len(length) >= 8192 || strings.HasPrefix(req, chunked) {
					t.Error("handler was not called")
				}
			}
		})
	}
}

// What a handler doesn't read is not taken for the next request.
func TestUnreadBody(t *testing.T) {
	for _, c := range []struct {
		size int
		keep bool
	}{{10, true}, {8192, true}, {100_000, true}, {256 << 10, true}, {400_000, false}, {3 << 20, false}} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d chunked %v", c.size, chunked), func(t *testing.T) {
				t.Parallel()
				var rec recorder
				s := serve(t, httpx.Config{Handler: rec.handle})
				cl := s.dial(t)
				body := strings.Repeat(hidden, c.size/len(hidden)+1)[:c.size]
				head := fmt.Sprintf("PUT /unread HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", c.size)
				if chunked {
					head = "PUT /unread HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
					body = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", c.size, body)
				}
				go func() { // the server may stop reading
					_, _ = io.WriteString(cl.Conn, head+body+"GET /unread/next HTTP/1.1\r\nHost: h\r\n\r\n")
				}()
				cl.expect(200)
				calls := 1
				if c.keep {
					cl.expect(200)
					calls = 2
				} else if _, err := http.ReadResponse(cl.br, nil); err == nil {
					t.Error("connection was kept")
				}
				rec.check(t, calls)
			})
		}
	}
}

// TestRefusedChunksAreAnnounced: a connection that ends since nobody knows how much is still to come says so.
func TestRefusedChunksAreAnnounced(t *testing.T) {
	refusing := serve(t, httpx.Config{Handler: func(*httpx.Ctx) error { return &httpx.Error{Status: 404} }})
	taking := serve(t, httpx.Config{Handler: func(c *httpx.Ctx) error {
		_, err := io.Copy(io.Discard, c.Body())
		c.SendBytes(nil)
		return err
	}})
	for _, size := range []int{10, 300_000} {
		for _, c := range []struct {
			s      *server
			closes bool
		}{{refusing, true}, {taking, false}} {
			cl := c.s.dial(t)
			go func() { // the server may stop reading
				_, _ = fmt.Fprintf(cl.Conn, "PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", size, strings.Repeat("x", size))
			}()
			resp, err := http.ReadResponse(cl.br, nil)
			if err != nil {
				t.Fatal(err)
			}
			if resp.Close != c.closes {
				t.Errorf("%d bytes, status %d: announces to close %v", size, resp.StatusCode, resp.Close)
			}
		}
	}
}

// TestTrailerHeaderAsSent: a signature is over the name as the client spelt it.
func TestTrailerHeaderAsSent(t *testing.T) {
	s := serve(t, httpx.Config{Handler: func(c *httpx.Ctx) error {
		c.SendBytes([]byte(strings.Join(c.Headers("trailer"), "|")))
		return nil
	}})
	_, body := s.once(t, "GET /x HTTP/1.1\r\nHost: h\r\nTrailer:  x-amz-checksum-crc32 \r\ntrailer: X-b\r\n\r\n")
	if string(body) != "x-amz-checksum-crc32|X-b" {
		t.Errorf("got %q", body)
	}
}

// A refusal must reach a client that is still sending and reads only then.
func TestEarlyRefusalReachesBusyClient(t *testing.T) {
	s := serve(t, httpx.Config{Handler: func(c *httpx.Ctx) error { return c.LimitBody(1000) }})
	for range 20 {
		c := s.dial(t)
		c.send("PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2000000\r\n\r\n")
		_, _ = c.Write(make([]byte, 2_000_000)) // may fail half-way
		c.expect(413)
	}
}

func TestLimitBody(t *testing.T) {
	read := make(chan int, 10)
	s := serve(t, httpx.Config{Handler: func(c *httpx.Ctx) error {
		if err := c.LimitBody(1000); err != nil {
			return err
		}
		b, err := io.ReadAll(c.Body())
		read <- len(b)
		if err == nil {
			c.SendBytes(nil)
		}
		return err
	}})
	for _, c := range []struct{ size, status int }{{999, 200}, {1000, 200}, {1001, 413}, {100_000, 413}} {
		resp, _ := s.once(t, "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", c.size, strings.Repeat("x", c.size))
		if resp.StatusCode != c.status {
			t.Errorf("%d bytes: status %d, want %d", c.size, resp.StatusCode, c.status)
		}
		resp, _ = s.once(t, "PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", c.size, strings.Repeat("x", c.size))
		if resp.StatusCode != c.status {
			t.Errorf("%d bytes chunked: status %d, want %d", c.size, resp.StatusCode, c.status)
		}
	}
	close(read)
	for n := range read {
		if n > 1000 {
			t.Errorf("handler saw %d bytes of at most 1000", n)
		}
	}
}

func TestOversizedHeaders(t *testing.T) {
	var rec recorder
	s := serve(t, httpx.Config{Handler: rec.handle, MaxHeaderBytes: 8 << 10})
	long := strings.Repeat("x", 9<<10)
	for name, req := range map[string]string{
		"one":    "GET / HTTP/1.1\r\nHost: h\r\nX: " + long + "\r\n\r\n",
		"many":   "GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("X: y\r\n", 2000) + "\r\n",
		"target": "GET /" + long + " HTTP/1.1\r\nHost: h\r\n\r\n",
	} {
		if resp, _ := s.once(t, "%s", req); resp.StatusCode != 431 {
			t.Errorf("%s: status %d, want 431", name, resp.StatusCode)
		}
	}
	rec.check(t, 0)
	if resp, _ := s.once(t, "GET / HTTP/1.1\r\nHost: h\r\nX: %s\r\n\r\n", long[:7<<10]); resp.StatusCode != 200 {
		t.Errorf("7 KiB: status %d, want 200", resp.StatusCode)
	}
}

// tick calls f every d until it returns false.
func tick(d time.Duration, f func() bool) {
	tk := time.NewTicker(d)
	defer tk.Stop()
	for f() {
		<-tk.C
	}
}

func TestSlowHeadersAreCut(t *testing.T) {
	var rec recorder
	s := serve(t, httpx.Config{Handler: rec.handle, HeaderTimeout: 300 * time.Millisecond})
	c := s.dial(t)
	c.send("GET / HTTP/1.1\r\nHost: h\r\n")
	start := time.Now()
	go tick(20*time.Millisecond, func() bool {
		_, err := io.WriteString(c.Conn, "X: y\r\n")
		return err == nil
	})
	c.expect(408)
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("cut after %v", d)
	}
	rec.check(t, 0)
}

func TestStalledBodyIsCut(t *testing.T) {
	for name, drip := range map[string]bool{"stall": false, "drip": true} {
		t.Run(name, func(t *testing.T) {
			var rec recorder
			s := serve(t, httpx.Config{Handler: rec.handle, BodyGrace: 400 * time.Millisecond})
			c := s.dial(t)
			c.send("PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n%s", strings.Repeat("x", 20000))
			start := time.Now()
			if drip {
				go tick(20*time.Millisecond, func() bool {
					_, err := io.WriteString(c.Conn, "y")
					return err == nil
				})
			}
			c.expect(408)
			if d := time.Since(start); d > 2*time.Second {
				t.Errorf("cut after %v", d)
			}
			rec.check(t, 1)
		})
	}
}

// An upload that lasts many times every timeout passes if it keeps above the rate.
func TestSlowButLivingUploadPasses(t *testing.T) {
	var rec recorder
	s := serve(t, httpx.Config{Handler: rec.handle, HeaderTimeout: 300 * time.Millisecond,
		BodyGrace: 300 * time.Millisecond, IdleTimeout: 300 * time.Millisecond, MinBodyRate: 1000})
	const size, piece = 40_000, 500
	for _, expect := range []string{"", "Expect: 100-continue\r\n"} {
		c := s.dial(t)
		c.send("PUT /x HTTP/1.1\r\nHost: h\r\n%sContent-Length: %d\r\n\r\n", expect, size)
		sent := 0
		tick(25*time.Millisecond, func() bool {
			c.send("%s", strings.Repeat("x", piece))
			sent += piece
			return sent < size
		})
		if expect != "" {
			c.expectContinue()
		}
		c.expect(200)
	}
	rec.check(t, 2)
}

// While the server is busy with what it has, the client owes nothing.
func TestBusyServerDoesNotBlameClient(t *testing.T) {
	s := serve(t, httpx.Config{BodyGrace: 200 * time.Millisecond, Handler: func(c *httpx.Ctx) error {
		buf := make([]byte, 30_000)
		for {
			_, err := io.ReadFull(c.Body(), buf)
			if err != nil {
				break
			}
			<-time.After(300 * time.Millisecond)
		}
		if _, err := c.Body().Read(buf); !errors.Is(err, io.EOF) {
			return err
		}
		c.SendBytes(nil)
		return nil
	}})
	resp, _ := s.once(t, "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n%s", strings.Repeat("x", 100_000))
	if resp.StatusCode != 200 {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// expectContinue reads an interim response.
func (c *client) expectContinue() {
	c.t.Helper()
	resp, err := http.ReadResponse(c.br, nil)
	if err != nil || resp.StatusCode != 100 {
		c.t.Fatalf("got %v, %v; want 100 Continue", resp, err)
	}
}

func TestContinueWhenHandlerReads(t *testing.T) {
	var rec recorder
	s := serve(t, httpx.Config{Handler: rec.handle})
	c := s.dial(t)
	for _, size := range []int{1, 100, 8192, 100_000} { // one connection
		c.send("PUT /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", size)
		c.expectContinue()
		c.send("%s", strings.Repeat("x", size))
		c.expect(200)
	}
	c.send("PUT /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n")
	c.expectContinue()
	c.send("5\r\nhello\r\n0\r\n\r\n")
	c.expect(200)
	// Those who don't wait are served as well.
	c.send("PUT /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
	c.expectContinue()
	c.expect(200)
	c.send("GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
	c.expect(200)
	rec.check(t, 7)
	for i, want := range []int{1, 100, 8192, 100_000, 5, 5, 0} {
		if rec.errs[i] != nil || rec.sizes[i] != want {
			t.Errorf("body %d: %d bytes, %v; want %d", i, rec.sizes[i], rec.errs[i], want)
		}
	}
}

func TestNoContinueWhenRefused(t *testing.T) {
	s := serve(t, httpx.Config{Handler: func(c *httpx.Ctx) error {
		if c.RawPath() == "/panic" {
			panic("no")
		}
		if c.RawPath() == "/stream" {
			c.Status(403)
			c.SendStream(5, io.NopCloser(strings.NewReader("never")))
			return nil
		}
		return c.LimitBody(10)
	}})
	for path, status := range map[string]int{"/large": 413, "/panic": 500, "/stream": 403} {
		c := s.dial(t)
		c.send("PUT %s HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n", path)
		if resp, _ := c.expect(status); !resp.Close {
			t.Errorf("%s: connection is kept, although a body may follow", path)
		}
		c.expectClosed()
		c = s.dial(t)
		c.send("PUT %s HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n%s", path, strings.Repeat(hidden, 3))
		c.expect(status)
		c.expectClosed()
	}
}

// A client that leaves after "100 Continue" must not leave a handler behind.
func TestClientLeavesAfterContinue(t *testing.T) {
	got := make(chan error, 1)
	s := serve(t, httpx.Config{BodyGrace: 300 * time.Millisecond, Handler: func(c *httpx.Ctx) error {
		_, err := io.ReadAll(c.Body())
		got <- err
		return err
	}})
	for _, how := range []string{"close", "reset", "half", "stall"} {
		for _, sent := range []int{0, 10, 9000} {
			c := s.dial(t)
			c.send("PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n")
			c.expectContinue()
			c.send("%s", strings.Repeat("x", sent))
			var want error = io.ErrUnexpectedEOF
			switch how {
			case "close":
				_ = c.Close()
			case "reset":
				_ = c.Conn.(*net.TCPConn).SetLinger(0)
				_ = c.Close()
			case "half":
				_ = c.Conn.(*net.TCPConn).CloseWrite()
			case "stall":
				want = nil // an *Error
			}
			select {
			case err := <-got:
				var e *httpx.Error
				if want == nil && (!errors.As(err, &e) || e.Status != 408) || want != nil && !errors.Is(err, want) {
					t.Errorf("%s after %d bytes: handler got %v", how, sent, err)
				}
			case <-time.After(5 * time.Second):
				t.Fatalf("%s after %d bytes: handler still waits", how, sent)
			}
		}
	}
}
