// Package console is the operator's page: is everything safe, is it fast, when is it full. It is plain HTML, CSS and
// JavaScript, embedded, fed by the JSON of /api/status, which `gantry status` shows too. It is read-only, and nothing on it names
// a patient.
package console

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"gantry/internal/auth"
	"gantry/internal/httpx"
)

//go:embed page
var files embed.FS

// Config of a console. Source is required, and Keyring unless NoAuth.
type Config struct {
	Source  Source
	Keyring *auth.Keyring
	NoAuth  bool // show everything to everyone: loopback only, the caller sees to that
	Version string
	Clock   func() time.Time // default: time.Now
}

// Console serves the page and the status. It is safe for concurrent use and owns no goroutine.
type Console struct {
	cfg     Config
	started time.Time
	assets  map[string]asset

	mu     sync.Mutex // guards cached; held while it is made, so that many viewers cost as much as one
	cached *Status
	until  time.Time
}

type asset struct {
	contentType string
	body        []byte
}

// statusLife is how long one status serves everybody who asks: not long enough for anybody to notice.
const statusLife = 100 * time.Millisecond

// New checks the configuration. The uptime is counted from now.
func New(cfg Config) (*Console, error) {
	if cfg.Source == nil {
		return nil, errors.New("console: Source is not set")
	}
	if cfg.Keyring == nil && !cfg.NoAuth {
		return nil, errors.New("console: Keyring is not set")
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	c := &Console{cfg: cfg, started: cfg.Clock(), assets: map[string]asset{}}
	for path, f := range map[string]struct{ name, contentType string }{
		"/":            {"index.html", "text/html; charset=utf-8"},
		"/console.css": {"console.css", "text/css; charset=utf-8"},
		"/console.js":  {"console.js", "text/javascript; charset=utf-8"},
		"/icon.svg":    {"icon.svg", "image/svg+xml"},
	} {
		body, err := files.ReadFile("page/" + f.name)
		if err != nil {
			return nil, fmt.Errorf("console: %w", err)
		}
		c.assets[path] = asset{f.contentType, body}
	}
	return c, nil
}

// StatusPath is where the status is served.
const StatusPath = "/api/status"

// Serves tells whether a path is the console's.
func (c *Console) Serves(path string) bool {
	_, ok := c.assets[path]
	return ok || path == StatusPath
}

// Label names the kind of request for metrics.
func (c *Console) Label(path string) string {
	if path == StatusPath {
		return "status"
	}
	return "console"
}

// csp lets the page load its own three files and its status, and nothing else.
const csp = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Handle serves one of the console's paths.
func (c *Console) Handle(rq *httpx.Ctx) error {
	if m := rq.Method(); m != http.MethodGet && m != http.MethodHead {
		rq.SetHeader("Allow", "GET, HEAD")
		return plain(rq, http.StatusMethodNotAllowed, "only GET and HEAD are served here")
	}
	rq.SetHeader("Content-Security-Policy", csp)
	rq.SetHeader("X-Content-Type-Options", "nosniff")
	rq.SetHeader("Referrer-Policy", "no-referrer")
	rq.SetHeader("Cache-Control", "no-store")
	cred, ok := c.authorize(rq)
	if !ok {
		return nil
	}
	if rq.RawPath() == StatusPath {
		return c.status(rq, cred)
	}
	a, ok := c.assets[rq.RawPath()]
	if !ok {
		return plain(rq, http.StatusNotFound, "nothing is served at this path")
	}
	rq.SetHeader("Content-Type", a.contentType)
	rq.SendBytes(a.body)
	return nil
}

// authorize wants any key that may read. If there is none, it answers the request.
func (c *Console) authorize(rq *httpx.Ctx) (cred auth.Credential, ok bool) {
	if c.cfg.NoAuth {
		return auth.Credential{Permissions: auth.All}, true
	}
	cred, err := c.cfg.Keyring.Authenticate(rq.Header("Authorization"))
	if err != nil {
		rq.AddHeader("WWW-Authenticate", `Basic realm="gantry", charset="UTF-8"`)
		rq.AddHeader("WWW-Authenticate", `Bearer realm="gantry"`)
		_ = plain(rq, http.StatusUnauthorized, "credentials are missing or wrong")
		return cred, false
	}
	rq.Principal = cred.ID
	if !auth.Allows(cred, auth.Read, "") {
		_ = plain(rq, http.StatusForbidden, "these credentials do not allow that")
		return cred, false
	}
	return cred, true
}

func plain(rq *httpx.Ctx, status int, text string) error {
	rq.SetHeader("Content-Type", "text/plain; charset=utf-8")
	rq.Status(status)
	rq.SendBytes([]byte(text + "\n"))
	return nil
}

// status answers with what the key may know: of the buckets, and of their totals, those that it may read.
func (c *Console) status(rq *httpx.Ctx, cred auth.Credential) error {
	s, err := c.now(rq.Context())
	if err != nil {
		return err
	}
	s.Buckets = slices.DeleteFunc(slices.Clone(s.Buckets), func(b Bucket) bool { return !auth.Allows(cred, auth.Read, b.Name) })
	s.Totals = Counts{}
	for _, b := range s.Buckets {
		s.Totals.add(b.Counts)
	}
	s.judge()
	body, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode status: %w", err)
	}
	rq.SetHeader("Content-Type", "application/json; charset=utf-8")
	rq.SendBytes(append(body, '\n'))
	return nil
}

// now gives a copy of a status that is at most statusLife old.
func (c *Console) now(ctx context.Context) (Status, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.cfg.Clock()
	if c.cached == nil || !now.Before(c.until) {
		s, err := Collect(ctx, c.cfg.Source, c.cfg.Version, now)
		if err != nil {
			return Status{}, err
		}
		s.Started, s.UptimeSeconds = c.started.UTC().Truncate(time.Second), int64(now.Sub(c.started).Seconds())
		c.cached, c.until = s, now.Add(statusLife)
	}
	return *c.cached, nil
}
