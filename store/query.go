package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"gantry/store/catalog"
)

// scanChunk is how many keys a scan reads in one snapshot: long ones would keep the catalog's file growing.
const scanChunk = 20000

// scan calls fn for keys from lo to hi, in a new snapshot every scanChunk keys.
func (s *Store) scan(ctx context.Context, lo, hi []byte, fn func(k, v []byte) (bool, error)) error {
	for {
		n, more := 0, true
		var last []byte
		var ferr error
		err := catalog.Scan(s.catalog, lo, hi, func(k, v []byte) bool {
			more, ferr = fn(k, v)
			n++
			last = k
			return more && ferr == nil && n < scanChunk
		})
		if err := firstError(ferr, closedOr(err), context.Cause(ctx)); err != nil {
			return err
		}
		if !more || n < scanChunk {
			return nil
		}
		lo = catalog.After(last)
	}
}

// Search goes through a study-level index in order, from lo up to but not including hi; an empty hi has no end. For
// ByDate the order is newest first, and lo and hi are dates as written, lo the older. fn returns false to stop.
// Errors: ErrNoBucket, and ctx's.
func (s *Store) Search(ctx context.Context, bucket string, ix Index, lo, hi string, fn func(Hit) bool) error {
	b, err := getBucket(s.catalog, bucket)
	if err != nil {
		return err
	}
	root := indexPrefix(b.ID, ix)
	from, to := searchBounds(b.ID, ix, lo, hi)
	return s.scan(ctx, from, to, func(k, v []byte) (bool, error) {
		h, err := decodeHit(ix, k[len(root):], v)
		if err != nil {
			return false, fmt.Errorf("search index: %w", err)
		}
		if ix == ByDate && (h.Value < lo || hi != "" && h.Value >= hi) {
			return true, nil // the neighbours of an inverted bound
		}
		return fn(h), nil
	})
}

func searchBounds(bucket uint64, ix Index, lo, hi string) (from, to []byte) {
	root := indexPrefix(bucket, ix)
	from, to = root, catalog.PrefixEnd(root)
	if ix == ByDate {
		if hi != "" {
			from = indexValueKey(bucket, ix, hi)
		}
		if lo != "" {
			to = catalog.PrefixEnd(indexValueKey(bucket, ix, lo))
		}
		return from, to
	}
	if lo != "" {
		from = indexValueKey(bucket, ix, lo)
	}
	if hi != "" {
		to = indexValueKey(bucket, ix, hi)
	}
	return from, to
}

// decodeHit makes one string of all but the indexed value and cuts the fields out of it: a scan decodes every hit of an index.
func decodeHit(ix Index, key, value []byte) (Hit, error) {
	cut := catalog.CutString
	if ix == ByDate {
		cut = catalog.CutInvertedString
	}
	v, study, err := cut(key)
	if err != nil {
		return Hit{}, err
	}
	var buf [128]byte
	text := string(append(append(buf[:0], study...), value...))
	d := decoder{b: value, of: text}
	h := Hit{Value: v, Study: text[:len(study)], Detail: d.str(), Date: d.str(), Time: d.str()}
	return h, d.err
}

// Study gives a study: ErrNoBucket, ErrNotFound.
func (s *Store) Study(_ context.Context, bucket, study string) (StudyRow, error) {
	b, err := getBucket(s.catalog, bucket)
	if err != nil {
		return StudyRow{}, err
	}
	v, err := getStudy(s.catalog, b.ID, study)
	if err != nil {
		return StudyRow{}, err
	}
	if v == nil {
		return StudyRow{}, ErrNotFound
	}
	row := StudyRow{
		UID: study, LSN: v.LSN, Attrs: v.Attrs, Series: v.Series, Instances: v.Instances, SOPClasses: v.Classes.names(),
		Modalities: v.modalities(), Conflict: v.conflict(), Date: v.Date, Time: v.Time, Modified: time.Unix(0, v.Modified).UTC(),
	}
	return row, nil
}

// Conflicts lists the studies whose instances disagree on the patient, by UID.
func (s *Store) Conflicts(ctx context.Context, bucket string, fn func(study string) bool) error {
	b, err := getBucket(s.catalog, bucket)
	if err != nil {
		return err
	}
	prefix := inBucket(spaceConflict, b.ID)
	return s.scan(ctx, prefix, catalog.PrefixEnd(prefix), func(k, _ []byte) (bool, error) {
		return fn(string(k[len(prefix):])), nil
	})
}

// SeriesOf goes through the series of a study, those that arrived first first. A study that does not exist has none.
func (s *Store) SeriesOf(ctx context.Context, bucket, study string, fn func(SeriesRow) bool) error {
	b, err := getBucket(s.catalog, bucket)
	if err != nil {
		return err
	}
	prefix := seriesPrefix(b.ID, study)
	var rows []SeriesRow
	err = s.scan(ctx, prefix, catalog.PrefixEnd(prefix), func(k, v []byte) (bool, error) {
		uid, _, err := catalog.CutUID(k[len(prefix):])
		if err != nil {
			return false, err
		}
		row, err := s.seriesRow(b.ID, study, uid, v)
		rows = append(rows, row)
		return true, err
	})
	if err != nil {
		return err
	}
	slices.SortFunc(rows, func(a, b SeriesRow) int {
		if a.LSN != b.LSN {
			return compareLSN(a.LSN, b.LSN)
		}
		return strings.Compare(a.UID, b.UID)
	})
	for _, r := range rows {
		if !fn(r) {
			return nil
		}
	}
	return nil
}

func compareLSN(a, b LSN) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// SeriesRow gives one series: ErrNoBucket, ErrNotFound.
func (s *Store) SeriesRow(_ context.Context, bucket, study, series string) (SeriesRow, error) {
	b, err := getBucket(s.catalog, bucket)
	if err != nil {
		return SeriesRow{}, err
	}
	v, ok, err := s.catalog.Get(seriesKey(b.ID, study, series))
	if err != nil {
		return SeriesRow{}, err
	}
	if !ok {
		return SeriesRow{}, ErrNotFound
	}
	return s.seriesRow(b.ID, study, series, v)
}

// StudiesWith calls fn with the studies in which a Series Instance UID occurs, by UID: more than one only if a sender broke the rules.
// Errors: ErrNoBucket, and ctx's.
func (s *Store) StudiesWith(ctx context.Context, bucket, series string, fn func(study string) bool) error {
	b, err := getBucket(s.catalog, bucket)
	if err != nil {
		return err
	}
	prefix := seriesUIDPrefix(b.ID, series)
	return s.scan(ctx, prefix, catalog.PrefixEnd(prefix), func(k, _ []byte) (bool, error) {
		study, _, err := catalog.CutUID(k[len(prefix):])
		return err == nil && fn(study), err
	})
}

func (s *Store) seriesRow(bucket uint64, study, uid string, v []byte) (SeriesRow, error) {
	d, err := decodeSeries(v)
	if err != nil {
		return SeriesRow{}, err
	}
	studies := 0
	prefix := seriesUIDPrefix(bucket, uid)
	err = catalog.Scan(s.catalog, prefix, catalog.PrefixEnd(prefix), func(_, _ []byte) bool {
		studies++
		return studies < 2
	})
	return SeriesRow{
		Study: study, UID: uid, LSN: d.LSN, Attrs: d.Attrs, Instances: d.Instances, Modality: d.Modality,
		Conflict: studies > 1, Modified: time.Unix(0, d.Modified).UTC(),
	}, err
}

// Instances goes through the indexed instances of a series in order of arrival, or of a whole study, series by series,
// if series is empty. Frame tables are left out of the rows.
func (s *Store) Instances(ctx context.Context, bucket, study, series string, fn func(InstanceRow) bool) error {
	b, err := getBucket(s.catalog, bucket)
	if err != nil {
		return err
	}
	root := instancePrefix(b.ID, study, "")
	prefix := instancePrefix(b.ID, study, series)
	return s.scan(ctx, prefix, catalog.PrefixEnd(prefix), func(k, v []byte) (bool, error) {
		uid, rest, err := catalog.CutUID(k[len(root):])
		if err != nil {
			return false, err
		}
		row, err := decodeInstance(v)
		if err != nil {
			return false, err
		}
		return fn(row.row(study, uid, LSN(tailUint64(rest)))), nil
	})
}

// byUID calls fn with where an indexed instance is, and a snapshot to read on in: ErrNoBucket, ErrNotFound, and fn's errors.
func (s *Store) byUID(bucket, sop string, fn func(r catalog.Reader, bucket uint64, at *sopEntry) error) error {
	b, err := getBucket(s.catalog, bucket)
	if err != nil {
		return err
	}
	snap := s.catalog.Snapshot()
	defer snap.Close()
	at, err := getIndexed(snap, b.ID, sop)
	if err != nil {
		return err
	}
	if at == nil {
		return ErrNotFound
	}
	return fn(snap, b.ID, at)
}

// InstanceInfo finds the object of an indexed instance by its SOP Instance UID alone. Errors: ErrNoBucket, ErrNotFound.
func (s *Store) InstanceInfo(_ context.Context, bucket, sop string) (Info, error) {
	k, e, err := s.instanceEntry(bucket, sop)
	if err != nil {
		return Info{}, err
	}
	return e.info(k), nil
}

func (s *Store) instanceEntry(bucket, sop string) (k Key, e *entry, err error) {
	err = s.byUID(bucket, sop, func(r catalog.Reader, id uint64, at *sopEntry) (err error) {
		k = Key{Bucket: bucket, Name: at.key}
		e, err = getEntry(r, id, at.key)
		if err != nil || e == nil || e.Instance == nil || e.LSN != at.lsn {
			return firstError(err, fmt.Errorf("instance %s has no entry: %w", at.lsn, ErrCorrupt))
		}
		return nil
	})
	return k, e, err
}

// Instance finds the row of an indexed instance by its SOP Instance UID alone, as Instances gives it. Errors: ErrNoBucket, ErrNotFound.
func (s *Store) Instance(_ context.Context, bucket, sop string) (row InstanceRow, err error) {
	err = s.byUID(bucket, sop, func(r catalog.Reader, id uint64, at *sopEntry) error {
		v, ok, err := r.Get(instanceKey(id, at.study, at.series, at.lsn))
		if err != nil || !ok {
			return firstError(err, fmt.Errorf("instance %s has no row: %w", at.lsn, ErrCorrupt))
		}
		d, err := decodeInstance(v)
		if err != nil {
			return err
		}
		row = d.row(at.study, at.series, at.lsn)
		return nil
	})
	return row, err
}

// Totals are the counters of a bucket.
type Totals struct {
	Objects, Bytes int64
	Duplicates     int64 // DICOM objects whose SOP Instance UID an older one holds
	Unindexed      int64 // objects that are not DICOM
}

// Totals gives the counters of a bucket: ErrNoBucket.
func (s *Store) Totals(_ context.Context, bucket string) (Totals, error) {
	b, err := getBucket(s.catalog, bucket)
	if err != nil {
		return Totals{}, err
	}
	t, err := getTotals(s.catalog, b.ID)
	return Totals(t), err
}
