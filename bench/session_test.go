package bench_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gantry/bench"
)

// A fakeS3 keeps objects in memory and, once told to, gives back wrong bytes.
type fakeS3 struct {
	*bench.Memory
	keys  []string
	wrong atomic.Bool
}

func (f *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == "PUT":
		body, _ := io.ReadAll(r.Body)
		f.Put(r.URL.Path, "", body)
	case r.Method == "DELETE":
		w.WriteHeader(http.StatusNoContent)
	case r.URL.Query().Has("list-type"):
		after := r.URL.Query().Get("start-after")
		i, _ := slices.BinarySearch(f.keys, after+"\x00")
		if f.wrong.Load() {
			i++
		}
		for _, k := range f.keys[min(i, len(f.keys)):min(i+1000, len(f.keys))] {
			_, _ = fmt.Fprintf(w, "<Contents><Key>%s</Key></Contents>", k)
		}
	default:
		a, ok := f.Get(r.URL.Path)
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		body := slices.Clone(a.Body)
		if f.wrong.Load() && len(body) > 0 {
			body[len(body)/2] ^= 1
		}
		_, _ = w.Write(body)
	}
}

// mustRun runs a step that succeeds now and whose every answer must be refused once the server goes wrong.
func mustRun(t *testing.T, s *bench.Session, step bench.Step, wrong *atomic.Bool) {
	t.Helper()
	wrong.Store(false)
	res, err := s.Run(t.Context(), step)
	if err != nil {
		t.Fatalf("%s: %v", step.Workload, err)
	}
	if res.Errors > 0 || res.Operations != step.Count || res.LatencyMS.P50 <= 0 {
		t.Errorf("%s: %d operations, %d errors %v", step.Workload, res.Operations, res.Errors, res.ErrorTexts)
	}
	wrong.Store(true)
	res, err = s.Run(t.Context(), step)
	if err != nil {
		t.Fatalf("%s: %v", step.Workload, err)
	}
	if res.Operations > 0 || res.Errors == 0 {
		t.Errorf("%s: %d wrong answers were taken for right", step.Workload, res.Operations)
	}
	wrong.Store(false)
}

func TestS3Workloads(t *testing.T) {
	f := &fakeS3{Memory: bench.NewMemory()}
	const seed = 5
	for i := range 3000 {
		f.keys = append(f.keys, fmt.Sprintf("list/%016x/%08d", seed, i))
	}
	srv := httptest.NewServer(f)
	defer srv.Close()
	s := bench.NewSession(bench.Target{Name: "fake", S3: srv.URL, KeyID: "id", Secret: "secret"}, bench.NewGenerator(seed), nil)
	mustRun(t, s, bench.Step{Workload: "s3-get", Concurrency: 4, Count: 100, Size: 10_000, Objects: 30}, &f.wrong)
	mustRun(t, s, bench.Step{Workload: "s3-get", Concurrency: 1, Count: 20, Size: 5, Objects: 30}, &f.wrong)
	mustRun(t, s, bench.Step{Workload: "s3-get", Concurrency: 1, Count: 2, Size: 20 << 20, Objects: 1}, &f.wrong)
	mustRun(t, s, bench.Step{Workload: "s3-list", Concurrency: 2, Count: 20, Keys: 3000}, &f.wrong)
	for _, name := range []string{"s3-put", "s3-mixed"} {
		res, err := s.Run(t.Context(), bench.Step{Workload: name, Concurrency: 4, Count: 200, Size: 1000, Objects: 30})
		if err != nil || res.Errors > 0 || res.Operations != 200 || res.SizeBytes != 1000 {
			t.Errorf("%s: %+v, %v", name, res, err)
		}
	}
	if _, err := s.Run(t.Context(), bench.Step{Workload: "qido"}); err == nil {
		t.Error("a DICOMweb workload ran without a DICOMweb endpoint")
	}
}

// TestBucketThatMayNotBeMade is there and may be used, by a key that may make none.
func TestBucketThatMayNotBeMade(t *testing.T) {
	f := &fakeS3{Memory: bench.NewMemory()}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/given":
			f.ServeHTTP(w, r)
		case r.Method != "HEAD":
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer srv.Close()
	s := bench.NewSession(bench.Target{S3: srv.URL, Bucket: "given"}, bench.NewGenerator(1), nil)
	if res, err := s.Run(t.Context(), bench.Step{Workload: "s3-get", Count: 20, Size: 100, Objects: 5}); err != nil || res.Errors > 0 {
		t.Errorf("%+v, %v", res, err)
	}
}

// A fakeWeb knows the studies of a generator, whether they were stored or not.
type fakeWeb struct {
	mem     *bench.Memory
	studies []*bench.Study
	stored  atomic.Int64
	wrong   atomic.Bool
}

var anyUID = regexp.MustCompile(`2\.25\.\d{30,}`)

func (f *fakeWeb) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var answer any
	switch {
	case r.Method == "POST":
		body, _ := io.ReadAll(r.Body)
		f.stored.Add(int64(strings.Count(string(body), "DICM")))
		if f.wrong.Load() {
			_, _ = io.WriteString(w, `{"00081198":{"vr":"SQ","Value":[{"00081197":{"vr":"US","Value":[272]}}]}}`)
			return
		}
		answer = anyUID.FindAllString(string(body), -1)
	case strings.HasSuffix(r.URL.Path, "/metadata"):
		answer = f.metadata(r.URL.Path)
	case r.URL.Path == "/studies":
		answer = f.search(r.URL.Query())
	default:
		a, ok := f.mem.Get(r.URL.Path)
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", a.ContentType)
		body := slices.Clone(a.Body)
		if f.wrong.Load() {
			body[len(body)-200] ^= 1
		}
		_, _ = w.Write(body)
		return
	}
	_ = json.NewEncoder(w).Encode(answer)
}

type object map[string]map[string]any

func uidObject(tag, uid string) object {
	return object{tag: {"vr": "UI", "Value": []string{uid}}}
}

func (f *fakeWeb) metadata(path string) []object {
	out := []object{}
	for _, st := range f.studies {
		for _, se := range st.Series {
			for _, in := range se.Instances {
				if strings.Contains(path, se.UID) {
					out = append(out, uidObject("00080018", in.UID))
				}
			}
		}
	}
	if f.wrong.Load() {
		out = out[1:]
	}
	return out
}

func (f *fakeWeb) search(q url.Values) []object {
	from, to, _ := strings.Cut(q.Get("StudyDate"), "-")
	out := []object{}
	for _, st := range f.studies {
		match := q.Get("AccessionNumber") == st.Accession ||
			q.Has("PatientID") && strings.Contains(st.PatientID, strings.Trim(q.Get("PatientID"), "*")) ||
			q.Has("StudyDate") && st.Date >= from && st.Date <= to
		if match != f.wrong.Load() {
			o := uidObject("0020000D", st.UID)
			o["00080020"] = map[string]any{"vr": "DA", "Value": []string{st.Date}}
			o["00100020"] = map[string]any{"vr": "LO", "Value": []string{st.PatientID}}
			out = append(out, o)
		}
	}
	return out
}

func TestScale(t *testing.T) {
	g := bench.NewUniformGenerator(4, bench.KindTiny, 2)
	f := &fakeWeb{mem: bench.NewMemory(), studies: g.Studies(20)}
	f.mem.PutStudies(g, 20, "", true)
	srv := httptest.NewServer(f)
	defer srv.Close()
	o := bench.ScaleOptions{Seed: 4, Instances: 40, PerRequest: 2, Concurrency: 3, Duration: 20 * time.Millisecond}
	target := bench.Target{Name: "fake", DICOMweb: srv.URL}
	report, err := bench.Scale(t.Context(), target, o, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if f.stored.Load() != 40 || len(report.Results) != 8 {
		t.Errorf("%d instances stored, %d results", f.stored.Load(), len(report.Results))
	}
	f.wrong.Store(true)
	report, err = bench.Scale(t.Context(), target, o, io.Discard)
	if err == nil {
		t.Fatal("no error although every answer was wrong")
	}
	for _, r := range report.Results {
		if r.Operations > 0 && r.Workload != bench.ScaleDates {
			t.Errorf("%s: %d wrong answers were taken for right", r.Workload, r.Operations)
		}
	}
}

func TestDICOMwebWorkloads(t *testing.T) {
	g := bench.NewUniformGenerator(6, bench.KindTiny, 12)
	f := &fakeWeb{mem: bench.NewMemory(), studies: g.Studies(4)}
	f.mem.PutStudies(g, 4, "", true)
	f.mem.PutStudies(g, 4, "", false)
	srv := httptest.NewServer(f)
	defer srv.Close()
	s := bench.NewSession(bench.Target{Name: "fake", DICOMweb: srv.URL}, g, nil)

	res, err := s.Run(t.Context(), bench.Step{Workload: "stow", Concurrency: 3, Studies: 2, PerRequest: 5})
	if err != nil || res.Errors > 0 || res.Objects != 24 || res.Operations != 6 || f.stored.Load() != 24 {
		t.Fatalf("stow: %+v, %v, stored %d", res, err, f.stored.Load())
	}
	f.wrong.Store(true)
	res, err = s.Run(t.Context(), bench.Step{Workload: "stow", Concurrency: 1, Studies: 2})
	if err != nil || res.Operations > 0 || res.Errors == 0 {
		t.Errorf("refused instances counted as stored: %+v, %v", res, err)
	}
	for _, name := range []string{"wado-instance", "wado-series", "metadata"} {
		mustRun(t, s, bench.Step{Workload: name, Concurrency: 2, Count: 30}, &f.wrong)
	}
	mustRun(t, s, bench.Step{Workload: "qido", Query: "accession", Concurrency: 2, Count: 30}, &f.wrong)
}

func TestMainReportsAndFails(t *testing.T) {
	f := &fakeS3{Memory: bench.NewMemory()}
	srv := httptest.NewServer(f)
	defer srv.Close()
	dir := t.TempDir()
	args := []string{"-s3", srv.URL, "-workloads", "s3-put,s3-get", "-count", "20", "-objects", "10", "-sizes", "100,200",
		"-concurrency", "1,2", "-json", dir + "/r.json", "-html", dir + "/r.html", "-seed", "9"}
	var out strings.Builder
	if err := bench.Main(t.Context(), args, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "s3-put"); n != 4 {
		t.Errorf("%d measurements of s3-put, want 2 sizes by 2 concurrencies:\n%s", n, out.String())
	}
	var report bench.Report
	if err := json.Unmarshal(read(t, dir+"/r.json"), &report); err != nil || len(report.Results) != 8 || report.Seed != 9 {
		t.Errorf("JSON: %+v, %v", report, err)
	}
	page := string(read(t, dir+"/r.html"))
	if strings.Count(page, "<svg") != 16 || strings.Contains(page, "http") || strings.Contains(page, "ZgotmplZ") {
		t.Errorf("HTML has %d plots, or refers to the outside", strings.Count(page, "<svg"))
	}
	f.wrong.Store(true)
	if err := bench.Main(t.Context(), args, io.Discard, io.Discard); err == nil {
		t.Error("no error although every byte read was wrong")
	}
}

func TestMainRefusesMistakes(t *testing.T) {
	var asked atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer srv.Close()
	for _, bad := range []string{
		"", "-workloads x", "-workloads s3-put,stow", "-sizes 0", "-concurrency -1", "-rate -1", "-rate NaN", "-rate Inf", "-duration -1s",
		"-count -1", "-objects -1", "-keys -1", "-studies -1", "-pid -1", "-pid 1073741824", "-query x -workloads qido -dicomweb " + srv.URL,
		"-s3 ftp://x", "-s3 example.com", "-scale -1", "-scale 5 -dicomweb " + srv.URL, "-scale 1000", "-json " + t.TempDir() + "/none/r.json",
		"-scale 1000 -workloads stow -dicomweb " + srv.URL,
	} {
		args := strings.Fields(bad)
		if !strings.Contains(bad, "-s3") && bad != "" {
			args = append([]string{"-s3", srv.URL}, args...)
		}
		if err := bench.Main(t.Context(), args, io.Discard, io.Discard); !errors.Is(err, bench.ErrUsage) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("%d requests were sent before the mistakes were found", n)
	}
}

// TestQueriesOfAnArchiveInUse: what is at the server already answers queries, too; what does not match still must not.
func TestQueriesOfAnArchiveInUse(t *testing.T) {
	g := bench.NewUniformGenerator(6, bench.KindTiny, 12)
	others := bench.NewUniformGenerator(7, bench.KindTiny, 12).Studies(300)
	f := &fakeWeb{mem: bench.NewMemory(), studies: slices.Concat(others, g.Studies(40))}
	srv := httptest.NewServer(f)
	defer srv.Close()
	s := bench.NewSession(bench.Target{Name: "fake", DICOMweb: srv.URL}, g, nil)
	s.AssumeStored(40)
	for _, name := range []string{"patient", "accession", "date", "wildcard"} {
		mustRun(t, s, bench.Step{Workload: "qido", Query: name, Concurrency: 2, Count: 60}, &f.wrong)
	}
	f.studies = others
	for _, name := range []string{"patient", "accession", "date", "wildcard"} {
		s := bench.NewSession(bench.Target{Name: "fake", DICOMweb: srv.URL}, g, nil)
		s.AssumeStored(40)
		res, err := s.Run(t.Context(), bench.Step{Workload: "qido", Query: name, Count: 60})
		if err != nil || res.Errors == 0 || res.Operations > 0 {
			t.Errorf("%s: answers without what was stored were taken for right: %+v, %v", name, res, err)
		}
	}
}

// TestMainReportsWhatWasMeasured before it was stopped, in the middle of a step and in the one before.
func TestMainReportsWhatWasMeasured(t *testing.T) {
	f := &fakeS3{Memory: bench.NewMemory()}
	ctx, stop := context.WithCancel(t.Context())
	var gets atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.ServeHTTP(w, r)
		if r.Method == "GET" && gets.Add(1) == 100 {
			stop()
		}
	}))
	defer srv.Close()
	file := t.TempDir() + "/r.json"
	var out strings.Builder
	err := bench.Main(ctx, []string{"-s3", srv.URL, "-workloads", "s3-put,s3-get", "-count", "20", "-objects", "10", "-concurrency", "1",
		"-json", file}, &out, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	err = bench.Main(ctx, []string{"-s3", srv.URL, "-workloads", "s3-put,s3-get,s3-mixed", "-count", "500", "-objects", "10",
		"-concurrency", "1", "-json", file}, &out, io.Discard)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	var report bench.Report
	if err := json.Unmarshal(read(t, file), &report); err != nil || len(report.Results) != 2 {
		t.Fatalf("%d results, %v", len(report.Results), err)
	}
	if r := report.Results[1]; r.Workload != "s3-get" || r.Operations < 70 || r.Operations > 80 || r.Errors > 0 {
		t.Errorf("the step that was stopped: %+v", r)
	}
}

// TestRawAppendWritesWhatItCounts: as many objects as a server would be given, and all of each.
func TestRawAppendWritesWhatItCounts(t *testing.T) {
	for _, tc := range []struct{ size, workers, count, objects int64 }{
		{4096, 4, 10, 12}, {20 << 20, 1, 2, 2}, {100, 1100, 1100, 1100},
	} {
		step := bench.Step{Workload: "s3-put", Size: tc.size, Concurrency: int(tc.workers), Count: tc.count}
		res, err := bench.RawAppend{Dir: t.TempDir()}.Run(t.Context(), step)
		if err != nil || res.Errors > 0 {
			t.Fatalf("%+v: %+v, %v", tc, res, err)
		}
		if res.Objects != tc.objects || res.Operations != tc.objects || res.Bytes != tc.objects*tc.size {
			t.Errorf("%d objects of %d bytes by %d: %d objects, %d bytes", tc.count, tc.size, tc.workers, res.Objects, res.Bytes)
		}
	}
}

func TestYardsticks(t *testing.T) {
	dir := t.TempDir()
	step := bench.Step{Workload: "s3-put", Size: 4096, Concurrency: 4, Count: 10, Objects: 8}
	for _, y := range []bench.Runner{bench.RawAppend{Dir: dir}, bench.RawRead{Dir: dir}} {
		res, err := y.Run(t.Context(), step)
		if err != nil || res.Errors > 0 || res.Bytes != res.Objects*4096 || res.Concurrency != 4 {
			t.Errorf("%T: %+v, %v", y, res, err)
		}
	}
}
