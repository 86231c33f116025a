package clienttest_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
)

// segments are the files of the server's log, oldest first.
func (s *server) segments(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(s.dir, "log", "*.tar"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no segments: %v", err)
	}
	return found // names are LSNs of one length, so in order
}

// tarAgrees stops the server and reads its segments with tar: no warning, every object under its name, the bytes that were
// stored. The last segment isn't sealed and may draw a remark about its end.
func tarAgrees(t *testing.T, s *server, kept []stored) {
	t.Helper()
	s.stop()
	files, into := s.segments(t), t.TempDir()
	if len(files) < 3 {
		t.Fatalf("only %d segments: none to speak of is sealed", len(files))
	}
	for i, file := range files {
		_, said, err := execute(t, nil, nil, "tar", "-tf", file)
		_, saidX, errX := execute(t, nil, nil, "tar", "-xf", file, "-C", into)
		if last := i == len(files)-1; !last && (err != nil || errX != nil || said+saidX != "") {
			t.Errorf("tar of sealed segment %d: %v, %v, %q", i, err, errX, said+saidX)
		}
	}
	for _, f := range kept {
		u := strings.Split(f.url[strings.Index(f.url, "/studies/"):], "/") // "", studies, S, series, E, instances, I
		if len(f.bytes) > 16*mib {
			continue // extents, to be joined by hand
		}
		same(t, filepath.Base(f.Path)+" from tar", readFile(t, filepath.Join(into, "dicom", u[2], u[4], u[6]+".dcm")), f.bytes)
	}
}

// Flipped bits on the disk are never served: the objects they hit fail loudly and are those that verify lists, all
// others are served.
func TestBitRot(t *testing.T) {
	s := start(t, options{})
	c, rng := minioClient(t, s), rand.New(rand.NewPCG(1, 2))
	if err := c.MakeBucket(t.Context(), "rot", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	bodies := map[string][]byte{}
	for i := range 80 {
		key, body := fmt.Sprintf("k%02d", i), content(50_000+i*5000, uint64(i))
		bodies[key] = body
		if _, err := c.PutObject(t.Context(), "rot", key, bytes.NewReader(body), int64(len(body)), minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	s.stop()
	damaged := rot(t, s.segments(t)[0], bodies, rng)

	s.run()
	c = minioClient(t, s)
	for key, body := range bodies {
		o, err := c.GetObject(t.Context(), "rot", key, minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(o)
		o.Close()
		switch hit := slices.Contains(damaged, key); {
		case hit && err == nil:
			t.Errorf("%s was served, %d bytes, although it is damaged", key, len(got))
		case !hit && err != nil:
			t.Errorf("%s is not damaged: %v", key, err)
		case !hit:
			same(t, key, got, body)
		}
	}
	s.stop()
	out, _, err := execute(t, nil, nil, gantryPath, "verify", "--data", s.dir)
	if err == nil {
		t.Errorf("verify found nothing:\n%s", out)
	}
	for key := range bodies {
		if listed := strings.Contains(out, `"`+key+`"`); listed != slices.Contains(damaged, key) {
			t.Errorf("verify lists %s: %v\n%s", key, listed, out)
		}
	}
}

// rot flips a bit in the payloads of some objects and returns their keys.
func rot(t *testing.T, segment string, bodies map[string][]byte, rng *rand.Rand) []string {
	t.Helper()
	file := readFile(t, segment)
	var hit []string
	for key, body := range bodies {
		if len(hit) == 5 {
			break
		}
		at := bytes.Index(file, body)
		if at < 0 {
			t.Fatalf("%s is not in its segment as it was stored", key)
		}
		file[at+rng.IntN(len(body))] ^= 1 << rng.IntN(8)
		hit = append(hit, key)
	}
	if err := os.WriteFile(segment, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return hit
}
