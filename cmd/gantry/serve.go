package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/url"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"gantry/console"
	"gantry/dicomweb"
	"gantry/internal/auth"
	"gantry/internal/httpx"
	"gantry/internal/vfs"
	"gantry/s3"
	"gantry/store"
)

// shutdownGrace is how long requests under way may take to end.
const shutdownGrace = 20 * time.Second

func newServe() *cobra.Command {
	var s settings
	var noAuth bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the store",
		Long: `Run the store until it is told to stop (SIGINT or SIGTERM), with everything on loopback by default.

The first start makes a root key, keeps it in the file root-key of the data directory (mode 0600), and prints it once;
GANTRY_ROOT_KEY_ID with GANTRY_ROOT_SECRET or GANTRY_ROOT_SECRET_FILE gives another. When everything is up, the last line
printed is “ready”.

The web listener serves DICOMweb at /dicomweb, the console at /, its figures as JSON at /api/status, and, to everyone who
asks: /metrics (Prometheus), /healthz (the process lives) and /readyz (503 with the reason while no writes are taken).

Exit codes: 0 stopped as told; 1 error; 2 wrong flag or setting; 4 the data directory is in use.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.load(func(c *Config) {
				if cmd.Flags().Changed("no-auth") {
					c.NoAuth = noAuth
				}
			})
			if err != nil {
				return err
			}
			err = serve(cmd.Context(), &c, cmd.OutOrStdout(), cmd.ErrOrStderr())
			if cause := context.Cause(cmd.Context()); cause != nil && errors.Is(err, cause) {
				return nil // told to stop while it was starting
			}
			return err
		},
	}
	s.addFlags(cmd, "s3-listen", "web-listen", "tls-cert", "tls-key", "public-url", "log-level", "pprof")
	cmd.Flags().BoolVar(&noAuth, "no-auth", false, "serve everything to everyone on this machine; loopback addresses only")
	return cmd
}

// server is a running gantry.
type server struct {
	cfg    *Config
	logger *slog.Logger
	store  *store.Store
	root   auth.Credential
	isNew  bool // the root key was made just now
	// noArchives: those of the configuration are still to be made, once the disk has room.
	noArchives bool

	ring *auth.Keyring
	reg  *prometheus.Registry
	tls  *tls.Config
}

// ioProcs is how many goroutines are mostly in the kernel, writing and syncing the log. The scheduler counts them as running
// until it finds out, so without more processors than there are cores, cores idle meanwhile. On two cores that was worth 24% more
// puts of 128 KiB, and 14% more gets.
const ioProcs = 2

// headroom is how much more garbage may gather than the collector, which starts when the heap has doubled, would allow: a server at
// work has a heap of 10 to 20 MB, and a tenth of its processor time went into collecting that again and again. It is a number of
// bytes, and not a percentage, so that a large heap costs no more of it than a small one. Who sets GOGC or GOMEMLIMIT has decided.
const headroom = 64 << 20

// memoryTarget is where the collector begins to work harder, for up to half of the processors' time: else the heap of a server whose
// caches are full would grow to twice as much before it is collected. The headroom counts, though no page of it comes to be; buffers
// and the cache of blocks do not. Bytes.
const memoryTarget = 288 << 20

func serve(ctx context.Context, cfg *Config, stdout, stderr io.Writer) error {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + ioProcs)
	}
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		ballast := make([]byte, headroom) // counts as heap, and is never touched: no page of it comes to be
		defer runtime.KeepAlive(ballast)
		debug.SetMemoryLimit(memoryTarget)
	}
	logger, err := newLogger(cfg, stderr)
	if err != nil {
		return err
	}
	srv := &server{cfg: cfg, logger: logger, reg: prometheus.NewRegistry()}
	srv.reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if srv.tls, err = loadTLS(cfg); err != nil {
		return err
	}
	warnOfCertificate(logger, srv.tls, time.Now())
	if _, err := cfg.extraKeys(); err != nil {
		return err
	}
	if busy, err := locked(cfg); err != nil {
		return err
	} else if busy {
		return fmt.Errorf("data directory %s: %w", cfg.Data, vfs.ErrLocked)
	}
	l, err := bind(cfg)
	if err != nil {
		return err
	}
	defer l.close()
	d, err := srv.openDoor(l.web)
	if err != nil {
		return err
	}
	if srv.store, err = openStore(ctx, cfg, logger, srv.reg, nil); err != nil {
		return err
	}
	defer func() {
		if err := srv.store.Close(); err != nil {
			logger.Error("close store", "error", err)
		}
	}()
	if srv.ring, srv.root, srv.isNew, err = cfg.credentials(); err != nil {
		return err
	}
	err = makeArchives(ctx, cfg, srv.store, srv.root.ID)
	if srv.noArchives = errors.Is(err, store.ErrFull); srv.noArchives { // a full disk keeps nobody from reading
		logger.Warn("archives of the configuration are not made yet: the disk is full")
	} else if err != nil {
		return err
	}
	if err := srv.letIn(d); err != nil {
		return err
	}
	return srv.run(ctx, l, d, stdout)
}

// run serves both listeners until ctx ends.
func (s *server) run(ctx context.Context, l listeners, d *door, stdout io.Writer) error {
	s3Server, err := s.s3Server()
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s3Server.Serve(l.s3) })
	g.Go(func() error { return <-d.served })
	g.Go(func() error { return s.profile(ctx) })
	g.Go(func() error { return s.makeArchivesLater(ctx) })
	g.Go(func() error {
		<-ctx.Done()
		return s.shutDown(context.WithoutCancel(ctx), s3Server, d.server)
	})
	s.announce(stdout, l.s3.Addr(), l.web.Addr())
	return g.Wait()
}

// shutDown ends the servers at the same time: neither takes requests any more, and each has all of the grace.
func (s *server) shutDown(ctx context.Context, servers ...*httpx.Server) error {
	ctx, cancel := context.WithTimeout(ctx, shutdownGrace)
	defer cancel()
	var g errgroup.Group
	for _, srv := range servers {
		g.Go(func() error { return srv.Shutdown(ctx) })
	}
	err := g.Wait()
	if errors.Is(err, context.DeadlineExceeded) {
		s.logger.Warn("requests that did not end in time were cut off", "after", shutdownGrace)
		return nil
	}
	return err
}

func newLogger(cfg *Config, w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Log.Level)); err != nil {
		return nil, usageError{fmt.Errorf("configuration: log.level: %w", err)}
	}
	opts := &slog.HandlerOptions{Level: level}
	if cfg.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return slog.New(slog.NewTextHandler(w, opts)), nil
}

func loadTLS(cfg *Config) (*tls.Config, error) {
	if cfg.TLS.Cert == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(cfg.TLS.Cert, cfg.TLS.Key)
	if err != nil {
		return nil, usageError{fmt.Errorf("configuration: tls: %w", err)}
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// expiresSoon is how long before its end a certificate is worth a warning.
const expiresSoon = 14 * 24 * time.Hour

// warnOfCertificate says what only the clients would tell otherwise.
func warnOfCertificate(logger *slog.Logger, cfg *tls.Config, now time.Time) {
	if cfg == nil || cfg.Certificates[0].Leaf == nil {
		return
	}
	leaf := cfg.Certificates[0].Leaf
	if now.Before(leaf.NotBefore) || leaf.NotAfter.Sub(now) < expiresSoon {
		logger.Warn("clients refuse the certificate outside of its time", "from", leaf.NotBefore, "to", leaf.NotAfter)
	}
}

func openStore(ctx context.Context, cfg *Config, logger *slog.Logger, reg prometheus.Registerer, progress func(store.Progress)) (*store.Store, error) {
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	return store.Open(ctx, store.Config{
		Dir: cfg.Data, Indexer: dicomweb.Index, SegmentBytes: cfg.Store.SegmentBytes, BodyBytes: cfg.Store.BodyBytes,
		CacheBytes:   cfg.Store.CacheBytes,
		OverlayBytes: cfg.Store.OverlayBytes, MinFreeBytes: cfg.Store.MinFreeBytes, UploadExpiry: cfg.Store.UploadExpiry,
		Logger: logger, Registerer: reg,
		Progress: progress,
	})
}

// makeArchives makes the dicom buckets that the configuration names, and brings their settings up to date. The archive
// that /dicomweb itself stands for keeps the settings it has, if it is not among those named.
func makeArchives(ctx context.Context, cfg *Config, st *store.Store, owner string) error {
	origin := store.Origin{Owner: owner, Principal: owner, Door: "configuration"}
	named := slices.ContainsFunc(cfg.Archives, func(a Archive) bool { return a.Name == cfg.Archive })
	if !named {
		b, err := st.CreateBucket(ctx, cfg.Archive, store.BucketSettings{DICOM: true}, origin)
		if errors.Is(err, store.ErrBucketExists) && !b.Settings.DICOM {
			return usageError{fmt.Errorf("configuration: archive: the bucket %s exists and is no archive", cfg.Archive)}
		}
		if err != nil && !errors.Is(err, store.ErrBucketExists) {
			return fmt.Errorf("make archive %s: %w", cfg.Archive, err)
		}
	}
	for _, a := range cfg.Archives {
		settings := store.BucketSettings{DICOM: true, Strict: a.Strict, Duplicates: a.Duplicates}
		b, err := st.CreateBucket(ctx, a.Name, settings, origin)
		if errors.Is(err, store.ErrBucketExists) {
			err = nil
			if !b.Settings.DICOM {
				return usageError{fmt.Errorf("configuration: archives: the bucket %s exists and is no archive", a.Name)}
			}
			if b.Settings != settings {
				_, err = st.UpdateBucket(ctx, a.Name, settings, origin)
			}
		}
		if err != nil {
			return fmt.Errorf("make archive %s: %w", a.Name, err)
		}
	}
	return nil
}

// archivesPause is how long a full disk is left alone before the archives are tried again.
const archivesPause = 2 * time.Second

// makeArchivesLater makes the archives that a full disk had no room for, as soon as there is some.
func (s *server) makeArchivesLater(ctx context.Context) error {
	for s.noArchives {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(archivesPause):
		}
		err := makeArchives(ctx, s.cfg, s.store, s.root.ID)
		s.noArchives = errors.Is(err, store.ErrFull)
		if err != nil && !s.noArchives && ctx.Err() == nil {
			s.logger.Error("archives of the configuration are not made", "error", err)
		}
	}
	return nil
}

// listeners are bound before anything else happens, so that a wrong or busy address is told at once and costs nothing.
type listeners struct{ s3, web net.Listener }

func bind(cfg *Config) (l listeners, err error) {
	if l.s3, err = net.Listen("tcp", cfg.S3.Listen); err != nil {
		return l, fmt.Errorf("s3.listen: %w", err)
	}
	if l.web, err = net.Listen("tcp", cfg.Web.Listen); err != nil {
		return l, errors.Join(fmt.Errorf("web.listen: %w", err), l.s3.Close())
	}
	return l, nil
}

// close may come after the servers have closed the listeners.
func (l listeners) close() {
	_ = l.s3.Close()
	_ = l.web.Close()
}

func (s *server) s3Server() (*httpx.Server, error) {
	gw, err := s3.New(s3.Config{
		Objects: s.store, Keyring: s.ring, Logger: s.logger, Domains: s.cfg.S3.Domains, Region: s.cfg.S3.Region, ETags: s.cfg.S3.ETags, NoAuth: s.cfg.NoAuth,
	})
	if err != nil {
		return nil, err
	}
	return httpx.New(httpx.Config{
		Name: "s3", Logger: s.logger, Registerer: s.reg, Handler: s.ourNames(gw.Handle), ErrorWriter: gw.WriteError, RouteLabel: gw.RouteLabel,
		TLS: s.tls,
	})
}

// openDoor begins to serve the web listener, before the store is open.
func (s *server) openDoor(l net.Listener) (*door, error) {
	proxies, err := s.cfg.proxies()
	if err != nil {
		return nil, err
	}
	d := &door{served: make(chan error, 1)}
	d.server, err = httpx.New(httpx.Config{
		Name: "web", Logger: s.logger, Registerer: s.reg, Handler: s.ourNames(d.handle), ErrorWriter: d.writeError, RouteLabel: d.label,
		TLS: s.tls, TrustedProxies: proxies,
	})
	if err != nil {
		return nil, err
	}
	go func() { d.served <- d.server.Serve(l) }()
	return d, nil
}

// letIn has the web listener serve everything: the store is open.
func (s *server) letIn(d *door) error {
	gw, err := dicomweb.New(dicomweb.Config{
		Objects: s.store, Keyring: s.ring, NoAuth: s.cfg.NoAuth, DefaultArchive: s.cfg.Archive, PublicURL: s.cfg.PublicURL,
		CORSOrigins: s.cfg.Web.CORSOrigins, Logger: s.logger,
	})
	if err != nil {
		return err
	}
	con, err := console.New(console.Config{Source: s.store, Keyring: s.ring, NoAuth: s.cfg.NoAuth, Version: version()})
	if err != nil {
		return err
	}
	d.web.Store(&web{dicomweb: gw, console: con, metrics: s.reg, store: s.store})
	return nil
}

// ourNames keeps a server without authentication from web pages whose host name was made to lead to this machine (DNS rebinding): else
// every page that a browser here opens could read everything.
func (s *server) ourNames(next func(*httpx.Ctx) error) func(*httpx.Ctx) error {
	if !s.cfg.NoAuth {
		return next
	}
	names := append([]string{"localhost"}, s.cfg.S3.Domains...)
	if u, err := url.Parse(s.cfg.PublicURL); err == nil && u.Host != "" {
		names = append(names, u.Hostname())
	}
	return func(c *httpx.Ctx) error {
		u := url.URL{Host: c.Host()}
		host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".") // of the root
		ours := func(name string) bool {
			name = strings.ToLower(name)
			return host == name || strings.HasSuffix(host, "."+name)
		}
		if host == "" || loopback(net.JoinHostPort(host, "0")) || slices.ContainsFunc(names, ours) {
			return next(c)
		}
		return &httpx.Error{Status: http.StatusForbidden, Code: "AccessDenied", Message: "without authentication only this machine, public_url and s3.domains are served by name"}
	}
}

// announce prints where to find what, for people and scripts: one "name: URL" line each.
func (s *server) announce(w io.Writer, s3Addr, webAddr net.Addr) {
	scheme := "http"
	if s.tls != nil {
		scheme = "https"
	}
	s3URL, webURL := scheme+"://"+s3Addr.String(), scheme+"://"+webAddr.String()
	var b strings.Builder
	fmt.Fprintf(&b, "s3: %s\ndicomweb: %s/dicomweb\nconsole: %s/\nmetrics: %s/metrics\n", s3URL, webURL, webURL, webURL)
	login := "-u KEY_ID:SECRET "
	switch {
	case s.cfg.NoAuth:
		login = ""
		fmt.Fprintln(&b, "no authentication: everyone on this machine may do everything")
	case s.isNew:
		login = "-u " + s.root.ID + ":" + s.root.Secret + " "
		fmt.Fprintf(&b, "root key id: %s\nroot secret: %s\n(shown once; kept in %s)\n", s.root.ID, s.root.Secret, s.cfg.rootKeyFile())
	case os.Getenv("GANTRY_ROOT_KEY_ID") != "":
		fmt.Fprintf(&b, "root key id: %s (from the environment)\n", s.root.ID)
	default:
		fmt.Fprintf(&b, "root key: see %s\n", s.cfg.rootKeyFile())
	}
	fmt.Fprintf(&b, "\nSend a first image:\n  curl %s-H 'Content-Type: application/dicom' --data-binary @image.dcm %s/dicomweb/studies\n", login, webURL)
	fmt.Fprintf(&b, "Find it again:\n  curl %s%s/dicomweb/studies\n\nready\n", login, webURL)
	_, _ = io.WriteString(w, b.String())
}

// profile serves Go's profiles, if asked to.
func (s *server) profile(ctx context.Context) error {
	if s.cfg.Pprof == "" {
		return nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	srv := &http.Server{Addr: s.cfg.Pprof, Handler: mux, ReadHeaderTimeout: time.Second}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("pprof: %w", err)
	}
	return nil
}
