package dicomweb

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"gantry/dicomweb/part10"
)

// level is a level of the DICOM information model.
type level int

const (
	levelStudy level = iota
	levelSeries
	levelInstance
)

// Bounds of a query.
const (
	maxQueryKeys   = 64
	maxQueryValue  = 16 << 10 // bytes of one value, if not of UIDs
	maxListValues  = 2000     // UIDs of one list
	maxPathDepth   = 16       // of a dotted attribute path
	maxIncludes    = 512
	maxResults     = 10000 // of one response where the path names no study
	maxDeepResults = 100000
	maxOffset      = 1 << 30
)

// param is one name=value of a query string, decoded.
type param struct{ name, value string }

// key is one matching key.
type key struct {
	path  []string // tags, from the outermost sequence to the attribute
	vr    string
	value string
	level level // where the attribute lives
	match matcher
}

// query is a parsed QIDO-RS request (PS3.18 8.3.4, 10.6.1).
type query struct {
	level         level
	study, series string // from the path
	keys          []key
	include       map[string]bool // tags to return beyond the defaults
	all           bool
	limit, offset int
	fuzzy         bool
	warnings      []string
}

// parseQuery reads the parameters of a QIDO-RS request. Unknown parameters are ignored with a warning.
func parseQuery(r route, params []param) (*query, error) {
	q := &query{study: r.study, series: r.series, include: map[string]bool{}, limit: -1}
	switch r.resource {
	case resSeriesAll:
		q.level = levelSeries
	case resInstancesAll:
		q.level = levelInstance
	}
	var attributes []param
	for _, p := range params {
		own, err := q.option(p)
		if err != nil {
			return nil, err
		}
		if !own {
			attributes = append(attributes, p)
		}
	}
	for _, p := range mergeRepeated(attributes) {
		if err := q.attribute(p); err != nil {
			return nil, err
		}
		if len(q.keys) > maxQueryKeys {
			return nil, badRequest("more than %d matching keys", maxQueryKeys)
		}
	}
	q.cap()
	return q, nil
}

// cap applies the server's maximum.
func (q *query) cap() {
	most := maxResults
	if q.study != "" {
		most = maxDeepResults
	}
	if q.limit < 0 || q.limit > most {
		q.limit = most
	}
}

// mergeRepeated makes one parameter of those that occur several times: a list of alternatives.
func mergeRepeated(params []param) []param {
	at := make(map[string]int, len(params))
	var out []param
	for _, p := range params {
		if i, ok := at[p.name]; ok {
			if p.value != "" {
				out[i].value = strings.TrimPrefix(out[i].value+`\`+p.value, `\`)
			}
			continue
		}
		at[p.name] = len(out)
		out = append(out, p)
	}
	return out
}

// option takes a parameter that is no attribute.
func (q *query) option(p param) (bool, error) {
	var err error
	switch strings.ToLower(p.name) {
	case "limit":
		q.limit, err = parseCount(p)
	case "offset":
		q.offset, err = parseCount(p)
	case "fuzzymatching":
		q.fuzzy = strings.EqualFold(p.value, "true")
		if !q.fuzzy && p.value != "" && !strings.EqualFold(p.value, "false") {
			return true, badRequest("fuzzymatching must be true or false")
		}
	case "includefield":
		q.includeFields(p.value)
	case "accept", "charset":
	default:
		return false, nil
	}
	return true, err
}

func parseCount(p param) (int, error) {
	n, err := strconv.ParseUint(p.value, 10, 63)
	if err != nil {
		return 0, badRequest("%s must be a number from 0", strings.ToLower(p.name))
	}
	return int(min(n, maxOffset)), nil
}

func (q *query) includeFields(list string) {
	for field := range strings.SplitSeq(list, ",") {
		field = strings.TrimSpace(field)
		if field == "" || len(q.include) >= maxIncludes {
			continue
		}
		if strings.EqualFold(field, "all") {
			q.all = true
			continue
		}
		path, ok := parsePath(field)
		if !ok {
			q.ignore("includefield of an unknown attribute")
			continue
		}
		if _, ok := recorded(path[0]); !ok && !always[path[0]] {
			q.ignore("includefield of an attribute that is not indexed")
		}
		q.want(path[0])
	}
}

// want adds an attribute to the results, an attribute inside a sequence with the whole sequence, and a private one with its creator
// (PS3.18 10.6.3.3).
func (q *query) want(tag string) {
	q.include[tag] = true
	if n, ok := parseTagKey(tag); ok && n>>16&1 == 1 && n&0xFF00 != 0 {
		q.include[tagKey(n&0xFFFF0000|n>>8&0xFF)] = true
	}
}

// ignore notes that something asked for was ignored. It takes no values, for they may be patient data.
func (q *query) ignore(what string) {
	text := "ignored: " + what
	for _, w := range q.warnings {
		if w == text {
			return
		}
	}
	q.warnings = append(q.warnings, text)
}

// parsePath reads an attribute as tag or keyword, or a dotted path of them.
func parsePath(s string) ([]string, bool) {
	names := strings.Split(s, ".")
	if len(names) > maxPathDepth {
		return nil, false
	}
	path := make([]string, len(names))
	for i, name := range names {
		tag, ok := parseTagKey(name)
		if !ok {
			tag, ok = tagByKeyword(name)
		}
		if !ok {
			return nil, false
		}
		path[i] = tagKey(tag)
	}
	return path, true
}

// attribute takes a matching key.
func (q *query) attribute(p param) error {
	path, ok := parsePath(p.name)
	if !ok {
		q.ignore("unknown query parameter")
		return nil
	}
	q.want(path[0])
	k := key{path: path, vr: vrOf(path[len(path)-1]), value: p.value}
	if len(k.value) > maxQueryValue && k.vr != "UI" { // UIDs are counted
		return badRequest("a query value is longer than %d bytes", maxQueryValue)
	}
	if universal(k) { // only asks for the attribute
		return nil
	}
	if k.level, ok = recorded(path[0]); !ok {
		q.ignore("matching on an attribute that is not indexed")
		return nil
	}
	var err error
	if k.match, err = q.matcherFor(k); err != nil {
		return err
	}
	if k.match == nil {
		q.ignore("matching on an attribute that cannot be matched")
		return nil
	}
	q.keys = append(q.keys, k)
	return nil
}

// universal tells whether a key matches everything (PS3.4 C.2.2.2.3). A person name may be all delimiters: that is what
// a form sends whose fields were left empty.
func universal(k key) bool {
	blank := "* "
	if k.vr == "PN" {
		blank = "* ^="
	}
	return strings.Trim(k.value, blank) == ""
}

// matcherFor compiles the value of a key by the attribute's VR; nil means that values of this VR are not matched.
func (q *query) matcherFor(k key) (matcher, error) {
	switch k.vr {
	case "UI":
		list := splitList(k.value, `\,`)
		if len(list) > maxListValues {
			return nil, badRequest("more than %d UIDs in a list", maxListValues)
		}
		return listMatcher(list), nil
	case "DA", "TM", "DT":
		r, ok := parseRange(k.vr, strings.TrimSpace(k.value))
		if !ok {
			return nil, badRequest("malformed date or time in a matching key")
		}
		if k.vr == "DT" && hasOffset(k.value) {
			i, ok := part10.ParseDateTimeRange(k.value, "")
			if !ok {
				return nil, badRequest("malformed date or time in a matching key")
			}
			return momentMatcher{i}, nil
		}
		return r, nil
	case "PN":
		if strings.Contains(k.value, `\`) {
			return nil, badRequest("a person name can be matched with one value only")
		}
		return q.nameMatcher(k.value), nil
	case "IS", "DS", "US", "SS", "UL", "SL", "UV", "SV", "FL", "FD":
		var numbers numberMatcher
		for _, s := range splitList(k.value, `\,`) {
			f, err := strconv.ParseFloat(s, 64)
			if err != nil {
				return nil, badRequest("malformed number in a matching key")
			}
			numbers = append(numbers, f)
		}
		return numbers, nil
	case "CS", "AE", "AS":
		return patternMatcher(splitList(k.value, `\,`)), nil
	case "LO", "SH", "UC":
		return patternMatcher(splitList(k.value, `\`)), nil
	case "LT", "ST", "UT", "UR", "AT":
		return patternMatcher{strings.Trim(k.value, " ")}, nil
	case "UN":
		value := strings.Trim(k.value, " ")
		return privateMatcher{value, q.nameMatcher(value)}, nil
	}
	return nil, nil
}

func (q *query) nameMatcher(value string) matcher {
	var exact nameMatcher
	for group := range strings.SplitSeq(value, "=") {
		if patterns := namePatterns(group); len(patterns) > 0 {
			exact.groups = append(exact.groups, patterns)
		}
	}
	if !q.fuzzy {
		return exact
	}
	f := fuzzyMatcher{words: part10.PlainWords(value)}
	if strings.ContainsAny(value, "*?") {
		f.exact = exact
	}
	return f
}

// splitList splits at any of the separators and drops empty values.
func splitList(s, separators string) []string {
	var out []string
	for _, v := range strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
		if v = strings.Trim(v, " \x00"); v != "" {
			out = append(out, v)
		}
	}
	return out
}

// requestError is an answer to a request that can't be served as it is.
type requestError struct {
	status  int
	message string
	header  [][2]string // further response headers
}

func (e *requestError) Error() string { return e.message }

// badRequest makes a 400. The message is for the client; it must not quote values.
func badRequest(format string, args ...any) error {
	return &requestError{status: http.StatusBadRequest, message: fmt.Sprintf(format, args...)}
}

func notFound(what string) error {
	return &requestError{status: http.StatusNotFound, message: what + " not found"}
}
