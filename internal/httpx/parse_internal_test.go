package httpx

import (
	"net/netip"
	"strings"
	"testing"
)

func FuzzScanFraming(f *testing.F) {
	f.Add("Host: h\r\nContent-Length: 5\r\n\r\n")
	f.Add("transfer-encoding:chunked\r\nX: y\n\r\n")
	f.Add("Content-Length")
	f.Fuzz(func(t *testing.T, raw string) {
		got := scanFraming([]byte(raw))
		var want framing
		for line := range strings.Lines(raw) {
			want.bareLF = want.bareLF || strings.HasSuffix(line, "\n") && !strings.HasSuffix(line, "\r\n")
			name, _, ok := strings.Cut(line, ":")
			if ok && isASCII(name) {
				want.hasLength = want.hasLength || strings.ToLower(name) == "content-length"
				want.hasTransfer = want.hasTransfer || strings.ToLower(name) == "transfer-encoding"
			}
		}
		if got != want {
			t.Fatalf("%q: got %+v, want %+v", raw, got, want)
		}
	})
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// Whatever a header says, a host that comes of it can stand in a URL.
func FuzzForwarded(f *testing.F) {
	f.Add(`for="[2001:db8::1]:80";proto=https;host="a:1", for=10.1.1.1`, "192.0.2.1, 10.0.0.1")
	f.Add(`for="\"`, ",,")
	s := &Server{cfg: Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, fw := range []forwarded{s.parseForwarded([]string{a, b}), s.parseXForwarded([]string{a}, []string{b}, []string{a, b})} {
			if strings.ContainsAny(fw.host, "/?#@<>\"' \r\n\\") {
				t.Fatalf("host %q", fw.host)
			}
			if fw.scheme != "" && fw.scheme != "http" && fw.scheme != "https" {
				t.Fatalf("scheme %q", fw.scheme)
			}
		}
	})
}
