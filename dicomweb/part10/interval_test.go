package part10_test

import (
	"testing"

	"gantry/dicomweb/part10"
)

func FuzzFoldName(f *testing.F) {
	f.Add("Yamada^Tarou=山田^太郎")
	f.Add("MÜLLER^JÖRG^^")
	f.Fuzz(func(t *testing.T, name string) {
		if k := part10.FoldName(name); part10.FoldName(k) != k {
			t.Errorf("folding %q twice gives another key: %q, %q", name, k, part10.FoldName(k))
		}
	})
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
