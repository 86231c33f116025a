package console_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"gantry/console"
	"gantry/internal/auth"
	"gantry/internal/httpx"
	"gantry/store"
)

// fake is a store whose figures are set by hand.
type fake struct {
	stats     store.Stats
	totals    map[string]store.Totals
	conflicts int
	damage    []store.Damage
}

func (f *fake) Stats(context.Context) (store.Stats, error) { return f.stats, nil }

func (f *fake) Buckets(context.Context) ([]store.Bucket, error) {
	return []store.Bucket{
		{Name: "backup"}, {Name: "dicom", Settings: store.BucketSettings{DICOM: true}},
	}, nil
}

func (f *fake) Totals(_ context.Context, bucket string) (store.Totals, error) {
	return f.totals[bucket], nil
}

func (f *fake) Conflicts(_ context.Context, _ string, fn func(string) bool) error {
	for range f.conflicts {
		if !fn("1.2.3.secret") {
			break
		}
	}
	return nil
}

func (f *fake) Damage() []store.Damage { return f.damage }

var now = time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)

func healthy() *fake {
	return &fake{
		stats: store.Stats{
			LogID: "0123456789abcdef", Epoch: 3, End: 0x123400, Segments: 2, LastWrite: now.Add(-time.Minute),
			FreeBytes: 900e9, DiskBytes: 1000e9, ReserveBytes: 10e9,
			Commits: store.Commits{Count: 512, Since: now.Add(-time.Hour), Last: time.Millisecond, P50: time.Millisecond, P99: 7 * time.Millisecond},
			Ingest:  store.Ingest{Bytes: 14e9, Span: 14 * 24 * time.Hour},
		},
		totals: map[string]store.Totals{"backup": {Objects: 3, Bytes: 4e6}, "dicom": {Objects: 1200, Bytes: 600e6}},
	}
}

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(*fake)
		overall console.Level
		want    string // in the text of the verdict that is not green
	}{
		{"healthy", func(*fake) {}, console.Green, ""},
		{"log broken", func(f *fake) { f.stats.Broken = errors.New("disk") }, console.Red, "the log is broken"},
		{"damage", func(f *fake) { f.stats.DamageFound = 1 }, console.Red, "1 place is damaged"},
		{"full", func(f *fake) { f.stats.Full, f.stats.FreeBytes = true, 9e9 }, console.Red, "full: writes are refused"},
		{"full in a week", func(f *fake) { f.stats.Ingest.Bytes = 14 * 127e9 }, console.Red, "890 GB, 7 days"},
		{"full in two months", func(f *fake) { f.stats.Ingest.Bytes = 14 * 15e9 }, console.Amber, "890 GB, 59 days"},
		{"much used", func(f *fake) { f.stats.FreeBytes, f.stats.Ingest = 140e9, store.Ingest{} }, console.Amber, "room for 130 GB"},
		{"slow", func(f *fake) { f.stats.Commits.P99 = 400 * time.Millisecond }, console.Amber, "up to 400 ms"},
		{"very slow", func(f *fake) { f.stats.Commits.P99 = 3 * time.Second }, console.Red, "up to 3.0 s"},
		{"slow once, of a few", func(f *fake) { f.stats.Commits.Count, f.stats.Commits.P99 = 7, 3*time.Second }, console.Green, ""},
		{"slow from the start", func(f *fake) { f.stats.Commits.Count, f.stats.Commits.P50 = 7, 3*time.Second }, console.Red, "safe on disk"},
		{"conflict", func(f *fake) { f.conflicts = 2 }, console.Amber, "2 studies name more than one patient"},
		{"nothing known yet", func(f *fake) { f.stats.Commits, f.stats.Ingest = store.Commits{}, store.Ingest{} }, console.Green, ""},
		{"a young log says nothing", func(f *fake) { f.stats.Ingest = store.Ingest{Bytes: 1e12, Span: time.Minute} }, console.Green, ""},
	} {
		f := healthy()
		c.change(f)
		s, err := console.Collect(t.Context(), f, "1", now)
		if err != nil {
			t.Fatal(err)
		}
		if s.Overall != c.overall {
			t.Errorf("%s: overall %s, want %s", c.name, s.Overall, c.overall)
		}
		found := c.want == ""
		for _, v := range []console.Verdict{s.Safe, s.Fast, s.Full, s.Tidy} {
			found = found || v.Level == c.overall && strings.Contains(v.Text, c.want)
			if v.Text == "" {
				t.Errorf("%s: a verdict without words", c.name)
			}
		}
		if !found {
			t.Errorf("%s: nothing says %q: %+v", c.name, c.want, s)
		}
	}
}

// start serves a console on loopback.
func start(t *testing.T, cfg console.Config) string {
	t.Helper()
	c, err := console.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := httpx.New(httpx.Config{Name: "console", Handler: c.Handle})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	t.Cleanup(func() {
		if err := errors.Join(srv.Shutdown(context.Background()), <-done); err != nil {
			t.Error(err)
		}
	})
	return "http://" + ln.Addr().String()
}

func ask(t *testing.T, method, url string, cred *auth.Credential) (*http.Response, string) {
	t.Helper()
	req := httptest.NewRequest(method, url, nil)
	req.RequestURI = ""
	if cred != nil {
		req.SetBasicAuth(cred.ID, cred.Secret)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b strings.Builder
	if err := resp.Write(&b); err != nil {
		t.Fatal(err)
	}
	return resp, b.String()
}

func TestKeysSeeWhatTheyMayRead(t *testing.T) {
	all, some, none := auth.Generate(auth.Read), auth.Generate(auth.Read, "dicom"), auth.Generate(auth.Write)
	ring, err := auth.NewKeyring(all, some, none)
	if err != nil {
		t.Fatal(err)
	}
	url := start(t, console.Config{Source: healthy(), Keyring: ring, Version: "1"})
	for _, path := range []string{"/", "/console.css", "/console.js", "/icon.svg", "/api/status"} {
		if resp, _ := ask(t, "GET", url+path, nil); resp.StatusCode != 401 || resp.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s without a key: %d", path, resp.StatusCode)
		}
		if resp, _ := ask(t, "GET", url+path, &none); resp.StatusCode != 403 {
			t.Errorf("%s with a key that may not read: %d", path, resp.StatusCode)
		}
		resp, _ := ask(t, "GET", url+path, &all)
		if resp.StatusCode != 200 || !strings.Contains(resp.Header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %d, policy %q", path, resp.StatusCode, resp.Header.Get("Content-Security-Policy"))
		}
	}
	if resp, _ := ask(t, "POST", url+"/api/status", &all); resp.StatusCode != 405 {
		t.Errorf("POST: %d", resp.StatusCode)
	}
	if _, body := ask(t, "GET", url+"/api/status", &all); !strings.Contains(body, `"backup"`) {
		t.Errorf("a key for all buckets does not see backup: %s", body)
	}
	if _, body := ask(t, "GET", url+"/api/status", &some); strings.Contains(body, `"backup"`) || !strings.Contains(body, `"dicom"`) {
		t.Errorf("a key for dicom sees: %s", body)
	} else if total := `"objects": 1200,`; strings.Count(body, total) != 2 {
		t.Errorf("the totals are not those of dicom: %s", body)
	}
}

func TestStatusNamesNoStudy(t *testing.T) {
	f := healthy()
	f.conflicts = 3000
	s, err := console.Collect(t.Context(), f, "1", now)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "secret") {
		t.Errorf("a study's UID is in %s", b)
	}
	if s.Totals.Conflicts != 1000 {
		t.Errorf("%d conflicts counted, want the limit", s.Totals.Conflicts)
	}
}

// browser is Debian's; `make deps` installs it.
const browser = "/usr/bin/chromium"

// render opens the console in a browser and gives the page as its script has made it.
func render(t *testing.T, url string) (dom, log string) {
	t.Helper()
	if _, err := os.Stat(browser); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("no chromium on this machine")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir="+t.TempDir(),
		"--enable-logging=stderr", "--virtual-time-budget=4000", "--dump-dom", url)
	var out, errOut strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		t.Fatalf("chromium: %v\n%s", err, errOut.String())
	}
	return out.String(), errOut.String()
}

// TestPageOfAStartingServer: an open page tells that the server starts, in words.
func TestPageOfAStartingServer(t *testing.T) {
	behind, err := url.Parse(start(t, console.Config{Source: healthy(), NoAuth: true}))
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(behind)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != console.StatusPath {
			proxy.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Gantry-State", "starting")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer front.Close()
	if dom, _ := render(t, front.URL+"/"); !strings.Contains(dom, "✕ The server is starting.</p>") {
		t.Error(dom)
	}
}

func TestPageInABrowser(t *testing.T) {
	f := healthy()
	f.stats.DamageFound = 2
	f.damage = []store.Damage{{Segment: "0000000000000000.tar", From: 0x600, To: 0xc00, Detail: "<b>no markup</b>"}}
	cred := auth.Generate(auth.Read)
	ring, err := auth.NewKeyring(cred)
	if err != nil {
		t.Fatal(err)
	}
	url := start(t, console.Config{Source: f, Keyring: ring, Version: "9.9", Clock: func() time.Time { return now }})
	dom, log := render(t, strings.Replace(url, "http://", "http://"+cred.ID+":"+cred.Secret+"@", 1)+"/")
	for _, want := range []string{
		`<p id="overall" role="status" aria-live="polite" class="red">✕ Something is wrong and needs you now.</p>`,
		`class="card red" id="safe"`, `class="card green" id="fast"`, `class="card green" id="full"`, `class="card green" id="tidy"`,
		"2 places are damaged.", "✕ Alarm", "✓ OK", "There is room for 890 GB, 29 months at the present rate.", "Writes are safe on disk within 7.0 ms.",
		"0000000000123400", "Version 9.9", "<td>0000000000000000.tar</td>", "&lt;b&gt;no markup&lt;/b&gt;",
		`<th scope="row">dicom</th><td>DICOM</td><td class="n">1,200</td><td class="n">600 MB</td>`,
		`aria-label="10% of the disk is used"`,
	} {
		if !strings.Contains(dom, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for line := range strings.Lines(log) {
		if strings.Contains(line, "CONSOLE") {
			t.Errorf("the browser complains: %s", line)
		}
	}
	if t.Failed() {
		t.Log(dom)
	}
}
