package dicomweb

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"gantry/dicomweb/part10"
	"gantry/store"
)

// Bounds of what a plan holds in memory.
const (
	maxCandidates = 20000 // studies collected from an index; more means that walking by date is better
	scanPage      = 512   // studies read from the date index at a time
	probeStudies  = 512   // newest studies looked at before an index that may hold very many matches
	narrowDays    = 31    // a date range up to this is narrower than a pattern on another index
)

// plan says where the candidate studies of a query come from: a list of UIDs, one search index, or, with neither, the
// index by date from newest to oldest within lo and hi.
type plan struct {
	studies []string // exact study UIDs
	series  []string // exact Series Instance UIDs
	sops    []string // exact SOP Instance UIDs
	index   store.Index
	ranges  [][2]string       // lo, hi of each search of index
	accept  func(string) bool // on the indexed value; nil accepts
	lo, hi  string            // bounds on the date index

	// probe says that the index may hold very many matches, so that it pays to look among the newest studies first.
	probe     bool
	firstPage int // studies to read from the date index before the first is looked at
}

// planQuery picks the narrowest index. Every key is checked again on the rows, so the choice decides only the cost.
func planQuery(q *query) plan {
	const leastPage = 16
	p := plan{firstPage: min(max(q.offset+q.limit+1, leastPage), scanPage)}
	if q.study != "" {
		p.studies = []string{q.study}
		return p
	}
	if l := q.list("0020000D"); l != nil {
		p.studies = l
		return p
	}
	if l := q.list("00080018"); l != nil {
		p.sops = l
		return p
	}
	if l := q.list("0020000E"); l != nil {
		p.series = l
		return p
	}
	days := p.dates(q)
	if p.strings(q, true) || days <= narrowDays {
		return p
	}
	p.probe = p.strings(q, false) || p.modality(q)
	return p
}

// list returns the UIDs of a UI key.
func (q *query) list(tag string) []string {
	if k := q.key(tag); k != nil {
		if l, ok := k.match.(listMatcher); ok {
			return l
		}
	}
	return nil
}

// key returns the key on a top-level attribute.
func (q *query) key(tag string) *key {
	for i := range q.keys {
		if len(q.keys[i].path) == 1 && q.keys[i].path[0] == tag {
			return &q.keys[i]
		}
	}
	return nil
}

// dates sets the bounds on the date index and returns how many days they span.
func (p *plan) dates(q *query) int {
	const unbounded = 1 << 20
	k := q.key("00080020")
	if k == nil {
		return unbounded
	}
	r, ok := k.match.(rangeMatcher)
	if !ok || !r.dates() {
		return unbounded
	}
	p.lo = r.lo
	if r.hi != "" {
		p.hi = r.hi + "~" // after any time on that day
	}
	lo, err1 := time.Parse("20060102", r.lo)
	hi, err2 := time.Parse("20060102", r.hi)
	if err1 != nil || err2 != nil {
		return unbounded
	}
	return int(hi.Sub(lo).Hours() / 24)
}

// dates tells whether both bounds are dates, or begin some: what looks like a date and is none stands in the index among what has none.
func (r rangeMatcher) dates() bool {
	date := func(s string) bool { return len(s) < 8 || part10.NormalDate(s[:8]) != "" }
	return date(r.lo) && date(r.hi)
}

// strings uses the index of patient ID, accession number or patient's name. narrow wants literal values or long
// prefixes; otherwise any pattern will do, for checking it on the index costs less than reading rows.
func (p *plan) strings(q *query, narrow bool) bool {
	for _, c := range []struct {
		tag   string
		index store.Index
	}{{"00100020", store.ByPatientID}, {"00080050", store.ByAccession}, {"00100010", store.ByName}} {
		k := q.key(c.tag)
		if k == nil {
			continue
		}
		var patterns []string
		switch m := k.match.(type) {
		case fuzzyMatcher:
			if !narrow {
				p.index, p.ranges = c.index, [][2]string{{"", ""}}
				p.accept = m.mayMatch
				return true
			}
		case patternMatcher:
			patterns = m
		case nameMatcher:
			if len(m.groups) > 0 {
				patterns = m.groups[0]
			}
		}
		if len(patterns) > 0 && (!narrow || allNarrow(patterns)) {
			p.index = c.index
			p.patterns(patterns)
			return true
		}
	}
	return false
}

func allNarrow(patterns []string) bool {
	const longPrefix = 3
	for _, s := range patterns {
		if prefix, exact := literalPrefix(s); !exact && len(prefix) < longPrefix {
			return false
		}
	}
	return true
}

// patterns sets the ranges of the index that the patterns can lie in.
func (p *plan) patterns(patterns []string) {
	literal := true
	for _, s := range patterns {
		prefix, exact := literalPrefix(s)
		if p.index == store.ByName {
			prefix, _ = part10.NameKey(prefix)
		}
		hi := prefixEnd(prefix)
		if exact {
			hi = prefix + "\x00"
		}
		literal = literal && exact
		p.ranges = append(p.ranges, [2]string{prefix, hi})
	}
	if !literal {
		m := patternMatcher(patterns)
		p.accept = m.matchText
	}
}

// prefixEnd returns the least string greater than every string with that prefix; "" if there is none.
func prefixEnd(prefix string) string {
	b := []byte(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] < 0xFF {
			b[i]++
			return string(b[:i+1])
		}
	}
	return ""
}

// modality uses the index of modalities.
func (p *plan) modality(q *query) bool {
	k := q.key("00080061")
	if k == nil {
		k = q.key("00080060")
	}
	if k == nil {
		return false
	}
	m, ok := k.match.(patternMatcher)
	if !ok {
		return false
	}
	for _, s := range m {
		if _, exact := literalPrefix(s); !exact {
			return false
		}
	}
	p.index = store.ByModality
	p.patterns(m)
	return true
}

var errTooMany = errors.New("too many candidates")

// candidates calls fn with each candidate study, newest first, studies of the same time by UID, each study once, until
// fn says no. fn may call the archive: no iteration of the archive is open while it runs.
func (g *Gateway) candidates(ctx context.Context, bucket string, p plan, fn func(study string) (bool, error)) error {
	var hits []store.Hit
	var err error
	switch {
	case p.studies != nil:
		hits, err = g.studyHits(ctx, bucket, p.studies)
	case p.sops != nil:
		hits, err = g.instanceHits(ctx, bucket, p.sops)
	case p.series != nil:
		hits, err = g.seriesHits(ctx, bucket, p.series)
	case p.index != 0:
		hits, err = g.indexHits(ctx, bucket, p)
		if errors.Is(err, errTooMany) { // then many of the newest studies match, too
			return g.walkByDate(ctx, bucket, p, fn)
		}
	default:
		return g.walkByDate(ctx, bucket, p, fn)
	}
	if err != nil {
		return err
	}
	sortHits(hits)
	last := ""
	for _, h := range hits {
		if h.Study == last {
			continue
		}
		last = h.Study
		more, err := fn(h.Study)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// sortHits orders by date and time, newest first, then by UID: the order of the date index.
func sortHits(hits []store.Hit) {
	sort.Slice(hits, func(i, j int) bool {
		a, b := &hits[i], &hits[j]
		if a.Date != b.Date {
			return a.Date > b.Date
		}
		if a.Time != b.Time && a.Date != "" { // a time without a date means nothing
			return a.Time > b.Time
		}
		return a.Study < b.Study
	})
}

func (g *Gateway) studyHits(ctx context.Context, bucket string, uids []string) ([]store.Hit, error) {
	var hits []store.Hit
	for _, uid := range uids {
		if cleanUID(uid) == "" {
			continue
		}
		row, err := g.objects.Study(ctx, bucket, uid)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		hits = append(hits, store.Hit{Study: row.UID, Date: row.Date, Time: row.Time})
	}
	return hits, nil
}

func (g *Gateway) instanceHits(ctx context.Context, bucket string, uids []string) ([]store.Hit, error) {
	seen := map[string]bool{}
	for _, uid := range uids {
		if cleanUID(uid) == "" {
			continue
		}
		row, err := g.objects.Instance(ctx, bucket, uid)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		seen[row.Study] = true
	}
	return g.studyHits(ctx, bucket, slices.Collect(maps.Keys(seen)))
}

func (g *Gateway) seriesHits(ctx context.Context, bucket string, uids []string) ([]store.Hit, error) {
	seen := map[string]bool{}
	for _, uid := range uids {
		if cleanUID(uid) == "" {
			continue
		}
		err := g.objects.StudiesWith(ctx, bucket, uid, func(study string) bool {
			seen[study] = true
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	return g.studyHits(ctx, bucket, slices.Collect(maps.Keys(seen)))
}

// indexHits collects the studies of an index that the plan accepts.
func (g *Gateway) indexHits(ctx context.Context, bucket string, p plan) ([]store.Hit, error) {
	var hits []store.Hit
	visited := 0
	for _, r := range p.ranges {
		err := g.objects.Search(ctx, bucket, p.index, r[0], r[1], func(h store.Hit) bool {
			visited++
			if visited%1024 == 0 && ctx.Err() != nil {
				return false
			}
			if !p.accepts(h.Value) || !p.dated(h) {
				return true
			}
			hits = append(hits, store.Hit{Study: h.Study, Date: h.Date, Time: h.Time})
			return len(hits) <= maxCandidates
		})
		if err == nil {
			err = ctx.Err()
		}
		if err == nil && len(hits) > maxCandidates {
			err = errTooMany
		}
		if err != nil {
			return nil, err
		}
	}
	return hits, nil
}

// accepts tells whether a study may match, by its indexed value. Of a long name only the beginning is indexed.
func (p *plan) accepts(value string) bool {
	if p.accept == nil || p.accept(value) {
		return true
	}
	_, cut := part10.NameKey(value)
	return cut && p.index == store.ByName
}

// dated tells whether a study is within the date bounds of the plan.
func (p *plan) dated(h store.Hit) bool {
	if p.lo == "" && p.hi == "" {
		return true
	}
	return h.Date >= p.lo && h.Date != "" && (p.hi == "" || h.Date < p.hi)
}

// walkByDate goes through the date index page by page, so that no search is open while fn works.
func (g *Gateway) walkByDate(ctx context.Context, bucket string, p plan, fn func(string) (bool, error)) error {
	hi, page := p.hi, p.firstPage
	done := map[string]bool{} // studies of the last value of the page before, which the next page repeats
	lastValue := ""
	for first := true; ; first = false {
		var hits []store.Hit
		err := g.objects.Search(ctx, bucket, store.ByDate, p.lo, hi, func(h store.Hit) bool {
			if first || !done[h.Study] {
				hits = append(hits, store.Hit{Value: strings.Clone(h.Value), Study: strings.Clone(h.Study)})
			}
			return len(hits) < page
		})
		if err != nil {
			return err
		}
		full := len(hits) == page
		page = scanPage
		for _, h := range hits {
			if h.Value != lastValue {
				clear(done)
				lastValue = h.Value
			}
			done[h.Study] = true
			if more, err := fn(h.Study); err != nil || !more {
				return err
			}
		}
		if !full {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if lastValue == "" { // the rest has no date and can't be bounded by value
			p.lo, hi = "", "\x00"
			continue
		}
		hi = lastValue + "\x00"
	}
}
