package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"gantry/bench"
)

// ProfileOptions say what to profile.
type ProfileOptions struct {
	Workloads []string
	Seconds   int    // that each profile covers
	Out       string // directory for the profiles
}

const (
	profileStudies     = 48 // to read from: more than the processors' caches hold
	profileConcurrency = 8
	profileTop         = "25" // functions shown of each profile
)

// Profile drives gantry with each workload, and meanwhile has it profile itself. The profiles go to files, and their top
// functions to w.
func Profile(ctx context.Context, o Options, po ProfileOptions, w io.Writer) error {
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	p, err := Start(ctx, "gantry", Launch{Dir: filepath.Join(o.Dir, "gantry"), Gantry: o.Gantry, Args: []string{"--pprof", ports[0]}})
	if err != nil {
		return err
	}
	defer p.Stop()
	if err := os.MkdirAll(po.Out, 0o755); err != nil {
		return err
	}
	p.Target.Name = "gantry"
	session := bench.NewSession(p.Target, bench.NewGenerator(o.Seed), o.Progress)
	for _, name := range po.Workloads {
		step := bench.Step{Workload: name, Concurrency: profileConcurrency, Studies: profileStudies}
		file := filepath.Join(po.Out, name+".pprof")
		url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", ports[0], po.Seconds)
		if err := profileStep(ctx, session, step, url, po.Seconds, file); err != nil {
			return fmt.Errorf("profile %s: %w", name, err)
		}
		_, _ = fmt.Fprintf(w, "\n%s: %s\n", name, file) // checked by what follows
		top := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-nodecount", profileTop, o.Gantry, file)
		top.Stdout, top.Stderr = w, os.Stderr
		if err := top.Run(); err != nil {
			return fmt.Errorf("go tool pprof: %w", err)
		}
	}
	return nil
}

// profileStep drives one step for as long as the profile takes.
func profileStep(ctx context.Context, s *bench.Session, step bench.Step, url string, seconds int, file string) error {
	if step.Workload != "stow" { // so that what it reads is there when the profile begins
		warm := step
		warm.Duration = time.Second
		if _, err := s.Run(ctx, warm); err != nil {
			return err
		}
		step.Duration = time.Duration(seconds+1) * time.Second
	}
	fetched := make(chan error, 1)
	go func() { fetched <- fetchFile(ctx, url, file) }()
	for {
		res, err := s.Run(ctx, step)
		if err == nil && res.Errors > 0 {
			err = fmt.Errorf("%d operations failed: %s", res.Errors, strings.Join(res.ErrorTexts, "; "))
		}
		if err != nil {
			return errors.Join(err, <-fetched)
		}
		select {
		case err := <-fetched:
			return err
		default: // stow ends with its data, perhaps before the profile
		}
	}
}

func fetchFile(ctx context.Context, url, file string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, resp.Body)
	return errors.Join(err, f.Close())
}
