package scenario

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gantry/bench"
)

// A Launch is what a starter gets.
type Launch struct {
	Dir     string   // an empty directory for data and logs
	Gantry  string   // path of gantry's binary
	Args    []string // more arguments for gantry
	Env     []string // and settings: NAME=value
	Cache   string   // where built peers are kept
	Seed    uint64
	Studies int // that a memory server holds
}

// A Process is a server that was started here.
type Process struct {
	Target  bench.Target
	Version string
	cmd     *exec.Cmd
	exited  chan struct{} // closed once the process has ended; then err says how
	err     error
}

// A starter starts one kind of server on loopback ports of its own choosing.
type starter func(ctx context.Context, l Launch) (*Process, error)

var starters = map[string]starter{
	"gantry": startGantry, "orthanc": startOrthanc, "minio": startMinio, "versitygw": startVersity, "memory": startMemory,
}

// Start starts a server and waits until it answers.
func Start(ctx context.Context, kind string, l Launch) (*Process, error) {
	start, ok := starters[kind]
	if !ok {
		return nil, fmt.Errorf("nobody knows how to start %q", kind)
	}
	if err := os.MkdirAll(l.Dir, 0o700); err != nil {
		return nil, err
	}
	p, err := start(ctx, l)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", kind, err)
	}
	p.Target.PID, p.Target.Version = p.cmd.Process.Pid, p.Version
	return p, nil
}

// credentials of the servers that are started here; they listen on loopback only and their data are thrown away.
const (
	benchKeyID  = "benchbenchbench"
	benchSecret = "bench-secret-of-no-value-0123456789"
)

// freePorts asks the kernel for n unused loopback ports. Another program may take them before the server does; then
// the server fails to start and says so.
func freePorts(n int) ([]string, error) {
	var out []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() //nolint:errcheck // a listener that accepted nothing
		out = append(out, l.Addr().String())
	}
	return out, nil
}

// launch runs a command with its output in Dir/log, and waits until url answers anything at all.
func launch(ctx context.Context, l Launch, url string, env []string, argv ...string) (*Process, error) {
	log, err := os.Create(filepath.Join(l.Dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close() //nolint:errcheck // the child has its own
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = l.Dir, log, log
	// A group of its own, so that an interrupt reaches only us and we stop the servers in order; and no survivors.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, exited: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	if err := p.ready(ctx, url); err != nil {
		p.Stop()
		text, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("%w; its last words: %s", err, tail(text))
	}
	return p, nil
}

func tail(text []byte) string {
	return strings.TrimSpace(string(text[max(0, len(text)-400):]))
}

const readyTimeout = 60 * time.Second

func (p *Process) ready(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusServiceUnavailable {
				return nil
			}
		}
		select {
		case <-p.exited:
			return errors.Join(errors.New("it ended"), p.err)
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("no answer at %s", url), ctx.Err())
		case <-tick.C:
		}
	}
}

// Stop ends the server, politely first, and waits for it. It may be called again.
func (p *Process) Stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may be gone already
	select {
	case <-p.exited:
	case <-time.After(15 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}
