package dicomweb_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gantry/dicomweb"
	"gantry/dicomweb/part10"
	"gantry/store"
)

// module reads a Store Instances Response Module.
func (a answer) module(t testing.TB) dataset {
	t.Helper()
	var d dataset
	if err := json.Unmarshal(a.body, &d); err != nil {
		t.Fatalf("status %d, no response module: %v: %.200s", a.StatusCode, err, a.body)
	}
	return d
}

// reasons lists the failure reasons of a sequence.
func (d dataset) reasons(sequence string) []int {
	var out []int
	for _, item := range d[sequence].Value {
		m, _ := item.(map[string]any)
		reason, _ := m["00081197"].(map[string]any)
		values, _ := reason["Value"].([]any)
		if len(values) == 1 {
			n, _ := values[0].(float64)
			out = append(out, int(n))
		}
	}
	return out
}

// sameDataSet has the data set of another file, but another group 2: it is a success that stores nothing.
const sameDataSet = "2.1.99__2ec47308.dcm"

const control = "hostile/control_ok.dcm"

func TestStowAndRetrieveCorpus(t *testing.T) {
	s := start(t, store.Replace, nil)
	for _, name := range append(corpusFiles(t, "valid"), corpusFiles(t, "synthetic")...) {
		want := corpusFile(t, name)
		a := s.stow("/studies", want)
		d := a.module(t)
		if a.StatusCode != http.StatusOK || len(d["00081199"].Value) != 1 {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
			continue
		}
		item, _ := d["00081199"].Value[0].(map[string]any)
		url := dataset{"x": toElement(t, item["00081190"])}.str("x")
		path, ok := strings.CutPrefix(url, s.url)
		if !ok {
			t.Fatalf("%s: RetrieveURL %q is not under %q", name, url, s.url)
		}
		if strings.Contains(name, sameDataSet) {
			continue
		}
		single := s.get(path, "Accept", "application/dicom; transfer-syntax=*")
		if single.StatusCode != http.StatusOK || !bytes.Equal(single.body, want) {
			t.Errorf("%s: single part: %d, %d bytes, want %d", name, single.StatusCode, len(single.body), len(want))
		}
		multi := s.get(path)
		bodies, types := multi.parts(t)
		if len(bodies) != 1 || !bytes.Equal(bodies[0], want) || !strings.HasPrefix(types[0], "application/dicom; transfer-syntax=1.2") {
			t.Errorf("%s: multipart: %d parts, %q", name, len(bodies), types)
		}
		if multi.ContentLength != int64(len(multi.body)) {
			t.Errorf("%s: multipart without its length", name)
		}
	}
}

func toElement(t testing.TB, v any) element {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var e element
	if err := json.Unmarshal(b, &e); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestStowHostileCorpus(t *testing.T) {
	s := start(t, store.Refuse, nil)
	for name, want := range expectations(t) {
		a := s.stow("/studies", corpusFile(t, filepath.Join("hostile", name)))
		switch {
		case want == "accept" && a.StatusCode != http.StatusOK && !strings.Contains(string(a.body), "273"):
			t.Errorf("%s: %d %s, want it stored", name, a.StatusCode, a.body)
		case want == "reject" && a.StatusCode != http.StatusConflict:
			t.Errorf("%s: %d %s, want 409", name, a.StatusCode, a.body)
		case a.StatusCode >= 500:
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
		if a.StatusCode == http.StatusConflict && !strings.Contains(string(a.body), "00000902") {
			t.Errorf("%s: no comment: %s", name, a.body)
		}
	}
	for _, dir := range []string{"broken", "nonstudy"} {
		for _, name := range corpusFiles(t, dir) {
			a := s.stow("/studies", corpusFile(t, name))
			if a.StatusCode != http.StatusOK && a.StatusCode != http.StatusConflict || dir == "nonstudy" && a.StatusCode == http.StatusOK {
				t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
			}
		}
	}
}

func TestStowMixedResults(t *testing.T) {
	s := start(t, store.Refuse, nil)
	good, other := corpusFile(t, control), corpusFile(t, "hostile/conflict_sop_A.dcm")
	bad := corpusFile(t, "hostile/random_DICM.dcm")
	a := s.stow("/studies", good, bad, other)
	d := a.module(t)
	if a.StatusCode != http.StatusAccepted || len(d["00081199"].Value) != 2 || len(d.reasons("0008119A")) != 1 {
		t.Errorf("mixed: %d %s", a.StatusCode, a.body)
	}
	again := s.stow("/studies", good)
	if again.StatusCode != http.StatusOK || len(again.module(t)["00081199"].Value) != 1 {
		t.Errorf("the same again: %d %s", again.StatusCode, again.body)
	}
	changed := bytes.Replace(good, []byte("ISO_IR 100"), []byte("ISO_IR 101"), 1)
	if bytes.Equal(changed, good) {
		changed = bytes.Clone(good)
		changed[len(changed)-1] ^= 1
	}
	dup := s.stow("/studies", changed)
	if got := dup.module(t).reasons("00081198"); dup.StatusCode != http.StatusConflict || len(got) != 1 || got[0] != 0x0111 {
		t.Errorf("other content: %d %s", dup.StatusCode, dup.body)
	}
}

func TestStowIntoStudy(t *testing.T) {
	s := start(t, store.Refuse, nil)
	good := corpusFile(t, control)
	a := s.stow("/studies/1.2.3.4", good)
	if got := a.module(t).reasons("00081198"); a.StatusCode != http.StatusConflict || len(got) != 1 || got[0] != 0xA900 {
		t.Errorf("wrong study: %d %s", a.StatusCode, a.body)
	}
	if n := len(s.query("/instances")); n != 0 {
		t.Fatalf("%d instances after a refusal", n)
	}
	s.mustStow(control)
	study := s.query("/studies")[0].str("0020000D")
	if a := s.stow("/studies/"+study, good); a.StatusCode != http.StatusOK {
		t.Errorf("right study: %d %s", a.StatusCode, a.body)
	}
}

func TestStowRequestForms(t *testing.T) {
	s := start(t, store.Refuse, nil)
	good := corpusFile(t, control)
	body, _ := multipartBody(good)
	lf := bytes.Join([][]byte{[]byte("--frontier\nContent-Type: application/dicom\n\n"), good, []byte("\n--frontier--\n")}, nil)
	octets := bytes.Replace(body, []byte("application/dicom"), []byte("application/pdf"), 1)
	for _, c := range []struct {
		name, contentType string
		body              []byte
		want              int
	}{
		{"single part", "application/dicom", good, 200},
		{"single part with a parameter", "application/dicom; transfer-syntax=1.2.840.10008.1.2.1", good, 200},
		{"unquoted type", "multipart/related; type=application/dicom; boundary=frontier", body, 200},
		{"no type", `multipart/related; boundary="frontier"`, body, 200},
		{"line feeds", "multipart/related; boundary=frontier", lf, 200},
		{"no boundary", "multipart/related; type=application/dicom", body, 400},
		{"other boundary", "multipart/related; boundary=backier", body, 400},
		{"empty", "multipart/related; boundary=frontier", nil, 400},
		{"no part", "multipart/related; boundary=frontier", []byte("--frontier--\r\n"), 400},
		{"part of another type", "multipart/related; boundary=frontier", octets, 415},
		{"metadata and bulk data", `multipart/related; type="application/dicom+json"; boundary=frontier`, body, 415},
		{"form", "multipart/form-data; boundary=frontier", body, 415},
		{"JSON", "application/dicom+json", good, 415},
		{"no closing boundary", "multipart/related; boundary=frontier", body[:len(body)-15], 409},
		{"cut in the instance", "multipart/related; boundary=frontier", body[:len(body)/2], 409},
		{"empty single part", "application/dicom", nil, 409},
	} {
		a := s.do("POST", "/studies", c.body, "Content-Type", c.contentType)
		if a.StatusCode != c.want || a.Header.Get("Content-Type") != "application/dicom+json" {
			t.Errorf("%s: %d %s %s, want %d", c.name, a.StatusCode, a.Header.Get("Content-Type"), a.body, c.want)
			continue
		}
		d := a.module(t)
		if strings.Contains(string(a.body), `\n`) {
			t.Errorf("%s: more than one line in %s", c.name, a.body)
		}
		if c.want == 200 && len(d["00081199"].Value) != 1 || c.want != 200 && len(d.reasons("0008119A")) != 1 {
			t.Errorf("%s: %s", c.name, a.body)
		}
	}
}

func TestStowNeverStoresWhatIsCutShort(t *testing.T) {
	s := start(t, store.Refuse, nil)
	good := corpusFile(t, control)
	body, contentType := multipartBody(good)
	for _, n := range []int{len(body) - 3, len(body) - 15, len(body) - 16, len(body) - 20, len(body) / 2, 100} {
		if a := s.do("POST", "/studies", body[:n], "Content-Type", contentType); a.StatusCode < 400 {
			t.Errorf("cut to %d of %d: %d", n, len(body), a.StatusCode)
		}
	}
	if n := len(s.query("/instances")); n != 0 {
		t.Errorf("%d instances stored", n)
	}
}

// TestRefusalsAreWholeSentences: what is wrong with a file fits into an Error Comment.
func TestRefusalsAreWholeSentences(t *testing.T) {
	s := start(t, store.Refuse, nil)
	refused := 0
	for _, name := range append(corpusFiles(t, "broken"), corpusFiles(t, "nonstudy")...) {
		file := corpusFile(t, name)
		var reject *part10.RejectError
		if _, err := part10.Index(bytes.NewReader(file), int64(len(file))); !errors.As(err, &reject) {
			continue
		}
		refused++
		if a := s.do("POST", "/studies", file, "Content-Type", "application/dicom"); !strings.Contains(string(a.body), reject.Detail) ||
			reject.Reason == part10.MissingUID && !strings.Contains(string(a.body), reject.Why()) {
			t.Errorf("%s: %s, want %s", name, a.body, reject.Why())
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
}

func TestStowXMLResponse(t *testing.T) {
	s := start(t, store.Refuse, nil)
	body, contentType := multipartBody(corpusFile(t, control))
	a := s.do("POST", "/studies", body, "Content-Type", contentType, "Accept", "application/dicom+xml")
	if a.StatusCode != 200 || a.Header.Get("Content-Type") != "application/dicom+xml" ||
		!strings.Contains(string(a.body), `keyword="ReferencedSOPSequence"><Item number="1"><DicomAttribute tag="00081150"`) {
		t.Errorf("%d %s %s", a.StatusCode, a.Header.Get("Content-Type"), a.body)
	}
}

func TestJSONUnderTheTypeThatIsAccepted(t *testing.T) {
	s := start(t, store.Refuse, nil)
	s.mustStow(control)
	body, contentType := multipartBody(corpusFile(t, control))
	place := s.query("/instances")[0].place()
	for accept, want := range map[string]string{
		"application/json":                          "application/json",
		"application/json;q=0.9, text/plain":        "application/json",
		"application/json, application/dicom+json":  jsonType,
		"application/json, text/plain, */*":         jsonType,
		"application/*":                             jsonType,
		"application/dicom+json":                    jsonType,
		"application/dicom+json;q=0.1, text/html":   jsonType,
		"application/dicom+json, multipart/related": jsonType,
	} {
		for what, a := range map[string]answer{
			"query":    s.get("/studies", "Accept", accept),
			"metadata": s.get(place+"/metadata", "Accept", accept),
			"stow":     s.do("POST", "/studies", body, "Content-Type", contentType, "Accept", accept),
		} {
			if got := a.Header.Get("Content-Type"); a.StatusCode != http.StatusOK || got != want {
				t.Errorf("%s, Accept: %s: %d %s, want %s", what, accept, a.StatusCode, got, want)
			}
		}
	}
}

func TestStowKeepsTheFirstOfTwo(t *testing.T) {
	s := start(t, store.Refuse, nil)
	first := corpusFile(t, control)
	second := bytes.Clone(first)
	second[len(second)-1] ^= 1
	for range 20 {
		a := s.stow("/studies", first, second)
		if got := a.module(t).reasons("00081198"); a.StatusCode != http.StatusAccepted || len(got) != 1 || got[0] != 0x0111 {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		place := s.query("/instances")[0].place()
		if got := s.get(place, "Accept", "application/dicom; transfer-syntax=*"); !bytes.Equal(got.body, first) {
			t.Fatal("the second was stored")
		}
		if a := s.do("DELETE", place, nil); a.StatusCode != http.StatusNoContent {
			t.Fatalf("delete: %d", a.StatusCode)
		}
	}
}

func TestStowManyInOneRequest(t *testing.T) {
	s := start(t, store.Refuse, nil)
	file := corpusFile(t, control)
	s.mustStow(control)
	uid := s.query("/instances")[0].str("00080018")
	var parts [][]byte
	for i := range 50 {
		parts = append(parts, replaceUID(t, file, uid, i))
	}
	a := s.stow("/studies", parts...)
	items := a.module(t)["00081199"].Value
	if a.StatusCode != http.StatusOK || len(items) != 50 {
		t.Fatalf("%d, %d stored", a.StatusCode, len(items))
	}
	for i, item := range items {
		m, _ := item.(map[string]any)
		if got, want := toElement(t, m["00081155"]).Value[0], uid[:len(uid)-3]+fmt.Sprintf("%03d", 900+i); got != want {
			t.Errorf("item %d is %v, want %s: not in the order sent", i, got, want)
		}
	}
	for _, d := range s.query("/instances") {
		if got := s.get(d.place()); got.StatusCode != http.StatusOK {
			t.Errorf("%d", got.StatusCode)
		}
	}
}

// announced notes what a put of unknown size can hold at most.
type announced struct {
	*store.Store
	atMost []int64
}

func (a *announced) Begin(ctx context.Context, p *store.Put) (*store.Pending, error) {
	a.atMost = append(a.atMost, p.AtMost)
	return a.Store.Begin(ctx, p)
}

// TestPartsReserveWhatTheRequestCanHold: a part has no length of its own, but is within its request.
func TestPartsReserveWhatTheRequestCanHold(t *testing.T) {
	var seen *announced
	s := start(t, store.Replace, func(c *dicomweb.Config) {
		seen = &announced{Store: c.Objects.(*store.Store)}
		c.Objects = seen
	})
	part := corpusFile(t, control)
	body, contentType := multipartBody(part, part)
	if a := s.do("POST", "/studies", body, "Content-Type", contentType); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	first := int64(len(body) - bytes.Index(body, []byte("DICM")) + 128)
	second := int64(len(body) - bytes.LastIndex(body, []byte("DICM")) + 128)
	if !slices.Equal(seen.atMost, []int64{first, second}) {
		t.Errorf("announced %v, want %v", seen.atMost, []int64{first, second})
	}
	seen.atMost = nil
	rq, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/studies", io.MultiReader(bytes.NewReader(body)))
	if err != nil {
		t.Fatal(err)
	}
	rq.Header.Set("Content-Type", contentType)
	rs, err := transport.RoundTrip(rq)
	if err != nil {
		t.Fatal(err)
	}
	defer rs.Body.Close()
	if rs.StatusCode != http.StatusOK || !slices.Equal(seen.atMost, []int64{0, 0}) {
		t.Errorf("in chunks: %d, announced %v", rs.StatusCode, seen.atMost)
	}
}
