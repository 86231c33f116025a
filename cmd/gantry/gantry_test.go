package main_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// binary is the gantry under test, built once.
var binary string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gantry-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "gantry")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

const (
	rootID     = "GANTRYTESTROOT"
	rootSecret = "not-a-secret-but-long-enough"
)

// site is a data directory, and what stands around it.
type site struct {
	t    *testing.T
	data string
	env  []string
}

func newSite(t *testing.T, env ...string) *site {
	dir := t.TempDir()
	s := &site{t: t, data: filepath.Join(dir, "data")}
	s.env = append(s.env, "PATH="+os.Getenv("PATH"), "HOME="+dir, "GANTRY_DATA="+s.data, "GANTRY_S3_LISTEN=127.0.0.1:0", "GANTRY_WEB_LISTEN=127.0.0.1:0",
		"GANTRY_ROOT_KEY_ID="+rootID, "GANTRY_ROOT_SECRET="+rootSecret)
	s.env = append(s.env, env...)
	return s
}

// result is how a command ended.
type result struct {
	code        int
	out, errOut string
}

// commandLimit is far more than any command here takes.
const commandLimit = 2 * time.Minute

func (s *site) run(args ...string) result {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), commandLimit)
	defer cancel()
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = s.env, &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		s.t.Fatalf("gantry %q: %v\n%s", args, err, errOut.String())
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// must runs a command that has to end with a code, and gives its stdout.
func (s *site) must(code int, args ...string) string {
	s.t.Helper()
	r := s.run(args...)
	if r.code != code {
		s.t.Fatalf("gantry %q: exit code %d, want %d\n%s%s", args, r.code, code, r.out, r.errOut)
	}
	return r.out
}

// running is a gantry that serves.
type running struct {
	*site
	said    map[string]string // by the words before the colon
	web, s3 string
	cmd     *exec.Cmd
	client  *http.Client
	stopped bool
}

// serve starts a server, and stops it with the test.
func (s *site) serve(args ...string) *running {
	s.t.Helper()
	cmd := exec.Command(binary, append([]string{"serve"}, args...)...)
	cmd.Env = s.env
	log := &bytes.Buffer{}
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	r := &running{site: s, said: map[string]string{}, cmd: cmd, client: &http.Client{}}
	s.t.Cleanup(r.stop)
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "ready" {
		if name, value, ok := strings.Cut(lines.Text(), ": "); ok {
			r.said[name] = value
		}
	}
	if lines.Text() != "ready" {
		_ = cmd.Wait()
		s.t.Fatalf("serve did not get ready:\n%s", log)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	r.web, r.s3 = strings.TrimSuffix(r.said["console"], "/"), r.said["s3"]
	s.env = append(s.env, "GANTRY_URL="+r.web, "GANTRY_S3_URL="+r.s3)
	return r
}

// stop ends the server as an operator does.
func (r *running) stop() {
	if r.stopped {
		return
	}
	r.stopped = true
	r.env = r.env[:len(r.env)-2]
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		r.t.Error(err)
	}
	if err := r.cmd.Wait(); err != nil {
		r.t.Errorf("serve: %v", err)
	}
}

// get asks the web listener, with the root key or without one.
func (r *running) get(path string, withKey bool) (int, http.Header, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.web+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	if withKey {
		req.SetBasicAuth(rootID, rootSecret)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

func (r *running) trust(pool *x509.CertPool) {
	r.client.Transport = newTLSTransport(pool)
}

// hashes gives the SHA-256 of every file below a directory, by path.
func hashes(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(b)
		rel, err := filepath.Rel(dir, path)
		out[rel] = hex.EncodeToString(sum[:])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
