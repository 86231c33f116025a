package clienttest_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// awsCLI is one installed AWS command line, talking to one server.
type awsCLI struct {
	t    *testing.T
	path string
	env  []string
	s    *server
}

// awsProgram is Debian's build, but over TLS whichever comes first on the PATH: a newer one signs and checksums bodies
// differently there. One program a transport, for every call is an interpreter to start.
func awsProgram(t *testing.T, s *server) string {
	t.Helper()
	debian := need(t, "/usr/bin/aws", "aws")
	if p, err := exec.LookPath("aws"); err == nil && s.caFile != "" {
		return p
	}
	return debian
}

func eachAWSCLI(t *testing.T, session func(t *testing.T, a *awsCLI)) {
	t.Parallel()
	eachTransport(t, func(t *testing.T, s *server) {
		path := awsProgram(t, s)
		t.Log(strings.TrimSpace(run(t, nil, path, "--version")))
		env := []string{
			"AWS_ACCESS_KEY_ID=" + s.keyID, "AWS_SECRET_ACCESS_KEY=" + s.secret, "AWS_DEFAULT_REGION=eu-central-1",
			"AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=1", "AWS_PAGER=", "AWS_CA_BUNDLE=" + s.caFile,
			"AWS_CONFIG_FILE=" + writeFile(t, filepath.Join(t.TempDir(), "config"), []byte("[default]\ns3 =\n  addressing_style = path\n")),
			"LC_ALL=C.UTF-8",
		}
		session(t, &awsCLI{t, path, env, s})
	})
}

// run executes `aws ARGS…`, which must succeed.
func (a *awsCLI) run(args ...string) string {
	a.t.Helper()
	return run(a.t, a.env, a.path, append([]string{"--endpoint-url", a.s.s3}, args...)...)
}

// fails executes `aws ARGS…`, which must fail and name the error code.
func (a *awsCLI) fails(code string, args ...string) {
	a.t.Helper()
	_, stderr, err := execute(a.t, a.env, nil, a.path, append([]string{"--endpoint-url", a.s.s3}, args...)...)
	if err == nil || !strings.Contains(stderr, code) {
		a.t.Fatalf("aws %s: got %v, want an error with %q\n%s", strings.Join(args, " "), err, code, stderr)
	}
}

// api executes `aws s3api ARGS…` and decodes its answer.
func (a *awsCLI) api(args ...string) map[string]any {
	a.t.Helper()
	out := a.run(append([]string{"s3api", "--output", "json"}, args...)...)
	answer := map[string]any{}
	if strings.TrimSpace(out) != "" {
		if err := json.Unmarshal([]byte(out), &answer); err != nil {
			a.t.Fatalf("aws s3api %s: %v in %q", strings.Join(args, " "), err, out)
		}
	}
	return answer
}

// text is a string of the answer, "" if it isn't there.
func text(answer map[string]any, name string) string {
	s, _ := answer[name].(string)
	return s
}

// column is one string of every element of a list of the answer.
func column(answer map[string]any, list, name string) string {
	var all []string
	rows, _ := answer[list].([]any)
	for _, row := range rows {
		m, _ := row.(map[string]any)
		all = append(all, text(m, name))
	}
	return strings.Join(all, " ")
}

func TestAWSCommandLineS3(t *testing.T) {
	eachAWSCLI(t, func(t *testing.T, a *awsCLI) {
		bucket := "s3://cli"
		dir := t.TempDir()
		a.run("s3", "mb", bucket)
		a.cpBothWays(bucket, dir)
		a.syncBothWays(bucket+"/tree", dir)

		a.run("s3", "cp", bucket+"/small", bucket+"/copy")
		a.run("s3", "mv", bucket+"/copy", bucket+"/moved")
		equal(t, "moved", a.run("s3", "cp", bucket+"/moved", "-"), "small")
		a.fails("404", "s3", "cp", bucket+"/copy", "-")

		resp, err := a.s.http().Get(strings.TrimSpace(a.run("s3", "presign", "--expires-in", "60", bucket+"/small")))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK || string(body) != "small" {
			t.Fatalf("presigned: %s, %v, %q", resp.Status, err, body)
		}

		a.run("s3", "rm", bucket+"/small")
		a.fails("BucketNotEmpty", "s3", "rb", bucket)
		a.run("s3", "rm", "--recursive", bucket)
		equal(t, "ls after rm", a.run("s3", "ls", "--recursive", bucket), "")
		a.run("s3", "rb", bucket)
		a.fails("NoSuchBucket", "s3", "ls", bucket)
	})
}

func (a *awsCLI) cpBothWays(bucket, dir string) {
	a.t.Helper()
	small := writeFile(a.t, filepath.Join(dir, "small"), []byte("small"))
	a.run("s3", "cp", "--metadata", "origin=ward 7", "--content-type", "text/x-test", small, bucket+"/small")
	equal(a.t, "cp to stdout", a.run("s3", "cp", bucket+"/small", "-"), "small")

	big := content(21*mib+5, 3) // three parts, read back in ranges
	a.run("s3", "cp", writeFile(a.t, filepath.Join(dir, "big"), big), bucket+"/dir/big")
	a.run("s3", "cp", bucket+"/dir/big", filepath.Join(dir, "big.back"))
	same(a.t, "big object", readFile(a.t, filepath.Join(dir, "big.back")), big)

	if _, stderr, err := execute(a.t, a.env, bytes.NewReader(big), a.path, "--endpoint-url", a.s.s3, "s3", "cp", "-", bucket+"/streamed"); err != nil {
		a.t.Fatalf("cp from stdin: %v\n%s", err, stderr)
	}
	a.run("s3", "cp", bucket+"/streamed", filepath.Join(dir, "streamed"))
	same(a.t, "streamed object", readFile(a.t, filepath.Join(dir, "streamed")), big)
	listed := a.run("s3", "ls", bucket)
	if !strings.Contains(listed, "PRE dir/") || !strings.Contains(listed, " 5 small") {
		a.t.Fatalf("ls: %q", listed)
	}
}

func (a *awsCLI) syncBothWays(prefix, dir string) {
	a.t.Helper()
	files, local, back := sampleTree(), filepath.Join(dir, "up"), filepath.Join(dir, "down")
	files.write(a.t, local)
	a.run("s3", "sync", local, prefix)
	equal(a.t, "lines of ls", strings.Count(a.run("s3", "ls", "--recursive", prefix+"/"), "\n"), len(files))
	a.run("s3", "sync", prefix, back)
	files.check(a.t, back)
	equal(a.t, "second sync", a.run("s3", "sync", "--size-only", local, prefix), "")

	delete(files, "plain.txt")
	files["empty"] = []byte("no longer empty")
	if err := os.RemoveAll(local); err != nil {
		a.t.Fatal(err)
	}
	files.write(a.t, local)
	a.run("s3", "sync", "--delete", local, prefix)
	a.run("s3", "sync", "--delete", "--exact-timestamps", prefix, back)
	files.check(a.t, back)
}

func TestAWSCommandLineS3API(t *testing.T) {
	eachAWSCLI(t, func(t *testing.T, a *awsCLI) {
		bucket := "cli-api"
		dir := t.TempDir()
		a.api("create-bucket", "--bucket", bucket, "--create-bucket-configuration", "LocationConstraint=eu-central-1")
		a.api("head-bucket", "--bucket", bucket)
		if names := " " + column(a.api("list-buckets"), "Buckets", "Name") + " "; !strings.Contains(names, " "+bucket+" ") {
			t.Fatalf("list-buckets: %q", names)
		}
		a.api("get-bucket-location", "--bucket", bucket)
		a.objectCalls(bucket, dir)
		a.listCalls(bucket, dir)
		a.multipartCalls(bucket, dir)
		a.probes(bucket)
	})
}

func (a *awsCLI) objectCalls(bucket, dir string) {
	t, body := a.t, content(70_000, 5)
	t.Helper()
	in, out := writeFile(t, filepath.Join(dir, "in"), body), filepath.Join(dir, "out")
	on := []string{"--bucket", bucket, "--key", "a/b c+d"}
	call := func(name string, args ...string) map[string]any {
		return a.api(append(append([]string{name}, on...), args...)...)
	}

	put := call("put-object", "--body", in, "--metadata", "patient-class=outpatient", "--content-type", "application/dicom",
		"--cache-control", "max-age=60", "--content-disposition", "attachment; filename=x.dcm", "--checksum-algorithm", "SHA256")
	equal(t, "put ETag", text(put, "ETag"), `"`+etag(body)+`"`)
	head := call("head-object", "--checksum-mode", "ENABLED")
	equal(t, "head ETag", text(head, "ETag"), text(put, "ETag"))
	equal(t, "content type", text(head, "ContentType"), "application/dicom")
	equal(t, "cache control", text(head, "CacheControl"), "max-age=60")
	equal(t, "disposition", text(head, "ContentDisposition"), "attachment; filename=x.dcm")
	equal(t, "length", head["ContentLength"].(float64), float64(len(body)))
	equal(t, "checksum", text(head, "ChecksumSHA256"), text(put, "ChecksumSHA256"))
	equal(t, "metadata", text(head["Metadata"].(map[string]any), "patient-class"), "outpatient")

	call("get-object", out)
	same(t, "get-object", readFile(t, out), body)
	equal(t, "content range", text(call("get-object", "--range", "bytes=100-199", out), "ContentRange"), "bytes 100-199/70000")
	same(t, "range", readFile(t, out), body[100:200])
	call("get-object", "--range", "bytes=-7", out)
	same(t, "suffix range", readFile(t, out), body[len(body)-7:])
	equal(t, "override", text(call("get-object", "--response-content-type", "x/y", out), "ContentType"), "x/y")
	fails := func(code string, args ...string) {
		a.fails(code, append(append([]string{"s3api", args[0]}, on...), args[1:]...)...)
	}
	fails("InvalidRange", "get-object", "--range", "bytes=70000-", out)
	fails("304", "get-object", "--if-none-match", text(put, "ETag"), out)
	fails("PreconditionFailed", "get-object", "--if-match", `"0123"`, out)
	fails("304", "head-object", "--if-modified-since", "2099-01-01T00:00:00Z")
	if a.s.ours() {
		fails("NotImplemented", "put-object-tagging", "--tagging", "TagSet=[{Key=a,Value=b}]")
	}
	call("get-object", out)
	same(t, "after refused tagging", readFile(t, out), body)

	source := bucket + "/a/b c+d" // the client escapes it
	a.api("copy-object", "--bucket", bucket, "--key", "copy", "--copy-source", source, "--metadata-directive", "REPLACE", "--metadata", "new=yes")
	copied := a.api("head-object", "--bucket", bucket, "--key", "copy")
	equal(t, "copy ETag", text(copied, "ETag"), text(put, "ETag"))
	equal(t, "replaced metadata", text(copied["Metadata"].(map[string]any), "new"), "yes")
	a.fails("PreconditionFailed", "s3api", "copy-object", "--bucket", bucket, "--key", "copy", "--copy-source", source, "--copy-source-if-match", `"0123"`)
	a.fails("NoSuchKey", "s3api", "get-object", "--bucket", bucket, "--key", "none", out)
	a.api("delete-object", "--bucket", bucket, "--key", "copy")
	a.api("delete-object", "--bucket", bucket, "--key", "copy") // deleting what isn't there succeeds
	call("delete-object")
}

func (a *awsCLI) listCalls(bucket, dir string) {
	t := a.t
	t.Helper()
	one := writeFile(t, filepath.Join(dir, "one"), []byte("1"))
	for _, key := range []string{"l/a", "l/b/1", "l/b/2", "l/c", "l/d/1"} {
		a.api("put-object", "--bucket", bucket, "--key", key, "--body", one)
	}
	for _, call := range []string{"list-objects", "list-objects-v2"} {
		answer := a.api(call, "--bucket", bucket, "--prefix", "l/", "--delimiter", "/")
		equal(t, call+" keys", column(answer, "Contents", "Key"), "l/a l/c")
		equal(t, call+" prefixes", column(answer, "CommonPrefixes", "Prefix"), "l/b/ l/d/")
		answer = a.api(call, "--bucket", bucket, "--prefix", "l/", "--page-size", "2")
		equal(t, call+" pages", column(answer, "Contents", "Key"), "l/a l/b/1 l/b/2 l/c l/d/1")
	}
	equal(t, "start-after", column(a.api("list-objects-v2", "--bucket", bucket, "--start-after", "l/b/2"), "Contents", "Key"), "l/c l/d/1")
	answer := a.api("delete-objects", "--bucket", bucket, "--delete", "Objects=[{Key=l/a},{Key=l/b/1},{Key=none}],Quiet=false")
	equal(t, "deleted", len(answer["Deleted"].([]any)), 3)
	equal(t, "left", column(a.api("list-objects-v2", "--bucket", bucket), "Contents", "Key"), "l/b/2 l/c l/d/1")
}

func (a *awsCLI) multipartCalls(bucket, dir string) {
	t := a.t
	t.Helper()
	parts := [][]byte{content(5*mib, 7), content(5*mib+1, 8), content(10, 9)}
	on := []string{"--bucket", bucket, "--key", "multi"}
	id := text(a.api(append([]string{"create-multipart-upload", "--content-type", "x/multi"}, on...)...), "UploadId")
	on = append(on, "--upload-id", id)
	var lines []string
	for i, p := range parts {
		number := string(rune('1' + i))
		body := writeFile(t, filepath.Join(dir, "part"), p)
		got := text(a.api(append([]string{"upload-part", "--part-number", number, "--body", body}, on...)...), "ETag")
		equal(t, "part ETag", got, `"`+etag(p)+`"`)
		lines = append(lines, `{"PartNumber":`+number+`,"ETag":"`+strings.Trim(got, `"`)+`"}`)
	}
	listed := a.api(append([]string{"list-parts"}, on...)...)
	equal(t, "list-parts", len(listed["Parts"].([]any)), len(parts))
	equal(t, "list-multipart-uploads", column(a.api("list-multipart-uploads", "--bucket", bucket), "Uploads", "UploadId"), id)
	a.fails("InvalidPart", append([]string{"s3api", "complete-multipart-upload", "--multipart-upload", `{"Parts":[{"PartNumber":9,"ETag":"0123"}]}`}, on...)...)
	done := a.api(append([]string{"complete-multipart-upload", "--multipart-upload", `{"Parts":[` + strings.Join(lines, ",") + `]}`}, on...)...)
	equal(t, "multipart ETag", text(done, "ETag"), `"`+multipartETag(parts...)+`"`)

	out := filepath.Join(dir, "out")
	got := a.api("get-object", "--bucket", bucket, "--key", "multi", out)
	same(t, "multipart object", readFile(t, out), bytes.Join(parts, nil))
	equal(t, "multipart content type", text(got, "ContentType"), "x/multi")
	a.api("get-object", "--bucket", bucket, "--key", "multi", "--part-number", "2", out)
	same(t, "part 2", readFile(t, out), parts[1])

	id = text(a.api("create-multipart-upload", "--bucket", bucket, "--key", "aborted"), "UploadId")
	a.api("upload-part-copy", "--bucket", bucket, "--key", "aborted", "--upload-id", id, "--part-number", "1", "--copy-source", bucket+"/multi", "--copy-source-range", "bytes=0-99")
	a.api("abort-multipart-upload", "--bucket", bucket, "--key", "aborted", "--upload-id", id)
	a.fails("NoSuchUpload", "s3api", "list-parts", "--bucket", bucket, "--key", "aborted", "--upload-id", id)
}

// probes are two of the questions that tools ask before they start; another session asks them all.
func (a *awsCLI) probes(bucket string) {
	a.t.Helper()
	equal(a.t, "versioning", text(a.api("get-bucket-versioning", "--bucket", bucket), "Status"), "")
	a.fails("NoSuchBucketPolicy", "s3api", "get-bucket-policy", "--bucket", bucket)
	if a.s.ours() {
		a.fails("NotImplemented", "s3api", "put-bucket-versioning", "--bucket", bucket, "--versioning-configuration", "Status=Enabled")
	}
}
