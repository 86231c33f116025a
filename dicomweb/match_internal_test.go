package dicomweb

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"gantry/dicomweb/part10"
	"gantry/store"
)

func TestWildcardMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"*", "", true}, {"?", "", false}, {"abc", "abc", true}, {"abc", "abcd", false},
		{"a*c", "abbbc", true}, {"a*c", "abbbd", false}, {"*b*", "abc", true}, {"a?c", "abc", true},
		{"a?c", "a山c", true}, {"?", "山", true}, {"??", "山", false}, {"*山", "富士山", true}, {"*?a", "a", false},
		{"a**b", "ab", true}, {"*a*a*a*b", strings.Repeat("a", 2000), false}, {"*ab", "aab", true}, {"?*?", "a", false}, {"*é?", "xéy", true},
		{"ab*ab", "ab", false}, {"*1.2*3", "1.2.3", true},
	} {
		if got := wildcardMatch(c.pattern, c.s); got != c.want {
			t.Errorf("%q on %.20q: got %v", c.pattern, c.s, got)
		}
	}
}

// slowMatch is the definition of wildcard matching, without thought for time.
func slowMatch(p, s []rune) bool {
	switch {
	case len(p) == 0:
		return len(s) == 0
	case p[0] == '*':
		return slowMatch(p[1:], s) || len(s) > 0 && slowMatch(p, s[1:])
	}
	return len(s) > 0 && (p[0] == '?' || p[0] == s[0]) && slowMatch(p[1:], s[1:])
}

func FuzzWildcardMatch(f *testing.F) {
	f.Add("a*?b*", "aabb")
	f.Add("*é?*", "éa")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		got := wildcardMatch(pattern, s)
		if len(pattern) > 10 || len(s) > 10 || !utf8.ValidString(pattern) || !utf8.ValidString(s) {
			return
		}
		if want := slowMatch([]rune(pattern), []rune(s)); got != want {
			t.Errorf("%q on %q: got %v, want %v", pattern, s, got, want)
		}
	})
}

func TestRanges(t *testing.T) {
	for _, c := range []struct {
		vr, key, value string
		want           bool
	}{
		{"DA", "20240115", "20240115", true},
		{"DA", "20240115", "2024.01.15", true},
		{"DA", "20240101-20240131", "20240131", true},
		{"DA", "20240101-20240131", "20240201", false},
		{"DA", "-20240131", "20230101", true},
		{"DA", "20240131-", "20240130", false},
		{"DA", "20240131-", "", false},
		{"DA", "2024-", "20240101", true},
		{"DA", "-2024", "20241231", true},
		{"TM", "10", "103000.5", true},
		{"TM", "1000-1059", "105930", true},
		{"TM", "1000-1059", "110000", false},
		{"TM", "100000-", "10", true},
		{"TM", "103000", "10:30:00", true},
		{"DT", "20240115103000+0100", "20240115103000", true},
		{"DT", "20240101-20240131", "20240115103000.000+0200", true},
		{"DT", "20240115103000-0500", "20240115103000", true},
		{"DT", "20240115103000-20240116", "20240115235959", true},
	} {
		r, ok := parseRange(c.vr, c.key)
		if !ok {
			t.Errorf("%s %q refused", c.vr, c.key)
			continue
		}
		if got := r.match(appendJSONValue(nil, c.value)); got != c.want {
			t.Errorf("%s %q on %q: got %v", c.vr, c.key, c.value, got)
		}
	}
	for _, bad := range []string{"-", "", "abc", "2024x", "20240101-2024-01-02", "2020010", "1.5", "20"} {
		if r, ok := parseRange("DA", bad); ok {
			t.Errorf("%q accepted as %+v", bad, r)
		}
	}
}

const sample = `{"00080005":{"vr":"CS","Value":["ISO_IR 192"]},"00080020":{"vr":"DA","Value":["20240115"]},` +
	`"00080061":{"vr":"CS"},"00100010":{"vr":"PN","Value":[{"Alphabetic":"Müller^Jörg","Ideographic":"山田^太郎"}]},` +
	`"00100020":{"vr":"LO","Value":["A\"1\\2","B7"]},"00200011":{"vr":"IS","Value":[7]},` +
	`"00400275":{"vr":"SQ","Value":[{},{"00400009":{"vr":"SH","Value":["SPS1"]},"00400007":{"vr":"LO","Value":[null,"x]}"]}}]}}`

func TestMatchAttributes(t *testing.T) {
	for _, c := range []struct {
		name, value string
		want        bool
	}{
		{"StudyDate", "20240101-20240131", true},
		{"PatientName", "müller^jörg", true},
		{"PatientName", "MÜLLER*", true},
		{"PatientName", "*太郎", true},
		{"PatientName", "Müller*=山田*", true},
		{"PatientName", "Müller^*=田中*", false},
		{"PatientName", "Muller*", false},
		{"00100010", "M?ller^*", true},
		{"PatientID", "B7", true},
		{"PatientID", "b7", false},
		{"PatientID", `A"1*`, true},
		{"PatientID", "?7", true},
		{"SeriesNumber", "7", true},
		{"SeriesNumber", "07", true},
		{"SeriesNumber", "8", false},
		{"RequestAttributesSequence.ScheduledProcedureStepID", "SPS*", true},
		{"00400275.00400009", "SPS2", false},
		{"00400275.00400007", "x*", true},
		{"AccessionNumber", "1", false},
	} {
		q, err := parseQuery(route{resource: resStudies}, []param{{c.name, c.value}})
		if err != nil || len(q.keys) != 1 {
			t.Errorf("%s=%s: %v, %d keys, %q", c.name, c.value, err, len(q.keys), q.warnings)
			continue
		}
		if got := matches(q, []byte(sample)); got != c.want {
			t.Errorf("%s=%s: got %v", c.name, c.value, got)
		}
	}
}

// TestKeysOfOneSequenceHoldInOneItem: else one patient's number matches with another's issuer.
func TestKeysOfOneSequenceHoldInOneItem(t *testing.T) {
	const set = `{"00101002":{"vr":"SQ","Value":[{"00100020":{"vr":"LO","Value":["MRN1"]},"00100021":{"vr":"LO","Value":["A"]}},` +
		`{"00100020":{"vr":"LO","Value":["MRN2"]},"00100021":{"vr":"LO","Value":["B"]}}]}}`
	for _, c := range []struct {
		id, issuer string
		want       bool
	}{{"MRN1", "A", true}, {"MRN2", "B", true}, {"MRN1", "B", false}, {"MRN2", "A", false}, {"MRN*", "B", true}} {
		q, err := parseQuery(route{resource: resStudies}, []param{
			{"OtherPatientIDsSequence.PatientID", c.id}, {"OtherPatientIDsSequence.IssuerOfPatientID", c.issuer}})
		if err != nil || len(q.keys) != 2 {
			t.Fatalf("%v, %d keys", err, len(q.keys))
		}
		if got := matches(q, []byte(set)); got != c.want {
			t.Errorf("%s of %s: got %v", c.id, c.issuer, got)
		}
	}
}

func TestNamesWithEmptyComponents(t *testing.T) {
	name := func(s string) []byte { return []byte(`{"00100010":{"vr":"PN","Value":[{"Alphabetic":"` + s + `"}]}}`) }
	for _, c := range []struct {
		value, fuzzy, name string
		want               bool
	}{
		{"ROE^*", "false", "ROE^", true}, {"ROE^*", "false", "Roe^^^^", true}, {"ROE^JANE^*", "false", "ROE^JANE^^^", true},
		{"ROE^JANE^*", "false", "ROE^JANET", false}, {"ROE^*^*", "false", "ROE", true}, {"ROE^*", "false", "ROEMER", false},
		// Fuzzy matching finds what would be found without it, and more.
		{"*ANE*", "true", "ROE^JANE", true}, {"*ANE", "true", "ROE^JANE", true}, {"R?E^J*", "true", "ROE^JANE", true},
		{"jan*", "true", "ROE^JANE", true}, {"*ANE*", "true", "ROE^JOHN", false}, {"?", "true", "ROE^JOHN", false},
	} {
		q, err := parseQuery(route{resource: resStudies}, []param{{"PatientName", c.value}, {"fuzzymatching", c.fuzzy}})
		if err != nil {
			t.Fatal(err)
		}
		if got := matches(q, name(c.name)); got != c.want {
			t.Errorf("%s, fuzzy %s, on %s: got %v", c.value, c.fuzzy, c.name, got)
		}
		p := planQuery(q)
		if folded := part10.FoldName(c.name); c.want && p.index == store.ByName && p.accept != nil && !p.accept(folded) {
			t.Errorf("%s, fuzzy %s: the index leaves %s out", c.value, c.fuzzy, c.name)
		}
	}
	if _, err := parseQuery(route{resource: resStudies}, []param{{"PatientName", "A"}, {"PatientName", "B"}}); err == nil {
		t.Error("two names are taken for one")
	}
}

func TestMomentsWithOffsets(t *testing.T) {
	set := func(s string) []byte { return []byte(`{"0008002A":{"vr":"DT","Value":["` + s + `"]}}`) }
	for _, c := range []struct {
		key, value string
		want       bool
	}{
		{"20200101030000+0000", "20200101120000+0900", true}, {"20200101120000+0000", "20200101120000+0900", false},
		{"20200101030000+0000", "20200101030000", true}, {"20200101120000", "20200101120000+0900", true},
		{"20200101000000-0100-20200101020000-0100", "20200101120000+0900", true}, {"20200101000000-0100-20200101010000-0100", "20200101120000+0900", false},
	} {
		q, err := parseQuery(route{resource: resStudies}, []param{{"AcquisitionDateTime", c.key}})
		if err != nil {
			t.Fatalf("%s: %v", c.key, err)
		}
		if got := matches(q, set(c.value)); got != c.want {
			t.Errorf("%s on %s: got %v", c.key, c.value, got)
		}
	}
}

func TestPrivateAttributes(t *testing.T) {
	q, err := parseQuery(route{resource: resStudies}, []param{{"00091002", "1.5"}, {"includefield", "00091101"}})
	if err != nil {
		t.Fatal(err)
	}
	if !q.include["00090010"] || !q.include["00090011"] {
		t.Errorf("the creators do not come with them: %v", q.include)
	}
	for value, want := range map[string]bool{"1.50": true, "2": false, `"1.5"`: true} {
		if got := matches(q, []byte(`{"00091002":{"vr":"DS","Value":[`+value+`]}}`)); got != want {
			t.Errorf("1.5 on %s: got %v", value, got)
		}
	}
	for name, want := range map[string]bool{"Doe^Jane": true, "doe*": true, "Jane": false} {
		if q, err = parseQuery(route{resource: resStudies}, []param{{"00091003", name}}); err != nil {
			t.Fatal(err)
		}
		if got := matches(q, []byte(`{"00091003":{"vr":"PN","Value":[{"Alphabetic":"Doe^Jane^"}]}}`)); got != want {
			t.Errorf("%s on a private name: got %v", name, got)
		}
	}
}

// matches tells whether a data set meets all keys of a query, whatever their level.
func matches(q *query, set []byte) bool { return itemMatcher(conditionsOf(q.keys, 0)).match(set) }

func TestFuzzyNames(t *testing.T) {
	for _, c := range []struct {
		value string
		want  bool
	}{
		{"muller", true}, {"jorg mul", true}, {"MULL^J", true}, {"uller", false}, {"山田", true}, {"mull x", false}, {"Mull*", true},
	} {
		q, err := parseQuery(route{resource: resStudies}, []param{{"fuzzymatching", "true"}, {"PatientName", c.value}})
		if err != nil {
			t.Fatal(err)
		}
		if got := matches(q, []byte(sample)); got != c.want {
			t.Errorf("%q: got %v", c.value, got)
		}
	}
}

func TestParseQuery(t *testing.T) {
	q, err := parseQuery(route{resource: resStudies}, []param{
		{"limit", "10"}, {"offset", "3"}, {"includefield", "StudyDescription,00081030"}, {"includefield", "all"},
		{"PatientID", ""}, {"PatientName", "*"}, {"NoSuchThing", "x"}, {"includefield", "NorThis"},
		{"StudyInstanceUID", `1.2,1.3\1.4`}, {"StudyInstanceUID", "1.5"}, {"PixelData", "x"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if q.limit != 10 || q.offset != 3 || !q.all || !q.include["00081030"] || !q.include["00100020"] || !q.include["00100010"] {
		t.Errorf("got %+v", q)
	}
	if len(q.warnings) != 3 {
		t.Errorf("warnings %q, want three", q.warnings)
	}
	if l := q.list("0020000D"); len(q.keys) != 1 || len(l) != 4 {
		t.Errorf("keys %+v", q.keys)
	}
	uids := strings.Repeat("2.25.334489206174259906490138815641173364514,", maxListValues)
	if q, err := parseQuery(route{resource: resStudies}, []param{{"StudyInstanceUID", uids}}); err != nil || len(q.list("0020000D")) != maxListValues {
		t.Errorf("%d UIDs: %v", maxListValues, err)
	}
	var asked, demanded []param // of private attributes, of which there are enough
	for i := range maxQueryKeys + 1 {
		tag := tagKey(0x00091001 + uint32(i))
		asked, demanded = append(asked, param{tag, ""}), append(demanded, param{tag, "x"})
	}
	if q, err := parseQuery(route{resource: resStudies}, asked); err != nil || len(q.keys) > 0 || !q.include["00091001"] {
		t.Errorf("%d attributes asked for: %v", len(asked), err)
	}
	if _, err := parseQuery(route{resource: resStudies}, demanded); err == nil {
		t.Errorf("%d keys accepted", len(demanded))
	}
	for _, bad := range []param{{"StudyInstanceUID", uids + "1.2"}, {"limit", "-1"}, {"limit", "x"}, {"offset", "1.5"}, {"StudyDate", "x"},
		{"fuzzymatching", "perhaps"}, {"SeriesNumber", "one"}, {"PatientID", strings.Repeat("x", 20000)}} {
		if _, err := parseQuery(route{resource: resStudies}, []param{bad}); err == nil {
			t.Errorf("%s=%.20s accepted", bad.name, bad.value)
		}
	}
	if q, err := parseQuery(route{resource: resStudies}, []param{{"limit", "99999999999"}}); err != nil || q.limit != maxResults {
		t.Errorf("huge limit: %+v, %v", q, err)
	}
}

func TestPlan(t *testing.T) {
	for _, c := range []struct {
		query string
		want  string
	}{
		{"StudyInstanceUID=1.2&PatientID=x", "studies"},
		{"SOPInstanceUID=1.2&SeriesInstanceUID=1.3", "sops"},
		{"SeriesInstanceUID=1.2&PatientID=x", "series"},
		{"PatientID=x&StudyDate=20240101", "p x"},
		{"AccessionNumber=x", "a x"},
		{"PatientName=DOE*", "n doe"},
		{"PatientName=D*&StudyDate=20240101-20240105", "date 20240101 20240105~"},
		{"PatientName=D*&StudyDate=20000101-", "n d"},
		{"PatientID=*x*", "p "},
		{"ModalitiesInStudy=CT", "m CT"},
		{"StudyDate=20240101-", "date 20240101 "},
		{"", "date  "},
		{"PatientName=doe&fuzzymatching=true", "n "},
	} {
		var params []param
		for p := range strings.SplitSeq(c.query, "&") {
			if name, value, ok := strings.Cut(p, "="); ok {
				params = append(params, param{name, value})
			}
		}
		q, err := parseQuery(route{resource: resStudies}, params)
		if err != nil {
			t.Fatal(err)
		}
		p := planQuery(q)
		got := "date " + p.lo + " " + p.hi
		switch {
		case p.studies != nil:
			got = "studies"
		case p.sops != nil:
			got = "sops"
		case p.series != nil:
			got = "series"
		case p.index != 0:
			got = string(rune(p.index)) + " " + p.ranges[0][0]
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.query, got, c.want)
		}
	}
}

func FuzzMembers(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte(`{"a":1,"b":[{"c":null},"]"],"d":"\"\u00e9"}`))
	f.Add([]byte(`{"a":{`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := newMembers(b)
		got := map[string]string{}
		for {
			name, value, ok := m.next()
			if !ok {
				break
			}
			got[string(name)] = string(value)
			text(value)
			e := newElements(value)
			for {
				if _, ok := e.next(); !ok {
					break
				}
			}
		}
		(&condition{"00400275", itemMatcher{{"00400009", patternMatcher{"*"}}}}).holds(b)
		var want map[string]json.RawMessage
		if !utf8.Valid(b) || json.Unmarshal(b, &want) != nil || want == nil || strings.Contains(string(b), `\`) || len(b) > 0 && b[0] != '{' {
			return
		}
		if len(got) != len(want) {
			t.Fatalf("%d members, want %d", len(got), len(want))
		}
		for name, value := range want {
			if got[name] != string(value) {
				t.Fatalf("%q: got %q, want %q", name, got[name], value)
			}
		}
	})
}

func FuzzParseQuery(f *testing.F) {
	f.Add("PatientName", "D?e*^=x", "StudyDate", "20240101-")
	f.Add("includefield", "all,00081030", "00400275.00400009", `a\b`)
	f.Add("fuzzymatching", "true", "PatientName", "é")
	f.Fuzz(func(t *testing.T, n1, v1, n2, v2 string) {
		q, err := parseQuery(route{resource: resInstancesAll}, []param{{n1, v1}, {n2, v2}})
		if err != nil {
			return
		}
		planQuery(q)
		matches(q, []byte(sample))
		for _, w := range q.warnings {
			if strings.ContainsAny(w, "\"\r\n") {
				t.Fatalf("warning %q", w)
			}
		}
	})
}
