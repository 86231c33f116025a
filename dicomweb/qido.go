package dicomweb

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sort"
	"strconv"

	"gantry/store"
)

// maxResultBytes bounds the body of one query response; what is beyond is cut with a warning.
const maxResultBytes = 32 << 20

// search runs one query and collects its response.
type search struct {
	g      *Gateway
	ctx    context.Context // of the request; a search lives no longer
	bucket string
	base   string // URL of the service
	q      *query
	by     [3][]condition                 // keys by level
	listed map[string][]store.InstanceRow // matching instances that the query lists by UID, by study and series; nil until it is asked for

	skip  int
	count int
	out   []byte
	more  bool // there are results beyond those in out
	merge []entry
}

// entry is one attribute of a result in the making; later levels override earlier ones.
type entry struct {
	tag   string
	value []byte
}

func (g *Gateway) newSearch(ctx context.Context, bucket, base string, q *query) *search {
	s := &search{g: g, ctx: ctx, bucket: bucket, base: base, q: q, skip: q.offset, out: []byte{'['}}
	var by [3][]key
	for _, k := range q.keys {
		by[k.level] = append(by[k.level], k)
	}
	for level := range by {
		s.by[level] = conditionsOf(by[level], 0)
	}
	return s
}

// run fills out with a JSON array.
func (s *search) run() error {
	p := planQuery(s.q)
	done, err := s.probe(p)
	if err == nil && !done {
		err = s.g.candidates(s.ctx, s.bucket, p, s.study)
	}
	s.out = append(s.out, ']')
	return err
}

// probe looks for enough matches among the newest studies, if the plan says so. If there are too few, all is as before.
func (s *search) probe(p plan) (done bool, err error) {
	if !p.probe {
		return false, nil
	}
	before := *s
	left := probeStudies
	more := true
	err = s.g.walkByDate(s.ctx, s.bucket, p, func(study string) (bool, error) {
		if left--; left < 0 {
			return false, nil
		}
		var err error
		more, err = s.study(study)
		return more, err
	})
	if err != nil || left >= 0 || !more { // an end was reached: of the results wanted, or of the studies
		return true, err
	}
	*s = before
	return false, nil
}

// add counts one match and tells whether it is to be written and whether the search goes on.
func (s *search) add() (write, more bool) {
	if s.skip > 0 {
		s.skip--
		return false, true
	}
	if s.count == s.q.limit || len(s.out) > maxResultBytes {
		s.more = true
		return false, false
	}
	s.count++
	if s.count > 1 {
		s.out = append(s.out, ',')
	}
	return true, true
}

// study handles one candidate.
func (s *search) study(uid string) (bool, error) {
	row, err := s.g.objects.Study(s.ctx, s.bucket, uid)
	if errors.Is(err, store.ErrNotFound) { // went since the index was read
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if !s.studyMatches(&row) {
		return true, nil
	}
	switch s.q.level {
	case levelStudy:
		return s.studyResult(&row)
	case levelSeries:
		return s.seriesResults(&row)
	}
	return s.instanceResults(&row)
}

func (s *search) studyMatches(row *store.StudyRow) bool {
	for _, k := range s.by[levelStudy] {
		if !s.studyKey(row, k) {
			return false
		}
	}
	return true
}

// studyKey checks one key, on what is computed where the attribute is.
func (s *search) studyKey(row *store.StudyRow, k condition) bool {
	switch k.tag {
	case "00080020": // as it is indexed, so that the same is found whatever index is used
		if r, ok := k.match.(rangeMatcher); ok && r.dates() {
			return anyText([]string{row.Date}, r)
		}
	case "00080061":
		return anyText(row.Modalities, k.match)
	case "00080062":
		return anyText(row.SOPClasses, k.match)
	case "0020000D":
		return anyText([]string{row.UID}, k.match)
	case "00201206":
		return k.match.match(strconv.AppendInt(nil, int64(row.Series), 10))
	case "00201208":
		return k.match.match(strconv.AppendInt(nil, int64(row.Instances), 10))
	case "00080056":
		return anyText([]string{"ONLINE"}, k.match)
	}
	return k.holds(row.Attrs)
}

func anyText(values []string, m matcher) bool {
	for _, v := range values {
		if m.match(appendJSONValue(nil, v)) {
			return true
		}
	}
	return false
}

func (s *search) seriesMatches(row *store.SeriesRow) bool {
	if s.q.series != "" && row.UID != s.q.series {
		return false
	}
	for _, k := range s.by[levelSeries] {
		ok := false
		switch k.tag {
		case "0020000E":
			ok = anyText([]string{row.UID}, k.match)
		case "00201209":
			ok = k.match.match(strconv.AppendInt(nil, int64(row.Instances), 10))
		default:
			ok = k.holds(row.Attrs)
		}
		if !ok {
			return false
		}
	}
	return true
}

func (s *search) instanceMatches(row *store.InstanceRow) bool {
	for _, k := range s.by[levelInstance] {
		ok := false
		switch k.tag {
		case "00080018":
			ok = anyText([]string{row.SOP}, k.match)
		case "00080016":
			ok = anyText([]string{row.SOPClass}, k.match)
		case "00083002":
			ok = anyText([]string{row.TransferSyntax}, k.match)
		default:
			ok = k.holds(row.Attrs)
		}
		if !ok {
			return false
		}
	}
	return true
}

// studyResult writes a study, if lower-level keys, where there are any, hold for something in it.
func (s *search) studyResult(row *store.StudyRow) (bool, error) {
	if len(s.by[levelSeries])+len(s.by[levelInstance]) > 0 {
		found := false
		err := s.eachSeries(row, func(series *store.SeriesRow) (bool, error) {
			var err error
			found, err = s.hasInstance(series)
			return !found, err
		})
		if err != nil || !found {
			return true, err
		}
	}
	write, more := s.add()
	if write {
		s.begin()
		s.studyEntries(row)
		s.end()
	}
	return more, nil
}

// hasInstance tells whether the instance keys hold for an instance of the series.
func (s *search) hasInstance(series *store.SeriesRow) (bool, error) {
	if len(s.by[levelInstance]) == 0 {
		return true, nil
	}
	found := false
	err := s.eachInstance(series.Study, series.UID, func(row *store.InstanceRow) bool {
		found = true
		return false
	})
	return found, err
}

// eachSeries calls fn with the matching series of a study. No iteration is open while fn runs.
func (s *search) eachSeries(study *store.StudyRow, fn func(*store.SeriesRow) (bool, error)) error {
	uids := s.q.list("0020000E")
	if s.q.series != "" {
		uids = []string{s.q.series}
	}
	if len(uids) > study.Series { // looking for each would cost more than looking at all
		uids = nil
	}
	var rows []store.SeriesRow
	var err error
	if uids == nil {
		err = s.g.objects.SeriesOf(s.ctx, s.bucket, study.UID, func(row store.SeriesRow) bool {
			if s.seriesMatches(&row) {
				rows = append(rows, row)
			}
			return true
		})
	}
	for _, uid := range uids {
		row, e := s.g.objects.SeriesRow(s.ctx, s.bucket, study.UID, uid)
		if e == nil && s.seriesMatches(&row) {
			rows = append(rows, row)
		} else if e != nil && !errors.Is(e, store.ErrNotFound) {
			return e
		}
	}
	if uids != nil {
		rows = inOrder(rows, func(row *store.SeriesRow) store.LSN { return row.LSN })
	}
	if err != nil {
		return err
	}
	for i := range rows {
		more, err := fn(&rows[i])
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// inOrder brings rows that were looked up by a list of UIDs into the order of arrival; one whose UID was listed twice is there once.
func inOrder[R any](rows []R, lsn func(*R) store.LSN) []R {
	slices.SortFunc(rows, func(a, b R) int { return cmp.Compare(lsn(&a), lsn(&b)) })
	return slices.CompactFunc(rows, func(a, b R) bool { return lsn(&a) == lsn(&b) })
}

// eachInstance calls fn with the matching instances of a series, inside the iteration: fn must not call the archive.
func (s *search) eachInstance(study, series string, fn func(*store.InstanceRow) bool) error {
	if uids := s.q.list("00080018"); uids != nil {
		rows, err := s.listedIn(uids, study, series)
		if err != nil {
			return err
		}
		for i := range rows {
			if !fn(&rows[i]) {
				break
			}
		}
		return nil
	}
	return s.g.objects.Instances(s.ctx, s.bucket, study, series, func(row store.InstanceRow) bool {
		return !s.instanceMatches(&row) || fn(&row)
	})
}

// listedIn gives the matching instances of a series by their UIDs, in order of arrival. All are looked up once, for all series.
func (s *search) listedIn(uids []string, study, series string) ([]store.InstanceRow, error) {
	if s.listed == nil {
		listed := make(map[string][]store.InstanceRow)
		for _, uid := range uids {
			row, err := s.g.objects.Instance(s.ctx, s.bucket, uid)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return nil, err
			}
			if s.instanceMatches(&row) {
				place := row.Study + "/" + row.Series
				listed[place] = append(listed[place], row)
			}
		}
		for place, rows := range listed {
			listed[place] = inOrder(rows, func(row *store.InstanceRow) store.LSN { return row.LSN })
		}
		s.listed = listed
	}
	return s.listed[study+"/"+series], nil
}

func (s *search) seriesResults(study *store.StudyRow) (bool, error) {
	more := true
	err := s.eachSeries(study, func(series *store.SeriesRow) (bool, error) {
		found, err := s.hasInstance(series)
		if err != nil || !found {
			return true, err
		}
		var write bool
		if write, more = s.add(); write {
			s.begin()
			s.studyEntries(study)
			s.seriesEntries(series)
			s.end()
		}
		return more, nil
	})
	return more, err
}

func (s *search) instanceResults(study *store.StudyRow) (bool, error) {
	more := true
	err := s.eachSeries(study, func(series *store.SeriesRow) (bool, error) {
		err := s.eachInstance(study.UID, series.UID, func(row *store.InstanceRow) bool {
			var write bool
			if write, more = s.add(); write {
				s.begin()
				s.studyEntries(study)
				s.seriesEntries(series)
				s.instanceEntries(series, row)
				s.end()
			}
			return more
		})
		return more, err
	})
	return more, err
}

// begin starts a result.
func (s *search) begin() { s.merge = s.merge[:0] }

// end writes the collected attributes in tag order, the last one of each tag.
func (s *search) end() {
	sort.SliceStable(s.merge, func(i, j int) bool { return s.merge[i].tag < s.merge[j].tag })
	s.out = append(s.out, '{')
	first := true
	for i, e := range s.merge {
		if i+1 < len(s.merge) && s.merge[i+1].tag == e.tag {
			continue
		}
		if !first {
			s.out = append(s.out, ',')
		}
		first = false
		s.out = append(s.out, '"')
		s.out = append(s.out, e.tag...)
		s.out = append(s.out, `":`...)
		s.out = append(s.out, e.value...)
	}
	s.out = append(s.out, '}')
}
