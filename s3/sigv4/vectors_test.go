package sigv4_test

import (
	"bytes"
	"errors"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"gantry/s3/sigv4"
)

// The examples that AWS publishes in "Signature Calculations for the Authorization Header", "Authenticating Requests: Using
// Query Parameters" and the two pages on chunked uploads.
const (
	exampleKey    = "AKIAIOSFODNN7EXAMPLE"
	exampleSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	exampleScope  = exampleKey + "/20130524/us-east-1/s3/aws4_request"
	emptyHash     = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// request is a request of literals.
type request struct {
	method, host, path, query string
	headers                   [][2]string
}

func (r *request) Method() string { return r.method }
func (r *request) Host() string   { return r.host }

func (r *request) Header(name string) string {
	if v := r.Headers(name); len(v) > 0 {
		return v[0]
	}
	return ""
}

func (r *request) Headers(name string) []string {
	var vs []string
	for _, h := range r.headers {
		if strings.EqualFold(h[0], name) {
			vs = append(vs, h[1])
		}
	}
	return vs
}

func (r *request) VisitHeaders(fn func(name, value string)) {
	for _, h := range r.headers {
		fn(h[0], h[1])
	}
}

func exampleVerifier() *sigv4.Verifier {
	secret := func(id string) (string, bool) { return exampleSecret, id == exampleKey }
	now := func() time.Time { return time.Date(2013, 5, 24, 0, 5, 0, 0, time.UTC) }
	return sigv4.NewVerifier(secret, now, 15*time.Minute)
}

func verify(t *testing.T, v *sigv4.Verifier, r *request) (*sigv4.Signature, []byte, error) {
	t.Helper()
	q, err := sigv4.ParseQuery(r.query)
	if err != nil {
		t.Fatalf("query: %v", err)
	}
	s, err := sigv4.Parse(r, q)
	if err != nil || s == nil {
		return nil, nil, err
	}
	path, ok := sigv4.Unescape(r.path, false)
	if !ok {
		t.Fatalf("path %q", r.path)
	}
	key, err := v.Verify(r, path, q, s)
	return s, key, err
}

func authorization(signed, signature string) [2]string {
	return [2]string{"Authorization", "AWS4-HMAC-SHA256 Credential=" + exampleScope + ",SignedHeaders=" + signed + ",Signature=" + signature}
}

func TestPublishedRequests(t *testing.T) {
	const bucketHost = "examplebucket.s3.amazonaws.com"
	date := [2]string{"x-amz-date", "20130524T000000Z"}
	empty := [2]string{"x-amz-content-sha256", emptyHash}
	presigned := "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" + url.QueryEscape(exampleScope) +
		"&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature="
	for name, r := range map[string]*request{
		"get": {method: "GET", host: bucketHost, path: "/test.txt", headers: [][2]string{{"Range", "bytes=0-9"}, empty, date,
			authorization("host;range;x-amz-content-sha256;x-amz-date", "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")}},
		"put": {method: "PUT", host: bucketHost, path: "/test$file.text", headers: [][2]string{
			{"Date", "Fri, 24 May 2013 00:00:00 GMT"}, date, {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
			{"x-amz-content-sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"},
			authorization("date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
				"98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd")}},
		"lifecycle": {method: "GET", host: bucketHost, path: "/", query: "lifecycle", headers: [][2]string{empty, date,
			authorization("host;x-amz-content-sha256;x-amz-date", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543")}},
		"list": {method: "GET", host: bucketHost, path: "/", query: "prefix=J&max-keys=2", headers: [][2]string{empty, date,
			authorization("host;x-amz-content-sha256;x-amz-date", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7")}},
		"presigned": {method: "GET", host: bucketHost, path: "/test.txt",
			query: presigned + "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"},
	} {
		t.Run(name, func(t *testing.T) {
			v := exampleVerifier()
			for range 2 { // the second time with a cached key
				if s, _, err := verify(t, v, r); err != nil || s == nil {
					t.Fatalf("refused: %v", err)
				}
			}
			r.path += "x"
			_, _, err := verify(t, v, r)
			wantCode(t, err, "SignatureDoesNotMatch")
		})
	}
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var e *sigv4.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("got %v, want %s", err, code)
	}
}

func chunkedRequest(payload, seed, trailer string) *request {
	signed := "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class"
	r := &request{method: "PUT", host: "s3.amazonaws.com", path: "/examplebucket/chunkObject.txt", headers: [][2]string{
		{"x-amz-date", "20130524T000000Z"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}, {"x-amz-content-sha256", payload},
		{"Content-Encoding", "aws-chunked"}, {"x-amz-decoded-content-length", "66560"}, {"Content-Length", "66824"}}}
	if trailer != "" {
		signed = strings.Replace(signed, "content-length;", "", 1) + ";x-amz-trailer"
		r.headers = append(r.headers, [2]string{"x-amz-trailer", trailer})
	}
	r.headers = append(r.headers, authorization(signed, seed))
	return r
}

func exampleBody(sigs [3]string, tail string) []byte {
	var b bytes.Buffer
	b.WriteString("10000;chunk-signature=" + sigs[0] + "\r\n" + strings.Repeat("a", 65536) + "\r\n")
	b.WriteString("400;chunk-signature=" + sigs[1] + "\r\n" + strings.Repeat("a", 1024) + "\r\n")
	b.WriteString("0;chunk-signature=" + sigs[2] + "\r\n" + tail)
	return b.Bytes()
}

func decode(t *testing.T, r *request, body []byte, trailers ...string) (string, *sigv4.ChunkReader, error) {
	t.Helper()
	s, key, err := verify(t, exampleVerifier(), r)
	if err != nil {
		t.Fatalf("seed refused: %v", err)
	}
	c := sigv4.NewChunkReader(bytes.NewReader(body), sigv4.Chunks{Payload: s.Payload, Length: 66560, Trailers: trailers, Signature: s, Key: key})
	defer c.Close()
	got, err := io.ReadAll(c)
	return string(got), c, err
}

var plainSignatures = [3]string{"ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
	"0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497", "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"}

func TestPublishedChunks(t *testing.T) {
	r := chunkedRequest(sigv4.StreamingPayload, "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9", "")
	body := exampleBody(plainSignatures, "\r\n")
	got, _, err := decode(t, r, body)
	if err != nil || got != strings.Repeat("a", 66560) {
		t.Fatalf("got %d bytes, %v", len(got), err)
	}
	for _, at := range []int{200, len(body) - 300, len(body) - 10} { // in the first chunk, in the second, in the last signature
		damaged := bytes.Clone(body)
		damaged[at] ^= 1
		if _, _, err := decode(t, r, damaged); err == nil {
			t.Errorf("a body damaged at %d was accepted", at)
		}
	}
	for n := 0; n < len(body)-2; n += 1 + n/50 {
		_, _, err := decode(t, r, body[:n])
		wantCode(t, err, "IncompleteBody")
	}
}

func TestPublishedTrailer(t *testing.T) {
	r := chunkedRequest(sigv4.StreamingPayloadTrailer, "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e", "x-amz-checksum-crc32c")
	sigs := [3]string{"b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
		"1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7", "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"}
	const signature = "x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n"
	body := exampleBody(sigs, "x-amz-checksum-crc32c:sOO8/Q==\r\n"+signature+"\r\n")
	got, c, err := decode(t, r, body, "x-amz-checksum-crc32c")
	if err != nil || len(got) != 66560 || c.Trailer("x-amz-checksum-crc32c") != "sOO8/Q==" {
		t.Fatalf("got %d bytes, trailer %q, %v", len(got), c.Trailer("x-amz-checksum-crc32c"), err)
	}
	// As minio-go writes it.
	if _, _, err := decode(t, r, exampleBody(sigs, "x-amz-checksum-crc32c:sOO8/Q==\n\r\n"+signature+"\r\n"), "x-amz-checksum-crc32c"); err != nil {
		t.Errorf("empty line before the signature: %v", err)
	}
	for _, tail := range []string{
		"x-amz-checksum-crc32c:sOO8/Q==\r\n\r\n", // not signed
		"x-amz-checksum-crc32c:sOO8/A==\r\n" + signature + "\r\n",
	} {
		_, _, err := decode(t, r, exampleBody(sigs, tail), "x-amz-checksum-crc32c")
		wantCode(t, err, "SignatureDoesNotMatch")
	}
	for _, tail := range []string{signature + "\r\n", "x-other:1\r\n" + signature + "\r\n", "nonsense\r\n\r\n"} {
		_, _, err := decode(t, r, exampleBody(sigs, tail), "x-amz-checksum-crc32c")
		wantCode(t, err, "MalformedTrailerError")
	}
}
