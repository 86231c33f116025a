package httpx_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"gantry/internal/httpx"
)

func selfSigned(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

func (s *server) dialTLS(t testing.TB) *client {
	t.Helper()
	nc, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	return &client{t: t, Conn: nc, br: bufio.NewReader(nc)}
}

func TestTLS(t *testing.T) {
	s := serve(t, httpx.Config{TLS: selfSigned(t), Handler: func(c *httpx.Ctx) error {
		if !c.IsTLS() || c.Scheme() != "https" {
			t.Error("not known to be TLS")
		}
		return echo(c)
	}})
	c := s.dialTLS(t)
	for _, size := range []int{0, 100, 5000, 1 << 20} {
		want := strings.Repeat("x", size)
		go c.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", size, want)
		if _, got := c.expect(200); got != want {
			t.Fatalf("size %d: got %d bytes back", size, len(got))
		}
	}
	c.send("PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
	c.expectContinue()
	c.send("hello")
	c.expect(200)
	// Whoever does without is told.
	for _, method := range []string{"GET", "POST"} {
		c := s.dial(t)
		c.send("%s / HTTP/1.1\r\nHost: h\r\n\r\n", method)
		if resp, body, err := c.response(method); err != nil || resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, "https") {
			t.Errorf("%s without TLS: %q, %v", method, body, err)
		}
	}
	// A body cut short, with and without farewell.
	for _, polite := range []bool{false, true} {
		c := s.dialTLS(t)
		c.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n%s", strings.Repeat("x", 50000))
		tc := c.Conn.(*tls.Conn)
		if polite {
			_ = tc.CloseWrite()
			c.expect(500) // echo returns io.ErrUnexpectedEOF
		} else {
			_ = tc.NetConn().Close()
		}
	}
}

func TestSlowHandshakeIsCut(t *testing.T) {
	s := serve(t, httpx.Config{TLS: selfSigned(t), HeaderTimeout: 300 * time.Millisecond, Handler: echo})
	c := s.dial(t)
	c.send("\x16\x03\x01")
	start := time.Now()
	_, _ = io.Copy(io.Discard, c.br)
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("cut after %v", d)
	}
}

// Idle connections are parked and come back; beyond IdleTimeout they are closed.
func TestIdleConnections(t *testing.T) {
	tc := selfSigned(t)
	for _, encrypted := range []bool{false, true} {
		cfg := httpx.Config{Handler: echo, IdleTimeout: 3 * time.Second}
		if encrypted {
			cfg.TLS = tc
		}
		s := serve(t, cfg)
		dial := s.dial
		if encrypted {
			dial = s.dialTLS
		}
		t.Run(cfgName(encrypted), func(t *testing.T) {
			t.Parallel()
			fresh, used := dial(t), dial(t)
			used.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
			used.expect(200)
			<-time.After(2500 * time.Millisecond)
			for _, c := range []*client{fresh, used} {
				c.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n")
				c.send("hello")
				if _, body := c.expect(200); body != "hello" {
					t.Errorf("got %q", body)
				}
			}
			start := time.Now()
			fresh.expectClosed()
			used.expectClosed()
			if d := time.Since(start); d < 2*time.Second || d > 6*time.Second {
				t.Errorf("closed after %v idle, want 3s", d)
			}
		})
	}
}

func cfgName(encrypted bool) string {
	if encrypted {
		return "TLS"
	}
	return "plain"
}

// Ten thousand idle connections cost little memory each, and all still work.
func TestManyIdleConnections(t *testing.T) {
	if testing.Short() {
		t.Skip("opens thousands of connections")
	}
	n := 10_000
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err == nil && lim.Cur < uint64(2*n+500) {
		n = int(lim.Cur-500) / 2
		t.Logf("open files are limited to %d: testing %d connections", lim.Cur, n)
	}
	s := serve(t, httpx.Config{Handler: echo})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	conns := make([]net.Conn, n)
	req := []byte("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\n" + strings.Repeat("x", 20000))
	buf := make([]byte, 64<<10)
	ask := func(c net.Conn) {
		t.Helper()
		if _, err := c.Write(req); err != nil {
			t.Fatal(err)
		}
		for got := 0; got < 20000; {
			m, err := c.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			got += m
		}
	}
	for i := range conns {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns[i] = c
		ask(c)
	}
	<-time.After(2500 * time.Millisecond)
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	perConn := (int64(after.HeapInuse+after.StackInuse) - int64(before.HeapInuse+before.StackInuse)) / int64(n)
	t.Logf("%d idle connections: %d bytes each, the test's own end included", n, perConn)
	if perConn > 12<<10 {
		t.Errorf("an idle connection costs %d bytes", perConn)
	}
	for _, c := range conns {
		ask(c)
	}
}

func TestTooManyConnections(t *testing.T) {
	s := serve(t, httpx.Config{Handler: echo, MaxConns: 3})
	var conns []*client
	for range 3 {
		c := s.dial(t)
		c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		c.expect(200)
		conns = append(conns, c)
	}
	c := s.dial(t)
	c.expect(503)
	_ = conns[0].Close()
	deadline := time.Now().Add(5 * time.Second)
	tick(20*time.Millisecond, func() bool { // until the server has noticed
		c := s.dial(t)
		_, _ = io.WriteString(c.Conn, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		resp, err := http.ReadResponse(c.br, nil)
		_ = c.Close()
		if time.Now().After(deadline) {
			t.Fatal("room is not given to a new connection")
		}
		return err != nil || resp.StatusCode != 200
	})
}

func TestContextEndsWhenClientLeaves(t *testing.T) {
	tc := selfSigned(t)
	for _, encrypted := range []bool{false, true} {
		t.Run(cfgName(encrypted), func(t *testing.T) {
			began, ended := make(chan struct{}), make(chan error, 1)
			cfg := httpx.Config{Handler: func(c *httpx.Ctx) error {
				child, cancel := context.WithCancel(c.Context())
				defer cancel()
				close(began)
				select {
				case <-child.Done():
				case <-time.After(10 * time.Second):
				}
				ended <- child.Err()
				return nil
			}}
			if encrypted {
				cfg.TLS = tc
			}
			s := serve(t, cfg)
			c := s.dial
			if encrypted {
				c = s.dialTLS
			}
			cl := c(t)
			cl.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
			<-began
			start := time.Now()
			_ = cl.Close()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("context ended with %v", err)
			}
			if d := time.Since(start); d > 2*time.Second {
				t.Errorf("noticed after %v", d)
			}
		})
	}
}

// The context lives as long as the response is being sent, and no longer.
func TestContextLifetime(t *testing.T) {
	var ctx context.Context
	after := make(chan struct{})
	s := serve(t, httpx.Config{Handler: func(c *httpx.Ctx) error {
		ctx = c.Context()
		context.AfterFunc(ctx, func() { close(after) })
		c.SendChunked(func(w io.Writer) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			_, err := io.WriteString(w, "alive")
			return err
		})
		return nil
	}})
	c := s.dial(t)
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	if _, body := c.expect(200); body != "alive" {
		t.Errorf("got %q", body)
	}
	<-after
	if !errors.Is(ctx.Err(), context.Canceled) {
		t.Errorf("after the request: %v", ctx.Err())
	}
	select {
	case <-ctx.Done():
	default:
		t.Error("Done is open after the request")
	}
}

// startingListener keeps whoever asks for its address, as the library does before it knows the listener, until it is told to go on.
type startingListener struct {
	net.Listener
	asked chan struct{} // unbuffered
	goOn  chan struct{} // closed
}

func (l *startingListener) Addr() net.Addr {
	select {
	case l.asked <- struct{}{}:
		<-l.goOn
	case <-l.goOn:
	}
	return l.Listener.Addr()
}

// TestShutdownAtOnce stops a server that is just being started: Serve must return.
func TestShutdownAtOnce(t *testing.T) {
	s, err := httpx.New(httpx.Config{Name: "brief", Handler: func(*httpx.Ctx) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &startingListener{ln, make(chan struct{}), make(chan struct{})}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	<-l.asked
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(l.goOn)
	select {
	case err := <-served:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("still serving")
	}
}

func TestShutdown(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	s, err := httpx.New(httpx.Config{Name: "x", Handler: func(c *httpx.Ctx) error {
		if c.RawPath() == "/wait" {
			close(began)
			<-release
		}
		c.SendBytes([]byte("done"))
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	ln, served := begin(t, s)
	ts := &server{Server: s, addr: ln.Addr().String()}
	idle, parked, fresh, busy := ts.dial(t), ts.dial(t), ts.dial(t), ts.dial(t)
	parked.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	parked.expect(200)
	<-time.After(2200 * time.Millisecond)
	idle.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	idle.expect(200)
	busy.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n")
	<-began
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(t.Context()) }()
	idle.expectClosed()
	parked.expectClosed()
	fresh.expectClosed()
	select {
	case err := <-down:
		t.Fatalf("Shutdown returned %v with a request in flight", err)
	default:
	}
	close(release)
	if resp, body := busy.expect(200); body != "done" || !resp.Close {
		t.Errorf("request in flight: %q, close %v", body, resp.Close)
	}
	if err := <-down; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := net.Dial("tcp", ts.addr); err == nil {
		t.Error("still listening")
	}
	if err := s.Serve(ln); err != nil {
		t.Errorf("Serve after Shutdown: %v", err)
	}
}

// When Shutdown runs out of patience, contexts end and connections are closed.
func TestShutdownDeadline(t *testing.T) {
	began, ended := make(chan struct{}), make(chan error, 1)
	s := serve(t, httpx.Config{Handler: func(c *httpx.Ctx) error {
		close(began)
		<-c.Context().Done()
		ended <- c.Context().Err()
		return c.Context().Err()
	}})
	c := s.dial(t)
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	<-began
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("context ended with %v", err)
	}
	_, _ = io.Copy(io.Discard, c.br) // must end
}
