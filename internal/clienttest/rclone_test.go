package clienttest_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRclone(t *testing.T) {
	program := need(t, "rclone")
	eachTransport(t, func(t *testing.T, s *server) {
		dir := t.TempDir()
		env := []string{
			"RCLONE_CONFIG=" + writeFile(t, filepath.Join(dir, "rclone.conf"), nil),
			"RCLONE_CONFIG_GANTRY_TYPE=s3", "RCLONE_CONFIG_GANTRY_PROVIDER=Other", "RCLONE_CONFIG_GANTRY_ENDPOINT=" + s.s3,
			"RCLONE_CONFIG_GANTRY_ACCESS_KEY_ID=" + s.keyID, "RCLONE_CONFIG_GANTRY_SECRET_ACCESS_KEY=" + s.secret,
			"RCLONE_CONFIG_GANTRY_UPLOAD_CUTOFF=8Mi", "RCLONE_CONFIG_GANTRY_CHUNK_SIZE=5Mi", "RCLONE_CA_CERT=" + s.caFile,
			"RCLONE_RETRIES=1", "RCLONE_LOW_LEVEL_RETRIES=1",
		}
		rclone := func(args ...string) string { t.Helper(); return run(t, env, program, args...) }
		files, local, back, remote := sampleTree(), filepath.Join(dir, "up"), filepath.Join(dir, "down"), "gantry:rclone/tree"
		files.write(t, local)

		rclone("mkdir", "gantry:rclone")
		rclone("sync", local, remote)
		rclone("check", local, remote)
		rclone("check", "--download", local, remote)
		rclone("sync", remote, back)
		files.check(t, back)
		rcloneList(t, rclone("lsjson", "-R", "--files-only", "--hash", remote), files)

		// A second sync has nothing to do: sizes and the times kept in metadata agree.
		if log := rclone("sync", "--stats-one-line", "--stats=1h", "-v", "--log-file", filepath.Join(dir, "log"), local, remote); log != "" {
			t.Fatalf("second sync printed %q", log)
		}
		if log := string(readFile(t, filepath.Join(dir, "log"))); strings.Contains(log, "Copied") {
			t.Fatalf("second sync copied again:\n%s", log)
		}

		files["plain.txt"] = []byte("changed")
		delete(files, "empty")
		if err := os.RemoveAll(local); err != nil {
			t.Fatal(err)
		}
		files.write(t, local)
		rclone("sync", local, remote)
		rclone("check", local, remote)

		rclone("copy", remote, "gantry:rclone/copied") // by the server
		rclone("check", remote, "gantry:rclone/copied")
		rclone("moveto", "gantry:rclone/copied/large.bin", "gantry:rclone/moved.bin")
		same(t, "cat", []byte(rclone("cat", "gantry:rclone/moved.bin")), files["large.bin"])
		same(t, "cat in the middle", []byte(rclone("cat", "--offset", "6000000", "--count", "777", "gantry:rclone/moved.bin")), files["large.bin"][6000000:6000777])

		rclone("delete", "gantry:rclone")
		equal(t, "ls after delete", rclone("lsf", "-R", "--files-only", "gantry:rclone"), "")
		rclone("purge", "gantry:rclone")
		if out := rclone("lsd", "gantry:"); strings.Contains(out, "rclone") {
			t.Fatalf("buckets after purge: %q", out)
		}
	})
}

// rcloneList checks names, sizes and MD5 sums; those of multipart objects come from the metadata that rclone keeps.
func rcloneList(t *testing.T, out string, files tree) {
	t.Helper()
	var listed []struct {
		Path   string
		Size   int
		Hashes map[string]string
	}
	if err := json.Unmarshal([]byte(out), &listed); err != nil {
		t.Fatalf("lsjson: %v", err)
	}
	equal(t, "listed files", len(listed), len(files))
	for _, f := range listed {
		b, ok := files[f.Path]
		if !ok {
			t.Fatalf("unexpected %q in the listing", f.Path)
		}
		equal(t, f.Path+" size", f.Size, len(b))
		equal(t, f.Path+" md5", f.Hashes["md5"], etag(b))
	}
}
