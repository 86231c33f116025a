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
)

// TestScale fills gantry with tiny instances and holds it to its memory and its latencies: a million of them, and only where
// GANTRY_LONG allows tests to take longer than CI has; else so few that the figures mean nothing and only the way is tested.
func TestScale(t *testing.T) {
	long := os.Getenv("GANTRY_LONG") != ""
	dir := t.TempDir()
	gantry := filepath.Join(t.TempDir(), "gantry")
	if out, err := exec.Command("go", "build", "-o", gantry, "gantry/cmd/gantry").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	so := bench.ScaleOptions{Instances: 2000, PerRequest: 50, Concurrency: 4, Duration: time.Second}
	if long {
		so.Instances, so.Duration = 1_000_000, 10*time.Second
	}
	var progress bytes.Buffer
	_, rows, err := scenario.Scale(t.Context(), scenario.Options{Gantry: gantry, Dir: dir, Seed: 1, Progress: &progress}, so)
	if err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	if len(rows) < 10 {
		t.Errorf("%d rows", len(rows))
	}
	for _, r := range rows {
		t.Logf("%s: %s %.4g", r.Name, r.Metric, r.OfMedian)
		absolute := r.Goal.Limit && (r.Metric == "p99_ms" || r.Metric == "server_rss_anon_mb")
		if !r.Met && absolute && (long || r.Metric == "server_rss_anon_mb") {
			t.Errorf("%s: %s is %.4g, at most %.4g is allowed", r.Name, r.Metric, r.OfMedian, r.Goal.AtMost)
		}
	}
}
