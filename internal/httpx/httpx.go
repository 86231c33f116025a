// Package httpx is gantry's one adapter over fiber (on fasthttp): both the S3
// listener and the listener of DICOMweb, console and metrics run on it, and
// nothing else in gantry imports either library.
//
// It exists because a streaming server on those libraries has sharp edges, and
// each must be filed off once, here, and tested against a running server:
//
//   - a body that ends before its Content-Length is [io.ErrUnexpectedEOF],
//     never a clean end ([Ctx.Body]);
//   - deadlines roll: a transfer may take days as long as it keeps above a
//     minimum rate, while slow headers and stalled bodies are cut (meter.go);
//   - "100 Continue" is sent when the handler first reads the body, so that
//     whoever is refused gets the final status instead (expect.go);
//   - ambiguous framing is refused before the handler sees it (framing.go);
//   - a response that fails in the middle is cut, so that the client can tell
//     (response.go);
//   - panics, in handlers and in response streams, cost one request;
//   - an idle connection gives its buffers back (listener.go);
//   - paths, queries and headers are available exactly as they were sent.
//
// Patient data may stand in paths, queries and headers, so none of them is
// ever logged or used as a metric label.
package httpx

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
)

// Handler answers one request. If it returns an error, whatever response it
// had prepared is dropped and Config.ErrorWriter renders the error instead.
//
// The response is sent after the handler returns: what it passes to
// [Ctx.SendStream] or [Ctx.SendChunked] runs then, still before
// [Ctx.Context] is cancelled. A Ctx must not be used after that.
type Handler func(c *Ctx) error

// Config says how a Server behaves. Only Name and Handler are required.
type Config struct {
	// Name tells servers apart in logs and metrics, e.g. "s3" or "web".
	Name string
	// Logger receives one line per request; nil discards.
	Logger *slog.Logger
	// Registerer receives the metrics; nil discards.
	Registerer prometheus.Registerer

	Handler Handler
	// ErrorWriter renders err as a response in the protocol's own form. It
	// sees errors of the handler, *Error for what the adapter itself refuses,
	// and *Error with status 500 after a panic. A nil ErrorWriter gives plain text.
	ErrorWriter func(c *Ctx, err error)
	// RouteLabel names the kind of request for metrics and logs, from a small
	// fixed set, never a path. It is called when the request is over. If nil,
	// Ctx.Route is used.
	RouteLabel func(c *Ctx) string

	// MaxHeaderBytes bounds request line plus headers (default 32 KiB); more is a 431.
	MaxHeaderBytes int
	// HeaderTimeout bounds the time from a request's first byte, TLS handshake
	// included, to the end of its headers (default 15 s).
	HeaderTimeout time.Duration
	// IdleTimeout closes keep-alive connections on which nothing happens (default 2 min).
	IdleTimeout time.Duration
	// MinBodyRate in bytes per second is what a peer must keep up, sending or
	// receiving, averaged over BodyGrace of waiting for it (default 16 KiB/s).
	MinBodyRate int64
	// BodyGrace is the window for MinBodyRate, hence also the longest stall
	// that is forgiven (default 15 s).
	BodyGrace time.Duration
	// MaxConns bounds open connections (default 16384); more are turned away with 503.
	MaxConns int

	// TLS, if set, is spoken on every listener given to Serve.
	TLS *tls.Config
	// TrustedProxies are the peers whose Forwarded and X-Forwarded-* headers count.
	TrustedProxies []netip.Prefix
}

const (
	defaultMaxHeaderBytes = 32 << 10
	defaultHeaderTimeout  = 15 * time.Second
	defaultIdleTimeout    = 2 * time.Minute
	defaultMinBodyRate    = 16 << 10
	defaultBodyGrace      = 15 * time.Second
	defaultMaxConns       = 16384

	// maxParkAfter is how long an idle connection keeps its buffers.
	maxParkAfter = time.Second
	// writeBufferSize holds a response's headers and, often, all of a small one.
	writeBufferSize = 4 << 10
	// forcedCloseWait is how long Shutdown waits, past its deadline, for
	// handlers whose context it has cancelled.
	forcedCloseWait = time.Second
)

// withDefaults validates cfg and fills in what was left out.
func (cfg Config) withDefaults() (Config, error) {
	switch {
	case cfg.Name == "":
		return cfg, errors.New("httpx: config: Name is empty")
	case cfg.Handler == nil:
		return cfg, errors.New("httpx: config: Handler is nil")
	case cfg.MaxHeaderBytes < 0 || cfg.HeaderTimeout < 0 || cfg.IdleTimeout < 0 ||
		cfg.MinBodyRate < 0 || cfg.BodyGrace < 0 || cfg.MaxConns < 0:
		return cfg, errors.New("httpx: config: a limit is negative")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.ErrorWriter == nil {
		cfg.ErrorWriter = plainErrorWriter
	}
	if cfg.RouteLabel == nil {
		cfg.RouteLabel = func(c *Ctx) string { return c.Route }
	}
	setDefault(&cfg.MaxHeaderBytes, defaultMaxHeaderBytes)
	setDefault(&cfg.HeaderTimeout, defaultHeaderTimeout)
	setDefault(&cfg.IdleTimeout, defaultIdleTimeout)
	setDefault(&cfg.MinBodyRate, defaultMinBodyRate)
	setDefault(&cfg.BodyGrace, defaultBodyGrace)
	setDefault(&cfg.MaxConns, defaultMaxConns)
	return cfg, nil
}

func setDefault[T int | int64 | time.Duration](v *T, def T) {
	if *v == 0 {
		*v = def
	}
}

// Server is one HTTP server; make it with New.
type Server struct {
	cfg     Config
	app     *fiber.App
	fiber   fasthttp.RequestHandler
	known   map[string]bool // methods that fiber can route
	metrics *metrics
	watcher *watcher
	ctxPool sync.Pool

	draining atomic.Bool // Shutdown was called
	aborted  atomic.Bool // Shutdown's deadline has passed

	mu        sync.Mutex         // guards the rest
	conns     map[*conn]struct{} // every open connection
	listeners []*listener        // all that were served
}

// New returns a server that is not yet serving.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, conns: make(map[*conn]struct{}), known: make(map[string]bool)}
	s.ctxPool.New = func() any { return new(Ctx) }
	s.watcher = newWatcher()
	if s.metrics, err = newMetrics(cfg.Name, cfg.Registerer, s); err != nil {
		return nil, fmt.Errorf("httpx: register metrics: %w", err)
	}
	s.app = fiber.New(fiber.Config{
		DisableStartupMessage:        true,
		CaseSensitive:                true,
		StrictRouting:                true,
		StreamRequestBody:            true,
		DisablePreParseMultipartForm: true,
		DisableDefaultContentType:    true,
		Concurrency:                  cfg.MaxConns + 1,
		BodyLimit:                    math.MaxInt, // streamed: the limit is LimitBody's
		ReadBufferSize:               cfg.MaxHeaderBytes,
		WriteBufferSize:              writeBufferSize,
	})
	s.app.Use(func(fc *fiber.Ctx) error {
		s.serve(fc.Context())
		return nil
	})
	for _, m := range fiber.DefaultMethods {
		s.known[m] = true
	}
	s.fiber = s.app.Handler()
	srv := s.app.Server()
	srv.Handler = s.handle
	srv.ExpectHandler = s.expect
	srv.ErrorHandler = s.protocolError
	srv.ConnState = connState
	srv.HeaderReceived = headersDone
	srv.CloseOnShutdown = true
	srv.SecureErrorLogMessage = true
	srv.NoDefaultContentType = true
	srv.Logger = libraryLogger{s}
	return s, nil
}

// Serve accepts connections on ln until Shutdown, and then returns nil. It may
// be called for several listeners.
func (s *Server) Serve(ln net.Listener) error {
	s.mu.Lock()
	if s.draining.Load() {
		s.mu.Unlock()
		_ = ln.Close()
		return nil
	}
	l := newListener(s, ln)
	s.listeners = append(s.listeners, l)
	s.mu.Unlock()
	err := s.app.Listener(l)
	_ = l.Close()
	if s.draining.Load() {
		return nil
	}
	return err
}

// Shutdown stops accepting, closes idle connections and waits for requests in
// flight. When ctx ends first, it cancels their contexts, closes their
// connections and returns ctx's error. The server can't be used again.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.draining.Store(true)
	listeners := s.listeners
	s.mu.Unlock()
	// The library closes those that it knows; it may not have come to one that Serve has just been given.
	for _, l := range listeners {
		_ = l.Close()
	}
	err := s.app.ShutdownWithContext(ctx)
	if err == nil {
		return nil
	}
	s.aborted.Store(true)
	s.watcher.abortAll()
	s.mu.Lock()
	for c := range s.conns {
		c.abort()
	}
	s.mu.Unlock()
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), forcedCloseWait)
	defer cancel()
	_ = s.app.ShutdownWithContext(wait)
	return err
}

// addConn counts c in, unless there are too many.
func (s *Server) addConn(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) >= s.cfg.MaxConns {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) removeConn(c *conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
}

func (s *Server) openConns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// libraryLogger counts what fasthttp wants to say about broken connections and
// logs none of it: its texts may quote what a client sent.
type libraryLogger struct{ s *Server }

func (l libraryLogger) Printf(string, ...any) { l.s.metrics.connErrors.Inc() }
