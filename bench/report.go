package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"text/tabwriter"
	"time"
)

// A Report is everything that one run measured.
type Report struct {
	Started    time.Time   `json:"started"`
	Seed       uint64      `json:"seed"`
	CPUs       int         `json:"cpus"`
	Targets    []Target    `json:"targets"`
	Results    []*Result   `json:"results"`
	Yardsticks []*Result   `json:"yardsticks,omitempty"`
	Comparison interface{} `json:"comparison,omitempty"` // filled by bench/compare
}

// NewReport starts a report now.
func NewReport(seed uint64, targets ...Target) *Report {
	return &Report{Started: time.Now().UTC().Truncate(time.Second), Seed: seed, CPUs: runtime.NumCPU(), Targets: targets}
}

// Failed tells whether any operation failed.
func (r *Report) Failed() bool {
	for _, res := range r.Results {
		if res.Errors > 0 {
			return true
		}
	}
	return false
}

// WriteJSON writes the report for machines.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	return enc.Encode(r)
}

// WriteTable writes the report for people: latencies in ms, CPU in µs per operation, memory in MB.
func (r *Report) WriteTable(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "seed %d, %d CPUs\n\n", r.Seed, r.CPUs); err != nil {
		return err
	}
	return WriteResults(w, append(r.Results[:len(r.Results):len(r.Results)], r.Yardsticks...))
}

// WriteResults writes one line for each result.
func WriteResults(w io.Writer, results []*Result) error {
	t := tabwriter.NewWriter(w, 2, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(t, "target\tworkload\tc\tops\tops/s\tobj/s\tMB/s\tp50\tp90\tp99\tp99.9\tmax\terrors\t"+
		"client µs/op\tserver µs/op\tRssAnon MB\twritten/op\t") // the writer keeps errors until Flush
	for _, r := range results {
		l := r.LatencyMS
		_, _ = fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%s\t%s\t%.1f\t%s\t%s\t%s\t%s\t%s\t%d\t%.0f\t%s\t\n",
			r.Target, r.name(), r.Concurrency, r.Operations, short(r.OpsPerSecond), short(r.ObjsPerSecond), r.MBPerSecond,
			short(l.P50), short(l.P90), short(l.P99), short(l.P999), short(l.Max), r.Errors, r.ClientPerOp, r.Server.columns())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, r := range results {
		for _, note := range r.notes() {
			if _, err := fmt.Fprintln(w, note); err != nil {
				return err
			}
		}
	}
	return nil
}

// notes are what has no column.
func (r *Result) notes() []string {
	var out []string
	add := func(format string, args ...any) {
		out = append(out, r.Target+" "+r.name()+": "+fmt.Sprintf(format, args...))
	}
	if len(r.Steps) > 0 {
		out = append(out, r.stepLine())
	}
	if r.GaveUp > 0 {
		add("%d of %d workers gave up after %d errors in a row", r.GaveUp, r.Concurrency, maxStreak)
	}
	if r.NotBegun > 0 {
		add("at this rate, %d operations were not begun in time, and have no latency", r.NotBegun)
	}
	if r.SentAgain > 0 {
		add("%d requests were sent again: the server had closed their connections without an answer", r.SentAgain)
	}
	for _, text := range r.ErrorTexts {
		add("%s", text)
	}
	return out
}

// name is the workload with all that tells it from others.
func (r *Result) name() string {
	name := r.Workload
	if r.SizeBytes > 0 {
		name += " " + byteSize(r.SizeBytes)
	}
	if r.PerRequest > 1 {
		name += fmt.Sprintf(" ×%d", r.PerRequest)
	}
	if r.RateWanted > 0 {
		name += fmt.Sprintf(" @%g/s", r.RateWanted)
	}
	return name
}

func (u *ServerUsage) columns() string {
	if u == nil {
		return "-\t-\t-"
	}
	written := fmt.Sprintf("%.0f", u.WrittenPerOp)
	if u.DiskUnknown {
		written = "?"
	}
	return fmt.Sprintf("%.0f\t%.0f\t%s", u.CPUPerOp, float64(u.RssAnonBytes)/1e6, written)
}

// short gives a number three significant digits.
func short(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

func byteSize(n int64) string {
	for _, unit := range []struct {
		size int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= unit.size && n%unit.size == 0 {
			return fmt.Sprintf("%d %s", n/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}
