package s3_test

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"gantry/s3"
)

func md5hex(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

func TestPutAndGet(t *testing.T) {
	s := newSite(t)
	s.bucket("data")
	for _, key := range []string{"plain", "a/b/c", "/lead", "trail/", "a//b", "..", "a/../b", "x%2Fy", "%C3%A9%2B+%20~", "k%3Fversion", "%2525"} {
		body := "bytes of " + key
		s.do("PUT", "/data/"+key, body).want(200, "").wantHeader("ETag", `"`+md5hex(body)+`"`)
		got := s.do("GET", "/data/"+key, "").want(200, "").wantHeader("ETag", `"`+md5hex(body)+`"`).
			wantHeader("Content-Type", "binary/octet-stream").wantHeader("Accept-Ranges", "bytes")
		if got.body != body {
			t.Errorf("%s: got %q", key, got.body)
		}
		s.do("HEAD", "/data/"+key, "").want(200, "").wantHeader("Content-Length", itoa(len(body)))
	}
	s.do("PUT", "/data/empty", "").want(200, "")
	if a := s.do("GET", "/data/empty", "").want(200, ""); a.body != "" {
		t.Errorf("empty object: %q", a.body)
	}
	s.do("GET", "/data/none", "").want(404, "NoSuchKey").wantBody("<Resource>/data/none</Resource>")
	s.do("GET", "/data/no%01ne", "").want(404, "NoSuchKey").wantBody("<Resource>/data/no\uFFFDne</Resource>")
	if a := s.do("HEAD", "/data/none", "").want(404, ""); a.body != "" {
		t.Errorf("HEAD error with a body: %q", a.body)
	}
	s.do("GET", "/nobucket/none", "").want(404, "NoSuchBucket")
	s.do("PUT", "/nobucket/none", "x").want(404, "NoSuchBucket")
	s.do("GET", "/data/"+strings.Repeat("k", 1025), "").want(400, "KeyTooLongError")
	s.do("PUT", "/data/"+strings.Repeat("k", 1024), "x").want(200, "")
	s.do("PUT", "/data/%ae%8a-", "x").want(400, "InvalidURI")
	s.do("GET", "/data/a%00b", "").want(400, "InvalidURI")
	s.do("DELETE", "/data/plain", "").want(204, "")
	s.do("DELETE", "/data/plain", "").want(204, "")
	s.do("GET", "/data/plain", "").want(404, "NoSuchKey")
}

func TestMetadata(t *testing.T) {
	s := newSite(t)
	s.bucket("data")
	s.do("PUT", "/data/o", "x", with("Content-Type", "text/plain", "Cache-Control", "no-store", "Content-Language", "de",
		"Content-Encoding", "aws-chunked,gzip", "Content-Disposition", "attachment", "Expires", "Thu, 01 Dec 1994 16:00:00 GMT",
		"X-Amz-Meta-Name", "grün", "X-Amz-Meta-Empty", "", "x-amz-meta-two", "1", "x-amz-meta-two", "2",
		"X-Amz-Storage-Class", "STANDARD_IA", "X-Amz-Tagging", "a=1&b=x%20y")).want(200, "")
	for _, method := range []string{"GET", "HEAD"} {
		a := s.do(method, "/data/o", "").want(200, "")
		for name, value := range map[string]string{"Content-Type": "text/plain", "Cache-Control": "no-store", "Content-Language": "de",
			"Content-Encoding": "gzip", "Content-Disposition": "attachment", "Expires": "Thu, 01 Dec 1994 16:00:00 GMT",
			"X-Amz-Meta-Name": "grün", "X-Amz-Meta-Empty": "", "X-Amz-Meta-Two": "1,2", "X-Amz-Storage-Class": "STANDARD_IA",
			"X-Amz-Tagging-Count": "2"} {
			a.wantHeader(name, value)
		}
	}
	s.do("GET", "/data/o?tagging", "").want(200, "").wantBody("<Tag><Key>a</Key><Value>1</Value></Tag><Tag><Key>b</Key><Value>x y</Value></Tag>")
	s.do("GET", "/data/o?response-content-type=a/b&response-cache-control=c&response-content-disposition=d&response-content-encoding=identity&"+
		"response-content-language=l&response-expires=e", "").want(200, "").wantHeader("Content-Type", "a/b").wantHeader("Cache-Control", "c").
		wantHeader("Content-Disposition", "d").wantHeader("Content-Encoding", "identity").wantHeader("Content-Language", "l").wantHeader("Expires", "e")
	s.do("PUT", "/data/big", "x", with("X-Amz-Meta-a", strings.Repeat("v", 2047))).want(200, "")
	s.do("PUT", "/data/big", "x", with("X-Amz-Meta-a", strings.Repeat("v", 2048))).want(400, "MetadataTooLarge")
	s.do("PUT", "/data/o", "x", with("X-Amz-Storage-Class", "COLD")).want(400, "InvalidStorageClass")
	for _, tags := range []string{"a=1&a=2", "=", "a=1&=2", "a%"} {
		s.do("PUT", "/data/o", "x", with("X-Amz-Tagging", tags)).want(400, "InvalidArgument")
	}
	s.do("PUT", "/data/o", "x", with("X-Amz-Tagging", "aws:cost=1")).want(400, "InvalidTag")
	s.do("PUT", "/data/only", "x", with("Content-Encoding", "aws-chunked")).want(200, "")
	s.do("GET", "/data/only", "").wantHeader("Content-Encoding", "")
}

func TestRanges(t *testing.T) {
	s := newSite(t)
	s.bucket("data")
	const body = "0123456789"
	s.put("data", "o", body)
	s.put("data", "empty", "")
	for _, c := range []struct {
		header, want, contentRange string
	}{
		{"bytes=0-0", "0", "bytes 0-0/10"}, {"bytes=2-4", "234", "bytes 2-4/10"}, {"bytes=7-", "789", "bytes 7-9/10"},
		{"bytes=-3", "789", "bytes 7-9/10"}, {"bytes=-99", body, "bytes 0-9/10"}, {"bytes=5-99", "56789", "bytes 5-9/10"},
		{"bytes=0-99999999999999999999", body, "bytes 0-9/10"},
	} {
		if a := s.do("GET", "/data/o", "", with("Range", c.header)).want(206, "").wantHeader("Content-Range", c.contentRange); a.body != c.want {
			t.Errorf("%s: got %q, want %q", c.header, a.body, c.want)
		}
		s.do("HEAD", "/data/o", "", with("Range", c.header)).want(206, "").wantHeader("Content-Length", itoa(len(c.want)))
	}
	for _, h := range []string{"bytes=0-1,3-4", "bytes=4-2", "bytes=a-b", "lines=1-2", "bytes=", "bytes=-", "bytes=--1", "bytes= -1"} {
		if a := s.do("GET", "/data/o", "", with("Range", h)).want(200, ""); a.body != body {
			t.Errorf("%s: got %q, want the whole", h, a.body)
		}
	}
	for _, h := range []string{"bytes=10-", "bytes=10-20", "bytes=-0"} {
		s.do("GET", "/data/o", "", with("Range", h)).want(416, "InvalidRange").wantHeader("Content-Range", "bytes */10").
			wantBody("<ActualObjectSize>10</ActualObjectSize>")
	}
	s.do("GET", "/data/empty", "", with("Range", "bytes=0-5")).want(416, "InvalidRange")
	s.do("GET", "/data/empty", "", with("Range", "bytes=-0")).want(416, "InvalidRange")
	s.do("GET", "/data/empty", "", with("Range", "bytes=-5")).want(200, "").wantHeader("Content-Length", "0")
	etag := `"` + md5hex(body) + `"`
	s.do("GET", "/data/o", "", with("Range", "bytes=1-1", "If-Range", etag)).want(206, "")
	s.do("GET", "/data/o", "", with("Range", "bytes=1-1", "If-Range", `"other"`)).want(200, "")
}

func TestReadConditions(t *testing.T) {
	s := newSite(t)
	s.bucket("data")
	s.put("data", "o", "x")
	a := s.do("HEAD", "/data/o", "")
	etag, modified := a.header.Get("ETag"), a.header.Get("Last-Modified")
	const before, after = "Sat, 01 Jan 2000 00:00:00 GMT", "Sat, 01 Jan 2050 00:00:00 GMT"
	for _, c := range []struct {
		status  int
		headers []string
	}{
		{200, []string{"If-Match", etag}}, {200, []string{"If-Match", "*"}}, {200, []string{"If-Match", strings.Trim(etag, `"`)}},
		{200, []string{"If-Match", `"a", ` + etag}}, {412, []string{"If-Match", `"a"`}},
		{304, []string{"If-None-Match", etag}}, {304, []string{"If-None-Match", "*"}}, {200, []string{"If-None-Match", `"a"`}},
		{200, []string{"If-Modified-Since", before}}, {304, []string{"If-Modified-Since", after}}, {304, []string{"If-Modified-Since", modified}},
		{412, []string{"If-Unmodified-Since", before}}, {200, []string{"If-Unmodified-Since", after}}, {200, []string{"If-Unmodified-Since", modified}},
		{200, []string{"If-Match", etag, "If-Unmodified-Since", before}}, // the entity tag wins
		{304, []string{"If-None-Match", etag, "If-Modified-Since", before}},
		{200, []string{"If-None-Match", `"a"`, "If-Modified-Since", after}},
		{412, []string{"If-Match", `"a"`, "If-None-Match", etag}},
		{200, []string{"If-Modified-Since", "nonsense"}},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			code := ""
			if c.status == 412 && method == "GET" {
				code = "PreconditionFailed"
			}
			a := s.do(method, "/data/o", "", with(c.headers...)).want(c.status, code)
			if c.status == 304 && (a.body != "" || a.header.Get("ETag") != etag) {
				t.Errorf("%v: 304 with body %q and ETag %q", c.headers, a.body, a.header.Get("ETag"))
			}
		}
	}
}

func TestWriteConditions(t *testing.T) {
	s := newSite(t)
	s.bucket("data")
	s.do("PUT", "/data/o", "1", with("If-Match", "*")).want(404, "NoSuchKey")
	s.do("PUT", "/data/o", "1", with("If-None-Match", "*")).want(200, "")
	s.do("PUT", "/data/o", "2", with("If-None-Match", "*")).want(412, "PreconditionFailed")
	s.do("PUT", "/data/o", "2", with("If-Match", `"0"`)).want(412, "PreconditionFailed")
	s.do("PUT", "/data/o", "2", with("If-Match", `"`+md5hex("1")+`"`)).want(200, "")
	s.do("PUT", "/data/o", "3", with("If-None-Match", md5hex("2"))).want(412, "PreconditionFailed")
	s.do("PUT", "/data/o", "3", with("If-Unmodified-Since", "Sat, 01 Jan 2050 00:00:00 GMT")).want(501, "NotImplemented")
	s.do("PUT", "/data/c", "", with("X-Amz-Copy-Source", "data/o", "If-None-Match", "*")).want(200, "")
	// A plus sign is a space there.
	s.put("data", "with%20space", "space")
	s.put("data", "with+space", "plus")
	for source, want := range map[string]string{"with+space": "space", "with%20space": "space", "with%2Bspace": "plus"} {
		s.do("PUT", "/data/spaced", "", with("X-Amz-Copy-Source", "data/"+source)).want(200, "")
		if got := s.do("GET", "/data/spaced", "", with("X-Amz-Te", "append-md5")).want(200, "").body; got != want {
			t.Errorf("copy of %s: %s", source, got)
		}
	}
	s.do("DELETE", "/data/with%20space?x-user=joe", "").want(204, "")
	s.do("PUT", "/data/c", "", with("X-Amz-Copy-Source", "data/o", "If-None-Match", "*")).want(412, "PreconditionFailed")
	s.do("DELETE", "/data/o", "", with("If-Match", `"0"`)).want(412, "PreconditionFailed")
	s.do("DELETE", "/data/o", "", with("x-amz-if-match-size", "2")).want(412, "PreconditionFailed")
	s.do("DELETE", "/data/o", "", with("x-amz-if-match-last-modified-time", "Sat, 01 Jan 2000 00:00:00 GMT")).want(412, "PreconditionFailed")
	modified := s.do("HEAD", "/data/o", "").header.Get("Last-Modified")
	s.do("DELETE", "/data/o", "", with("If-Match", md5hex("2"), "x-amz-if-match-size", "1", "x-amz-if-match-last-modified-time", modified)).want(204, "")
	s.do("DELETE", "/data/o", "", with("If-Match", md5hex("2"))).want(404, "NoSuchKey")
	s.do("DELETE", "/data/o", "", with("x-amz-if-match-size", "1")).want(204, "")
	s.do("DELETE", "/data/o", "", with("x-amz-if-match-last-modified-time", modified)).want(204, "")
}

func TestBodyChecks(t *testing.T) {
	s := newSite(t)
	s.bucket("data")
	md5of := func(body string) string {
		sum := md5.Sum([]byte(body))
		return base64.StdEncoding.EncodeToString(sum[:])
	}
	s.do("PUT", "/data/o", "x", with("Content-MD5", md5of("x"))).want(200, "")
	s.do("PUT", "/data/p", "x", with("Content-MD5", md5of("y"))).want(400, "BadDigest")
	s.do("PUT", "/data/p", "x", with("Content-MD5", "")).want(400, "InvalidDigest")
	s.do("PUT", "/data/p", "x", with("Content-MD5", "YWJj")).want(400, "InvalidDigest")
	set := func(value string) edit { return func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", value) } }
	const ofX = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
	s.do("PUT", "/data/o", "x", set(ofX)).want(200, "")
	s.do("PUT", "/data/p", "y", set(ofX)).want(400, "XAmzContentSHA256Mismatch")
	s.do("PUT", "/data/p", "y", set("rubbish")).want(400, "InvalidArgument")
	s.do("PUT", "/data/p", "x", with("x-amz-checksum-crc32", "AAAAAA==")).want(400, "BadDigest")
	s.do("PUT", "/data/p", "x", with("x-amz-checksum-crc32", "AAAA")).want(400, "InvalidRequest")
	s.do("PUT", "/data/p", "x", with("x-amz-checksum-crc32", "jNwWgw==", "x-amz-checksum-sha1", "EfatjsUqKYSjq18O5FlXzJnKNxE=")).want(400, "InvalidRequest")
	s.do("PUT", "/data/p", "x", with("x-amz-sdk-checksum-algorithm", "MD2")).want(400, "InvalidRequest")
	named := with("x-amz-checksum-algorithm", "CRC32C")
	s.do("PUT", "/data/o", "x", named).want(200, "").wantHeader("x-amz-checksum-crc32c", crc32c([]byte("x")))
	s.do("PUT", "/data/o", "x", named, with("x-amz-checksum-crc32", "jNwWgw==")).want(200, "").wantHeader("x-amz-checksum-crc32", "jNwWgw==")
	s.do("PUT", "/data/p", "x", with("x-amz-trailer", "x-amz-checksum-crc32")).want(400, "InvalidRequest")
	s.do("GET", "/data/p", "").want(404, "NoSuchKey")
	s.do("PUT", "/data/p", "x", with("x-amz-checksum-crc32", "jNwWgw==")).want(200, "").wantHeader("X-Amz-Checksum-Crc32", "jNwWgw==")
	s.do("GET", "/data/p", "").wantHeader("X-Amz-Checksum-Crc32", "")
	s.do("GET", "/data/p", "", with("x-amz-checksum-mode", "ENABLED")).wantHeader("X-Amz-Checksum-Crc32", "jNwWgw==").
		wantHeader("X-Amz-Checksum-Type", "FULL_OBJECT")
	s.do("GET", "/data/p", "", with("x-amz-checksum-mode", "ENABLED", "Range", "bytes=0-0")).want(206, "").wantHeader("X-Amz-Checksum-Crc32", "")
}
func itoa(n int) string { return strconv.Itoa(n) }

// TestETagsOfChecksums: without MD5s, ETags end in -N, equal bytes have equal ones whatever checksum the client asked for, and everything that
// rests on ETags works.
func TestETagsOfChecksums(t *testing.T) {
	s := newSite(t, func(c *s3.Config) { c.ETags = s3.Checksums })
	s.bucket("data")
	etag := func(key, body string, edits ...edit) string {
		t.Helper()
		tag := s.do("PUT", "/data/"+key, body, edits...).want(200, "").header.Get("ETag")
		s.do("HEAD", "/data/"+key, "").want(200, "").wantHeader("ETag", tag)
		return strings.Trim(tag, `"`)
	}
	made := regexp.MustCompile(`^[0-9a-f]{32}-1$`)
	a := etag("a", "bytes")
	for key, e := range map[string]edit{"b": with(), "c": with("x-amz-sdk-checksum-algorithm", "SHA1"), "d": with("x-amz-checksum-crc32", crc32Of("bytes"))} {
		if got := etag(key, "bytes", e); got != a {
			t.Errorf("%s: ETag %s, want %s", key, got, a)
		}
	}
	if b := etag("a", "bytez"); !made.MatchString(a) || !made.MatchString(b) || a == b {
		t.Errorf("ETags %s and %s", a, b)
	}
	sum := md5.Sum([]byte("bytes"))
	if got := etag("md5", "bytes", with("Content-MD5", base64.StdEncoding.EncodeToString(sum[:]))); got != md5hex("bytes") {
		t.Errorf("ETag %s of bytes sent with their MD5", got)
	}
	s.do("PUT", "/data/md5", "bytez", with("Content-MD5", base64.StdEncoding.EncodeToString(sum[:]))).want(400, "BadDigest")
	s.do("PUT", "/data/copy", "", with("x-amz-copy-source", "/data/b", "x-amz-copy-source-if-match", a)).want(200, "").wantBody(a)
	s.do("PUT", "/data/b", "new", with("If-Match", "0")).want(412, "PreconditionFailed")
	s.do("GET", "/data/b", "", with("If-None-Match", a)).want(304, "")
	s.do("PUT", "/data/b", "new", with("If-Match", a)).want(200, "")

	id := s.begin("/data/parts")
	bodies := []string{strings.Repeat("p", 5*mib), "end"}
	var tags []any
	for i, b := range bodies {
		tags = append(tags, i+1, s.part("/data/parts", id, i+1, b))
	}
	done := s.do("POST", "/data/parts?uploadId="+id, completion(tags...)).want(200, "").element("ETag")
	s.do("POST", "/data/parts?uploadId="+id, completion(tags...)).want(200, "").wantBody(done)
	if !strings.HasSuffix(done, "-2&quot;") {
		t.Errorf("ETag %s of two parts", done)
	}
	if got := s.do("GET", "/data/parts", "").want(200, ""); got.body != bodies[0]+bodies[1] {
		t.Errorf("got %d bytes of the parts", len(got.body))
	}
}

func crc32Of(s string) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(s))))
}
