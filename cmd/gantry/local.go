package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/prometheus/client_golang/prometheus"

	"gantry/internal/auth"
)

// localServer is a gantry that serves one command, on loopback, with a key that nobody else knows. So a command that
// reads a data directory at rest does what it would do with a server, and there is one way only.
type localServer struct {
	web, s3 *remote
	stop    context.CancelFunc
	done    chan error
	server  *server
}

func startLocal(ctx context.Context, c *Config) (*localServer, error) {
	cfg := *c
	cfg.S3.Listen, cfg.Web.Listen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.TLS, cfg.NoAuth, cfg.PublicURL, cfg.Pprof = TLSConfig{}, false, "", ""
	key := auth.Generate(auth.Read)
	ring, err := auth.NewKeyring(key)
	if err != nil {
		return nil, err
	}
	srv := &server{cfg: &cfg, logger: slog.New(slog.DiscardHandler), reg: prometheus.NewRegistry(), ring: ring, root: key}
	l, err := bind(&cfg)
	if err != nil {
		return nil, err
	}
	if srv.store, err = openStore(ctx, &cfg, srv.logger, nil, nil); err != nil {
		l.close()
		return nil, err
	}
	d, err := srv.openDoor(l.web)
	if err == nil {
		err = srv.letIn(d) // before anybody asks
	}
	if err != nil {
		l.close()
		return nil, errors.Join(err, srv.store.Close())
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	ls := &localServer{stop: stop, done: make(chan error, 1), server: srv}
	go func() { ls.done <- srv.run(running, l, d, io.Discard) }()
	at := func(addr string) *remote {
		return &remote{base: &url.URL{Scheme: "http", Host: addr}, cred: key, client: &http.Client{Transport: newTransport(nil)}}
	}
	ls.web, ls.s3 = at(l.web.Addr().String()), at(l.s3.Addr().String())
	return ls, nil
}

// close stops the server and closes the store. What is still under way is cut off.
func (l *localServer) close() error {
	l.web.client.CloseIdleConnections()
	l.s3.client.CloseIdleConnections()
	l.stop()
	return errors.Join(<-l.done, l.server.store.Close())
}
