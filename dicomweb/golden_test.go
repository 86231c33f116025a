package dicomweb_test

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gantry/store"
)

var update = flag.Bool("update", false, "write the golden files anew")

// changing are parts of an exchange that differ from run to run.
var changing = []struct {
	pattern *regexp.Regexp
	stand   string
}{
	{regexp.MustCompile(`gantry[0-9a-f]{32}`), "BOUNDARY"},
	{regexp.MustCompile(`W/"[0-9a-f]+"`), `W/"TAG"`},
}

// describe writes an answer so that people can read it and tests can compare it.
func (s *site) describe(method, path string, a answer) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n%d\n", method, path, a.StatusCode)
	var names []string
	for name := range a.Header {
		if name != "Date" && name != "Server" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "%s: %s\n", name, strings.Join(a.Header[name], " | "))
	}
	b.WriteString("\n")
	body := bytes.ReplaceAll(a.body, []byte("},"), []byte("},\n"))
	for _, c := range body {
		if c == '\n' || c >= ' ' && c < 0x7F {
			b.WriteByte(c)
		} else if c != '\r' {
			fmt.Fprintf(&b, "<%02X>", c)
		}
	}
	text := strings.ReplaceAll(b.String(), strings.TrimSuffix(s.url, "/dicomweb"), "http://HOST")
	for _, c := range changing {
		text = c.pattern.ReplaceAllString(text, c.stand)
	}
	return strings.TrimRight(text, "\n") + "\n"
}

// TestGoldenExchanges compares whole responses with those that were once found right.
func TestGoldenExchanges(t *testing.T) {
	s := start(t, store.Refuse, nil)
	body, contentType := multipartBody(corpusFile(t, control), corpusFile(t, "hostile/random_DICM.dcm"))
	small := corpusFile(t, control)
	study, series, sop := "", "", ""
	for _, c := range []struct {
		name, method, path string
		body               []byte
		headers            []string
	}{
		{"store-mixed", "POST", "/studies", body, []string{"Content-Type", contentType}},
		{"store-mixed-xml", "POST", "/studies", body, []string{"Content-Type", contentType, "Accept", "application/dicom+xml"}},
		{"store-wrong-study", "POST", "/studies/1.2.3", small, []string{"Content-Type", "application/dicom"}},
		{"store-unsupported", "POST", "/studies", small, []string{"Content-Type", "application/pdf"}},
		{"query-studies", "GET", "/studies", nil, nil},
		{"query-series", "GET", "/series?includefield=StudyDescription", nil, nil},
		{"query-instances", "GET", "/instances?includefield=all", nil, nil},
		{"query-ignored", "GET", "/studies?NoSuchThing=1&limit=0", nil, nil},
		{"query-malformed", "GET", "/studies?limit=x", nil, nil},
		{"metadata", "GET", "/studies/STUDY/metadata", nil, nil},
		{"instance-head", "HEAD", "/studies/STUDY/series/SERIES/instances/SOP", nil, []string{"Accept", "application/dicom"}},
		{"instance-range", "GET", "/studies/STUDY/series/SERIES/instances/SOP", nil, []string{"Accept", "application/dicom; transfer-syntax=*", "Range", "bytes=100-199"}},
		{"frame-head", "HEAD", "/studies/STUDY/series/SERIES/instances/SOP/frames/1", nil, nil},
		{"not-acceptable", "GET", "/studies/STUDY", nil, []string{"Accept", "image/png"}},
		{"not-found", "GET", "/studies/1.2.3", nil, nil},
		{"rendered", "GET", "/studies/STUDY/series/SERIES/instances/SOP/rendered", nil, nil},
		{"capabilities", "OPTIONS", "/", nil, []string{"Accept", "application/vnd.sun.wadl+xml"}},
		{"delete", "DELETE", "/studies/STUDY", nil, nil},
	} {
		path := strings.NewReplacer("STUDY", study, "SERIES", series, "SOP", sop).Replace(c.path)
		a := s.do(c.method, path, c.body, c.headers...)
		if study == "" {
			d := s.query("/instances")[0]
			study, series, sop = d.str("0020000D"), d.str("0020000E"), d.str("00080018")
		}
		compareGolden(t, c.name, s.describe(c.method, c.path, a))
	}
	if a := s.get("/studies"); a.StatusCode != http.StatusOK || string(a.body) != "[]" {
		t.Errorf("after deletion: %d %s", a.StatusCode, a.body)
	}
}

func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "exchanges", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n%s\nwant:\n%s", name, got, want)
	}
}
