package clienttest_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/signer"
)

// requestID is what differs from answer to answer in an error's body.
var requestID = regexp.MustCompile(`<(RequestId|HostId)>[^<]*</(RequestId|HostId)>`)

// question is one request whose answer a rebuilt catalog must not change.
type question struct{ door, method, path, accept string }

// TestRebuiltCatalogAnswersTheSame throws the catalog away and compares every answer before and after: bytes, times, ETags,
// order; also after deletes and for a bucket that was deleted and made again.
func TestRebuiltCatalogAnswersTheSame(t *testing.T) {
	// Answers hold absolute URLs, and a restarted server listens on another port.
	s := start(t, options{args: []string{"--public-url", "https://archive.example"}})
	questions := fillForRebuild(t, s)
	before := answers(t, s, questions)

	for _, way := range []string{"by command", "by starting"} {
		s.stop()
		removeCatalog(t, s.dir)
		if way == "by command" {
			s.command(t, "rebuild-catalog")
		}
		s.command(t, "verify")
		s.run()
		after := answers(t, s, questions)
		for i, q := range questions {
			if before[i] != after[i] {
				t.Errorf("%s: %s %s differs:\n%s\n--- was:\n%s", way, q.method, q.path, head(after[i]), head(before[i]))
			}
		}
	}
}

func head(s string) string { return s[:min(len(s), 1500)] }

// removeCatalog deletes what is derived from the segments.
func removeCatalog(t *testing.T, dir string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "catalog*"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no catalog in the data folder: %v", err)
	}
	for _, f := range found {
		if err := os.RemoveAll(f); err != nil {
			t.Fatal(err)
		}
	}
}

// fillForRebuild makes a history worth rebuilding and returns what to ask about it.
func fillForRebuild(t *testing.T, s *server) []question {
	t.Helper()
	c, ctx := minioClient(t, s), t.Context()
	put := func(bucket, key string, body []byte, o minio.PutObjectOptions) {
		t.Helper()
		if _, err := c.PutObject(ctx, bucket, key, bytes.NewReader(body), int64(len(body)), o); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(bucket, key string) {
		t.Helper()
		if err := c.RemoveObject(ctx, bucket, key, minio.RemoveObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	dicom := archive(t, s)
	for _, bucket := range []string{"plain", "again"} {
		if err := c.MakeBucket(ctx, bucket, minio.MakeBucketOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 60 {
		put("plain", fmt.Sprintf("k/%d/%02d", i%4, i), content(i*997, uint64(i)), minio.PutObjectOptions{
			ContentType: "application/x-k", UserMetadata: map[string]string{"N": fmt.Sprint(i)}, CacheControl: "no-store", Checksum: minio.ChecksumCRC32C,
		})
		if i%5 == 0 {
			remove("plain", fmt.Sprintf("k/%d/%02d", i%4, i))
		}
		if i%7 == 0 {
			put("plain", fmt.Sprintf("k/%d/%02d", i%4, i), []byte("overwritten"), minio.PutObjectOptions{})
		}
	}
	put("plain", "multi", content(11*mib, 1), minio.PutObjectOptions{PartSize: 5 * mib})
	put("plain", "large", content(17*mib, 2), minio.PutObjectOptions{DisableMultipart: true})
	put("again", "resurrected", []byte("must not come back"), minio.PutObjectOptions{})
	remove("again", "resurrected")
	if err := c.RemoveBucket(ctx, "again"); err != nil {
		t.Fatal(err)
	}
	if err := c.MakeBucket(ctx, "again", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	put("again", "new", []byte("new"), minio.PutObjectOptions{})
	open, err := awsClient(s).CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String("plain"), Key: aws.String("open")})
	if err != nil {
		t.Fatal(err)
	}

	var instances []instance
	for i := range 40 {
		instances = append(instances, newInstance(200+i%5, i%2, i, 64))
	}
	for _, i := range instances {
		if status, _ := s.stow(t, i.encode()); status != http.StatusOK {
			t.Fatalf("stow: %d", status)
		}
	}
	for _, f := range firstOfEach(validFiles(t))[:60] {
		put(dicom, "inbox/"+filepath.Base(f.Path), f.bytes, minio.PutObjectOptions{})
	}
	remove(dicom, instances[3].key())
	put(dicom, "duplicate", instances[4].encode(), minio.PutObjectOptions{})
	put(dicom, "moved", instances[5].encode(), minio.PutObjectOptions{}) // indexed once the first is gone
	remove(dicom, instances[5].key())
	return rebuildQuestions(t, s, dicom, *open.UploadId, instances)
}

func rebuildQuestions(t *testing.T, s *server, dicom, uploadID string, instances []instance) []question {
	t.Helper()
	var all []question
	ask := func(door, method, path, accept string) { all = append(all, question{door, method, path, accept}) }
	ask("s3", "GET", "/", "")
	for _, bucket := range []string{"plain", "again", dicom} {
		for _, query := range []string{"", "list-type=2", "list-type=2&max-keys=7", "delimiter=%2F", "list-type=2&delimiter=%2F&prefix=k%2F", "versions", "uploads"} {
			ask("s3", "GET", "/"+bucket+"?"+query, "")
		}
		for o := range minioClient(t, s).ListObjects(t.Context(), bucket, minio.ListObjectsOptions{Recursive: true}) {
			if o.Err != nil {
				t.Fatal(o.Err)
			}
			key := (&url.URL{Path: "/" + bucket + "/" + o.Key}).EscapedPath()
			ask("s3", "HEAD", key, "")
			ask("s3", "GET", key, "")
		}
	}
	ask("s3", "HEAD", "/plain/multi?partNumber=2", "")
	ask("s3", "GET", "/plain/open?uploadId="+url.QueryEscape(uploadID), "")
	ask("s3", "GET", "/again/resurrected", "")
	ask("s3", "GET", "/"+dicom+"/"+instances[3].key(), "")
	const json = "application/dicom+json"
	for _, path := range []string{
		"/studies?includefield=all&limit=1000", "/series?includefield=all&limit=1000", "/instances?includefield=all&limit=1000", "/studies?limit=5&offset=3",
		"/studies?PatientID=P00001", "/studies?PatientName=test*&fuzzymatching=true", "/studies?StudyDate=20240101-20240630", "/studies?ModalitiesInStudy=CT", "/studies?AccessionNumber=AP00002",
	} {
		ask("dicomweb", "GET", path, json)
	}
	for _, i := range instances {
		ask("dicomweb", "GET", i.path()+"/metadata", json)
		ask("dicomweb", "GET", i.path(), "application/dicom; transfer-syntax=*")
		ask("dicomweb", "GET", "/studies/"+i.study+"/metadata", json)
		ask("dicomweb", "GET", "/studies/"+i.study+"/series", json)
	}
	slices.SortFunc(all, func(a, b question) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return slices.Compact(all)
}

// answers asks all questions and returns each answer whole: status, headers that don't change from request to request, body.
func answers(t *testing.T, s *server, questions []question) []string {
	t.Helper()
	var all []string
	for _, q := range questions {
		var resp *http.Response
		var body []byte
		if q.door == "dicomweb" {
			resp, body = s.request(t, q.method, q.path, nil, "Accept", q.accept)
		} else {
			resp, body = s.signed(t, q)
		}
		resp.Header.Del("Date")
		resp.Header.Del("X-Amz-Request-Id")
		resp.Header.Del("X-Amz-Id-2")
		resp.Header.Del("X-Request-Id")
		var text strings.Builder
		fmt.Fprintln(&text, resp.Status)
		_ = resp.Header.Write(&text) // into memory
		text.Write(requestID.ReplaceAll(body, nil))
		all = append(all, text.String())
	}
	return all
}

// signed sends an S3 question.
func (s *server) signed(t *testing.T, q question) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), q.method, s.s3+q.path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	resp, err := s.webClient().Do(signer.SignV4(*req, s.keyID, s.secret, "", "us-east-1"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", q.method, q.path, err)
	}
	return resp, body
}
