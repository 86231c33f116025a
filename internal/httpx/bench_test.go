package httpx_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"gantry/internal/budget"
	"gantry/internal/httpx"
)

const benchSize = 128 << 10

// pooled is a response body as the gateways send it: bytes in a pooled buffer.
type pooled struct{ b []byte }

func (p *pooled) Read([]byte) (int, error) { panic("written, not read") }
func (p *pooled) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(p.b)
	return int64(n), err
}
func (p *pooled) Close() error { return nil }

var benchBody = bytes.Repeat([]byte("0123456789abcdef"), benchSize/16)

func startHTTPX(b *testing.B) string {
	return serve(b, httpx.Config{Handler: func(c *httpx.Ctx) error {
		if c.Method() == "GET" {
			c.SendStream(benchSize, &pooled{benchBody})
			return nil
		}
		buf := budget.GetBuf(benchSize)
		defer budget.PutBuf(buf)
		if _, err := io.ReadFull(c.Body(), buf); err != nil {
			return err
		}
		c.NoContent(200)
		return nil
	}}).addr
}

// startBare is the yardstick: fasthttp with the same settings and nothing around it.
func startBare(b *testing.B) string {
	s := &fasthttp.Server{
		StreamRequestBody: true, ReadBufferSize: 32 << 10, MaxRequestBodySize: math.MaxInt,
		NoDefaultServerHeader: true, NoDefaultContentType: true,
		Handler: func(rc *fasthttp.RequestCtx) {
			if rc.IsGet() {
				rc.SetBodyStream(&pooled{benchBody}, benchSize)
				return
			}
			buf := budget.GetBuf(benchSize)
			defer budget.PutBuf(buf)
			if _, err := io.ReadFull(rc.RequestBodyStream(), buf); err != nil {
				rc.SetStatusCode(http.StatusBadRequest)
			}
		},
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go s.Serve(ln)
	b.Cleanup(func() { _ = s.Shutdown() })
	return ln.Addr().String()
}

// BenchmarkLoopback moves 128 KiB each way over one connection.
func BenchmarkLoopback(b *testing.B) {
	put := append([]byte(fmt.Sprintf("PUT /bucket/key HTTP/1.1\r\nHost: localhost:9000\r\nUser-Agent: bench\r\nContent-Length: %d\r\n\r\n", benchSize)), benchBody...)
	get := []byte("GET /bucket/key HTTP/1.1\r\nHost: localhost:9000\r\nUser-Agent: bench\r\n\r\n")
	for _, op := range []struct {
		name string
		req  []byte
		resp int64
	}{{"PUT", put, 0}, {"GET", get, benchSize}} {
		for _, server := range []struct {
			name  string
			start func(*testing.B) string
		}{{"bare", startBare}, {"httpx", startHTTPX}} {
			b.Run(op.name+"/"+server.name, func(b *testing.B) {
				addr := server.start(b)
				nc, err := net.Dial("tcp", addr)
				if err != nil {
					b.Fatal(err)
				}
				defer nc.Close()
				br := bufio.NewReaderSize(nc, 64<<10)
				b.SetBytes(benchSize)
				b.ReportAllocs()
				start := cpuTime()
				for b.Loop() {
					if _, err := nc.Write(op.req); err != nil {
						b.Fatal(err)
					}
					if err := skipResponse(br, op.resp); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(cpuTime()-start)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// skipResponse is a client that costs next to nothing.
func skipResponse(br *bufio.Reader, body int64) error {
	for {
		line, err := br.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) == 2 {
			break
		}
	}
	_, err := br.Discard(int(body))
	return err
}

// cpuTime is this process's, client and server together: unlike the elapsed
// time it doesn't depend on what else the machine does.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
