package store

import (
	"testing"
	"time"
)

// TestPercentilesOfFewCommits: of fewer than a hundred commits the slowest one counts.
func TestPercentilesOfFewCommits(t *testing.T) {
	for n, want := range map[int]Commits{
		1:            {Count: 1, Last: 1, P50: 1, P99: 1},
		2:            {Count: 2, Last: 2, P50: 1, P99: 2},
		50:           {Count: 50, Last: 50, P50: 25, P99: 50},
		100:          {Count: 100, Last: 100, P50: 50, P99: 99},
		200:          {Count: 200, Last: 200, P50: 100, P99: 198},
		commitWindow: {Count: commitWindow, Last: commitWindow, P50: commitWindow / 2, P99: 507},
	} {
		var c commitTimes
		for took := range n {
			c.add(time.Duration(took + 1))
		}
		got := c.stats()
		got.Since = time.Time{}
		if got != want {
			t.Errorf("%d commits: got %+v, want %+v", n, got, want)
		}
	}
}
