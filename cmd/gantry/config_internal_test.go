package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"gantry/internal/vfs"
	"gantry/store"
	"gantry/store/catalog"
)

// The shipped example says what the defaults are; it must not drift from them, nor leave a setting out.
func TestExampleIsTheDefaults(t *testing.T) {
	text, err := os.ReadFile("../../gantry.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := got.validate(); err != nil {
		t.Error(err)
	}
	// An empty list in the file is as good as none.
	normal, err := yaml.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	want, err := yaml.Marshal(defaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	if string(normal) != string(want) {
		t.Errorf("the example differs from the defaults:\n%s\nwant\n%s", normal, want)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	for _, path := range settingPaths(reflect.TypeFor[Config](), nil) {
		if !hasPath(tree, path) {
			t.Errorf("the example lacks %s", strings.Join(path, "."))
		}
	}
}

// settingPaths lists the settings of a struct by their YAML names.
func settingPaths(t reflect.Type, at []string) (paths [][]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		path := append(append([]string(nil), at...), f.Tag.Get("yaml"))
		if f.Type.Kind() == reflect.Struct {
			paths = append(paths, settingPaths(f.Type, path)...)
		} else {
			paths = append(paths, path)
		}
	}
	return paths
}

func hasPath(tree map[string]any, path []string) bool {
	v, ok := tree[path[0]]
	if len(path) == 1 || !ok {
		return ok
	}
	sub, _ := v.(map[string]any)
	return hasPath(sub, path[1:])
}

func TestConfigIsStrict(t *testing.T) {
	for text, want := range map[string]string{
		"data: x\ndta: x":                      "line 2: there is no setting dta here",
		"s3: {listn: x}":                       "line 1: there is no setting listn here",
		"no_auth: perhaps":                     "line 1: want true or false, have “no_auth: perhaps”",
		"data: a\n---\ndata: b":                "more than one YAML document",
		"archives: [{nam: x}]":                 "line 1: there is no setting nam here",
		"data: a\ndata: b":                     `line 2: mapping key "data" already defined at line 1`,
		"store:\n  upload_expiry: 7d":          "line 2: want a time such as 168h or 30m, have “upload_expiry: 7d”",
		"store:\n  body_bytes: 1GB":            "line 2: want a whole number, have “body_bytes: 1GB”",
		"s3: x":                                "line 1: want settings below it, have “s3: x”",
		"keys: x":                              "line 1: want a list, have “keys: x”",
		"s3: {etags: [md5]}":                   "line 1: want text, have “s3: {etags: [md5]}”",
		"no_auth: " + strings.Repeat("x", 999): "xxx”",
		"no_auth: 1\ndta: x":                   "line 1: want true or false, have “no_auth: 1”; line 2: there is no setting dta here",
	} {
		_, err := parseConfig([]byte(text))
		if exitCode(err) != exitUsage || !strings.Contains(err.Error(), want) || len(err.Error()) > 200 || strings.Contains(err.Error(), "main.") {
			t.Errorf("%s: got %v", text, err)
		}
	}
	if _, err := parseConfig(nil); err != nil {
		t.Errorf("an empty file: %v", err)
	}
}

func TestValidateNamesTheSetting(t *testing.T) {
	for _, c := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Data = "" }, "data"},
		{func(c *Config) { c.TLS.Cert = "x" }, "tls.cert"},
		{func(c *Config) { c.Log.Format = "xml" }, "log.format"},
		{func(c *Config) { c.S3.ETags = "sha1" }, "s3.etags"},
		{func(c *Config) { c.Log.Level = "loud" }, "log.level"},
		{func(c *Config) { c.PublicURL = "example.org" }, "public_url"},
		{func(c *Config) { c.PublicURL = "https://example.org/pacs/?a=1" }, "public_url"},
		{func(c *Config) { c.PublicURL = "https://example.org/#top" }, "public_url"},
		{func(c *Config) { c.PublicURL = "https://me@example.org" }, "public_url"},
		{func(c *Config) { c.S3.Listen = "" }, "s3.listen"},
		{func(c *Config) { c.S3.Listen = ":" }, "s3.listen"},
		{func(c *Config) { c.Web.Listen = "" }, "web.listen"},
		{func(c *Config) { c.Web.Listen = "nonsense" }, "web.listen"},
		{func(c *Config) { c.NoAuth, c.S3.Listen = true, ":9000" }, "no_auth"},
		{func(c *Config) { c.NoAuth, c.Web.Listen = true, "0.0.0.0:8080" }, "no_auth"},
		{func(c *Config) { c.NoAuth, c.Web.Listen = true, "example.org:8080" }, "no_auth"},
		{func(c *Config) { c.Pprof = ":6060" }, "pprof"},
		{func(c *Config) { c.Store.SegmentBytes = 1000 }, "store.segment_bytes"},
		{func(c *Config) { c.Store.BodyBytes = 1000 }, "store.body_bytes"},
		{func(c *Config) { c.Store.OverlayBytes = 0 }, "store.overlay_bytes"},
		{func(c *Config) { c.Store.MinFreeBytes = -1 }, "store.min_free_bytes"},
		{func(c *Config) { c.Store.UploadExpiry = 0 }, "store.upload_expiry"},
		{func(c *Config) { c.Archive = "A" }, "archive"},
		{func(c *Config) { c.Archives = []Archive{{Name: "x"}} }, "archives"},
		{func(c *Config) { c.Archives = []Archive{{Name: "twice"}, {Name: "twice"}} }, "twice"},
		{func(c *Config) { c.Archives = []Archive{{Name: "one", Duplicates: "drop"}} }, "duplicates"},
		{func(c *Config) { c.Web.TrustedProxies = []string{"proxy"} }, "web.trusted_proxies"},
		{func(c *Config) { c.S3.Domains = []string{"*.s3.example.org"} }, "s3.domains"},
		{func(c *Config) { c.S3.Domains = []string{"https://s3.example.org"} }, "s3.domains"},
		{func(c *Config) { c.Web.CORSOrigins = []string{"viewer.example.org"} }, "web.cors_origins"},
		{func(c *Config) { c.Web.CORSOrigins = []string{"https://viewer.example.org/"} }, "web.cors_origins"},
		{func(c *Config) { c.Web.CORSOrigins = []string{"https://Viewer.example.org"} }, "web.cors_origins"},
		{func(c *Config) { c.Keys = []Key{{ID: "CT1", Buckets: []string{"Dicom"}}} }, "keys: CT1: buckets"},
		{func(c *Config) { c.Keys = []Key{{ID: "CT1", Buckets: []string{"d*m"}}} }, "keys: CT1: buckets"},
	} {
		cfg := defaultConfig()
		c.change(&cfg)
		if err := cfg.validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v", c.want, err)
		}
	}
	cfg := defaultConfig()
	cfg.S3.Domains, cfg.Web.CORSOrigins = []string{"s3.example.org."}, []string{"*", "null", "https://viewer.example.org:8443", "app://viewer"}
	cfg.Keys = []Key{{Buckets: []string{"*", "dic*", "dicom", "a.b-*"}}}
	if err := cfg.validate(); err != nil {
		t.Error(err)
	}
	for _, addr := range []string{"127.0.0.1:0", "[::1]:80", "localhost:8080", "127.1.2.3:9"} {
		cfg := defaultConfig()
		cfg.NoAuth, cfg.S3.Listen, cfg.Web.Listen = true, addr, addr
		if err := cfg.validate(); err != nil {
			t.Errorf("no_auth on %s: %v", addr, err)
		}
	}
}

// Every setting but keys and archives has a variable, named as the example says.
func TestEnvironmentReachesEverySetting(t *testing.T) {
	env := map[string]string{}
	for _, path := range settingPaths(reflect.TypeFor[Config](), nil) {
		if path[0] != "keys" && path[0] != "archives" {
			env["GANTRY_"+strings.ToUpper(strings.Join(path, "_"))] = ""
		}
	}
	c := defaultConfig()
	for name := range c.env() {
		if _, ok := env["GANTRY_"+name]; !ok {
			t.Errorf("GANTRY_%s is no setting's", name)
		}
		delete(env, "GANTRY_"+name)
	}
	for name := range env {
		t.Errorf("%s is missing", name)
	}
	values := map[string]string{
		"GANTRY_DATA": "d", "GANTRY_NO_AUTH": "true", "GANTRY_WEB_CORS_ORIGINS": "https://a, https://b",
		"GANTRY_STORE_SEGMENT_BYTES": "2097152", "GANTRY_STORE_UPLOAD_EXPIRY": "36h",
	}
	err := c.applyEnv(func(name string) (string, bool) { v, ok := values[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	want := defaultConfig()
	want.Data, want.NoAuth, want.Web.CORSOrigins = "d", true, []string{"https://a", "https://b"}
	want.Store.SegmentBytes, want.Store.UploadExpiry = 2<<20, 36*time.Hour
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v\nwant %+v", c, want)
	}
	for name, bad := range map[string]string{"GANTRY_NO_AUTH": "perhaps", "GANTRY_STORE_BODY_BYTES": "1GB", "GANTRY_STORE_UPLOAD_EXPIRY": "7"} {
		err := c.applyEnv(func(n string) (string, bool) { return bad, n == name })
		if exitCode(err) != exitUsage || !strings.Contains(err.Error(), name+" is") || strings.Contains(err.Error(), "strconv") {
			t.Errorf("%s=%s: got %v", name, bad, err)
		}
	}
}

func TestFlagsWinOverEnvironmentOverFileOverDefaults(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gantry.yaml")
	text := "data: file\ns3: {listen: 'file:1'}\nweb: {listen: 'file:2'}\narchive: file"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GANTRY_CONFIG", file)
	t.Setenv("GANTRY_S3_LISTEN", "env:1")
	t.Setenv("GANTRY_WEB_LISTEN", "env:2")
	var s settings
	cmd := &cobra.Command{}
	s.addFlags(cmd, "s3-listen", "web-listen")
	if err := cmd.ParseFlags([]string{"--web-listen", "flag:2"}); err != nil {
		t.Fatal(err)
	}
	c, err := s.load()
	if err != nil {
		t.Fatal(err)
	}
	got := []string{c.Data, c.Archive, c.S3.Listen, c.Web.Listen, c.S3.Region}
	want := []string{"file", "file", "env:1", "flag:2", "us-east-1"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestKeysTakeTheirSecretsFromFiles(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("s3cret-enough\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GANTRY_ROOT_KEY_ID", "ROOT")
	t.Setenv("GANTRY_ROOT_SECRET_FILE", secret)
	c := defaultConfig()
	c.Data = dir
	c.Keys = []Key{{ID: "CT", SecretFile: secret, Permissions: []string{"read", "write"}, Buckets: []string{"dicom"}}}
	ring, root, created, err := c.credentials()
	if err != nil || created || root.ID != "ROOT" || root.Secret != "s3cret-enough" {
		t.Fatalf("root %v, created %v: %v", root, created, err)
	}
	if cred, err := ring.Check("CT", "s3cret-enough"); err != nil || cred.Permissions.String() != "read,write" {
		t.Errorf("got %v, %v", cred.Permissions, err)
	}
	for name, k := range map[string]Key{
		"no file":         {ID: "A", Permissions: []string{"all"}},
		"missing file":    {ID: "A", SecretFile: filepath.Join(dir, "none"), Permissions: []string{"all"}},
		"no permissions":  {ID: "A", SecretFile: secret},
		"bad permission":  {ID: "A", SecretFile: secret, Permissions: []string{"everything"}},
		"the root's name": {ID: "ROOT", SecretFile: secret, Permissions: []string{"all"}},
	} {
		c.Keys = []Key{k}
		if _, _, _, err := c.credentials(); exitCode(err) != exitUsage {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestRootKeyStaysHere: the root key of this machine's gantry goes to no other server, wherever it is from.
func TestRootKeyStaysHere(t *testing.T) {
	t.Setenv("GANTRY_ROOT_KEY_ID", "ROOT")
	t.Setenv("GANTRY_ROOT_SECRET", "root-secret-long-enough")
	for url, sent := range map[string]bool{"": true, "http://127.0.0.1:8080": true, "http://192.0.2.9:8080": false, "https://images.example.org": false} {
		cfg := defaultConfig()
		cred, err := (&remoteFlags{url: url}).credential(&cfg)
		if err != nil || (cred.ID != "") != sent {
			t.Errorf("%q: %q is sent, %v", url, cred.ID, err)
		}
	}
}

// TestArchivesAreMadeOnceThereIsRoom starts on a full disk.
func TestArchivesAreMadeOnceThereIsRoom(t *testing.T) {
	t.Parallel()
	fs, disk := vfs.NewMem(), catalog.NewMemDisk()
	fs.SetCapacity(4 << 20)
	st, err := store.Open(t.Context(), store.Config{
		FS: fs, Dir: "/data", MinFreeBytes: 3 << 20,
		OpenCatalog: func(o catalog.Options) (*catalog.Catalog, error) { return catalog.OpenMem(disk, o) }, RemoveCatalog: func() error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if _, err := st.CreateBucket(t.Context(), "filler", store.BucketSettings{}, store.Origin{}); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = st.Put(t.Context(), &store.Put{Key: store.Key{Bucket: "filler", Name: "x"}, Body: strings.NewReader("x"), Size: 1})
	}
	cfg := defaultConfig()
	s := &server{cfg: &cfg, store: st, logger: slog.New(slog.DiscardHandler), noArchives: true}
	if err := makeArchives(t.Context(), s.cfg, s.store, ""); !errors.Is(err, store.ErrFull) {
		t.Fatalf("the disk is not full: %v", err)
	}
	fs.SetCapacity(1 << 30)
	if err := s.makeArchivesLater(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b, err := st.Bucket(t.Context(), cfg.Archive); err != nil || !b.Settings.DICOM {
		t.Errorf("%+v, %v", b, err)
	}
}

// TestStarting asks the web listener before the store is open.
func TestStarting(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	settings := defaultConfig()
	d, err := (&server{cfg: &settings, logger: slog.New(slog.DiscardHandler), reg: prometheus.NewRegistry()}).openDoor(l)
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String()
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 503, "/dicomweb/studies": 503, "/": 503} {
		resp, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != want || err != nil || want == 503 && (string(text) != "starting\n" || resp.Header.Get("Retry-After") == "") {
			t.Errorf("%s: %d %q %v", path, resp.StatusCode, text, resp.Header)
		}
	}
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("malformed: %v, %v", resp, err)
	}
	cfg := defaultConfig()
	if _, err := getStatus(t.Context(), &cfg, &remoteFlags{url: url}); exitCode(err) != exitLocked {
		t.Errorf("status: %v", err)
	}
	if err := errors.Join(d.server.Shutdown(t.Context()), <-d.served); err != nil {
		t.Error(err)
	}
}

// TestHintsFitTheError: what is said to do next has to do with what went wrong.
func TestHintsFitTheError(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	_, inUse := net.Listen("tcp", busy.Addr().String())
	denied := &os.PathError{Op: "open", Path: "/etc/key.pem", Err: os.ErrPermission}
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("pprof: %w", inUse), "--pprof"},
		{fmt.Errorf("s3.listen: %w", &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EACCES)}), "a port"},
		{&url.Error{Err: &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}}, "--url"},
		{fmt.Errorf("status: %w", &statusError{status: http.StatusUnauthorized}), "--config"},
		{usageError{fmt.Errorf("configuration: tls: %w", denied)}, "gantry.example.yaml"},
		{fmt.Errorf("read site file: %w", denied), "owns the data directory"},
		{fmt.Errorf("list: %w", catalog.ErrCorrupt), "rebuild-catalog"},
	} {
		if got := hintFor(c.err); !strings.Contains(got, c.want) {
			t.Errorf("%v: hint %q", c.err, got)
		}
	}
}

func TestWarnOfCertificate(t *testing.T) {
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		from, to time.Duration // from now
		warned   bool
	}{
		{-time.Hour, 30 * 24 * time.Hour, false},
		{-time.Hour, 7 * 24 * time.Hour, true},
		{-2 * time.Hour, -time.Hour, true},
		{time.Hour, 30 * 24 * time.Hour, true},
	} {
		var b strings.Builder
		leaf := &x509.Certificate{NotBefore: now.Add(c.from), NotAfter: now.Add(c.to)}
		warnOfCertificate(slog.New(slog.NewTextHandler(&b, nil)), &tls.Config{Certificates: []tls.Certificate{{Leaf: leaf}}}, now)
		if got := strings.Contains(b.String(), "level=WARN"); got != c.warned {
			t.Errorf("%+v: %s", c, b.String())
		}
	}
	warnOfCertificate(slog.New(slog.DiscardHandler), nil, now)
}
