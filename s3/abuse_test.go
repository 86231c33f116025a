package s3_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7/pkg/signer"
)

// Exactly one of many writers that ask for an absent key gets it.
func TestConditionalWriters(t *testing.T) {
	s := newSite(t)
	s.bucket("data")
	var won, lost atomic.Int32
	var writers sync.WaitGroup
	for i := range 16 {
		writers.Go(func() {
			switch a := s.do("PUT", "/data/o", fmt.Sprint(i), with("If-None-Match", "*")); a.status {
			case 200:
				won.Add(1)
			case 412:
				lost.Add(1)
			}
		})
	}
	writers.Wait()
	if won.Load() != 1 || lost.Load() != 15 {
		t.Errorf("%d won and %d lost of 16", won.Load(), lost.Load())
	}
}

// An upload that is cut short is never stored, however it is coded.
func TestCutShort(t *testing.T) {
	s := newSite(t)
	s.bucket("data")
	body := strings.Repeat("x", 100_000)
	plain := s.request("PUT", "/data/plain", body)
	plain.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	plain = signer.SignV4(*plain, rootID, rootSecret, "", "r")
	for name, part := range map[string]int{"nothing": 0, "half": 50_000, "all but one": 99_999} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		var raw bytes.Buffer
		fmt.Fprintf(&raw, "PUT /data/plain HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", plain.URL.Host, len(body))
		_ = plain.Header.Write(&raw)
		raw.WriteString("\r\n" + body[:part])
		if _, err := conn.Write(raw.Bytes()); err != nil {
			t.Fatal(err)
		}
		_ = conn.(*net.TCPConn).CloseWrite()
		resp, err := http.ReadResponse(bufio.NewReader(conn), plain)
		if err == nil && resp.StatusCode < 400 {
			t.Errorf("%s sent: %s", name, resp.Status)
		}
		_ = conn.Close()
	}
	s.do("GET", "/data/plain", "").want(404, "NoSuchKey")
}

// A listing page fits S3's limit whatever the keys; a key of nothing but characters that must be escaped is listed whole.
func TestAwkwardKeys(t *testing.T) {
	s := newSite(t)
	s.bucket("data")
	key := strings.Repeat("%26", 1024)
	s.put("data", key, "x")
	a := s.do("GET", "/data", "").want(200, "")
	if got := a.element("Key"); got != strings.Repeat("&amp;", 1024) {
		t.Errorf("listed as %d bytes", len(got))
	}
	body := "<Delete><Object><Key>" + strings.Repeat("&amp;", 1024) + "</Key></Object></Delete>"
	s.do("POST", "/data?delete", body, with("x-amz-checksum-crc32c", crc32c([]byte(body)))).want(200, "").wantBody("<Deleted>")
	s.do("GET", "/data/"+key, "").want(404, "NoSuchKey")
}

// Damage is an error, never wrong bytes, and concerns only the object that it hit.
func TestDamage(t *testing.T) {
	s := newSite(t)
	s.bucket("data")
	s.put("data", "hit", "find me here")
	s.put("data", "spared", "elsewhere")
	found := false
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		at := bytes.Index(b, []byte("find me here"))
		if at < 0 {
			return nil
		}
		found = true
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.WriteAt([]byte{'F'}, int64(at))
		return err
	})
	if err != nil || !found {
		t.Fatalf("found the bytes: %v, %v", found, err)
	}
	s.do("GET", "/data/hit", "").want(500, "InternalError")
	s.do("GET", "/data/hit", "", with("Range", "bytes=5-6")).want(500, "InternalError")
	s.do("PUT", "/data/copy", "", with("X-Amz-Copy-Source", "data/hit")).want(500, "InternalError")
	s.do("GET", "/data/copy", "").want(404, "NoSuchKey")
	if a := s.do("GET", "/data/spared", "").want(200, ""); a.body != "elsewhere" {
		t.Errorf("got %q", a.body)
	}
}
