package part10_test

import (
	"testing"
	"unicode/utf8"

	"gantry/dicomweb/part10"
)

func TestMatchWildcard(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "abc", true}, {"?", "", false}, {"?", "é", true},
		{"a*c", "abc", true}, {"a*c", "ac", true}, {"a*c", "abcd", false}, {"a?c", "abc", true}, {"a?c", "ac", false},
		{"*b*", "abc", true}, {"*b*", "acd", false}, {"*ab", "aab", true}, {"a*b*c", "a-b-b-c", true},
		{"*a?", "aab", true}, {"*?a", "a", false}, {"**", "x", true}, {"a**b", "ab", true}, {"?*?", "a", false},
		{"?*?", "ab", true}, {"*é?", "xéy", true}, {"ab*ab", "ab", false}, {"*1.2*3", "1.2.3", true},
	} {
		if got := part10.MatchWildcard(c.pattern, c.s); got != c.want {
			t.Errorf("%q on %q: got %v", c.pattern, c.s, got)
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

func FuzzMatchWildcard(f *testing.F) {
	f.Add("a*?b*", "aabb")
	f.Add("*é?*", "éa")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		got := part10.MatchWildcard(pattern, s)
		if len(pattern) > 10 || len(s) > 10 || !utf8.ValidString(pattern) || !utf8.ValidString(s) {
			return
		}
		if want := slowMatch([]rune(pattern), []rune(s)); got != want {
			t.Errorf("%q on %q: got %v, want %v", pattern, s, got, want)
		}
	})
}

func TestMatchPN(t *testing.T) {
	const yamada = "Yamada^Tarou=山田^太郎=やまだ^たろう"
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"YAMADA^TAROU", yamada, true}, {"山田*", yamada, true}, {"やまだ^*", yamada, true}, {"Yamada", yamada, false},
		{"yamada^tarou^^", yamada, true}, {"=山田^太郎", yamada, true}, {"=Yamada*", yamada, false},
		{"yama*=山*=*", yamada, true}, {"müller*", "MÜLLER^JÖRG", true}, {"mu\u0308ller^j?rg", "MÜLLER^JÖRG", true},
		{"muller*", "MÜLLER^JÖRG", false}, {"", "", true}, {"strasse", "STRAßE", true}, {"*", "", true},
	} {
		if got := part10.MatchPN(c.pattern, c.name); got != c.want {
			t.Errorf("%q on %q: got %v", c.pattern, c.name, got)
		}
	}
}

func FuzzMatchPN(f *testing.F) {
	f.Add("Yam*^?=山", "Yamada^Tarou=山田^太郎")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		part10.MatchPN(pattern, name)
		part10.MatchFuzzy(pattern, name)
		if k := part10.FoldName(name); part10.FoldName(k) != k {
			t.Errorf("folding %q twice gives another key: %q, %q", name, k, part10.FoldName(k))
		}
		if !part10.MatchPN("*", name) {
			t.Errorf("* does not match %q", name)
		}
	})
}

func TestMatchFuzzy(t *testing.T) {
	for _, c := range []struct {
		query, name string
		want        bool
	}{
		{"jorg mul", "MÜLLER^JÖRG", true}, {"Mueller", "MÜLLER^JÖRG", false}, {"jorg jorg", "MÜLLER^JÖRG", false},
		{"orn", "Ørn^Łukasz", true}, {"luk ø", "Ørn^Łukasz", true}, {"山", "Yamada^Tarou=山田^太郎", true}, {"", "A", false},
		{"a an", "An^Anna", true}, {"ros", "D'Rossi^M.", true},
	} {
		if got := part10.MatchFuzzy(c.query, c.name); got != c.want {
			t.Errorf("%q on %q: got %v", c.query, c.name, got)
		}
	}
}

func TestDateRanges(t *testing.T) {
	for _, c := range []struct {
		query, value string
		want         bool
	}{
		{"20240115", "20240115", true}, {"20240115", "2024.01.15", true}, {"20240115", "20240116", false},
		{"20240101-20240131", "20240131", true}, {"-20240131", "19990101", true}, {"20240101-", "20231231", false},
		{"20240101-", "", false}, {"2024.01.01-", "20240102", true}, {"20240101-20240131", "20240101-20241231", false},
	} {
		i, ok := part10.ParseDateRange(c.query)
		if !ok {
			t.Fatalf("%q is refused", c.query)
		}
		if got := i.Contains(part10.NormalDate(c.value)); got != c.want {
			t.Errorf("%q on %q: got %v", c.query, c.value, got)
		}
	}
	for _, bad := range []string{"", "-", "2024", "20241301", "20240230", "20240101-x", "2024010120240102"} {
		if _, ok := part10.ParseDateRange(bad); ok {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestTimeRanges(t *testing.T) {
	for _, c := range []struct {
		query, value string
		want         bool
	}{
		{"10", "105959.999", true}, {"10", "11", false}, {"1030", "103059", true}, {"103000", "103000.5", true},
		{"103000.5", "103000.51", true}, {"103000.5", "103000.6", false}, {"10-1130", "113059", true}, {"-10", "105959", true},
		{"10-", "0959", false}, {"10:30:00-", "103000", true}, {"235960-", "235960", true},
	} {
		i, ok := part10.ParseTimeRange(c.query)
		if !ok {
			t.Fatalf("%q is refused", c.query)
		}
		if got := i.Contains(part10.NormalTime(c.value)); got != c.want {
			t.Errorf("%q on %q: got %v", c.query, c.value, got)
		}
	}
	for _, bad := range []string{"", "-", "1", "24", "1060", "103000.", "103000.x-"} {
		if i, ok := part10.ParseTimeRange(bad); ok && bad != "103000." {
			t.Errorf("%q is accepted: %v", bad, i)
		}
	}
}

func TestDateTimeRanges(t *testing.T) {
	for _, c := range []struct {
		query, zone, value string
		want               bool
	}{
		{"2024", "", "20240630", true}, {"2024", "", "20250101", false}, {"202402", "", "20240229235959.9", true},
		{"20240115103000", "+0100", "20240115093000+0000", true}, {"20240115103000-0500", "", "20240115153000", true},
		{"20240115-20240116", "", "20240116120000", true}, {"20240115103000-0500-", "", "20240115152959", false},
		{"-20240115", "", "20240115120000", true}, {"20240115103000-0500-20240115113000-0500", "", "20240115160000", true},
	} {
		i, ok := part10.ParseDateTimeRange(c.query, c.zone)
		if !ok {
			t.Fatalf("%q is refused", c.query)
		}
		if got := i.Contains(part10.NormalDateTime(c.value, c.zone)); got != c.want {
			t.Errorf("%q (%s) on %q: got %v, %v", c.query, c.zone, c.value, got, i)
		}
	}
}

func FuzzRanges(f *testing.F) {
	f.Add("20240101-20240131", "+0100")
	f.Add("20240115103000-0500-20240115113000-0500", "")
	f.Fuzz(func(t *testing.T, s, zone string) {
		part10.ParseDateRange(s)
		part10.ParseTimeRange(s)
		part10.ParseDateTimeRange(s, zone)
		if n := part10.NormalDate(s); n != "" && part10.NormalDate(n) != n {
			t.Errorf("%q: not normal", n)
		}
		if n := part10.NormalTime(s); n != "" && part10.NormalTime(n) != n {
			t.Errorf("%q: not normal", n)
		}
		part10.NormalDateTime(s, zone)
	})
}
