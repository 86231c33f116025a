package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gantry/internal/auth"
)

// dialTimeout bounds the time to reach a server.
const dialTimeout = 10 * time.Second

// remoteFlags say how a command reaches a running gantry.
type remoteFlags struct {
	url, keyFile, caFile string
}

func (r *remoteFlags) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.url, "url", os.Getenv("GANTRY_URL"), "web listener of a running gantry (environment: GANTRY_URL)")
	f.StringVar(&r.keyFile, "key-file", os.Getenv("GANTRY_KEY_FILE"),
		"file with the key: a root-key file, or ID:SECRET (environment: GANTRY_KEY_FILE; or GANTRY_KEY_ID and GANTRY_SECRET; default: the data directory's root key)")
	f.StringVar(&r.caFile, "ca-file", "", "certificates (PEM) to trust beside the system's")
}

// keyHelp is the same for every command that talks to a running gantry.
const keyHelp = `The key is taken from --key-file, from GANTRY_KEY_ID and GANTRY_SECRET, or from the data directory's root key. Secrets are never taken
from the command line.`

// remote is a running gantry.
type remote struct {
	base   *url.URL
	cred   auth.Credential // empty: none is sent
	client *http.Client
	roots  *x509.CertPool // nil: the system's
}

// connect prepares requests to the gantry that the flags name, or else to the one that the configuration describes.
func (r *remoteFlags) connect(c *Config) (*remote, error) {
	var err error
	rm := &remote{}
	target := r.url
	if target == "" {
		target = c.ownURL()
	}
	if rm.base, err = parseBase(target); err != nil {
		return nil, usageError{errors.New("--url is not an absolute http or https URL")}
	}
	if rm.cred, err = r.credential(c); err != nil {
		return nil, err
	}
	if rm.roots, err = r.trusted(c); err != nil {
		return nil, err
	}
	transport := newTransport(rm.roots)
	if r.url == "" && c.TLS.Cert != "" {
		transport.TLSClientConfig.ServerName = certifiedName(c.TLS.Cert, rm.base.Hostname())
	}
	rm.client = &http.Client{Transport: transport}
	return rm, nil
}

func parseBase(target string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(target, "/"))
	if err != nil {
		return nil, err
	}
	if u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("not an absolute http or https URL")
	}
	return u, nil
}

func newTransport(roots *x509.CertPool) *http.Transport {
	return &http.Transport{
		DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSClientConfig:       &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		MaxIdleConnsPerHost:   maxJobs,
		ResponseHeaderTimeout: 2 * time.Minute,
		DisableCompression:    true,
	}
}

// ownURL is where the web listener of a gantry with this configuration can be reached from its own machine.
func (c *Config) ownURL() string { return c.listenURL(c.Web.Listen) }

func (c *Config) listenURL(addr string) string {
	scheme := "http"
	if c.TLS.Cert != "" {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return scheme + "://" + addr
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// trusted adds the file of the flag, or the server's own certificate when it is the server of this configuration.
func (r *remoteFlags) trusted(c *Config) (*x509.CertPool, error) {
	file := r.caFile
	if file == "" && r.url == "" {
		file = c.TLS.Cert
	}
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, usageError{err}
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, usageError{fmt.Errorf("%s holds no certificate", file)}
	}
	return pool, nil
}

// certifiedName is a name that the server's own certificate is for: the address that is dialled rarely is one. It is empty if host is,
// or if there is none to be found, which the handshake will tell.
func certifiedName(certFile, host string) string {
	text, err := os.ReadFile(certFile)
	if err != nil {
		return ""
	}
	block, rest := pem.Decode(text)
	for block != nil && block.Type != "CERTIFICATE" { // the key may stand before it
		block, rest = pem.Decode(rest)
	}
	if block == nil {
		return ""
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	switch {
	case err != nil || leaf.VerifyHostname(host) == nil:
		return ""
	case len(leaf.DNSNames) > 0:
		return strings.Replace(leaf.DNSNames[0], "*", "gantry", 1)
	case len(leaf.IPAddresses) > 0:
		return leaf.IPAddresses[0].String()
	}
	return ""
}

// credential finds the key. Having none is no error: the server says whether it wants one.
func (r *remoteFlags) credential(c *Config) (auth.Credential, error) {
	if r.keyFile != "" {
		cred, err := readKeyFile(r.keyFile)
		if err != nil {
			return cred, usageError{fmt.Errorf("--key-file: %w", err)}
		}
		return cred, nil
	}
	if id := os.Getenv("GANTRY_KEY_ID"); id != "" {
		return auth.Credential{ID: id, Secret: os.Getenv("GANTRY_SECRET")}, nil
	}
	if c.NoAuth {
		return auth.Credential{}, nil
	}
	if r.url != "" && !isOurs(r.url, c) {
		return auth.Credential{}, nil // our root key is no business of another server's
	}
	if cred, given, err := rootFromEnv(); given {
		return cred, err
	}
	cred, err := readKeyFile(c.rootKeyFile())
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return auth.Credential{}, nil
	}
	return cred, err
}

// isOurs tells whether a URL is that of the gantry of this configuration, or on this machine at least.
func isOurs(target string, c *Config) bool {
	u, err := url.Parse(target)
	if err != nil {
		return false
	}
	own, err := url.Parse(c.ownURL())
	return err == nil && own.Host == u.Host || loopback(net.JoinHostPort(u.Hostname(), "0"))
}

// readKeyFile reads a root-key file (JSON), or a line ID:SECRET.
func readKeyFile(path string) (auth.Credential, error) {
	text, err := readSecret(path)
	if err != nil {
		return auth.Credential{}, err
	}
	var key struct{ ID, Secret string }
	if json.Unmarshal([]byte(text), &key) != nil {
		key.ID, key.Secret, _ = strings.Cut(text, ":")
	}
	if key.ID == "" || key.Secret == "" {
		return auth.Credential{}, fmt.Errorf("%s holds no key", path)
	}
	return auth.Credential{ID: key.ID, Secret: key.Secret}, nil
}

// request prepares a request for a path below the base.
func (r *remote) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, r.base.String()+path, body)
	if err != nil {
		return nil, err
	}
	if r.cred.ID != "" {
		req.SetBasicAuth(r.cred.ID, r.cred.Secret)
	}
	req.Header.Set("User-Agent", "gantry/"+release)
	return req, nil
}

// statusError is an answer that is not the one hoped for. It ends the command.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string {
	switch e.status {
	case http.StatusUnauthorized:
		return "the server wants another key (401): see --key-file"
	case http.StatusForbidden:
		return "the key does not allow that (403)"
	}
	s := fmt.Sprintf("the server answered %d %s", e.status, http.StatusText(e.status))
	if e.text != "" {
		s += ": " + e.text
	}
	return s
}

// maxErrorText bounds what is read of an answer that is an error.
const maxErrorText = 64 << 10

func errorOf(resp *http.Response) error {
	b, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorText))
	var own struct{ Error string }
	_ = json.Unmarshal(b, &own)
	return &statusError{resp.StatusCode, own.Error}
}

var errStarting = errors.New("gantry is starting: try again soon")

// getJSON fetches a small JSON document.
func (r *remote) getJSON(ctx context.Context, path string, limit int64, into any) error {
	req, err := r.request(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/dicom+json, application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNoContent {
		return nil
	}
	if resp.Header.Get(stateHeader) == stateStarting {
		return errStarting
	}
	if resp.StatusCode != http.StatusOK {
		return errorOf(resp)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return err
	}
	if int64(len(b)) > limit {
		return fmt.Errorf("the answer is longer than %d bytes", limit)
	}
	return json.Unmarshal(b, into)
}
