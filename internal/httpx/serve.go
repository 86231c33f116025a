package httpx

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/valyala/fasthttp"
)

// handle implements fasthttp's Handler.
func (s *Server) handle(rc *fasthttp.RequestCtx) {
	if cn, ok := rc.Conn().(*conn); ok && cn.suspended != nil {
		cn.resume(nil)
		return
	}
	s.dispatch(rc)
}

// dispatch goes through fiber's router, except for methods that fiber would
// refuse in its own words.
func (s *Server) dispatch(rc *fasthttp.RequestCtx) {
	if s.known[string(rc.Request.Header.Method())] {
		s.fiber(rc)
	} else {
		s.serve(rc)
	}
}

// serve runs one request up to the point where its response is ready to be sent.
func (s *Server) serve(rc *fasthttp.RequestCtx) {
	c := s.acquire(rc)
	if err := c.framing.check(c.length == lengthChunked); err != nil {
		rc.SetConnectionClose()
		c.fail(err)
	} else if err := s.call(c); err != nil {
		c.fail(err)
	}
	if c.unread() {
		c.conn.linger.Store(true)
		if c.err != nil && c.length == lengthChunked {
			rc.SetConnectionClose() // how much is still to come can't be told, and fasthttp would close without a word (RFC 9112 9.6)
		}
	}
	if !c.stream.active {
		// A body larger than the buffer is sure to follow a full buffer.
		cn := c.conn
		cn.cork = c.sent > writeBufferSize && bodyAllowed(c.status)
		s.finish(c)
	}
}

// bodyAllowed reports whether a response with this status can have a body.
func bodyAllowed(status int) bool {
	return status >= http.StatusOK && status != http.StatusNoContent && status != http.StatusNotModified
}

// call runs the handler; a panic becomes an error.
func (s *Server) call(c *Ctx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = s.panicked(c, p)
		}
	}()
	return s.cfg.Handler(c)
}

// panicked logs a panic. Of its value only what the runtime itself wrote is
// logged; anything else may quote a request.
func (s *Server) panicked(c *Ctx, p any) error {
	what := fmt.Sprintf("%T", p)
	if re, ok := p.(runtime.Error); ok {
		what = re.Error()
	}
	s.metrics.panics.Inc()
	s.cfg.Logger.Error("panic", "server", s.cfg.Name, "request_id", c.RequestID(),
		"panic", what, "stack", string(debug.Stack()))
	return errInternal()
}

// fail drops what the handler has prepared and renders err instead.
func (c *Ctx) fail(err error) {
	c.resetResponse()
	c.err = err
	func() {
		defer func() {
			if p := recover(); p != nil {
				_ = c.srv.panicked(c, p)
				c.resetResponse()
			}
		}()
		c.srv.cfg.ErrorWriter(c, err)
	}()
	if !c.responded {
		plainErrorWriter(c, errInternal())
	}
}

// protocolError implements fasthttp's ErrorHandler: the request could not be
// read. fasthttp closes the connection after the response.
func (s *Server) protocolError(rc *fasthttp.RequestCtx, err error) {
	cn, ok := rc.Conn().(*conn)
	if !ok {
		return
	}
	cn.linger.Store(true)
	if cn.suspended != nil {
		// The body failed to begin after "100 Continue": a handler is waiting.
		cn.resume(bodyError(cn.readErr))
		return
	}
	c := s.acquire(rc)
	c.fail(requestError(err))
	if !c.stream.active {
		s.finish(c)
	}
}

// acquire prepares a Ctx for the request in rc.
func (s *Server) acquire(rc *fasthttp.RequestCtx) *Ctx {
	cn, ok := rc.Conn().(*conn)
	assert(ok, "connection did not come through our listener")
	c, _ := s.ctxPool.Get().(*Ctx)
	c.srv, c.rc, c.conn = s, rc, cn
	c.start = time.Now()
	c.init()
	if cn.phase != phaseRequest { // after an error in reading headers
		cn.toRequest()
	}
	s.metrics.inFlight.Inc()
	return c
}

// finish ends a request: its response has been handed over or has failed.
func (s *Server) finish(c *Ctx) {
	if c.reqCtx != nil {
		c.reqCtx.cancel(context.Canceled)
	}
	s.record(c)
	s.metrics.inFlight.Dec()
	*c = Ctx{}
	s.ctxPool.Put(c)
}

// routeLabel asks RouteLabel, which may trip over a request that is only half there.
func (s *Server) routeLabel(c *Ctx) (route string) {
	defer func() {
		if p := recover(); p != nil {
			_ = s.panicked(c, p)
			route = "unknown"
		}
	}()
	return s.cfg.RouteLabel(c)
}

// fault tells whether an answer says that something went wrong here, and not only that it is refused, or refused for now.
func fault(status int) bool {
	return status >= http.StatusInternalServerError && status != http.StatusNotImplemented && status != http.StatusServiceUnavailable
}

// record counts and logs one request.
func (s *Server) record(c *Ctx) {
	route := s.routeLabel(c)
	took := time.Since(c.start)
	status := c.status
	s.metrics.observe(observation{route: route, status: status, took: took,
		in: c.body.read, out: c.sent, aborted: c.stream.err != nil})
	level := slog.LevelDebug
	switch {
	case fault(status) || c.stream.err != nil && c.conn.writeErr == nil:
		level = slog.LevelError
	case status >= http.StatusBadRequest || c.stream.err != nil:
		level = slog.LevelInfo
	}
	if !s.cfg.Logger.Enabled(context.Background(), level) {
		return
	}
	attrs := make([]slog.Attr, 0, 12)
	attrs = append(attrs,
		slog.String("server", s.cfg.Name),
		slog.String("method", c.methodLabel()),
		slog.String("route", route),
		slog.Int("status", status),
		slog.Int64("bytes_in", c.body.read),
		slog.Int64("bytes_out", c.sent),
		slog.Duration("duration", took),
		slog.String("request_id", c.RequestID()),
		slog.String("remote", c.RemoteIP().String()))
	if c.Principal != "" {
		attrs = append(attrs, slog.String("principal", c.Principal))
	}
	if c.stream.err != nil {
		attrs = append(attrs, slog.String("aborted", abortReason(c)))
	}
	if e, ok := errors.AsType[*Error](c.err); ok {
		attrs = append(attrs, slog.String("reason", e.Code))
	}
	s.cfg.Logger.LogAttrs(context.Background(), level, "request", attrs...)
}

// abortReason says who broke off a response, without quoting any error.
func abortReason(c *Ctx) string {
	if c.conn.writeErr != nil {
		return "client"
	}
	return "server"
}

func assert(cond bool, msg string) {
	if !cond {
		panic("httpx: " + msg)
	}
}
