package console

import (
	"context"
	"fmt"
	"time"

	"gantry/store"
)

// Source is what the status is made from. *store.Store is one.
type Source interface {
	Stats(ctx context.Context) (store.Stats, error)
	Buckets(ctx context.Context) ([]store.Bucket, error)
	Totals(ctx context.Context, bucket string) (store.Totals, error)
	Conflicts(ctx context.Context, bucket string, fn func(study string) bool) error
	Damage() []store.Damage
}

var _ Source = (*store.Store)(nil)

// Status is the answer of /api/status, and of `gantry status --json`. Sizes are in bytes, times are UTC. It holds no patient
// data: no keys, no UIDs, only names of buckets.
type Status struct {
	Version       string    `json:"version"`
	Time          time.Time `json:"time"`
	Started       time.Time `json:"started,omitzero"` // left out if no server runs
	UptimeSeconds int64     `json:"uptime_seconds,omitempty"`

	Overall Level   `json:"overall"` // the worst of the verdicts
	Safe    Verdict `json:"safe"`
	Fast    Verdict `json:"fast"`
	Full    Verdict `json:"full"`
	Tidy    Verdict `json:"tidy"`

	Disk    Disk     `json:"disk"`
	Log     Log      `json:"log"`
	Commits Commits  `json:"commits"`
	Totals  Counts   `json:"totals"`
	Buckets []Bucket `json:"buckets"`
	Damage  []Damage `json:"damage"` // at most maxDamage places
}

// Disk is the space that the data directory has.
type Disk struct {
	SizeBytes    uint64 `json:"size_bytes"`
	FreeBytes    uint64 `json:"free_bytes"`
	ReserveBytes uint64 `json:"reserve_bytes"` // of the free bytes, kept for deletes
	Full         bool   `json:"full"`
	// IngestBytesPerDay and DaysUntilFull are null while nothing is known, or nothing comes in.
	IngestBytesPerDay *float64 `json:"ingest_bytes_per_day"`
	DaysUntilFull     *float64 `json:"days_until_full"`
	MeasuredSeconds   int64    `json:"measured_seconds"` // the span that the ingest was taken over
}

// Log describes the log.
type Log struct {
	ID            string     `json:"id"`
	Epoch         uint64     `json:"epoch"`
	EndLSN        string     `json:"end_lsn"` // 16 hex digits
	Bytes         int64      `json:"bytes"`
	Segments      int        `json:"segments"`
	LastWrite     *time.Time `json:"last_write"`
	CatalogBehind int64      `json:"catalog_behind_bytes"`
	Broken        bool       `json:"broken"`
	DamageFound   int64      `json:"damage_found"`
}

// Commits tells how long the last group commits took, in milliseconds.
type Commits struct {
	Count int       `json:"count"`
	Since time.Time `json:"since,omitzero"`
	Last  float64   `json:"last_ms"`
	P50   float64   `json:"p50_ms"`
	P99   float64   `json:"p99_ms"`
}

// Counts are the counters of one bucket, or of all.
type Counts struct {
	Objects    int64 `json:"objects"`
	Bytes      int64 `json:"bytes"`
	Duplicates int64 `json:"duplicates"` // objects whose SOP Instance UID an older one holds
	Unindexed  int64 `json:"unindexed"`  // objects in a dicom bucket that are not DICOM
	Conflicts  int64 `json:"conflicts"`  // studies whose instances name several patients; counted up to maxConflicts
}

// Bucket is one bucket.
type Bucket struct {
	Name   string `json:"name"`
	DICOM  bool   `json:"dicom"`
	Strict bool   `json:"strict"`
	Counts
}

// Damage is a stretch of the log that was found unreadable at the start.
type Damage struct {
	Segment string `json:"segment"`
	FromLSN string `json:"from_lsn"`
	ToLSN   string `json:"to_lsn"`
	Detail  string `json:"detail"`
}

// Bounds of an answer.
const (
	maxDamage    = 100
	maxConflicts = 1000
)

// Collect makes the status of a store at the time now.
func Collect(ctx context.Context, src Source, version string, now time.Time) (*Status, error) {
	st, err := src.Stats(ctx)
	if err != nil {
		return nil, fmt.Errorf("figures of the store: %w", err)
	}
	s := &Status{Version: version, Time: now.UTC().Truncate(time.Second), Disk: diskOf(&st), Log: logOf(&st), Commits: commitsOf(st.Commits)}
	if s.Buckets, err = bucketsOf(ctx, src); err != nil {
		return nil, err
	}
	for _, b := range s.Buckets {
		s.Totals.add(b.Counts)
	}
	s.Damage = damageOf(src.Damage())
	s.judge()
	return s, nil
}

// minIngestSpan is how long a log must be watched before its growth says anything.
const minIngestSpan = time.Hour

func diskOf(st *store.Stats) Disk {
	d := Disk{
		SizeBytes: st.DiskBytes, FreeBytes: st.FreeBytes, ReserveBytes: st.ReserveBytes, Full: st.Full,
		MeasuredSeconds: int64(st.Ingest.Span.Seconds()),
	}
	if st.Ingest.Span < minIngestSpan || st.Ingest.Bytes <= 0 {
		return d
	}
	perDay := float64(st.Ingest.Bytes) / (st.Ingest.Span.Hours() / 24)
	days := max(float64(st.FreeBytes)-float64(st.ReserveBytes), 0) / perDay
	d.IngestBytesPerDay, d.DaysUntilFull = &perDay, &days
	return d
}

func logOf(st *store.Stats) Log {
	l := Log{
		ID: st.LogID, Epoch: st.Epoch, EndLSN: st.End.String(), Bytes: int64(st.End), Segments: st.Segments,
		CatalogBehind: st.CatalogBehind, Broken: st.Broken != nil, DamageFound: st.DamageFound,
	}
	if !st.LastWrite.IsZero() {
		l.LastWrite = &st.LastWrite
	}
	return l
}

func commitsOf(c store.Commits) Commits {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return Commits{Count: c.Count, Since: c.Since.UTC().Truncate(time.Second), Last: ms(c.Last), P50: ms(c.P50), P99: ms(c.P99)}
}

func bucketsOf(ctx context.Context, src Source) ([]Bucket, error) {
	list, err := src.Buckets(ctx)
	if err != nil {
		return nil, fmt.Errorf("list buckets: %w", err)
	}
	out := make([]Bucket, 0, len(list))
	for _, b := range list {
		t, err := src.Totals(ctx, b.Name)
		if err != nil {
			continue // deleted meanwhile
		}
		row := Bucket{Name: b.Name, DICOM: b.Settings.DICOM, Strict: b.Settings.Strict}
		row.Counts = Counts{Objects: t.Objects, Bytes: t.Bytes, Duplicates: t.Duplicates}
		if row.DICOM {
			row.Unindexed = t.Unindexed
			err = src.Conflicts(ctx, b.Name, func(string) bool {
				row.Conflicts++
				return row.Conflicts < maxConflicts
			})
		}
		if err != nil {
			continue
		}
		out = append(out, row)
	}
	return out, nil
}

func (c *Counts) add(o Counts) {
	c.Objects += o.Objects
	c.Bytes += o.Bytes
	c.Duplicates += o.Duplicates
	c.Unindexed += o.Unindexed
	c.Conflicts += o.Conflicts
}

func damageOf(list []store.Damage) []Damage {
	out := make([]Damage, 0, min(len(list), maxDamage))
	for _, d := range list[:min(len(list), maxDamage)] {
		out = append(out, Damage{Segment: d.Segment, FromLSN: d.From.String(), ToLSN: d.To.String(), Detail: d.Detail})
	}
	return out
}
