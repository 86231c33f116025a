package dicomweb

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"gantry/dicomweb/part10"
)

// matcher decides whether one value of an attribute satisfies a key (PS3.4 C.2.2.2). v is a raw JSON value.
type matcher interface{ match(v []byte) bool }

// matchElement applies m to each value of a DICOM JSON element; one is enough.
func matchElement(elem []byte, m matcher) bool {
	values := newElements(member(elem, "Value"))
	for {
		v, ok := values.next()
		if !ok {
			return false
		}
		if m.match(v) {
			return true
		}
	}
}

// condition is what a query demands of one attribute: that one of its values matches.
type condition struct {
	tag   string
	match matcher
}

func (c *condition) holds(set []byte) bool {
	elem := member(set, c.tag)
	return elem != nil && matchElement(elem, c.match)
}

// itemMatcher matches an item of a sequence in which all conditions hold: keys on one sequence must match in one and the same item
// (PS3.4 C.2.2.2.6).
type itemMatcher []condition

func (m itemMatcher) match(item []byte) bool {
	for i := range m {
		if !m[i].holds(item) {
			return false
		}
	}
	return true
}

// conditionsOf makes conditions of keys whose paths agree as far as depth.
func conditionsOf(keys []key, depth int) (out []condition) {
	sequences := make(map[string][]key)
	for _, k := range keys {
		tag := k.path[depth]
		if len(k.path) == depth+1 {
			out = append(out, condition{tag, k.match})
			continue
		}
		sequences[tag] = append(sequences[tag], k)
	}
	for _, tag := range slices.Sorted(maps.Keys(sequences)) {
		out = append(out, condition{tag, itemMatcher(conditionsOf(sequences[tag], depth+1))})
	}
	return out
}

// listMatcher matches one of several literal values: UID lists, and multiple values of coded strings.
type listMatcher []string

func (l listMatcher) match(v []byte) bool { return l.has(strings.Trim(text(v), " \x00")) }

func (l listMatcher) has(s string) bool {
	for _, want := range l {
		if want == s {
			return true
		}
	}
	return false
}

// patternMatcher matches one of several patterns with the wildcards * and ?, case-sensitively.
type patternMatcher []string

func (p patternMatcher) match(v []byte) bool { return p.matchText(strings.Trim(text(v), " \x00")) }

func (p patternMatcher) matchText(s string) bool {
	for _, pattern := range p {
		if wildcardMatch(pattern, s) {
			return true
		}
	}
	return false
}

// privateMatcher matches private attributes, whose VR is in the record: numbers by value, names as names, all else as a pattern.
type privateMatcher struct {
	value string
	name  matcher // of the same value
}

func (p privateMatcher) match(v []byte) bool {
	if len(v) > 0 && v[0] == '{' {
		return p.name.match(v)
	}
	if f, err := strconv.ParseFloat(p.value, 64); err == nil && len(v) > 0 && v[0] != '"' {
		return numberMatcher{f}.match(v)
	}
	return patternMatcher{p.value}.match(v)
}

// numberMatcher matches numbers by value, whatever their spelling.
type numberMatcher []float64

func (n numberMatcher) match(v []byte) bool {
	f, err := strconv.ParseFloat(strings.TrimSpace(text(v)), 64)
	if err != nil {
		return false
	}
	for _, want := range n {
		if f == want {
			return true
		}
	}
	return false
}

// rangeMatcher matches dates, times and date-times between two bounds, both inclusive at their own precision; an
// empty bound is open.
type rangeMatcher struct {
	lo, hi string
	vr     string
}

func (r rangeMatcher) match(v []byte) bool { return r.matchText(normalTime(r.vr, text(v))) }

func (r rangeMatcher) matchText(s string) bool {
	if s == "" || r.lo != "" && s < r.lo && !strings.HasPrefix(r.lo, s) {
		return false
	}
	return r.hi == "" || s <= r.hi || strings.HasPrefix(s, r.hi)
}

// nameMatcher matches person names, folded, on every component group.
type nameMatcher struct {
	groups []patternMatcher // each must match some group of the value
}

func (n nameMatcher) match(v []byte) bool {
	if len(v) == 0 || v[0] != '{' {
		return false
	}
	for _, p := range n.groups {
		if !anyGroup(v, func(group string) bool { return p.matchText(part10.FoldName(group)) }) {
			return false
		}
	}
	return true
}

// namePatterns returns the patterns of one component group. Names are folded without the empty components at their end, so a pattern whose
// last components may be empty stands for itself without them, too.
func namePatterns(group string) (patterns patternMatcher) {
	p := part10.FoldName(group)
	for ok := strings.Trim(p, "*") != ""; ok; p, ok = strings.CutSuffix(p, "^*") {
		patterns = append(patterns, p)
	}
	return patterns
}

// fuzzyMatcher matches person names if each word of the key begins a word of the name, without regard to case,
// diacritics and order, or if the key has wildcards that match as they would otherwise.
type fuzzyMatcher struct {
	words []string
	exact nameMatcher // without groups if the key has no wildcards
}

func (f fuzzyMatcher) match(v []byte) bool {
	if len(v) == 0 || v[0] != '{' {
		return false
	}
	if len(f.exact.groups) > 0 && f.exact.match(v) {
		return true
	}
	for _, word := range f.words {
		if !anyGroup(v, func(group string) bool { return beginsWord(group, word) }) {
			return false
		}
	}
	return len(f.words) > 0
}

// mayMatch tells, of a folded component group, whether the name may match.
func (f fuzzyMatcher) mayMatch(group string) bool {
	return len(f.exact.groups) > 0 && f.exact.groups[0].matchText(group) || len(f.words) > 0 && beginsWord(group, f.words[0])
}

// beginsWord tells whether a word of a name begins with word.
func beginsWord(name, word string) bool {
	for _, have := range part10.PlainWords(name) {
		if strings.HasPrefix(have, word) {
			return true
		}
	}
	return false
}

// anyGroup calls fn for each component group of a person name in JSON until it says yes.
func anyGroup(v []byte, fn func(string) bool) bool {
	groups := newMembers(v)
	for {
		_, group, ok := groups.next()
		if !ok {
			return false
		}
		if fn(text(group)) {
			return true
		}
	}
}

// wildcardMatch matches s against a pattern where * stands for any characters and ? for any single one. It works in
// time proportional to the product of the lengths at worst, and never recurses.
func wildcardMatch(pattern, s string) bool {
	p, i, star, mark := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && pattern[p] == '?':
			p++
			i += runeLen(s[i:])
		case p < len(pattern) && pattern[p] == s[i]:
			p++
			i++
		case star >= 0:
			mark += runeLen(s[mark:])
			p, i = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// runeLen returns the bytes of the first character of s, which is not empty.
func runeLen(s string) int {
	for n := 1; n < len(s); n++ {
		if s[n]&0xC0 != 0x80 {
			return n
		}
	}
	return len(s)
}

// literalPrefix returns what every match of the pattern begins with, and whether the pattern is all literal.
func literalPrefix(pattern string) (prefix string, exact bool) {
	i := strings.IndexAny(pattern, "*?")
	if i < 0 {
		return pattern, true
	}
	return pattern[:i], false
}

// normalTime brings a DA, TM or DT value into a form that sorts: no separators of old standards, no time zone.
func normalTime(vr, s string) string {
	s = strings.Trim(s, " \x00")
	switch vr {
	case "DA":
		return strings.ReplaceAll(s, ".", "")
	case "TM":
		return strings.ReplaceAll(s, ":", "")
	}
	if i := strings.IndexAny(s, "+-"); i >= 0 {
		s = s[:i]
	}
	return s
}

// parseRange reads a single value or a range of a DA, TM or DT key.
func parseRange(vr, s string) (rangeMatcher, bool) {
	lo, hi := splitRange(vr, s)
	r := rangeMatcher{lo: normalTime(vr, lo), hi: normalTime(vr, hi), vr: vr}
	return r, (r.lo != "" || r.hi != "") && wholeTime(vr, r.lo) && wholeTime(vr, r.hi)
}

// wholeTime tells whether a normal value consists of whole parts: years of four digits, all else of two.
func wholeTime(vr, s string) bool {
	whole, fraction, _ := strings.Cut(s, ".")
	least, most := 4, 8
	switch vr {
	case "TM":
		least, most = 2, 6
	case "DT":
		most = 14
	}
	n := len(whole)
	return s == "" || n >= least && n <= most && n%2 == 0 && (fraction == "" || n == most && vr != "DA") && digitsAndDot(s)
}

// momentMatcher matches date-times with regard to their offsets from UTC (PS3.4 C.2.2.2.5.3).
type momentMatcher struct{ part10.Interval }

func (m momentMatcher) match(v []byte) bool { return m.Contains(part10.NormalDateTime(text(v), "")) }

// hasOffset tells whether a DT key states an offset from UTC.
func hasOffset(s string) bool {
	lo, hi := splitRange("DT", s)
	return strings.ContainsAny(lo, "+-") || strings.ContainsAny(hi, "+-")
}

// splitRange returns both ends of a range; those of a single value are that value.
func splitRange(vr, s string) (lo, hi string) {
	if i := rangeDash(vr, s); i >= 0 {
		return s[:i], s[i+1:]
	}
	return s, s
}

// rangeDash finds the dash of a range; a dash that begins the time zone offset of a DT is none.
func rangeDash(vr, s string) int {
	i := strings.IndexByte(s, '-')
	if vr != "DT" || i < 10 {
		return i
	}
	zone := s[i+1:]
	if len(zone) >= 4 && zone[:4] <= "1400" && (len(zone) == 4 || zone[4] == '-') {
		if len(zone) == 4 {
			return -1
		}
		return i + 5
	}
	return i
}

func digitsAndDot(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] != '.' && (s[i] < '0' || s[i] > '9') {
			return false
		}
	}
	return true
}
