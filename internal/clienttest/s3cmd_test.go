package clienttest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestS3cmd(t *testing.T) {
	program := need(t, "s3cmd")
	eachTransport(t, func(t *testing.T, s *server) {
		dir := t.TempDir()
		scheme, host, _ := strings.Cut(s.s3, "://")
		config := fmt.Sprintf("[default]\naccess_key = %s\nsecret_key = %s\nhost_base = %s\nhost_bucket = %s\nuse_https = %v\nca_certs_file = %s\nmultipart_chunk_size_mb = 5\nmax_retries = 1\n",
			s.keyID, s.secret, host, host, scheme == "https", s.caFile)
		configFile := writeFile(t, filepath.Join(dir, "s3cfg"), []byte(config))
		env := []string{"LC_ALL=C.UTF-8"}
		s3cmd := func(args ...string) string {
			t.Helper()
			return run(t, env, program, append([]string{"-c", configFile, "--no-progress"}, args...)...)
		}
		const bucket = "s3://s3cmd-session"
		s3cmd("mb", bucket)

		small := []byte("small")
		s3cmd("put", "--add-header=x-amz-meta-ward:7", "--mime-type=application/dicom", writeFile(t, filepath.Join(dir, "small"), small), bucket+"/dir/small")
		info := s3cmd("info", bucket+"/dir/small")
		for _, want := range []string{"application/dicom", "x-amz-meta-ward: 7", etag(small), "File size: 5"} {
			if !strings.Contains(info, want) {
				t.Errorf("info lacks %q:\n%s", want, info)
			}
		}
		big := content(12*mib+3, 11)
		s3cmd("put", writeFile(t, filepath.Join(dir, "big"), big), bucket+"/big")
		s3cmd("get", bucket+"/big", filepath.Join(dir, "big.back"))
		same(t, "big object", readFile(t, filepath.Join(dir, "big.back")), big)
		listed := s3cmd("ls", bucket)
		if !strings.Contains(listed, "DIR") || !strings.Contains(listed, bucket+"/big") {
			t.Fatalf("ls: %q", listed)
		}

		files, local, back := sampleTree(), filepath.Join(dir, "up"), filepath.Join(dir, "down")
		files.write(t, local)
		s3cmd("sync", local+"/", bucket+"/tree/")
		equal(t, "lines of ls", strings.Count(s3cmd("ls", "--recursive", bucket+"/tree/"), "\n"), len(files))
		if err := os.Mkdir(back, 0o755); err != nil {
			t.Fatal(err)
		}
		s3cmd("sync", bucket+"/tree/", back+"/")
		files.check(t, back)
		if out := s3cmd("sync", local+"/", bucket+"/tree/"); strings.Contains(out, "upload:") {
			t.Fatalf("second sync uploaded again:\n%s", out)
		}

		s3cmd("cp", bucket+"/big", bucket+"/copied")
		s3cmd("modify", "--mime-type=text/changed", bucket+"/dir/small")
		if info := s3cmd("info", bucket+"/dir/small"); !strings.Contains(info, "text/changed") {
			t.Fatalf("info after modify:\n%s", info)
		}
		s3cmd("mv", bucket+"/copied", bucket+"/moved")
		s3cmd("get", "--force", bucket+"/moved", filepath.Join(dir, "big.back"))
		same(t, "moved object", readFile(t, filepath.Join(dir, "big.back")), big)

		s3cmd("del", bucket+"/moved")
		s3cmd("del", "--recursive", "--force", bucket)
		equal(t, "ls after del", s3cmd("ls", "--recursive", bucket), "")
		s3cmd("rb", bucket)
		if out := s3cmd("ls"); strings.Contains(out, bucket) {
			t.Fatalf("buckets after rb: %q", out)
		}
	})
}
