package dicomweb

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestWildcardMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"*", "", true}, {"?", "", false}, {"abc", "abc", true}, {"abc", "abcd", false},
		{"a*c", "abbbc", true}, {"a*c", "abbbd", false}, {"*b*", "abc", true}, {"a?c", "abc", true},
		{"a?c", "a山c", true}, {"?", "山", true}, {"??", "山", false}, {"*山", "富士山", true}, {"*?a", "a", false},
		{"a**b", "ab", true}, {"*a*a*a*b", strings.Repeat("a", 2000), false},
	} {
		if got := wildcardMatch(c.pattern, c.s); got != c.want {
			t.Errorf("%q on %.20q: got %v", c.pattern, c.s, got)
		}
	}
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
	for _, bad := range []string{"-", "", "abc", "2024x", "20240101-2024-01-02"} {
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
		if got := matchPath([]byte(sample), q.keys[0].path, q.keys[0].match); got != c.want {
			t.Errorf("%s=%s: got %v", c.name, c.value, got)
		}
	}
}

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
		if got := matchPath([]byte(sample), q.keys[0].path, q.keys[0].match); got != c.want {
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
	for _, bad := range []param{{"limit", "-1"}, {"limit", "x"}, {"offset", "1.5"}, {"StudyDate", "x"},
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
		{"SOPInstanceUID=1.2", "sops"},
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
		matchPath(b, []string{"00400275", "00400009"}, patternMatcher{"*"})
		var want map[string]json.RawMessage
		if json.Unmarshal(b, &want) != nil || want == nil || strings.Contains(string(b), `\`) || len(b) > 0 && b[0] != '{' {
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
		for _, k := range q.keys {
			matchPath([]byte(sample), k.path, k.match)
		}
		for _, w := range q.warnings {
			if strings.ContainsAny(w, "\"\r\n") {
				t.Fatalf("warning %q", w)
			}
		}
	})
}
