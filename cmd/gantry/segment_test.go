package main_test

import (
	"bytes"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// sealedSegment imports files until a segment is sealed, and gives a copy of it.
func sealedSegment(t *testing.T) (s *site, file string) {
	t.Helper()
	s = newSite(t, "GANTRY_STORE_SEGMENT_BYTES=1048576")
	s.must(0, "import", tinyFiles(t, 400))
	names, err := filepath.Glob(filepath.Join(s.data, "log", "*.tar"))
	if err != nil || len(names) < 2 {
		t.Fatalf("segments: %v, %v", names, err)
	}
	b, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), filepath.Base(names[0]))
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return s, file
}

// objects lists LSN and name of the objects in a listing.
func objects(listing string) (lsns, names []string) {
	for line := range strings.Lines(listing) {
		f := strings.Fields(line)
		if len(f) == 6 && f[1] == "object" {
			lsns, names = append(lsns, f[0]), append(names, f[5])
		}
	}
	return lsns, names
}

func TestSegmentIsReadAlone(t *testing.T) {
	s, file := sealedSegment(t)
	r := s.run("segment", "ls", "--check", file)
	if r.code != 0 || !strings.Contains(r.errOut, "sealed, 0 places damaged") || strings.Contains(r.errOut, "not sealed") {
		t.Fatalf("ls: exit code %d\n%s", r.code, r.errOut)
	}
	lsns, names := objects(r.out)
	if len(lsns) < 100 {
		t.Fatalf("only %d objects", len(lsns))
	}
	out := t.TempDir()
	s.must(0, "export", "--prefix", "", out)
	for _, i := range []int{0, len(lsns) / 2, len(lsns) - 1} {
		want, err := os.ReadFile(filepath.Join(out, strings.TrimPrefix(names[i], "dicom/")))
		if err != nil {
			t.Fatal(err)
		}
		if s.must(0, "segment", "cat", file, lsns[i]) != string(want) || s.must(0, "segment", "cat", file, names[i]) != string(want) {
			t.Errorf("cat %s differs from what was stored", names[i])
		}
	}
	if long := s.must(0, "segment", "ls", "--long", file); !strings.Contains(long, "LSN 0x"+strings.TrimLeft(lsns[0], "0")) {
		t.Errorf("ls --long lacks the first object: %.500s", long)
	} else if strings.Contains(long, " \n") {
		t.Error("ls --long shows the spaces that fill headers")
	}
	s.must(1, "segment", "cat", file, "dicom/none")
}

func TestSegmentDamageIsTold(t *testing.T) {
	s, file := sealedSegment(t)
	lsns, names := objects(s.must(0, "segment", "ls", file))
	pristine, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	victim := len(names) / 2
	payload := s.must(0, "segment", "cat", file, names[victim])
	at := bytes.Index(pristine, []byte(payload))
	if at < 0 {
		t.Fatal("the payload is not in the file")
	}
	damage := func(name string, change func(b []byte) []byte) {
		t.Helper()
		if err := os.WriteFile(file, change(bytes.Clone(pristine)), 0o600); err != nil {
			t.Fatal(name, err)
		}
	}
	damage("payload", func(b []byte) []byte { b[at+len(payload)/2] ^= 0x10; return b })
	out := s.must(3, "segment", "ls", "--check", file)
	if got, _ := objects(out); len(got) != len(lsns) || !strings.Contains(out, "damage  ") || !strings.Contains(out, "record "+lsns[victim]) {
		t.Errorf("ls --check of a damaged payload lists %d of %d objects:\n%.300s", len(got), len(lsns), out)
	}
	s.must(0, "segment", "ls", file) // the headers are as they were
	if out := s.must(3, "segment", "cat", file, lsns[victim]); out != "" {
		t.Error("damaged bytes were written")
	}
	s.must(0, "segment", "cat", file, lsns[victim+1])

	damage("header", func(b []byte) []byte { b[at-100] ^= 0x10; return b })
	got, _ := objects(s.must(3, "segment", "ls", file))
	if len(got) != len(lsns)-1 {
		t.Errorf("with one damaged header %d of %d objects are listed", len(got), len(lsns))
	}

	damage("cut", func(b []byte) []byte { return b[:at+10] })
	r := s.run("segment", "ls", file)
	if got, _ := objects(r.out); r.code != 3 || len(got) != victim || !strings.Contains(r.out, "damage") {
		t.Errorf("a file that was cut: exit code %d, %d objects, want %d", r.code, len(got), victim)
	}

	damage("nonsense", func([]byte) []byte { return bytes.Repeat([]byte("nonsense"), 1000) })
	s.must(3, "segment", "ls", file)
}

func TestSegmentCatJoinsLargeObjects(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789abcdef"), 18<<16) // 18 MiB: five extents
	for _, c := range []struct {
		segment string
		code    int
	}{{"536870912", 0}, {"10485760", 3}} {
		s := newSite(t, "GANTRY_STORE_SEGMENT_BYTES="+c.segment)
		r := s.serve()
		putLarge(t, r, large)
		r.stop()
		files, err := filepath.Glob(filepath.Join(s.data, "log", "*.tar"))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		last := files[len(files)-1]
		got := s.run("segment", "cat", last, "any/large")
		switch {
		case got.code != c.code:
			t.Errorf("exit code %d, want %d\n%s", got.code, c.code, got.errOut)
		case c.code == 0 && got.out != string(large):
			t.Error("the bytes differ")
		case c.code == 3 && (got.out != "" || !strings.Contains(got.errOut, "elsewhere: .gantry/extent/")):
			t.Errorf("%d bytes written, and\n%s", len(got.out), got.errOut)
		}
		if list := s.must(0, "segment", "cat", "--list", last, "any/large"); !strings.Contains(list, ".gantry/extent/") {
			t.Errorf("--list: %q", list)
		}
	}
}

func putLarge(t *testing.T, r *running, body []byte) {
	t.Helper()
	u, err := url.Parse(r.s3)
	if err != nil {
		t.Fatal(err)
	}
	c, err := minio.New(u.Host, &minio.Options{Creds: credentials.NewStaticV4(rootID, rootSecret, ""), Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.MakeBucket(t.Context(), "any", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	opts := minio.PutObjectOptions{DisableMultipart: true}
	if _, err := c.PutObject(t.Context(), "any", "large", bytes.NewReader(body), int64(len(body)), opts); err != nil {
		t.Fatal(err)
	}
}
