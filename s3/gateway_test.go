package s3_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/minio-go/v7/pkg/signer"

	"gantry/internal/auth"
	"gantry/internal/httpx"
	"gantry/s3"
	"gantry/store"
)

const (
	rootID, rootSecret     = "GKROOT", "root-secret"
	readerID, readerSecret = "GKREADER", "reader-secret"
	otherID, otherSecret   = "GKOTHER", "other-secret"
)

// httpClient leaves encodings alone.
var httpClient = &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16}}

// site is a gateway over a store of its own, served over loopback.
type site struct {
	t       testing.TB
	url     string // without a final slash
	dir     string
	store   *store.Store
	gateway *s3.Gateway
}

// fakeIndexer takes whatever begins with "DICM:" for an instance of the UIDs that follow, separated by slashes.
func fakeIndexer(_ context.Context, r io.ReaderAt, size int64) (*store.Instance, error) {
	b := make([]byte, min(size, 64))
	if n, err := r.ReadAt(b, 0); n < len(b) && err != nil {
		return nil, err
	}
	uids, ok := strings.CutPrefix(string(b), "DICM:")
	f := strings.Split(uids, "/")
	if !ok || len(f) < 3 {
		return nil, errors.New("no DICM at offset 128")
	}
	in := &store.Instance{}
	in.Study, in.Series, in.SOP = f[0], f[1], f[2]
	in.StudyAttrs, in.SeriesAttrs, in.SOPAttrs = []byte("{}"), []byte("{}"), []byte("{}")
	return in, nil
}

func newSite(t testing.TB, change ...func(*s3.Config)) *site {
	t.Helper()
	dir := t.TempDir()
	st, err := store.Open(t.Context(), store.Config{Dir: dir, Indexer: fakeIndexer, MinFreeBytes: 1})
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	keys, err := auth.NewKeyring(auth.Credential{ID: rootID, Secret: rootSecret, Permissions: auth.All},
		auth.Credential{ID: readerID, Secret: readerSecret, Permissions: auth.Read, Buckets: []string{"shared"}},
		auth.Credential{ID: otherID, Secret: otherSecret, Permissions: auth.All, Buckets: []string{"other*"}})
	if err != nil {
		t.Fatalf("keyring: %v", err)
	}
	cfg := s3.Config{Objects: st, Keyring: keys, Domains: []string{"s3.test"}}
	for _, c := range change {
		c(&cfg)
	}
	g, err := s3.New(cfg)
	if err != nil {
		t.Fatalf("gateway: %v", err)
	}
	srv, err := httpx.New(httpx.Config{Name: "s3", Handler: g.Handle, ErrorWriter: g.WriteError, RouteLabel: g.RouteLabel})
	if err != nil {
		t.Fatalf("server: %v", err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		httpClient.CloseIdleConnections()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
		if err := st.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	return &site{t: t, url: "http://" + ln.Addr().String(), dir: dir, store: st, gateway: g}
}

// client is the AWS SDK, without retries.
func (s *site) client(id, secret string, options ...func(*awss3.Options)) *awss3.Client {
	return awss3.New(awss3.Options{
		BaseEndpoint: aws.String(s.url), UsePathStyle: true, Region: "eu-somewhere-7", Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider(id, secret, ""),
		HTTPClient:  httpClient,
	}, options...)
}

func (s *site) root() *awss3.Client { return s.client(rootID, rootSecret) }

// rawSDK keeps the SDK from adding and checking checksums on its own.
func rawSDK(o *awss3.Options) {
	o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
}

func (s *site) bucket(name string) {
	s.t.Helper()
	if _, err := s.root().CreateBucket(s.t.Context(), &awss3.CreateBucketInput{Bucket: &name}); err != nil {
		s.t.Fatalf("create bucket: %v", err)
	}
}

func (s *site) put(bucket, key, data string) {
	s.t.Helper()
	a := s.do("PUT", "/"+bucket+"/"+key, data)
	a.want(200, "")
}

// answer is a response, read whole.
type answer struct {
	t      testing.TB
	what   string
	status int
	header http.Header
	body   string
}

// edit changes a request before it is signed.
type edit func(*http.Request)

func with(pairs ...string) edit {
	return func(r *http.Request) {
		for i := 0; i < len(pairs); i += 2 {
			r.Header.Add(pairs[i], pairs[i+1])
		}
	}
}

// request makes an unsigned request of a raw target.
func (s *site) request(method, target, body string) *http.Request {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url, strings.NewReader(body))
	if err != nil {
		s.t.Fatalf("request: %v", err)
	}
	path, query, _ := strings.Cut(target, "?")
	r.URL.Opaque = "//" + r.URL.Host + path
	if r.URL.Path, err = unescape(path); err != nil {
		r.URL.Path = path
	}
	r.URL.RawQuery = query
	return r
}

// do sends a request signed by the root key.
func (s *site) do(method, target, body string, edits ...edit) *answer {
	s.t.Helper()
	return s.as(rootID, rootSecret, method, target, body, edits...)
}

func (s *site) as(id, secret, method, target, body string, edits ...edit) *answer {
	s.t.Helper()
	r := s.request(method, target, body)
	r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	for _, e := range edits {
		e(r)
	}
	return s.send(signer.SignV4(*r, id, secret, "", "anywhere"))
}

func (s *site) send(r *http.Request) *answer {
	s.t.Helper()
	resp, err := httpClient.Do(r)
	if err != nil {
		s.t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatalf("%s %s: body: %v", r.Method, r.URL, err)
	}
	return &answer{t: s.t, what: r.Method + " " + r.URL.String(), status: resp.StatusCode, header: resp.Header, body: string(b)}
}

// want checks status and, where code is not empty, the error code.
func (a *answer) want(status int, code string) *answer {
	a.t.Helper()
	if a.status != status || code != "" && !strings.Contains(a.body, "<Code>"+code+"</Code>") {
		a.t.Errorf("%s: got %d %s, want %d %s", a.what, a.status, a.body, status, code)
	}
	if a.header.Get("X-Amz-Request-Id") == "" || a.header.Get("X-Amz-Id-2") == "" {
		a.t.Errorf("%s: an answer without request ids", a.what)
	}
	return a
}

func (a *answer) wantBody(part string) *answer {
	a.t.Helper()
	if !strings.Contains(a.body, part) {
		a.t.Errorf("%s: no %q in %s", a.what, part, a.body)
	}
	return a
}

func (a *answer) wantHeader(name, value string) *answer {
	a.t.Helper()
	if got := a.header.Get(name); got != value {
		a.t.Errorf("%s: %s is %q, want %q", a.what, name, got, value)
	}
	return a
}

// element gives the text of the first element of a name.
func (a *answer) element(name string) string {
	a.t.Helper()
	_, rest, ok := strings.Cut(a.body, "<"+name+">")
	text, _, ok2 := strings.Cut(rest, "</"+name+">")
	if !ok || !ok2 {
		a.t.Fatalf("%s: no element %s in %s", a.what, name, a.body)
	}
	return text
}

// elements gives the texts of all elements of a name.
func (a *answer) elements(name string) []string {
	var out []string
	rest := a.body
	for {
		_, after, ok := strings.Cut(rest, "<"+name+">")
		if !ok {
			return out
		}
		text, after, _ := strings.Cut(after, "</"+name+">")
		out, rest = append(out, text), after
	}
}

func unescape(s string) (string, error) {
	var b bytes.Buffer
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", errors.New("short escape")
		}
		var c byte
		if _, err := fmt.Sscanf(s[i+1:i+3], "%02x", &c); err != nil {
			return "", err
		}
		b.WriteByte(c)
		i += 2
	}
	return b.String(), nil
}

func crc32c(b []byte) string {
	sum := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

func checksumAlgorithm(name string) types.ChecksumAlgorithm { return types.ChecksumAlgorithm(name) }

// newSHA256 is what minio-go's signer wants for its chunks.
func newSHA256() mdHasher { return mdHasher{sha256.New()} }

type mdHasher struct{ hash.Hash }

func (mdHasher) Close() {}
