package s3_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/minio/minio-go/v7/pkg/signer"

	"gantry/s3"
)

func TestBuckets(t *testing.T) {
	s := newSite(t)
	s.do("PUT", "/first", "").want(200, "").wantHeader("Location", "/first")
	s.do("PUT", "/first", "").want(409, "BucketAlreadyOwnedByYou")
	s.as(otherID, otherSecret, "PUT", "/other-a", "").want(200, "")
	s.do("PUT", "/other-a", "").want(409, "BucketAlreadyExists")
	s.do("PUT", "/second", `<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>`).want(200, "")
	s.do("PUT", "/third", "<CreateBucketConfiguration>").want(400, "MalformedXML")
	s.do("PUT", "/third", "<CreateBucketConfiguration><Bucket><Type>Directory</Type></Bucket></CreateBucketConfiguration>").want(501, "NotImplemented")
	for _, bad := range []string{"ab", strings.Repeat("a", 64), "Upper", "under_score", "-dash", "dash-", "a..b", "192.168.1.1", "studies", "bulkdata", "a%20b",
		"sthree-a", "amzn-s3-demo-a", "a--x-s3", "a--ol-s3", "a.mrap", "a--table-s3"} {
		s.do("PUT", "/"+bad, "").want(400, "InvalidBucketName")
		s.do("GET", "/"+bad, "").want(400, "InvalidBucketName")
	}
	a := s.do("GET", "/", "").want(200, "")
	if got := a.elements("Name"); !slices.Equal(got, []string{"first", "other-a", "second"}) {
		t.Errorf("buckets %v", got)
	}
	a = s.do("GET", "/?max-buckets=2", "").want(200, "")
	if got := s.do("GET", "/?continuation-token="+a.element("ContinuationToken"), "").elements("Name"); !slices.Equal(got, []string{"second"}) {
		t.Errorf("second page %v", got)
	}
	if got := s.do("GET", "/?prefix=se", "").elements("Name"); !slices.Equal(got, []string{"second"}) {
		t.Errorf("by prefix %v", got)
	}
	if got := s.do("GET", "/?bucket-region=eu-west-1", "").want(200, "").elements("Name"); len(got) > 0 {
		t.Errorf("in another region %v", got)
	}
	if got := s.do("GET", "/?bucket-region=us-east-1", "").elements("Name"); len(got) != 3 {
		t.Errorf("in this region %v", got)
	}
	s.do("HEAD", "/first", "").want(200, "").wantHeader("X-Amz-Bucket-Region", "us-east-1").wantHeader("X-Gantry-Dicom", "")
	s.do("HEAD", "/none", "").want(404, "")
	s.do("GET", "/first?location", "").want(200, "").wantBody(`<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></LocationConstraint>`)
	s.put("first", "o", "x")
	s.do("DELETE", "/first", "").want(409, "BucketNotEmpty")
	s.do("DELETE", "/first/o", "").want(204, "")
	s.do("DELETE", "/first", "").want(204, "")
	s.do("DELETE", "/first", "").want(404, "NoSuchBucket")
	s.do("POST", "/second", "").want(501, "NotImplemented")
	s.do("PATCH", "/second", "").want(405, "MethodNotAllowed")
	s.do("DELETE", "/", "").want(405, "MethodNotAllowed")
}

func TestVirtualHost(t *testing.T) {
	s := newSite(t)
	do := func(method, host, target, body string) *answer {
		r := s.request(method, target, body)
		r.Host = host
		r.URL.Opaque = ""
		r.URL.RawPath = strings.Split(target, "?")[0]
		r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
		return s.send(signer.SignV4(*r, rootID, rootSecret, "", "r"))
	}
	do("PUT", "my.bucket.s3.test:9000", "/", "").want(200, "")
	do("PUT", "MY.bucket.s3.test", "/a/b", "x").want(200, "")
	if a := do("GET", "s3.test", "/my.bucket/a/b", "").want(200, ""); a.body != "x" {
		t.Errorf("got %q", a.body)
	}
	do("GET", "my.bucket.s3.test", "/?list-type=2", "").want(200, "").wantBody("<Key>a/b</Key>")
	do("GET", "elsewhere.test", "/my.bucket/a/b", "").want(200, "")
}

func TestDICOMBucket(t *testing.T) {
	s := newSite(t)
	s.do("PUT", "/scans", "", with("X-Gantry-Dicom", "true", "X-Gantry-Strict", "true", "X-Gantry-Duplicates", "keep")).want(200, "")
	s.do("HEAD", "/scans", "").want(200, "").wantHeader("X-Gantry-Dicom", "true").wantHeader("X-Gantry-Strict", "true").wantHeader("X-Gantry-Duplicates", "keep")
	s.do("PUT", "/scans/a", "DICM:1.2/1.2.3/1.2.3.4/").want(200, "").wantHeader("X-Gantry-Duplicate", "")
	s.do("PUT", "/scans/b", "DICM:1.2/1.2.3/1.2.3.4/ other").want(200, "").wantHeader("X-Gantry-Duplicate", "true")
	s.do("PUT", "/scans/c", "text").want(400, "InvalidRequest").wantBody("no DICM at offset 128")
	s.do("GET", "/scans/c", "").want(404, "NoSuchKey")
	s.do("PUT", "/mixed", "", with("X-Gantry-Dicom", "true")).want(200, "")
	s.do("HEAD", "/mixed", "").wantHeader("X-Gantry-Strict", "false").wantHeader("X-Gantry-Duplicates", "refuse")
	s.do("PUT", "/mixed/c", "text").want(200, "").wantHeader("X-Gantry-Unindexed", "true")
	s.do("PUT", "/bad", "", with("X-Gantry-Strict", "true")).want(400, "InvalidArgument")
	s.do("PUT", "/bad", "", with("X-Gantry-Dicom", "maybe")).want(400, "InvalidArgument")
	s.do("PUT", "/bad", "", with("X-Gantry-Dicom", "true", "X-Gantry-Duplicates", "hide")).want(400, "InvalidArgument")
}

func TestProbes(t *testing.T) {
	s := newSite(t)
	s.bucket("data")
	s.put("data", "o", "x")
	for sub, code := range map[string]string{"object-lock": "ObjectLockConfigurationNotFoundError", "policy": "NoSuchBucketPolicy",
		"policyStatus": "NoSuchBucketPolicy", "lifecycle": "NoSuchLifecycleConfiguration", "cors": "NoSuchCORSConfiguration",
		"encryption": "ServerSideEncryptionConfigurationNotFoundError", "tagging": "NoSuchTagSet", "website": "NoSuchWebsiteConfiguration",
		"replication": "ReplicationConfigurationNotFoundError", "publicAccessBlock": "NoSuchPublicAccessBlockConfiguration"} {
		s.do("GET", "/data?"+sub, "").want(404, code)
		s.do("GET", "/none?"+sub, "").want(404, "NoSuchBucket")
		s.do("PUT", "/data?"+sub, "<x/>").want(501, "NotImplemented")
		s.do("DELETE", "/data?"+sub, "").want(501, "NotImplemented")
	}
	for sub, part := range map[string]string{"versioning": "<VersioningConfiguration", "acl": "<Permission>FULL_CONTROL</Permission>",
		"logging": "<BucketLoggingStatus", "requestPayment": "<Payer>BucketOwner</Payer>", "notification": "<NotificationConfiguration",
		"accelerate": "<AccelerateConfiguration", "ownershipControls": "BucketOwnerEnforced", "versions": "<VersionId>null</VersionId>"} {
		s.do("GET", "/data?"+sub, "").want(200, "").wantBody(part)
		s.do("PUT", "/data?"+sub, "<x/>").want(501, "NotImplemented")
	}
	s.do("GET", "/data/o?acl", "").want(200, "").wantBody("<ID>" + rootID + "</ID>")
	s.do("GET", "/data/o?tagging", "").want(200, "").wantBody("<TagSet></TagSet>")
	s.do("GET", "/data/o?retention", "").want(400, "InvalidRequest")
	s.do("GET", "/data/o?legal-hold", "").want(400, "InvalidRequest")
	s.do("GET", "/data/none?acl", "").want(404, "NoSuchKey")
	s.do("GET", "/data/o?versionId=null", "").want(200, "")
	s.do("GET", "/data/o?versionId=3HL4kqtJlcpXrof3", "").want(404, "NoSuchVersion")
	s.do("DELETE", "/data/o?versionId=3HL4kqtJlcpXrof3", "").want(404, "NoSuchVersion")
	s.do("DELETE", "/data/o?versionId=null", "").want(204, "")
	r := s.request("OPTIONS", "/data/o", "")
	s.send(r).want(400, "InvalidRequest")
	r.Header.Set("Origin", "http://x")
	s.send(r).want(403, "AccessForbidden")
}

// What is not implemented must leave everything as it was.
func TestNotImplemented(t *testing.T) {
	s := newSite(t)
	s.bucket("data")
	s.put("data", "o", "kept")
	for _, q := range []string{"tagging", "acl", "retention", "legal-hold", "restore", "torrent", "select&select-type=2", "encryption", "renameObject",
		"something", "tagging=", "acl&tagging", "uploads", "append", "foo=bar", "prefix=x", "attributes", "delete"} {
		s.do("PUT", "/data/o?"+q, "overwritten").want(501, "NotImplemented")
		if q != "uploads" {
			s.do("POST", "/data/o?"+q, "x").want(501, "NotImplemented")
		}
		s.do("DELETE", "/data/o?"+q, "").want(501, "NotImplemented")
		s.do("DELETE", "/data?"+q, "").want(501, "NotImplemented")
	}
	s.do("POST", "/data/o", "x").want(501, "NotImplemented")
	for _, q := range []string{"torrent", "something", "inventory", "restore"} {
		s.do("GET", "/data/o?"+q, "").want(501, "NotImplemented")
	}
	for _, h := range [][]string{{"X-Amz-Server-Side-Encryption", "AES256"}, {"X-Amz-Server-Side-Encryption", "aws:kms"},
		{"X-Amz-Server-Side-Encryption-Customer-Algorithm", "AES256"}, {"X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", "k"},
		{"X-Amz-Object-Lock-Mode", "GOVERNANCE"}, {"X-Amz-Object-Lock-Legal-Hold", "ON"}, {"X-Amz-Grant-Read", "id=x"}, {"X-Amz-Acl", "public-read"},
		{"X-Amz-Website-Redirect-Location", "/x"}, {"X-Amz-Write-Offset-Bytes", "4"}, {"X-Amz-Mfa", "1 2"}, {"X-Amz-Unheard-Of", "1"},
		{"X-Amz-Storage-Class", "GLACIER"}, {"X-Amz-Checksum-Md5", "x"}, {"X-Amz-Sdk-Checksum-Algorithm", "SHA512"},
		{"X-Amz-Trailer", "x-amz-checksum-xxhash3"}} {
		s.do("PUT", "/data/o", "overwritten", with(h...)).want(501, "NotImplemented")
	}
	s.do("POST", "/data/o?uploads", "", with("X-Amz-Checksum-Algorithm", "XXHASH64")).want(501, "NotImplemented")
	s.do("PUT", "/data/o", "overwritten", with("X-Amz-Acl", "everybody")).want(400, "InvalidArgument")
	s.do("PUT", "/data/o?versionId=null", "overwritten").want(400, "InvalidArgument")
	for _, h := range []string{"X-Amz-Bucket-Object-Lock-Enabled", "X-Amz-Grant-Full-Control"} {
		s.do("PUT", "/locked", "", with(h, "true")).want(501, "NotImplemented")
	}
	r := s.request("POST", "/data", "x")
	r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	s.send(r).want(501, "NotImplemented").wantBody("<Method>POST</Method>")
	if a := s.do("GET", "/data/o", "").want(200, ""); a.body != "kept" {
		t.Errorf("the object is now %q", a.body)
	}
	for _, h := range [][]string{{"X-Amz-Acl", "private"}, {"X-Amz-Acl", "bucket-owner-full-control"}, {"X-Amz-Bypass-Governance-Retention", "true"},
		{"X-Amz-Request-Payer", "requester"}, {"X-Amz-Storage-Class", "STANDARD"}} {
		s.do("PUT", "/data/o", "x", with(h...)).want(200, "")
	}
}

func TestBodyLength(t *testing.T) {
	s := newSite(t)
	s.bucket("data")
	chunked := func(r *http.Request) { r.ContentLength = -1 }
	s.do("PUT", "/data/o", "x", chunked).want(411, "MissingContentLength")
	s.do("PUT", "/data/o", "x", with("X-Amz-Decoded-Content-Length", fmt.Sprint(5<<30+1)), func(r *http.Request) {
		r.Header.Set("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
	}).want(400, "EntityTooLarge")
	s.do("POST", "/data?delete", strings.Repeat("x", 3<<20), with("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg==")).want(400, "MalformedXML")
}

func TestDeleteObjects(t *testing.T) {
	s := newSite(t)
	s.bucket("data")
	for _, k := range []string{"a", "b", "c", "d%26%3C"} {
		s.put("data", k, "x")
	}
	c := s.root()
	remove := func(body string, edits ...edit) *answer {
		return s.do("POST", "/data?delete", body, append(edits, with("x-amz-checksum-crc32c", crc32c([]byte(body))))...)
	}
	s.do("POST", "/data?delete", "<Delete><Object><Key>a</Key></Object></Delete>").want(400, "InvalidRequest")
	remove("<Delete><Object><Key>a</Key></Object>").want(400, "MalformedXML")
	remove("<Delete></Delete>").want(400, "MalformedXML")
	for _, head := range []string{"\xef\xbb\xbf", `<?xml version="1.0" encoding="US-ASCII"?>`} {
		a := remove(head+"<Delete><Quiet>1</Quiet><Object><Key>none</Key></Object></Delete>").want(200, "")
		if strings.Contains(a.body, "Deleted>") {
			t.Errorf("not quiet: %s", a.body)
		}
	}
	remove(`<?xml version="1.0" encoding="latin1"?><Delete><Object><Key>none</Key></Object></Delete>`).want(400, "MalformedXML")
	remove("<Delete><Object></Object></Delete>").want(400, "MalformedXML")
	remove(`<!DOCTYPE x [<!ENTITY e "a">]><Delete><Object><Key>&e;</Key></Object></Delete>`).want(400, "MalformedXML")
	s.do("POST", "/data?delete", "<Delete><Object><Key>a</Key></Object></Delete>", with("x-amz-checksum-crc32c", "AAAAAA==")).want(400, "BadDigest")
	s.do("GET", "/data/a", "").want(200, "")
	a := remove(`<?xml version="1.0" encoding="UTF-8"?><Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Object><Key>a</Key></Object>`+
		`<Object><Key>none</Key><VersionId>null</VersionId></Object><Object><Key>b</Key><VersionId>v1</VersionId></Object>`+
		`<Object><Key>c</Key><ETag>"0"</ETag></Object><Object><Key>d&amp;&lt;</Key></Object></Delete>`).want(200, "")
	a.wantBody("<Deleted><Key>a</Key></Deleted>").wantBody("<Deleted><Key>none</Key><VersionId>null</VersionId></Deleted>").
		wantBody("<Error><Key>b</Key><VersionId>v1</VersionId><Code>NoSuchVersion</Code>").wantBody("<Error><Key>c</Key><Code>PreconditionFailed</Code>").
		wantBody("<Deleted><Key>d&amp;&lt;</Key></Deleted>")
	if a := remove("<Delete><Quiet>true</Quiet><Object><Key>b</Key></Object><Object><Key>c</Key><ETag>0</ETag></Object></Delete>"); len(a.elements("Deleted")) != 0 || len(a.elements("Error")) != 1 {
		t.Errorf("quiet: %s", a.body)
	}
	var many strings.Builder
	for i := range 1001 {
		fmt.Fprintf(&many, "<Object><Key>k%d</Key></Object>", i)
	}
	remove("<Delete>"+many.String()+"</Delete>").want(400, "MalformedXML")
	for i := range 300 {
		s.put("data", fmt.Sprintf("k%d", i), "x")
	}
	remove("<Delete>"+strings.TrimSuffix(many.String(), "<Object><Key>k1000</Key></Object>")+"</Delete>").want(200, "")
	out, err := c.ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{Bucket: aws.String("data")})
	if err != nil || *out.KeyCount != 1 || *out.Contents[0].Key != "c" {
		t.Errorf("left: %+v, %v", out, err)
	}
}

func TestCopy(t *testing.T) {
	s := newSite(t)
	s.bucket("data")
	s.do("PUT", "/data/src%2B%20%C3%A9%3FversionId=x", "bytes", with("Content-Type", "a/b", "X-Amz-Meta-k", "v", "X-Amz-Tagging", "t=1", "x-amz-checksum-sha1", "t7pYOIgtDYChIgx5dAmUYwGG/ug=")).
		want(400, "BadDigest")
	s.do("PUT", "/data/src%2B%20%C3%A9%3FversionId=x", "bytes", with("Content-Type", "a/b", "X-Amz-Meta-k", "v", "X-Amz-Tagging", "t=1", "x-amz-sdk-checksum-algorithm", "SHA1")).want(200, "")
	source := "data/src%2B%20%C3%A9%3FversionId=x"
	dup := func(target string, pairs ...string) *answer {
		return s.do("PUT", "/data/"+target, "", with(append([]string{"X-Amz-Copy-Source", source}, pairs...)...))
	}
	dup("dst").want(200, "").wantBody("<ETag>&quot;" + md5hex("bytes") + "&quot;</ETag>").wantBody("<ChecksumSHA1>")
	s.do("GET", "/data/dst", "").want(200, "").wantHeader("Content-Type", "a/b").wantHeader("X-Amz-Meta-K", "v").wantHeader("X-Amz-Tagging-Count", "1").wantBody("bytes")
	source = "/" + source + "?versionId=null"
	dup("dst", "X-Amz-Metadata-Directive", "REPLACE", "X-Amz-Meta-n", "w", "X-Amz-Tagging-Directive", "REPLACE", "x-amz-checksum-algorithm", "CRC32").want(200, "").wantBody("<ChecksumCRC32>")
	s.do("GET", "/data/dst", "").wantHeader("Content-Type", "binary/octet-stream").wantHeader("X-Amz-Meta-K", "").wantHeader("X-Amz-Meta-N", "w").wantHeader("X-Amz-Tagging-Count", "")
	source = "data/dst"
	dup("dst").want(400, "InvalidRequest")
	dup("dst", "X-Amz-Metadata-Directive", "REPLACE").want(200, "")
	dup("dst", "X-Amz-Storage-Class", "STANDARD_IA").want(200, "")
	dup("x", "X-Amz-Copy-Source-Range", "bytes=0-1").want(501, "NotImplemented")
	dup("x", "X-Amz-Metadata-Directive", "MIX").want(400, "InvalidArgument")
	etag := md5hex("bytes")
	const before, after = "Sat, 01 Jan 2000 00:00:00 GMT", "Sat, 01 Jan 2050 00:00:00 GMT"
	for _, c := range []struct {
		status int
		pairs  []string
	}{
		{200, []string{"If-Match", etag}}, {412, []string{"If-Match", "x"}}, {200, []string{"If-None-Match", "x"}}, {412, []string{"If-None-Match", etag}},
		{200, []string{"If-Modified-Since", before}}, {412, []string{"If-Modified-Since", after}}, {412, []string{"If-Unmodified-Since", before}},
		{200, []string{"If-Match", etag, "If-Unmodified-Since", before}}, {412, []string{"If-None-Match", etag, "If-Modified-Since", before}},
	} {
		for i := 0; i < len(c.pairs); i += 2 {
			c.pairs[i] = "X-Amz-Copy-Source-" + c.pairs[i]
		}
		dup("y", c.pairs...).want(c.status, "")
	}
	for bad, code := range map[string]string{"data": "InvalidArgument", "data/": "InvalidArgument", "/": "InvalidArgument", "data/%zz": "InvalidArgument",
		"data/none": "NoSuchKey", "nodata/o": "NoSuchBucket", "data/dst?versionId=v": "NoSuchVersion", "": "InvalidArgument"} {
		source = bad
		if a := dup("z"); a.status < 400 {
			t.Errorf("copy of %q: %d", bad, a.status)
		} else {
			a.want(a.status, code)
		}
	}
	s.do("GET", "/data/z", "").want(404, "NoSuchKey")
}

func TestRegion(t *testing.T) {
	s := newSite(t, func(c *s3.Config) { c.Region = "eu-central-1" })
	s.bucket("data")
	s.do("GET", "/data?location", "").wantBody(">eu-central-1</LocationConstraint>")
	s.do("HEAD", "/data", "").wantHeader("X-Amz-Bucket-Region", "eu-central-1")
}
