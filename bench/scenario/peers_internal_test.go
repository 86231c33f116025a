package scenario

import (
	"regexp"
	"strings"
	"testing"
)

func TestChangeOrthancKeepsTheRest(t *testing.T) {
	const shipped = "{\n  \"Name\" : \"Orthanc\",\n  // \"HttpPort\" : 1 in a comment\n  \"StorageDirectory\" : \"/var/lib/orthanc/db-v6\",\n" +
		"  \"IndexDirectory\" : \"/var/lib/orthanc/db-v6\",\n  \"HttpPort\" : 8042,\n  \"DicomPort\" : 4242\n}\n"
	got := changeOrthanc(shipped, []string{"127.0.0.1:1111", "127.0.0.1:2222"}, "/data")
	want := strings.NewReplacer("/var/lib/orthanc/db-v6", "/data", "8042", "1111", "4242", "2222").Replace(shipped)
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestParseGoBench(t *testing.T) {
	names, values := parseGoBench([]byte("goos: linux\nBenchmarkA/c=1-2 \t 10\t 5 ns/op\t 59.15 MB/s\t 1.25 raw-ratio\n" +
		"BenchmarkA/c=1-2 \t 10\t 7 ns/op\t 60 MB/s\t 1.5 raw-ratio\nPASS\nok gantry/store 90.0s\n"))
	if len(names) != 1 || names[0] != "A/c=1" || median(values["A/c=1"]["raw-ratio"]) != 1.375 || median(values["A/c=1"]["ns/op"]) != 6 {
		t.Errorf("names %q, values %v", names, values)
	}
}

// TestOnlyKeepsWhatStepsCompareAgainst drops steps, which moves the others.
func TestOnlyKeepsWhatStepsCompareAgainst(t *testing.T) {
	s, err := Open("dicomweb")
	if err != nil {
		t.Fatal(err)
	}
	s.restrict(Options{Only: regexp.MustCompile("^STOW c=.$")})
	if len(s.Steps) != 2 {
		t.Fatalf("%d steps are left", len(s.Steps))
	}
	for _, c := range s.Steps {
		if c.Workload != "stow" || c.AgainstStep.Workload != "stow" {
			t.Errorf("%s: %q against %q", c.Name, c.Workload, c.AgainstStep.Workload)
		}
	}
}
