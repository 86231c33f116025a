package s3_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7/pkg/signer"
)

// replay writes one signed request over and over, so that the client costs next to nothing.
func (s *site) replay(b *testing.B, method, target, body string, edits ...edit) {
	b.Helper()
	r := s.request(method, target, body)
	sum := sha256.Sum256([]byte(body))
	r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	for _, e := range edits {
		e(r)
	}
	r = signer.SignV4(*r, rootID, rootSecret, "", "us-east-1")
	var raw bytes.Buffer
	fmt.Fprintf(&raw, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", method, target, r.URL.Host, len(body))
	_ = r.Header.Write(&raw)
	raw.WriteString("\r\n" + body)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		br := bufio.NewReaderSize(conn, 64<<10)
		for pb.Next() {
			if _, err := conn.Write(raw.Bytes()); err != nil {
				b.Error(err)
				return
			}
			resp, err := http.ReadResponse(br, r)
			if err != nil || resp.StatusCode != 200 {
				b.Errorf("%v, %v", resp, err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
		}
	})
}

func BenchmarkPut128K(b *testing.B) {
	body := strings.Repeat("0123456789abcdef", 8<<10)
	unsigned := func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD") }
	b.Run("signed", func(b *testing.B) {
		s := newSite(b)
		s.bucket("data")
		b.SetParallelism(8)
		s.replay(b, "PUT", "/data/o", body)
	})
	b.Run("unsigned", func(b *testing.B) {
		s := newSite(b)
		s.bucket("data")
		b.SetParallelism(8)
		s.replay(b, "PUT", "/data/o", body, unsigned)
	})
	b.Run("small", func(b *testing.B) {
		s := newSite(b)
		s.bucket("data")
		b.SetParallelism(8)
		s.replay(b, "PUT", "/data/o", "x", unsigned)
	})
}

func BenchmarkGet128K(b *testing.B) {
	s := newSite(b)
	s.bucket("data")
	s.put("data", "o", strings.Repeat("0123456789abcdef", 8<<10))
	b.SetParallelism(8)
	s.replay(b, "GET", "/data/o", "")
}

func BenchmarkHead(b *testing.B) {
	s := newSite(b)
	s.bucket("data")
	s.put("data", "o", "x")
	b.SetParallelism(8)
	s.replay(b, "HEAD", "/data/o", "")
}

func BenchmarkList1000(b *testing.B) {
	s := newSite(b)
	s.bucket("data")
	for i := range 1000 {
		s.put("data", fmt.Sprintf("some/folder/object-%06d", i), "x")
	}
	b.ResetTimer()
	s.replay(b, "GET", "/data?list-type=2", "")
}
