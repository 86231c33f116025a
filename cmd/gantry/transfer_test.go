package main_test

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"gantry/bench"
)

const corpus = "../../../shared/dicom"

// uniqueFiles copies the real files that share their SOP Instance UID with no other into a folder.
func uniqueFiles(t *testing.T) string {
	t.Helper()
	f, err := os.Open(filepath.Join(corpus, "manifest.tsv"))
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("no real DICOM files beside the checkout: %v", err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma, r.LazyQuotes = '\t', true
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	col := func(name string) int { return slices.Index(rows[0], name) }
	n := 0
	for _, row := range rows[1:] {
		if row[col("class")] != "valid" || row[col("n_files_same_sop_instance")] != "1" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(corpus, "valid", row[col("file")]))
		if err != nil {
			t.Fatal(err)
		}
		sub := filepath.Join(dir, fmt.Sprint(n%7)) // some folders
		if err := os.MkdirAll(sub, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(sub, row[col("file")]), b, 0o600); err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n < 100 {
		t.Fatalf("only %d real files", n)
	}
	return dir
}

// tinyFiles makes n small instances, and on demand something else among them.
func tinyFiles(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	g := bench.NewUniformGenerator(7, bench.KindTiny, 50)
	var blob bench.Blob
	for i := range n {
		g.Build(g.Instance(i), &blob)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%06d.dcm", i)), blob.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func sortedValues(m map[string]string) []string { return slices.Sorted(maps.Values(m)) }

func sameContents(t *testing.T, got, want map[string]string) {
	t.Helper()
	if g, w := sortedValues(got), sortedValues(want); !slices.Equal(g, w) {
		t.Errorf("%d files came out, %d went in, or their bytes differ", len(g), len(w))
	}
}

func TestEverythingThatGoesInComesOut(t *testing.T) {
	files := uniqueFiles(t)
	want := hashes(t, files)
	for _, way := range []string{"at rest", "by a server"} {
		t.Run(way, func(t *testing.T) {
			s := newSite(t)
			if way == "by a server" {
				s.serve()
			}
			r := s.run("import", files)
			if r.code != 0 || r.out != "" || !strings.Contains(r.errOut, fmt.Sprintf("%d files: %d stored", len(want), len(want))) {
				t.Fatalf("import: exit code %d\n%s%s", r.code, r.out, r.errOut)
			}
			if r := s.run("import", files); r.code != 0 || !strings.Contains(r.errOut, fmt.Sprintf("%d done by an earlier run", len(want))) {
				t.Errorf("again: exit code %d\n%s", r.code, r.errOut)
			}
			if r := s.run("import", "--again", files); r.code != 0 || strings.Contains(r.errOut, "earlier") {
				t.Errorf("--again: exit code %d\n%s", r.code, r.errOut)
			}
			out := t.TempDir()
			s.must(0, "export", "--prefix", "", out)
			all := hashes(t, out)
			sameContents(t, all, want)
			again := s.run("export", "--prefix", "", out)
			if again.code != 0 || !strings.Contains(again.errOut, fmt.Sprintf("0 written (0 bytes), %d there already", len(want))) {
				t.Errorf("export again: exit code %d\n%s", again.code, again.errOut)
			}
			exportByUID(t, s, all)
			s.must(1, "export", "--study", "1.2.3.4.5", t.TempDir())
		})
	}
}

// exportByUID exports one study and one of its series, whose UIDs are in the names of what was exported before.
func exportByUID(t *testing.T, s *site, all map[string]string) {
	t.Helper()
	perStudy := map[string]int{}
	for name := range all {
		perStudy[strings.Split(name, "/")[0]]++
	}
	study := slices.MaxFunc(slices.Collect(maps.Keys(perStudy)), func(a, b string) int { return perStudy[a] - perStudy[b] })
	want := map[string]string{}
	series := ""
	for name, hash := range all {
		if strings.HasPrefix(name, study+"/") {
			want[name], series = hash, strings.Split(name, "/")[1]
		}
	}
	out := t.TempDir()
	s.must(0, "export", "--study", study, out)
	if got := hashes(t, out); !maps.Equal(got, want) {
		t.Errorf("--study: got %v, want %v", got, want)
	}
	maps.DeleteFunc(want, func(name, _ string) bool { return !strings.HasPrefix(name, study+"/"+series+"/") })
	out = t.TempDir()
	s.must(0, "export", "--series", series, out)
	if got := hashes(t, out); !maps.Equal(got, want) {
		t.Errorf("--series: got %v, want %v", got, want)
	}
	if got := s.run("export", "--series", series, out); !strings.Contains(got.errOut, fmt.Sprintf("%d there already", len(want))) {
		t.Errorf("--series again:\n%s", got.errOut)
	}
}

func TestImportReportsWhatItLeavesOut(t *testing.T) {
	files := tinyFiles(t, 2)
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(files, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("notes.txt", "this is no DICOM file")
	write("empty", "")
	write("broken.dcm", strings.Repeat("\x00", 128)+"DICM and then nothing that makes sense")
	outside := filepath.Join(t.TempDir(), "outside.dcm")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(files, "link.dcm")); err != nil {
		t.Fatal(err)
	}
	write("DICOMDIR", strings.Repeat("\x00", 128)+"DICM\x02\x00\x02\x00UI\x14\x001.2.840.10008.1.3.10\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\x00\x04\x00\x30\x11CS\x02\x00CD")
	old := filepath.Join(files, "M\xfcller") // as file systems without UTF-8 have it
	if err := os.Mkdir(old, 0o700); err != nil {
		t.Fatal(err)
	}
	write("M\xfcller/r\xf6.txt", "no DICOM either")
	if err := syscall.Mkfifo(filepath.Join(files, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(filepath.Join(files, "000000.dcm"))
	if err != nil {
		t.Fatal(err)
	}
	first[len(first)-1] ^= 1 // other content under the same SOP Instance UID
	var reports []string
	for _, way := range []string{"at rest", "by a server"} {
		s := newSite(t)
		s.must(3, "import", files)
		write("zz-other.dcm", string(first))
		if way == "by a server" {
			s.serve()
		}
		report := filepath.Join(t.TempDir(), "report.tsv")
		if out := s.must(3, "import", "--report", report, files); out != "" {
			t.Errorf("stdout, though there is --report: %s", out)
		}
		b, err := os.ReadFile(report)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(b)), "\n")
		slices.Sort(lines)
		var kinds []string
		for _, line := range lines {
			f := strings.Split(line, "\t")
			if len(f) != 3 || f[2] == "" {
				t.Fatalf("report line %q", line)
			}
			kinds = append(kinds, filepath.Base(f[0])+" "+f[1])
		}
		reports = append(reports, strings.Join(kinds, "\n"))
		if err := os.Remove(filepath.Join(files, "zz-other.dcm")); err != nil {
			t.Fatal(err)
		}
	}
	want := `r\xf6.txt" not-dicom` + "\nDICOMDIR dicomdir\nbroken.dcm refused\nempty not-dicom\nlink.dcm link\nnotes.txt not-dicom\nzz-other.dcm refused"
	for _, got := range reports {
		if got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
}

func TestImportGoesOnAfterAKill(t *testing.T) {
	const n = 2000
	files := tinyFiles(t, n)
	// The report of this one, in the middle of the walk, is the moment to kill.
	if err := os.WriteFile(filepath.Join(files, fmt.Sprintf("%06d.text", n/2)), []byte("no DICOM"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSite(t)
	cmd := exec.Command(binary, "import", files)
	cmd.Env = s.env
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if !bufio.NewScanner(out).Scan() {
		t.Fatal("no report")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	r := s.run("import", files)
	if r.code != 0 || !strings.Contains(r.errOut, "done by an earlier run") || !strings.Contains(r.errOut, " stored,") {
		t.Fatalf("exit code %d\n%s", r.code, r.errOut)
	}
	dir := t.TempDir()
	s.must(0, "export", "--prefix", "", dir)
	want := hashes(t, files)
	delete(want, fmt.Sprintf("%06d.text", n/2))
	sameContents(t, hashes(t, dir), want)
	s.must(0, "verify")
}

// Notes of what was stored must not speak for a store that does not have it.
func TestNotesCountForOneStoreOnly(t *testing.T) {
	files := tinyFiles(t, 3)
	notes := filepath.Join(t.TempDir(), "notes")
	s := newSite(t)
	s.must(0, "import", "--state", notes, files)
	if r := s.run("import", "--state", notes, files); !strings.Contains(r.errOut, "3 files: 3 done by an earlier run") {
		t.Errorf("the same store:\n%s", r.errOut)
	}
	if err := os.RemoveAll(s.data); err != nil {
		t.Fatal(err)
	}
	if r := s.run("import", "--state", notes, files); !strings.Contains(r.errOut, "3 files: 3 stored") {
		t.Errorf("a new store:\n%s", r.errOut)
	}
	thesis := filepath.Join(t.TempDir(), "thesis.txt")
	for _, text := range []string{"years of work\n", "\nyears of work\n", "gantry\nyears of work"} {
		if err := os.WriteFile(thesis, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, again := range []string{"--again=false", "--again"} {
			s.must(2, "import", again, "--state", thesis, files)
		}
		if b, err := os.ReadFile(thesis); string(b) != text {
			t.Errorf("a file that held no notes has %q now, %v", b, err)
		}
	}
}
