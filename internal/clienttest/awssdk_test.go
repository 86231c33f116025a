package clienttest_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

func awsClient(s *server, set ...func(*s3.Options)) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: &s.s3, UsePathStyle: true, Region: "eu-west-3", HTTPClient: s.http(), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(s.keyID, s.secret, ""),
	}, set...)
}

// awsSession is one client at work in one bucket.
type awsSession struct {
	*s3.Client
	t      *testing.T
	s      *server
	bucket *string
}

func TestAWSSDKForGo(t *testing.T) {
	eachTransport(t, func(t *testing.T, s *server) {
		a := &awsSession{awsClient(s), t, s, aws.String("sdk-go")}
		if _, err := a.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: a.bucket}); err != nil {
			t.Fatal(err)
		}
		for name, step := range map[string]func(*awsSession){
			"buckets": (*awsSession).buckets, "objects": (*awsSession).objects, "checksums": (*awsSession).checksums,
			"ranges": (*awsSession).ranges, "conditions": (*awsSession).conditions, "copies": (*awsSession).copies,
			"multipart": (*awsSession).multipart, "multipart checksums": (*awsSession).multipartChecksums, "uploads": (*awsSession).uploads,
			"lists": (*awsSession).lists, "bulk delete": (*awsSession).bulkDelete, "virtual host": (*awsSession).virtualHost,
			"manager": (*awsSession).manager, "not implemented": (*awsSession).notImplemented, "probes": (*awsSession).probes,
			"integrity": (*awsSession).integrity, "credentials": (*awsSession).credentials,
		} {
			t.Run(name, func(t *testing.T) {
				step(&awsSession{a.Client, t, s, a.bucket})
			})
		}
	})
}

// ok fails the test on an error.
func (a *awsSession) ok(what string, err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatalf("%s: %v", what, err)
	}
}

// refused fails the test unless the error has the S3 code, or the HTTP status where the answer has no body (HEAD, 304).
func (a *awsSession) refused(what string, err error, codes ...string) {
	a.t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || !slices.Contains(codes, api.ErrorCode()) {
		a.t.Errorf("%s: got %v, want one of %q", what, err, codes)
	}
}

func (a *awsSession) put(key string, body []byte) *s3.PutObjectOutput {
	a.t.Helper()
	out, err := a.PutObject(a.t.Context(), &s3.PutObjectInput{Bucket: a.bucket, Key: &key, Body: bytes.NewReader(body)})
	a.ok("put "+key, err)
	return out
}

// get reads an object; the input may be nil.
func (a *awsSession) get(key string, in *s3.GetObjectInput) ([]byte, *s3.GetObjectOutput) {
	a.t.Helper()
	if in == nil {
		in = &s3.GetObjectInput{}
	}
	in.Bucket, in.Key = a.bucket, &key
	out, err := a.GetObject(a.t.Context(), in)
	a.ok("get "+key, err)
	defer out.Body.Close()
	b, err := io.ReadAll(out.Body)
	a.ok("read "+key, err)
	return b, out
}

func (a *awsSession) head(key string) (*s3.HeadObjectOutput, error) {
	return a.HeadObject(a.t.Context(), &s3.HeadObjectInput{Bucket: a.bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled})
}

func (a *awsSession) buckets() {
	ctx, other := a.t.Context(), aws.String("sdk-go-other")
	_, err := a.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: other, CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: "eu-west-3"}})
	a.ok("create", err)
	_, err = a.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: other})
	a.refused("create again", err, "BucketAlreadyOwnedByYou", "BucketAlreadyExists")
	_, err = a.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("Not_A_Name")})
	a.refused("create with a bad name", err, "InvalidBucketName")
	list, err := a.ListBuckets(ctx, &s3.ListBucketsInput{})
	a.ok("list", err)
	var names []string
	for _, b := range list.Buckets {
		names = append(names, *b.Name)
		if age := time.Since(*b.CreationDate); age < -time.Minute || age > time.Hour {
			a.t.Errorf("bucket %s created %v ago", *b.Name, age)
		}
	}
	if !slices.IsSorted(names) || !slices.Contains(names, *other) {
		a.t.Errorf("buckets: %q", names)
	}
	_, err = a.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: other})
	a.ok("location", err)
	_, err = a.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: other})
	a.ok("delete", err)
	_, err = a.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: other})
	a.refused("head after delete", err, "NotFound")
	_, err = a.PutObject(ctx, &s3.PutObjectInput{Bucket: other, Key: aws.String("k"), Body: strings.NewReader("b")})
	a.refused("put after delete", err, "NoSuchBucket")
}

func (a *awsSession) objects() {
	body, expires := content(33_333, 41), "Wed, 21 Oct 2065 07:28:00 GMT"
	for _, key := range []string{"plain", "a//b", "/leading", "trailing/", "../up/./here", "ünï cödé+%2F?#&=", strings.Repeat("k", 1024), "new\nline", "\u2028<>\"'"} {
		in := &s3.PutObjectInput{
			Bucket: a.bucket, Key: &key, Body: bytes.NewReader(body), ContentType: aws.String("application/dicom"), ContentLanguage: aws.String("de"),
			CacheControl: aws.String("no-store"), ContentDisposition: aws.String("inline"), ContentEncoding: aws.String("x-none"),
			Metadata: map[string]string{"a": "1", "long-name": strings.Repeat("v", 500)},
		}
		in.Expires = aws.Time(time.Date(2065, 10, 21, 7, 28, 0, 0, time.UTC))
		_, err := a.PutObject(a.t.Context(), in)
		a.ok(fmt.Sprintf("put %q", key), err)
		got, out := a.get(key, nil)
		same(a.t, key, got, body)
		h, err := a.head(key)
		a.ok(fmt.Sprintf("head %q", key), err)
		equal(a.t, "ETag", *h.ETag, `"`+etag(body)+`"`)
		equal(a.t, "length", *h.ContentLength, int64(len(body)))
		equal(a.t, "headers", strings.Join([]string{*h.ContentType, *h.ContentLanguage, *h.CacheControl, *h.ContentDisposition, *h.ContentEncoding, *h.ExpiresString}, "|"),
			"application/dicom|de|no-store|inline|x-none|"+expires)
		equal(a.t, "metadata", len(h.Metadata), 2)
		equal(a.t, "metadata of get", out.Metadata["long-name"], strings.Repeat("v", 500))
		equal(a.t, "time", *h.LastModified, *out.LastModified)
		_, err = a.DeleteObject(a.t.Context(), &s3.DeleteObjectInput{Bucket: a.bucket, Key: &key})
		a.ok("delete", err)
		_, err = a.head(key)
		a.refused("head after delete", err, "NotFound")
	}
	key := strings.Repeat("k", 1025)
	_, err := a.PutObject(a.t.Context(), &s3.PutObjectInput{Bucket: a.bucket, Key: &key, Body: strings.NewReader("b")})
	a.refused("key too long", err, "KeyTooLongError")
	_, err = a.PutObject(a.t.Context(), &s3.PutObjectInput{Bucket: a.bucket, Key: aws.String("meta"), Body: strings.NewReader("b"), Metadata: map[string]string{"m": strings.Repeat("v", 2100)}})
	a.refused("metadata too large", err, "MetadataTooLarge")

	a.put("override", body)
	_, out := a.get("override", &s3.GetObjectInput{
		ResponseContentType: aws.String("x/y"), ResponseCacheControl: aws.String("max-age=1"), ResponseContentDisposition: aws.String("attachment"),
		ResponseContentEncoding: aws.String("x-e"), ResponseContentLanguage: aws.String("fr"),
	})
	equal(a.t, "overrides", strings.Join([]string{*out.ContentType, *out.CacheControl, *out.ContentDisposition, *out.ContentEncoding, *out.ContentLanguage}, "|"), "x/y|max-age=1|attachment|x-e|fr")
}

// checksumOf picks one algorithm's value; all answers name the fields alike.
func checksumOf(alg types.ChecksumAlgorithm, crc32, crc32c, crc64, sha1, sha256 *string) string {
	return aws.ToString(map[types.ChecksumAlgorithm]*string{"CRC32": crc32, "CRC32C": crc32c, "CRC64NVME": crc64, "SHA1": sha1, "SHA256": sha256}[alg])
}

var algorithms = []types.ChecksumAlgorithm{"CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"}

func (a *awsSession) checksums() {
	body, ctx := content(200_001, 43), a.t.Context()
	for _, alg := range algorithms {
		key := "checksum/" + string(alg)
		put, err := a.PutObject(ctx, &s3.PutObjectInput{Bucket: a.bucket, Key: &key, Body: bytes.NewReader(body), ChecksumAlgorithm: alg})
		a.ok("put "+key, err)
		want := checksumOf(alg, put.ChecksumCRC32, put.ChecksumCRC32C, put.ChecksumCRC64NVME, put.ChecksumSHA1, put.ChecksumSHA256)
		if want == "" {
			a.t.Fatalf("put %s answered no checksum", key)
		}
		h, err := a.head(key)
		a.ok("head "+key, err)
		equal(a.t, key+" of head", checksumOf(alg, h.ChecksumCRC32, h.ChecksumCRC32C, h.ChecksumCRC64NVME, h.ChecksumSHA1, h.ChecksumSHA256), want)
		got, g := a.get(key, &s3.GetObjectInput{ChecksumMode: types.ChecksumModeEnabled}) // the SDK verifies it
		same(a.t, key, got, body)
		equal(a.t, key+" of get", checksumOf(alg, g.ChecksumCRC32, g.ChecksumCRC32C, g.ChecksumCRC64NVME, g.ChecksumSHA1, g.ChecksumSHA256), want)
		equal(a.t, key+" type", g.ChecksumType, types.ChecksumTypeFullObject)
		attrs, err := a.GetObjectAttributes(ctx, &s3.GetObjectAttributesInput{Bucket: a.bucket, Key: &key, ObjectAttributes: []types.ObjectAttributes{"ETag", "Checksum", "ObjectSize", "StorageClass", "ObjectParts"}})
		a.ok("attributes "+key, err)
		equal(a.t, key+" size", *attrs.ObjectSize, int64(len(body)))
		equal(a.t, key+" ETag", strings.Trim(*attrs.ETag, `"`), etag(body))
		c := attrs.Checksum
		equal(a.t, key+" of attributes", checksumOf(alg, c.ChecksumCRC32, c.ChecksumCRC32C, c.ChecksumCRC64NVME, c.ChecksumSHA1, c.ChecksumSHA256), want)

		// Given before the body, and wrong.
		bad := base64.StdEncoding.EncodeToString(make([]byte, map[types.ChecksumAlgorithm]int{"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8, "SHA1": 20, "SHA256": 32}[alg]))
		wrong := &s3.PutObjectInput{Bucket: a.bucket, Key: aws.String(key + "-wrong"), Body: bytes.NewReader(body)}
		switch alg {
		case "CRC32":
			wrong.ChecksumCRC32 = &bad
		case "CRC32C":
			wrong.ChecksumCRC32C = &bad
		case "CRC64NVME":
			wrong.ChecksumCRC64NVME = &bad
		case "SHA1":
			wrong.ChecksumSHA1 = &bad
		default:
			wrong.ChecksumSHA256 = &bad
		}
		_, err = a.PutObject(ctx, wrong)
		a.refused(key+" wrong", err, "BadDigest", "XAmzContentChecksumMismatch", "InvalidDigest")
		_, err = a.head(*wrong.Key)
		a.refused(key+" refused yet there", err, "NotFound")
	}
}

// integrity sends what must be refused whole: a wrong Content-MD5, no length.
func (a *awsSession) integrity() {
	sum := md5.Sum([]byte("other"))
	wrong := base64.StdEncoding.EncodeToString(sum[:])
	_, err := a.PutObject(a.t.Context(), &s3.PutObjectInput{Bucket: a.bucket, Key: aws.String("md5"), Body: strings.NewReader("body"), ContentMD5: &wrong})
	a.refused("wrong Content-MD5", err, "BadDigest")
	_, err = a.head("md5")
	a.refused("refused yet there", err, "NotFound")
}

func (a *awsSession) credentials() {
	for what, c := range map[string]struct{ id, secret, code string }{
		"wrong secret": {a.s.keyID, "wrong", "SignatureDoesNotMatch"},
		"unknown key":  {"NOBODY", a.s.secret, "InvalidAccessKeyId"},
	} {
		other := awsClient(a.s, func(o *s3.Options) { o.Credentials = credentials.NewStaticCredentialsProvider(c.id, c.secret, "") })
		_, err := other.ListObjectsV2(a.t.Context(), &s3.ListObjectsV2Input{Bucket: a.bucket})
		a.refused(what, err, c.code)
		_, err = other.PutObject(a.t.Context(), &s3.PutObjectInput{Bucket: a.bucket, Key: aws.String("intruder"), Body: strings.NewReader("b")})
		a.refused(what+", put", err, c.code)
	}
	_, err := a.head("intruder")
	a.refused("refused yet there", err, "NotFound")
	equal(a.t, "unsigned", status(a.t, a.s, http.MethodGet, a.s.s3+"/"+*a.bucket+"/plain", nil), http.StatusForbidden)
	for _, region := range []string{"us-east-1", "ap-southeast-7", "made-up"} {
		other := awsClient(a.s, func(o *s3.Options) { o.Region = region })
		_, err := other.ListObjectsV2(a.t.Context(), &s3.ListObjectsV2Input{Bucket: a.bucket, MaxKeys: aws.Int32(1)})
		a.ok("signed for region "+region, err)
	}
}

func (a *awsSession) ranges() {
	body := content(3*mib+11, 47)
	n := len(body)
	a.put("ranged", body)
	for spec, want := range map[string][2]int{
		"bytes=0-0": {0, 1}, "bytes=1048575-1048576": {1048575, 1048577}, fmt.Sprintf("bytes=%d-", n-1): {n - 1, n}, "bytes=-1": {n - 1, n},
		"bytes=5-99999999": {5, n}, "bytes=-99999999": {0, n}, "bytes=100000-2999999": {100000, 3000000},
	} {
		got, out := a.get("ranged", &s3.GetObjectInput{Range: &spec})
		same(a.t, spec, got, body[want[0]:want[1]])
		equal(a.t, spec, aws.ToString(out.ContentRange), fmt.Sprintf("bytes %d-%d/%d", want[0], want[1]-1, n))
	}
	for _, spec := range []string{fmt.Sprintf("bytes=%d-", n), "bytes=-0"} {
		_, err := a.GetObject(a.t.Context(), &s3.GetObjectInput{Bucket: a.bucket, Key: aws.String("ranged"), Range: &spec})
		a.refused(spec, err, "InvalidRange")
	}
	for _, spec := range []string{"bytes=9-3", "lines=1-2", "bytes=a-b"} { // not a range: ignored
		got, _ := a.get("ranged", &s3.GetObjectInput{Range: &spec})
		same(a.t, spec, got, body)
	}
}

func (a *awsSession) conditions() {
	ctx, key := a.t.Context(), aws.String("conditions")
	tag := a.put(*key, []byte("body")).ETag
	h, err := a.head(*key)
	a.ok("head", err)
	before, after, other := h.LastModified.Add(-time.Hour), h.LastModified.Add(time.Hour), aws.String(`"0123"`)
	for what, c := range map[string]struct {
		in   s3.GetObjectInput
		code string
	}{
		"match":             {s3.GetObjectInput{IfMatch: tag}, ""},
		"no match":          {s3.GetObjectInput{IfMatch: other}, "PreconditionFailed"},
		"none match":        {s3.GetObjectInput{IfNoneMatch: tag}, "NotModified"},
		"none other":        {s3.GetObjectInput{IfNoneMatch: other}, ""},
		"modified":          {s3.GetObjectInput{IfModifiedSince: &before}, ""},
		"not modified":      {s3.GetObjectInput{IfModifiedSince: &after}, "NotModified"},
		"unmodified":        {s3.GetObjectInput{IfUnmodifiedSince: &after}, ""},
		"modified since":    {s3.GetObjectInput{IfUnmodifiedSince: &before}, "PreconditionFailed"},
		"match beats time":  {s3.GetObjectInput{IfMatch: tag, IfUnmodifiedSince: &before}, ""},
		"none beats time":   {s3.GetObjectInput{IfNoneMatch: tag, IfModifiedSince: &before}, "NotModified"},
		"none match a star": {s3.GetObjectInput{IfNoneMatch: aws.String("*")}, "NotModified"},
	} {
		c.in.Bucket, c.in.Key = a.bucket, key
		out, err := a.GetObject(ctx, &c.in)
		if c.code != "" {
			a.refused(what, err, c.code)
			continue
		}
		a.ok(what, err)
		out.Body.Close()
	}

	put := func(in s3.PutObjectInput) error {
		in.Bucket, in.Body = a.bucket, strings.NewReader("new")
		if in.Key == nil {
			in.Key = key
		}
		_, err := a.PutObject(ctx, &in)
		return err
	}
	a.refused("put if absent", put(s3.PutObjectInput{IfNoneMatch: aws.String("*")}), "PreconditionFailed")
	a.refused("put if other", put(s3.PutObjectInput{IfMatch: other}), "PreconditionFailed")
	a.refused("put over nothing", put(s3.PutObjectInput{Key: aws.String("nothing"), IfMatch: tag}), "NoSuchKey")
	a.ok("put if same", put(s3.PutObjectInput{IfMatch: tag}))
	_, err = a.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: a.bucket, Key: key, IfMatch: tag})
	if a.s.ours() {
		a.refused("delete if same as before", err, "PreconditionFailed")
		got, _ := a.get(*key, nil)
		same(a.t, "after refused delete", got, []byte("new"))
		_, err = a.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: a.bucket, Key: key, IfMatch: aws.String(`"` + etag([]byte("new")) + `"`)})
		a.ok("delete if same", err)
	}
}

func (a *awsSession) copies() {
	ctx, body := a.t.Context(), content(18*mib, 53)
	in := &s3.PutObjectInput{Bucket: a.bucket, Key: aws.String("src/ü +%"), Body: bytes.NewReader(body), Metadata: map[string]string{"k": "v"}, ContentType: aws.String("x/src")}
	_, err := a.PutObject(ctx, in)
	a.ok("put source", err)
	source := aws.String(*a.bucket + "/src/%C3%BC%20%2B%25")
	out, err := a.CopyObject(ctx, &s3.CopyObjectInput{Bucket: a.bucket, Key: aws.String("dst"), CopySource: source})
	a.ok("copy", err)
	equal(a.t, "ETag", *out.CopyObjectResult.ETag, `"`+etag(body)+`"`)
	got, g := a.get("dst", nil)
	same(a.t, "copy", got, body)
	equal(a.t, "metadata", g.Metadata["k"], "v")
	equal(a.t, "type", *g.ContentType, "x/src")
	_, err = a.CopyObject(ctx, &s3.CopyObjectInput{Bucket: a.bucket, Key: aws.String("dst"), CopySource: aws.String(*a.bucket + "/dst")})
	a.refused("copy to itself", err, "InvalidRequest")
	_, err = a.CopyObject(ctx, &s3.CopyObjectInput{Bucket: a.bucket, Key: aws.String("dst"), CopySource: aws.String("/" + *a.bucket + "/dst"),
		MetadataDirective: types.MetadataDirectiveReplace, Metadata: map[string]string{"n": "w"}, ContentType: aws.String("x/dst")})
	a.ok("replace metadata in place", err)
	h, err := a.head("dst")
	a.ok("head", err)
	equal(a.t, "replaced", h.Metadata["n"]+h.Metadata["k"]+*h.ContentType, "wx/dst")
	got, _ = a.get("dst", nil)
	same(a.t, "in place", got, body)
	_, err = a.CopyObject(ctx, &s3.CopyObjectInput{Bucket: a.bucket, Key: aws.String("dst2"), CopySource: source, CopySourceIfNoneMatch: out.CopyObjectResult.ETag})
	a.refused("copy if other", err, "PreconditionFailed")
	_, err = a.CopyObject(ctx, &s3.CopyObjectInput{Bucket: a.bucket, Key: aws.String("dst2"), CopySource: aws.String(*a.bucket + "/none")})
	a.refused("copy nothing", err, "NoSuchKey")
}

func (a *awsSession) virtualHost() {
	if !a.s.ours() {
		a.t.Skip("the stand-in has no domain configured")
	}
	// The name of the bucket in front of localhost; only the connection goes to the address.
	hosted := awsClient(a.s, func(o *s3.Options) {
		o.UsePathStyle = false
		o.BaseEndpoint = aws.String(strings.Replace(a.s.s3, "127.0.0.1", "localhost", 1))
		o.HTTPClient = dialLoopback(a.s)
	})
	key, body := aws.String("virtual/host ü"), []byte("virtual")
	_, err := hosted.PutObject(a.t.Context(), &s3.PutObjectInput{Bucket: a.bucket, Key: key, Body: bytes.NewReader(body)})
	a.ok("put", err)
	got, _ := a.get(*key, nil)
	same(a.t, "by path", got, body)
	out, err := hosted.GetObject(a.t.Context(), &s3.GetObjectInput{Bucket: a.bucket, Key: key})
	a.ok("get", err)
	defer out.Body.Close()
	got, err = io.ReadAll(out.Body)
	a.ok("read", err)
	same(a.t, "by host", got, body)
}

//nolint:staticcheck // deprecated, yet what most programs use
func (a *awsSession) manager() {
	ctx, body := a.t.Context(), content(23*mib+7, 59)
	up := manager.NewUploader(a.Client, func(u *manager.Uploader) { u.PartSize = 5 * mib; u.Concurrency = 3 })
	_, err := up.Upload(ctx, &s3.PutObjectInput{Bucket: a.bucket, Key: aws.String("managed"), Body: io.MultiReader(bytes.NewReader(body))})
	a.ok("upload", err)
	buf := manager.NewWriteAtBuffer(nil)
	down := manager.NewDownloader(a.Client, func(d *manager.Downloader) { d.PartSize = 4 * mib })
	_, err = down.Download(ctx, buf, &s3.GetObjectInput{Bucket: a.bucket, Key: aws.String("managed")})
	a.ok("download", err)
	same(a.t, "managed", buf.Bytes(), body)
}

// notImplemented asks for what gantry doesn't do yet: it must say so, and leave the object alone.
func (a *awsSession) notImplemented() {
	if !a.s.ours() {
		a.t.Skip("other servers implement some of these")
	}
	ctx, key, body := a.t.Context(), aws.String("untouched"), []byte("untouched")
	a.put(*key, body)
	b := func() io.Reader { return strings.NewReader("x") }
	sseKey, sseMD5 := strings.Repeat("k", 32), md5.Sum([]byte(strings.Repeat("k", 32)))
	for what, call := range map[string]func() error{
		"tagging": func() error {
			_, err := a.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: a.bucket, Key: key, Tagging: &types.Tagging{TagSet: []types.Tag{{Key: key, Value: key}}}})
			return err
		},
		"acl": func() error {
			_, err := a.PutObjectAcl(ctx, &s3.PutObjectAclInput{Bucket: a.bucket, Key: key, ACL: types.ObjectCannedACLPublicRead})
			return err
		},
		"legal hold": func() error {
			_, err := a.PutObjectLegalHold(ctx, &s3.PutObjectLegalHoldInput{Bucket: a.bucket, Key: key, LegalHold: &types.ObjectLockLegalHold{Status: "ON"}})
			return err
		},
		"retention": func() error {
			_, err := a.PutObjectRetention(ctx, &s3.PutObjectRetentionInput{Bucket: a.bucket, Key: key, Retention: &types.ObjectLockRetention{Mode: "GOVERNANCE"}})
			return err
		},
		"restore": func() error {
			_, err := a.RestoreObject(ctx, &s3.RestoreObjectInput{Bucket: a.bucket, Key: key, RestoreRequest: &types.RestoreRequest{Days: aws.Int32(1)}})
			return err
		},
		"put with object lock": func() error {
			_, err := a.PutObject(ctx, &s3.PutObjectInput{Bucket: a.bucket, Key: key, Body: b(), ObjectLockLegalHoldStatus: "ON"})
			return err
		},
		"put with SSE-KMS": func() error {
			_, err := a.PutObject(ctx, &s3.PutObjectInput{Bucket: a.bucket, Key: key, Body: b(), ServerSideEncryption: types.ServerSideEncryptionAwsKms})
			return err
		},
		"bucket policy": func() error {
			_, err := a.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: a.bucket, Policy: aws.String("{}")})
			return err
		},
		"bucket lifecycle": func() error {
			_, err := a.PutBucketLifecycleConfiguration(ctx, &s3.PutBucketLifecycleConfigurationInput{Bucket: a.bucket, LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: []types.LifecycleRule{{Status: "Enabled", Filter: &types.LifecycleRuleFilter{Prefix: key}}}}})
			return err
		},
		"bucket versioning": func() error {
			_, err := a.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: a.bucket, VersioningConfiguration: &types.VersioningConfiguration{Status: "Enabled"}})
			return err
		},
		"torrent": func() error {
			_, err := a.GetObjectTorrent(ctx, &s3.GetObjectTorrentInput{Bucket: a.bucket, Key: key})
			return err
		},
		"put with SSE-C": func() error {
			if !strings.HasPrefix(a.s.s3, "https") { // the SDK refuses to send a key in the clear
				return &smithy.GenericAPIError{Code: "NotImplemented"}
			}
			_, err := a.PutObject(ctx, &s3.PutObjectInput{Bucket: a.bucket, Key: key, Body: b(), SSECustomerAlgorithm: aws.String("AES256"),
				SSECustomerKey: aws.String(base64.StdEncoding.EncodeToString([]byte(sseKey))), SSECustomerKeyMD5: aws.String(base64.StdEncoding.EncodeToString(sseMD5[:]))})
			return err
		},
	} {
		a.refused(what, call(), "NotImplemented")
		got, _ := a.get(*key, nil)
		same(a.t, "object after "+what, got, body)
	}
}

// probes are read-only questions about what isn't set: answered as S3 answers for a plain bucket.
func (a *awsSession) probes() {
	ctx := a.t.Context()
	a.put("probed", []byte("probed"))
	v, err := a.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: a.bucket})
	a.ok("versioning", err)
	equal(a.t, "versioning", v.Status, "")
	_, err = a.GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: a.bucket})
	a.ok("bucket acl", err)
	_, err = a.GetObjectAcl(ctx, &s3.GetObjectAclInput{Bucket: a.bucket, Key: aws.String("probed")})
	a.ok("object acl", err)
	tags, err := a.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: a.bucket, Key: aws.String("probed")})
	a.ok("object tagging", err)
	equal(a.t, "tags", len(tags.TagSet), 0)
	versions, err := a.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: a.bucket, Prefix: aws.String("probed")})
	a.ok("versions", err)
	equal(a.t, "versions", len(versions.Versions), 1)
	equal(a.t, "version id", aws.ToString(versions.Versions[0].VersionId), "null")
	_, err = a.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: a.bucket})
	a.refused("policy", err, "NoSuchBucketPolicy")
	_, err = a.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: a.bucket})
	a.refused("lifecycle", err, "NoSuchLifecycleConfiguration")
	_, err = a.GetBucketCors(ctx, &s3.GetBucketCorsInput{Bucket: a.bucket})
	a.refused("cors", err, "NoSuchCORSConfiguration")
	_, err = a.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: a.bucket})
	a.refused("tagging", err, "NoSuchTagSet")
	_, err = a.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: a.bucket})
	a.refused("object lock", err, "ObjectLockConfigurationNotFoundError")
	if _, err = a.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: a.bucket}); err != nil {
		a.refused("encryption", err, "ServerSideEncryptionConfigurationNotFoundError")
	}
}

// dialLoopback is the server's HTTP client with every name resolved to 127.0.0.1.
func dialLoopback(s *server) *http.Client {
	c := s.http()
	tr, _ := c.Transport.(*http.Transport)
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+addr[strings.LastIndexByte(addr, ':')+1:])
	}
	return c
}
