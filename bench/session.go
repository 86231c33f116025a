package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Target is a server to measure. S3 or DICOMweb may be empty; workloads that need it then fail.
type Target struct {
	Name     string `json:"name" yaml:"-"`
	S3       string `json:"s3,omitempty" yaml:"s3"`             // URL of the endpoint, path-style
	DICOMweb string `json:"dicomweb,omitempty" yaml:"dicomweb"` // URL under which /studies is
	KeyID    string `json:"-" yaml:"key_id"`                    // for SigV4 and for HTTP Basic
	Secret   string `json:"-" yaml:"secret"`
	Region   string `json:"-" yaml:"region"` // us-east-1 if empty
	Bucket   string `json:"-" yaml:"bucket"` // made if it does not exist; "bench" if empty
	Version  string `json:"version,omitempty" yaml:"version"`
	Metrics  string `json:"-" yaml:"metrics"` // URL of Prometheus metrics; from gantry's, the steps of writes are reported
	PID      int    `json:"-" yaml:"pid"`     // process whose use of CPU, memory and disk is reported; 0: none
}

// A Step is one measurement of one workload.
type Step struct {
	Workload    string        `yaml:"workload"`
	Concurrency int           `yaml:"concurrency"`
	Rate        float64       `yaml:"rate"`        // operations per second for an open loop; 0: closed loop
	Duration    time.Duration `yaml:"duration"`    // 0: until Count, or for stow until the data end
	Count       int64         `yaml:"count"`       // operations; 0: no limit
	Size        int64         `yaml:"size"`        // bytes of an S3 object
	Objects     int           `yaml:"objects"`     // S3 objects to read from
	Keys        int           `yaml:"keys"`        // S3 keys to list in
	PerRequest  int           `yaml:"per_request"` // instances in a STOW request
	Studies     int           `yaml:"studies"`     // to store (stow), or to read from; 0 reads from all
	Query       string        `yaml:"query"`       // which QIDO query; empty: all in turn
	DropCache   bool          `yaml:"drop_cache"`  // empty the page cache first; needs root
}

// Check finds what no server could do.
func (s Step) Check() error {
	if !slices.Contains(Workloads(), s.Workload) {
		return fmt.Errorf("no workload %q; there are %v", s.Workload, Workloads())
	}
	if !(s.Rate >= 0 && s.Rate <= math.MaxInt32) { // NaN is neither
		return fmt.Errorf("rate %g: want operations per second", s.Rate)
	}
	if s.Duration > 0 && s.Duration < time.Millisecond {
		return fmt.Errorf("duration %v: want a unit, as in 5s", s.Duration)
	}
	for what, n := range map[string]int64{
		"concurrency": int64(s.Concurrency), "duration": int64(s.Duration), "count": s.Count, "size": s.Size,
		"objects": int64(s.Objects), "keys": int64(s.Keys), "per request": int64(s.PerRequest), "studies": int64(s.Studies),
	} {
		if n < 0 {
			return fmt.Errorf("%s: less than nothing", what)
		}
	}
	for q := range strings.SplitSeq(s.Query, ",") {
		if q != "" && !slices.Contains(Queries(), q) {
			return fmt.Errorf("no query %q; there are %v", q, Queries())
		}
	}
	return nil
}

// withDefaults fills what was left open.
func (s Step) withDefaults() Step {
	s.Concurrency = max(s.Concurrency, 1)
	s.PerRequest = max(s.PerRequest, 1)
	if s.Size <= 0 {
		s.Size = 128 << 10
	}
	if s.Objects <= 0 {
		s.Objects = 512
	}
	if s.Keys <= 0 {
		s.Keys = 5000
	}
	if s.Studies <= 0 {
		s.Studies = 16
	}
	if s.Duration <= 0 && s.Count <= 0 && s.Workload != "stow" {
		s.Duration = 5 * time.Second
	}
	return s
}

// A Session measures one target. It remembers what it stored there, so that reading steps find their data and know
// what to expect. Steps must not run at the same time.
type Session struct {
	target  Target
	gen     *Generator
	seed    uint64
	timeout time.Duration
	log     io.Writer

	stored  int           // the first so many studies of gen are at the target
	objects map[int64]int // S3 objects by size
	keys    int           // S3 keys in the listing prefix
	puts    int64         // S3 objects written by s3-put and s3-mixed so far
	noise   []byte

	mu      sync.RWMutex // guards checked
	checked map[string]map[uint32]bool
}

// answerTimeout is how long a request may take, and a second more for each megabyte of an S3 object: who measures large ones on slow disks is
// not told that the server is silent.
const answerTimeout = 2 * time.Minute

// NewSession makes a session. Targets that are to be compared should share a generator. Progress goes to log.
func NewSession(t Target, g *Generator, log io.Writer) *Session {
	if t.Region == "" {
		t.Region = "us-east-1"
	}
	if t.Bucket == "" {
		t.Bucket = "bench"
	}
	if log == nil {
		log = io.Discard
	}
	s := &Session{
		target: t, gen: g, seed: g.seed, timeout: answerTimeout, log: log,
		objects: make(map[int64]int), checked: make(map[string]map[uint32]bool),
		noise: make([]byte, 8<<20),
	}
	(&rng{hash(s.seed, 8)}).fill(s.noise)
	return s
}

// Target returns what the session measures.
func (s *Session) Target() Target { return s.target }

// A workload prepares data and returns the operation, possibly with a bound on how often it can be done.
type workload struct {
	s3      bool // speaks S3, else DICOMweb
	more    int  // further connections of a worker
	prepare func(ctx context.Context, s *Session, step *Step) (operation, error)
}

// Workloads lists the names that Step.Workload takes, in the order in which they make sense.
func Workloads() []string {
	return []string{
		"s3-put", "s3-get", "s3-list", "s3-mixed",
		"stow", "wado-instance", "wado-series", "wado-frames", "metadata", "qido", "open-study",
	}
}

func workloadNamed(name string) (workload, bool) {
	w, ok := map[string]workload{
		"s3-put":        {s3: true, prepare: prepareS3Put},
		"s3-get":        {s3: true, prepare: prepareS3Get},
		"s3-list":       {s3: true, prepare: prepareS3List},
		"s3-mixed":      {s3: true, prepare: prepareS3Mixed},
		"stow":          {prepare: prepareStow},
		"wado-instance": {prepare: prepareWadoInstance},
		"wado-series":   {prepare: prepareWadoSeries},
		"wado-frames":   {prepare: prepareWadoFrames},
		"metadata":      {prepare: prepareMetadata},
		"qido":          {prepare: prepareQido},
		"open-study":    {prepare: prepareOpenStudy, more: openStudyConnections - 1},
	}[name]
	return w, ok
}

// Run performs one step. Errors of single operations are counted in the result; an error is returned if the step could not be prepared,
// was stopped, or its server ended. Then there is a result, too, if anything was measured.
func (s *Session) Run(ctx context.Context, step Step) (*Result, error) {
	if err := step.Check(); err != nil {
		return nil, err
	}
	wl, _ := workloadNamed(step.Workload)
	if step.Studies <= 0 && step.Workload != "stow" {
		step.Studies = s.stored // all that is there; the default if nothing is
	}
	step = step.withDefaults()
	if wl.s3 {
		s.timeout = answerTimeout + time.Duration(step.Size)*time.Microsecond
	}
	op, err := wl.prepare(ctx, s, &step)
	if err != nil {
		return nil, fmt.Errorf("prepare %s at %s: %w", step.Workload, s.target.Name, err)
	}
	workers, err := s.workers(step.Concurrency, wl.s3, wl.more)
	if err != nil {
		return nil, err
	}
	defer closeWorkers(workers)
	if err := settleDisk(step.DropCache); err != nil {
		return nil, err
	}
	before, err := readSteps(ctx, s.target.Metrics)
	if err != nil {
		return nil, err
	}
	stop := watch(ctx, s.target.PID)
	l := load{workers: step.Concurrency, rate: step.Rate, duration: step.Duration, count: step.Count}
	res, err := drive(ctx, l, workers, op)
	server, usageErr := stop()
	after, stepsErr := readSteps(ctx, s.target.Metrics)
	if err := errors.Join(err, usageErr, stepsErr); err != nil {
		err = fmt.Errorf("%s at %s: %w", step.Workload, s.target.Name, err)
		return s.describe(res, step, nil, nil), err
	}
	var shares []StepShare
	if step.Workload != "s3-mixed" { // of which most objects were not written
		shares = after.since(before, res.Objects)
	}
	return s.describe(res, step, server, shares), nil
}

// describe says in a result what was measured, and what that cost the server.
func (s *Session) describe(res *Result, step Step, server *ServerUsage, steps []StepShare) *Result {
	if res == nil {
		return nil
	}
	res.Workload, res.Target, res.Server, res.Steps = step.label(), s.target.Name, server, steps
	if wl, _ := workloadNamed(step.Workload); wl.s3 && step.Workload != "s3-list" {
		res.SizeBytes = step.Size
	}
	if step.Workload == "stow" {
		res.PerRequest = step.PerRequest
	}
	if server != nil && res.Operations > 0 {
		server.CPUPerOp = server.CPUSeconds * 1e6 / float64(res.Operations)
		server.WrittenPerOp = float64(server.WrittenBytes) / float64(res.Operations)
	}
	return res
}

func (s Step) label() string {
	if s.Query != "" {
		return s.Workload + " " + s.Query
	}
	return s.Workload
}

// workers makes n workers with connections to the S3 or DICOMweb endpoint.
func (s *Session) workers(n int, s3 bool, more int) ([]*worker, error) {
	out := make([]*worker, n)
	for i := range out {
		w := &worker{id: i, rng: rng{hash(s.seed, 9, uint64(i))}}
		for j := range more + 1 {
			c, err := s.newClient(s3)
			if err != nil {
				return nil, err
			}
			if j == 0 {
				w.client = c
			} else {
				w.more = append(w.more, c)
			}
		}
		out[i] = w
	}
	return out, nil
}

func (s *Session) newClient(s3 bool) (*client, error) { return s.target.client(s3, s.timeout) }

// client makes a client of the S3 or the DICOMweb endpoint, which connects when it is used.
func (t Target) client(s3 bool, timeout time.Duration) (*client, error) {
	base := t.DICOMweb
	if s3 {
		base = t.S3
	}
	if base == "" {
		return nil, fmt.Errorf("target %s has no endpoint for this workload", t.Name)
	}
	c, err := newClient(base, timeout)
	if err != nil {
		return nil, err
	}
	switch {
	case s3 && t.KeyID != "":
		c.sign = &signer{id: t.KeyID, secret: t.Secret, region: t.Region}
	case !s3:
		c.setBasic(t.KeyID, t.Secret)
	}
	return c, nil
}

func closeWorkers(workers []*worker) {
	for _, w := range workers {
		for _, c := range w.clients() {
			c.close()
		}
	}
}

// fill drives op unmeasured, to bring data to the target; any failure ends it.
func (s *Session) fill(ctx context.Context, what string, count int, s3 bool, op operation) error {
	const fillers = 8
	workers, err := s.workers(fillers, s3, 0)
	if err != nil {
		return err
	}
	defer closeWorkers(workers)
	_, _ = fmt.Fprintf(s.log, "%s: storing %d %s\n", s.target.Name, count, what)
	res, err := drive(ctx, load{workers: fillers, count: int64(count)}, workers, op)
	if err != nil {
		return err
	}
	if res.Errors > 0 {
		return fmt.Errorf("%d of %d %s were not stored: %v", res.Errors, count, what, res.ErrorTexts)
	}
	return nil
}

// verifyText compares a textual answer with those that were right before; a new one is examined by check.
func (s *Session) verifyText(url string, resp *response, check func(body []byte) error) error {
	s.mu.RLock()
	known := s.checked[url][resp.crc]
	s.mu.RUnlock()
	if known {
		return nil
	}
	if err := check(resp.body); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.checked[url] == nil {
		s.checked[url] = make(map[uint32]bool)
	}
	s.checked[url][resp.crc] = true
	return nil
}

// AssumeStored tells the session that the first n studies of its generator are at the target already.
func (s *Session) AssumeStored(n int) { s.stored = max(s.stored, n) }

// Stored returns how many of the generator's studies are at the target.
func (s *Session) Stored() int { return s.stored }
