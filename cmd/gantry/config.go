package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"gantry/internal/auth"
	"gantry/s3"
	"gantry/store"
)

// Config is what gantry can be told, in the order of gantry.example.yaml, which explains every setting.
type Config struct {
	Data      string        `yaml:"data"`
	PublicURL string        `yaml:"public_url"`
	S3        S3Config      `yaml:"s3"`
	Web       WebConfig     `yaml:"web"`
	TLS       TLSConfig     `yaml:"tls"`
	NoAuth    bool          `yaml:"no_auth"`
	Keys      []Key         `yaml:"keys"`
	Archive   string        `yaml:"archive"`
	Archives  []Archive     `yaml:"archives"`
	Store     StoreSettings `yaml:"store"`
	Log       LogConfig     `yaml:"log"`
	Pprof     string        `yaml:"pprof"`
}

// S3Config is the listener of the S3 API.
type S3Config struct {
	Listen  string   `yaml:"listen"`
	Domains []string `yaml:"domains"`
	Region  string   `yaml:"region"`
	ETags   s3.ETags `yaml:"etags"`
}

// WebConfig is the listener of DICOMweb, console, metrics and health.
type WebConfig struct {
	Listen         string   `yaml:"listen"`
	CORSOrigins    []string `yaml:"cors_origins"`
	TrustedProxies []string `yaml:"trusted_proxies"`
}

// TLSConfig names PEM files; both or none.
type TLSConfig struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

// Key is a credential besides the root key.
type Key struct {
	ID          string   `yaml:"id"`
	SecretFile  string   `yaml:"secret_file"`
	Permissions []string `yaml:"permissions"`
	Buckets     []string `yaml:"buckets"`
}

// Archive is a dicom bucket that is made at start, or brought to these settings.
type Archive struct {
	Name       string           `yaml:"name"`
	Strict     bool             `yaml:"strict"`
	Duplicates store.Duplicates `yaml:"duplicates"`
}

// StoreSettings are sizes in bytes, and a time.
type StoreSettings struct {
	SegmentBytes int64         `yaml:"segment_bytes"`
	BodyBytes    int64         `yaml:"body_bytes"`
	CacheBytes   int64         `yaml:"cache_bytes"`
	OverlayBytes int64         `yaml:"overlay_bytes"`
	MinFreeBytes int64         `yaml:"min_free_bytes"`
	UploadExpiry time.Duration `yaml:"upload_expiry"`
}

// LogConfig is what is logged to stderr, and how.
type LogConfig struct {
	Level  string `yaml:"level"`
	Format string `yaml:"format"`
}

func defaultConfig() Config {
	return Config{
		Data:    "data",
		S3:      S3Config{Listen: "127.0.0.1:9000", Region: "us-east-1", ETags: s3.MD5},
		Web:     WebConfig{Listen: "127.0.0.1:8080"},
		Archive: "dicom",
		Store: StoreSettings{
			SegmentBytes: 512 << 20, BodyBytes: 128 << 20, CacheBytes: 128 << 20, OverlayBytes: 64 << 20, UploadExpiry: 7 * 24 * time.Hour,
		},
		Log: LogConfig{Level: "info", Format: "text"},
	}
}

// parseConfig reads YAML over the defaults. An unknown setting, or a second document, is an error.
func parseConfig(b []byte) (Config, error) {
	c := defaultConfig()
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	err := d.Decode(&c)
	if errors.Is(err, io.EOF) {
		return c, nil
	}
	if err == nil && !errors.Is(d.Decode(new(yaml.Node)), io.EOF) {
		err = errors.New("more than one YAML document")
	}
	if err != nil {
		return c, usageError{plainYAML(b, err)}
	}
	return c, nil
}

// Smallest sizes that make sense.
const (
	minSegment = 1 << 20
	minOverlay = 1 << 20
)

// validate names the setting that is wrong.
func (c *Config) validate() error {
	switch {
	case c.Data == "":
		return errors.New("data is empty")
	case !hasPort(c.S3.Listen):
		return errors.New("s3.listen is not an address with a port")
	case !hasPort(c.Web.Listen):
		return errors.New("web.listen is not an address with a port")
	case (c.TLS.Cert == "") != (c.TLS.Key == ""):
		return errors.New("tls.cert and tls.key go together")
	case c.Log.Format != "text" && c.Log.Format != "json":
		return errors.New("log.format is neither text nor json")
	case c.S3.ETags != s3.MD5 && c.S3.ETags != s3.Checksums:
		return errors.New("s3.etags is neither md5 nor checksums")
	case c.NoAuth && (!loopback(c.S3.Listen) || !loopback(c.Web.Listen)):
		return errors.New("no_auth serves everything to everyone: it is allowed on loopback addresses only")
	case c.Pprof != "" && !loopback(c.Pprof):
		return errors.New("pprof is allowed on a loopback address only")
	}
	if c.PublicURL != "" {
		u, err := url.Parse(c.PublicURL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return errors.New("public_url is not an absolute http or https URL of host and path alone")
		}
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Log.Level)); err != nil {
		return errors.New("log.level is not debug, info, warn or error")
	}
	if err := c.Store.validate(); err != nil {
		return err
	}
	for _, check := range []func() error{c.validateArchives, c.validateNames} {
		if err := check(); err != nil {
			return err
		}
	}
	_, err := c.proxies()
	return err
}

// validateNames finds what would be accepted and never fit anything.
func (c *Config) validateNames() error {
	for _, d := range c.S3.Domains {
		if strings.Trim(d, ".") == "" || strings.ContainsAny(d, "/:* ") {
			return fmt.Errorf("s3.domains: %q is not a host name such as s3.example.org", d)
		}
	}
	for _, o := range c.Web.CORSOrigins {
		u, err := url.Parse(o)
		if o != "*" && o != "null" && (err != nil || u.Scheme == "" || u.Host == "" || o != strings.ToLower(u.Scheme+"://"+u.Host)) {
			return fmt.Errorf("web.cors_origins: %q is not an origin such as https://viewer.example.org, in lower case and without a path", o)
		}
	}
	for _, k := range c.Keys {
		for _, b := range k.Buckets {
			if prefix, ok := strings.CutSuffix(b, "*"); !ok && store.CheckBucketName(b) != nil || strings.Trim(prefix, bucketLetters) != "" {
				return fmt.Errorf("keys: %s: buckets: %q is neither a bucket's name nor the beginning of one with a final *", k.ID, b)
			}
		}
	}
	return nil
}

// bucketLetters are what names of buckets are made of, and bucketRule says it to people.
const (
	bucketLetters = "abcdefghijklmnopqrstuvwxyz0123456789.-"
	bucketRule    = "is not 3 to 63 of a-z, 0-9, - and ., by S3's rules, or is reserved"
)

func (s *StoreSettings) validate() error {
	switch {
	case s.SegmentBytes < minSegment:
		return fmt.Errorf("store.segment_bytes is below %d", minSegment)
	case s.BodyBytes < store.MaxRecord:
		return fmt.Errorf("store.body_bytes is below %d", int64(store.MaxRecord))
	case s.CacheBytes < 0:
		return errors.New("store.cache_bytes is negative")
	case s.OverlayBytes < minOverlay:
		return fmt.Errorf("store.overlay_bytes is below %d", minOverlay)
	case s.MinFreeBytes < 0:
		return errors.New("store.min_free_bytes is negative")
	case s.UploadExpiry <= 0:
		return errors.New("store.upload_expiry is not a time ahead")
	}
	return nil
}

func (c *Config) validateArchives() error {
	if err := store.CheckBucketName(c.Archive); err != nil {
		return fmt.Errorf("archive: %q %s", c.Archive, bucketRule)
	}
	seen := map[string]bool{}
	for _, a := range c.Archives {
		if err := store.CheckBucketName(a.Name); err != nil {
			return fmt.Errorf("archives: %q %s", a.Name, bucketRule)
		}
		if seen[a.Name] {
			return fmt.Errorf("archives: %s stands there twice", a.Name)
		}
		seen[a.Name] = true
		switch a.Duplicates {
		case "", store.Refuse, store.Replace, store.Keep:
		default:
			return fmt.Errorf("archives: %s: duplicates is not refuse, replace or keep", a.Name)
		}
	}
	return nil
}

// hasPort keeps out what net.Listen would take for any port of all addresses.
func hasPort(addr string) bool {
	_, port, err := net.SplitHostPort(addr)
	return err == nil && port != ""
}

func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

func (c *Config) proxies() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, p := range c.Web.TrustedProxies {
		prefix, err := netip.ParsePrefix(p)
		if err != nil {
			addr, aerr := netip.ParseAddr(p)
			if aerr != nil {
				return nil, fmt.Errorf("web.trusted_proxies: %q is no address or network", p)
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		out = append(out, prefix)
	}
	return out, nil
}

// rootKeyFile is where the root key is kept, unless the environment gives one.
func (c *Config) rootKeyFile() string { return filepath.Join(c.Data, "root-key") }

// credentials gives the keys: the root key, from the environment or its file in the data directory, which is made at the
// first start, and those of the configuration.
func (c *Config) credentials() (ring *auth.Keyring, root auth.Credential, created bool, err error) {
	creds, err := c.extraKeys()
	if err != nil {
		return nil, root, false, err
	}
	var given bool
	if root, given, err = rootFromEnv(); err != nil {
		return nil, root, false, err
	}
	if !given {
		if root, created, err = auth.LoadOrCreateRoot(c.rootKeyFile()); err != nil {
			return nil, root, false, fmt.Errorf("root key: %w", err)
		}
	}
	if ring, err = auth.NewKeyring(append(creds, root)...); err != nil {
		return nil, root, created, usageError{fmt.Errorf("configuration: keys: %w", err)}
	}
	return ring, root, created, nil
}

// extraKeys are the keys of the configuration, secrets read from their files.
func (c *Config) extraKeys() ([]auth.Credential, error) {
	var creds []auth.Credential
	for _, k := range c.Keys {
		cred, err := k.credential()
		if err != nil {
			return nil, usageError{fmt.Errorf("configuration: key %s: %w", k.ID, err)}
		}
		creds = append(creds, cred)
	}
	return creds, nil
}

// rootFromEnv takes the root key from the environment: the secret itself, or the file that holds it.
func rootFromEnv() (root auth.Credential, given bool, err error) {
	id := os.Getenv("GANTRY_ROOT_KEY_ID")
	if id == "" {
		return root, false, nil
	}
	secret := os.Getenv("GANTRY_ROOT_SECRET")
	if file := os.Getenv("GANTRY_ROOT_SECRET_FILE"); file != "" {
		if secret, err = readSecret(file); err != nil {
			return root, true, usageError{fmt.Errorf("GANTRY_ROOT_SECRET_FILE: %w", err)}
		}
	}
	if secret == "" {
		return root, true, usageError{errors.New("GANTRY_ROOT_KEY_ID is set, GANTRY_ROOT_SECRET and GANTRY_ROOT_SECRET_FILE are not")}
	}
	return auth.Credential{ID: id, Secret: secret, Permissions: auth.All}, true, nil
}

func (k *Key) credential() (auth.Credential, error) {
	perm, err := auth.ParsePermissions(k.Permissions...)
	if err != nil {
		return auth.Credential{}, err
	}
	if perm == auth.None {
		return auth.Credential{}, errors.New("no permissions are given")
	}
	secret, err := readSecret(k.SecretFile)
	if err != nil {
		return auth.Credential{}, err
	}
	return auth.Credential{ID: k.ID, Secret: secret, Permissions: perm, Buckets: k.Buckets}, nil
}

// maxSecretFile bounds a file that is said to hold a secret.
const maxSecretFile = 4 << 10

func readSecret(path string) (string, error) {
	if path == "" {
		return "", errors.New("no secret_file is given")
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return "", err
	}
	if len(b) > maxSecretFile {
		return "", fmt.Errorf("%s is too large to be a secret", path)
	}
	return strings.TrimSpace(string(b)), nil
}
