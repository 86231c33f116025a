package dicomweb_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"gantry/dicomweb"
	"gantry/dicomweb/part10"
	"gantry/internal/auth"
	"gantry/store"
)

const (
	ctFile   = "valid/pydicom__CT_small.dcm"
	everyTS  = `multipart/related; type="application/octet-stream"; transfer-syntax=*`
	jsonType = "application/dicom+json"
)

// corpusWith picks real files by a word in their name.
func corpusWith(t testing.TB, word string, max int) []string {
	t.Helper()
	var out []string
	for _, name := range corpusFiles(t, "valid") {
		if strings.Contains(name, word) && len(out) < max {
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		t.Fatalf("no file with %q in its name", word)
	}
	return out
}

func TestFramesOfCorpus(t *testing.T) {
	s := start(t, store.Replace, nil)
	for _, name := range append(corpusFiles(t, "valid"), corpusFiles(t, "synthetic")...) {
		file := corpusFile(t, name)
		in, err := part10.Index(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		if a := s.stow("/studies", file); a.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", name, a.body)
		}
		if strings.Contains(name, sameDataSet) {
			continue
		}
		path := "/studies/" + in.StudyUID + "/series/" + in.SeriesUID + "/instances/" + in.SOPUID
		table, err := part10.ScanFrames(bytes.NewReader(file), int64(len(file)))
		if err == nil {
			err = table.Err()
		}
		if err != nil {
			if a := s.get(path + "/frames/1"); a.StatusCode != http.StatusNotFound {
				t.Errorf("%s: frames that do not exist (%v): %d", name, err, a.StatusCode)
			}
			continue
		}
		last := table.Len()
		a := s.get(fmt.Sprintf("%s/frames/%d,1", path, last), "Accept", everyTS)
		if a.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
			continue
		}
		bodies, types := a.parts(t)
		if len(bodies) != 2 || !strings.HasPrefix(types[0], "application/octet-stream; transfer-syntax=1.2") {
			t.Errorf("%s: %d parts %q", name, len(bodies), types)
			continue
		}
		for i, n := range []int{last, 1} {
			if want := frameBytes(t, file, table, n-1); !bytes.Equal(bodies[i], want) {
				t.Errorf("%s: frame %d differs: %d bytes, want %d", name, n, len(bodies[i]), len(want))
			}
		}
		if last > 1 { // one part a frame, however the tag is written
			upper, lower := s.get(path+"/bulkdata/7FE00010"), s.get(path+"/bulkdata/7fe00010")
			if upper.StatusCode != lower.StatusCode || upper.ContentLength != lower.ContentLength {
				t.Errorf("%s: pixel data by a tag in lower case: %d, %d bytes, want %d", name, lower.StatusCode, lower.ContentLength, upper.ContentLength)
			}
		}
		if a := s.get(fmt.Sprintf("%s/frames/%d", path, last+1)); a.StatusCode != http.StatusNotFound {
			t.Errorf("%s: frame past the end: %d", name, a.StatusCode)
		}
	}
}

// frameBytes cuts a frame out of a file.
func frameBytes(t testing.TB, file []byte, table *part10.FrameTable, n int) []byte {
	t.Helper()
	if table.Computed() {
		f, err := part10.OpenFrame(bytes.NewReader(file), int64(len(file)), n)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		b, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var b []byte
	for _, r := range table.AppendRanges(nil, n) {
		b = append(b, file[r.Offset:r.Offset+r.Length]...)
	}
	return b
}

func TestFramesNegotiation(t *testing.T) {
	s := start(t, store.Refuse, nil)
	jpeg := corpusWith(t, "1.2.840.10008.1.2.4.50", 1)[0]
	s.mustStow(jpeg)
	compressed := s.query("/instances")[0].place()
	s.mustStow(control)
	var plain string
	for _, d := range s.query("/instances") {
		if p := d.place(); p != compressed {
			plain = p
		}
	}
	for _, c := range []struct {
		path, accept string
		want         int
		contentType  string // of the response, or of its first part
	}{
		{compressed, "", 200, "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50"},
		{compressed, "*/*", 200, "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50"},
		{compressed, `multipart/related; type="image/jpeg"`, 200, "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50"},
		{compressed, "image/jpeg", 200, "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50"},
		{compressed, "image/dicom+jpeg", 200, "image/dicom+jpeg; transfer-syntax=1.2.840.10008.1.2.4.50"},
		{compressed, `multipart/related; type="image/*"`, 200, "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50"},
		{compressed, `multipart/related; type="application/octet-stream"`, 200, "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.4.50"},
		{compressed, `multipart/related; type="application/octet-stream"; transfer-syntax=1.2.840.10008.1.2.1`, 406, ""},
		{compressed, `multipart/related; type="image/jls", */*;q=0.2`, 200, "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50"},
		{compressed, `image/png`, 406, ""},
		{plain, "", 200, "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"},
		{plain, `multipart/related; type=application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1`, 200, "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"},
		{plain, "application/octet-stream", 200, "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"},
		{plain, `multipart/related; type="image/jpeg"`, 406, ""},
		{plain, `multipart/related; type="application/octet-stream"; transfer-syntax=1.2.840.10008.1.2.4.50`, 406, ""},
	} {
		a := s.do("GET", c.path+"/frames/1", nil, "Accept", c.accept)
		got := a.Header.Get("Content-Type")
		if a.StatusCode == 200 && strings.HasPrefix(got, "multipart/") {
			_, types := a.parts(t)
			got = types[0]
		}
		if a.StatusCode != c.want || c.want == 200 && got != c.contentType {
			t.Errorf("Accept %q: %d %s, want %d %s", c.accept, a.StatusCode, got, c.want, c.contentType)
		}
	}
	for _, bad := range []string{"0", "-1", "abc", "1,,2", "1;2"} {
		if a := s.get(plain + "/frames/" + bad); a.StatusCode != http.StatusBadRequest {
			t.Errorf("frames %q: %d", bad, a.StatusCode)
		}
	}
	full := s.get(plain+"/frames/1", "Accept", "application/octet-stream")
	part := s.get(plain+"/frames/1", "Accept", "application/octet-stream", "Range", "bytes=10-19")
	if part.StatusCode != http.StatusPartialContent || !bytes.Equal(part.body, full.body[10:20]) {
		t.Errorf("range of a frame: %d, %d bytes", part.StatusCode, len(part.body))
	}
}

func TestMetadataAndBulkData(t *testing.T) {
	s := start(t, store.Replace, nil)
	for _, name := range append(corpusFiles(t, "valid"), corpusFiles(t, "synthetic")...) {
		file := corpusFile(t, name)
		if strings.Contains(name, sameDataSet) {
			continue
		}
		in, err := part10.Index(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		if a := s.stow("/studies", file); a.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", name, a.body)
		}
		path := "/studies/" + in.StudyUID + "/series/" + in.SeriesUID + "/instances/" + in.SOPUID
		a := s.get(path+"/metadata", "Accept", jsonType)
		if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != jsonType {
			t.Errorf("%s: metadata: %d %.200s", name, a.StatusCode, a.body)
			continue
		}
		list := a.datasets(t)
		if len(list) != 1 || list[0].str("00080018") != in.SOPUID {
			t.Errorf("%s: metadata of %d instances, of %q, want %q", name, len(list), list[0].str("00080018"), in.SOPUID)
			continue
		}
		if (list[0]["7FE00010"].BulkDataURI != "") != (in.Pixels != nil && in.Pixels.Tag == 0x7FE00010) {
			t.Errorf("%s: pixel data is %+v", name, list[0]["7FE00010"])
		}
		for tag, e := range list[0] {
			s.checkBulk(name, tag, e, file)
		}
	}
}

// checkBulk fetches a value that metadata refers to.
func (s *site) checkBulk(name, tag string, e element, file []byte) {
	s.t.Helper()
	if e.BulkDataURI == "" {
		return
	}
	path, ok := strings.CutPrefix(e.BulkDataURI, s.url)
	if !ok {
		s.t.Errorf("%s %s: URI %q is not ours", name, tag, e.BulkDataURI)
		return
	}
	v, err := part10.Element(bytes.NewReader(file), int64(len(file)), tag)
	if err != nil {
		s.t.Fatalf("%s %s: %v", name, tag, err)
	}
	a := s.get(path, "Accept", "*/*")
	switch {
	case a.StatusCode != http.StatusOK:
		s.t.Errorf("%s %s: %d %s", name, tag, a.StatusCode, a.body)
	case v.Fragments == nil && v.Direct && !bytes.Equal(a.body, file[v.Range.Offset:v.Range.Offset+v.Range.Length]):
		s.t.Errorf("%s %s: %d bytes, want %d", name, tag, len(a.body), v.Range.Length)
	case v.Fragments == nil && int64(len(a.body)) != v.Range.Length:
		s.t.Errorf("%s %s: %d bytes, want %d", name, tag, len(a.body), v.Range.Length)
	}
	multi := s.get(path, "Accept", `multipart/related; type="application/octet-stream"; transfer-syntax=*`)
	if bodies, _ := multi.parts(s.t); len(bodies) == 0 || len(bodies) == 1 && v.Fragments == nil && !bytes.Equal(bodies[0], a.body) {
		s.t.Errorf("%s %s: multipart has %d parts", name, tag, len(bodies))
	}
}

func TestMetadataLevelsTagsAndGzip(t *testing.T) {
	s := start(t, store.Refuse, nil)
	s.mustStow(control, "hostile/conflict_sop_A.dcm")
	d := s.query("/instances")[0]
	study := "/studies/" + d.str("0020000D")
	for _, path := range []string{study, study + "/series/" + d.str("0020000E"), d.place()} {
		a := s.get(path + "/metadata")
		etag := a.Header.Get("ETag")
		if a.StatusCode != 200 || etag == "" || len(a.datasets(t)) == 0 {
			t.Errorf("%s: %d, ETag %q", path, a.StatusCode, etag)
		}
		if again := s.get(path+"/metadata", "If-None-Match", etag); again.StatusCode != http.StatusNotModified || len(again.body) != 0 {
			t.Errorf("%s: If-None-Match: %d", path, again.StatusCode)
		}
		if other := s.get(path+"/metadata", "If-None-Match", `"x"`); other.StatusCode != 200 {
			t.Errorf("%s: another tag: %d", path, other.StatusCode)
		}
		z := s.get(path+"/metadata", "Accept-Encoding", "gzip")
		r, err := gzip.NewReader(bytes.NewReader(z.body))
		if err != nil || z.Header.Get("Content-Encoding") != "gzip" {
			t.Fatalf("%s: gzip: %v, %q", path, err, z.Header.Get("Content-Encoding"))
		}
		if b, err := io.ReadAll(r); err != nil || !bytes.Equal(b, a.body) {
			t.Errorf("%s: gzip holds something else: %v", path, err)
		}
		h := s.do("HEAD", path+"/metadata", nil)
		if h.StatusCode != 200 || len(h.body) != 0 || h.ContentLength != int64(len(a.body)) {
			t.Errorf("%s: HEAD: %d, length %d", path, h.StatusCode, h.ContentLength)
		}
		if x := s.get(path+"/metadata", "Accept", `multipart/related; type="application/dicom+xml"`); x.StatusCode != http.StatusNotAcceptable {
			t.Errorf("%s: XML: %d", path, x.StatusCode)
		}
	}
	old := s.get(study + "/metadata").Header.Get("ETag")
	if a := s.do("DELETE", d.place(), nil); a.StatusCode != http.StatusNoContent {
		t.Fatalf("delete: %d %s", a.StatusCode, a.body)
	}
	if a := s.get(study+"/metadata", "If-None-Match", old); a.StatusCode == http.StatusNotModified {
		t.Error("metadata unchanged after a deletion")
	}
}

func TestRetrieveForms(t *testing.T) {
	s := start(t, store.Refuse, nil)
	s.mustStow(control)
	d := s.query("/instances")[0]
	file := corpusFile(t, control)
	single := []string{"Accept", "application/dicom; transfer-syntax=*"}
	full := s.get(d.place(), single...)
	if !bytes.Equal(full.body, file) || full.Header.Get("Accept-Ranges") != "bytes" {
		t.Fatalf("single part: %d, %d bytes", full.StatusCode, len(full.body))
	}
	r := s.get(d.place(), append(single, "Range", "bytes=128-131")...)
	if r.StatusCode != http.StatusPartialContent || string(r.body) != "DICM" ||
		r.Header.Get("Content-Range") != fmt.Sprintf("bytes 128-131/%d", len(file)) {
		t.Errorf("range: %d %q %q", r.StatusCode, r.body, r.Header.Get("Content-Range"))
	}
	if r := s.get(d.place(), append(single, "Range", "bytes=99999999-")...); r.StatusCode != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("range past the end: %d", r.StatusCode)
	}
	for _, header := range [][]string{single, append(single, "Range", "bytes=128-131")} {
		h := s.do("HEAD", d.place(), nil, header...)
		if h.StatusCode != 200 || h.ContentLength != int64(len(file)) || len(h.body) != 0 {
			t.Errorf("HEAD %q: %d, length %d", header, h.StatusCode, h.ContentLength)
		}
	}
	q := s.get(d.place() + "?accept=application/dicom;transfer-syntax=*")
	if !bytes.Equal(q.body, file) {
		t.Errorf("accept as a query parameter: %d, %d bytes", q.StatusCode, len(q.body))
	}
	for accept, want := range map[string]int{
		"image/png": 406, "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.90": 406, "application/zip": 406,
		"application/dicom": 200, "multipart/related": 200, "text/html, */*;q=0.1": 200,
	} {
		if a := s.get(d.place(), "Accept", accept); a.StatusCode != want {
			t.Errorf("Accept %q: %d, want %d", accept, a.StatusCode, want)
		}
	}
	u := fmt.Sprintf("/wado?requestType=WADO&studyUID=%s&seriesUID=%s&objectUID=%s", d.str("0020000D"), d.str("0020000E"), d.str("00080018"))
	if a := s.get(u + "&contentType=application/dicom"); !bytes.Equal(a.body, file) || !strings.HasPrefix(a.Header.Get("Content-Type"), "application/dicom") {
		t.Errorf("WADO-URI: %d, %d bytes", a.StatusCode, len(a.body))
	}
	if a := s.get(u + "&contentType=image/jpeg"); a.StatusCode != http.StatusNotAcceptable {
		t.Errorf("WADO-URI of a JPEG: %d", a.StatusCode)
	}
	if a := s.get(u + "&anonymize=yes"); a.StatusCode != http.StatusNotImplemented {
		t.Errorf("WADO-URI of a de-identified object: %d", a.StatusCode)
	}
	if a := s.get("/wado?requestType=WADO"); a.StatusCode != http.StatusBadRequest {
		t.Errorf("WADO-URI without UIDs: %d", a.StatusCode)
	}
}

func TestNotFound(t *testing.T) {
	s := start(t, store.Refuse, nil)
	s.mustStow(control)
	d := s.query("/instances")[0]
	study, series, sop := d.str("0020000D"), d.str("0020000E"), d.str("00080018")
	for _, path := range []string{
		"/studies/1.2.3", "/studies/1.2.3/metadata", "/studies/" + study + "/series/1.2.3", "/studies/" + study + "/series/1.2.3/metadata",
		"/studies/1.2.3/series/" + series + "/instances/" + sop, "/studies/" + study + "/series/" + series + "/instances/1.2.3",
		d.place() + "/bulkdata/00991234", d.place() + "/bulkdata/nonsense", d.place() + "/frames/9", "/studies/abc", "/nothing", "/elsewhere/studies",
		"/studies/" + study + "/series/" + series + "/instances/" + sop + "/nothing",
	} {
		a := s.get(path)
		if a.StatusCode != http.StatusNotFound || !json.Valid(a.body) {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
		}
	}
	if a := s.do("DELETE", "/studies/1.2.3", nil); a.StatusCode != http.StatusNotFound {
		t.Errorf("delete of nothing: %d", a.StatusCode)
	}
	if a := s.do("PUT", "/studies", nil); a.StatusCode != http.StatusMethodNotAllowed || !strings.Contains(a.Header.Get("Allow"), "POST") {
		t.Errorf("PUT: %d, Allow %q", a.StatusCode, a.Header.Get("Allow"))
	}
	for _, path := range []string{"/rendered", "/thumbnail"} {
		if a := s.get(d.place() + path); a.StatusCode != http.StatusNotImplemented {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
}

func TestDeleteLevels(t *testing.T) {
	s := start(t, store.Keep, nil)
	file := corpusFile(t, control)
	changed := bytes.Clone(file)
	changed[len(changed)-1] ^= 1
	for _, path := range []func(dataset) string{
		func(d dataset) string { return d.place() },
		func(d dataset) string { return "/studies/" + d.str("0020000D") + "/series/" + d.str("0020000E") },
		func(d dataset) string { return "/studies/" + d.str("0020000D") },
	} {
		if a := s.stow("/studies", file, changed); a.StatusCode != http.StatusOK {
			t.Fatalf("store two under one UID: %d %s", a.StatusCode, a.body)
		}
		p := path(s.query("/instances")[0])
		if a := s.do("DELETE", p, nil); a.StatusCode != http.StatusNoContent {
			t.Errorf("delete: %d %s", a.StatusCode, a.body)
		}
		if left := s.query("/instances"); len(left) != 0 {
			t.Errorf("%d instances left of two", len(left))
		}
	}
}

func TestAuthentication(t *testing.T) {
	all := auth.Credential{ID: "all", Secret: "secret", Permissions: auth.All}
	reader := auth.Credential{ID: "reader", Secret: "secret", Permissions: auth.Read, Buckets: []string{"dicom"}}
	ring, err := auth.NewKeyring(all, reader)
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, store.Refuse, func(c *dicomweb.Config) {
		c.NoAuth, c.Keyring, c.CORSOrigins = false, ring, []string{"https://viewer.example"}
	})
	a := s.get("/studies")
	if a.StatusCode != http.StatusUnauthorized || len(a.Header.Values("WWW-Authenticate")) != 2 ||
		!strings.HasPrefix(a.Header.Get("WWW-Authenticate"), `Basic realm="gantry"`) {
		t.Errorf("no credentials: %d %q", a.StatusCode, a.Header.Values("WWW-Authenticate"))
	}
	if a := s.get("/studies", "Authorization", "Bearer "+all.Token()); a.StatusCode != 200 {
		t.Errorf("bearer: %d", a.StatusCode)
	}
	s.user = reader
	if a := s.get("/studies"); a.StatusCode != 200 {
		t.Errorf("reader reads: %d", a.StatusCode)
	}
	if a := s.stow("/studies", []byte("x")); a.StatusCode != http.StatusForbidden {
		t.Errorf("reader stores: %d", a.StatusCode)
	}
	if a := s.do("DELETE", "/studies/1.2", nil); a.StatusCode != http.StatusForbidden {
		t.Errorf("reader deletes: %d", a.StatusCode)
	}
	if a := s.get("/other/studies"); a.StatusCode != http.StatusForbidden {
		t.Errorf("reader reads another archive: %d", a.StatusCode)
	}
	s.user = auth.Credential{}
	p := s.do("OPTIONS", "/studies", nil, "Origin", "https://viewer.example", "Access-Control-Request-Method", "GET",
		"Access-Control-Request-Headers", "authorization")
	if p.StatusCode != http.StatusNoContent || p.Header.Get("Access-Control-Allow-Origin") != "https://viewer.example" ||
		!strings.Contains(p.Header.Get("Access-Control-Allow-Headers"), "Authorization") {
		t.Errorf("preflight: %d %v", p.StatusCode, p.Header)
	}
	if p := s.do("OPTIONS", "/studies", nil, "Origin", "https://evil.example", "Access-Control-Request-Method", "GET"); p.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("another origin is let in")
	}
	if a := s.get("/studies", "Origin", "https://viewer.example"); a.StatusCode != 401 || a.Header.Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("401 to a browser: %d %v", a.StatusCode, a.Header)
	}
}

func TestCapabilities(t *testing.T) {
	s := start(t, store.Refuse, nil)
	a := s.do("OPTIONS", "/", nil, "Accept", "application/vnd.sun.wadl+xml")
	if a.StatusCode != 200 || !strings.Contains(string(a.body), `<resource path="studies"><method name="GET" id="SearchForStudies">`) {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if a := s.get("/"); a.StatusCode != 200 || !json.Valid(a.body) {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if a := s.do("OPTIONS", "/studies", nil); a.StatusCode != http.StatusNoContent || a.Header.Get("Allow") != "GET, POST, HEAD, OPTIONS" {
		t.Errorf("%d %q", a.StatusCode, a.Header.Get("Allow"))
	}
}

func TestPublicURL(t *testing.T) {
	s := start(t, store.Refuse, func(c *dicomweb.Config) { c.PublicURL = "https://pacs.example/x/" })
	s.mustStow(control)
	d := s.query("/instances")[0]
	if got := d.str("00081190"); !strings.HasPrefix(got, "https://pacs.example/x/dicomweb/studies/") {
		t.Errorf("RetrieveURL %q", got)
	}
}

func TestConversionToExplicitLittleEndian(t *testing.T) {
	s := start(t, store.Replace, nil)
	converted := 0
	for _, name := range append(corpusFiles(t, "valid"), corpusFiles(t, "synthetic")...) {
		file := corpusFile(t, name)
		var want bytes.Buffer
		err := part10.ToExplicitLE(&want, bytes.NewReader(file), int64(len(file)))
		in, err2 := part10.Index(bytes.NewReader(file), int64(len(file)))
		if err2 != nil {
			t.Fatal(err2)
		}
		syntax := part10.ExplicitLE
		if err != nil {
			syntax = in.TransferSyntax
			want.Reset()
			want.Write(file)
		}
		if syntax != in.TransferSyntax {
			converted++
		}
		if strings.Contains(name, sameDataSet) {
			continue
		}
		if a := s.stow("/studies", file); a.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", name, a.body)
		}
		path := "/studies/" + in.StudyUID + "/series/" + in.SeriesUID + "/instances/" + in.SOPUID
		for _, accept := range []string{"application/dicom", `multipart/related; type="application/dicom"`} {
			a := s.get(path, "Accept", accept)
			body, contentType := a.body, a.Header.Get("Content-Type")
			if strings.HasPrefix(contentType, "multipart/") {
				bodies, types := a.parts(t)
				body, contentType = bodies[0], types[0]
			}
			if a.StatusCode != 200 || !bytes.Equal(body, want.Bytes()) || contentType != "application/dicom; transfer-syntax="+syntax {
				t.Errorf("%s as %s: %d %s, %d bytes, want %d", name, accept, a.StatusCode, contentType, len(body), want.Len())
			}
		}
	}
	if converted == 0 {
		t.Error("nothing was converted")
	}
}

// implicitInstance makes an object in Implicit VR Little Endian, the n-th of its study.
func implicitInstance(n int, sequence string) []byte {
	le := binary.LittleEndian
	element := func(group, number uint16, value string) string {
		return string(le.AppendUint32(le.AppendUint16(le.AppendUint16(nil, group), number), uint32(len(value)))) + value
	}
	return []byte(strings.Repeat("\x00", 128) + "DICM\x02\x00\x10\x00UI\x12\x001.2.840.10008.1.2\x00" +
		element(8, 0x16, "1.2.840.10008.5.1.4.1.1.7\x00") + element(8, 0x18, fmt.Sprint("2.25.7712.", n+10, "\x00\x00")[:12]) + sequence +
		element(0x20, 0x0D, "2.25.7712\x00") + element(0x20, 0x0E, "2.25.7712.1\x00"))
}

// TestStudyThatCannotAllBeConverted: a client that insists is refused before it is sent anything, not left with half a study.
func TestStudyThatCannotAllBeConverted(t *testing.T) {
	s := start(t, store.Refuse, nil)
	const named = `multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.1`
	good := implicitInstance(1, "")
	rotten := implicitInstance(2, "\x18\x00\x46\x93\xff\xff\xff\xff\xfe\xff\x00\xe0\x0a\x00\x00\x00\x08\x00\x00\x01\x00\x40\x00\x00ab\xfe\xff\xdd\xe0\x00\x00\x00\x00")
	if a := s.stow("/studies", good); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if bodies, types := s.get("/studies/2.25.7712", "Accept", named).parts(t); len(bodies) != 1 || !strings.HasSuffix(types[0], part10.ExplicitLE) {
		t.Errorf("converted: %d %q", len(bodies), types)
	}
	if a := s.stow("/studies", rotten); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	for _, path := range []string{"/studies/2.25.7712", "/studies/2.25.7712/series/2.25.7712.1", "/studies/2.25.7712/series/2.25.7712.1/instances/2.25.7712.12"} {
		if a := s.get(path, "Accept", named); a.StatusCode != http.StatusNotAcceptable {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
		for _, accept := range []string{named + `, multipart/related; type="application/dicom"; transfer-syntax=*; q=0.5`, `multipart/related; type="application/dicom"`} {
			bodies, types := s.get(path, "Accept", accept).parts(t)
			if last := len(bodies) - 1; last < 0 || !bytes.Equal(bodies[last], rotten) || !strings.HasSuffix(types[last], "1.2.840.10008.1.2") {
				t.Errorf("%s as %s: %d %q", path, accept, len(bodies), types)
			}
		}
	}
}

// TestStudyOfSeveralTransferSyntaxes: a client that accepts several by name gets each instance in one of them.
func TestStudyOfSeveralTransferSyntaxes(t *testing.T) {
	s := start(t, store.Refuse, nil)
	const explicit, rle, jpeg = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.50"
	image := strings.ReplaceAll(string(document([]byte("%PDF"))), "2.25.7711.1", "2.25.7712\x00\x00")
	image = strings.ReplaceAll(strings.ReplaceAll(image, "2.25.7711.2", "2.25.7712.1"), explicit, rle)
	if a := s.stow("/studies/2.25.7712", implicitInstance(1, ""), []byte(image)); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	named := func(syntaxes ...string) string {
		var list []string
		for _, syntax := range syntaxes {
			list = append(list, `multipart/related; type="application/dicom"; transfer-syntax=`+syntax)
		}
		return strings.Join(list, ", ")
	}
	for accept, want := range map[string][]string{
		named(explicit, rle):                    {explicit, rle},
		named(jpeg, rle, explicit):              {explicit, rle},
		named(part10.ImplicitLE, rle, explicit): {part10.ImplicitLE, rle},
		named(explicit, "*") + ";q=0.5":         {explicit, rle},
		named(explicit, jpeg):                   nil,
		named(rle):                              nil,
	} {
		for _, path := range []string{"/studies/2.25.7712", "/studies/2.25.7712/series/2.25.7712.1"} {
			a := s.get(path, "Accept", accept)
			if want == nil {
				if a.StatusCode != http.StatusNotAcceptable {
					t.Errorf("%s as %s: %d", path, accept, a.StatusCode)
				}
				continue
			}
			if a.StatusCode != http.StatusOK {
				t.Errorf("%s as %s: %d %s", path, accept, a.StatusCode, a.body)
				continue
			}
			bodies, types := a.parts(t)
			for i, syntax := range want {
				if types[i] != "application/dicom; transfer-syntax="+syntax {
					t.Errorf("%s as %s: part %d is %s, want %s", path, accept, i, types[i], syntax)
				}
			}
			if string(bodies[1]) != image {
				t.Errorf("%s as %s: the compressed one was changed", path, accept)
			}
		}
	}
}

// TestMetadataOfFloatPixels: no pixel data is made up for an object whose pixels are numbers.
func TestMetadataOfFloatPixels(t *testing.T) {
	s := start(t, store.Refuse, nil)
	file := strings.Replace(string(document([]byte("%PDF"))), "1.2.840.10008.1.2.1", "1.2.840.10008.9.2.1", 1) + "\xe0\x7f\x08\x00OF\x00\x00\x08\x00\x00\x00floats!!"
	if a := s.stow("/studies", []byte(file)); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	d := s.query("/studies/2.25.7711.1/metadata")[0]
	if _, ok := d["7FE00010"]; ok || d["7FE00008"].VR != "OF" || d["00100010"].VR != "PN" {
		t.Errorf("%v", d)
	}
}

func TestMetadataTooLargeToCollect(t *testing.T) {
	s := start(t, store.Refuse, nil)
	streaming := startOn(t, s.store, nil, func(g *dicomweb.Gateway) { g.StreamMetadataAfter(1000) })
	file := corpusFile(t, control)
	s.mustStow(control)
	first := s.query("/instances")[0]
	otherSeries := replaceUID(t, file, first.str("0020000E"), 7)
	var parts [][]byte
	for i := range 90 { // all in all more than one window
		parts = append(parts, replaceUID(t, file, first.str("00080018"), i), replaceUID(t, otherSeries, first.str("00080018"), i-300))
	}
	if a := s.stow("/studies", parts...); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %.200s", a.StatusCode, a.body)
	}
	path := "/studies/" + first.str("0020000D") + "/metadata"
	want := s.get(path)
	if len(want.datasets(t)) != 181 || want.ContentLength < 0 {
		t.Fatalf("%d data sets", len(want.datasets(t)))
	}
	got := streaming.get(path)
	body := bytes.ReplaceAll(got.body, []byte(streaming.url), []byte(s.url))
	if got.ContentLength >= 0 || !bytes.Equal(body, want.body) {
		t.Errorf("streamed: length %d, %d data sets", got.ContentLength, len(got.datasets(t)))
	}
	z := streaming.get(path, "Accept-Encoding", "gzip")
	r, err := gzip.NewReader(bytes.NewReader(z.body))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r); err != nil || !bytes.Equal(b, got.body) {
		t.Errorf("streamed and compressed: %d bytes, want %d, %v", len(b), len(got.body), err)
	}
	if h := streaming.do("HEAD", path, nil); h.StatusCode != http.StatusOK || len(h.body) != 0 {
		t.Errorf("HEAD: %d", h.StatusCode)
	}
}
