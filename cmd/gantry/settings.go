package main

import (
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// envPrefix begins the names of our environment variables.
const envPrefix = "GANTRY_"

// env names the environment variables that override the file, and where they go. Lists are separated by commas. Keys and
// archives stand in the file alone.
func (c *Config) env() map[string]any {
	return map[string]any{
		"DATA": &c.Data, "PUBLIC_URL": &c.PublicURL,
		"S3_LISTEN": &c.S3.Listen, "S3_DOMAINS": &c.S3.Domains, "S3_REGION": &c.S3.Region, "S3_ETAGS": (*string)(&c.S3.ETags),
		"WEB_LISTEN": &c.Web.Listen, "WEB_CORS_ORIGINS": &c.Web.CORSOrigins, "WEB_TRUSTED_PROXIES": &c.Web.TrustedProxies,
		"TLS_CERT": &c.TLS.Cert, "TLS_KEY": &c.TLS.Key,
		"NO_AUTH": &c.NoAuth, "ARCHIVE": &c.Archive,
		"STORE_SEGMENT_BYTES": &c.Store.SegmentBytes, "STORE_BODY_BYTES": &c.Store.BodyBytes, "STORE_CACHE_BYTES": &c.Store.CacheBytes,
		"STORE_OVERLAY_BYTES":  &c.Store.OverlayBytes,
		"STORE_MIN_FREE_BYTES": &c.Store.MinFreeBytes, "STORE_UPLOAD_EXPIRY": &c.Store.UploadExpiry,
		"LOG_LEVEL": &c.Log.Level, "LOG_FORMAT": &c.Log.Format, "PPROF": &c.Pprof,
	}
}

// applyEnv overrides settings from the environment.
func (c *Config) applyEnv(lookup func(string) (string, bool)) error {
	for name, field := range c.env() {
		text, ok := lookup(envPrefix + name)
		if !ok {
			continue
		}
		if err := setField(field, text); err != nil {
			return usageError{fmt.Errorf("%s%s is %q: want %s", envPrefix, name, text, wants(reflect.TypeOf(field).Elem().String()))}
		}
	}
	return nil
}

func setField(field any, text string) (err error) {
	switch f := field.(type) {
	case *string:
		*f = text
	case *bool:
		*f, err = strconv.ParseBool(text)
	case *int64:
		*f, err = strconv.ParseInt(text, 10, 64)
	case *time.Duration:
		*f, err = time.ParseDuration(text)
	case *[]string:
		*f = nil
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				*f = append(*f, part)
			}
		}
	default:
		panic(fmt.Sprintf("a setting of type %T", field))
	}
	return err
}

// settings are the flags that every command with a configuration has. Flags win over the environment, the environment
// over the file, the file over the defaults.
type settings struct {
	file  string
	flags []func(*Config)
}

// settingFlags are the settings that have a flag.
var settingFlags = map[string]struct {
	help string
	set  func(*Config) *string
}{
	"data":       {"data directory (default \"data\")", func(c *Config) *string { return &c.Data }},
	"s3-listen":  {"address of the S3 API (default \"127.0.0.1:9000\")", func(c *Config) *string { return &c.S3.Listen }},
	"web-listen": {"address of DICOMweb, console, metrics and health (default \"127.0.0.1:8080\")", func(c *Config) *string { return &c.Web.Listen }},
	"tls-cert":   {"certificate chain (PEM) for both listeners", func(c *Config) *string { return &c.TLS.Cert }},
	"tls-key":    {"private key (PEM) for both listeners", func(c *Config) *string { return &c.TLS.Key }},
	"public-url": {"URL under which clients reach the web listener", func(c *Config) *string { return &c.PublicURL }},
	"log-level":  {"debug, info, warn or error (default \"info\")", func(c *Config) *string { return &c.Log.Level }},
	"pprof":      {"loopback address for Go's profiles (default: off)", func(c *Config) *string { return &c.Pprof }},
}

// addFlags gives a command --config, --data and the flags that are named.
func (s *settings) addFlags(cmd *cobra.Command, names ...string) {
	f := cmd.Flags()
	f.StringVar(&s.file, "config", "", "configuration file, YAML (default: what GANTRY_CONFIG names)")
	for _, name := range append(names, "data") {
		def := settingFlags[name]
		v := f.String(name, "", def.help)
		s.flags = append(s.flags, func(c *Config) {
			if f.Changed(name) {
				*def.set(c) = *v
			}
		})
	}
}

// load gives the configuration in force. Further changes, such as those of a command's own flags, come before it is
// checked.
func (s *settings) load(further ...func(*Config)) (Config, error) {
	file := s.file
	if file == "" {
		file = os.Getenv("GANTRY_CONFIG")
	}
	var text []byte
	if file != "" {
		var err error
		if text, err = os.ReadFile(file); err != nil {
			return Config{}, usageError{fmt.Errorf("read configuration: %w", err)}
		}
	}
	c, err := parseConfig(text)
	if err != nil {
		return c, fmt.Errorf("configuration %s: %w", file, err)
	}
	if err := c.applyEnv(os.LookupEnv); err != nil {
		return c, err
	}
	for _, set := range append(s.flags, further...) {
		set(&c)
	}
	if err := c.validate(); err != nil {
		return c, usageError{fmt.Errorf("configuration: %w", err)}
	}
	return c, nil
}
