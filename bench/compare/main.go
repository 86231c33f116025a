// Command compare runs a scenario: it starts servers, measures them in alternation and prints how they relate.
//
// Exit codes: 0 all goals are met, 1 something could not be measured or the run failed, 2 a goal is not met.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"gantry/bench"
	"gantry/bench/scenario"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP) // else gigabytes stay
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, errNotMet):
		os.Exit(2)
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		_, _ = fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

var (
	errNotMet      = errors.New("a goal is not met")
	errNotMeasured = errors.New("not everything was measured; see the notes")
)

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	if len(args) > 0 && args[0] == scenario.MemoryCommand {
		return scenario.ServeMemory(args[1:])
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	cache = filepath.Join(cache, "gantry-bench")
	fs := flag.NewFlagSet("compare", flag.ContinueOnError)
	fs.SetOutput(stderr)
	o := scenario.Options{Progress: stderr, Cache: cache}
	name := fs.String("scenario", "quick", "scenario `file`, or a shipped one: quick, s3, dicomweb, series500, listmillion")
	only := fs.String("only", "", "run only steps whose name matches this `expression`")
	dir := fs.String("dir", cache, "directory on the disk to measure; data go into a new one below it")
	jsonPath := fs.String("json", "", "write everything measured to this `file`")
	htmlPath := fs.String("html", "", "write a page with plots to this `file`")
	markdownPath := fs.String("markdown", "", "write the comparison to this `file`, as a table for a document")
	fs.StringVar(&o.Gantry, "gantry", "", "`path` of gantry's binary, where the scenario starts it")
	profile := fs.String("cpuprofile", "", "write a CPU profile of the client to this `file`")
	fs.Uint64Var(&o.Seed, "seed", 0, "seed of the data; 0 takes a new one")
	fs.IntVar(&o.Rounds, "rounds", 0, "rounds of each comparison; 0: as the scenario says")
	so := bench.ScaleOptions{PerRequest: 50, Concurrency: 4, Duration: 10 * time.Second}
	fs.IntVar(&so.Instances, "scale", 0, "instead of a scenario, fill gantry with this many tiny instances and query it")
	po := scenario.ProfileOptions{}
	workloads := fs.String("profile", "", "instead of a scenario, profile gantry under these `workloads`, separated by commas")
	fs.StringVar(&po.Out, "profiles", "profiles", "`directory` for the profiles")
	fs.IntVar(&po.Seconds, "seconds", 5, "seconds that each profile covers")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected %q", fs.Arg(0))
	}
	if o.Rounds < 0 {
		return fmt.Errorf("%d rounds: less than none", o.Rounds)
	}
	if o.Seed == 0 {
		o.Seed = uint64(time.Now().UnixNano())
	}
	if o.Only, err = regexp.Compile(*only); err != nil {
		return err
	}
	if o.Gantry != "" { // servers start in directories of their own
		if o.Gantry, err = filepath.Abs(o.Gantry); err != nil {
			return err
		}
	}
	s, err := scenario.Open(*name)
	if err != nil {
		return err
	}
	data, err := scratch(*dir, stderr)
	if err != nil {
		return err
	}
	o.Dir = data.Name()
	defer func() { err = errors.Join(err, os.RemoveAll(o.Dir), data.Close()) }()
	stopProfile, err := startProfile(*profile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopProfile()) }()
	if *workloads != "" {
		po.Workloads = strings.Split(*workloads, ",")
		return scenario.Profile(ctx, o, po, stdout)
	}
	measure := func() (*bench.Report, []scenario.Row, error) { return scenario.Run(ctx, s, o) }
	if so.Instances > 0 {
		measure = func() (*bench.Report, []scenario.Row, error) { return scenario.Scale(ctx, o, so) }
	}
	report, rows, runErr := measure()
	if report == nil || runErr != nil && len(report.Results) == 0 {
		return runErr
	}
	if err := errors.Join(write(report, rows, stdout), writeMarkdown(rows, *markdownPath), report.WriteFiles(*jsonPath, *htmlPath)); err != nil || runErr != nil {
		return errors.Join(runErr, err)
	}
	return outcome(rows)
}

// startProfile profiles this process, which is the client of all measurements.
func startProfile(path string) (stop func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}

// scratch makes a directory for data, locked until it is closed, and tells of those whose process was killed.
func scratch(parent string, progress io.Writer) (*os.File, error) {
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, err
	}
	left, err := filepath.Glob(filepath.Join(parent, "run-*"))
	if err != nil {
		return nil, err
	}
	for _, dir := range left {
		if f, err := lock(dir); err == nil {
			_ = f.Close() // only read
			_, _ = fmt.Fprintf(progress, "%s is left of a run that was killed; nothing needs it\n", dir)
		}
	}
	dir, err := os.MkdirTemp(parent, "run-*")
	if err != nil {
		return nil, err
	}
	return lock(dir)
}

// lock takes the lock on a directory that nobody holds.
func lock(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// write reports what was measured, which may be less than was to be.
func write(report *bench.Report, rows []scenario.Row, stdout io.Writer) error {
	for _, t := range report.Targets {
		_, _ = fmt.Fprintf(stdout, "%s %s\n", t.Name, t.Version) // checked at the next write
	}
	if err := report.WriteTable(stdout); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(stdout)
	return scenario.WriteRows(stdout, rows)
}

func writeMarkdown(rows []scenario.Row, path string) error {
	if path == "" {
		return nil
	}
	var table bytes.Buffer
	return errors.Join(scenario.WriteMarkdown(&table, rows), os.WriteFile(path, table.Bytes(), 0o644))
}

// outcome tells whether everything was measured, and all goals are met.
func outcome(rows []scenario.Row) (err error) {
	if len(rows) == 0 {
		return errors.New("nothing was measured: no step has such a name")
	}
	for _, r := range rows {
		if r.Note != "" {
			return errNotMeasured
		}
		if !r.Met {
			err = errNotMet
		}
	}
	return err
}
