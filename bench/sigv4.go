package bench

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
)

// A signer signs requests by AWS Signature Version 4 in headers, with an unsigned payload: hashing bodies is not what
// is measured. It belongs to one client.
type signer struct {
	id, secret, region string

	day string // that key is for
	key []byte
}

// signed is what of a request goes under the signature, besides our own three headers.
type signed struct {
	method string
	path   string // escaped
	query  string // escaped, sorted
	host   string
}

const unsignedPayload = "UNSIGNED-PAYLOAD"

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// signingKey derives the key of a day once.
func (s *signer) signingKey(day string) []byte {
	if s.day != day {
		k := mac([]byte("AWS4"+s.secret), day)
		k = mac(k, s.region)
		k = mac(k, "s3")
		s.key, s.day = mac(k, "aws4_request"), day
	}
	return s.key
}

// appendHeaders appends Authorization, X-Amz-Date and X-Amz-Content-Sha256 lines to b.
func (s *signer) appendHeaders(b []byte, r signed, now time.Time) []byte {
	stamp := now.UTC().Format("20060102T150405Z")
	day := stamp[:8]
	query := strings.Split(r.query, "&")
	for i, q := range query {
		if q != "" && !strings.Contains(q, "=") {
			query[i] = q + "=" // a sub-resource such as ?uploads is canonically uploads=
		}
	}
	const names = "host;x-amz-content-sha256;x-amz-date"
	canonical := r.method + "\n" + r.path + "\n" + strings.Join(query, "&") + "\n" +
		"host:" + r.host + "\nx-amz-content-sha256:" + unsignedPayload + "\nx-amz-date:" + stamp + "\n\n" +
		names + "\n" + unsignedPayload
	sum := sha256.Sum256([]byte(canonical))
	scope := day + "/" + s.region + "/s3/aws4_request"
	text := "AWS4-HMAC-SHA256\n" + stamp + "\n" + scope + "\n" + hex.EncodeToString(sum[:])
	signature := hex.EncodeToString(mac(s.signingKey(day), text))

	b = append(b, "X-Amz-Date: "...)
	b = append(b, stamp...)
	b = append(b, "\r\nX-Amz-Content-Sha256: "+unsignedPayload+"\r\nAuthorization: AWS4-HMAC-SHA256 Credential="...)
	b = append(append(append(b, s.id...), '/'), scope...)
	b = append(b, ", SignedHeaders="+names+", Signature="...)
	b = append(b, signature...)
	return append(b, "\r\n"...)
}
