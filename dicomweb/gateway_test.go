package dicomweb_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gantry/dicomweb"
	"gantry/internal/auth"
	"gantry/internal/httpx"
	"gantry/store"
)

const corpus = "../../shared/dicom"

// needCorpus skips where the files are not, except in CI.
func needCorpus(t testing.TB) {
	t.Helper()
	if _, err := os.Stat(corpus); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no DICOM files: %v", err)
		}
		t.Skipf("no DICOM files at %s", corpus)
	}
}

func corpusFile(t testing.TB, name string) []byte {
	t.Helper()
	needCorpus(t)
	b, err := os.ReadFile(filepath.Join(corpus, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func corpusFiles(t testing.TB, dir string) []string {
	t.Helper()
	needCorpus(t)
	names, err := filepath.Glob(filepath.Join(corpus, dir, "*.dcm"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no files in %s: %v", dir, err)
	}
	for i := range names {
		names[i] = filepath.Join(dir, filepath.Base(names[i]))
	}
	return names
}

// transport neither follows redirects nor asks for compression of its own accord.
var transport = &http.Transport{DisableCompression: true}

// site is a gateway over a store, behind a listener.
type site struct {
	t     testing.TB
	store *store.Store
	url   string // of the service
	user  auth.Credential
}

// start runs a gateway; change may adjust its configuration.
func start(t testing.TB, policy store.Duplicates, change func(*dicomweb.Config)) *site {
	t.Helper()
	return startIn(t, t.TempDir(), policy, change)
}

// startIn is start in a given directory.
func startIn(t testing.TB, dir string, policy store.Duplicates, change func(*dicomweb.Config)) *site {
	t.Helper()
	st, err := store.Open(t.Context(), store.Config{Dir: dir, Indexer: dicomweb.Index})
	if err != nil {
		t.Fatal(err)
	}
	_, err = st.CreateBucket(t.Context(), "dicom", store.BucketSettings{DICOM: true, Duplicates: policy}, store.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // after the server has stopped
		if err := st.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	return startOn(t, st, change, nil)
}

// startOn runs a gateway over a store; made, if set, gets it before it serves.
func startOn(t testing.TB, st *store.Store, change func(*dicomweb.Config), made func(*dicomweb.Gateway)) *site {
	t.Helper()
	cfg := dicomweb.Config{Objects: st, NoAuth: true}
	if change != nil {
		change(&cfg)
	}
	g, err := dicomweb.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if made != nil {
		made(g)
	}
	srv, err := httpx.New(httpx.Config{Name: "web", Handler: g.Handle, ErrorWriter: g.WriteError, RouteLabel: g.RouteLabel})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		transport.CloseIdleConnections()
		_ = srv.Shutdown(ctx)
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return &site{t: t, store: st, url: "http://" + ln.Addr().String() + "/dicomweb"}
}

// answer is a response with its whole body.
type answer struct {
	*http.Response
	body []byte
}

// do sends a request; headers come in pairs.
func (s *site) do(method, path string, body []byte, headers ...string) answer {
	s.t.Helper()
	rq, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		rq.Header.Add(headers[i], headers[i+1])
	}
	if s.user.ID != "" && rq.Header.Get("Authorization") == "" {
		rq.SetBasicAuth(s.user.ID, s.user.Secret)
	}
	rs, err := transport.RoundTrip(rq)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer rs.Body.Close()
	b, err := io.ReadAll(rs.Body)
	if err != nil {
		s.t.Fatalf("%s %s: read body: %v", method, path, err)
	}
	return answer{rs, b}
}

func (s *site) get(path string, headers ...string) answer {
	s.t.Helper()
	return s.do("GET", path, nil, headers...)
}

// multipartBody wraps instances for STOW.
func multipartBody(parts ...[]byte) (body []byte, contentType string) {
	var b bytes.Buffer
	for _, p := range parts {
		b.WriteString("--frontier\r\nContent-Type: application/dicom\r\n\r\n")
		b.Write(p)
		b.WriteString("\r\n")
	}
	b.WriteString("--frontier--\r\n")
	return b.Bytes(), `multipart/related; type="application/dicom"; boundary=frontier`
}

// stow stores instances in one request.
func (s *site) stow(path string, parts ...[]byte) answer {
	s.t.Helper()
	body, contentType := multipartBody(parts...)
	return s.do("POST", path, body, "Content-Type", contentType, "Accept", "application/dicom+json")
}

// mustStow stores instances and fails the test unless all are.
func (s *site) mustStow(names ...string) {
	s.t.Helper()
	for _, name := range names {
		if a := s.stow("/studies", corpusFile(s.t, name)); a.StatusCode != http.StatusOK {
			s.t.Fatalf("store %s: %d %s", name, a.StatusCode, a.body)
		}
	}
}

// element is an attribute in DICOM JSON.
type element struct {
	VR          string `json:"vr"`
	Value       []any
	BulkDataURI string
}

type dataset map[string]element

// str returns the first value of an attribute as text.
func (d dataset) str(tag string) string {
	e := d[tag]
	if len(e.Value) == 0 {
		return ""
	}
	if m, ok := e.Value[0].(map[string]any); ok {
		return fmt.Sprint(m["Alphabetic"])
	}
	return fmt.Sprint(e.Value[0])
}

func (a answer) datasets(t testing.TB) []dataset {
	t.Helper()
	var list []dataset
	if err := json.Unmarshal(a.body, &list); err != nil {
		t.Fatalf("status %d, not DICOM JSON: %v: %.200s", a.StatusCode, err, a.body)
	}
	return list
}

// query runs a QIDO request that must succeed.
func (s *site) query(path string) []dataset {
	s.t.Helper()
	a := s.get(path, "Accept", "application/dicom+json")
	if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != "application/dicom+json" {
		s.t.Fatalf("%s: %d %s %s", path, a.StatusCode, a.Header.Get("Content-Type"), a.body)
	}
	return a.datasets(s.t)
}

// parts splits a multipart/related response.
func (a answer) parts(t testing.TB) (bodies [][]byte, types []string) {
	t.Helper()
	mt, params, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if err != nil || mt != "multipart/related" {
		t.Fatalf("status %d, content type %q: %v", a.StatusCode, a.Header.Get("Content-Type"), err)
	}
	r := multipart.NewReader(bytes.NewReader(a.body), params["boundary"])
	for {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return bodies, types
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		bodies, types = append(bodies, b), append(types, p.Header.Get("Content-Type"))
	}
}

// place is where an instance can be retrieved.
func (d dataset) place() string {
	return "/studies/" + d.str("0020000D") + "/series/" + d.str("0020000E") + "/instances/" + d.str("00080018")
}

// expectations reads hostile.tsv.
func expectations(t testing.TB) map[string]string {
	t.Helper()
	r := csv.NewReader(bytes.NewReader(corpusFile(t, "hostile.tsv")))
	r.Comma, r.FieldsPerRecord, r.LazyQuotes = '\t', -1, true
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, row := range rows[1:] {
		out[row[0]] = row[2]
	}
	return out
}
