package clienttest_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	rootKeyID  = "GANTRYTESTROOT"
	rootSecret = "not-a-secret/but+long=enough-for-signing"

	// startLimit is generous: a start after SIGKILL replays the tail of the log, on a machine that runs other tests.
	startLimit = 60 * time.Second
	stopLimit  = 30 * time.Second
)

// gantryPath is the gantry under test, built once in TestMain.
var gantryPath string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gantry-clienttest-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if !standIn() {
		gantryPath = filepath.Join(dir, "gantry")
		build := exec.Command("go", "build", "-o", gantryPath, "gantry/cmd/gantry")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build gantry: %v\n%s", err, out)
			return 1
		}
	}
	return m.Run()
}

// standIn reports whether the sessions are pointed at another server.
func standIn() bool {
	return os.Getenv("GANTRY_CLIENTTEST_S3") != "" || os.Getenv("GANTRY_CLIENTTEST_DICOMWEB") != ""
}

// server is a running gantry, or the stand-in.
type server struct {
	t        *testing.T
	dir      string // data folder
	config   string // configuration file
	args     []string
	s3       string // base URL of the S3 door
	dicomweb string // base URL of the DICOMweb door, with its path
	caFile   string // PEM file of the authority that signed the server's certificate; "" without TLS
	pool     *x509.CertPool
	keyID    string
	secret   string

	webOnce sync.Once
	web     *http.Client

	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has been waited for
	log    *logBuffer
}

// options of a server; the zero value is plain HTTP with the defaults.
type options struct {
	tls    bool
	config string   // further lines of the configuration file
	args   []string // further arguments of serve
}

// start runs a server and stops it when the test ends. A failed test prints what the server logged.
func start(t *testing.T, o options) *server {
	t.Helper()
	s := &server{t: t, keyID: rootKeyID, secret: rootSecret, args: o.args, log: &logBuffer{}}
	if standIn() {
		if o.tls {
			t.Skip("another server is tested as it is, not over TLS")
		}
		s.s3, s.dicomweb = os.Getenv("GANTRY_CLIENTTEST_S3"), os.Getenv("GANTRY_CLIENTTEST_DICOMWEB")
		s.keyID, s.secret = os.Getenv("GANTRY_CLIENTTEST_KEY"), os.Getenv("GANTRY_CLIENTTEST_SECRET")
		return s
	}
	s.dir = filepath.Join(t.TempDir(), "data")
	s.config = writeFile(t, filepath.Join(t.TempDir(), "gantry.yaml"), []byte("s3: {domains: [localhost]}\n"+o.config))
	if o.tls {
		pki := newPKI(t)
		s.caFile, s.pool = pki.caFile, pki.pool
		s.args = append([]string{"--tls-cert", pki.certFile, "--tls-key", pki.keyFile}, s.args...)
	}
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("gantry logged, requests aside:\n%s", s.log.notable(8<<10))
		}
	})
	s.run()
	return s
}

// eachTransport runs a session against a fresh server over plain HTTP and one over TLS.
func eachTransport(t *testing.T, session func(t *testing.T, s *server)) {
	eachConfigured(t, "", session)
}

// eachConfigured does so with further lines in the configuration file.
func eachConfigured(t *testing.T, config string, session func(t *testing.T, s *server)) {
	for _, name := range []string{"http", "tls"} {
		t.Run(name, func(t *testing.T) {
			session(t, start(t, options{tls: name == "tls", config: config}))
		})
	}
}

var (
	s3Line       = regexp.MustCompile(`\bs3: (https?://\S+)`)
	dicomwebLine = regexp.MustCompile(`\bdicomweb: (https?://\S+)`)
)

// run starts the process and waits until it says where it listens.
func (s *server) run() {
	s.t.Helper()
	args := append([]string{"serve", "--data", s.dir, "--s3-listen", "127.0.0.1:0", "--web-listen", "127.0.0.1:0"}, s.args...)
	s.cmd = exec.Command(gantryPath, args...)
	s.cmd.Env = append(os.Environ(), "GANTRY_ROOT_KEY_ID="+s.keyID, "GANTRY_ROOT_SECRET="+s.secret, "GANTRY_CONFIG="+s.config)
	s.cmd.Stderr = s.log
	// If the test process dies, the server must not stay behind.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.exited = make(chan struct{})
	ready := make(chan [2]string, 1)
	go func(cmd *exec.Cmd, exited chan struct{}) {
		defer close(exited)
		watchReady(io.TeeReader(stdout, s.log), ready)
		_ = cmd.Wait() // how it ended shows in its log and in what the session sees
	}(s.cmd, s.exited)
	select {
	case urls := <-ready:
		s.s3, s.dicomweb = urls[0], urls[1]
	case <-s.exited:
		s.t.Fatalf("gantry ended while starting:\n%s", s.log.tail(4<<10))
	case <-time.After(startLimit):
		s.t.Fatalf("gantry not ready after %v:\n%s", startLimit, s.log.tail(4<<10))
	}
}

// watchReady reads the server's standard output to its end and sends both addresses once they are known.
func watchReady(stdout io.Reader, ready chan<- [2]string) {
	var urls [2]string
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		had := urls[0] != "" && urls[1] != ""
		if m := s3Line.FindStringSubmatch(lines.Text()); m != nil {
			urls[0] = strings.TrimSuffix(m[1], "/")
		}
		if m := dicomwebLine.FindStringSubmatch(lines.Text()); m != nil {
			urls[1] = strings.TrimSuffix(m[1], "/")
		}
		if !had && urls[0] != "" && urls[1] != "" {
			ready <- urls
		}
	}
}

// stop ends the server in good order and requires that it does end.
func (s *server) stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	select {
	case <-s.exited:
	case <-time.After(stopLimit):
		s.t.Errorf("gantry still ran %v after SIGTERM", stopLimit)
		s.kill()
	}
	s.cmd = nil
}

// kill ends the server as a power cut would, but for the page cache.
func (s *server) kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill() // it may have ended already
	<-s.exited
	s.cmd = nil
}

// alive fails the test if the server has ended.
func (s *server) alive(t *testing.T) {
	t.Helper()
	select {
	case <-s.exited:
		t.Fatalf("gantry ended:\n%s", s.log.tail(8<<10))
	default:
	}
}

// ours reports whether the server is gantry; other servers differ where gantry answers 501.
func (s *server) ours() bool { return s.cmd != nil }

// command runs another subcommand of the binary on the server's data, which must not be running.
func (s *server) command(t *testing.T, name string, args ...string) string {
	t.Helper()
	return run(t, nil, gantryPath, append([]string{name, "--data", s.dir}, args...)...)
}

// http is a client that trusts the server and signs nothing.
func (s *server) http() *http.Client {
	tr := &http.Transport{MaxIdleConnsPerHost: 32, DisableCompression: true}
	if s.pool != nil {
		tr.TLSClientConfig = &tls.Config{RootCAs: s.pool}
	}
	return &http.Client{Transport: tr, Timeout: 2 * time.Minute}
}

// webClient is one such client, kept for its connections.
func (s *server) webClient() *http.Client {
	s.webOnce.Do(func() { s.web = s.http() })
	return s.web
}

// logBuffer keeps what a process prints.
type logBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// tail returns the last n bytes printed.
func (b *logBuffer) tail(n int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.buf.Bytes()
	return string(all[max(0, len(all)-n):])
}

// notable returns the end of what was logged, without a line per request.
func (b *logBuffer) notable(n int) string {
	var kept strings.Builder
	for line := range strings.Lines(b.tail(16 * mib)) {
		if strings.Contains(line, "level=") && !strings.Contains(line, "msg=request ") || strings.Contains(line, "panic") {
			kept.WriteString(line)
		}
	}
	all := kept.String()
	return all[max(0, len(all)-n):]
}

// clientLimit bounds one run of a client: a hang is a failure with a name.
const clientLimit = 3 * time.Minute

// run executes a program that must succeed and returns its standard output.
func run(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	stdout, stderr, err := execute(t, env, nil, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(name), strings.Join(args, " "), err, tail(stdout), tail(stderr))
	}
	return stdout
}

// execute runs a program to its end.
func execute(t *testing.T, env []string, stdin io.Reader, name string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), clientLimit)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(clientEnv(), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &errs
	cmd.WaitDelay = 5 * time.Second
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// clientEnv is our environment without what would reach into the clients: somebody's credentials, profiles, proxies.
func clientEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "RCLONE_") || strings.HasSuffix(strings.ToLower(name), "_proxy")
	})
}

func tail(s string) string { return s[max(0, len(s)-4<<10):] }

// unavailable skips the test, or fails it where everything must be there.
func unavailable(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// need returns the first of the named programs that exists.
func need(t *testing.T, names ...string) string {
	t.Helper()
	for _, name := range names {
		if p, err := exec.LookPath(name); err == nil {
			return p
		}
	}
	unavailable(t, "none of %q is installed; `make deps` does it on Debian", names)
	return ""
}
