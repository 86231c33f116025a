package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func newTLSTransport(pool *x509.CertPool) *http.Transport {
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
}

// newCertificate makes a self-signed certificate for names, or else for 127.0.0.1.
func newCertificate(t *testing.T, names ...string) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gantry test"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), DNSNames: names, IsCA: true, BasicConstraintsValid: true,
	}
	if names == nil {
		tmpl.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(certFile, certPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600); err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return certFile, keyFile, pool
}

// TestOwnCertificateOfAnotherName: commands on the server's machine know its certificate, which is for the name that others use.
func TestOwnCertificateOfAnotherName(t *testing.T) {
	for _, name := range []string{"images.example.org", "*.example.org"} {
		cert, key, _ := newCertificate(t, name)
		if name[0] == '*' { // both in one file
			cert, key = joined(t, key, cert), joined(t, key, cert)
		}
		s := newSite(t, "GANTRY_TLS_CERT="+cert, "GANTRY_TLS_KEY="+key)
		r := s.serve()
		was := s.env
		s.env = append(slices.Clone(s.env), "GANTRY_URL=", "GANTRY_WEB_LISTEN="+strings.TrimPrefix(r.web, "https://"))
		s.must(0, "status")
		s.env = was
		r.stop()
	}
}

func joined(t *testing.T, files ...string) string {
	t.Helper()
	var all []byte
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	path := filepath.Join(t.TempDir(), "joined.pem")
	if err := os.WriteFile(path, all, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTLSOnBothListeners(t *testing.T) {
	cert, key, pool := newCertificate(t)
	s := newSite(t, "GANTRY_TLS_CERT="+cert, "GANTRY_TLS_KEY="+key)
	r := s.serve()
	if !strings.HasPrefix(r.web, "https://") || !strings.HasPrefix(r.s3, "https://") {
		t.Fatalf("said %v", r.said)
	}
	r.trust(pool)
	if status, _, body := r.get("/healthz", false); status != http.StatusOK {
		t.Errorf("healthz over TLS: %d %s", status, body)
	}
	if resp, err := r.client.Get(r.s3 + "/"); err != nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("S3 over TLS: %v, %v", resp, err)
	}
	plain := "http" + strings.TrimPrefix(r.web, "https")
	if resp, err := http.Get(plain + "/healthz"); err == nil && resp.StatusCode == http.StatusOK {
		t.Error("the web listener speaks plain HTTP as well")
	}
	if got := s.run("status"); got.code != 1 || !strings.Contains(got.errOut, "certificate") {
		t.Errorf("status without trust: exit code %d\n%s", got.code, got.errOut)
	}
	s.must(0, "status", "--ca-file", cert)
	r.stop()
	s.env = append(s.env, "GANTRY_TLS_KEY="+cert)
	if got := s.run("serve"); got.code != 2 {
		t.Errorf("serve with a wrong key: exit code %d\n%s", got.code, got.errOut)
	}
}
