package auth_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"gantry/internal/auth"
)

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}

func TestAuthenticate(t *testing.T) {
	a := auth.Credential{ID: "GKA", Secret: "sec:ret", Permissions: auth.All}
	b := auth.Credential{ID: "GKB", Secret: "x-y_z", Permissions: auth.Read}
	ring, err := auth.NewKeyring(a, b)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, header string
		want         string
		err          error
	}{
		{"basic", basic("GKA", "sec:ret"), "GKA", nil},
		{"scheme in lower case", strings.Replace(basic("GKA", "sec:ret"), "Basic", "basic", 1), "GKA", nil},
		{"without padding", strings.TrimRight(basic("GKA", "sec:ret"), "="), "GKA", nil},
		{"bearer", "Bearer " + b.Token(), "GKB", nil},
		{"wrong secret", basic("GKA", "secret"), "", auth.ErrWrongSecret},
		{"empty secret", basic("GKA", ""), "", auth.ErrWrongSecret},
		{"secret of another", basic("GKA", "x-y_z"), "", auth.ErrWrongSecret},
		{"unknown", basic("GKC", ""), "", auth.ErrUnknownKey},
		{"wrong bearer", "Bearer GKB.x-y_", "", auth.ErrWrongSecret},
		{"bearer without dot", "Bearer GKB", "", auth.ErrMalformed},
		{"no colon", "Basic " + base64.StdEncoding.EncodeToString([]byte("GKA")), "", auth.ErrMalformed},
		{"no base64", "Basic !!!", "", auth.ErrMalformed},
		{"scheme only", "Basic", "", auth.ErrMalformed},
		{"other scheme", "Digest abc", "", auth.ErrMalformed},
		{"too long", basic("GKA", strings.Repeat("x", 5000)), "", auth.ErrMalformed},
		{"nothing", "", "", auth.ErrNoCredentials},
	} {
		got, err := ring.Authenticate(c.header)
		if got.ID != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: got %q, %v; want %q, %v", c.name, got.ID, err, c.want, c.err)
		}
	}
	if _, err := (*auth.Keyring)(nil).Authenticate(basic("GKA", "sec:ret")); !errors.Is(err, auth.ErrUnknownKey) {
		t.Errorf("empty keyring: %v", err)
	}
}

func TestNewKeyringRefuses(t *testing.T) {
	ok := auth.Credential{ID: "A", Secret: "s"}
	for name, creds := range map[string][]auth.Credential{
		"twice":         {ok, ok},
		"no id":         {{Secret: "s"}},
		"no secret":     {{ID: "A"}},
		"colon in id":   {{ID: "A:B", Secret: "s"}},
		"dot in id":     {{ID: "A.B", Secret: "s"}},
		"slash in id":   {{ID: "A/B", Secret: "s"}},
		"unnamed buket": {{ID: "A", Secret: "s", Buckets: []string{""}}},
	} {
		if _, err := auth.NewKeyring(creds...); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestAllows(t *testing.T) {
	cred := auth.Credential{Permissions: auth.Read | auth.Write, Buckets: []string{"ct", "mr-*"}}
	all := auth.Credential{Permissions: auth.All}
	for _, c := range []struct {
		cred   auth.Credential
		perm   auth.Permission
		bucket string
		want   bool
	}{
		{cred, auth.Read, "ct", true},
		{cred, auth.Read | auth.Write, "ct", true},
		{cred, auth.Read | auth.Delete, "ct", false},
		{cred, auth.Read, "ct2", false},
		{cred, auth.Read, "mr-1", true},
		{cred, auth.Read, "mr", false},
		{cred, auth.Read, "", true},
		{cred, auth.Admin, "", false},
		{cred, auth.None, "ct", false},
		{all, auth.Admin, "any", true},
		{auth.Credential{}, auth.Read, "", false},
		{auth.Credential{Permissions: auth.Read, Buckets: []string{"*"}}, auth.Read, "any", true},
	} {
		if got := auth.Allows(c.cred, c.perm, c.bucket); got != c.want {
			t.Errorf("%v on %v: %v in %q: got %v", c.cred.Permissions, c.cred.Buckets, c.perm, c.bucket, got)
		}
	}
}

func TestParsePermissions(t *testing.T) {
	got, err := auth.ParsePermissions("read", "delete")
	if err != nil || got != auth.Read|auth.Delete || got.String() != "read,delete" {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := auth.ParsePermissions("all"); err != nil || got != auth.All {
		t.Errorf("all: got %v, %v", got, err)
	}
	if _, err := auth.ParsePermissions("read", "fly"); err == nil {
		t.Error("unknown name accepted")
	}
}

func TestSecretStaysOutOfText(t *testing.T) {
	c := auth.Credential{ID: "GKA", Secret: "hush"}
	var b strings.Builder
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "cred", c)
	for _, s := range []string{fmt.Sprint(c), fmt.Sprintf("%v %+v %#v %s", c, c, c, c), b.String()} {
		if strings.Contains(s, "hush") {
			t.Errorf("secret shown: %s", s)
		}
	}
}

func TestLoadOrCreateRoot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.key")
	first, created, err := auth.LoadOrCreateRoot(path)
	if err != nil || !created {
		t.Fatalf("first: created %v, %v", created, err)
	}
	if !regexp.MustCompile(`^GK[A-Z0-9]{18}$`).MatchString(first.ID) ||
		!regexp.MustCompile(`^[A-Za-z0-9_-]{40}$`).MatchString(first.Secret) || first.Permissions != auth.All {
		t.Errorf("root key %s with secret of %d characters", first.ID, len(first.Secret))
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", fi.Mode(), err)
	}
	again, created, err := auth.LoadOrCreateRoot(path)
	if err != nil || created || again.ID != first.ID || again.Secret != first.Secret {
		t.Errorf("second: created %v, same %v, %v", created, again.ID == first.ID, err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("%d files left, want 1", len(entries))
	}
}

func TestRootRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.key")
	var wg sync.WaitGroup
	var mu sync.Mutex
	ids, creators := map[string]bool{}, 0
	for range 8 {
		wg.Go(func() {
			c, created, err := auth.LoadOrCreateRoot(path)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			ids[c.ID] = true
			if created {
				creators++
			}
		})
	}
	wg.Wait()
	if len(ids) != 1 || creators != 1 {
		t.Errorf("%d keys by %d creators, want one by one", len(ids), creators)
	}
}

func TestRootRefusesBadFiles(t *testing.T) {
	dir := t.TempDir()
	good := `{"id":"GKA","secret":"s"}`
	for name, f := range map[string]struct {
		text string
		mode os.FileMode
	}{
		"readable by others": {good, 0o644},
		"not json":           {"GKA s", 0o600},
		"no secret":          {`{"id":"GKA"}`, 0o600},
		"empty":              {"", 0o600},
		"huge":               {good + strings.Repeat(" ", 5000), 0o600},
	} {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		if err := os.WriteFile(path, []byte(f.text), f.mode); err != nil {
			t.Fatal(err)
		}
		if _, created, err := auth.LoadOrCreateRoot(path); err == nil || created {
			t.Errorf("%s: created %v, error %v", name, created, err)
		}
		if b, _ := os.ReadFile(path); string(b) != f.text {
			t.Errorf("%s: file was changed", name)
		}
	}
	if _, _, err := auth.LoadOrCreateRoot(filepath.Join(dir, "missing", "root.key")); err == nil {
		t.Error("missing directory: no error")
	}
}

func FuzzAuthenticate(f *testing.F) {
	f.Add(basic("GKA", "s"))
	f.Add("Bearer GKA.s")
	f.Add("Basic ====")
	f.Add("bearer  .")
	ring, err := auth.NewKeyring(auth.Credential{ID: "GKA", Secret: "s"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header string) {
		c, err := ring.Authenticate(header)
		if (err == nil) != (c.ID == "GKA") {
			t.Fatalf("%q: %v, %v", header, c, err)
		}
		if err == nil {
			id, secret, ok := auth.ParseBasic(header)
			if !ok {
				id, secret, ok = auth.ParseBearer(header)
			}
			if !ok || id != "GKA" || secret != "s" {
				t.Fatalf("%q let in", header)
			}
		}
	})
}
