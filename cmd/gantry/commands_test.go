package main_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestExitCodes(t *testing.T) {
	s := newSite(t)
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("nonsense: 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		code int
		args string
	}{
		{0, "--help"}, {0, "--version"}, {0, "serve --help"}, {0, "import --help"}, {0, "export --help"}, {0, "status --help"},
		{0, "verify --help"}, {0, "rebuild-catalog --help"}, {0, "segment --help"}, {0, "segment ls --help"}, {0, "segment cat --help"}, {0, "bench -h"},
		{2, "bench"}, {2, "bench --nonsense"}, {2, "bench -duration soon"}, {2, "bench -s3 http://127.0.0.1:1 more"},
		{2, "bench -s3 http://127.0.0.1:1 -workloads none"}, {2, "bench -s3 http://127.0.0.1:1 -workloads stow"}, {2, "bench -s3 nowhere"},
		{2, ""}, {2, "bogus"}, {2, "--bogus"}, {2, "serve extra"}, {2, "serve --bogus"}, {2, "serve --config " + bad}, {2, "serve --config /none"},
		{2, "serve --no-auth --web-listen 0.0.0.0:0"}, {2, "serve --tls-cert /none"}, {2, "verify extra"}, {2, "verify --config " + bad},
		{2, "rebuild-catalog extra"}, {2, "status extra"}, {2, "status --url nonsense"}, {2, "import"}, {2, "import /none"}, {2, "import --jobs 0 /tmp"},
		{2, "export"}, {2, "export dir"}, {2, "export --study 1 --series 2 dir"}, {2, "segment"}, {2, "segment bogus"}, {2, "segment ls"},
		{2, "segment cat one"},
		{1, "verify"}, {1, "rebuild-catalog"}, {1, "status"}, {1, "export --study 1.2 " + t.TempDir()}, {1, "segment ls /none"}, {1, "segment cat /none x"},
		{1, "status --url http://127.0.0.1:1"},
	} {
		r := s.run(strings.Fields(c.args)...)
		if r.code != c.code {
			t.Errorf("gantry %s: exit code %d, want %d\n%s", c.args, r.code, c.code, r.errOut)
		}
		if c.code == 0 && !strings.Contains(c.args, "version") && c.args != "segment --help" && !strings.Contains(r.out+r.errOut, "Exit codes") {
			t.Errorf("gantry %s: says nothing of exit codes", c.args)
		}
		if c.code != 0 && !strings.Contains(r.errOut, "gantry: ") {
			t.Errorf("gantry %s: gives no reason: %q", c.args, r.errOut)
		}
	}
	if entries, err := os.ReadDir(s.data); err == nil {
		t.Errorf("a command that failed made a data directory: %v", entries)
	}
}

func TestOneGantryPerDataDirectory(t *testing.T) {
	s := newSite(t)
	r := s.serve()
	for _, args := range [][]string{{"serve"}, {"verify"}, {"rebuild-catalog"}} {
		got := s.run(args...)
		if got.code != 4 || !strings.Contains(got.errOut, "--data") {
			t.Errorf("%s: exit code %d, want 4, with a hint\n%s", args, got.code, got.errOut)
		}
	}
	r.stop()
	s.must(0, "verify")
	s.must(0, "rebuild-catalog")
	s.must(0, "verify")
}

func TestWithoutAKeyNothingIsServed(t *testing.T) {
	r := newSite(t).serve()
	for _, path := range []string{"/", "/console.js", "/console.css", "/api/status", "/dicomweb/studies", "/dicomweb"} {
		status, header, _ := r.get(path, false)
		if status != http.StatusUnauthorized || !strings.HasPrefix(header.Get("WWW-Authenticate"), "Basic") {
			t.Errorf("%s without a key: %d, challenge %q", path, status, header.Get("WWW-Authenticate"))
		}
		if status, _, body := r.get(path, true); status != http.StatusOK && status != http.StatusNoContent {
			t.Errorf("%s with the root key: %d %s", path, status, body)
		}
	}
	resp, err := http.Get(r.s3 + "/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("S3 without a key: %d", resp.StatusCode)
	}
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ready\n", "/metrics": "gantry_store_log_end_lsn"} {
		if status, _, body := r.get(path, false); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.80q", path, status, body)
		}
	}
	if status, _, _ := r.get("/none", true); status != http.StatusNotFound {
		t.Errorf("/none: %d", status)
	}
}

func TestNoAuthIsForEverybodyOnThisMachine(t *testing.T) {
	r := newSite(t).serve("--no-auth")
	for what, hint := range r.said {
		if strings.Contains(what+hint, "curl -u") {
			t.Errorf("a hint with a key where there is none: %s: %s", what, hint)
		}
	}
	for _, path := range []string{"/", "/api/status", "/dicomweb/studies"} {
		if status, _, body := r.get(path, false); status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	// A page whose name was made to lead here is not of this machine.
	for host, want := range map[string]int{"evil.example": 403, "localhost.evil.example": 403, "localhost": 200, "localhost.": 200, "bucket.localhost:9000": 200, "[::1]:8080": 200} {
		for _, url := range []string{r.web + "/dicomweb/studies", r.s3 + "/"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = host
			resp, err := r.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%s as %s: %d", url, host, resp.StatusCode)
			}
		}
	}
}

func TestFlagWinsOverEnvironment(t *testing.T) {
	r := newSite(t, "GANTRY_NO_AUTH=true").serve("--no-auth=false")
	if status, _, _ := r.get("/api/status", false); status != http.StatusUnauthorized {
		t.Errorf("without a key: %d", status)
	}
}

func TestHelpShowsNoSecret(t *testing.T) {
	s := newSite(t, "BENCH_SECRET=hunter2secret", "BENCH_KEY_ID=hunter2id")
	for _, args := range []string{"bench -h", "bench -nosuch"} {
		if got := s.run(strings.Fields(args)...); strings.Contains(got.out+got.errOut, "hunter2") {
			t.Errorf("%s:\n%s%s", args, got.out, got.errOut)
		}
	}
}

// TestBothListenersStopAtOnce: a client that takes its time at one of them keeps the other from nothing.
func TestBothListenersStopAtOnce(t *testing.T) {
	r := newSite(t).serve("--no-auth")
	put := func(path string, n int64) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, r.s3+path, io.LimitReader(zeros{}, n))
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = n
		resp, err := r.client.Do(req)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp, err)
		}
		_ = resp.Body.Close()
	}
	put("/slow", 0)
	put("/slow/big", 32<<20)
	slow, err := r.client.Get(r.s3 + "/slow/big")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	stopped := false
	for began := time.Now(); !stopped && time.Since(began) < 10*time.Second; {
		resp, err := fresh.Get(r.web + "/healthz")
		if stopped = err != nil; !stopped {
			_ = resp.Body.Close()
		}
	}
	if !stopped {
		t.Error("the web listener goes on while an S3 client reads")
	}
	_ = slow.Body.Close()
	r.stopped = true
	if err := r.cmd.Wait(); err != nil {
		t.Errorf("serve: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestRootKeyIsPrintedOnce(t *testing.T) {
	s := newSite(t)
	s.env = append(s.env, "GANTRY_ROOT_KEY_ID=") // as if it were not set
	r := s.serve()
	id, secret := r.said["root key id"], r.said["root secret"]
	if id == "" || secret == "" {
		t.Fatalf("the first start said %v", r.said)
	}
	info, err := os.Stat(filepath.Join(s.data, "root-key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("root-key: %v, %v", info.Mode(), err)
	}
	s.must(0, "status") // with the key that it finds in the data directory
	r.stop()
	r = s.serve()
	if r.said["root secret"] != "" || r.said["root key"] == "" {
		t.Errorf("the second start said %v", r.said)
	}
	req, err := http.NewRequest(http.MethodGet, r.web+"/api/status", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+id+"."+secret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the printed key as a bearer token: %d", resp.StatusCode)
	}
}

func TestReadinessTellsThatTheDiskIsFull(t *testing.T) {
	s := newSite(t)
	s.serve().stop()
	s.env = append(s.env, "GANTRY_STORE_MIN_FREE_BYTES=4611686018427387904")
	r := s.serve()
	if status, _, body := r.get("/readyz", false); status != http.StatusServiceUnavailable || !strings.HasPrefix(body, "full") {
		t.Errorf("readyz: %d %q", status, body)
	}
	if status, _, _ := r.get("/healthz", false); status != http.StatusOK {
		t.Errorf("healthz: %d", status)
	}
	if out := s.must(3, "status"); !strings.Contains(out, "full  Alarm") {
		t.Errorf("status:\n%s", out)
	}
}

func TestStatusIsTheSameAtRest(t *testing.T) {
	s := newSite(t)
	r := s.serve()
	type status struct {
		Version string
		Uptime  *int64 `json:"uptime_seconds"`
		Started string
		Overall string
		Log     struct {
			ID     string
			EndLSN string `json:"end_lsn"`
		}
		Buckets []struct{ Name string }
	}
	ask := func() (st status) {
		if err := json.Unmarshal([]byte(s.must(0, "status", "--json")), &st); err != nil {
			t.Fatal(err)
		}
		return st
	}
	up := ask()
	if up.Started == "" || up.Overall == "" || len(up.Buckets) != 1 || up.Buckets[0].Name != "dicom" {
		t.Errorf("running: %+v", up)
	}
	if text := s.must(0, "status"); !strings.Contains(text, "safe  OK") || !strings.Contains(text, up.Log.EndLSN) {
		t.Errorf("running:\n%s", text)
	}
	r.stop()
	down := ask()
	if down.Log != up.Log || down.Started != "" || down.Version != up.Version {
		t.Errorf("at rest: %+v\nrunning: %+v", down, up)
	}
}
