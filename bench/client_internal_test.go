package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	miniosigner "github.com/minio/minio-go/v7/pkg/signer"
)

func testClient(t *testing.T, url string) *client {
	t.Helper()
	c, err := newClient(url, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

func TestClientReadsEveryFraming(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch r.URL.Path {
		case "/base/length":
			w.Header().Set("Content-Length", fmt.Sprint(len(big)))
			_, _ = w.Write(big)
		case "/base/chunked":
			for part := range slices.Chunk(big, 10_000) {
				_, _ = w.Write(part)
				w.(http.Flusher).Flush()
			}
		case "/base/close":
			w.Header().Set("Connection", "close")
			_, _ = w.Write(big)
		case "/base/empty":
			w.WriteHeader(http.StatusNoContent)
		case "/base/echo":
			w.Header().Set("ETag", `"x"`)
			_, _ = w.Write(body)
		}
	}))
	defer srv.Close()
	c := testClient(t, srv.URL+"/base/")
	for range 2 { // the second round shows that each answer was read to its end
		for _, path := range []string{"/length", "/chunked", "/close"} {
			for _, use := range []bodyUse{keepAndSum, sumOnly} {
				resp, err := c.do(t.Context(), &request{method: "GET", path: path, use: use})
				if err != nil {
					t.Fatalf("%s: %v", path, err)
				}
				if resp.size != int64(len(big)) || resp.crc != crc32.Checksum(big, castagnoli) {
					t.Errorf("%s use %d: %d bytes or their checksum are wrong", path, use, resp.size)
				}
				if use != sumOnly && !bytes.Equal(resp.body, big) {
					t.Errorf("%s: body differs", path)
				}
			}
		}
		resp, err := c.do(t.Context(), &request{method: "GET", path: "/empty"})
		if err != nil || resp.status != 204 || resp.size != 0 {
			t.Fatalf("empty: %+v, %v", resp, err)
		}
		parts := [][]byte{[]byte("ab"), nil, []byte("cd")}
		resp, err = c.do(t.Context(), &request{method: "PUT", path: "/echo", body: parts})
		if err != nil || string(resp.body) != "abcd" || resp.etag != `"x"` {
			t.Fatalf("echo: %+v, %v", resp, err)
		}
	}
}

// TestClientAgainstRawServers uses servers that no HTTP library would make.
func TestClientAgainstRawServers(t *testing.T) {
	cases := []struct {
		name, answer string
		want         error
	}{
		{"short body", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", io.ErrUnexpectedEOF},
		{"not HTTP", "SSH-2.0-OpenSSH_9.2 and more\r\n", errProtocol},
		{"to the end", "HTTP/1.0 200 OK\r\n\r\n12345", nil},
		{"after 100", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345", nil},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = http.ReadRequest(bufio.NewReader(conn))
				_, _ = io.WriteString(conn, tc.answer)
				_ = conn.Close()
			}()
			resp, err := testClient(t, "http://"+l.Addr().String()).do(t.Context(), &request{method: "GET", path: "/"})
			if !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			if err == nil && string(resp.body) != "12345" {
				t.Errorf("body %q", resp.body)
			}
		})
	}
}

// TestClientIsWokenOnce has a body come in two pieces, of which the first must not wake the client. It may find the first when it looks before it
// waits, but not every time.
func TestClientIsWokenOnce(t *testing.T) {
	const size, first = 600_000, 100_000
	for _, header := range []string{fmt.Sprintf("Content-Length: %d\r\n", size), "Connection: close\r\n"} {
		once := false
		for try := 0; try < 20 && !once; try++ {
			once = wokenOnce(t, header, size, first)
		}
		if !once {
			t.Errorf("%q: the first piece woke the client each time", header)
		}
	}
}

func wokenOnce(t *testing.T, header string, size, first int) bool {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	headRead, woken := make(chan struct{}), make(chan struct{})
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = http.ReadRequest(bufio.NewReader(conn))
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\n%s\r\n", header)
		<-headRead // so that the client reads the body apart from it
		_, _ = conn.Write(make([]byte, first))
		select {
		case <-woken: // too early
		case <-time.After(100 * time.Millisecond):
		}
		_, _ = conn.Write(make([]byte, size-first))
	}()
	c := testClient(t, "http://"+l.Addr().String())
	if err := c.dial(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.write(&request{method: "GET", path: "/"}); err != nil {
		t.Fatal(err)
	}
	resp, _, err := c.readHead("GET")
	if err != nil {
		t.Fatal(err)
	}
	body := c.bodyReader(resp)
	close(headRead)
	n, err := body.Read(make([]byte, size))
	close(woken)
	if err != nil {
		t.Fatal(err)
	}
	return n > first
}

func TestClientDialsAgainWhenServerClosedIdleConnection(t *testing.T) {
	var served int
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }))
	defer srv.Close()
	c := testClient(t, srv.URL)
	for range 3 {
		if _, err := c.do(t.Context(), &request{method: "GET", path: "/"}); err != nil {
			t.Fatal(err)
		}
		srv.CloseClientConnections()
	}
	if served != 3 || c.again != 2 {
		t.Errorf("served %d requests, want 3; %d were sent again, want 2", served, c.again)
	}
}

// TestClientWaitsOnce for an answer that does not come: the connection is not idle, and the request not to be repeated.
func TestClientWaitsOnce(t *testing.T) {
	var asked atomic.Int64
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if asked.Add(1) > 1 {
			<-release
		}
	}))
	defer srv.Close()
	defer close(release)
	c := testClient(t, srv.URL)
	if _, err := c.do(t.Context(), &request{method: "GET", path: "/"}); err != nil {
		t.Fatal(err)
	}
	c.timeout = 50 * time.Millisecond
	if _, err := c.do(t.Context(), &request{method: "GET", path: "/"}); !errors.Is(err, os.ErrDeadlineExceeded) || asked.Load() > 2 || c.again > 0 {
		t.Errorf("%v after %d requests", err, asked.Load())
	}
}

func TestErrorsOfOneKindHaveOneText(t *testing.T) {
	var texts []string
	for _, id := range []string{"1", "2"} {
		r := &response{status: 503, body: []byte("<Error><Code>SlowDown</Code><Message>Full.</Message><RequestId>" + id + "</RequestId></Error>")}
		texts = append(texts, r.want(200).Error())
	}
	if texts[0] != "status 503: SlowDown: Full." || texts[1] != texts[0] {
		t.Errorf("%q", texts)
	}
}

func TestErrorsQuoteNothingThatTerminalsObey(t *testing.T) {
	r := &response{status: 503, body: []byte("\x1b[2J\x07Slow\r\n Dówn\x9b")}
	if err := r.want(200); err.Error() != "status 503: [2J Slow Dówn\ufffd" {
		t.Errorf("%q", err)
	}
}

func TestClientStopsWithContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // accepts by the kernel, never answers
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := testClient(t, "http://"+l.Addr().String()).do(ctx, &request{method: "GET", path: "/"}); err == nil {
		t.Fatal("an answer from a silent server")
	}
}

func TestSignatureAgreesWithMinioGo(t *testing.T) {
	for _, target := range []string{
		"/bucket/key", "/bucket/a%20b/%E2%82%AC", "/bucket?list-type=2&max-keys=3&prefix=a%2Fb", "/bucket/k?uploads",
	} {
		req := httptest.NewRequest("PUT", "http://127.0.0.1:9000"+target, nil)
		req.Header.Set("X-Amz-Content-Sha256", unsignedPayload)
		want := miniosigner.SignV4(*req, "id", "secret", "", "eu-central-1")
		at, err := time.Parse("20060102T150405Z", want.Header.Get("X-Amz-Date"))
		if err != nil {
			t.Fatal(err)
		}
		path, query, _ := strings.Cut(target, "?")
		s := &signer{id: "id", secret: "secret", region: "eu-central-1"}
		got := string(s.appendHeaders(nil, signed{"PUT", path, query, "127.0.0.1:9000"}, at))
		if line := "Authorization: " + want.Header.Get("Authorization") + "\r\n"; !strings.Contains(got, line) {
			t.Errorf("%s:\ngot  %s\nwant %s", target, got, line)
		}
	}
}

func TestHistogramQuantiles(t *testing.T) {
	r := &rng{1}
	var whole, a, b histogram
	var all []time.Duration
	for i := range 20_000 {
		d := time.Duration(math.Exp(float64(r.n(20_000))/1000) * 100)
		all = append(all, d)
		whole.add(d)
		if i%3 == 0 {
			a.add(d)
		} else {
			b.add(d)
		}
	}
	a.merge(&b)
	slices.Sort(all)
	for _, q := range []float64{0, .001, .5, .9, .99, .999, 1} {
		want := all[max(int(math.Ceil(q*float64(len(all))))-1, 0)]
		got := whole.quantile(q)
		if got < want || float64(got) > float64(want)*1.01+1 {
			t.Errorf("quantile %g: got %v, want %v to 1%% more", q, got, want)
		}
		if merged := a.quantile(q); merged != got {
			t.Errorf("quantile %g: %v after merging, %v without", q, merged, got)
		}
	}
	if whole.quantile(1) != all[len(all)-1] || whole.max != a.max {
		t.Error("the maximum is not exact")
	}
	var n int64
	for _, bucket := range whole.distribution() {
		n += bucket.Count
	}
	if n != whole.n {
		t.Errorf("distribution holds %d of %d", n, whole.n)
	}
}

// TestPlots: bars stay within the frame and next to each other, labels within the margin, and what is shown is a rate whatever the last slot's
// width.
func TestPlots(t *testing.T) {
	var h histogram
	for d := 90 * time.Microsecond; d < 3*time.Second; d += d/50 + 1 {
		h.add(d)
	}
	r := &Result{Workload: "stow", PerRequest: 20, RateWanted: 9, Distribution: h.distribution(), Seconds: .1, ObjsPerSecond: 12e6,
		Timeline: []Point{{Objects: 1_200_000}}}
	for i, b := range r.Distribution[1:] {
		if b.from() != r.Distribution[i].Millis {
			t.Errorf("bar from %g, the one before ends at %g", b.from(), r.Distribution[i].Millis)
		}
	}
	for _, svg := range []string{string(latencyPlot(r)), string(throughputPlot(r))} {
		for _, m := range regexp.MustCompile(`rect x="([-0-9.]+)"`).FindAllStringSubmatch(svg, -1) {
			if x, err := strconv.ParseFloat(m[1], 64); err != nil || x < plotMargin || x > plotWidth-plotMargin {
				t.Errorf("a bar at %s", m[1])
			}
		}
	}
	if svg := string(throughputPlot(r)); !strings.Contains(svg, ">12.0M<") {
		t.Errorf("12 million a second, for 0.1 s: %s", svg)
	}
	r = &Result{Seconds: 1.05, Timeline: []Point{{0, 50, 0}, {.25, 50, 0}, {.5, 50, 0}, {.75, 50, 0}, {1, 10, 0}}}
	if svg := string(throughputPlot(r)); !strings.Contains(svg, ">200<") || strings.Count(svg, "<rect") != 4 ||
		strings.Count(svg, `height="96.0" fill`) != 4 {
		t.Errorf("an even 200/s: %s", svg)
	}
	var page strings.Builder
	if err := (&Report{Results: []*Result{r, {Workload: "stow", PerRequest: 20, RateWanted: 9, Target: "<b>"}}}).WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(page.String(), "&lt;b&gt;: stow ×20 @9/s") {
		t.Error("the heading does not tell what was measured, or not as text")
	}
}

func TestBucketsAreContiguous(t *testing.T) {
	for i := range 4000 {
		top := bucketTop(i)
		if bucketOf(top) != i || bucketOf(top+1) != i+1 {
			t.Fatalf("bucket %d: its top %d is in %d, the next in %d", i, top, bucketOf(top), bucketOf(top+1))
		}
	}
}

// TestOpenLoopCountsStalls: one stall of 200 ms, at 500 operations a second, must show in the latency of the hundred
// operations that it delayed.
func TestOpenLoopCountsStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stall := func(_ context.Context, _ *worker, n int64) (moved, error) {
			if n == 10 {
				<-time.After(200 * time.Millisecond)
			}
			return moved{1, 1}, nil
		}
		res, err := drive(t.Context(), load{workers: 1, rate: 500, count: 150}, []*worker{{}}, stall)
		if err != nil {
			t.Fatal(err)
		}
		if l := res.LatencyMS; l.Max != 200 || l.P50 < 50 || l.P50 > 52 {
			t.Errorf("p50 %.1f ms and maximum %.1f ms, want 50 and 200", l.P50, l.Max)
		}
		if res.Seconds != .298 {
			t.Errorf("150 operations at 500/s took %g s", res.Seconds)
		}
	})
}

// TestOpenLoopKeepsItsDuration, whether it has less to do than there are workers or more than these can.
func TestOpenLoopKeepsItsDuration(t *testing.T) {
	slow := func(context.Context, *worker, int64) (moved, error) {
		<-time.After(100 * time.Millisecond)
		return moved{1, 1}, nil
	}
	for _, tc := range []struct{ rate, seconds, perSecond, notBegun float64 }{
		{rate: 2, seconds: 3, perSecond: 2},
		{rate: 0.1, seconds: 3, perSecond: 1 / 3.},
		{rate: 1000, seconds: 3.003, perSecond: 120 / 3.003, notBegun: 2880},
		{rate: 1e300, seconds: 3, perSecond: 40, notBegun: math.MaxInt64/2 - 120},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := load{rate: tc.rate, duration: 3 * time.Second}
			res, err := drive(t.Context(), l, []*worker{{}, {}, {}, {}}, slow)
			if err != nil {
				t.Fatal(err)
			}
			if res.Seconds != tc.seconds || res.OpsPerSecond != tc.perSecond || float64(res.NotBegun) != tc.notBegun {
				t.Errorf("at %g/s: %g s, %g/s, %d not begun; want %g, %g, %g", tc.rate, res.Seconds, res.OpsPerSecond, res.NotBegun,
					tc.seconds, tc.perSecond, tc.notBegun)
			}
		})
	}
}

func TestDriveStops(t *testing.T) {
	fail := func(context.Context, *worker, int64) (moved, error) { return moved{}, errors.New("no") }
	res, err := drive(t.Context(), load{workers: 2}, []*worker{{}, {}}, fail)
	if err != nil || res.Errors != 2*maxStreak || len(res.ErrorTexts) != 1 || res.GaveUp != 2 || len(res.notes()) != 2 {
		t.Errorf("a server that only fails: %+v, %v", res, err)
	}
	count := func(_ context.Context, _ *worker, n int64) (moved, error) {
		if n >= 7 {
			return moved{}, errDone
		}
		return moved{2, 3}, nil
	}
	res, err = drive(t.Context(), load{workers: 3}, []*worker{{}, {}, {}}, count)
	if err != nil || res.Operations != 7 || res.Objects != 14 || res.Bytes != 21 {
		t.Errorf("seven operations: %+v, %v", res, err)
	}
}

func TestUsageOfThisProcess(t *testing.T) {
	stop := watch(t.Context(), os.Getpid())
	for start := clientCPU(); clientCPU()-start < 60*time.Millisecond; {
		_ = hash(1)
	}
	u, err := stop()
	if err != nil {
		t.Fatal(err)
	}
	if u.CPUSeconds < .02 || u.CPUSeconds > 10 || u.RssAnonBytes < 1<<20 || u.RSSBytes < u.RssAnonBytes {
		t.Errorf("implausible: %+v", u)
	}
	if s := u.columns(); strings.Contains(s, "?") {
		t.Errorf("of our own process, the disk is unknown: %s", s)
	}
	if s := (&ServerUsage{DiskUnknown: true}).columns(); s != "0\t0\t?" {
		t.Errorf("of another user's process: %s", s)
	}
	if _, err := usageOf([]int{1 << 30}); err == nil {
		t.Error("usage of a process that does not exist")
	}
}

func TestEachPart(t *testing.T) {
	const ct = `multipart/related; type="application/dicom"; boundary="b"`
	long := strings.Repeat("\r\n--", 100)
	cases := []struct {
		name, contentType, body string
		want                    []string // nil: an error
	}{
		{"one", ct, "--b\r\nContent-Type: x\r\n\r\nabc\r\n--b--\r\n", []string{"abc"}},
		{"two, preamble, no header", ct, "junk\r\n--b\r\n\r\n\r\na\r\n--b\r\nX: y\r\n\r\n\r\n--b--", []string{"\r\na", ""}},
		{"boundary in the data is skipped by length", ct, "--b\r\nContent-Length: 9\r\n\r\n12\r\n--b--\r\n--b--", []string{"12\r\n--b--"}},
		{"longer than the buffer", ct, "--b\r\n\r\n" + long + "\r\n--b\r\nContent-Length: 400\r\n\r\n" + long + "\r\n--b--", []string{long, long}},
		{"no parts at all", "application/dicom", "abc", []string{"abc"}},
		{"nothing", "application/dicom", "", []string{""}},
		{"short length", ct, "--b\r\ncontent-length: 1\r\n\r\nabc\r\n--b--", nil},
		{"long length", ct, "--b\r\ncontent-length: 9\r\n\r\nabc\r\n--b--", nil},
		{"cut", ct, "--b\r\nContent-Type: x\r\n\r\nabc", nil},
		{"no header end", ct, "--b\r\nContent-Type: x", nil},
		{"endless header", ct, "--b\r\nContent-Type: " + long + "\r\n\r\n\r\n--b--", nil},
		{"no boundary", ct, "abc", nil},
	}
	for _, tc := range cases {
		for _, r := range []io.Reader{strings.NewReader(tc.body), iotest.OneByteReader(strings.NewReader(tc.body)), iotest.DataErrReader(strings.NewReader(tc.body))} {
			var got, want []checksum
			for _, part := range tc.want {
				want = append(want, checksum{crc32.Checksum([]byte(part), castagnoli), int64(len(part))})
			}
			n, err := eachPart(tc.contentType, r, make([]byte, 64), func(c checksum) { got = append(got, c) })
			if tc.want == nil && err == nil {
				t.Errorf("%s: no error", tc.name)
			}
			if tc.want != nil && (err != nil || !slices.Equal(got, want) || n != int64(len(tc.body))) {
				t.Errorf("%s: got %v of %d bytes, %v", tc.name, got, n, err)
			}
		}
	}
	broken := errors.New("broken")
	if _, err := eachPart(ct, iotest.ErrReader(broken), make([]byte, 64), func(checksum) {}); !errors.Is(err, broken) {
		t.Errorf("broken: %v", err)
	}
}

// TestFramesOutOfOrder: the instances of a series may come in any order, frames may not.
func TestFramesOutOfOrder(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "multipart/related; boundary=b")
		_, _ = io.WriteString(w, "--b\r\n\r\nsecond\r\n--b\r\n\r\nfirst\r\n--b--")
	}))
	defer srv.Close()
	for _, ordered := range []bool{false, true} {
		want := fingerprint{ordered: ordered}
		for _, part := range []string{"first", "second"} {
			want.add(crc32.Checksum([]byte(part), castagnoli), int64(len(part)))
		}
		if _, err := fetch(t.Context(), testClient(t, srv.URL), "/", "", want); (err != nil) != ordered {
			t.Errorf("ordered %v: %v", ordered, err)
		}
	}
}

func FuzzEachPart(f *testing.F) {
	f.Add("b", []byte("--b\r\nContent-Length: 3\r\n\r\nabc\r\n--b--\r\n"))
	f.Add("b", []byte("--b\r\n\r\n\r\n--b\r\n\r\n\r\n--b--"))
	f.Add("", []byte("--\r\n\r\n--\r\n----"))
	f.Fuzz(func(t *testing.T, boundary string, body []byte) {
		total := int64(0)
		_, _ = eachPart("multipart/related; boundary=\""+boundary+"\"", bytes.NewReader(body), make([]byte, 100), func(c checksum) {
			total += c.size
		})
		if total > int64(len(body)) {
			t.Errorf("parts of %d bytes from %d", total, len(body))
		}
	})
}

// TestRequestsMadeAhead compares them with what is made as it is sent.
func TestRequestsMadeAhead(t *testing.T) {
	s := &Session{gen: NewGenerator(5)}
	s.gen.Prepare()
	todo := chunks(s.gen.Studies(8), 7) // of all kinds
	made := s.ahead(todo)
	if len(made) != len(todo) {
		t.Fatalf("%d of %d requests", len(made), len(todo))
	}
	var r stowRequest
	for i, instances := range todo {
		var blobs []*Blob
		for _, in := range instances {
			blobs = append(blobs, new(Blob))
			s.gen.Build(in, blobs[len(blobs)-1])
		}
		r.fill(blobs)
		if !bytes.Equal(bytes.Join(r.parts, nil), bytes.Join(made[i].parts, nil)) || r.bytes != made[i].bytes {
			t.Errorf("request %d differs", i)
		}
	}
}

// TestAnswersToStow tells a failure from UIDs that happen to have the digits of its tag.
func TestAnswersToStow(t *testing.T) {
	one := []*Instance{{UID: "2.25.100081197"}}
	for _, c := range []struct {
		answer string
		good   bool
	}{
		{`{"00081199":{"vr":"SQ","Value":[{"00081155":{"vr":"UI","Value":["2.25.100081197"]}}]}}`, true},
		{`{"00081198":{"vr":"SQ","Value":[{"00081155":{"vr":"UI","Value":["2.25.100081197"]},"00081197":{"vr":"US","Value":[273]}}]}}`, false},
		{`<DicomAttribute tag="00081155">2.25.100081197</DicomAttribute><DicomAttribute tag="00081197" vr="US"/>`, false},
		{`{}`, false},
	} {
		if err := checkStored([]byte(c.answer), one); (err == nil) != c.good {
			t.Errorf("%s: %v", c.answer, err)
		}
	}
}

// TestStowAnswer compares the yardstick's answer with what the client demands.
func TestStowAnswer(t *testing.T) {
	g := NewGenerator(3)
	in := g.Studies(1)[0].Series[0].Instances[0]
	var blob Blob
	g.Prepare()
	g.Build(in, &blob)
	var r stowRequest
	r.fill([]*Blob{&blob})
	if err := checkStored(StowAnswer(bytes.Join(r.parts, nil)), []*Instance{in}); err != nil {
		t.Error(err)
	}
	for _, body := range []string{"", "\x02\x00\x03\x00UI", "\x02\x00\x03\x00UI\xff\xff1"} {
		_ = StowAnswer([]byte(body))
	}
}
