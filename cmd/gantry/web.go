package main

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"gantry/dicomweb"
	"gantry/internal/httpx"
	"gantry/store"
)

// web routes what the web listener serves: DICOMweb, metrics and health.
type web struct {
	dicomweb *dicomweb.Gateway
	metrics  *prometheus.Registry
	store    *store.Store
}

func (w *web) handle(c *httpx.Ctx) error {
	path := c.RawPath()
	switch {
	case path == "/dicomweb" || strings.HasPrefix(path, "/dicomweb/"):
		return w.dicomweb.Handle(c)
	case c.Method() != http.MethodGet && c.Method() != http.MethodHead:
		return &httpx.Error{Status: http.StatusMethodNotAllowed, Code: "MethodNotAllowed", Message: "only GET and HEAD are served here"}
	case path == "/metrics":
		return w.writeMetrics(c)
	case path == "/healthz", path == "/readyz":
		c.SetHeader("Content-Type", "text/plain; charset=utf-8")
		c.SendBytes([]byte("ok\n"))
		return nil
	}
	return &httpx.Error{Status: http.StatusNotFound, Code: "NotFound", Message: "nothing is served at this path"}
}

func (w *web) label(c *httpx.Ctx) string {
	path := c.RawPath()
	switch {
	case path == "/dicomweb" || strings.HasPrefix(path, "/dicomweb/"):
		return w.dicomweb.RouteLabel(c)
	case path == "/metrics", path == "/healthz", path == "/readyz":
		return path[1:]
	}
	return "other"
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
