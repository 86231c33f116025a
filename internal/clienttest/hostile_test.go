package clienttest_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
)

// maxAnonymous bounds the server's own memory, mapped files aside, whatever is thrown at it.
const maxAnonymous = 300 * mib

// rssAnon is the server's anonymous memory in bytes.
func (s *server) rssAnon(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatal("no RssAnon in /proc")
	return 0
}

// unharmed fails unless the server runs, is slim, and stores and serves.
func (s *server) unharmed(t *testing.T, c *minio.Client, bucket string) {
	t.Helper()
	s.slim(t, "afterwards")
	body := content(100_000, 99)
	if _, err := c.PutObject(t.Context(), bucket, "unharmed", strings.NewReader(string(body)), int64(len(body)), minio.PutObjectOptions{}); err != nil {
		t.Fatalf("put afterwards: %v", err)
	}
	same(t, "object afterwards", fetch(t, c, bucket, "unharmed", minio.GetObjectOptions{}), body)
}

// basicAuth is the value of an Authorization header.
func (s *server) basicAuth() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(s.keyID+":"+s.secret))
}

// dial opens a raw connection to one of the server's doors.
func (s *server) dial(t *testing.T, door string) net.Conn {
	t.Helper()
	u, err := url.Parse(door)
	if err != nil {
		t.Fatal(err)
	}
	var conn net.Conn
	if s.pool != nil {
		conn, err = tls.Dial("tcp", u.Host, &tls.Config{RootCAs: s.pool, ServerName: "localhost"})
	} else {
		conn, err = net.Dial("tcp", u.Host)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // often closed already
	return conn
}

// converse sends raw bytes and reads until the server closes or falls silent. It returns the status codes of all answers.
func converse(conn net.Conn, raw string) []string {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second)) // a live connection takes deadlines
	go func() { _, _ = io.WriteString(conn, raw) }()      // the server may close before it has read all
	answer, _ := io.ReadAll(conn)                         // ends by deadline where the server keeps the connection
	var codes []string
	for i, piece := range strings.Split(string(answer), "HTTP/1.1 ") {
		if i > 0 && len(piece) >= 3 {
			codes = append(codes, piece[:3])
		}
	}
	return codes
}

// smuggle is a request that hides another one in its body, or between two readings of its framing. Each HIDDEN stands for
// the hidden request, N for its length.
var smuggle = map[string]string{
	"unread body":              "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: N\r\n\r\nHIDDEN",
	"unread chunked body":      "POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nXN\r\nHIDDEN\r\n0\r\n\r\n",
	"unread body, no such way": "FOO {path} HTTP/1.1\r\nHost: h\r\nContent-Length: N\r\n\r\nHIDDEN",
	"unread body of GET":       "GET {path} HTTP/1.1\r\nHost: h\r\nContent-Length: N\r\n\r\nHIDDEN",
	"length and chunks":        "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: M\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHIDDEN",
	"two lengths":              "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: N\r\n\r\nHIDDEN",
	"two lengths, other order": "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: N\r\nContent-Length: 0\r\n\r\nHIDDEN",
	"list of lengths":          "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 0, N\r\n\r\nHIDDEN",
	"signed length":            "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: +0\r\n\r\nHIDDEN",
	"negative length":          "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\nHIDDEN",
	"hexadecimal length":       "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 0x0\r\n\r\nHIDDEN",
	"unknown coding":           "POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\nContent-Length: N\r\n\r\nHIDDEN",
	"coding twice":             "POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nContent-Length: M\r\n\r\n0\r\n\r\nHIDDEN",
	"space before colon":       "POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\nContent-Length: M\r\n\r\n0\r\n\r\nHIDDEN",
	"folded coding":            "POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n chunked\r\nContent-Length: M\r\n\r\n0\r\n\r\nHIDDEN",
	"newline in extension":     "POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nb\r\nx\r\n0\r\n\r\nHIDDEN",
	"chunk size overflows":     "POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nHIDDEN",
	"old version with chunks":  "POST {path} HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: M\r\n\r\n0\r\n\r\nHIDDEN",
}

// fill writes the hidden request into an attack, after padding if that isn't empty.
func fill(attack, path, padding, hidden string) string {
	hidden = padding + hidden
	return strings.NewReplacer("{path}", path, "XN", strconv.FormatInt(int64(len(hidden)), 16), "N", strconv.Itoa(len(hidden)),
		"M", strconv.Itoa(len("0\r\n\r\n")+len(hidden)), "HIDDEN", hidden).Replace(attack)
}

// attack is one smuggling attempt and what it would have done.
type attack struct {
	name   string
	key    string   // put by the request hidden in the one to the S3 door
	victim instance // deleted by the one to the DICOMweb door
	codes  [2][]string
}

// No request that hides in another is ever carried out.
func TestRequestSmuggling(t *testing.T) {
	s := start(t, options{})
	c, bucket := minioClient(t, s), archive(t, s)
	base, err := url.Parse(s.dicomweb)
	if err != nil {
		t.Fatal(err)
	}
	put := func(key string) string {
		u, err := c.PresignedPutObject(t.Context(), bucket, key, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 1\r\n\r\nx", u.RequestURI(), u.Host)
	}
	remove := func(i instance) string {
		return fmt.Sprintf("DELETE %s/studies/%s HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\n\r\n", base.Path, i.study, base.Host, s.basicAuth())
	}
	// The hidden requests do work when they are not hidden: otherwise this test would show nothing.
	equal(t, "plain put", fmt.Sprint(converse(s.dial(t, s.s3), put("plain"))), "[200]")
	first := newInstance(1, 1, 1, 16)
	if status, _ := s.stow(t, first.encode()); status != http.StatusOK {
		t.Fatalf("stow: %d", status)
	}
	converse(s.dial(t, s.dicomweb), remove(first))
	equal(t, "left by a plain delete", len(s.qido(t, "/studies", url.Values{"StudyInstanceUID": {first.study}})), 0)

	var attacks []*attack
	var wg sync.WaitGroup
	for name, shape := range smuggle {
		for _, padding := range []string{"", strings.Repeat("p", 300<<10), strings.Repeat("p", 2*mib)} {
			if padding != "" && !strings.HasPrefix(name, "unread") {
				continue // where the framing is in doubt, the hidden request comes right after it
			}
			a := &attack{name: fmt.Sprintf("%s, padding %d", name, len(padding)), key: fmt.Sprintf("smuggled/%d", len(attacks)), victim: newInstance(10+len(attacks), 1, 1, 16)}
			if status, _ := s.stow(t, a.victim.encode()); status != http.StatusOK {
				t.Fatalf("stow: %d", status)
			}
			attacks = append(attacks, a)
			inS3, inWeb := fill(shape, "/"+bucket+"/x", padding, put(a.key)), fill(shape, base.Path+"/studies", padding, remove(a.victim))
			s3, web := s.dial(t, s.s3), s.dial(t, s.dicomweb)
			wg.Go(func() { a.codes[0] = converse(s3, inS3) })
			wg.Go(func() { a.codes[1] = converse(web, inWeb) })
		}
	}
	wg.Wait()
	for _, a := range attacks {
		if _, err := c.StatObject(t.Context(), bucket, a.key, minio.StatObjectOptions{}); code(err) != "NoSuchKey" {
			t.Errorf("%s: the hidden put was carried out; answers %v, stat %v", a.name, a.codes[0], err)
		}
		if found := s.qido(t, "/studies", url.Values{"StudyInstanceUID": {a.victim.study}}); len(found) != 1 {
			t.Errorf("%s: the hidden delete was carried out; answers %v", a.name, a.codes[1])
		}
	}
	s.unharmed(t, c, bucket)
}

// An upload that is cut short is never stored, at whatever byte, by whichever door, politely or not.
func TestUploadsCutShort(t *testing.T) {
	eachTransport(t, func(t *testing.T, s *server) {
		c, bucket := minioClient(t, s), archive(t, s)
		for i, n := range []int{1000, 100_000, 3 * mib, 40 * mib} {
			body := content(n, uint64(n))
			for _, share := range []int{0, 1, 50, 99} {
				for _, framing := range []string{"Content-Length", "chunked"} {
					key := fmt.Sprintf("cut/%d-%d-%s", n, share, framing)
					u, err := c.PresignedPutObject(t.Context(), bucket, key, time.Hour)
					if err != nil {
						t.Fatal(err)
					}
					s.cutShort(t, s.s3, fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: %s\r\n", u.RequestURI(), u.Host), framing, body, n*share/100, i%2 == 0)
				}
			}
		}
		victim := newInstance(2, 1, 1, 512)
		base, err := url.Parse(s.dicomweb)
		if err != nil {
			t.Fatal(err)
		}
		body := []byte("--b\r\nContent-Type: application/dicom\r\n\r\n" + string(victim.encode()) + "\r\n--b--\r\n")
		head := fmt.Sprintf("POST %s/studies HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\nContent-Type: multipart/related; type=\"application/dicom\"; boundary=b\r\n",
			base.Path, base.Host, s.basicAuth())
		for _, at := range []int{0, 30, 1000, len(body) / 2, len(body) - 12} { // the last one is before the end of the part
			for _, framing := range []string{"Content-Length", "chunked"} {
				s.cutShort(t, s.dicomweb, head, framing, body, at, true)
			}
		}
		time.Sleep(500 * time.Millisecond) // for a server that stores on the loss of a connection, time to do so
		for o := range c.ListObjects(t.Context(), bucket, minio.ListObjectsOptions{Recursive: true}) {
			t.Errorf("stored: %s, %d bytes, %v", o.Key, o.Size, o.Err)
		}
		equal(t, "instances found", len(s.qido(t, "/instances", url.Values{"SOPInstanceUID": {victim.sop}})), 0)
		s.unharmed(t, c, bucket)
		s.stop()
		s.command(t, "verify")
	})
}

// cutShort sends a request's head and the first bytes of its body, then hangs up: with a FIN, or a reset.
func (s *server) cutShort(t *testing.T, door, head, framing string, body []byte, sent int, reset bool) {
	t.Helper()
	conn := s.dial(t, door)
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second)) // a live connection takes deadlines
	w := bufio.NewWriter(conn)
	if framing == "chunked" {
		// Presigned requests have unsigned payloads, so their length may come in chunks; S3 itself wants it said before.
		fmt.Fprintf(w, "%sTransfer-Encoding: chunked\r\nx-amz-decoded-content-length: %d\r\n\r\n%x\r\n", head, len(body), len(body))
	} else {
		fmt.Fprintf(w, "%sContent-Length: %d\r\n\r\n", head, len(body))
	}
	_, _ = w.Write(body[:sent]) // the server may refuse before it has read all
	_ = w.Flush()
	if tcp, ok := conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0) // close with a reset
	}
	_ = conn.Close()
}

// Clients that send next to nothing can't keep others from storing.
func TestSlowClients(t *testing.T) {
	s := start(t, options{})
	c, bucket := minioClient(t, s), archive(t, s)
	u, err := c.PresignedPutObject(t.Context(), bucket, "slow", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	base, err := url.Parse(s.dicomweb)
	if err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	for i := range 400 {
		conn, door := net.Conn(nil), s.s3
		if i%2 == 1 {
			door = s.dicomweb
		}
		conn = s.dial(t, door)
		switch i % 4 {
		case 0: // a body that hardly comes
			fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\nx", u.RequestURI(), u.Host, 16*mib-1)
		case 1:
			fmt.Fprintf(conn, "POST %s/studies HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\nContent-Type: application/dicom\r\nContent-Length: %d\r\n\r\nx",
				base.Path, base.Host, s.basicAuth(), 16*mib-1)
		default: // a head that hardly comes
			fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: h\r\nX-Slow: ")
		}
		conns = append(conns, conn)
	}
	stop := make(chan struct{})
	var drip sync.WaitGroup
	drip.Go(func() {
		for tick := time.NewTicker(500 * time.Millisecond); ; {
			select {
			case <-stop:
				tick.Stop()
				return
			case <-tick.C:
				for _, conn := range conns {
					_ = conn.SetWriteDeadline(time.Now().Add(time.Second)) // the server may have hung up
					_, _ = io.WriteString(conn, "x")
				}
			}
		}
	})
	defer drip.Wait()
	defer close(stop)
	time.Sleep(2 * time.Second) // for the server to have taken in every one of them
	began := time.Now()
	s.unharmed(t, c, bucket)
	if code, _ := s.stow(t, newInstance(3, 1, 1, 256).encode()); code != http.StatusOK {
		t.Errorf("stow beside slow clients: %d", code)
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("storing beside slow clients took %v", took)
	}
}

// Ten thousand connections that do nothing cost memory in bounds and nobody else's service.
func TestIdleConnections(t *testing.T) {
	const n = 10_000
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur < n+500 {
		limit.Cur, limit.Max = n+500, max(limit.Max, n+500)
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			unavailable(t, "this needs %d open files: %v", limit.Cur, err)
		}
	}
	s := start(t, options{})
	c, bucket := minioClient(t, s), archive(t, s)
	u, err := url.Parse(s.s3)
	if err != nil {
		t.Fatal(err)
	}
	conns := make([]net.Conn, 0, n)
	defer func() {
		for _, conn := range conns {
			_ = conn.Close() // some the server has closed
		}
	}()
	for i := range n {
		conn, err := net.Dial("tcp", u.Host)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		conns = append(conns, conn)
		if i%10 == 0 { // one in ten has asked for something and stays
			_ = conn.SetDeadline(time.Now().Add(30 * time.Second)) // a live connection takes deadlines
			fmt.Fprintf(conn, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
			if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
				t.Fatalf("connection %d: no answer: %v", i, err)
			}
		}
	}
	began := time.Now()
	rss := s.rssAnon(t)
	s.unharmed(t, c, bucket)
	t.Logf("RssAnon with %d idle connections: %d MiB; put and get took %v", n, rss/mib, time.Since(began))
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("put and get beside idle connections took %v", took)
	}
}

func TestOversizedHeads(t *testing.T) {
	s := start(t, options{})
	c, bucket := minioClient(t, s), archive(t, s)
	long := strings.Repeat("a", 2*mib)
	for name, raw := range map[string]string{
		"long header":    "GET / HTTP/1.1\r\nHost: h\r\nX-Long: " + long + "\r\n\r\n",
		"long name":      "GET / HTTP/1.1\r\nHost: h\r\n" + long + ": x\r\n\r\n",
		"long path":      "GET /" + long + " HTTP/1.1\r\nHost: h\r\n\r\n",
		"long method":    long + " / HTTP/1.1\r\nHost: h\r\n\r\n",
		"many headers":   "GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("X-Many: x\r\n", 100_000) + "\r\n",
		"many arguments": "GET /?" + strings.Repeat("a=b&", 300_000) + " HTTP/1.1\r\nHost: h\r\n\r\n",
		"no end":         "GET / HTTP/1.1\r\nHost: h\r\nX-Endless: " + long,
		"only newlines":  strings.Repeat("\r\n", 500_000),
		"binary":         string(content(mib, 5)),
	} {
		for _, door := range []string{s.s3, s.dicomweb} {
			for _, got := range converse(s.dial(t, door), raw) {
				if got[0] == '2' || got[0] == '1' || got == "500" {
					t.Errorf("%s was answered %s", name, got)
				}
			}
			s.alive(t)
		}
	}
	s.unharmed(t, c, bucket)
}

// oddFiles are the files that break the rules, in the order in which they must come, with what to expect of them:
// accept, reject or either.
func oddFiles(t *testing.T) (paths []string, expect map[string]string) {
	t.Helper()
	list, err := os.ReadFile(filepath.Join(corpusDir, "hostile.tsv"))
	if err != nil {
		unavailable(t, "no hostile files: %v", err)
	}
	expect = map[string]string{}
	for line := range strings.Lines(string(list)) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if len(f) < 3 || f[0] == "file" {
			continue
		}
		path := filepath.Join(corpusDir, "hostile", f[0])
		expect[path] = f[2]
		paths = append(paths, path)
	}
	for _, folder := range []string{"broken", "nonstudy"} {
		more, err := filepath.Glob(filepath.Join(corpusDir, folder, "*"))
		if err != nil || len(more) == 0 {
			t.Fatalf("no files in %s: %v", folder, err)
		}
		for _, path := range more {
			expect[path] = map[string]string{"broken": "either", "nonstudy": "reject"}[folder]
		}
		paths = append(paths, more...)
	}
	return paths, expect
}

// Files made to break readers are taken or refused as listed, and never harm the server.
func TestHostileFiles(t *testing.T) {
	paths, expect := oddFiles(t)
	s := start(t, options{})
	c, bucket := minioClient(t, s), archive(t, s)
	for _, path := range paths {
		b, name := readFile(t, path), filepath.Base(path)
		status, answer := s.stow(t, b)
		ok, refused := answer.items(t, "00081199"), append(answer.items(t, "00081198"), answer.items(t, "0008119A")...)
		taken := len(ok) == 1 && (status == http.StatusOK || status == http.StatusAccepted)
		switch {
		case taken == (len(refused) > 0):
			t.Errorf("%s: status %d, %d stored, %d refused", name, status, len(ok), len(refused))
		case expect[path] == "accept" && !taken, expect[path] == "reject" && taken:
			t.Errorf("%s: status %d, want %s; reasons %q", name, status, expect[path], reasons(refused))
		case !taken && refused[0].text("00081197") == "":
			t.Errorf("%s: refused without a reason", name)
		case taken:
			same(t, name, s.wado(t, ok[0].text("00081190"))[0], b)
		}
		s.slim(t, name)
	}
	s.unharmed(t, c, bucket)
}

// A strict bucket refuses by S3 what STOW refuses; any other takes everything and indexes what it can.
func TestHostileFilesByS3(t *testing.T) {
	paths, expect := oddFiles(t)
	s := start(t, options{config: "archives: [{name: strict, strict: true}]\n"})
	c := minioClient(t, s)
	for _, path := range paths {
		b, name := readFile(t, path), filepath.Base(path)
		put := func(bucket string) error {
			_, err := c.PutObject(t.Context(), bucket, name, bytes.NewReader(b), int64(len(b)), minio.PutObjectOptions{})
			return err
		}
		err := put("strict")
		refused := err != nil && minio.ToErrorResponse(err).StatusCode == http.StatusBadRequest
		if err != nil && !refused || expect[path] == "accept" && refused || expect[path] == "reject" && !refused {
			t.Errorf("%s into the strict bucket: %v, want %s", name, err, expect[path])
		}
		if err := put("dicom"); err != nil {
			t.Errorf("%s into the other bucket: %v", name, err)
			continue
		}
		same(t, name, fetch(t, c, "dicom", name, minio.GetObjectOptions{}), b)
		s.slim(t, name)
	}
	s.unharmed(t, c, "dicom")
}

// slim fails unless the server runs within its memory.
func (s *server) slim(t *testing.T, what string) {
	t.Helper()
	s.alive(t)
	if rss := s.rssAnon(t); rss > maxAnonymous {
		t.Fatalf("%s: RssAnon %d MiB, limit %d", what, rss/mib, int64(maxAnonymous/mib))
	}
}
