package scenario

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"gantry/bench"
)

// scaleGoal is what one result of a full store is held to.
type scaleGoal struct {
	result string
	goal   Goal
}

// scaleGoals are what a store of a million instances is held to, or of ten. Latencies in ms, memory in MB. Searching inside
// patient IDs looks at all of them, so it has a bound for a million only.
func scaleGoals(instances int) []scaleGoal {
	wildcard, dates, memory := 50.0, 5.0, 512.0
	if instances > 1_000_000 {
		wildcard, dates, memory = 0, 10, 1000
	}
	return []scaleGoal{
		{bench.ScalePatient, Goal{Metric: "p99_ms", AtMost: 5, Limit: true}},
		{bench.ScaleWildcard, Goal{Metric: "p99_ms", AtMost: wildcard, Limit: true}},
		{bench.ScaleDates, Goal{Metric: "p99_ms", AtMost: dates, Limit: true}},
		{bench.ScaleList, Goal{Metric: "p99_ms", AtMost: 10, Limit: true}},
		{bench.ScaleIngest, Goal{Metric: "server_rss_anon_mb", AtMost: memory, Limit: true}},
		{bench.ScaleIngestEnd, Goal{Metric: "server_rss_anon_mb", AtMost: memory, Limit: true}},
		{bench.ScaleWildcard, Goal{Metric: "server_rss_anon_mb", AtMost: memory, Limit: true}},
	}
}

// restartGoal is how long a full store may take to answer again, in ms.
const restartGoal = 5000

// Scale starts gantry, fills it with tiny instances, measures it, and restarts it.
func Scale(ctx context.Context, o Options, so bench.ScaleOptions) (report *bench.Report, rows []Row, err error) {
	launch := Launch{Dir: filepath.Join(o.Dir, "gantry"), Gantry: o.Gantry}
	p, err := Start(ctx, "gantry", launch)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if p != nil {
			p.Stop()
		}
	}()
	p.Target.Name = "gantry"
	so.Seed, so.Bucket = o.Seed, gantryArchive
	report, err = bench.Scale(ctx, p.Target, so, o.Progress)
	if err != nil && !errors.Is(err, bench.ErrFailed) {
		return report, nil, err
	}
	rows = scaleRows(report, so.Instances)
	p.Stop()
	if size, err := fileSize(launch.Dir, "catalog.db"); err == nil && so.Instances > 0 {
		rows = append(rows, Row{Name: "catalog", Of: "gantry", Metric: "bytes_per_instance",
			OfMedian: float64(size) / float64(so.Instances), Rounds: 1, Goal: Goal{Metric: "bytes_per_instance"}, Met: true})
	}
	begin := time.Now()
	if p, err = Start(ctx, "gantry", launch); err != nil {
		return report, rows, fmt.Errorf("restart: %w", err)
	}
	millis := float64(time.Since(begin).Milliseconds())
	rows = append(rows, Row{Name: "restart to ready", Of: "gantry", Metric: "ms", OfMedian: millis, Rounds: 1,
		Goal: Goal{Metric: "ms", AtMost: restartGoal, Limit: true}, Met: millis <= restartGoal})
	report.Comparison = rows
	return report, rows, nil
}

// fileSize looks for a file below a directory.
func fileSize(dir, name string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.Name() != name {
			return err
		}
		info, err := e.Info()
		if err == nil {
			size = info.Size()
		}
		return err
	})
	return size, err
}

// gantryArchive is the bucket behind gantry's /dicomweb.
const gantryArchive = "dicom"

func scaleRows(report *bench.Report, instances int) []Row {
	by := make(map[string]*bench.Result)
	for _, r := range report.Results {
		by[r.Workload] = r
	}
	var rows []Row
	for _, g := range scaleGoals(instances) {
		if r := by[g.result]; r != nil {
			c := Comparison{Name: g.result, Of: r.Target}
			row := c.row(g.goal, []pair{{of: r}})
			if r.Errors > 0 {
				row.Met, row.Note = false, fmt.Sprintf("%d errors: %v", r.Errors, r.ErrorTexts)
			}
			rows = append(rows, row)
		}
	}
	ratio := func(name, base string, g Goal) {
		if a, b := by[name], by[base]; a != nil && b != nil {
			c := Comparison{Name: name + " / " + base, Of: a.Target, Against: b.Target}
			rows = append(rows, c.row(g, []pair{{of: a, to: b}}))
		}
	}
	ratio(bench.ScaleIngestEnd, bench.ScaleIngestStart, Goal{Metric: "objects_per_s", AtLeast: 0.8})
	ratio(bench.ScaleGetEnd, bench.ScaleGetStart, Goal{Metric: "p50_ms", AtMost: 1.2})
	return rows
}
