package httpx_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"gantry/internal/httpx"
)

func TestRawTarget(t *testing.T) {
	type seen struct{ path, query, host string }
	var got seen
	s := serve(t, httpx.Config{Handler: func(c *httpx.Ctx) error {
		got = seen{c.RawPath(), c.RawQuery(), c.Host()}
		return nil
	}})
	for target, want := range map[string]seen{
		"/":                         {"/", "", "h"},
		"/a%2Fb/c+d/%C3%A4":         {"/a%2Fb/c+d/%C3%A4", "", "h"},
		"//a///b/":                  {"//a///b/", "", "h"},
		"/a/../b/./c/..":            {"/a/../b/./c/..", "", "h"},
		"/%zz%":                     {"/%zz%", "", "h"},
		"/\xc3\xa4\xff":             {"/\xc3\xa4\xff", "", "h"},
		"/a?":                       {"/a", "", "h"},
		"/a?b=c?d&e":                {"/a", "b=c?d&e", "h"},
		"/a#b?c":                    {"/a#b", "c", "h"},
		"/a://b?c://d":              {"/a://b", "c://d", "h"},
		"http://Other:81/a%2F?b":    {"/a%2F", "b", "Other:81"},
		"http://Other":              {"/", "", "Other"},
		"http://Other?b":            {"/", "b", "Other"},
		"https://u:p@Other/a/../b/": {"/a/../b/", "", "Other"},
	} {
		s.once(t, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", target)
		if got != want {
			t.Errorf("%s: got %q, want %q", target, got, want)
		}
	}
	s.once(t, "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")
	if got.path != "*" {
		t.Errorf("OPTIONS *: path %q", got.path)
	}
}

func TestMethods(t *testing.T) {
	var got string
	s := serve(t, httpx.Config{Handler: func(c *httpx.Ctx) error {
		got = c.Method()
		c.NoContent(204)
		return nil
	}})
	for _, m := range []string{"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND", "get", "X-Y"} {
		got = ""
		resp, _ := s.once(t, m+" / HTTP/1.1\r\nHost: h\r\n\r\n%.0s", "")
		if got != m || resp.StatusCode != 204 {
			t.Errorf("%s: handler saw %q, status %d", m, got, resp.StatusCode)
		}
	}
}

func TestContentLengthIsDetectable(t *testing.T) {
	type seen struct {
		n             int64
		has, chunked  bool
		visited, body string
	}
	var got seen
	s := serve(t, httpx.Config{Handler: func(c *httpx.Ctx) error {
		b, err := io.ReadAll(c.Body())
		got = seen{n: c.ContentLength(), has: c.HasContentLength(), chunked: c.IsChunked(), body: string(b)}
		c.VisitHeaders(func(k, v string) {
			if k == "Content-Length" {
				got.visited = v
			}
		})
		return err
	}})
	for headers, want := range map[string]seen{
		"\r\n":                        {},
		"Content-Length: 0\r\n\r\n":   {has: true, visited: "0"},
		"content-length: 2\r\n\r\nhi": {n: 2, has: true, visited: "2", body: "hi"},
		"Transfer-Encoding: Chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n": {n: -1, chunked: true, body: "hi"},
		"X-Content-Length: 5\r\n\r\n":                            {},
	} {
		for _, m := range []string{"PUT", "POST", "GET", "DELETE"} {
			s.once(t, "%s / HTTP/1.1\r\nHost: h\r\n%s", m, headers)
			if got != want {
				t.Errorf("%s %q: got %+v, want %+v", m, headers, got, want)
			}
		}
	}
}

// Strings survive the request; fasthttp's own don't.
func TestRequestStringsAreCopies(t *testing.T) {
	var kept []string
	var want []string
	s := serve(t, httpx.Config{Handler: func(c *httpx.Ctx) error {
		kept = append(kept, c.Method(), c.RawPath(), c.RawQuery(), c.Query().Get("q"), c.Host(), c.Header("X"))
		kept = append(kept, c.Headers("x")...)
		c.VisitHeaders(func(k, v string) {
			if k == "X" {
				kept = append(kept, k, v)
			}
		})
		return nil
	}})
	c := s.dial(t)
	for i := range 20 {
		x := strings.Repeat(fmt.Sprint(i%10), 8)
		c.send("PUT /%s?q=%s HTTP/1.1\r\nHost: %s\r\nX: %s\r\nX: b%s\r\n\r\n", x, x, x, x, x)
		c.expect(200)
		want = append(want, "PUT", "/"+x, "q="+x, x, x, x, x, "b"+x, "X", x, "X", "b"+x)
	}
	if !reflect.DeepEqual(kept, want) {
		t.Errorf("strings changed: %q", kept)
	}
}

func TestQuery(t *testing.T) {
	q := httpx.ParseQuery("uploads&a=1&b=&a=2+3%2B&%61=4&=x&&c=d=e")
	if !q.Has("uploads") || q.Get("uploads") != "" || q.Has("upload") || !q.Has("b") || q.Get("b") != "" {
		t.Error("absent and empty are mixed up")
	}
	if got, want := q.All("a"), []string{"1", "2 3+", "4"}; !reflect.DeepEqual(got, want) {
		t.Errorf("All: %q, want %q", got, want)
	}
	if got, want := q.Keys(), []string{"uploads", "a", "b", "", "c"}; !reflect.DeepEqual(got, want) {
		t.Errorf("Keys: %q, want %q", got, want)
	}
	if q.Get("c") != "d=e" || q.Len() != 7 || q.Err() != nil {
		t.Errorf("c %q, len %d, err %v", q.Get("c"), q.Len(), q.Err())
	}
	for _, bad := range []string{"a=%", "a=%4", "a=%zz", "%=1", "a=1&b=%4"} {
		if httpx.ParseQuery(bad).Err() == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}

func FuzzParseQuery(f *testing.F) {
	f.Add("a=1&b&c=%41+%zz&&=")
	f.Fuzz(func(t *testing.T, raw string) {
		q := httpx.ParseQuery(raw)
		for i := range q.Len() {
			k, v := q.At(i)
			if !q.Has(k) || len(k)+len(v) > len(raw) {
				t.Fatalf("%q: parameter %q=%q", raw, k, v)
			}
		}
		if !strings.ContainsRune(raw, '%') && q.Err() != nil {
			t.Fatalf("%q: %v", raw, q.Err())
		}
	})
}

func TestForwarded(t *testing.T) {
	type seen struct{ ip, scheme, host string }
	var got seen
	handler := func(c *httpx.Ctx) error {
		got = seen{c.RemoteIP().String(), c.Scheme(), c.PublicHost()}
		return nil
	}
	trusting := serve(t, httpx.Config{Handler: handler,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}})
	wary := serve(t, httpx.Config{Handler: handler})
	for headers, want := range map[string]seen{
		"":                               {"127.0.0.1", "http", "h"},
		"X-Forwarded-For: 192.0.2.1\r\n": {"192.0.2.1", "http", "h"},
		"X-Forwarded-For: 6.6.6.6, 192.0.2.1, 10.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: pacs.example:8443\r\n": {"192.0.2.1", "https", "pacs.example:8443"},
		"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 10.1.1.1\r\nX-Forwarded-Proto: https, http\r\n":                        {"192.0.2.1", "https", "h"},
		"X-Forwarded-For: 192.0.2.1:1234\r\n":                     {"192.0.2.1", "http", "h"},
		"X-Forwarded-For: 2001:db8::1\r\n":                        {"2001:db8::1", "http", "h"},
		"X-Forwarded-For: nonsense\r\n":                           {"127.0.0.1", "http", "h"},
		"X-Forwarded-Proto: gopher\r\n":                           {"127.0.0.1", "http", "h"},
		"X-Forwarded-Host: a/b<script>\r\n":                       {"127.0.0.1", "http", "h"},
		"Forwarded: for=192.0.2.1;proto=https;host=p.example\r\n": {"192.0.2.1", "https", "p.example"},
		"Forwarded: for=6.6.6.6;host=evil, for=\"[2001:db8::1]:80\";proto=HTTPS;host=\"p.example:1\", for=10.1.1.1;host=inner\r\n": {"2001:db8::1", "https", "p.example:1"},
		"Forwarded: for=unknown;proto=https\r\n":                    {"127.0.0.1", "https", "h"},
		"Forwarded: for=192.0.2.1\r\nX-Forwarded-Host: ignored\r\n": {"192.0.2.1", "http", "h"},
		"Forwarded: \"\r\n": {"127.0.0.1", "http", "h"},
	} {
		trusting.once(t, "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", headers)
		if got != want {
			t.Errorf("%q: got %q, want %q", headers, got, want)
		}
		wary.once(t, "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", headers)
		if want := (seen{"127.0.0.1", "http", "h"}); got != want {
			t.Errorf("%q, proxy not trusted: got %q, want %q", headers, got, want)
		}
	}
	for _, head := range []string{"GET / HTTP/1.0\r\n", "GET / HTTP/1.1\r\nHost:\r\n"} {
		wary.once(t, "%s\r\n", head)
		if want := (seen{"127.0.0.1", "http", wary.addr}); got != want {
			t.Errorf("%q: got %q, want %q", head, got, want)
		}
	}
}

// syncBuffer is a log destination.
type syncBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.b.Reset()
	return s.b.String()
}

// One line per request, and neither it nor a metric tells path, query, header or panic value.
func TestLogsAndMetricsHoldNoPatientData(t *testing.T) {
	var logs syncBuffer
	reg := prometheus.NewRegistry()
	s := serve(t, httpx.Config{
		Name: "s3", Registerer: reg,
		Logger: slog.New(slog.NewJSONHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Handler: func(c *httpx.Ctx) error {
			c.Route, c.Principal = "Put", "GKTEST"
			b, err := io.ReadAll(c.Body())
			switch c.Header("X-Do") {
			case "panic":
				panic("SECRETpanic")
			case "unimplemented":
				return &httpx.Error{Status: 501, Code: "NotImplemented", Message: "not SECRET"}
			case "busy":
				return &httpx.Error{Status: 503, Code: "SlowDown", Message: "not SECRET"}
			case "error":
				return fmt.Errorf("about SECRETerror")
			case "stream":
				c.SendStream(10, io.NopCloser(strings.NewReader(string(b)+"SECRET")))
				return nil
			}
			c.SendBytes([]byte("fine"))
			return err
		},
	})
	for do, want := range map[string]struct {
		level  string
		status float64
		route  string
	}{
		"nothing": {"DEBUG", 200, "Put"}, "panic": {"ERROR", 500, "Put"}, "error": {"ERROR", 500, "Put"},
		"stream": {"ERROR", 200, "Put"}, "unimplemented": {"INFO", 501, "Put"}, "busy": {"INFO", 503, "Put"}, // refused by design: no fault of the server
	} {
		c := s.dial(t)
		c.send("PUT /SECRETpath?q=SECRETquery HTTP/1.1\r\nHost: SECREThost\r\nX-Do: %s\r\nX: SECRETheader\r\nContent-Length: 3\r\n\r\nabc", do)
		_, _ = io.ReadAll(io.LimitReader(c.br, 60))
		if do == "stream" {
			c.expectClosed()
		}
		text := logs.take()
		if strings.Contains(text, "SECRET") {
			t.Errorf("%s: log tells: %s", do, text)
		}
		lines := 0
		for line := range strings.Lines(text) {
			var m map[string]any
			if err := json.Unmarshal([]byte(line), &m); err != nil {
				t.Fatal(err)
			}
			if m["msg"] != "request" {
				continue
			}
			lines++
			if m["level"] != want.level || m["status"] != want.status || m["route"] != want.route || m["principal"] != "GKTEST" ||
				m["method"] != "PUT" || m["server"] != "s3" || m["bytes_in"] != 3.0 || m["remote"] != "127.0.0.1" || m["request_id"] == "" {
				t.Errorf("%s: %s", do, line)
			}
		}
		if lines != 1 {
			t.Errorf("%s: %d request lines", do, lines)
		}
	}
	s.once(t, "SECRET /SECRET HTTP/1.1\r\nHost: h\r\n\r\n")
	s.once(t, "GET /SECRET HTTP/1.1\r\nHost : SECRET\r\n\r\n")
	if text := logs.take(); strings.Contains(text, "SECRET") {
		t.Errorf("log tells: %s", text)
	}
	checkMetrics(t, reg)
}

func checkMetrics(t *testing.T, reg *prometheus.Registry) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				if strings.Contains(l.GetValue(), "SECRET") {
					t.Errorf("%s tells %s", f.GetName(), l.GetValue())
				}
				if l.GetName() == "code" || l.GetName() == "route" {
					name += " " + l.GetValue()
				}
			}
			values[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	for name, want := range map[string]float64{
		"gantry_http_requests_total 200 Put": 3, "gantry_http_requests_total 500 Put": 2,
		"gantry_http_request_duration_seconds Put": 7, "gantry_http_in_flight_requests": 0,
		"gantry_http_panics_total": 1, "gantry_http_aborted_responses_total Put": 1,
		"gantry_http_request_bytes_total": 18,
	} {
		if values[name] != want {
			t.Errorf("%s = %v, want %v", name, values[name], want)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	h := func(*httpx.Ctx) error { return nil }
	for name, cfg := range map[string]httpx.Config{
		"no name": {Handler: h}, "no handler": {Name: "x"}, "negative": {Name: "x", Handler: h, MaxConns: -1},
	} {
		if _, err := httpx.New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	reg := prometheus.NewRegistry()
	for _, name := range []string{"s3", "web"} { // two servers share one registry
		if _, err := httpx.New(httpx.Config{Name: name, Handler: h, Registerer: reg}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
