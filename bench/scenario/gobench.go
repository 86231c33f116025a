package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	"gantry/bench"
)

// A GoBench step runs Go benchmarks of the source tree that the program was started in, for what HTTP cannot show. Every
// benchmark that Pattern matches must meet the goals, whose metrics are units that the benchmarks report.
type GoBench struct {
	Package string `yaml:"package"`
	Pattern string `yaml:"pattern"`
	Times   int    `yaml:"times"` // iterations of each
}

// run makes one row for each benchmark and goal.
func (g GoBench) run(ctx context.Context, c *Comparison) ([]Row, error) {
	cmd := exec.CommandContext(ctx, "go", "test", g.Package, "-run", "^$", "-bench", g.Pattern,
		"-benchtime", fmt.Sprintf("%dx", max(g.Times, 1)), "-count", strconv.Itoa(c.Rounds))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("go test %s: %w: %s", g.Package, err, tail(out))
	}
	names, values := parseGoBench(out)
	var rows []Row
	for _, name := range names {
		for _, goal := range c.Goals {
			v := values[name][goal.Metric]
			if len(v) == 0 {
				return rows, fmt.Errorf("%s does not report %s", name, goal.Metric)
			}
			r := Row{Name: c.Name + ": " + name, Of: g.Package, Metric: goal.Metric, Goal: goal, Rounds: len(v), OfMedian: median(v)}
			r.Met = r.OfMedian >= goal.AtLeast && (goal.AtMost == 0 || r.OfMedian <= goal.AtMost)
			rows = append(rows, r)
		}
	}
	if len(rows) == 0 {
		return nil, errors.New("no benchmark matches")
	}
	return rows, nil
}

// parseGoBench reads "BenchmarkName-2  10  123 ns/op  1.5 unit" lines: names in order, and values by name and unit.
func parseGoBench(out []byte) ([]string, map[string]map[string][]float64) {
	var names []string
	values := make(map[string]map[string][]float64)
	for line := range bytes.Lines(out) {
		f := strings.Fields(string(line))
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(f[0], "Benchmark")
		if i := strings.LastIndexByte(name, '-'); i > 0 {
			name = name[:i]
		}
		if values[name] == nil {
			names = append(names, name)
			values[name] = make(map[string][]float64)
		}
		for i := 2; i+1 < len(f); i += 2 {
			if v, err := strconv.ParseFloat(f[i], 64); err == nil {
				values[name][f[i+1]] = append(values[name][f[i+1]], v)
			}
		}
	}
	return names, values
}

// Data choose what a scenario's studies are made of, instead of a hospital's mix: series of PerStudy instances of one kind.
type Data struct {
	Modality string `yaml:"modality"`
	PerStudy int    `yaml:"per_study"`
}

func (d *Data) generator(seed uint64) (*bench.Generator, error) {
	if d == nil {
		return bench.NewGenerator(seed), nil
	}
	for k := range bench.KindTiny + 1 {
		if k.Modality() == d.Modality {
			return bench.NewUniformGenerator(seed, k, d.PerStudy), nil
		}
	}
	return nil, fmt.Errorf("no template for modality %q", d.Modality)
}
