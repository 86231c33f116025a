package dicomweb_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"gantry/dicomweb"
	"gantry/store"
)

// fill stores one real file of each kind, and enough synthetic studies to page through.
func (s *site) fill() {
	s.t.Helper()
	s.mustStow(control)
	file := corpusFile(s.t, control)
	study := s.query("/studies")[0]
	for i := range 5 {
		b := slices.Clone(file)
		for _, tag := range []string{"0020000D", "0020000E", "00080018"} {
			b = replaceUID(s.t, b, s.query("/instances?StudyInstanceUID=" + study.str("0020000D"))[0].str(tag), i)
		}
		if a := s.stow("/studies", b); a.StatusCode != http.StatusOK {
			s.t.Fatalf("study %d: %d %s", i, a.StatusCode, a.body)
		}
	}
}

// replaceUID changes the end of a UID, everywhere, without changing its length.
func replaceUID(t testing.TB, b []byte, uid string, n int) []byte {
	t.Helper()
	changed := uid[:len(uid)-3] + fmt.Sprintf("%03d", 900+n)
	if strings.HasSuffix(uid[:len(uid)-3], ".") || !strings.Contains(string(b), uid) {
		t.Fatalf("%q cannot be changed", uid)
	}
	return []byte(strings.ReplaceAll(string(b), uid, changed))
}

func TestQueryCorpus(t *testing.T) {
	s := start(t, store.Refuse, nil)
	for _, name := range corpusFiles(t, "valid") {
		s.stow("/studies", corpusFile(t, name)) // duplicates are refused
	}
	all := s.query("/instances?includefield=all")
	if len(all) < 100 {
		t.Fatalf("%d instances", len(all))
	}
	studies, series := map[string]int{}, map[string]int{}
	for _, d := range all {
		studies[d.str("0020000D")]++
		series[d.str("0020000D")+" "+d.str("0020000E")]++
	}
	if got := s.query("/studies"); len(got) != len(studies) {
		t.Errorf("%d studies, want %d", len(got), len(studies))
	}
	if got := s.query("/series"); len(got) != len(series) {
		t.Errorf("%d series, want %d", len(got), len(series))
	}
	for _, d := range s.query("/studies?includefield=all") {
		uid := d.str("0020000D")
		if d.str("00201208") != fmt.Sprint(studies[uid]) || d.str("00080056") != "ONLINE" || d.str("00081190") != s.url+"/studies/"+uid {
			t.Errorf("study: %v", d)
		}
		// Whatever a study says of itself finds it.
		for _, tag := range []string{"00100020", "00100010", "00080020", "00080050", "0020000D", "00080061", "00200010", "00100040", "00201206"} {
			value := d.str(tag)
			if value == "" || strings.Contains(value, "\\") || tag == "00080020" && len(value) != 8 {
				continue
			}
			found := s.query("/studies?" + tag + "=" + url.QueryEscape(value))
			if !slices.ContainsFunc(found, func(f dataset) bool { return f.str("0020000D") == uid }) {
				t.Errorf("%s does not find its study among %d", tag, len(found))
			}
		}
	}
	for i, d := range all {
		if i%7 != 0 {
			continue
		}
		found := s.query("/instances?00080018=" + d.str("00080018"))
		if len(found) != 1 || found[0].place() != d.place() {
			t.Errorf("SOP Instance UID finds %d instances", len(found))
		}
		in := "/studies/" + d.str("0020000D") + "/series/" + d.str("0020000E") + "/instances"
		if n := len(s.query(in)); n != series[d.str("0020000D")+" "+d.str("0020000E")] {
			t.Errorf("%d instances in a series of %d", n, series[d.str("0020000D")+" "+d.str("0020000E")])
		}
	}
}

func TestQueryOrderAndPaging(t *testing.T) {
	s := start(t, store.Refuse, nil)
	for _, name := range corpusFiles(t, "valid")[:80] {
		s.stow("/studies", corpusFile(t, name))
	}
	for _, path := range []string{"/studies", "/series", "/instances", "/studies?PatientID=*1*", "/series?Modality=CT", "/studies?ModalitiesInStudy=MR,CT"} {
		whole := s.query(path)
		sep := "?"
		if strings.Contains(path, "?") {
			sep = "&"
		}
		var paged []dataset
		for offset := 0; offset <= len(whole); offset += 7 {
			paged = append(paged, s.query(fmt.Sprintf("%s%slimit=7&offset=%d", path, sep, offset))...)
		}
		if len(whole) == 0 || len(whole) != len(paged) {
			t.Errorf("%s: %d results in one, %d in pages", path, len(whole), len(paged))
			continue
		}
		last := "99999999"
		for i := range whole {
			if whole[i].place() != paged[i].place() {
				t.Errorf("%s: result %d differs between pages and whole", path, i)
			}
			if date := whole[i].str("00080020"); len(date) == 8 && date > last {
				t.Errorf("%s: not newest first at %d", path, i)
			} else if len(date) == 8 {
				last = date
			}
		}
	}
	cut := s.get("/studies?limit=1")
	if !strings.HasPrefix(cut.Header.Get("Warning"), "299 ") {
		t.Errorf("cut without a warning: %q", cut.Header.Get("Warning"))
	}
	if a := s.get("/studies"); a.Header.Get("Warning") != "" {
		t.Errorf("warning on everything: %q", a.Header.Get("Warning"))
	}
}

func TestQueryParameters(t *testing.T) {
	s := start(t, store.Refuse, nil)
	s.fill()
	d := s.query("/instances?includefield=all")[0]
	study := d.str("0020000D")
	for _, c := range []struct {
		path string
		want int
	}{
		{"/studies", 6},
		{"/studies?limit=0", 0},
		{"/studies?offset=100", 0},
		{"/studies?StudyInstanceUID=" + study, 1},
		{"/studies?StudyInstanceUID=1.2.3," + study + ",1.2.4", 1},
		{"/studies?PatientID=nobody", 0},
		{"/studies?PatientName=", 6},
		{"/studies?PatientName=*", 6},
		{"/studies?NoSuchAttribute=1", 6},
		{"/studies?99980010=1", 6},
		{"/studies?StudyDate=18000101-18000102", 0},
		{"/studies?PatientName=%5E%5E", 6},
		{"/studies?PatientName=*%5E*==", 6},
		{"/studies?fuzzymatching=true&PatientName=%5E", 6},
		{"/studies?SOPInstanceUID=" + d.str("00080018"), 1},
		{"/studies?SeriesInstanceUID=" + d.str("0020000E"), 1},
		{"/series?SeriesInstanceUID=" + d.str("0020000E"), 1},
		{"/series?SeriesInstanceUID=" + d.str("0020000E") + "," + d.str("0020000E"), 1}, // listed twice
		{"/instances?SOPInstanceUID=" + d.str("00080018") + "&SOPInstanceUID=" + d.str("00080018"), 1},
		{"/studies/" + study + "/series", 1},
		{"/studies/" + study + "/instances", 1},
		{"/studies/1.2.3/series", 0},
		{"/studies/1.2.3/instances", 0},
		{"/series?Modality=" + d.str("00080060"), 6},
		{"/series?Modality=ZZ", 0},
		{"/instances?SOPClassUID=" + d.str("00080016"), 6},
		{"/instances?SOPClassUID=1.2.3", 0},
		{"/studies?NumberOfStudyRelatedInstances=1", 6},
		{"/studies?NumberOfStudyRelatedInstances=2", 0},
		{"/instances?AvailableTransferSyntaxUID=1.2.3", 0},
		{"/studies?ModalitiesInStudy.PatientID=1", 0}, // no sequences
		{"/series?SeriesInstanceUID.PatientID=1", 0},
		{"/instances?SOPClassUID.PatientID=1", 0},
	} {
		if got := s.query(c.path); len(got) != c.want {
			t.Errorf("%s: %d results, want %d", c.path, len(got), c.want)
		}
	}
	for _, path := range []string{"/studies?limit=x", "/studies?limit=-1", "/studies?offset=a", "/studies?StudyDate=yesterday",
		"/studies?PatientID=50%", "/studies?PatientID=%zz&StudyID=1"} {
		if a := s.get(path); a.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
	if a := s.get("/studies?NoSuchAttribute=1"); !strings.Contains(a.Header.Get("Warning"), "ignored") {
		t.Errorf("ignored without a warning: %q", a.Header.Get("Warning"))
	}
	for field, warns := range map[string]bool{"ExposureIndex": true, "NoSuchField": true, "00081190": false, "SOPInstanceUID": false, "00081030,00080060": false} {
		if a := s.get("/studies?includefield=" + field); strings.Contains(a.Header.Get("Warning"), "ignored") != warns {
			t.Errorf("includefield=%s: warning %q", field, a.Header.Get("Warning"))
		}
	}
	if a := s.get("/studies", "Accept", `multipart/related; type="application/dicom+xml"`); a.StatusCode != http.StatusNotAcceptable {
		t.Errorf("XML: %d", a.StatusCode)
	}
}

func TestQueryReturnedAttributes(t *testing.T) {
	s := start(t, store.Refuse, nil)
	s.mustStow(control)
	i := s.query("/instances")[0]
	study := "/studies/" + i.str("0020000D")
	for _, c := range []struct {
		path       string
		have, lack []string
	}{
		{"/studies", []string{"00080020", "00080030", "00080050", "00080056", "00080061", "00080090", "00081190", "00100010", "00100020",
			"00100030", "00100040", "0020000D", "00200010", "00201206", "00201208"}, []string{"0020000E", "00080060", "00080018"}},
		{"/series", []string{"00080020", "00100020", "00080060", "00081190", "0020000D", "0020000E", "00200011", "00201209"}, []string{"00080018"}},
		{study + "/series", []string{"00080060", "00081190", "0020000D", "0020000E", "00200011", "00201209"}, []string{"00100020", "00080020"}},
		{study + "/series?includefield=PatientID", []string{"00080060", "00100020"}, []string{"00080020"}},
		{"/instances", []string{"00100020", "00080060", "00080016", "00080018", "00081190", "00200013", "00083002"}, nil},
		{study + "/instances", []string{"00080060", "00080018", "0020000E"}, []string{"00100020"}},
		{study + "/series/" + i.str("0020000E") + "/instances", []string{"00080016", "00080018", "0020000E", "0020000D"}, []string{"00100020", "00080060"}},
		{"/instances?includefield=all", []string{"00100010", "00080060", "00080018"}, nil},
		{"/studies?includefield=SOPClassesInStudy", []string{"00080062"}, nil},
		{study + "/series", nil, []string{"00080061", "00080062", "00201206", "00201208"}},
		{study + "/series?includefield=ModalitiesInStudy,NumberOfStudyRelatedInstances,00080062,NumberOfStudyRelatedSeries",
			[]string{"00080061", "00080062", "00201206", "00201208"}, nil},
		{study + "/series?ModalitiesInStudy=*", []string{"00080061"}, nil},
		{study + "/series/" + i.str("0020000E") + "/instances?includefield=00201209", []string{"00201209"}, nil},
	} {
		got := s.query(c.path)
		if len(got) != 1 {
			t.Errorf("%s: %d results", c.path, len(got))
			continue
		}
		for _, tag := range c.have {
			if got[0][tag].VR == "" {
				t.Errorf("%s: no %s", c.path, tag)
			}
		}
		for _, tag := range c.lack {
			if got[0][tag].VR != "" {
				t.Errorf("%s: unasked %s", c.path, tag)
			}
		}
	}
}

// TestQueryOfSeveralValues: any of several patient IDs or accession numbers finds the study (PS3.4 C.2.2.2).
func TestQueryOfSeveralValues(t *testing.T) {
	s := start(t, store.Refuse, nil)
	file := string(document([]byte("%PDF")))
	file = strings.Replace(file, "\x08\x00\x60\x00CS", "\x08\x00\x50\x00SH\x0a\x00ACC1\\ ACC2\x08\x00\x60\x00CS", 1)
	file = strings.Replace(file, "\x20\x00\x0D\x00UI", "\x10\x00\x20\x00LO\x06\x00PA\\PB \x20\x00\x0D\x00UI", 1)
	file = strings.Replace(file, "CS\x04\x00DOC ", "CS\x06\x00DOC\\SR", 1)
	if a := s.stow("/studies", []byte(file)); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	for query, want := range map[string]int{
		"AccessionNumber=ACC1": 1, "AccessionNumber=ACC2": 1, "AccessionNumber=*CC2": 1, "AccessionNumber=ACC": 0, "AccessionNumber=ACC3": 0,
		"ModalitiesInStudy=DOC": 1, "ModalitiesInStudy=SR": 1, "ModalitiesInStudy=CT": 0,
		"PatientID=PA": 1, "PatientID=PB": 1, "PatientID=P*": 1, "PatientID=PC": 0, "PatientID=PB&AccessionNumber=ACC2": 1,
	} {
		if got := len(s.query("/studies?" + query)); got != want {
			t.Errorf("%s: %d studies", query, got)
		}
	}
}

func TestArchives(t *testing.T) {
	s := start(t, store.Refuse, nil)
	for name, dicom := range map[string]bool{"research": true, "plain": false} {
		if _, err := s.store.CreateBucket(t.Context(), name, store.BucketSettings{DICOM: dicom}, store.Origin{}); err != nil {
			t.Fatal(err)
		}
	}
	if a := s.stow("/research/studies", corpusFile(t, control)); a.StatusCode != http.StatusOK || !strings.Contains(string(a.body), "/dicomweb/research/studies/") {
		t.Errorf("store: %d %s", a.StatusCode, a.body)
	}
	if n := len(s.query("/studies")); n != 0 {
		t.Errorf("%d studies in the default archive", n)
	}
	d := s.query("/research/studies")
	if len(d) != 1 || !strings.HasPrefix(d[0].str("00081190"), s.url+"/research/studies/") {
		t.Errorf("query: %v", d)
	}
	if a := s.stow("/plain/studies", corpusFile(t, control)); a.StatusCode != http.StatusNotFound {
		t.Errorf("store into a bucket that is no archive: %d", a.StatusCode)
	}
	if a := s.get("/plain/studies"); a.StatusCode != http.StatusNotFound {
		t.Errorf("query of a bucket that is no archive: %d", a.StatusCode)
	}
	if a := s.get("/missing/studies"); a.StatusCode != http.StatusNotFound {
		t.Errorf("query of no archive: %d", a.StatusCode)
	}
}

// counting counts look-ups by UID.
type counting struct {
	*store.Store
	n atomic.Int64
}

func (c *counting) Instance(ctx context.Context, bucket, sop string) (store.InstanceRow, error) {
	c.n.Add(1)
	return c.Store.Instance(ctx, bucket, sop)
}

func (c *counting) SeriesRow(ctx context.Context, bucket, study, series string) (store.SeriesRow, error) {
	c.n.Add(1)
	return c.Store.SeriesRow(ctx, bucket, study, series)
}

// TestListsOfUIDs: what a query costs grows with its list, not with its list times the archive.
func TestListsOfUIDs(t *testing.T) {
	const instances = 60
	objects := &counting{}
	s := start(t, store.Refuse, func(c *dicomweb.Config) {
		objects.Store, _ = c.Objects.(*store.Store)
		c.Objects = objects
	})
	file := corpusFile(t, control)
	s.mustStow(control)
	first := s.query("/instances")[0]
	var parts [][]byte
	for i := range instances {
		part := replaceUID(t, file, first.str("00080018"), i)
		if part = replaceUID(t, part, first.str("0020000E"), i/3); i >= instances/2 {
			part = replaceUID(t, part, first.str("0020000D"), i/3)
		}
		parts = append(parts, part)
	}
	if a := s.stow("/studies", parts...); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %.200s", a.StatusCode, a.body)
	}
	all := s.query("/instances")
	for _, c := range []struct{ key, tag string }{{"SOPInstanceUID", "00080018"}, {"SeriesInstanceUID", "0020000E"}} {
		uids := []string{"1.2.3", "1.2.4"}
		for _, d := range all[1:] {
			uids = append(uids, d.str(c.tag))
		}
		want := slices.DeleteFunc(slices.Clone(all), func(d dataset) bool { return !slices.Contains(uids, d.str(c.tag)) })
		for _, level := range []string{"/studies", "/series", "/instances"} {
			objects.n.Store(0)
			got := s.query(level + "?" + c.key + "=" + strings.Join(uids, ","))
			if n := objects.n.Load(); n > int64(4*len(uids)) {
				t.Errorf("%s with %d of %s: %d look-ups", level, len(uids), c.key, n)
			}
			if level == "/instances" && !slices.EqualFunc(got, want, func(a, b dataset) bool { return a.place() == b.place() }) {
				t.Errorf("%s by %s: %d of %d", level, c.key, len(got), len(want))
			}
		}
	}
}
