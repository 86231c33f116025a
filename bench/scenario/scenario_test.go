package scenario_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"gantry/bench"
	"gantry/bench/scenario"
)

func TestShippedScenariosAreValid(t *testing.T) {
	t.Chdir("../..") // where some of the names are those of folders, too
	for _, name := range []string{"quick", "s3", "dicomweb", "series500", "listmillion", "running"} {
		s, err := scenario.Open(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(s.Steps) == 0 || s.Title != name {
			t.Errorf("%s: %d steps, title %q", name, len(s.Steps), s.Title)
		}
	}
	if _, err := scenario.Open("no-such"); err == nil {
		t.Error("a scenario that does not exist was opened")
	}
}

func TestReadRefusesMistakes(t *testing.T) {
	for name, text := range map[string]string{
		"unknown key":         "titel: x",
		"unknown starter":     "servers: {a: {start: b}}",
		"unknown workload":    "servers: {a: {}}\nsteps: [{name: n, workload: w, of: a}]",
		"unknown query":       "servers: {a: {}}\nsteps: [{name: n, workload: qido, query: q, of: a}]",
		"duration of 5 ns":    "servers: {a: {}}\nsteps: [{name: n, workload: qido, duration: 5, of: a}]",
		"negative rate":       "servers: {a: {}}\nsteps: [{name: n, workload: qido, rate: -1, of: a}]",
		"unknown server":      "servers: {a: {}}\nsteps: [{name: n, workload: qido, of: b}]",
		"unknown metric":      "servers: {a: {}}\nsteps: [{name: n, workload: qido, of: a, goals: [{metric: m, at_least: 1, limit: true}]}]",
		"two bounds":          "servers: {a: {}}\nsteps: [{name: n, workload: qido, of: a, goals: [{metric: p99_ms, at_least: 1, at_most: 2, limit: true}]}]",
		"go_bench and server": "servers: {a: {}}\nsteps: [{name: n, of: a, go_bench: {package: p, pattern: x}}]",
		"ratio to nothing":    "servers: {a: {}}\nsteps: [{name: n, workload: qido, of: a, goals: [{metric: p99_ms, at_most: 1}]}]",
	} {
		if _, err := scenario.Read(strings.NewReader(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// canned is a runner that answers with the next of given rates.
type canned struct {
	rates []float64
	errs  int64
	calls *[]string
	name  string
}

func (c *canned) Run(context.Context, bench.Step) (*bench.Result, error) {
	*c.calls = append(*c.calls, c.name)
	r := c.rates[0]
	if len(c.rates) > 1 {
		c.rates = c.rates[1:]
	}
	return &bench.Result{Target: c.name, Operations: 1, OpsPerSecond: r, Errors: c.errs,
		Server: &bench.ServerUsage{CPUPerOp: 1e6 / r}}, nil
}

const twoServers = `
rounds: 3
servers: {a: {}, b: {}}
steps:
  - {name: n, workload: qido, of: a, against: b, goals: [
      {metric: ops_per_s, at_least: 4}, {metric: server_cpu_us_per_op, at_most: 0.2}, {metric: ops_per_s, at_least: 500, limit: true}]}
`

func compare(t *testing.T, rt scenario.Runtime) []scenario.Row {
	t.Helper()
	s, err := scenario.Read(strings.NewReader(twoServers))
	if err != nil {
		t.Fatal(err)
	}
	rt.Progress = io.Discard
	rows, _, err := scenario.Compare(t.Context(), s, rt)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestRatiosOfRounds(t *testing.T) {
	var calls []string
	rows := compare(t, scenario.Runtime{Runners: map[string]bench.Runner{
		"a": &canned{rates: []float64{400, 440, 420}, name: "a", calls: &calls},
		"b": &canned{rates: []float64{100, 110, 100}, name: "b", calls: &calls},
	}})
	if got := strings.Join(calls, ""); got != "abbaab" {
		t.Errorf("order %s, want the turns alternating", got)
	}
	if len(rows) != 3 {
		t.Fatalf("%d rows", len(rows))
	}
	r := rows[0]
	if r.Ratio != 4 || r.Low != 4 || r.High != 4.2 || r.OfMedian != 420 || r.ToMedian != 100 || !r.Met || r.Rounds != 3 {
		t.Errorf("throughput: %+v", r)
	}
	if rows[1].Met || rows[1].Ratio < .23 || rows[1].Ratio > .26 {
		t.Errorf("CPU: %+v", rows[1])
	}
	if rows[2].Met {
		t.Errorf("limit: %+v", rows[2])
	}
	var table strings.Builder
	if err := scenario.WriteRows(&table, rows); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"≥ 4 ×", "≤ 0.2 ×", "≥ 500", "4.00-4.20", "yes", "no"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("table lacks %q:\n%s", want, table.String())
		}
	}
}

func TestWideSpreadIsRepeated(t *testing.T) {
	var calls []string
	rows := compare(t, scenario.Runtime{Runners: map[string]bench.Runner{
		"a": &canned{rates: []float64{400, 800, 400}, name: "a", calls: &calls},
		"b": &canned{rates: []float64{100}, name: "b", calls: &calls},
	}})
	if rows[0].Rounds != 6 {
		t.Errorf("%d rounds, want 6", rows[0].Rounds)
	}
	rows = compare(t, scenario.Runtime{Runners: map[string]bench.Runner{ // the fourth would bring the range to 25% of the median
		"a": &canned{rates: []float64{300, 400, 300, 400}, name: "a", calls: &calls},
		"b": &canned{rates: []float64{100}, name: "b", calls: &calls},
	}})
	if rows[0].Rounds != 6 {
		t.Errorf("%d rounds of which the later ones were closer, want 6", rows[0].Rounds)
	}
}

func TestMissingAndFailingServersAreNoted(t *testing.T) {
	var calls []string
	ok := &canned{rates: []float64{100}, name: "b", calls: &calls}
	rows := compare(t, scenario.Runtime{
		Runners: map[string]bench.Runner{"b": ok}, Missing: map[string]error{"a": errors.New("gone")},
	})
	if rows[0].Met || !strings.Contains(rows[0].Note, "gone") || rows[0].ToMedian != 100 {
		t.Errorf("missing: %+v", rows[0])
	}
	rows = compare(t, scenario.Runtime{
		Runners: map[string]bench.Runner{"a": &canned{rates: []float64{600}, name: "a", calls: &calls}}, Missing: map[string]error{"b": errors.New("gone")},
	})
	if rows[0].Met || rows[1].Met || !rows[2].Met {
		t.Errorf("missing peer: ratios to nothing met their goals, or a limit did not: %+v", rows)
	}
	rows = compare(t, scenario.Runtime{Runners: map[string]bench.Runner{
		"a": &canned{rates: []float64{100}, name: "a", calls: &calls, errs: 3}, "b": ok,
	}})
	if len(rows) != 1 || rows[0].Met || !strings.Contains(rows[0].Note, "failed") {
		t.Errorf("failing: %+v", rows)
	}
}

func TestMarkdownTable(t *testing.T) {
	rows := []scenario.Row{
		{Name: "PUT", Of: "gantry", Against: "minio", Metric: "ops_per_s", OfMedian: 300, ToMedian: 100, Ratio: 3, Low: 2.9, High: 3.1, Rounds: 5,
			Goal: scenario.Goal{AtLeast: 2}, Met: true},
		{Name: "slow", Of: "gantry", Metric: "p99_ms", OfMedian: 7.123456, Rounds: 5, Goal: scenario.Goal{AtMost: 5, Limit: true}},
		{Name: "shown only", Of: "memory", Metric: "ops_per_s", OfMedian: 1, Rounds: 1, Met: true},
		{Name: "missing", Note: "not installed"},
		{Name: "no peer", Of: "gantry", Against: "minio", Metric: "ops_per_s", OfMedian: 3, Rounds: 3, Goal: scenario.Goal{AtMost: 2}, Note: "minio: gone"},
	}
	var b strings.Builder
	if err := scenario.WriteMarkdown(&b, rows); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| PUT | ops_per_s | 300 | 100 | 3.00 | 2.90-3.10 | ≥ 2 × | met |\n",
		"| slow | p99_ms | 7.123 |  |  |  | ≤ 5 | **not met** |\n",
		"| shown only | ops_per_s | 1 |  |  |  |  |  |\n",
		"| missing | not measured: not installed | | | | | | |\n",
		"| no peer | ops_per_s | 3 | 0 |  |  | ≤ 2 × | not measured: minio: gone |\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("table\n%s\nlacks %q", b.String(), want)
		}
	}
}

type fixed struct{ r bench.Result }

func (f fixed) Run(context.Context, bench.Step) (*bench.Result, error) { return &f.r, nil }

// TestGoalOfWhatIsNotMeasured: of a server whose process is not known, nothing is known of its CPU and memory.
func TestGoalOfWhatIsNotMeasured(t *testing.T) {
	s, err := scenario.Read(strings.NewReader(`
servers: {a: {s3: "http://x"}, b: {s3: "http://y"}}
steps:
  - {name: cpu, of: a, against: b, workload: s3-get, goals: [{metric: server_cpu_us_per_op, at_most: 0.5}]}
  - {name: memory, of: a, workload: s3-get, goals: [{metric: server_rss_anon_mb, at_most: 50, limit: true}]}
  - {name: speed, of: a, against: b, workload: s3-get, goals: [{metric: ops_per_s, at_least: 0.5}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	r := fixed{bench.Result{Operations: 1, OpsPerSecond: 1}}
	rows, _, err := scenario.Compare(t.Context(), s, scenario.Runtime{Runners: map[string]bench.Runner{"a": r, "b": r}, Progress: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if speed := row.Name == "speed"; row.Met != speed || (row.Note == "") != speed {
			t.Errorf("%s: met %v, %q", row.Name, row.Met, row.Note)
		}
	}
}
