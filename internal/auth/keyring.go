package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Reasons why a request is not authenticated. Which of them it was is no
// business of the client's.
var (
	ErrNoCredentials = errors.New("auth: no credentials")
	ErrMalformed     = errors.New("auth: malformed Authorization header")
	ErrUnknownKey    = errors.New("auth: unknown key")
	ErrWrongSecret   = errors.New("auth: wrong secret")
)

// maxHeader bounds an Authorization header that is worth decoding.
const maxHeader = 4 << 10

// Keyring is an immutable set of credentials. A nil Keyring is empty.
type Keyring struct {
	byID map[string]entry
}

type entry struct {
	cred Credential
	hash [sha256.Size]byte // of the secret
}

// NewKeyring validates and collects credentials; ids must be unique.
func NewKeyring(creds ...Credential) (*Keyring, error) {
	k := &Keyring{byID: make(map[string]entry, len(creds))}
	for _, c := range creds {
		if err := c.validate(); err != nil {
			return nil, err
		}
		if _, ok := k.byID[c.ID]; ok {
			return nil, fmt.Errorf("auth: key id %s occurs twice", c.ID)
		}
		c.Buckets = append([]string(nil), c.Buckets...)
		k.byID[c.ID] = entry{cred: c, hash: sha256.Sum256([]byte(c.Secret))}
	}
	return k, nil
}

// Len is the number of credentials.
func (k *Keyring) Len() int {
	if k == nil {
		return 0
	}
	return len(k.byID)
}

// Lookup finds a credential by its id. It proves nothing about who asks.
func (k *Keyring) Lookup(id string) (Credential, bool) {
	if k == nil {
		return Credential{}, false
	}
	e, ok := k.byID[id]
	return e.cred, ok
}

// Check returns the credential with this id and secret, or ErrUnknownKey or
// ErrWrongSecret. Its time depends on neither of the secrets.
func (k *Keyring) Check(id, secret string) (Credential, error) {
	var e entry
	var known bool
	if k != nil {
		e, known = k.byID[id]
	}
	// Hashing makes the lengths equal; an unknown id is compared all the same.
	hash := sha256.Sum256([]byte(secret))
	same := subtle.ConstantTimeCompare(hash[:], e.hash[:]) == 1
	switch {
	case !known:
		return Credential{}, ErrUnknownKey
	case !same:
		return Credential{}, ErrWrongSecret
	}
	return e.cred, nil
}

// Authenticate checks an Authorization header with Basic or Bearer
// credentials. An empty header is ErrNoCredentials.
func (k *Keyring) Authenticate(header string) (Credential, error) {
	if header == "" {
		return Credential{}, ErrNoCredentials
	}
	id, secret, ok := ParseBasic(header)
	if !ok {
		id, secret, ok = ParseBearer(header)
	}
	if !ok {
		return Credential{}, ErrMalformed
	}
	return k.Check(id, secret)
}

// ParseBasic takes user id and password from a Basic Authorization header
// (RFC 7617). The password may contain colons, the id may not.
func ParseBasic(header string) (id, secret string, ok bool) {
	rest, ok := cutScheme(header, "Basic")
	if !ok {
		return "", "", false
	}
	raw, err := base64.StdEncoding.DecodeString(rest)
	if err != nil {
		raw, err = base64.RawStdEncoding.DecodeString(rest)
	}
	if err != nil {
		return "", "", false
	}
	return strings.Cut(string(raw), ":")
}

// ParseBearer takes key id and secret from a Bearer Authorization header (RFC 6750) with a
// token of the form that Credential.Token gives.
func ParseBearer(header string) (id, secret string, ok bool) {
	rest, ok := cutScheme(header, "Bearer")
	if !ok {
		return "", "", false
	}
	return strings.Cut(rest, ".")
}

// cutScheme removes an authentication scheme, whose case doesn't matter, and the spaces after it.
func cutScheme(header, scheme string) (string, bool) {
	n := len(scheme)
	if len(header) > maxHeader || len(header) <= n || header[n] != ' ' || !strings.EqualFold(header[:n], scheme) {
		return "", false
	}
	return strings.Trim(header[n:], " "), true
}
