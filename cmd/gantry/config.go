package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"gantry/internal/auth"
	"gantry/store"
)

// Config is what gantry can be told, in the order of gantry.example.yaml. Sizes are in bytes.
type Config struct {
	Data      string `yaml:"data"`
	PublicURL string `yaml:"public_url"`
	S3        struct {
		Listen  string   `yaml:"listen"`
		Domains []string `yaml:"domains"`
		Region  string   `yaml:"region"`
	} `yaml:"s3"`
	Web struct {
		Listen         string   `yaml:"listen"`
		CORSOrigins    []string `yaml:"cors_origins"`
		TrustedProxies []string `yaml:"trusted_proxies"`
	} `yaml:"web"`
	TLS struct {
		Cert string `yaml:"cert"`
		Key  string `yaml:"key"`
	} `yaml:"tls"`
	NoAuth  bool      `yaml:"no_auth"`
	Keys    []Key     `yaml:"keys"`
	Archive string    `yaml:"archive"`
	Buckets []Archive `yaml:"archives"`
	Store   struct {
		SegmentBytes int64         `yaml:"segment_bytes"`
		BodyBytes    int64         `yaml:"body_bytes"`
		MinFreeBytes int64         `yaml:"min_free_bytes"`
		UploadExpiry time.Duration `yaml:"upload_expiry"`
	} `yaml:"store"`
	Log struct {
		Level  string `yaml:"level"`
		Format string `yaml:"format"`
	} `yaml:"log"`
	Pprof string `yaml:"pprof"`
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

func defaultConfig() Config {
	var c Config
	c.Data = "data"
	c.S3.Listen = "127.0.0.1:9000"
	c.S3.Region = "us-east-1"
	c.Web.Listen = "127.0.0.1:8080"
	c.Archive = "dicom"
	c.Log.Level, c.Log.Format = "info", "text"
	return c
}

// env names the environment variables that override the file, and what they set.
func (c *Config) env() map[string]*string {
	return map[string]*string{
		"GANTRY_DATA": &c.Data, "GANTRY_PUBLIC_URL": &c.PublicURL, "GANTRY_S3_LISTEN": &c.S3.Listen,
		"GANTRY_WEB_LISTEN": &c.Web.Listen, "GANTRY_TLS_CERT": &c.TLS.Cert, "GANTRY_TLS_KEY": &c.TLS.Key,
		"GANTRY_ARCHIVE": &c.Archive, "GANTRY_LOG_LEVEL": &c.Log.Level, "GANTRY_LOG_FORMAT": &c.Log.Format,
		"GANTRY_PPROF": &c.Pprof,
	}
}

// parseConfig reads YAML over the defaults. An unknown setting is an error.
func parseConfig(b []byte) (Config, error) {
	c := defaultConfig()
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return c, usageError{fmt.Errorf("configuration: %w", err)}
	}
	return c, nil
}

// settings are the flags that every command with a data directory has. Flags win over the environment, the environment
// over the file, the file over the defaults.
type settings struct {
	file  string
	flags map[string]func(*Config)
}

func (s *settings) addFlags(cmd *cobra.Command, names ...string) {
	f := cmd.Flags()
	f.StringVar(&s.file, "config", "", "configuration file (YAML); GANTRY_CONFIG names one too")
	s.flags = map[string]func(*Config){}
	texts := map[string]struct {
		help string
		set  func(*Config) *string
	}{
		"data":       {"data directory", func(c *Config) *string { return &c.Data }},
		"s3-listen":  {"address of the S3 API", func(c *Config) *string { return &c.S3.Listen }},
		"web-listen": {"address of DICOMweb, console, metrics and health", func(c *Config) *string { return &c.Web.Listen }},
		"tls-cert":   {"certificate chain (PEM) for both listeners", func(c *Config) *string { return &c.TLS.Cert }},
		"tls-key":    {"private key (PEM) for both listeners", func(c *Config) *string { return &c.TLS.Key }},
		"public-url": {"URL under which clients reach the web listener", func(c *Config) *string { return &c.PublicURL }},
		"log-level":  {"debug, info, warn or error", func(c *Config) *string { return &c.Log.Level }},
		"pprof":      {"loopback address for Go's profiles (off by default)", func(c *Config) *string { return &c.Pprof }},
	}
	for _, name := range append(names, "data", "log-level") {
		t := texts[name]
		v := f.String(name, "", t.help)
		s.flags[name] = func(c *Config) {
			if f.Changed(name) {
				*t.set(c) = *v
			}
		}
	}
}

// load gives the configuration in force.
func (s *settings) load() (Config, error) {
	if s.file == "" {
		s.file = os.Getenv("GANTRY_CONFIG")
	}
	var text []byte
	if s.file != "" {
		var err error
		if text, err = os.ReadFile(s.file); err != nil {
			return Config{}, usageError{fmt.Errorf("read configuration: %w", err)}
		}
	}
	c, err := parseConfig(text)
	if err != nil {
		return c, err
	}
	for name, v := range c.env() {
		if val, ok := os.LookupEnv(name); ok {
			*v = val
		}
	}
	for _, set := range s.flags {
		set(&c)
	}
	if err := c.validate(); err != nil {
		return c, usageError{fmt.Errorf("configuration: %w", err)}
	}
	return c, nil
}

// validate names the setting that is wrong.
func (c *Config) validate() error {
	switch {
	case c.Data == "":
		return errors.New("data is empty")
	case (c.TLS.Cert == "") != (c.TLS.Key == ""):
		return errors.New("tls.cert and tls.key go together")
	case c.Log.Format != "text" && c.Log.Format != "json":
		return errors.New("log.format is neither text nor json")
	case c.Store.BodyBytes != 0 && c.Store.BodyBytes < store.MaxRecord:
		return fmt.Errorf("store.body_bytes is below %d", int64(store.MaxRecord))
	case c.Store.SegmentBytes < 0 || c.Store.MinFreeBytes < 0 || c.Store.UploadExpiry < 0:
		return errors.New("store: a size or time is negative")
	case c.NoAuth && (!loopback(c.S3.Listen) || !loopback(c.Web.Listen)):
		return errors.New("no_auth serves everything to everyone: it is allowed on loopback addresses only")
	case c.Pprof != "" && !loopback(c.Pprof):
		return errors.New("pprof is allowed on a loopback address only")
	}
	if err := store.CheckBucketName(c.Archive); err != nil {
		return fmt.Errorf("archive %q: %w", c.Archive, err)
	}
	for _, a := range c.Buckets {
		if err := store.CheckBucketName(a.Name); err != nil {
			return fmt.Errorf("archives: %q: %w", a.Name, err)
		}
		switch a.Duplicates {
		case "", store.Refuse, store.Replace, store.Keep:
		default:
			return fmt.Errorf("archives: %s: duplicates is not refuse, replace or keep", a.Name)
		}
	}
	_, err := c.proxies()
	return err
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

// credentials gives the keys: the root key, from the environment or its file in the data directory, which is made at the
// first start, and those of the configuration.
func (c *Config) credentials() (ring *auth.Keyring, root auth.Credential, created bool, err error) {
	if id := os.Getenv("GANTRY_ROOT_KEY_ID"); id != "" {
		root = auth.Credential{ID: id, Secret: os.Getenv("GANTRY_ROOT_SECRET"), Permissions: auth.All}
	} else if root, created, err = auth.LoadOrCreateRoot(filepath.Join(c.Data, "root-key")); err != nil {
		return nil, root, false, fmt.Errorf("root key: %w", err)
	}
	creds := []auth.Credential{root}
	for _, k := range c.Keys {
		cred, err := k.credential()
		if err != nil {
			return nil, root, false, usageError{fmt.Errorf("configuration: key %s: %w", k.ID, err)}
		}
		creds = append(creds, cred)
	}
	if ring, err = auth.NewKeyring(creds...); err != nil {
		return nil, root, false, usageError{fmt.Errorf("configuration: keys: %w", err)}
	}
	return ring, root, created, nil
}

func (k *Key) credential() (auth.Credential, error) {
	perm, err := auth.ParsePermissions(k.Permissions...)
	if err != nil {
		return auth.Credential{}, err
	}
	secret, err := os.ReadFile(k.SecretFile)
	if err != nil {
		return auth.Credential{}, err
	}
	return auth.Credential{ID: k.ID, Secret: strings.TrimSpace(string(secret)), Permissions: perm, Buckets: k.Buckets}, nil
}
