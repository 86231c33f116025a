package clienttest_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/md5"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const mib = 1 << 20

// content makes n bytes that differ from seed to seed and don't compress.
func content(n int, seed uint64) []byte {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	b := make([]byte, n)
	_, _ = mathrand.NewChaCha8(key).Read(b) // never fails
	return b
}

// same fails the test unless both are the same bytes; it never prints them, for they may be pixels.
func same(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	n := 0
	for n < len(got) && n < len(want) && got[n] == want[n] {
		n++
	}
	t.Fatalf("%s: got %d bytes, want %d; first difference at %d", what, len(got), len(want), n)
}

// equal compares two printable values.
func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// etag is the ETag of an object that was put in one piece.
func etag(b []byte) string {
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}

// multipartETag is the ETag of an object completed from these parts.
func multipartETag(parts ...[]byte) string {
	h := md5.New()
	for _, p := range parts {
		sum := md5.Sum(p)
		h.Write(sum[:])
	}
	return fmt.Sprintf("%x-%d", h.Sum(nil), len(parts))
}

func writeFile(t *testing.T, path string, b []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// tree is a set of files by slash-separated name.
type tree map[string][]byte

// sampleTree has the names that sync tools stumble over.
func sampleTree() tree {
	files := tree{
		"plain.txt":              []byte("plain"),
		"empty":                  {},
		"deep/er/and/deeper.bin": content(100_000, 1),
		"with space/a b.txt":     []byte("space"),
		"plus+sign/1+1=2.txt":    []byte("plus"),
		"ünïcödé/日本語.txt":        []byte("unicode"),
		"percent/100%25.txt":     []byte("percent"),
		"amp&ersand/<q>'.txt":    []byte("xml"),
		"large.bin":              content(9*mib+17, 2),
	}
	for i := range 20 {
		files[fmt.Sprintf("many/%03d.bin", i)] = content(1000+i, uint64(100+i))
	}
	return files
}

// write puts the files below dir.
func (f tree) write(t *testing.T, dir string) {
	t.Helper()
	for name, b := range f {
		writeFile(t, filepath.Join(dir, filepath.FromSlash(name)), b)
	}
}

// check fails unless dir holds exactly these files.
func (f tree) check(t *testing.T, dir string) {
	t.Helper()
	found := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		want, ok := f[filepath.ToSlash(name)]
		if !ok {
			return fmt.Errorf("unexpected file %q", name)
		}
		found++
		same(t, name, readFile(t, path), want)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "files in "+dir, found, len(f))
}

// pki is a certificate authority and a certificate for 127.0.0.1 and localhost.
type pki struct {
	caFile, certFile, keyFile string
	pool                      *x509.CertPool
}

func newPKI(t *testing.T) pki {
	t.Helper()
	caKey, caCert := certificate(t, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gantry test authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte{1},
	}, nil, nil)
	key, cert := certificate(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost", "*.localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, SubjectKeyId: []byte{2}, AuthorityKeyId: []byte{1},
	}, caCert, caKey)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p := pki{pool: x509.NewCertPool()}
	p.pool.AddCert(caCert)
	p.caFile = writeFile(t, filepath.Join(dir, "ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caCert.Raw}))
	p.certFile = writeFile(t, filepath.Join(dir, "cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
	p.keyFile = filepath.Join(dir, "key.pem")
	if err := os.WriteFile(p.keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// certificate makes a key and a certificate signed by the parent, or by itself.
func certificate(t *testing.T, template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}
