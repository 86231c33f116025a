package bench

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Options are what `bench` takes on its command line.
type Options struct {
	Target    Target
	Steps     []Step
	Seed      uint64
	Scale     ScaleOptions // if it has instances: done instead of Steps
	Yardstick string       // directory on the disk to measure, to report what the machine can do; empty: no yardsticks
	Progress  io.Writer
}

// ErrFailed is returned, beside the report, when operations failed or answers were wrong.
var ErrFailed = errors.New("some operations failed; see the report")

// ErrUsage is wrapped by Main's error when its arguments are wrong.
var ErrUsage = errors.New("wrong arguments")

// Run performs the steps one after the other.
func Run(ctx context.Context, o Options) (*Report, error) {
	if o.Scale.Instances > 0 {
		o.Scale.Seed = o.Seed
		return Scale(ctx, o.Target, o.Scale, o.Progress)
	}
	report := NewReport(o.Seed, o.Target)
	s := NewSession(o.Target, NewGenerator(o.Seed), o.Progress)
	for _, step := range o.Steps {
		if s.Stored() > 0 && step.Workload != "stow" {
			step.Studies = 0
		}
		res, err := s.Run(ctx, step)
		if res != nil { // of a step that was stopped, what it had done
			report.Results = append(report.Results, res)
		}
		if err != nil {
			return report, err
		}
		if err := report.yardsticks(ctx, o.Yardstick, step); err != nil {
			return report, err
		}
	}
	if report.Failed() {
		return report, ErrFailed
	}
	return report, nil
}

// yardsticks measures what the disk gives at the size and concurrency of an S3 step, once for each kind of step.
func (r *Report) yardsticks(ctx context.Context, dir string, step Step) error {
	var y Runner
	switch {
	case dir == "":
		return nil
	case step.Workload == "s3-put":
		y = RawAppend{Dir: dir}
	case step.Workload == "s3-get":
		y = RawRead{Dir: dir}
	default:
		return nil
	}
	res, err := y.Run(ctx, step)
	if err != nil {
		return fmt.Errorf("yardstick: %w", err)
	}
	r.Yardsticks = append(r.Yardsticks, res)
	return nil
}

// Main is the command line: it parses args (without the command's name), runs, and writes the table to stdout,
// progress to stderr, and JSON and HTML to files where asked.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, out, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	o.Progress = stderr
	report, runErr := Run(ctx, o)
	if report == nil || len(report.Results) == 0 {
		return runErr
	}
	err = errors.Join(report.WriteTable(stdout), report.WriteFiles(out.json, out.html))
	if errors.Is(runErr, ErrFailed) && err != nil {
		return err // and not ErrFailed, which the table has told
	}
	return errors.Join(runErr, err)
}

// WriteFiles writes JSON and HTML to the named files; an empty name means none.
func (r *Report) WriteFiles(jsonPath, htmlPath string) error {
	return errors.Join(writeFile(jsonPath, r.WriteJSON), writeFile(htmlPath, r.WriteHTML))
}

func writeFile(path string, write func(io.Writer) error) error {
	if path == "" {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

type outputs struct{ json, html string }

// check looks for the directories before hours of work, not after.
func (o outputs) check() error {
	for _, path := range []string{o.json, o.html} {
		if _, err := os.Stat(filepath.Dir(path)); err != nil {
			return err
		}
	}
	return nil
}

const usageText = `Usage: gantry bench [flags]

Measures an S3 or DICOMweb server. Workloads, of which several run in the order given:
  s3-put s3-get s3-list s3-mixed                 need -s3
  stow wado-instance wado-series wado-frames
  metadata qido open-study                       need -dicomweb

Reading workloads first store what they read, and check every byte they get back. Data are fictitious, and stay at the
server: S3 objects below put/, read/ and list/ of the bucket (addressed by path), DICOM studies of patients whose IDs are
P, four hexadecimal digits of the seed, and six of a number. Use a bucket and an archive that you can throw away.
Credentials come from -key-id and -secret, or from BENCH_KEY_ID and BENCH_SECRET. Certificates are checked; the file
that SSL_CERT_FILE names holds those to trust instead of the system's.

Exit codes: 0 done; 1 stopped, or something could not be measured (what was is reported); 2 wrong flags; 3 done, but some
operations failed or answers were wrong.

`

// parse turns arguments into options: every workload at every size, concurrency and count per request.
func parse(args []string, stderr io.Writer) (Options, outputs, error) {
	var (
		o   Options
		out outputs
		s   Step
	)
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		_, _ = io.WriteString(stderr, usageText) // nowhere to report that stderr is gone
		fs.PrintDefaults()
	}
	fs.StringVar(&o.Target.Name, "name", "target", "name of the server in the report")
	fs.StringVar(&o.Target.S3, "s3", "", "`URL` of the S3 endpoint")
	fs.StringVar(&o.Target.DICOMweb, "dicomweb", "", "`URL` of the DICOMweb service, without /studies")
	fs.StringVar(&o.Target.KeyID, "key-id", "", "access key id, or user for HTTP Basic")
	fs.StringVar(&o.Target.Secret, "secret", "", "secret, or password")
	fs.StringVar(&o.Target.Region, "region", "us-east-1", "region to sign for")
	fs.StringVar(&o.Target.Bucket, "bucket", "bench", "S3 bucket to use, made if needed")
	fs.IntVar(&o.Target.PID, "pid", 0, "process id of the server, to report its CPU, memory and writes")
	fs.StringVar(&o.Target.Metrics, "metrics", "", "`URL` of the server's Prometheus metrics, to report where gantry's writes spend their time")
	fs.Uint64Var(&o.Seed, "seed", 0, "seed of all data; 0 takes a new one")
	workloads := fs.String("workloads", "", "workloads, separated by commas")
	concurrency := fs.String("concurrency", "8", "numbers of workers, separated by commas")
	sizes := fs.String("sizes", "131072", "sizes of S3 objects in bytes, separated by commas")
	perRequest := fs.String("per-request", "1", "instances per STOW request, separated by commas")
	fs.Float64Var(&s.Rate, "rate", 0, "operations per second, latency from the intended start; 0: as fast as answers come")
	fs.DurationVar(&s.Duration, "duration", 5*time.Second, "length of each measurement (stow: until all is stored)")
	fs.Int64Var(&s.Count, "count", 0, "operations in each measurement but stow's, if that is sooner")
	fs.IntVar(&s.Studies, "studies", 16, "studies to store, by stow or for reading workloads (about 30 instances each)")
	fs.IntVar(&s.Objects, "objects", 512, "S3 objects to read from")
	fs.IntVar(&s.Keys, "keys", 5000, "S3 keys to list in")
	fs.StringVar(&s.Query, "query", "", "QIDO queries, separated by commas: patient, accession, date, wildcard, name")
	fs.StringVar(&o.Yardstick, "yardstick", "", "also append to and read from files in this `directory`, to compare s3-put and s3-get with")
	fs.IntVar(&o.Scale.Instances, "scale", 0, "instead of workloads, store this many instances of 1 KB and query them")
	fs.StringVar(&o.Scale.Bucket, "scale-bucket", "", "S3 `bucket` in which the DICOMweb service keeps its instances, to list it")
	fs.BoolVar(&s.DropCache, "drop-cache", false, "empty the page cache before each measurement (root)")
	fs.StringVar(&out.json, "json", "", "write the report as JSON to this `file`")
	fs.StringVar(&out.html, "html", "", "write the report with plots to this `file`")
	if err := fs.Parse(args); err != nil {
		return o, out, err
	}
	if fs.NArg() > 0 {
		return o, out, fmt.Errorf("unexpected %q", fs.Arg(0))
	}
	// No defaults of the flags: the help would show them.
	o.Target.KeyID = cmp.Or(o.Target.KeyID, os.Getenv("BENCH_KEY_ID"))
	o.Target.Secret = cmp.Or(o.Target.Secret, os.Getenv("BENCH_SECRET"))
	if o.Seed == 0 {
		o.Seed = uint64(time.Now().UnixNano())
	}
	names := strings.Split(*workloads, ",")
	if *workloads == "" {
		names = defaultWorkloads(o.Target)
	}
	var err error
	if o.Scale.Instances != 0 {
		o.Scale.PerRequest, o.Scale.Concurrency, o.Scale.Duration = 50, 4, s.Duration
		if *workloads != "" {
			return o, out, errors.New("-scale goes without -workloads")
		}
		return o, out, errors.Join(o.Scale.check(), o.Target.check([]Step{{Workload: "stow"}}), out.check())
	}
	if o.Steps, err = steps(s, names, lists{*concurrency, *sizes, *perRequest}); err == nil {
		err = errors.Join(o.Target.check(o.Steps), out.check())
	}
	return o, out, err
}

// check tells whether there is what the steps need of a target, before the first of them begins.
func (t Target) check(steps []Step) error {
	for _, step := range steps {
		wl, _ := workloadNamed(step.Workload)
		if _, err := t.client(wl.s3, 0); err != nil {
			return fmt.Errorf("%s: %w", step.Workload, err)
		}
	}
	if t.PID == 0 {
		return nil
	}
	_, err := processUsage(t.PID)
	return err
}

func defaultWorkloads(t Target) []string {
	var out []string
	for _, name := range Workloads() {
		if w, _ := workloadNamed(name); w.s3 && t.S3 != "" || !w.s3 && t.DICOMweb != "" {
			out = append(out, name)
		}
	}
	return out
}

type lists struct{ concurrency, sizes, perRequest string }

// steps multiplies out the lists, where they matter to a workload.
func steps(base Step, names []string, l lists) ([]Step, error) {
	concurrency, err1 := numbers(l.concurrency)
	sizes, err2 := numbers(l.sizes)
	perRequest, err3 := numbers(l.perRequest)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	var out []Step
	for _, name := range names {
		w, _ := workloadNamed(name)
		base.Workload = name
		if err := base.Check(); err != nil {
			return nil, err
		}
		for _, c := range concurrency {
			s := base
			s.Concurrency = int(c)
			switch {
			case name == "stow":
				s.Duration, s.Count = 0, 0
				for _, n := range perRequest {
					s.PerRequest = int(n)
					out = append(out, s)
				}
			case w.s3 && name != "s3-list":
				for _, n := range sizes {
					s.Size = n
					out = append(out, s)
				}
			default:
				out = append(out, s)
			}
		}
	}
	if len(out) == 0 {
		return nil, errors.New("nothing to do: give -s3 or -dicomweb")
	}
	return out, nil
}

func numbers(list string) ([]int64, error) {
	var out []int64
	for f := range strings.SplitSeq(list, ",") {
		n, err := strconv.ParseInt(strings.TrimSpace(f), 10, 64)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is not a list of positive numbers", list)
		}
		out = append(out, n)
	}
	return out, nil
}
