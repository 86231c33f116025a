package bench

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// A StepShare is how long objects spent, on average, in one step of their way into the server's log.
type StepShare struct {
	Name    string  `json:"name"`
	Micros  float64 `json:"us_per_object"`
	Percent float64 `json:"percent"` // of all steps together
}

// stepMetric is the counter, in Prometheus' text format, that gantry adds up these times in.
const stepMetric = `gantry_store_put_seconds_total{step="`

// A stepClock is a reading of these counters: seconds by step.
type stepClock map[string]float64

// readSteps asks a server for its metrics. One that has none of these counters gives an empty reading.
func readSteps(ctx context.Context, url string) (stepClock, error) {
	c := stepClock{}
	if url == "" {
		return c, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return c, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return c, fmt.Errorf("read metrics: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return c, fmt.Errorf("read metrics: %s", resp.Status)
	}
	lines := bufio.NewScanner(io.LimitReader(resp.Body, 8<<20))
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), stepMetric)
		if !ok {
			continue
		}
		name, value, ok := strings.Cut(rest, `"} `)
		if !ok {
			continue
		}
		if c[name], err = strconv.ParseFloat(value, 64); err != nil {
			return c, fmt.Errorf("read metrics: %w", err)
		}
	}
	return c, lines.Err()
}

// since compares with an earlier reading, objects having been stored in between; the longest step comes first.
func (c stepClock) since(before stepClock, objects int64) []StepShare {
	var total float64
	for name, seconds := range c {
		total += seconds - before[name]
	}
	if total <= 0 || objects == 0 {
		return nil
	}
	out := make([]StepShare, 0, len(c))
	for name, seconds := range c {
		s := seconds - before[name]
		out = append(out, StepShare{Name: name, Micros: s * 1e6 / float64(objects), Percent: 100 * s / total})
	}
	slices.SortFunc(out, func(a, b StepShare) int {
		return cmp.Or(cmp.Compare(b.Percent, a.Percent), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// stepLine is one line for people: where an object's time goes on its way into the log.
func (r *Result) stepLine() string {
	var total float64
	var b strings.Builder
	for _, s := range r.Steps {
		total += s.Micros
		fmt.Fprintf(&b, "  %s %.0f%%", s.Name, s.Percent)
	}
	return fmt.Sprintf("%s %s: of %.0f µs in the server%s", r.Target, r.name(), total, b.String())
}
