package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Verifier checks signatures. It is safe for concurrent use.
type Verifier struct {
	secret func(keyID string) (string, bool)
	now    func() time.Time
	skew   time.Duration
	keys   keyCache
}

// NewVerifier makes a Verifier: secret looks a key up, skew is how far a client's clock may be off.
func NewVerifier(secret func(keyID string) (string, bool), now func() time.Time, skew time.Duration) *Verifier {
	return &Verifier{secret: secret, now: now, skew: skew}
}

// Verify checks a parsed signature against the request. path is the decoded path. On success it returns the key that
// signed, which the chunks of the body need.
func (v *Verifier) Verify(r Request, path string, q Query, s *Signature) ([]byte, error) {
	secret, ok := v.secret(s.KeyID)
	if !ok {
		return nil, &Error{Code: "InvalidAccessKeyId", Message: "The AWS Access Key Id you provided does not exist in our records.",
			Fields: []Field{{"AWSAccessKeyId", clip(s.KeyID)}}}
	}
	if err := v.checkTime(s); err != nil {
		return nil, err
	}
	if err := checkSigned(r, s); err != nil {
		return nil, err
	}
	key := v.keys.get(secret, s)
	canonical := appendCanonicalRequest(make([]byte, 0, 1024), r, path, q, s)
	sum := sha256.Sum256(canonical)
	toSign := make([]byte, 0, 256)
	toSign = append(toSign, algorithm+"\n"...)
	toSign = append(toSign, s.Time...)
	toSign = append(toSign, '\n')
	toSign = append(toSign, s.Scope()...)
	toSign = append(toSign, '\n')
	toSign = hex.AppendEncode(toSign, sum[:])
	if !equalMAC(key, toSign, s.Hex) {
		return nil, mismatch(s.KeyID, string(toSign), clip(s.Hex), string(canonical))
	}
	return key, nil
}

func (v *Verifier) checkTime(s *Signature) error {
	now := v.now().UTC()
	if !s.Presigned {
		if d := now.Sub(s.At); d > v.skew || d < -v.skew {
			return &Error{Code: "RequestTimeTooSkewed", Message: "The difference between the request time and the current time is too large.",
				Fields: []Field{{"RequestTime", s.Time}, {"ServerTime", now.Format(time.RFC3339)},
					{"MaxAllowedSkewMilliseconds", strconv.FormatInt(v.skew.Milliseconds(), 10)}}}
		}
		return nil
	}
	if s.At.Sub(now) > v.skew {
		return denied("Request is not yet valid", Field{"ServerTime", now.Format(time.RFC3339)})
	}
	if end := s.At.Add(s.Expires); now.After(end) {
		return denied("Request has expired", Field{"X-Amz-Expires", strconv.Itoa(int(s.Expires.Seconds()))},
			Field{"Expires", end.Format(time.RFC3339)}, Field{"ServerTime", now.Format(time.RFC3339)})
	}
	return nil
}

// checkSigned refuses x-amz-* headers that the signature does not cover: anybody could have added them.
func checkSigned(r Request, s *Signature) error {
	var unsigned []string
	r.VisitHeaders(func(name, _ string) {
		if len(name) < 6 || !strings.EqualFold(name[:6], "x-amz-") {
			return
		}
		name = strings.ToLower(name)
		// The payload hash is part of every canonical request.
		if name != "x-amz-content-sha256" && !slices.Contains(s.SignedHeaders, name) {
			unsigned = append(unsigned, name)
		}
	})
	if unsigned == nil {
		return nil
	}
	return denied("There were headers present in the request which were not signed",
		Field{"HeadersNotSigned", strings.Join(unsigned, ", ")})
}

func appendCanonicalRequest(b []byte, r Request, path string, q Query, s *Signature) []byte {
	b = append(b, r.Method()...)
	b = append(b, '\n')
	b = AppendEscape(b, path, true)
	b = append(b, '\n')
	b = q.appendCanonical(b)
	b = append(b, '\n')
	for _, name := range s.SignedHeaders {
		b = append(b, name...)
		b = append(b, ':')
		b = appendHeader(b, r, name)
		b = append(b, '\n')
	}
	b = append(b, '\n')
	for i, name := range s.SignedHeaders {
		if i > 0 {
			b = append(b, ';')
		}
		b = append(b, name...)
	}
	b = append(b, '\n')
	return append(b, s.Payload...)
}

func appendHeader(b []byte, r Request, name string) []byte {
	if name == "host" {
		return append(b, r.Host()...)
	}
	for i, v := range r.Headers(name) {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendTrimmed(b, v)
	}
	return b
}

// appendTrimmed drops spaces at both ends and collapses runs of them.
func appendTrimmed(b []byte, v string) []byte {
	v = strings.Trim(v, " \t")
	if !strings.Contains(v, "  ") {
		return append(b, v...)
	}
	space := false
	for i := range len(v) {
		if v[i] == ' ' && space {
			continue
		}
		space = v[i] == ' '
		b = append(b, v[i])
	}
	return b
}

func equalMAC(key, text []byte, want string) bool {
	var mac [sha256.Size]byte
	var hexMAC [2 * sha256.Size]byte
	h := hmac.New(sha256.New, key)
	h.Write(text)
	hex.Encode(hexMAC[:], h.Sum(mac[:0]))
	return subtle.ConstantTimeCompare(hexMAC[:], []byte(want)) == 1
}

// keyCache keeps derived signing keys, which cost four HMACs each and are the same all day.
type keyCache struct {
	mu   sync.RWMutex // guards keys
	keys map[scopedKey][]byte
}

type scopedKey struct{ secret, date, region string }

const maxCachedKeys = 1024

func (c *keyCache) get(secret string, s *Signature) []byte {
	id := scopedKey{secret, s.Date, s.Region}
	c.mu.RLock()
	key := c.keys[id]
	c.mu.RUnlock()
	if key != nil {
		return key
	}
	key = mac([]byte("AWS4"+secret), s.Date)
	key = mac(key, s.Region)
	key = mac(key, service)
	key = mac(key, terminator)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys == nil || len(c.keys) >= maxCachedKeys {
		c.keys = make(map[scopedKey][]byte)
	}
	// What is kept must not alias the request's memory.
	c.keys[scopedKey{secret, strings.Clone(s.Date), strings.Clone(s.Region)}] = key
	return key
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
