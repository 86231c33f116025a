package sigv4_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"gantry/s3/sigv4"
)

func FuzzParseHeader(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential="+exampleScope+",SignedHeaders=host;range,Signature=f0e8", "20130524T000000Z", emptyHash)
	f.Add("AWS4-HMAC-SHA256 Credential=a/b/20130524/r/s3/aws4_request, SignedHeaders=host, Signature=0", "", sigv4.StreamingPayload)
	f.Add("AWS a:b", "x", "")
	f.Fuzz(func(t *testing.T, auth, date, payload string) {
		r := &request{method: "GET", host: "h", path: "/", headers: [][2]string{{"Authorization", auth}, {"X-Amz-Date", date}, {"X-Amz-Content-Sha256", payload}}}
		checkParsed(t, r, nil)
	})
}

func FuzzPresigned(f *testing.F) {
	f.Add("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" + exampleScope + "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=ae")
	f.Add("AWSAccessKeyId=x&Signature=y")
	f.Add("a=%2B+&b&=&%zz")
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := sigv4.ParseQuery(raw)
		if err != nil {
			return
		}
		checkParsed(t, &request{method: "GET", host: "h", path: "/", query: raw}, q)
		for _, p := range q {
			if back, ok := sigv4.Unescape(string(sigv4.AppendEscape(nil, p.Value, false)), true); !ok || back != p.Value {
				t.Errorf("%q came back as %q", p.Value, back)
			}
		}
	})
}

// checkParsed makes sure that whatever was accepted is complete, that refusals have a code, and that garbage does not verify.
func checkParsed(t *testing.T, r *request, q sigv4.Query) {
	s, err := sigv4.Parse(r, q)
	var e *sigv4.Error
	if err != nil && (!errors.As(err, &e) || e.Code == "" || e.Message == "") {
		t.Errorf("error without code: %v", err)
	}
	if err != nil || s == nil {
		return
	}
	if s.KeyID == "" || len(s.Date) != 8 || s.At.IsZero() && s.Time == "" || s.Payload == "" || s.Expires < 0 || s.Expires.Seconds() > sigv4.MaxExpires {
		t.Errorf("accepted %+v", s)
	}
	if _, err := exampleVerifier().Verify(r, "/", q, s); err == nil {
		t.Errorf("a made-up signature verified: %+v", s)
	}
}

func FuzzChunked(f *testing.F) {
	f.Add([]byte("3\r\nabc\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"), int64(3), byte(2), true)
	f.Add([]byte("3;chunk-signature="+strings.Repeat("0", 64)+"\r\nabc\r\n0;chunk-signature="+strings.Repeat("0", 64)+"\r\n\r\n"), int64(3), byte(0), false)
	f.Add([]byte("ffffffffffffffff\r\n"), int64(1<<40), byte(2), true)
	kinds := []string{sigv4.StreamingPayload, sigv4.StreamingPayloadTrailer, sigv4.StreamingUnsignedTrailer}
	f.Fuzz(func(t *testing.T, raw []byte, length int64, kind byte, trailer bool) {
		cfg := sigv4.Chunks{Payload: kinds[int(kind)%len(kinds)], Length: max(length, 0)}
		if trailer {
			cfg.Trailers = []string{"x-amz-checksum-crc32"}
		}
		whole, err1 := readChunks(bytes.NewReader(raw), cfg)
		slow, err2 := readChunks(iotest.OneByteReader(bytes.NewReader(raw)), cfg)
		if (err1 == nil) != (err2 == nil) || !bytes.Equal(whole, slow) {
			t.Errorf("read at once: %d bytes, %v; byte by byte: %d bytes, %v", len(whole), err1, len(slow), err2)
		}
		if err1 == nil && int64(len(whole)) != cfg.Length {
			t.Errorf("accepted %d bytes instead of %d", len(whole), cfg.Length)
		}
		if cfg.Payload != sigv4.StreamingUnsignedTrailer {
			cfg.Signature, cfg.Key = &sigv4.Signature{Hex: "00"}, []byte("key")
			if _, err := readChunks(bytes.NewReader(raw), cfg); err == nil {
				t.Error("made-up chunk signatures verified")
			}
		}
	})
}

func readChunks(r io.Reader, cfg sigv4.Chunks) ([]byte, error) {
	c := sigv4.NewChunkReader(r, cfg)
	defer c.Close()
	return io.ReadAll(c)
}
