package clienttest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const corpusDir = "../../../shared/dicom"

// dicomFile is one file of the corpus.
type dicomFile struct {
	Path           string `json:"path"`
	SOP            string `json:"sop"`
	Study          string `json:"study"`
	Series         string `json:"series"`
	TransferSyntax string `json:"ts"`
	HasFrames      bool   `json:"hasFrames"`
	bytes          []byte
}

// validFiles are the corpus' valid files that have all their UIDs, in the order of the manifest. Some share a SOP Instance UID.
func validFiles(t *testing.T) []dicomFile {
	t.Helper()
	manifest, err := os.ReadFile(filepath.Join(corpusDir, "manifest.tsv"))
	if err != nil {
		unavailable(t, "no DICOM corpus: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(string(manifest)), "\n")
	column := map[string]int{}
	for i, name := range strings.Split(lines[0], "\t") {
		column[name] = i
	}
	var files []dicomFile
	for _, line := range lines[1:] {
		f := strings.Split(line, "\t")
		field := func(name string) string { return f[column[name]] }
		if field("class") != "valid" {
			continue
		}
		file := dicomFile{
			Path: filepath.Join(corpusDir, "valid", field("file")), SOP: field("sop_instance_uid"), Study: field("study_uid"), Series: field("series_uid"),
			TransferSyntax: field("transfer_syntax_uid"), HasFrames: field("photometric") != "",
		}
		file.bytes = readFile(t, file.Path)
		files = append(files, file)
	}
	if len(files) < 250 {
		t.Fatalf("only %d valid files in the manifest", len(files))
	}
	return files
}

// dataset is a DICOM JSON object, as far as these tests look into it.
type dataset map[string]struct {
	VR          string            `json:"vr"`
	Value       []json.RawMessage `json:"Value"`
	BulkDataURI string            `json:"BulkDataURI"`
}

// text is the first value of an attribute as a string.
func (d dataset) text(tag string) string {
	if len(d[tag].Value) == 0 {
		return ""
	}
	var s string
	if json.Unmarshal(d[tag].Value[0], &s) != nil {
		return string(d[tag].Value[0])
	}
	return s
}

// items are the items of a sequence.
func (d dataset) items(t *testing.T, tag string) []dataset {
	t.Helper()
	var all []dataset
	for _, raw := range d[tag].Value {
		var item dataset
		if err := json.Unmarshal(raw, &item); err != nil {
			t.Fatal(err)
		}
		all = append(all, item)
	}
	return all
}

// request sends an authenticated request to the DICOMweb door; a path that is a URL is used as it is.
func (s *server) request(t *testing.T, method, path string, body io.Reader, header ...string) (*http.Response, []byte) {
	t.Helper()
	if !strings.HasPrefix(path, "http") {
		path = s.dicomweb + path
	}
	req, err := http.NewRequestWithContext(t.Context(), method, path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(s.keyID, s.secret)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := s.webClient().Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: body: %v", method, path, err)
	}
	return resp, b
}

// stow stores instances in one multipart request.
func (s *server) stow(t *testing.T, instances ...[]byte) (int, dataset) {
	t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for _, b := range instances {
		part, err := w.CreatePart(textproto.MIMEHeader{"Content-Type": {"application/dicom"}})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = part.Write(b) // into memory
	}
	_ = w.Close() // into memory
	resp, answer := s.request(t, http.MethodPost, "/studies", &body,
		"Content-Type", `multipart/related; type="application/dicom"; boundary=`+w.Boundary(), "Accept", "application/dicom+json")
	return resp.StatusCode, decodeDataset(t, answer)
}

func decodeDataset(t *testing.T, answer []byte) dataset {
	t.Helper()
	var d dataset
	if err := json.Unmarshal(answer, &d); err != nil {
		t.Fatalf("answer is not DICOM JSON: %v", err)
	}
	return d
}

// qido asks and decodes the matches.
func (s *server) qido(t *testing.T, path string, query url.Values) []dataset {
	t.Helper()
	resp, body := s.request(t, http.MethodGet, path+"?"+query.Encode(), nil, "Accept", "application/dicom+json")
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("qido %s: %s", path, resp.Status)
	}
	var found []dataset
	if err := json.Unmarshal(body, &found); err != nil {
		t.Fatalf("qido %s: %v", path, err)
	}
	return found
}

// wado retrieves instances as they are stored.
func (s *server) wado(t *testing.T, path string) [][]byte {
	t.Helper()
	resp, body := s.request(t, http.MethodGet, path, nil, "Accept", `multipart/related; type="application/dicom"; transfer-syntax=*`)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("wado: %s", resp.Status)
	}
	return parts(t, resp, body)
}

// parts splits a multipart/related answer.
func parts(t *testing.T, resp *http.Response, body []byte) [][]byte {
	t.Helper()
	kind, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/related" {
		t.Fatalf("content type %q: %v", resp.Header.Get("Content-Type"), err)
	}
	var all [][]byte
	for r := multipart.NewReader(bytes.NewReader(body), params["boundary"]); ; {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("part %d: %v", len(all), err)
		}
		b, err := io.ReadAll(p)
		if err != nil {
			t.Fatalf("part %d: %v", len(all), err)
		}
		all = append(all, b)
	}
}

// stored is what the server keeps after a file went in: the first file of each SOP Instance UID, and where it is.
type stored struct {
	dicomFile
	url string // RetrieveURL of the answer
}

// Failure reasons of STOW-RS (PS3.18 table I.2-2).
const reasonDuplicate = 0x0111

// stowAll stores files one by one and returns what must be there now.
func stowAll(t *testing.T, s *server, files []dicomFile) []stored {
	t.Helper()
	var kept []stored
	seen := map[string]bool{}
	for _, f := range files {
		code, answer := s.stow(t, f.bytes)
		ok, failed := answer.items(t, "00081199"), answer.items(t, "00081198")
		name := filepath.Base(f.Path)
		switch {
		case code == http.StatusOK && len(ok) == 1 && len(failed) == 0:
			equal(t, name+" SOP Instance UID", ok[0].text("00081155"), f.SOP)
			if !seen[f.SOP] {
				kept = append(kept, stored{f, ok[0].text("00081190")})
			}
			seen[f.SOP] = true
		case code == http.StatusConflict && len(ok) == 0 && len(failed) == 1 && seen[f.SOP]:
			equal(t, name+" reason", failed[0].text("00081197"), fmt.Sprint(reasonDuplicate))
		default:
			t.Errorf("%s: status %d, %d stored, %d failed, reason %q", name, code, len(ok), len(failed), reasons(failed))
		}
	}
	return kept
}

func reasons(failed []dataset) []string {
	var all []string
	for _, f := range failed {
		all = append(all, f.text("00081197"))
	}
	return all
}
