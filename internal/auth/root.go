package auth

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Forms of generated keys, those that S3 clients expect: an id of 20 capital
// letters and digits, a secret of 40 characters.
const (
	idPrefix     = "GK"
	idLength     = 20
	secretLength = 40

	maxRootFile = 4 << 10
)

// Generate makes a credential from fresh randomness: 93 bits of id, 240 bits of secret.
func Generate(perm Permission, buckets ...string) Credential {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	id := make([]byte, 0, idLength)
	id = append(id, idPrefix...)
	for len(id) < idLength {
		var b [1]byte
		_, _ = rand.Read(b[:]) // never fails: it ends the program instead
		// 252 is the largest multiple of 36 in a byte; the rest would favour some.
		if b[0] < 252 {
			id = append(id, alphabet[b[0]%36])
		}
	}
	raw := make([]byte, secretLength*3/4)
	_, _ = rand.Read(raw)
	return Credential{ID: string(id), Secret: base64.RawURLEncoding.EncodeToString(raw), Permissions: perm, Buckets: buckets}
}

// rootFile is the root key as stored.
type rootFile struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

// LoadOrCreateRoot reads the root key from the file path or, if there is none,
// makes one and writes it there with mode 0600; created then is true, and only
// then. A file that others can read is refused. The file is either whole and on
// stable storage or not there, and of several processes that create it at the same time one wins.
func LoadOrCreateRoot(path string) (root Credential, created bool, err error) {
	root, err = loadRoot(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return root, false, err
	}
	root = Generate(All)
	err = createRoot(path, root)
	if errors.Is(err, fs.ErrExist) {
		root, err = loadRoot(path)
		return root, false, err
	}
	if err != nil {
		return Credential{}, false, err
	}
	return root, true, nil
}

func loadRoot(path string) (Credential, error) {
	f, err := os.Open(path)
	if err != nil {
		return Credential{}, fmt.Errorf("open root key: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return Credential{}, fmt.Errorf("stat root key: %w", err)
	}
	if m := info.Mode(); !m.IsRegular() || m.Perm()&0o077 != 0 {
		return Credential{}, fmt.Errorf("root key %s: mode is %v, want a file with mode 0600", path, m)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxRootFile+1))
	if err != nil {
		return Credential{}, fmt.Errorf("read root key: %w", err)
	}
	var rf rootFile
	if len(raw) > maxRootFile || json.Unmarshal(raw, &rf) != nil {
		return Credential{}, fmt.Errorf("root key %s: not a key file", path)
	}
	c := Credential{ID: rf.ID, Secret: rf.Secret, Permissions: All}
	if err := c.validate(); err != nil {
		return Credential{}, fmt.Errorf("root key %s: %w", path, err)
	}
	return c, nil
}

// createRoot publishes the file by a hard link, which unlike a rename fails if
// the name is taken.
func createRoot(path string, root Credential) (err error) {
	raw, err := json.MarshalIndent(rootFile{ID: root.ID, Secret: root.Secret}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode root key: %w", err)
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".root-key-*") // mode 0600
	if err != nil {
		return fmt.Errorf("create root key: %w", err)
	}
	defer func() {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}()
	if _, err := f.Write(append(raw, '\n')); err != nil {
		return fmt.Errorf("write root key: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync root key: %w", err)
	}
	if err := os.Link(f.Name(), path); err != nil {
		return fmt.Errorf("publish root key: %w", err)
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open directory of root key: %w", err)
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync directory of root key: %w", err)
	}
	return nil
}
