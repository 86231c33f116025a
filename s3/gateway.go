package s3

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"gantry/internal/auth"
	"gantry/internal/httpx"
	"gantry/s3/sigv4"
	"gantry/store"
)

// Keyring finds credentials by key id.
type Keyring interface {
	Lookup(id string) (auth.Credential, bool)
}

// Config says how a Gateway behaves. Objects is required, and Keyring unless NoAuth is set.
type Config struct {
	Objects Objects
	Keyring Keyring
	Logger  *slog.Logger // nil discards
	Clock   func() time.Time
	// Domains are the base domains of virtual-host style: bucket.example.org is a bucket if example.org is listed.
	Domains []string
	// Region is what the gateway says of itself; requests signed for any region are accepted. Empty means us-east-1.
	Region string
	// ETags says what the ETags of objects and parts are; empty means MD5.
	ETags ETags
	// NoAuth lets everybody do everything.
	NoAuth bool
	// MaxClockSkew is how far clients' clocks may be off; 0 means 15 minutes.
	MaxClockSkew time.Duration
}

// ETags is a kind of entity tags.
type ETags string

const (
	// MD5 is what S3's are, and what clients compare with their own sums. Computing it takes more than half of a small put's time.
	MD5 ETags = "md5"
	// Checksums makes ETags, which end in -N, of checksums that are computed anyway, but where the client sends Content-MD5.
	Checksums ETags = "checksums"
)

const (
	defaultSkew   = 15 * time.Minute
	defaultRegion = "us-east-1"
	// maxXMLInFlight bounds the memory of all XML bodies being read, in bytes.
	maxXMLInFlight = 32 << 20
	// anonymous is the owner and principal of what is written without authentication.
	anonymous = "anonymous"
)

// Gateway serves S3. It is safe for concurrent use and holds nothing that needs closing.
type Gateway struct {
	objects  Objects
	keyring  Keyring
	verifier *sigv4.Verifier
	logger   *slog.Logger
	clock    func() time.Time
	domains  []string // lower case, each with a leading dot, longest first
	region   string
	etags    ETags
	hostID   string
	noAuth   bool
	xmlRoom  *semaphore.Weighted
}

// New makes a Gateway.
func New(cfg Config) (*Gateway, error) {
	if cfg.Objects == nil {
		return nil, errors.New("s3: config: Objects is nil")
	}
	if cfg.Keyring == nil && !cfg.NoAuth {
		return nil, errors.New("s3: config: Keyring is nil though authentication is on")
	}
	if cfg.MaxClockSkew < 0 {
		return nil, errors.New("s3: config: MaxClockSkew is negative")
	}
	g := &Gateway{objects: cfg.Objects, keyring: cfg.Keyring, logger: cfg.Logger, clock: cfg.Clock, region: cfg.Region, etags: cfg.ETags,
		noAuth: cfg.NoAuth, xmlRoom: semaphore.NewWeighted(maxXMLInFlight), hostID: newHostID()}
	switch g.etags {
	case "":
		g.etags = MD5
	case MD5, Checksums:
	default:
		return nil, fmt.Errorf("s3: config: ETags is %q", g.etags)
	}
	if g.logger == nil {
		g.logger = slog.New(slog.DiscardHandler)
	}
	if g.clock == nil {
		g.clock = time.Now
	}
	if g.region == "" {
		g.region = defaultRegion
	}
	for _, d := range cfg.Domains {
		d = strings.ToLower(strings.Trim(d, "."))
		if d == "" || strings.ContainsAny(d, "/: ") {
			return nil, fmt.Errorf("s3: config: domain %q is not a host name", d)
		}
		g.domains = append(g.domains, "."+d)
	}
	slices.SortFunc(g.domains, func(a, b string) int { return len(b) - len(a) })
	skew := cfg.MaxClockSkew
	if skew == 0 {
		skew = defaultSkew
	}
	g.verifier = sigv4.NewVerifier(g.secret, g.clock, skew)
	return g, nil
}

// newHostID names this process in x-amz-id-2.
func newHostID() string {
	var b [24]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.StdEncoding.EncodeToString(b[:])
}

func (g *Gateway) secret(keyID string) (string, bool) {
	c, ok := g.keyring.Lookup(keyID)
	return c.Secret, ok
}

// Handle answers one request; it is an httpx.Handler.
func (g *Gateway) Handle(c *httpx.Ctx) error {
	r := &request{Ctx: c, etags: g.etags}
	if err := g.serve(r); err != nil {
		if errors.Is(err, store.ErrNoBucket) && store.CheckBucketName(r.bucket) != nil {
			return newError(codeInvalidBucketName, "").with("BucketName", clip(r.bucket))
		}
		return err
	}
	g.stamp(c)
	return nil
}

func (g *Gateway) serve(r *request) error {
	if err := g.parseTarget(r); err != nil {
		return err
	}
	r.collect()
	op := route(r)
	r.Route = op.name
	if op == opPreflight || op == opRefused && r.isForm() {
		return op.run(g, r) // browsers don't sign these
	}
	if err := g.authenticate(r); err != nil {
		return err
	}
	if err := r.checkHeaders(); err != nil {
		return err
	}
	if err := g.authorize(r, op); err != nil {
		return err
	}
	return op.run(g, r)
}

// stamp sets the headers of every answer.
func (g *Gateway) stamp(c *httpx.Ctx) {
	c.SetHeader("x-amz-request-id", c.RequestID())
	c.SetHeader("x-amz-id-2", g.hostID)
}

// RouteLabel names the operation, for metrics and logs.
func (g *Gateway) RouteLabel(c *httpx.Ctx) string {
	if c.Route == "" {
		return "unknown"
	}
	return c.Route
}
