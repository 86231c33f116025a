package dicomweb

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"runtime"
	"strings"

	"golang.org/x/sync/semaphore"

	"gantry/internal/auth"
	"gantry/internal/httpx"
)

// Config says what a Gateway serves. Only Objects is required, and Keyring unless NoAuth.
type Config struct {
	Objects        Objects
	Keyring        *auth.Keyring
	NoAuth         bool         // serve everything to everyone: loopback only, the caller sees to that
	DefaultArchive string       // bucket served at /dicomweb itself; "dicom" if empty
	PublicURL      string       // scheme and authority (and path prefix) that clients use; empty: as the request says
	CORSOrigins    []string     // origins that browsers may call from; "*" for all
	MetadataCache  int64        // bytes of built metadata kept; 64 MiB if 0, none if negative
	Logger         *slog.Logger // nil discards
}

const (
	defaultArchive       = "dicom"
	defaultMetadataCache = 64 << 20
	maxHeld              = 64 << 20
)

// Gateway serves DICOMweb. It is safe for concurrent use and owns no goroutine.
type Gateway struct {
	objects Objects
	cfg     Config
	logger  *slog.Logger
	cache   *metadataCache
	builds  *semaphore.Weighted // bounds how many metadata bodies are in the making at once
	queries *semaphore.Weighted // bounds how many query results are in the making at once
	held    *semaphore.Weighted // bounds the bytes of large bodies that are being sent to slow clients

	maxMetadata int // bytes of metadata collected before it is streamed instead
}

// New checks the configuration. It starts nothing.
func New(cfg Config) (*Gateway, error) {
	if cfg.Objects == nil {
		return nil, errors.New("dicomweb: Objects is not set")
	}
	if cfg.Keyring == nil && !cfg.NoAuth {
		return nil, errors.New("dicomweb: Keyring is not set")
	}
	if cfg.DefaultArchive == "" {
		cfg.DefaultArchive = defaultArchive
	}
	if cfg.PublicURL != "" {
		u, err := url.Parse(cfg.PublicURL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, errors.New("dicomweb: PublicURL is not an absolute http or https URL")
		}
		cfg.PublicURL = strings.TrimRight(cfg.PublicURL, "/")
	}
	if cfg.MetadataCache == 0 {
		cfg.MetadataCache = defaultMetadataCache
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Gateway{
		objects: cfg.Objects,
		cfg:     cfg,
		logger:  cfg.Logger,
		cache:   newMetadataCache(cfg.MetadataCache),
		builds:  semaphore.NewWeighted(int64(max(2, runtime.GOMAXPROCS(0)))),
		queries: semaphore.NewWeighted(int64(2 * max(2, runtime.GOMAXPROCS(0)))),
		held:    semaphore.NewWeighted(maxHeld),

		maxMetadata: maxMetadataBuffer,
	}, nil
}

// request is one request on its way through the gateway.
type request struct {
	*httpx.Ctx
	g      *Gateway
	ctx    context.Context // ends with the response or when the client leaves
	route  route
	bucket string
	base   string // absolute URL of the service, without a trailing slash
}

// RouteLabel names the kind of a request for metrics.
func (g *Gateway) RouteLabel(c *httpx.Ctx) string { return parseRoute(c.RawPath()).label(c.Method()) }

// Handle serves everything under /dicomweb.
func (g *Gateway) Handle(c *httpx.Ctx) error {
	preflight := g.cors(c)
	if preflight {
		c.NoContent(http.StatusNoContent)
		return nil
	}
	rq := &request{Ctx: c, g: g, ctx: c.Context(), route: parseRoute(c.RawPath())}
	rq.bucket = rq.route.bucket
	if rq.bucket == "" {
		rq.bucket = g.cfg.DefaultArchive
	}
	rq.base = rq.serviceURL()
	if err := g.authorize(rq); err != nil {
		return err
	}
	return rq.serve()
}

// serviceURL is the absolute URL of the archive that the request names.
func (rq *request) serviceURL() string {
	base := rq.g.cfg.PublicURL
	if base == "" {
		base = rq.Scheme() + "://" + rq.PublicHost()
	}
	base += "/dicomweb"
	if rq.route.bucket != "" {
		base += "/" + url.PathEscape(rq.route.bucket)
	}
	return base
}

// methods of each resource; HEAD and OPTIONS go without saying.
func (r route) methods() []string {
	switch r.resource {
	case resStudies:
		return []string{"GET", "POST"}
	case resStudy:
		return []string{"GET", "POST", "DELETE"}
	case resSeries, resInstance:
		return []string{"GET", "DELETE"}
	}
	return []string{"GET"}
}

// serve calls the handler of the resource.
func (rq *request) serve() error {
	method := rq.Method()
	if rq.route.resource == resNone {
		return notFound("resource")
	}
	if rq.route.bucket != "" || method == "POST" {
		b, err := rq.g.objects.Bucket(rq.ctx, rq.bucket)
		if err != nil {
			return err
		}
		if !b.Settings.DICOM {
			return notFound("archive")
		}
	}
	if method == "OPTIONS" {
		return rq.capabilities()
	}
	if method == "HEAD" {
		method = "GET"
	}
	allowed := rq.route.methods()
	ok := false
	for _, m := range allowed {
		ok = ok || m == method
	}
	switch {
	case !ok:
		return &requestError{status: http.StatusMethodNotAllowed, message: "method not allowed",
			header: [][2]string{{"Allow", strings.Join(append(allowed, "HEAD", "OPTIONS"), ", ")}}}
	case method == "POST":
		return rq.storeInstances()
	case method == "DELETE":
		return rq.delete()
	}
	return rq.get()
}

func (rq *request) get() error {
	switch rq.route.resource {
	case resService:
		return rq.capabilities()
	case resStudies, resSeriesAll, resInstancesAll:
		return rq.query()
	case resStudy, resSeries, resInstance:
		return rq.retrieve()
	case resMetadata:
		return rq.metadata()
	case resBulkData:
		return rq.bulkData()
	case resFrames:
		return rq.frames()
	case resWADOURI:
		return rq.wadoURI()
	case resRendered:
		return &requestError{status: http.StatusNotImplemented, message: "rendered resources are not served by this release"}
	}
	return notFound("resource")
}

// accepts returns what the client accepts, best first; nil if it did not say. The query parameter of PS3.18 8.3.3.1
// comes before the headers.
func (rq *request) accepts() []mediaRange {
	if values := rq.Query().All("accept"); len(values) > 0 {
		if list := parseAccept(values); len(list) > 0 {
			return list
		}
	}
	return parseAccept(rq.Headers("Accept"))
}
