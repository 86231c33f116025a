package scenario

import (
	"context"
	"embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"gantry/bench"
)

//go:embed *.yaml
var shipped embed.FS

// Open reads a shipped scenario by its bare name, or else a scenario file.
func Open(name string) (*Scenario, error) {
	if f, err := shipped.Open(name + ".yaml"); err == nil {
		defer f.Close() //nolint:errcheck // in memory
		return Read(f)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	return Read(f)
}

// Options of a run of a scenario.
type Options struct {
	Gantry   string // path of gantry's binary
	Dir      string // where data go: on the disk that is to be measured. Emptied at the end
	Cache    string // where built peers are kept
	Seed     uint64
	Rounds   int            // overrides the scenario's, if not 0
	Only     *regexp.Regexp // names of steps to run; nil: all
	Progress io.Writer
}

// memoryStudies is how many studies a memory server holds; steps against it must not read more.
const memoryStudies = 16

// Run starts what the scenario needs, compares, and stops everything.
func Run(ctx context.Context, s *Scenario, o Options) (*bench.Report, []Row, error) {
	s.restrict(o)
	gen, err := s.Data.generator(o.Seed)
	if err != nil {
		return nil, nil, err
	}
	rt := Runtime{
		Runners: map[string]bench.Runner{
			rawAppend: bench.RawAppend{Dir: o.Dir}, rawDirect: bench.RawAppend{Dir: o.Dir, Direct: true},
			rawRead: bench.RawRead{Dir: o.Dir},
		},
		Missing: make(map[string]error), Progress: o.Progress,
	}
	report := bench.NewReport(o.Seed)
	for _, name := range s.used() {
		server := s.Servers[name]
		if server.Start != "" {
			l := Launch{Dir: filepath.Join(o.Dir, name), Gantry: o.Gantry, Env: server.Env, Cache: o.Cache, Seed: o.Seed, Studies: memoryStudies}
			p, err := Start(ctx, server.Start, l)
			if err != nil {
				_, _ = fmt.Fprintf(o.Progress, "%s: %v\n", name, err)
				rt.Missing[name] = err
				continue
			}
			defer p.Stop()
			_, _ = fmt.Fprintf(o.Progress, "%s: started, version %s\n", name, p.Version)
			p.Target.Bucket = server.Bucket
			server.Target = p.Target
		}
		server.Name = name
		session := bench.NewSession(server.Target, gen, o.Progress)
		if server.Start == "memory" {
			session.AssumeStored(memoryStudies)
		}
		rt.Runners[name] = session
		report.Targets = append(report.Targets, session.Target())
	}
	rows, results, err := Compare(ctx, s, rt)
	report.Results, report.Comparison = results, rows
	return report, rows, err
}

// restrict drops the steps that are not wanted.
func (s *Scenario) restrict(o Options) {
	if o.Only != nil {
		s.Steps = slices.DeleteFunc(s.Steps, func(c Comparison) bool { return !o.Only.MatchString(c.Name) })
	}
	for i := range s.Steps {
		if o.Rounds > 0 {
			s.Steps[i].Rounds = o.Rounds
		}
	}
}

// used lists the servers that the steps name, in their order.
func (s *Scenario) used() []string {
	var out []string
	for _, c := range s.Steps {
		for _, name := range []string{c.Of, c.Against} {
			if _, ok := s.Servers[name]; ok && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}
