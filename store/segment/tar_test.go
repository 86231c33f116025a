package segment_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"gantry/store/segment"
)

// awkwardKeys are object keys that are hard to make file names of. No two of them are file and folder of one name.
var awkwardKeys = []string{
	"plain.dcm", "with space", "ünïcode/日本語/файл.dcm", "100%", "%2F", "a//b", "//", "/lead", "trail/", "x/..", "../../etc/passwd", "./x",
	".hidden", "new\nline", "tab\t\x01\x7f", "back\\slash", "latin\xe9", "c1\u0085", "emoji😀", "-rf", "*?[x]", "'quote\"",
	strings.Repeat("long", 100), strings.Repeat("deep/", 200) + "er", strings.Repeat("é", 500), strings.Repeat("%", 1024),
	strings.Repeat("n", 91) + "/100", strings.Repeat("m", 92) + "/1",
}

// awkwardFile is sealed and has all kinds of names and sizes.
func awkwardFile(t testing.TB) *file {
	rng := newRand()
	f := newFile(t, 4096)
	for i, key := range awkwardKeys {
		f.add(t, object(rng, "bucket", key, i*100))
	}
	f.add(t, object(rng, ".gantry", "footer", 5))
	f.add(t, object(rng, "bucket", "empty", 0))
	f.add(t, object(rng, "other", "", 1))
	for i := range 12 {
		r := object(rng, "", "", 1000+i)
		r.header.Type, r.header.Name = segment.TypeExtent, segment.ExtentName(0xabc, i)
		f.add(t, r)
	}
	tombstone := object(rng, "", "", 0)
	tombstone.header.Type, tombstone.header.Name = segment.TypeDelete, segment.ControlName(segment.TypeDelete, "bucket/a//b\n")
	f.add(t, tombstone)
	full := fullHeader()
	full.Fields.Encoding, full.Name = "", "bucket/full"
	f.add(t, record{header: *full, payload: make([]byte, segment.BlockSize+100)})
	f.seal(t)
	return f
}

// checkTree compares an extracted archive with the records.
func checkTree(t *testing.T, dir string, f *file) {
	t.Helper()
	want := make(map[string][]byte)
	for _, r := range f.records {
		want[r.header.Name] = r.payload
	}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name := strings.TrimPrefix(path, dir+"/")
		if name == segment.FooterName {
			return nil
		}
		got, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		payload, ok := want[name]
		if !ok {
			t.Errorf("extracted %q, which was never stored", name)
		} else if !bytes.Equal(got, payload) {
			t.Errorf("%q: other bytes than stored", name)
		}
		delete(want, name)
		info, err := d.Info()
		if err == nil && (info.Mode().Perm() != 0o644 || info.ModTime().Unix() != f.records[0].header.Time/1e9 && name != "bucket/full") {
			t.Errorf("%q: mode %v, time %v", name, info.Mode(), info.ModTime())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range want {
		t.Errorf("not extracted: %q", name)
	}
}

// runTar runs a tar program on a file; it must say nothing on stderr.
func runTar(t *testing.T, dir string, command ...string) string {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil || stderr.Len() > 0 {
		t.Fatalf("%q: %v\n%s", command, err, stderr.String())
	}
	return stdout.String()
}

func TestTarPrograms(t *testing.T) {
	f := awkwardFile(t)
	archive := filepath.Join(t.TempDir(), "segment.tar")
	if err := os.WriteFile(archive, f.bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, program := range [...]string{"tar", "bsdtar"} {
		t.Run(program, func(t *testing.T) {
			if _, err := exec.LookPath(program); err != nil && program != "tar" {
				t.Skipf("%s is not installed", program)
			}
			t.Setenv("LC_ALL", "C.UTF-8")
			dir := t.TempDir()
			listed := strings.Count(runTar(t, dir, program, "tf", archive), "\n")
			if want := len(f.records) + 1; listed != want {
				t.Errorf("%d members listed, want %d", listed, want)
			}
			runTar(t, dir, program, "xpf", archive)
			checkTree(t, dir, f)
			checkExtents(t, dir, f)
		})
	}
}

// GNU tar must be silent in any locale.
func TestGNUTarLocaleC(t *testing.T) {
	f := awkwardFile(t)
	archive := filepath.Join(t.TempDir(), "segment.tar")
	if err := os.WriteFile(archive, f.bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LC_ALL", "C")
	dir := t.TempDir()
	runTar(t, dir, "tar", "tvf", archive)
	runTar(t, dir, "tar", "xpf", archive)
	checkTree(t, dir, f)
}

// A segment that is still being written is an archive too.
func TestGNUTarUnsealed(t *testing.T) {
	rng := newRand()
	f := newFile(t, 0, object(rng, "b", "one", 700), object(rng, "b", "two", 3))
	dir := t.TempDir()
	archive := filepath.Join(dir, "segment.tar")
	if err := os.WriteFile(archive, f.bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, want := runTar(t, dir, "tar", "tf", archive), "b/one\nb/two\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// checkExtents joins the extents as the shell does: in the order of their names.
func checkExtents(t *testing.T, dir string, f *file) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, ".gantry/extent/0000000000000abc/*"))
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(names)
	var got, want []byte
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, b...)
	}
	for _, r := range f.records {
		if r.header.Type == segment.TypeExtent {
			want = append(want, r.payload...)
		}
	}
	if !bytes.Equal(got, want) {
		t.Error("extents joined are not the object")
	}
}

func TestGoTar(t *testing.T) {
	f := awkwardFile(t)
	r := tar.NewReader(f.reader())
	for i := 0; ; i++ {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			if i != len(f.records)+1 {
				t.Errorf("%d members, want %d", i, len(f.records)+1)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if i == len(f.records) {
			if h.Name != segment.FooterName {
				t.Errorf("last member is %q", h.Name)
			}
			continue
		}
		want := f.records[i]
		got, err := io.ReadAll(r)
		if err != nil || h.Name != want.header.Name || !bytes.Equal(got, want.payload) {
			t.Errorf("member %d: %q, want %q; %v", i, h.Name, want.header.Name, err)
		}
		if h.Mode != 0o644 || h.Uid != 0 || h.Gid != 0 || h.Typeflag != tar.TypeReg || h.ModTime.Unix() != want.header.Time/1e9 {
			t.Errorf("member %q: %+v", h.Name, h)
		}
	}
}
