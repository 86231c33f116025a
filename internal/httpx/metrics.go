package httpx

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// maxRoutes bounds the label values that RouteLabel can bring about.
const maxRoutes = 256

// metrics are one server's; the label "server" tells servers apart.
type metrics struct {
	requests *prometheus.CounterVec   // by route, code
	duration *prometheus.HistogramVec // by route; seconds, from headers to response
	aborted  *prometheus.CounterVec   // by route

	inFlight   prometheus.Gauge
	bytesIn    prometheus.Counter
	bytesOut   prometheus.Counter
	rejected   prometheus.Counter // connections over MaxConns
	panics     prometheus.Counter
	connErrors prometheus.Counter

	cache  sync.Map // routeCode to *routeMetrics, saving two label look-ups per request
	routes sync.Map // route to struct{}
	count  atomic.Int32
}

type routeCode struct {
	route string
	code  int
}

type routeMetrics struct {
	requests prometheus.Counter
	duration prometheus.Observer
}

// observation is what one request adds to the metrics.
type observation struct {
	route   string
	status  int
	took    time.Duration
	in, out int64 // body bytes
	aborted bool
}

func newMetrics(name string, reg prometheus.Registerer, s *Server) (*metrics, error) {
	labels := prometheus.Labels{"server": name}
	opts := func(metric, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "gantry", Subsystem: "http", Name: metric, Help: help, ConstLabels: labels}
	}
	m := &metrics{
		requests: prometheus.NewCounterVec(opts("requests_total", "Requests by route and status code."), []string{"route", "code"}),
		aborted:  prometheus.NewCounterVec(opts("aborted_responses_total", "Responses cut short by an error of ours or the client's."), []string{"route"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "gantry", Subsystem: "http",
			Name: "request_duration_seconds", Help: "Time from the end of the headers to the end of the response.", ConstLabels: labels,
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120}}, []string{"route"}),
		inFlight:   prometheus.NewGauge(prometheus.GaugeOpts(opts("in_flight_requests", "Requests being served."))),
		bytesIn:    prometheus.NewCounter(opts("request_bytes_total", "Bytes of request bodies read.")),
		bytesOut:   prometheus.NewCounter(opts("response_bytes_total", "Bytes of response bodies sent.")),
		rejected:   prometheus.NewCounter(opts("rejected_connections_total", "Connections turned away because there were too many.")),
		panics:     prometheus.NewCounter(opts("panics_total", "Panics in handlers and response streams.")),
		connErrors: prometheus.NewCounter(opts("connection_errors_total", "Connections that ended in an error.")),
	}
	if reg == nil {
		return m, nil
	}
	conns := prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts("connections", "Open connections.")),
		func() float64 { return float64(s.openConns()) })
	for _, c := range []prometheus.Collector{m.requests, m.aborted, m.duration, m.inFlight, m.bytesIn,
		m.bytesOut, m.rejected, m.panics, m.connErrors, conns} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) observe(o observation) {
	route := m.boundRoute(o.route)
	rm := m.lookup(routeCode{route, o.status})
	rm.requests.Inc()
	rm.duration.Observe(o.took.Seconds())
	if o.in > 0 {
		m.bytesIn.Add(float64(o.in))
	}
	if o.out > 0 {
		m.bytesOut.Add(float64(o.out))
	}
	if o.aborted {
		m.aborted.WithLabelValues(route).Inc()
	}
}

func (m *metrics) lookup(k routeCode) *routeMetrics {
	if v, ok := m.cache.Load(k); ok {
		return v.(*routeMetrics)
	}
	rm := &routeMetrics{
		requests: m.requests.WithLabelValues(k.route, strconv.Itoa(k.code)),
		duration: m.duration.WithLabelValues(k.route),
	}
	m.cache.Store(k, rm)
	return rm
}

// boundRoute keeps a RouteLabel that makes up labels from growing the metrics without end.
func (m *metrics) boundRoute(route string) string {
	if _, ok := m.routes.Load(route); ok {
		return route
	}
	if m.count.Load() >= maxRoutes {
		return "other"
	}
	if _, loaded := m.routes.LoadOrStore(route, struct{}{}); !loaded {
		m.count.Add(1)
	}
	return route
}
