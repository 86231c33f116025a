package scenario_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"gantry/bench"
	"gantry/bench/scenario"

	"golang.org/x/sys/unix"
)

// TestScale fills gantry with tiny instances and holds it to its memory and its latencies: a million of them, then ten, and only
// where GANTRY_LONG allows tests to take longer than CI has; else so few that the figures mean nothing and only the way is tested.
func TestScale(t *testing.T) {
	gantry := filepath.Join(t.TempDir(), "gantry")
	if out, err := exec.Command("go", "build", "-o", gantry, "gantry/cmd/gantry").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	if os.Getenv("GANTRY_LONG") == "" {
		scale(t, gantry, bench.ScaleOptions{Instances: 2000, Duration: time.Second}, func(r scenario.Row) bool {
			return r.Goal.Limit && r.Metric == "server_rss_anon_mb"
		})
		return
	}
	t.Run("million", func(t *testing.T) {
		scale(t, gantry, bench.ScaleOptions{Instances: 1_000_000, Duration: 10 * time.Second}, func(r scenario.Row) bool { return r.Goal.Limit })
	})
	t.Run("ten million", func(t *testing.T) {
		const room = 80 << 30 // bytes: the log, the catalog, and what gantry leaves free
		var disk unix.Statfs_t
		if err := unix.Statfs(os.TempDir(), &disk); err != nil || int64(disk.Bavail)*disk.Bsize < room {
			t.Fatalf("TMPDIR must be on a disk with 80 GiB to spare: %d, %v", int64(disk.Bavail)*disk.Bsize, err)
		}
		scale(t, gantry, bench.ScaleOptions{Instances: 10_000_000, Duration: 10 * time.Second}, func(scenario.Row) bool { return true })
	})
}

// scale fills a store and reports the goals that are not met, of those that hold here.
func scale(t *testing.T, gantry string, so bench.ScaleOptions, holds func(scenario.Row) bool) {
	so.PerRequest, so.Concurrency = 50, 4
	var progress bytes.Buffer
	_, rows, err := scenario.Scale(t.Context(), scenario.Options{Gantry: gantry, Dir: t.TempDir(), Seed: 1, Progress: &progress}, so)
	if err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	if len(rows) < 10 {
		t.Errorf("%d rows", len(rows))
	}
	for _, r := range rows {
		t.Logf("%s: %s %.4g, ratio %.3g", r.Name, r.Metric, r.OfMedian, r.Ratio)
		if !r.Met && holds(r) {
			t.Errorf("%s: %s is %.4g, ratio %.3g; the goal is %+v", r.Name, r.Metric, r.OfMedian, r.Ratio, r.Goal)
		}
	}
}
