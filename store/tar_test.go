package store_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gantry/store"
)

// TestSegmentsAreTar lets GNU tar list and extract the log of a store that holds every kind of record: sealed segments without a
// warning, the last one with at most the remark that it does not end. The extracted files are what was stored; large objects are
// joined as their manifest says (I8).
func TestSegmentsAreTar(t *testing.T) {
	tar, err := exec.LookPath("tar")
	if err != nil {
		t.Fatal("GNU tar is missing: apt-get install tar")
	}
	dir := t.TempDir()
	s := open(t, store.Config{Dir: dir, SegmentBytes: 6 << 20})
	want := fillForTar(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	segments, err := filepath.Glob(filepath.Join(dir, "log", "*.tar"))
	if err != nil || len(segments) < 4 {
		t.Fatalf("%d segments, %v", len(segments), err)
	}
	out := t.TempDir()
	var listing bytes.Buffer
	for i, seg := range segments {
		for _, args := range [][]string{{"-tvf", seg}, {"-xf", seg, "-C", out}} {
			cmd := exec.Command(tar, args...)
			cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
			var stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &listing, &stderr
			err := cmd.Run()
			remark := stderr.String()
			if i == len(segments)-1 { // not sealed
				for _, line := range strings.Split(strings.TrimSpace(remark), "\n") {
					if !strings.Contains(line, "lone zero block") && !strings.Contains(line, "end-of-archive") {
						continue
					}
					remark = strings.Replace(remark, line, "", 1)
				}
			}
			if err != nil || strings.TrimSpace(remark) != "" {
				t.Errorf("tar %v: %v: %s", args, err, stderr.String())
			}
		}
	}
	for _, kind := range []string{"bucket", "upload", "part", "abort", "delete", "extent", "footer"} {
		if !strings.Contains(listing.String(), ".gantry/"+kind) {
			t.Errorf("no record of kind %s is listed", kind)
		}
	}
	for name, data := range want {
		got, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if bytes.HasPrefix(got, []byte("# A large object")) {
			cmd := exec.Command("/bin/sh", "-c", `cat $(grep -v '^#' "$1" | cut -d' ' -f1)`, "sh", name)
			cmd.Dir = out
			if got, err = cmd.Output(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes, want %d", name, len(got), len(data))
		}
	}
}

// fillForTar stores records of all kinds and returns the files to expect.
func fillForTar(t *testing.T, s *store.Store) map[string][]byte {
	t.Helper()
	want := map[string][]byte{}
	mustBucket(t, s, "plain", store.BucketSettings{})
	mustBucket(t, s, "dicom", store.BucketSettings{DICOM: true})
	mustBucket(t, s, "gone", store.BucketSettings{})
	if err := s.DeleteBucket(t.Context(), "gone", store.Origin{}); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"a", "dir/b", "日本/ü ñ", "x y", strings.Repeat("long/", 60) + "name"} {
		want["plain/"+name] = noise(uint64(i), 1000*i)
		put(t, s, "plain", name, []byte("an older version"))
		put(t, s, "plain", name, want["plain/"+name])
	}
	for _, name := range []string{"../up", "/root", "q//b", "-rf", "dir/."} {
		put(t, s, "plain", name, []byte("escaped"))
	}
	in := instance(1, 2, 3, "P")
	put(t, s, "dicom", "1.1/1.1.2/1.1.2.3.dcm", in)
	want["dicom/1.1/1.1.2/1.1.2.3.dcm"] = in
	want["plain/large"] = noise(50, 47<<20) // extents numbered beyond 9
	put(t, s, "plain", "large", want["plain/large"])
	k := store.Key{Bucket: "plain", Name: "parts"}
	up, err := s.CreateUpload(t.Context(), &store.NewUpload{Key: k})
	if err != nil {
		t.Fatal(err)
	}
	c := &store.Complete{Key: k, UploadID: up.ID}
	for n, size := range []int{5 << 20, 6<<20 + 1, 3} {
		data := noise(uint64(60+n), size)
		want["plain/parts"] = append(want["plain/parts"], data...)
		p, err := s.PutPart(t.Context(), &store.PutPart{Key: k, UploadID: up.ID, Number: 2*n + 1, Body: bytes.NewReader(data), Size: -1})
		if err != nil {
			t.Fatal(err)
		}
		c.Parts = append(c.Parts, store.CompletePart{Number: p.Number, ETag: p.ETag})
	}
	if _, err := s.Complete(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	up, err = s.CreateUpload(t.Context(), &store.NewUpload{Key: k})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Abort(t.Context(), k, up.ID, store.Origin{}); err != nil {
		t.Fatal(err)
	}
	put(t, s, "plain", "deleted", []byte("deleted"))
	if _, err := s.Delete(t.Context(), &store.Delete{Key: store.Key{Bucket: "plain", Name: "deleted"}}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 { // and fill the segment that holds them
		put(t, s, "plain", fmt.Sprint("filler", i), noise(1, 5<<20))
	}
	return want
}
