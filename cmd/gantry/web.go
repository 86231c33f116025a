package main

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"gantry/console"
	"gantry/dicomweb"
	"gantry/internal/httpx"
	"gantry/store"
)

// web routes what the web listener serves: DICOMweb, console, metrics and health.
type web struct {
	dicomweb *dicomweb.Gateway
	console  *console.Console
	metrics  *prometheus.Registry
	store    *store.Store
}

// door is what the web listener leads to: the web, once the store is open. Until then, which may take minutes where a log is replayed, it
// tells that the process lives and starts.
type door struct {
	server *httpx.Server
	served chan error // how that ended
	web    atomic.Pointer[web]
}

// stateHeader tells commands why they get no answer.
const (
	stateHeader   = "Gantry-State"
	stateStarting = "starting"
)

func (d *door) handle(c *httpx.Ctx) error {
	if w := d.web.Load(); w != nil {
		return w.handle(c)
	}
	if c.RawPath() == "/healthz" {
		return writeText(c, http.StatusOK, "ok")
	}
	c.SetHeader(stateHeader, stateStarting)
	c.SetHeader("Retry-After", "5")
	return writeText(c, http.StatusServiceUnavailable, stateStarting)
}

func (d *door) label(c *httpx.Ctx) string {
	if w := d.web.Load(); w != nil {
		return w.label(c)
	}
	return stateStarting
}

// writeError serves errors of the protocol, too, which come before any handler.
func (d *door) writeError(c *httpx.Ctx, err error) {
	if w := d.web.Load(); w != nil {
		w.dicomweb.WriteError(c, err)
		return
	}
	status := http.StatusServiceUnavailable
	if e, ok := errors.AsType[*httpx.Error](err); ok {
		status = e.Status
	}
	_ = writeText(c, status, http.StatusText(status)) // never fails
}

func isDICOMweb(path string) bool {
	return path == "/dicomweb" || strings.HasPrefix(path, "/dicomweb/")
}

func (w *web) handle(c *httpx.Ctx) error {
	path := c.RawPath()
	switch {
	case isDICOMweb(path):
		return w.dicomweb.Handle(c)
	case w.console.Serves(path):
		return w.console.Handle(c)
	case c.Method() != http.MethodGet && c.Method() != http.MethodHead:
		return &httpx.Error{Status: http.StatusMethodNotAllowed, Code: "MethodNotAllowed", Message: "only GET and HEAD are served here"}
	case path == "/metrics":
		return w.writeMetrics(c)
	case path == "/healthz":
		return writeText(c, http.StatusOK, "ok")
	case path == "/readyz":
		return w.writeReady(c)
	}
	return &httpx.Error{Status: http.StatusNotFound, Code: "NotFound", Message: "nothing is served at this path"}
}

func (w *web) label(c *httpx.Ctx) string {
	path := c.RawPath()
	switch {
	case isDICOMweb(path):
		return w.dicomweb.RouteLabel(c)
	case w.console.Serves(path):
		return w.console.Label(path)
	case path == "/metrics", path == "/healthz", path == "/readyz":
		return path[1:]
	}
	return "other"
}

// writeReady tells whether writes are accepted. Who asks needs no key, so the reason is one of a few words.
func (w *web) writeReady(c *httpx.Ctx) error {
	err := w.store.Ready()
	switch {
	case err == nil:
		return writeText(c, http.StatusOK, "ready")
	case errors.Is(err, store.ErrFull):
		return writeText(c, http.StatusServiceUnavailable, "full: writes are refused, reads and deletes go on")
	case errors.Is(err, store.ErrBroken):
		return writeText(c, http.StatusServiceUnavailable, "log broken: writes are refused until restart, reads go on")
	}
	return writeText(c, http.StatusServiceUnavailable, "closing")
}

func writeText(c *httpx.Ctx, status int, text string) error {
	c.SetHeader("Content-Type", "text/plain; charset=utf-8")
	c.SetHeader("Cache-Control", "no-store")
	c.Status(status)
	c.SendBytes([]byte(text + "\n"))
	return nil
}

// writeMetrics writes the metrics in Prometheus' text format. They hold no names of patients or objects, and need no key.
func (w *web) writeMetrics(c *httpx.Ctx) error {
	families, err := w.metrics.Gather()
	if err != nil {
		return err
	}
	var b bytes.Buffer
	format := expfmt.NewFormat(expfmt.TypeTextPlain)
	enc := expfmt.NewEncoder(&b, format)
	for _, f := range families {
		if err := enc.Encode(f); err != nil {
			return err
		}
	}
	c.SetHeader("Content-Type", string(format))
	c.SendBytes(b.Bytes())
	return nil
}
