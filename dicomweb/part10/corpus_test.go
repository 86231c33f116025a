package part10_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gantry/dicomweb/part10"
)

// corpus returns the folder of real files, which lies beside the repository.
func corpus(t testing.TB) string {
	t.Helper()
	dir := filepath.Join("..", "..", "..", "shared", "dicom")
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no DICOM corpus: %v", err)
		}
		t.Skipf("no DICOM corpus beside the repository: %v", err)
	}
	return dir
}

// corpusFiles returns the files of the named folders of the corpus.
func corpusFiles(t testing.TB, folders ...string) []string {
	t.Helper()
	var all []string
	for _, f := range folders {
		names, err := filepath.Glob(filepath.Join(corpus(t), f, "*"))
		if err != nil || len(names) == 0 {
			t.Fatalf("folder %s of the corpus is empty: %v", f, err)
		}
		all = append(all, names...)
	}
	return all
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func index(b []byte) (*part10.Instance, error) {
	return part10.Index(bytes.NewReader(b), int64(len(b)))
}

// manifest returns the lines of the corpus' manifest by file name, as column → value.
func manifest(t testing.TB) map[string]map[string]string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(string(read(t, filepath.Join(corpus(t), "manifest.tsv")))), "\n")
	head := strings.Split(lines[0], "\t")
	m := map[string]map[string]string{}
	for _, l := range lines[1:] {
		row := map[string]string{}
		for i, v := range strings.Split(l, "\t") {
			row[head[i]] = v
		}
		m[row["file"]] = row
	}
	return m
}

func TestIndexRealFiles(t *testing.T) {
	known := manifest(t)
	for _, name := range corpusFiles(t, "valid", "synthetic") {
		t.Run(filepath.Base(name), func(t *testing.T) {
			in, err := index(read(t, name))
			if err != nil {
				t.Fatal(err)
			}
			row, ok := known[filepath.Base(name)]
			if !ok {
				return
			}
			for _, c := range []struct{ what, got, want string }{
				{"SOP instance", in.SOPUID, row["sop_instance_uid"]},
				{"study", in.StudyUID, row["study_uid"]},
				{"series", in.SeriesUID, row["series_uid"]},
				{"transfer syntax", in.TransferSyntax, row["transfer_syntax_uid"]},
				{"modality", in.Modality, row["modality"]},
			} {
				if c.got != c.want {
					t.Errorf("%s: got %q, want %q", c.what, c.got, c.want)
				}
			}
		})
	}
}

func TestIndexHostileFiles(t *testing.T) {
	f, err := os.Open(filepath.Join(corpus(t), "hostile.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma = '\t'
	r.LazyQuotes = true
	r.FieldsPerRecord = -1
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows[1:] {
		name, expect := row[0], row[2]
		t.Run(name, func(t *testing.T) {
			_, err := index(read(t, filepath.Join(corpus(t), "hostile", name)))
			checkReject(t, err)
			switch {
			case expect == "accept" && err != nil:
				t.Errorf("refused: %v", err)
			case expect == "reject" && err == nil:
				t.Error("accepted")
			}
		})
	}
}

func TestIndexRefusesObjectsWithoutStudy(t *testing.T) {
	for _, name := range corpusFiles(t, "nonstudy") {
		_, err := index(read(t, name))
		checkReject(t, err)
		if err == nil {
			t.Errorf("%s: accepted", filepath.Base(name))
		}
	}
}

func TestIndexBrokenFiles(t *testing.T) {
	for _, name := range corpusFiles(t, "broken") {
		_, err := index(read(t, name))
		checkReject(t, err)
		t.Logf("%s: %v", filepath.Base(name), err)
	}
}

// checkReject demands that an error is a rejection that says why.
func checkReject(t *testing.T, err error) {
	t.Helper()
	var r *part10.RejectError
	if err != nil && (!errors.As(err, &r) || r.Detail == "" || r.Reason.String() == "unknown") {
		t.Errorf("error is no rejection with a reason: %v", err)
	}
}
