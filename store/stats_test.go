package store_test

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gantry/internal/vfs"
	"gantry/store"
	"gantry/store/catalog"
)

func TestStatsMeasureIngestByTheLogItself(t *testing.T) {
	now := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	cfg := store.Config{Dir: t.TempDir(), SegmentBytes: 1 << 20, Clock: func() time.Time { return now }}
	s := open(t, cfg)
	mustBucket(t, s, "days", store.BucketSettings{})
	var before store.LSN
	for day := range 40 { // a segment a day, of which those of the last fortnight count
		if day == 26 {
			before = s.End()
		}
		put(t, s, "days", fmt.Sprint(day), noise(uint64(day), 900<<10))
		now = now.Add(24 * time.Hour)
	}
	st, err := s.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := st.Ingest.Span, 14*24*time.Hour; got != want {
		t.Errorf("span: got %v, want %v", got, want)
	}
	if got, want := st.Ingest.Bytes, int64(s.End()-before); got != want {
		t.Errorf("bytes: got %d, want %d", got, want)
	}
	if st.Commits.Count < 41 || st.Commits.P50 <= 0 || st.Commits.P99 < st.Commits.P50 || st.Commits.Last <= 0 {
		t.Errorf("commits: %+v", st.Commits)
	}
	if want := now.Add(-24 * time.Hour); !st.LastWrite.Equal(want) {
		t.Errorf("last write: got %v, want %v", st.LastWrite, want)
	}
	if st.LogID == "" || st.Epoch == 0 || st.Segments < 40 || st.End != s.End() || st.Full || st.Broken != nil {
		t.Errorf("stats: %+v", st)
	}
}

func TestReadyTellsWhyNot(t *testing.T) {
	cfg := store.Config{Dir: t.TempDir(), MinFreeBytes: 1}
	s := open(t, cfg)
	if err := s.Ready(); err != nil {
		t.Errorf("an open store with room: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(); !errors.Is(err, store.ErrClosed) {
		t.Errorf("a closed store: got %v, want ErrClosed", err)
	}
	cfg.MinFreeBytes = math.MaxInt64
	s = open(t, cfg)
	if err := s.Ready(); !errors.Is(err, store.ErrFull) {
		t.Errorf("a full disk: got %v, want ErrFull", err)
	}
	if st, err := s.Stats(t.Context()); err != nil || !st.Full {
		t.Errorf("stats of a full disk: %+v, %v", st, err)
	}
}

func TestTimeDoesNotRunBackwardsOverARestart(t *testing.T) {
	now := time.Date(2024, 1, 2, 0, 0, 0, 0, time.UTC)
	cfg := store.Config{Dir: t.TempDir(), Clock: func() time.Time { return now }}
	s := open(t, cfg)
	mustBucket(t, s, "days", store.BucketSettings{})
	first := put(t, s, "days", "first", nil).Modified
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	now = now.Add(-24 * time.Hour)
	s = open(t, cfg)
	if st, err := s.Stats(t.Context()); err != nil || !st.LastWrite.Equal(first) {
		t.Errorf("last write after the restart: got %v, %v, want %v", st.LastWrite, err, first)
	}
	if second := put(t, s, "days", "second", nil).Modified; second.Before(first) {
		t.Errorf("the clock went back, and with it the log: %v, then %v", first, second)
	}
}

// TestDiskMetricsAreOfNow: who scrapes a server that nobody writes to learns that something else fills its disk.
func TestDiskMetricsAreOfNow(t *testing.T) {
	fs := vfs.NewMem()
	fs.SetCapacity(1 << 30)
	reg := prometheus.NewRegistry()
	d := disk{fs: fs, cat: catalog.NewMemDisk()}
	cfg := d.config()
	cfg.Registerer = reg
	open(t, cfg)
	fs.SetCapacity(64 << 20)
	_, want, err := fs.Free("/")
	if err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if v := f.GetMetric()[0].GetGauge().GetValue(); f.GetName() == "gantry_store_disk_size_bytes" && v != float64(want) {
			t.Errorf("the disk has %d bytes, the metric says %v", want, v)
		} else if f.GetName() == "gantry_store_disk_free_bytes" && (v <= 0 || v > float64(want)) {
			t.Errorf("of %d bytes the metric says that %v are free", want, v)
		}
	}
}
