package httpx_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"gantry/internal/httpx"
)

// server is a running server under test.
type server struct {
	*httpx.Server
	addr string
}

func serve(t testing.TB, cfg httpx.Config) *server {
	t.Helper()
	if cfg.Name == "" {
		cfg.Name = "test"
	}
	s, err := httpx.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, served := begin(t, s)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_ = s.Shutdown(ctx)
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return &server{Server: s, addr: ln.Addr().String()}
}

// begin has s serve at an address of its own; served gets what Serve returns.
func begin(t testing.TB, s *httpx.Server) (ln net.Listener, served <-chan error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	return ln, done
}

// client is a raw connection.
type client struct {
	t testing.TB
	net.Conn
	br *bufio.Reader
}

func (s *server) dial(t testing.TB) *client {
	t.Helper()
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	return &client{t: t, Conn: nc, br: bufio.NewReader(nc)}
}

func (c *client) send(format string, args ...any) {
	c.t.Helper()
	s := format
	if len(args) > 0 {
		s = fmt.Sprintf(format, args...)
	}
	if _, err := io.WriteString(c.Conn, s); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// response reads one response and its whole body.
func (c *client) response(method string) (*http.Response, string, error) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.br, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("read response: %v", err)
	}
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

// expect reads a response that must have this status and come whole.
func (c *client) expect(status int) (*http.Response, string) {
	c.t.Helper()
	resp, body, err := c.response("GET")
	if err != nil {
		c.t.Fatalf("response body: %v", err)
	}
	if resp.StatusCode != status {
		c.t.Fatalf("status %d, want %d; body %q", resp.StatusCode, status, body)
	}
	return resp, body
}

// expectClosed checks that the server sends nothing more and closes.
func (c *client) expectClosed() {
	c.t.Helper()
	b, err := io.ReadAll(c.br)
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		c.t.Fatal("connection still open")
	}
	if len(b) > 0 {
		c.t.Fatalf("more than one response: %q", b)
	}
}

// once sends one request on a fresh connection.
func (s *server) once(t testing.TB, format string, args ...any) (*http.Response, string) {
	t.Helper()
	c := s.dial(t)
	c.send(format, args...)
	resp, body, err := c.response(strings.Fields(format)[0])
	if err != nil {
		t.Fatalf("response body: %v", err)
	}
	return resp, body
}

func echo(c *httpx.Ctx) error {
	b, err := io.ReadAll(c.Body())
	if err != nil {
		return err
	}
	c.SetHeader("ETag", `"abc"`)
	c.SetHeader("X-Path", c.RawPath())
	c.SetHeader("X-Query", c.RawQuery())
	c.SendBytes(b)
	return nil
}

func TestEcho(t *testing.T) {
	s := serve(t, httpx.Config{Handler: echo})
	c := s.dial(t)
	for _, size := range []int{0, 1, 4000, 8191, 8192, 8193, 100_000, 1 << 20} {
		want := strings.Repeat("x", size)
		go c.send("PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", size, want)
		if _, got := c.expect(200); got != want {
			t.Fatalf("size %d: got %d bytes back", size, len(got))
		}
		go c.send("PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", size+1, want+"y")
		if _, got := c.expect(200); got != want+"y" {
			t.Fatalf("size %d chunked: got %d bytes back", size, len(got))
		}
	}
}

func TestSendStream(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 16384)
	s := serve(t, httpx.Config{Handler: func(c *httpx.Ctx) error {
		c.SendStream(int64(len(data)), io.NopCloser(bytes.NewReader(data)))
		return nil
	}})
	c := s.dial(t)
	for range 3 {
		c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		if _, got := c.expect(200); got != string(data) {
			t.Fatalf("got %d bytes", len(got))
		}
	}
}
