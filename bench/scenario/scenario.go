// Package scenario compares servers: it starts them, runs the same steps on them in alternation, and says how their
// figures relate and whether that meets a goal.
package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"gantry/bench"

	"go.yaml.in/yaml/v3"
)

// A Scenario is a YAML file.
type Scenario struct {
	Title   string            `yaml:"title"`
	Rounds  int               `yaml:"rounds"` // of each comparison; 3 if not given
	Data    *Data             `yaml:"data"`   // what studies are made of; none: a hospital's mix
	Servers map[string]Server `yaml:"servers"`
	Steps   []Comparison      `yaml:"steps"`
}

// A Server is started by the scenario if Start names how, else it is expected to run already.
type Server struct {
	Start        string   `yaml:"start"` // gantry, orthanc, minio, versitygw, memory; empty: runs already
	Env          []string `yaml:"env"`   // NAME=value, for gantry
	bench.Target `yaml:",inline"`
}

// A Comparison runs one step on two servers. Of and Against name servers, or raw-append or raw-read.
type Comparison struct {
	Name       string `yaml:"name"`
	Of         string `yaml:"of"`
	Against    string `yaml:"against"` // empty: only limits apply
	Rounds     int    `yaml:"rounds"`  // 0: the scenario's
	bench.Step `yaml:",inline"`

	AgainstStep *bench.Step `yaml:"against_step"` // what Against does, if it is not the same; whole, nothing is inherited
	GoBench     *GoBench    `yaml:"go_bench"`     // instead of all of the above
	Goals       []Goal      `yaml:"goals"`
}

// A Goal bounds the ratio of a metric (Of divided by Against, the median of all rounds) or, as a limit, the metric of
// Of itself. Without a bound it is only reported.
type Goal struct {
	Metric  string  `yaml:"metric" json:"metric"`
	AtLeast float64 `yaml:"at_least" json:"at_least,omitempty"`
	AtMost  float64 `yaml:"at_most" json:"at_most,omitempty"`
	Limit   bool    `yaml:"limit" json:"limit,omitempty"`
}

// maxScenario is the largest scenario file, in bytes.
const maxScenario = 1 << 20

// Read parses and checks a scenario; unknown keys are errors.
func Read(r io.Reader) (*Scenario, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxScenario))
	if err != nil {
		return nil, err
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	var s Scenario
	if err := dec.Decode(&s); err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	if s.Rounds <= 0 {
		s.Rounds = 3
	}
	for name, server := range s.Servers {
		server.Name = name
		s.Servers[name] = server
		if _, ok := starters[server.Start]; !ok && server.Start != "" {
			return nil, fmt.Errorf("scenario: server %s: nobody knows how to start %q", name, server.Start)
		}
	}
	for i := range s.Steps {
		if err := s.check(&s.Steps[i]); err != nil {
			return nil, fmt.Errorf("scenario: step %q: %w", s.Steps[i].Name, err)
		}
	}
	return &s, nil
}

func (s *Scenario) check(c *Comparison) error {
	if c.Rounds <= 0 {
		c.Rounds = s.Rounds
	}
	if c.GoBench != nil {
		if c.Of != "" || c.Against != "" || c.Workload != "" {
			return errors.New("go_bench goes with no server")
		}
		return nil
	}
	if c.AgainstStep == nil {
		step := c.Step // a copy: the comparison itself may still move
		c.AgainstStep = &step
	}
	for _, step := range []*bench.Step{&c.Step, c.AgainstStep} {
		if err := step.Check(); err != nil {
			return err
		}
	}
	for _, name := range []string{c.Of, c.Against} {
		_, server := s.Servers[name]
		if !server && name != rawAppend && name != rawDirect && name != rawRead && (name != "" || c.Of == "") {
			return fmt.Errorf("no server %q", name)
		}
	}
	for _, g := range c.Goals {
		if _, err := metric(&bench.Result{}, g.Metric); err != nil {
			return err
		}
		if g.AtLeast != 0 && g.AtMost != 0 {
			return errors.New("a goal has at_least or at_most, not both")
		}
		if !g.Limit && c.Against == "" {
			return errors.New("a ratio needs something to compare against")
		}
	}
	return nil
}

const (
	rawAppend = "raw-append"
	rawDirect = "raw-append-direct"
	rawRead   = "raw-read"
)

// metric reads a figure from a result.
func metric(r *bench.Result, name string) (float64, error) {
	server := r.Server
	if server == nil {
		server = &bench.ServerUsage{}
	}
	switch name {
	case "ops_per_s":
		return r.OpsPerSecond, nil
	case "objects_per_s":
		return r.ObjsPerSecond, nil
	case "mb_per_s":
		return r.MBPerSecond, nil
	case "p50_ms":
		return r.LatencyMS.P50, nil
	case "p99_ms":
		return r.LatencyMS.P99, nil
	case "server_cpu_us_per_op":
		return server.CPUPerOp, nil
	case "server_rss_anon_mb":
		return float64(server.RssAnonBytes) / 1e6, nil
	}
	return 0, fmt.Errorf("no metric %q", name)
}
