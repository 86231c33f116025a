package clienttest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

func minioClient(t *testing.T, s *server) *minio.Client {
	t.Helper()
	u, err := url.Parse(s.s3)
	if err != nil {
		t.Fatal(err)
	}
	c, err := minio.New(u.Host, &minio.Options{
		Creds: credentials.NewStaticV4(s.keyID, s.secret, ""), Secure: u.Scheme == "https", Transport: s.http().Transport,
		Region: "us-east-1", BucketLookup: minio.BucketLookupPath, MaxRetries: 1, TrailingHeaders: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// code is the S3 error code of a failure of minio-go.
func code(err error) string {
	var r minio.ErrorResponse
	if errors.As(err, &r) {
		return r.Code
	}
	return fmt.Sprint(err)
}

// fetch reads an object whole.
func fetch(t *testing.T, c *minio.Client, bucket, key string, o minio.GetObjectOptions) []byte {
	t.Helper()
	r, err := c.GetObject(t.Context(), bucket, key, o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	return b
}

func TestMinioGo(t *testing.T) {
	eachTransport(t, func(t *testing.T, s *server) {
		c, ctx, bucket := minioClient(t, s), t.Context(), "minio-go"
		if err := c.MakeBucket(ctx, bucket, minio.MakeBucketOptions{}); err != nil {
			t.Fatal(err)
		}
		minioSinglePuts(t, c, bucket)
		minioConditionalPuts(t, c, bucket)
		minioMultipart(t, c, bucket)
		minioListing(t, c, bucket)
		minioPresigned(t, c, s, bucket)

		removed := 0
		for r := range c.RemoveObjectsWithResult(ctx, bucket, c.ListObjects(ctx, bucket, minio.ListObjectsOptions{Recursive: true}), minio.RemoveObjectsOptions{}) {
			if r.Err != nil {
				t.Fatalf("remove %s: %v", r.ObjectName, r.Err)
			}
			removed++
		}
		if removed < 1100 {
			t.Fatalf("removed %d objects", removed)
		}
		if err := c.RemoveBucket(ctx, bucket); err != nil {
			t.Fatal(err)
		}
		if ok, err := c.BucketExists(ctx, bucket); ok || err != nil {
			t.Fatalf("bucket after removal: %v, %v", ok, err)
		}
	})
}

// minioSinglePuts sends bodies in every way that minio-go knows: signed in chunks (plain HTTP), unsigned with a trailing checksum,
// with Content-MD5, with the payload's SHA-256.
func minioSinglePuts(t *testing.T, c *minio.Client, bucket string) {
	t.Helper()
	ways := map[string]minio.PutObjectOptions{
		"chunks":       {},
		"crc32c":       {Checksum: minio.ChecksumCRC32C},
		"crc32":        {Checksum: minio.ChecksumCRC32},
		"crc64nvme":    {Checksum: minio.ChecksumCRC64NVME},
		"sha1":         {Checksum: minio.ChecksumSHA1},
		"sha256":       {Checksum: minio.ChecksumSHA256},
		"content-md5":  {SendContentMd5: true},
		"payload-hash": {DisableContentSha256: false, SendContentMd5: true, DisableMultipart: true},
		"unsigned":     {DisableContentSha256: true},
	}
	for way, o := range ways {
		for _, n := range []int{0, 1, 65535, 65536, 65537, 3*mib + 1} {
			body, key := content(n, uint64(n)), fmt.Sprintf("put/%s/%d", way, n)
			o.UserMetadata = map[string]string{"Way": way, "Accented": "z\u00fcrich"}
			o.ContentType, o.ContentEncoding = "application/x-"+way, "identity"
			info, err := c.PutObject(t.Context(), bucket, key, bytes.NewReader(body), int64(n), o)
			if err != nil {
				t.Fatalf("put %s: %v", key, err)
			}
			equal(t, key+" ETag", info.ETag, etag(body))
			same(t, key, fetch(t, c, bucket, key, minio.GetObjectOptions{Checksum: true}), body)
			stat, err := c.StatObject(t.Context(), bucket, key, minio.StatObjectOptions{Checksum: true})
			if err != nil {
				t.Fatalf("stat %s: %v", key, err)
			}
			equal(t, key+" size", stat.Size, int64(n))
			equal(t, key+" type", stat.ContentType, o.ContentType)
			equal(t, key+" metadata", stat.UserMetadata["Way"], way)
			equal(t, key+" encoding", stat.Metadata.Get("Content-Encoding"), "identity")
			kept := map[string]string{"crc32c": stat.ChecksumCRC32C, "crc32": stat.ChecksumCRC32, "crc64nvme": stat.ChecksumCRC64NVME, "sha1": stat.ChecksumSHA1, "sha256": stat.ChecksumSHA256}
			if sum, asked := kept[way]; asked && sum == "" && n > 0 { // minio-go sends none for an empty body
				t.Errorf("%s: no checksum kept", key)
			}
		}
	}
}

func minioConditionalPuts(t *testing.T, c *minio.Client, bucket string) {
	t.Helper()
	put := func(body string, set func(*minio.PutObjectOptions)) error {
		var o minio.PutObjectOptions
		set(&o)
		_, err := c.PutObject(t.Context(), bucket, "conditional", strings.NewReader(body), int64(len(body)), o)
		return err
	}
	if err := put("first", func(o *minio.PutObjectOptions) { o.SetMatchETagExcept("*") }); err != nil {
		t.Fatalf("first: %v", err)
	}
	equal(t, "second if absent", code(put("second", func(o *minio.PutObjectOptions) { o.SetMatchETagExcept("*") })), "PreconditionFailed")
	equal(t, "wrong ETag", code(put("second", func(o *minio.PutObjectOptions) { o.SetMatchETag(etag([]byte("other"))) })), "PreconditionFailed")
	same(t, "still the first", fetch(t, c, bucket, "conditional", minio.GetObjectOptions{}), []byte("first"))
	if err := put("second", func(o *minio.PutObjectOptions) { o.SetMatchETag(etag([]byte("first"))) }); err != nil {
		t.Fatalf("right ETag: %v", err)
	}
	same(t, "now the second", fetch(t, c, bucket, "conditional", minio.GetObjectOptions{}), []byte("second"))

	// Of many that race to create one key, one wins.
	const racers = 16
	results := make(chan error, racers)
	for i := range racers {
		go func() {
			var o minio.PutObjectOptions
			o.SetMatchETagExcept("*")
			_, err := c.PutObject(t.Context(), bucket, "race", strings.NewReader(fmt.Sprint(i)), int64(len(fmt.Sprint(i))), o)
			results <- err
		}()
	}
	won := 0
	for range racers {
		if err := <-results; err == nil {
			won++
		} else if got := code(err); got != "PreconditionFailed" && got != "ConditionalRequestConflict" {
			t.Errorf("racer: %v", err)
		}
	}
	equal(t, "winners", won, 1)
}

func minioMultipart(t *testing.T, c *minio.Client, bucket string) {
	t.Helper()
	body := content(17*mib+99, 21)
	for way, o := range map[string]minio.PutObjectOptions{
		"plain":       {PartSize: 5 * mib, NumThreads: 2},
		"crc32c":      {PartSize: 5 * mib, Checksum: minio.ChecksumCRC32C},
		"full-crc32c": {PartSize: 5 * mib, Checksum: minio.ChecksumFullObjectCRC32C},
		"crc64nvme":   {PartSize: 5 * mib, Checksum: minio.ChecksumCRC64NVME},
		"sha256":      {PartSize: 5 * mib, Checksum: minio.ChecksumSHA256},
	} {
		key := "multi/" + way
		info, err := c.PutObject(t.Context(), bucket, key, bytes.NewReader(body), int64(len(body)), o)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		equal(t, key+" ETag", info.ETag, multipartETag(body[:5*mib], body[5*mib:10*mib], body[10*mib:15*mib], body[15*mib:]))
		same(t, key, fetch(t, c, bucket, key, minio.GetObjectOptions{Checksum: true}), body)
		var ranged minio.GetObjectOptions
		if err := ranged.SetRange(5*mib-3, 5*mib+3); err != nil {
			t.Fatal(err)
		}
		same(t, key+" across parts", fetch(t, c, bucket, key, ranged), body[5*mib-3:5*mib+4])
		same(t, key+" part 4", fetch(t, c, bucket, key, minio.GetObjectOptions{PartNumber: 4}), body[15*mib:])
	}
	// Composed by the server out of pieces of others.
	dst := minio.CopyDestOptions{Bucket: bucket, Object: "multi/composed"}
	sources := []minio.CopySrcOptions{
		{Bucket: bucket, Object: "multi/plain", MatchRange: true, Start: 1, End: 6 * mib},
		{Bucket: bucket, Object: "multi/sha256"},
	}
	if _, err := c.ComposeObject(t.Context(), dst, sources...); err != nil {
		t.Fatalf("compose: %v", err)
	}
	same(t, "composed", fetch(t, c, bucket, "multi/composed", minio.GetObjectOptions{}), append(bytes.Clone(body[1:6*mib+1]), body...))

	// An upload of unknown length that its source breaks off leaves nothing.
	broken := io.MultiReader(bytes.NewReader(body), failingReader{})
	if _, err := c.PutObject(t.Context(), bucket, "multi/broken", broken, -1, minio.PutObjectOptions{PartSize: 5 * mib}); err == nil {
		t.Fatal("a broken source was stored")
	}
	if _, err := c.StatObject(t.Context(), bucket, "multi/broken", minio.StatObjectOptions{}); code(err) != "NoSuchKey" {
		t.Fatalf("stat of a broken upload: %v", err)
	}
	for u := range c.ListIncompleteUploads(t.Context(), bucket, "multi/", true) {
		t.Errorf("left behind: upload of %s, %v", u.Key, u.Err)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("the source broke off") }

func minioListing(t *testing.T, c *minio.Client, bucket string) {
	t.Helper()
	const n = 1100 // more than a page
	for i := range n {
		key := fmt.Sprintf("list/%04d", i)
		if i%100 == 0 {
			key = fmt.Sprintf("list/%04d/&<\u00e9>+ %%", i) // to be escaped in XML and in URLs
		}
		if _, err := c.PutObject(t.Context(), bucket, key, strings.NewReader(key), int64(len(key)), minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range []minio.ListObjectsOptions{{Recursive: true}, {Recursive: true, UseV1: true}, {Recursive: true, MaxKeys: 7}} {
		o.Prefix = "list/"
		count, last := 0, ""
		for obj := range c.ListObjects(t.Context(), bucket, o) {
			if obj.Err != nil {
				t.Fatal(obj.Err)
			}
			if obj.Key <= last || obj.Size != int64(len(obj.Key)) || obj.ETag != etag([]byte(obj.Key)) {
				t.Fatalf("after %q: %q, size %d, ETag %s", last, obj.Key, obj.Size, obj.ETag)
			}
			last = obj.Key
			count++
		}
		equal(t, fmt.Sprintf("keys with %+v", o), count, n)
	}
	prefixes := 0
	for obj := range c.ListObjects(t.Context(), bucket, minio.ListObjectsOptions{Prefix: "list/"}) {
		if strings.HasSuffix(obj.Key, "/") {
			prefixes++
		}
	}
	equal(t, "common prefixes", prefixes, n/100)
	after := 0
	for range c.ListObjects(t.Context(), bucket, minio.ListObjectsOptions{Prefix: "list/", StartAfter: "list/1089", Recursive: true}) {
		after++
	}
	equal(t, "keys after list/1089", after, 10)
}

func minioPresigned(t *testing.T, c *minio.Client, s *server, bucket string) {
	t.Helper()
	put, err := c.PresignedPutObject(t.Context(), bucket, "presigned/a b+c", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	get, err := c.PresignedGetObject(t.Context(), bucket, "presigned/a b+c", time.Minute, url.Values{"response-content-type": {"x/chosen"}})
	if err != nil {
		t.Fatal(err)
	}
	body := content(100_001, 31)
	equal(t, "presigned put", status(t, s, http.MethodPut, put.String(), body), http.StatusOK)
	equal(t, "presigned get", status(t, s, http.MethodGet, get.String(), nil), http.StatusOK)
	same(t, "presigned object", fetch(t, c, bucket, "presigned/a b+c", minio.GetObjectOptions{}), body)
	tampered := strings.Replace(get.String(), "chosen", "other", 1)
	equal(t, "tampered", status(t, s, http.MethodGet, tampered, nil), http.StatusForbidden)
	expired, err := c.PresignedGetObject(t.Context(), bucket, "presigned/a b+c", time.Second, nil)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(2100 * time.Millisecond) // the expiry is real time, and the clock is the server's
	equal(t, "expired", status(t, s, http.MethodGet, expired.String(), nil), http.StatusForbidden)
}

// status sends a request without signing it and returns how it was answered.
func status(t *testing.T, s *server, method, url string, body []byte) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.http().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body) // only the status is asked for
	return resp.StatusCode
}
