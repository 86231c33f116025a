package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"gantry/bench"
)

// A Row is the outcome of one comparison in one metric.
type Row struct {
	Name     string  `json:"name"`
	Of       string  `json:"of"`
	Against  string  `json:"against,omitempty"`
	Metric   string  `json:"metric"`
	OfMedian float64 `json:"of_median"`
	ToMedian float64 `json:"against_median,omitempty"`
	Ratio    float64 `json:"ratio,omitempty"` // median of the rounds' ratios
	Low      float64 `json:"ratio_low,omitempty"`
	High     float64 `json:"ratio_high,omitempty"`
	Rounds   int     `json:"rounds"`
	Goal     Goal    `json:"goal"`
	Met      bool    `json:"met"`
	Note     string  `json:"note,omitempty"` // why there are no figures
}

// wideSpread is how far apart the ratios of the rounds may be, relative to their median, before they are repeated.
const wideSpread = 0.3

// A Runtime is what a scenario runs with.
type Runtime struct {
	Runners  map[string]bench.Runner // by server; what is missing could not be started
	Missing  map[string]error
	Progress io.Writer
}

// Compare runs the steps of a scenario. Steps whose server is missing are noted and skipped; a step that fails is
// noted too, so that one bad server does not hide the figures of the others.
func Compare(ctx context.Context, s *Scenario, rt Runtime) ([]Row, []*bench.Result, error) {
	var rows []Row
	var results []*bench.Result
	for i := range s.Steps {
		c := &s.Steps[i]
		_, _ = fmt.Fprintf(rt.Progress, "%s\n", c.Name)
		if c.GoBench != nil {
			more, err := c.GoBench.run(ctx, c)
			if err != nil {
				more = append(more, Row{Name: c.Name, Note: err.Error()})
			}
			rows = append(rows, more...)
			continue
		}
		pairs, err := rt.compare(ctx, c)
		if ctx.Err() != nil {
			return rows, results, context.Cause(ctx)
		}
		for _, p := range pairs {
			results = append(results, p.all()...)
		}
		if err != nil {
			rows = append(rows, Row{Name: c.Name, Of: c.Of, Against: c.Against, Note: err.Error()})
			continue
		}
		for _, g := range c.goals() {
			row := c.row(g, pairs)
			for _, name := range []string{c.Of, c.Against} {
				if err := rt.Missing[name]; err != nil {
					row.Note += name + ": " + err.Error()
				}
			}
			rows = append(rows, row)
		}
	}
	return rows, results, nil
}

// A pair is one round.
type pair struct{ of, to *bench.Result }

func (p pair) all() []*bench.Result {
	var out []*bench.Result
	for _, r := range []*bench.Result{p.of, p.to} {
		if r != nil {
			out = append(out, r)
		}
	}
	return out
}

func (rt *Runtime) compare(ctx context.Context, c *Comparison) ([]pair, error) {
	of, to := rt.Runners[c.Of], rt.Runners[c.Against]
	if of == nil && to == nil {
		return nil, errors.Join(rt.Missing[c.Of], rt.Missing[c.Against])
	}
	var pairs []pair
	for round, rounds := 0, c.Rounds; round < rounds; round++ {
		p, err := runPair(ctx, of, to, c, round%2 == 1)
		if err != nil {
			return pairs, err
		}
		pairs = append(pairs, p)
		_ = bench.WriteResults(rt.Progress, p.all()) // progress only
		if round+1 == c.Rounds && c.spread(pairs) > wideSpread {
			rounds = 2 * c.Rounds // to their end: to stop once the figures have come closer would choose among them
		}
	}
	return pairs, nil
}

// runPair takes turns in going first, for the second finds a warmer machine.
func runPair(ctx context.Context, of, to bench.Runner, c *Comparison, swap bool) (pair, error) {
	var p pair
	run := func(r bench.Runner, step bench.Step, into **bench.Result) (err error) {
		if r == nil {
			return nil
		}
		*into, err = r.Run(ctx, step)
		if err == nil && (*into).Errors > 0 {
			err = fmt.Errorf("%s: %d of %d operations failed: %v", (*into).Target, (*into).Errors,
				(*into).Errors+(*into).Operations, (*into).ErrorTexts)
		}
		return err
	}
	first := func() error { return run(of, c.Step, &p.of) }
	second := func() error { return run(to, *c.AgainstStep, &p.to) }
	if swap {
		first, second = second, first
	}
	err := first()
	if err == nil {
		err = second()
	}
	return p, err
}

// goals are the comparison's, or the throughput without a bound if it has none.
func (c *Comparison) goals() []Goal {
	if len(c.Goals) > 0 {
		return c.Goals
	}
	return []Goal{{Metric: "objects_per_s"}}
}

func (c *Comparison) spread(pairs []pair) float64 {
	if c.Against == "" || len(pairs) == 0 {
		return 0
	}
	r := c.row(c.goals()[0], pairs)
	if r.Ratio == 0 {
		return 0
	}
	return (r.High - r.Low) / r.Ratio
}

func (c *Comparison) row(g Goal, pairs []pair) Row {
	var of, to, ratios []float64
	for _, p := range pairs {
		a, b := metricOf(p.of, g.Metric), metricOf(p.to, g.Metric)
		if p.of != nil {
			of = append(of, a)
		}
		if p.to != nil {
			to = append(to, b)
		}
		if p.of != nil && b != 0 {
			ratios = append(ratios, a/b)
		}
	}
	r := Row{Name: c.Name, Of: c.Of, Against: c.Against, Metric: g.Metric, Goal: g, Rounds: len(pairs),
		OfMedian: median(of), ToMedian: median(to)}
	if len(ratios) > 0 {
		r.Ratio, r.Low, r.High = median(ratios), slices.Min(ratios), slices.Max(ratios)
	}
	if slices.ContainsFunc(pairs, func(p pair) bool { return !measured(p.of, g.Metric) || !g.Limit && !measured(p.to, g.Metric) }) {
		r.Note = g.Metric + ": not measured, for the server's process is not known; "
		return r
	}
	value, figures := r.Ratio, len(ratios)
	if g.Limit {
		value, figures = r.OfMedian, len(of)
	}
	r.Met = figures > 0 && value >= g.AtLeast && (g.AtMost == 0 || value <= g.AtMost)
	return r
}

// measured tells whether a run has a metric: those of a server need its process.
func measured(r *bench.Result, name string) bool {
	return r == nil || r.Server != nil || !strings.HasPrefix(name, "server_")
}

// metricOf is 0 for a round that a missing server did not take part in. Names were checked when the scenario was read.
func metricOf(r *bench.Result, name string) float64 {
	if r == nil {
		return 0
	}
	v, err := metric(r, name)
	if err != nil {
		panic("scenario: unchecked metric: " + err.Error())
	}
	return v
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Clone(v)
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// WriteRows writes the comparison as a table.
func WriteRows(w io.Writer, rows []Row) error {
	t := tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "step\tmetric\tof\t\tagainst\t\tratio\trange\trounds\tgoal\tmet") // errors wait for Flush
	for _, r := range rows {
		if r.Rounds == 0 {
			_, _ = fmt.Fprintf(t, "%s\tnot measured\n", r.Name)
			continue
		}
		ratio, spread, met := "", "", "no"
		if r.Ratio > 0 {
			ratio, spread = fmt.Sprintf("%.2f", r.Ratio), fmt.Sprintf("%.2f-%.2f", r.Low, r.High)
		}
		if r.Met {
			met = "yes"
		}
		switch {
		case r.Goal.AtLeast == 0 && r.Goal.AtMost == 0:
			met = "-"
		case r.Note != "" && !r.Met:
			met = "not measured"
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%.4g\t%s\t%.4g\t%s\t%s\t%d\t%s\t%s\n", r.Name, r.Metric, r.Of, r.OfMedian,
			r.Against, r.ToMedian, ratio, spread, r.Rounds, r.Goal, met)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, r := range rows {
		if r.Note != "" {
			if _, err := fmt.Fprintf(w, "%s: %s\n", r.Name, r.Note); err != nil {
				return err
			}
		}
	}
	return nil
}

// String shows a goal as it is read: "≥ 6 ×", or "≤ 50" for a limit.
func (g Goal) String() string {
	sign, value := "≥", g.AtLeast
	switch {
	case g.AtMost > 0:
		sign, value = "≤", g.AtMost
	case g.AtLeast == 0:
		return ""
	}
	if g.Limit {
		return fmt.Sprintf("%s %g", sign, value)
	}
	return fmt.Sprintf("%s %g ×", sign, value)
}
