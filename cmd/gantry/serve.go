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
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"gantry/dicomweb"
	"gantry/internal/auth"
	"gantry/internal/httpx"
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

The first start makes a root key, keeps it in the file root-key of the data directory (mode 0600), and prints it once.

Exit codes: 0 stopped as told; 1 error; 2 wrong flag or configuration; 4 the data directory is in use.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.load()
			if err != nil {
				return err
			}
			if c.NoAuth = c.NoAuth || noAuth; c.NoAuth {
				if err := c.validate(); err != nil {
					return usageError{err}
				}
			}
			return serve(cmd.Context(), &c, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	s.addFlags(cmd, "s3-listen", "web-listen", "tls-cert", "tls-key", "public-url", "pprof")
	cmd.Flags().BoolVar(&noAuth, "no-auth", false, "serve everything to everyone; loopback only")
	return cmd
}

// server is a running gantry.
type server struct {
	cfg    *Config
	logger *slog.Logger
	store  *store.Store
	root   auth.Credential
	isNew  bool // the root key was made just now
	ring   *auth.Keyring
	reg    *prometheus.Registry
	tls    *tls.Config
}

func serve(ctx context.Context, cfg *Config, stdout, stderr io.Writer) error {
	logger, err := newLogger(cfg, stderr)
	if err != nil {
		return err
	}
	srv := &server{cfg: cfg, logger: logger, reg: prometheus.NewRegistry()}
	srv.reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if srv.tls, err = loadTLS(cfg); err != nil {
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
	if err := srv.makeArchives(ctx); err != nil {
		return err
	}
	return srv.listen(ctx, stdout)
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

func openStore(ctx context.Context, cfg *Config, logger *slog.Logger, reg prometheus.Registerer, progress func(store.Progress)) (*store.Store, error) {
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	return store.Open(ctx, store.Config{
		Dir: cfg.Data, Indexer: dicomweb.Index, SegmentBytes: cfg.Store.SegmentBytes, BodyBytes: cfg.Store.BodyBytes,
		MinFreeBytes: cfg.Store.MinFreeBytes, UploadExpiry: cfg.Store.UploadExpiry, Logger: logger, Registerer: reg,
		Progress: progress,
	})
}

// makeArchives makes the dicom buckets that the configuration names, and brings their settings up to date.
func (s *server) makeArchives(ctx context.Context) error {
	archives := s.cfg.Buckets
	named := false
	for _, a := range archives {
		named = named || a.Name == s.cfg.Archive
	}
	origin := store.Origin{Owner: s.root.ID, Principal: s.root.ID, Door: "configuration"}
	if !named {
		_, err := s.store.CreateBucket(ctx, s.cfg.Archive, store.BucketSettings{DICOM: true}, origin)
		if err != nil && !errors.Is(err, store.ErrBucketExists) {
			return fmt.Errorf("make archive %s: %w", s.cfg.Archive, err)
		}
	}
	for _, a := range archives {
		st := store.BucketSettings{DICOM: true, Strict: a.Strict, Duplicates: a.Duplicates}
		b, err := s.store.CreateBucket(ctx, a.Name, st, origin)
		if errors.Is(err, store.ErrBucketExists) && b.Settings != st {
			_, err = s.store.UpdateBucket(ctx, a.Name, st, origin)
		}
		if err != nil && !errors.Is(err, store.ErrBucketExists) {
			return fmt.Errorf("make archive %s: %w", a.Name, err)
		}
	}
	return nil
}

// listen serves both listeners until ctx ends.
func (s *server) listen(ctx context.Context, stdout io.Writer) error {
	s3Server, err := s.s3Server()
	if err != nil {
		return err
	}
	webServer, err := s.webServer()
	if err != nil {
		return err
	}
	s3Listener, err := net.Listen("tcp", s.cfg.S3.Listen)
	if err != nil {
		return fmt.Errorf("s3.listen: %w", err)
	}
	webListener, err := net.Listen("tcp", s.cfg.Web.Listen)
	if err != nil {
		return errors.Join(fmt.Errorf("web.listen: %w", err), s3Listener.Close())
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s3Server.Serve(s3Listener) })
	g.Go(func() error { return webServer.Serve(webListener) })
	g.Go(func() error { return s.profile(ctx) })
	g.Go(func() error {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
		defer cancel()
		return errors.Join(s3Server.Shutdown(grace), webServer.Shutdown(grace))
	})
	s.announce(stdout, s3Listener.Addr(), webListener.Addr())
	return g.Wait()
}

func (s *server) s3Server() (*httpx.Server, error) {
	gw, err := s3.New(s3.Config{
		Objects: s.store, Keyring: s.ring, Logger: s.logger, Domains: s.cfg.S3.Domains, Region: s.cfg.S3.Region, NoAuth: s.cfg.NoAuth,
	})
	if err != nil {
		return nil, err
	}
	return httpx.New(httpx.Config{
		Name: "s3", Logger: s.logger, Registerer: s.reg, Handler: gw.Handle, ErrorWriter: gw.WriteError, RouteLabel: gw.RouteLabel,
		TLS: s.tls,
	})
}

func (s *server) webServer() (*httpx.Server, error) {
	gw, err := dicomweb.New(dicomweb.Config{
		Objects: s.store, Keyring: s.ring, NoAuth: s.cfg.NoAuth, DefaultArchive: s.cfg.Archive, PublicURL: s.cfg.PublicURL,
		CORSOrigins: s.cfg.Web.CORSOrigins, Logger: s.logger,
	})
	if err != nil {
		return nil, err
	}
	proxies, err := s.cfg.proxies()
	if err != nil {
		return nil, err
	}
	web := &web{dicomweb: gw, metrics: s.reg, store: s.store}
	return httpx.New(httpx.Config{
		Name: "web", Logger: s.logger, Registerer: s.reg, Handler: web.handle, ErrorWriter: gw.WriteError, RouteLabel: web.label,
		TLS: s.tls, TrustedProxies: proxies,
	})
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
	key, secret := "KEY_ID", "SECRET"
	switch {
	case s.cfg.NoAuth:
		fmt.Fprintln(&b, "no authentication: everyone on this machine may do everything")
	case s.isNew:
		key, secret = s.root.ID, s.root.Secret
		fmt.Fprintf(&b, "root key id: %s\nroot secret: %s\n(shown once; kept in %s/root-key)\n", key, secret, s.cfg.Data)
	default:
		fmt.Fprintf(&b, "root key: see %s/root-key\n", s.cfg.Data)
	}
	fmt.Fprintf(&b, "\nSend a first image:\n  curl -u %s:%s -H 'Content-Type: application/dicom' --data-binary @image.dcm %s/dicomweb/studies\n", key, secret, webURL)
	fmt.Fprintf(&b, "Find it again:\n  curl -u %s:%s %s/dicomweb/studies\n\nready\n", key, secret, webURL)
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
