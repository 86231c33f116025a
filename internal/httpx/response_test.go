package httpx_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gantry/internal/httpx"
)

// source is a response body that counts its Closes.
type source struct {
	io.Reader
	closed atomic.Int32
	done   chan struct{} // closed by the first Close
}

func newSource(r io.Reader) *source { return &source{Reader: r, done: make(chan struct{})} }

func (s *source) Close() error {
	if s.closed.Add(1) == 1 {
		close(s.done)
	}
	return nil
}

// await checks that Close is called, once.
func (s *source) await(t *testing.T) {
	t.Helper()
	select {
	case <-s.done:
	case <-time.After(10 * time.Second):
		t.Fatal("source was not closed")
	}
	if n := s.closed.Load(); n != 1 {
		t.Errorf("source was closed %d times", n)
	}
}

// writerTo is a source that writes itself.
type writerTo struct {
	*source
	f func(w io.Writer) (int64, error)
}

func (s writerTo) WriteTo(w io.Writer) (int64, error) { return s.f(w) }

func TestSendStreamExact(t *testing.T) {
	var src io.ReadCloser
	size := int64(0)
	s := serve(t, httpx.Config{Handler: func(c *httpx.Ctx) error {
		c.SendStream(size, src)
		return nil
	}})
	broken := errors.New("broken")
	data := bytes.Repeat([]byte("0123456789"), 30_000)
	for name, c := range map[string]struct {
		n    int64
		r    func() io.Reader
		want int // bytes at the client; -1: any number short of n
	}{
		"exact":                            {300_000, func() io.Reader { return bytes.NewReader(data) }, 300_000},
		"one at a time":                    {300_000, func() io.Reader { return &dribble{data} }, 300_000},
		"empty":                            {0, func() io.Reader { return strings.NewReader("") }, 0},
		"short":                            {300_001, func() io.Reader { return bytes.NewReader(data) }, -1},
		"long":                             {299_999, func() io.Reader { return bytes.NewReader(data) }, -2},
		"fails at once":                    {10, func() io.Reader { return &failing{err: broken} }, -1},
		"fails later":                      {300_001, func() io.Reader { return &failing{bytes.NewReader(data), broken} }, -1},
		"ends with its own unexpected EOF": {300_001, func() io.Reader { return &failing{bytes.NewReader(data), io.ErrUnexpectedEOF} }, -1},
		"panics":                           {300_001, func() io.Reader { return &failing{bytes.NewReader(data), nil} }, -1},
	} {
		for _, direct := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s WriterTo %v", name, direct), func(t *testing.T) {
				so := newSource(c.r())
				src, size = so, c.n
				if direct {
					src = writerTo{so, func(w io.Writer) (int64, error) { return io.Copy(w, struct{ io.Reader }{so.Reader}) }}
				}
				cl := s.dial(t)
				cl.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
				resp, err := http.ReadResponse(cl.br, nil)
				if err != nil && c.want >= 0 {
					t.Fatal(err)
				}
				if err == nil {
					body, err := io.ReadAll(resp.Body)
					switch {
					case c.want >= 0 && (err != nil || len(body) != c.want):
						t.Errorf("got %d bytes, %v; want %d", len(body), err, c.want)
					case c.want == -1 && err == nil:
						t.Errorf("got %d bytes and no error", len(body))
					}
					if !bytes.HasPrefix(data, body) {
						t.Error("wrong bytes")
					}
				}
				if c.want < 0 {
					cl.expectClosed()
				}
				so.await(t)
			})
		}
	}
}

// dribble gives one byte at a time, and never with an error.
type dribble struct{ b []byte }

func (d *dribble) Read(p []byte) (int, error) {
	if len(d.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:1], d.b)
	d.b = d.b[n:]
	return n, nil
}

// failing gives err, or a panic, when r is at its end.
type failing struct {
	r   io.Reader
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	if f.r != nil {
		if n, _ := f.r.Read(p); n > 0 {
			return n, nil
		}
	}
	if f.err == nil {
		panic("source panics")
	}
	return 0, f.err
}

func TestSendStreamIsClosedWithoutBeingSent(t *testing.T) {
	var so *source
	s := serve(t, httpx.Config{Handler: func(c *httpx.Ctx) error {
		c.SendStream(5, so)
		switch c.RawPath() {
		case "/error":
			return errors.New("after all")
		case "/panic":
			panic("after all")
		case "/again":
			c.SendBytes([]byte("other"))
		case "/304":
			c.Status(304)
		}
		return nil
	}})
	for path, status := range map[string]int{"/error": 500, "/panic": 500, "/again": 200, "/304": 304} {
		so = newSource(strings.NewReader("hello"))
		resp, body := s.once(t, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", path)
		if resp.StatusCode != status || strings.Contains(body, "hello") {
			t.Errorf("%s: status %d, body %q", path, resp.StatusCode, body)
		}
		so.await(t)
	}
	so = newSource(strings.NewReader("hello"))
	resp, body := s.once(t, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
	if resp.StatusCode != 200 || resp.ContentLength != 5 || body != "" {
		t.Errorf("HEAD: status %d, length %d, body %q", resp.StatusCode, resp.ContentLength, body)
	}
	so.await(t)
}

// A client that reads too slowly, or not at all any more, is cut, and the source closed.
func TestSlowReaderIsCut(t *testing.T) {
	so := newSource(&zeros{})
	s := serve(t, httpx.Config{BodyGrace: 300 * time.Millisecond, Handler: func(c *httpx.Ctx) error {
		c.SendStream(1<<40, so)
		return nil
	}})
	c := s.dial(t)
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	so.await(t)
}

func TestClientGoneWhileSending(t *testing.T) {
	so := newSource(&zeros{})
	s := serve(t, httpx.Config{Handler: func(c *httpx.Ctx) error {
		c.SendStream(1<<40, so)
		return nil
	}})
	c := s.dial(t)
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	_, _ = io.CopyN(io.Discard, c.br, 1000)
	_ = c.Close()
	so.await(t)
}

// A slow but living reader gets everything.
func TestSlowButLivingReaderPasses(t *testing.T) {
	const size = 6 << 20 // more than socket buffers hold
	for name, direct := range map[string]bool{"copied": false, "in one write": true} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, httpx.Config{BodyGrace: 200 * time.Millisecond, Handler: func(c *httpx.Ctx) error {
				so := newSource(io.LimitReader(&zeros{}, size))
				if direct {
					c.SendStream(size, writerTo{so, func(w io.Writer) (int64, error) {
						n, err := w.Write(make([]byte, size))
						return int64(n), err
					}})
				} else {
					c.SendStream(size, so)
				}
				return nil
			}})
			c := s.dial(t)
			_ = c.Conn.(*net.TCPConn).SetReadBuffer(32 << 10)
			c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
			resp, err := http.ReadResponse(c.br, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := int64(0)
			tick(10*time.Millisecond, func() bool {
				n, err := io.CopyN(io.Discard, resp.Body, 40<<10)
				got += n
				return err == nil
			})
			if got != size {
				t.Errorf("got %d of %d bytes", got, size)
			}
		})
	}
}

type zeros struct{}

func (*zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestSendChunked(t *testing.T) {
	big := strings.Repeat("x", 100_000)
	s := serve(t, httpx.Config{Handler: func(c *httpx.Ctx) error {
		c.SetHeader("Content-Type", "text/plain")
		c.SendChunked(func(w io.Writer) error {
			_, _ = io.WriteString(w, "hello ")
			switch c.RawPath() {
			case "/error":
				return errors.New("broken")
			case "/late":
				_, _ = io.WriteString(w, big)
				return errors.New("broken")
			case "/panic":
				panic("broken")
			}
			_, err := io.WriteString(w, big)
			return err
		})
		return nil
	}})
	c := s.dial(t)
	for range 2 { // the connection is kept
		c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		if resp, body := c.expect(200); body != "hello "+big || resp.ContentLength != -1 {
			t.Errorf("got %d bytes, length %d", len(body), resp.ContentLength)
		}
	}
	c.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
	if resp, body, err := c.response("HEAD"); resp.StatusCode != 200 || body != "" || err != nil {
		t.Errorf("HEAD: %d %q %v", resp.StatusCode, body, err)
	}
	for _, path := range []string{"/error", "/late", "/panic"} {
		c := s.dial(t)
		c.send("GET %s HTTP/1.1\r\nHost: h\r\n\r\n", path)
		resp, err := http.ReadResponse(c.br, nil)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
		}
		if err == nil {
			t.Errorf("%s: client believes that it has everything", path)
		}
	}
	// HTTP/1.0 knows no chunks.
	for _, header := range []string{"", "Connection: keep-alive\r\n"} {
		c = s.dial(t)
		c.send("GET / HTTP/1.0\r\n%s\r\n", header)
		answer, err := io.ReadAll(c.br)
		head, body, _ := strings.Cut(string(answer), "\r\n\r\n")
		if err != nil || body != "hello "+big || strings.Contains(head, "Transfer-Encoding") {
			t.Errorf("HTTP/1.0: %d bytes, %v, %q", len(body), err, head)
		}
		if strings.Count(head, "Connection: ") != 1 || !strings.Contains(head, "Connection: close") {
			t.Errorf("HTTP/1.0 with %q: %q", header, head)
		}
	}
	c = s.dial(t)
	c.send("GET /late HTTP/1.0\r\n\r\n")
	if _, err := io.ReadAll(c.br); err == nil {
		t.Error("HTTP/1.0: client believes that it has everything")
	}
}

func TestChunkedFlush(t *testing.T) {
	got := make(chan struct{})
	s := serve(t, httpx.Config{Handler: func(c *httpx.Ctx) error {
		c.SendChunked(func(w io.Writer) error {
			_, _ = io.WriteString(w, "early")
			if err := w.(interface{ Flush() error }).Flush(); err != nil {
				return err
			}
			<-got
			return nil
		})
		return nil
	}})
	c := s.dial(t)
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	resp, err := http.ReadResponse(c.br, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 5)
	if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != "early" {
		t.Errorf("got %q, %v", b, err)
	}
	close(got)
}

// Responses of all sizes and kinds keep their order when requests are pipelined.
func TestPipelining(t *testing.T) {
	s := serve(t, httpx.Config{Handler: func(c *httpx.Ctx) error {
		if _, err := io.Copy(io.Discard, c.Body()); err != nil {
			return err
		}
		var n int
		_, _ = fmt.Sscanf(c.RawPath(), "/%d", &n)
		body := fmt.Sprintf("%d:%s", n, strings.Repeat("x", n))
		switch n % 3 {
		case 0:
			c.SendBytes([]byte(body))
		case 1:
			c.SendStream(int64(len(body)), io.NopCloser(strings.NewReader(body)))
		case 2:
			c.SendChunked(func(w io.Writer) error {
				_, err := io.WriteString(w, body)
				return err
			})
		}
		return nil
	}})
	c := s.dial(t)
	var all strings.Builder
	sizes := []int{0, 1, 2, 3900, 3901, 3902, 3960, 3961, 3962, 4096, 4097, 4098, 10, 11, 12, 100_000, 100_001, 100_002, 7}
	for n := 3780; n < 4110; n++ { // around the size of the write buffer
		sizes = append(sizes, n)
	}
	for i, n := range sizes {
		if i%2 == 0 {
			fmt.Fprintf(&all, "GET /%d HTTP/1.1\r\nHost: h\r\n\r\n", n)
		} else {
			fmt.Fprintf(&all, "PUT /%d HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", n, n, strings.Repeat("b", n))
		}
	}
	go c.send("%s", all.String())
	for _, n := range sizes {
		_, body := c.expect(200)
		if want := fmt.Sprintf("%d:%s", n, strings.Repeat("x", n)); body != want {
			t.Fatalf("request for %d: got %.20q of length %d", n, body, len(body))
		}
	}
	// And the same without anything behind each.
	for _, n := range sizes {
		c.send("GET /%d HTTP/1.1\r\nHost: h\r\n\r\n", n)
		if _, body := c.expect(200); len(body) != len(fmt.Sprint(n))+1+n {
			t.Fatalf("request for %d: got %d bytes", n, len(body))
		}
	}
}

func TestPanicCostsOneRequest(t *testing.T) {
	var inWriter atomic.Bool
	s := serve(t, httpx.Config{
		Handler: func(c *httpx.Ctx) error {
			if c.RawPath() == "/panic" {
				c.SetHeader("X-Leftover", "1")
				panic("no")
			}
			c.NoContent(204)
			return nil
		},
		ErrorWriter: func(c *httpx.Ctx, err error) {
			if inWriter.Load() {
				panic("writer, too")
			}
			var e *httpx.Error
			if !errors.As(err, &e) {
				t.Errorf("got %v, want *Error", err)
				return
			}
			c.Status(e.Status)
			c.SendBytes([]byte("mine"))
		},
	})
	c := s.dial(t)
	for _, bad := range []bool{false, true} {
		inWriter.Store(bad)
		c.send("GET /panic HTTP/1.1\r\nHost: h\r\n\r\n")
		resp, body := c.expect(500)
		if resp.Header.Get("X-Leftover") != "" || !bad && body != "mine" {
			t.Errorf("headers %v, body %q", resp.Header, body)
		}
		c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		c.expect(204)
	}
}

func TestResponseHeaders(t *testing.T) {
	s := serve(t, httpx.Config{Handler: func(c *httpx.Ctx) error {
		c.SetHeader("ETag", `"x"`)
		c.SetHeader("x-amz-request-id", c.RequestID())
		c.SetHeader("X-Split", "a\r\nX-Injected: 1")
		c.SetHeader("Content-Length", "99")
		c.AddHeader("content-length", "98")
		c.AddHeader("Vary", "Origin")
		c.AddHeader("Vary", "Accept")
		if c.Method() == "HEAD" {
			c.SendHead(12345)
		} else {
			c.SendBytes([]byte("body"))
		}
		return nil
	}})
	c := s.dial(t)
	c.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	raw, _ := io.ReadAll(c.br)
	head, body, _ := strings.Cut(string(raw), "\r\n\r\n")
	for _, want := range []string{"\r\nETag: \"x\"", "\r\nx-amz-request-id: ", "\r\nVary: Origin", "\r\nVary: Accept", "\r\nContent-Length: 4"} {
		if !strings.Contains(head, want) {
			t.Errorf("no %q in %q", want, head)
		}
	}
	if strings.Contains(head, "\nX-Injected") || strings.Contains(head, "Server:") || body != "body" {
		t.Errorf("got %q", raw)
	}
	resp, _ := s.once(t, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
	if resp.ContentLength != 12345 {
		t.Errorf("HEAD: length %d", resp.ContentLength)
	}
}

// Errors that handlers return are rendered by ErrorWriter, without what was prepared.
func TestErrorWriter(t *testing.T) {
	boom := errors.New("boom")
	var mu sync.Mutex
	var seen error
	s := serve(t, httpx.Config{
		Handler: func(c *httpx.Ctx) error {
			c.SetHeader("ETag", "x")
			c.Status(201)
			c.SendBytes([]byte("prepared"))
			if !c.Written() {
				t.Error("Written is false")
			}
			return fmt.Errorf("wrapped: %w", boom)
		},
		ErrorWriter: func(c *httpx.Ctx, err error) {
			mu.Lock()
			seen = err
			mu.Unlock()
			if c.Written() {
				t.Error("Written is still true")
			}
			c.SendBytes([]byte("teapot"))
			c.Status(418)
		},
	})
	resp, body := s.once(t, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	if resp.StatusCode != 418 || body != "teapot" || resp.Header.Get("ETag") != "" || !errors.Is(seen, boom) {
		t.Errorf("status %d, body %q, headers %v, error %v", resp.StatusCode, body, resp.Header, seen)
	}
}
