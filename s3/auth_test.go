package s3_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/minio/minio-go/v7"
	miniocreds "github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/signer"

	"gantry/internal/auth"
	"gantry/s3"
)

func TestAuthorizationRefusals(t *testing.T) {
	s := newSite(t)
	s.bucket("data")
	header := func(value string) edit { return with("Authorization", value) }
	unsigned := func(target string, edits ...edit) *answer {
		r := s.request("GET", target, "")
		for _, e := range edits {
			e(r)
		}
		return s.send(r)
	}
	now := time.Now().UTC()
	day, long := now.Format("20060102"), now.Format("20060102T150405Z")
	credential := rootID + "/" + day + "/r/s3/aws4_request"
	for name, c := range map[string]struct {
		a      *answer
		status int
		code   string
	}{
		"anonymous":    {unsigned("/data/"), 403, "AccessDenied"},
		"empty header": {unsigned("/data/", header("")), 403, "AccessDenied"},
		"basic":        {unsigned("/data/", header("Basic abc")), 400, "InvalidArgument"},
		"version 2":    {unsigned("/data/", header("AWS A:b")), 400, "InvalidRequest"},
		"version 2 url": {unsigned("/data/?AWSAccessKeyId=A&Signature=b&Expires=1"), 400,
			"InvalidRequest"},
		"version 4a": {unsigned("/data/", header("AWS4-ECDSA-P256-SHA256 Credential=x")), 501, "NotImplemented"},
		"malformed":  {unsigned("/data/", header("AWS4-HMAC-SHA256 Credential=HAHAHA")), 400, "AuthorizationHeaderMalformed"},
		"service": {unsigned("/data/", header("AWS4-HMAC-SHA256 Credential="+rootID+"/"+day+"/r/ec2/aws4_request, SignedHeaders=host, Signature=0"),
			with("X-Amz-Date", long)), 400, "AuthorizationHeaderMalformed"},
		"other day": {unsigned("/data/", header("AWS4-HMAC-SHA256 Credential="+rootID+"/20200101/r/s3/aws4_request, SignedHeaders=host, Signature=0"),
			with("X-Amz-Date", long)), 400, "AuthorizationHeaderMalformed"},
		"no date":   {unsigned("/data/", header("AWS4-HMAC-SHA256 Credential="+credential+", SignedHeaders=host, Signature=0")), 403, "AccessDenied"},
		"no sha256": {unsigned("/data/", header("AWS4-HMAC-SHA256 Credential="+credential+", SignedHeaders=host, Signature=0"), with("X-Amz-Date", long)), 400, "InvalidRequest"},
		"unknown":   {s.as("NOBODY", "x", "GET", "/data/", ""), 403, "InvalidAccessKeyId"},
		"secret":    {s.as(rootID, "x", "GET", "/data/", ""), 403, "SignatureDoesNotMatch"},
		"two ways":  {s.do("GET", "/data/?X-Amz-Algorithm=AWS4-HMAC-SHA256", ""), 400, "InvalidArgument"},
		"token":     {s.do("GET", "/data/", "", with("X-Amz-Security-Token", "abc")), 400, "InvalidToken"},
	} {
		t.Run(name, func(t *testing.T) {
			c.a.t = t
			c.a.want(c.status, c.code)
		})
	}
	s.as(rootID, "x", "GET", "/data/", "").wantBody("<StringToSign>AWS4-HMAC-SHA256\n").wantBody("<CanonicalRequest>GET\n/data/\n")
	// A header added on the way, and one altered.
	r := s.request("PUT", "/data/o", "x")
	r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	signed := signer.SignV4(*r, rootID, rootSecret, "", "r")
	signed.Header.Set("X-Amz-Meta-Added", "1")
	s.send(signed).want(403, "AccessDenied").wantBody("<HeadersNotSigned>x-amz-meta-added</HeadersNotSigned>")
}

func TestClockSkew(t *testing.T) {
	for _, c := range []struct {
		offset time.Duration
		status int
		code   string
	}{{14 * time.Minute, 200, ""}, {-14 * time.Minute, 200, ""}, {16 * time.Minute, 403, "RequestTimeTooSkewed"}, {-16 * time.Minute, 403, "RequestTimeTooSkewed"}} {
		s := newSite(t, func(cfg *s3.Config) { cfg.Clock = func() time.Time { return time.Now().Add(c.offset) } })
		s.do("GET", "/", "").want(c.status, c.code)
	}
}

func TestPermissions(t *testing.T) {
	s := newSite(t)
	s.bucket("shared")
	s.bucket("private")
	s.put("shared", "o", "x")
	s.put("private", "o", "x")
	reader := func(method, target string, edits ...edit) *answer {
		return s.as(readerID, readerSecret, method, target, "", edits...)
	}
	reader("GET", "/shared/o").want(200, "")
	reader("GET", "/shared/").want(200, "")
	reader("GET", "/private/o").want(403, "AccessDenied")
	reader("GET", "/private/").want(403, "AccessDenied")
	reader("PUT", "/shared/o").want(403, "AccessDenied")
	reader("DELETE", "/shared/o").want(403, "AccessDenied")
	reader("POST", "/shared/?delete").want(403, "AccessDenied")
	reader("POST", "/shared/o?uploads").want(403, "AccessDenied")
	reader("PUT", "/shared").want(403, "AccessDenied")
	reader("DELETE", "/shared").want(403, "AccessDenied")
	if a := reader("GET", "/").want(200, ""); strings.Join(a.elements("Name"), ",") != "shared" {
		t.Errorf("reader sees %v", a.elements("Name"))
	}
	other := func(method, target string, edits ...edit) *answer {
		return s.as(otherID, otherSecret, method, target, "", edits...)
	}
	other("PUT", "/other-1").want(200, "")
	other("PUT", "/mine").want(403, "AccessDenied")
	other("PUT", "/other-1/o", with("X-Amz-Copy-Source", "shared/o")).want(403, "AccessDenied")
	s.do("PUT", "/other-1/o", "", with("X-Amz-Copy-Source", "shared/o")).want(200, "")
	s.do("GET", "/shared/o", "", with("X-Amz-Expected-Bucket-Owner", otherID)).want(403, "AccessDenied")
	s.do("GET", "/shared/o", "", with("X-Amz-Expected-Bucket-Owner", rootID)).want(200, "")
}

func TestPresigned(t *testing.T) {
	s := newSite(t)
	s.bucket("data")
	s.put("data", "a%20b%2Bc", "hello")
	presign := awss3.NewPresignClient(s.client(rootID, rootSecret, rawSDK))
	get, err := presign.PresignGetObject(t.Context(), &awss3.GetObjectInput{Bucket: aws.String("data"), Key: aws.String("a b+c"),
		ResponseContentType: aws.String("x/y")}, awss3.WithPresignExpires(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	fetch := func(method, target, body string) *answer {
		r, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		return s.send(r)
	}
	if a := fetch("GET", get.URL, "").want(200, "").wantHeader("Content-Type", "x/y"); a.body != "hello" {
		t.Errorf("got %q", a.body)
	}
	change := func(name, value string) string {
		u, _ := url.Parse(get.URL)
		q := u.Query()
		q.Set(name, value)
		if value == "" {
			q.Del(name)
		}
		u.RawQuery = q.Encode()
		return u.String()
	}
	for _, c := range []struct {
		name, value string
		status      int
		code        string
	}{
		{"X-Amz-Expires", "604801", 400, "AuthorizationQueryParametersError"}, {"X-Amz-Expires", "-1", 400, "AuthorizationQueryParametersError"},
		{"X-Amz-Expires", "x", 400, "AuthorizationQueryParametersError"}, {"X-Amz-Expires", "61", 403, "SignatureDoesNotMatch"},
		{"X-Amz-Expires", "", 400, "AuthorizationQueryParametersError"}, {"X-Amz-Algorithm", "x", 400, "AuthorizationQueryParametersError"},
		{"X-Amz-Credential", "x", 400, "AuthorizationQueryParametersError"}, {"X-Amz-Date", "x", 400, "AuthorizationQueryParametersError"},
		{"X-Amz-Signature", "00", 403, "SignatureDoesNotMatch"}, {"X-Amz-SignedHeaders", "range", 400, "AuthorizationQueryParametersError"},
		{"response-content-type", "z/z", 403, "SignatureDoesNotMatch"}, {"more", "1", 403, "SignatureDoesNotMatch"},
	} {
		fetch("GET", change(c.name, c.value), "").want(c.status, c.code)
	}
	fetch("PUT", get.URL, "evil").want(403, "SignatureDoesNotMatch")
	for _, signing := range []*awss3.PresignClient{presign, awss3.NewPresignClient(s.root())} {
		put, err := signing.PresignPutObject(t.Context(), &awss3.PutObjectInput{Bucket: aws.String("data"), Key: aws.String("up")})
		if err != nil {
			t.Fatal(err)
		}
		fetch("PUT", put.URL, "uploaded").want(200, "")
		s.do("GET", "/data/up", "").wantBody("uploaded")
		s.do("DELETE", "/data/up", "").want(204, "")
	}
}

// Headers that a signer moved into the query mean what they mean as headers.
func TestPresignedHoisted(t *testing.T) {
	s := newSite(t)
	s.bucket("data")
	do := func(query, body string) *answer {
		r := s.request("PUT", "/data/o?"+query, body)
		return s.send(signer.PreSignV4(*r, rootID, rootSecret, "", "r", 60))
	}
	do("x-amz-acl=public-read", "x").want(501, "NotImplemented")
	do("X-Amz-Server-Side-Encryption=AES256", "x").want(501, "NotImplemented")
	do("x-amz-checksum-crc32=AAAAAA%3D%3D", "x").want(400, "BadDigest")
	do("x-amz-checksum-crc32=jNwWgw%3D%3D", "x").want(200, "").wantHeader("X-Amz-Checksum-Crc32", "jNwWgw==")
	do("x-amz-meta-a=b&X-Amz-Storage-Class=GLACIER_IR", "x").want(200, "")
	s.do("HEAD", "/data/o", "").wantHeader("X-Amz-Meta-A", "b").wantHeader("X-Amz-Storage-Class", "GLACIER_IR")
}

func TestPresignedExpiry(t *testing.T) {
	var offset time.Duration
	s := newSite(t, func(cfg *s3.Config) { cfg.Clock = func() time.Time { return time.Now().Add(offset) } })
	s.bucket("data")
	s.put("data", "o", "x")
	fetch := func() *answer {
		return s.send(signer.PreSignV4(*s.request("GET", "/data/o", ""), rootID, rootSecret, "", "r", 3600))
	}
	fetch().want(200, "")
	offset = 59 * time.Minute
	fetch().want(200, "")
	offset = 61 * time.Minute
	fetch().want(403, "AccessDenied").wantBody("<Message>Request has expired</Message>")
	offset = -20 * time.Minute
	fetch().want(403, "AccessDenied").wantBody("<Message>Request is not yet valid</Message>")
}

// The SDK's own signer, with the payload's hash.
func TestSDKSigner(t *testing.T) {
	s := newSite(t)
	s.bucket("data")
	for _, region := range []string{"us-east-1", "eu-west-3", "mars"} {
		r := s.request("PUT", "/data/k%20%2B%E2%82%AC", "payload")
		sum := sha256.Sum256([]byte("payload"))
		r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
		creds := aws.Credentials{AccessKeyID: rootID, SecretAccessKey: rootSecret}
		sign := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
		if err := sign.SignHTTP(t.Context(), creds, r, hex.EncodeToString(sum[:]), "s3", region, time.Now()); err != nil {
			t.Fatal(err)
		}
		s.send(r).want(200, "")
	}
}

func TestStreaming(t *testing.T) {
	s := newSite(t)
	s.bucket("data")
	body := bytes.Repeat([]byte("0123456789abcdef"), 20000)
	stream := func(edits ...edit) *http.Request {
		r := s.request("PUT", "/data/o", string(body))
		for _, e := range edits {
			e(r)
		}
		return signer.StreamingSignV4(r, rootID, rootSecret, "", "r", int64(len(body)), time.Now().UTC(), newSHA256())
	}
	s.send(stream()).want(200, "")
	if a := s.do("GET", "/data/o", ""); a.body != string(body) {
		t.Errorf("got %d bytes", len(a.body))
	}
	trailer := func(r *http.Request) { r.Trailer = http.Header{"X-Amz-Checksum-Crc32c": []string{crc32c(body)}} }
	s.send(stream(trailer)).want(200, "").wantHeader("X-Amz-Checksum-Crc32c", crc32c(body))
	wrong := func(r *http.Request) { r.Trailer = http.Header{"X-Amz-Checksum-Crc32c": []string{"AAAAAA=="}} }
	s.send(stream(wrong)).want(400, "BadDigest")
	// Altered on the way.
	r := stream()
	coded, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	coded[70000] ^= 1
	r.Body = io.NopCloser(bytes.NewReader(coded))
	s.send(r).want(403, "SignatureDoesNotMatch")
	s.do("PUT", "/data/o", "x", with("X-Amz-Decoded-Content-Length", "1"), func(r *http.Request) {
		r.Header.Set("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
	}).want(400, "IncompleteBody")
	s.do("PUT", "/data/o", "1\r\nx\r\n0\r\n\r\n", func(r *http.Request) {
		r.Header.Set("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
	}).want(411, "MissingContentLength")
	s.do("PUT", "/data/u", "1\r\nx\r\n0\r\n\r\n", with("X-Amz-Decoded-Content-Length", "1"), func(r *http.Request) {
		r.Header.Set("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
	}).want(200, "")
	s.do("PUT", "/data/u", "1\r\nx\r\n0\r\n\r\n", with("X-Amz-Decoded-Content-Length", "2"), func(r *http.Request) {
		r.Header.Set("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
	}).want(400, "IncompleteBody")
	if a := s.do("GET", "/data/u", ""); a.body != "x" {
		t.Errorf("got %q", a.body)
	}
}

// The SDK streams unsigned bodies with a trailing checksum only over TLS; a wrapped reader makes it use its trailers anyhow.
func TestSDKChecksums(t *testing.T) {
	s := newSite(t)
	s.bucket("data")
	c := s.root()
	for _, algorithm := range []string{"CRC32", "CRC32C", "SHA1", "SHA256", "CRC64NVME"} {
		in := &awss3.PutObjectInput{Bucket: aws.String("data"), Key: aws.String(algorithm), Body: strings.NewReader("some bytes"),
			ChecksumAlgorithm: checksumAlgorithm(algorithm)}
		if _, err := c.PutObject(t.Context(), in); err != nil {
			t.Errorf("%s: %v", algorithm, err)
			continue
		}
		out, err := c.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: in.Bucket, Key: in.Key, ChecksumMode: "ENABLED"})
		if err != nil {
			t.Errorf("%s: %v", algorithm, err)
			continue
		}
		if b, err := io.ReadAll(out.Body); err != nil || string(b) != "some bytes" {
			t.Errorf("%s: got %q, %v", algorithm, b, err)
		}
	}
}

func TestMinioClient(t *testing.T) {
	s := newSite(t)
	u, _ := url.Parse(s.url)
	c, err := minio.New(u.Host, &minio.Options{Creds: miniocreds.NewStaticV4(rootID, rootSecret, ""), Region: "x", TrailingHeaders: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if err := c.MakeBucket(ctx, "mcb", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	body := bytes.Repeat([]byte("x"), 6<<20)
	for _, o := range []minio.PutObjectOptions{{}, {Checksum: minio.ChecksumCRC32C}, {Checksum: minio.ChecksumSHA256}, {SendContentMd5: true},
		{PartSize: 5 << 20}, {PartSize: 5 << 20, Checksum: minio.ChecksumFullObjectCRC32C}, {PartSize: 5 << 20, Checksum: minio.ChecksumCRC64NVME},
		{DisableContentSha256: true}, {UserMetadata: map[string]string{"a": "b"}}} {
		info, err := c.PutObject(ctx, "mcb", "dir/o", bytes.NewReader(body), int64(len(body)), o)
		if err != nil {
			t.Errorf("%+v: %v", o, err)
			continue
		}
		obj, err := c.GetObject(ctx, "mcb", "dir/o", minio.GetObjectOptions{Checksum: true})
		if err != nil {
			t.Errorf("get: %v", err)
			continue
		}
		got, err := io.ReadAll(obj)
		if err != nil || !bytes.Equal(got, body) {
			t.Errorf("%+v: got %d bytes, %v", o, len(got), err)
		}
		_ = obj.Close()
		if st, err := c.StatObject(ctx, "mcb", "dir/o", minio.StatObjectOptions{}); err != nil || st.ETag != info.ETag || st.Size != int64(len(body)) {
			t.Errorf("stat: %+v, %v", st, err)
		}
	}
	for o := range c.ListObjects(ctx, "mcb", minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil || o.Key != "dir/o" {
			t.Errorf("listed %+v", o)
		}
	}
	names := make(chan minio.ObjectInfo, 1)
	names <- minio.ObjectInfo{Key: "dir/o"}
	close(names)
	for e := range c.RemoveObjects(ctx, "mcb", names, minio.RemoveObjectsOptions{}) {
		t.Errorf("remove: %v", e.Err)
	}
	if err := c.RemoveBucket(ctx, "mcb"); err != nil {
		t.Error(err)
	}
}

func TestNoAuth(t *testing.T) {
	s := newSite(t, func(cfg *s3.Config) { cfg.NoAuth, cfg.Keyring = true, (*auth.Keyring)(nil) })
	s.send(s.request("PUT", "/data", "")).want(200, "")
	s.send(s.request("PUT", "/data/o", "plain")).want(200, "")
	if a := s.send(s.request("GET", "/data/o?response-content-type=a/b", "")).want(200, "").wantHeader("Content-Type", "a/b"); a.body != "plain" {
		t.Errorf("got %q", a.body)
	}
	// A client that signs chunks anyhow.
	r := s.request("PUT", "/data/o", "signed by whom?")
	s.send(signer.StreamingSignV4(r, "any", "thing", "", "r", int64(len("signed by whom?")), time.Now().UTC(), newSHA256())).want(200, "")
	if a := s.send(s.request("GET", "/data/o", "")); a.body != "signed by whom?" {
		t.Errorf("got %q", a.body)
	}
	c := s.client("who", "ever")
	if _, err := c.ListBuckets(t.Context(), &awss3.ListBucketsInput{}); err != nil {
		t.Error(err)
	}
}
