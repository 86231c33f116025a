package sigv4

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Signature is a signature as the client sent it, parsed and not yet checked.
type Signature struct {
	KeyID, Date, Region string // Date is YYYYMMDD, of the credential scope
	Time                string // x-amz-date, in ISO 8601 basic format
	SignedHeaders       []string
	Hex                 string // the signature itself
	Payload             string // what stands for the body in the canonical request
	Presigned           bool
	At                  time.Time     // Time, parsed
	Expires             time.Duration // of a presigned URL
}

// Scope is the credential scope.
func (s *Signature) Scope() string {
	return s.Date + "/" + s.Region + "/" + service + "/" + terminator
}

// Parse reads the signature of a request; nil means that the request is anonymous.
func Parse(r Request, q Query) (*Signature, error) {
	auth := r.Header("authorization")
	switch {
	case q.Has("X-Amz-Algorithm") || q.Has("X-Amz-Signature") || q.Has("X-Amz-Credential"):
		if auth != "" {
			return nil, invalidArgument("Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query "+
				"string parameter or the Authorization header should be specified", "Authorization", "")
		}
		return parseQuery(r, q)
	case auth != "":
		return parseHeader(r, auth)
	case q.Has("AWSAccessKeyId") && q.Has("Signature"):
		return nil, errVersion2()
	}
	return nil, nil
}

func errVersion2() error {
	return &Error{Code: "InvalidRequest",
		Message: "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."}
}

func parseHeader(r Request, auth string) (*Signature, error) {
	if len(auth) > maxAuthorization {
		return nil, malformedHeader("it is too long.")
	}
	scheme, rest, _ := strings.Cut(auth, " ")
	switch scheme {
	case algorithm:
	case "AWS":
		return nil, errVersion2()
	case ecdsa:
		return nil, notImplemented("Signatures of version 4A are not implemented. Please use AWS4-HMAC-SHA256.")
	default:
		return nil, invalidArgument("Unsupported Authorization Type", "Authorization", scheme)
	}
	s := &Signature{}
	if err := s.parseFields(rest); err != nil {
		return nil, err
	}
	s.Time = r.Header("x-amz-date")
	if err := s.parseHeaderTime(r); err != nil {
		return nil, err
	}
	s.Payload = r.Header("x-amz-content-sha256")
	if s.Payload == "" {
		return nil, &Error{Code: "InvalidRequest", Message: "Missing required header for this request: x-amz-content-sha256"}
	}
	return s, CheckPayload(s.Payload)
}

// parseFields reads Credential=…, SignedHeaders=…, Signature=… in any order.
func (s *Signature) parseFields(rest string) error {
	var credential, signed string
	for field := range strings.SplitSeq(rest, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(field), "=")
		if !ok {
			return malformedHeader("the authorization component \"%s\" is malformed.", clip(field))
		}
		switch name {
		case "Credential":
			credential = value
		case "SignedHeaders":
			signed = value
		case "Signature":
			s.Hex = value
		}
	}
	if credential == "" || signed == "" || s.Hex == "" {
		return malformedHeader("the authorization header requires three components: Credential, SignedHeaders, and Signature.")
	}
	if reason := s.parseCredential(credential); reason != "" {
		return malformedHeader("%s", reason)
	}
	if !s.parseSignedHeaders(signed) {
		return malformedHeader("SignedHeaders must be sorted lower-case names and include host.")
	}
	return nil
}

// parseCredential returns why a credential is not one.
func (s *Signature) parseCredential(c string) (reason string) {
	if len(c) > maxCredential {
		return "the Credential is mal-formed; it is too long."
	}
	// The key id may itself contain slashes: the scope is the last four parts.
	parts := strings.Split(c, "/")
	n := len(parts)
	if n < 5 {
		return "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\"."
	}
	s.KeyID = strings.Join(parts[:n-4], "/")
	s.Date, s.Region = parts[n-4], parts[n-3]
	switch {
	case s.KeyID == "":
		return "a non-empty Access Key (AKID) must be provided in the credential."
	case !isDate(s.Date):
		return "incorrect date format \"" + clip(s.Date) + "\". This date in the credential must be in the format \"yyyyMMdd\"."
	case parts[n-2] != service:
		return "incorrect service \"" + clip(parts[n-2]) + "\". This endpoint belongs to \"s3\"."
	case parts[n-1] != terminator:
		return "incorrect terminal \"" + clip(parts[n-1]) + "\". This endpoint uses \"aws4_request\"."
	}
	return ""
}

func isDate(s string) bool {
	_, err := time.Parse("20060102", s)
	return err == nil
}

func (s *Signature) parseSignedHeaders(list string) bool {
	if strings.Count(list, ";") >= maxSignedHeaders {
		return false
	}
	s.SignedHeaders = strings.Split(list, ";")
	return slices.Contains(s.SignedHeaders, "host")
}

func (s *Signature) parseHeaderTime(r Request) error {
	var err error
	if s.Time == "" {
		// Date may stand in for x-amz-date; RFC 1123 is what HTTP says, ISO 8601 basic is what some send.
		date := r.Header("date")
		if s.At, err = time.Parse(time.RFC1123, date); err != nil {
			s.At, err = time.Parse(timeFormat, date)
		}
		s.Time = s.At.UTC().Format(timeFormat)
	} else {
		s.At, err = time.Parse(timeFormat, s.Time)
	}
	if err != nil {
		return denied("AWS authentication requires a valid Date or x-amz-date header")
	}
	if s.Time[:8] != s.Date {
		return malformedHeader("Invalid credential date \"%s\". This date is not the same as X-Amz-Date: \"%s\".", s.Date, s.Time[:8])
	}
	return nil
}

func parseQuery(r Request, q Query) (*Signature, error) {
	for _, name := range []string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Expires"} {
		if q.Get(name) == "" {
			return nil, malformedQuery("Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, " +
				"X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.")
		}
	}
	switch q.Get("X-Amz-Algorithm") {
	case algorithm:
	case ecdsa:
		return nil, notImplemented("Signatures of version 4A are not implemented. Please use AWS4-HMAC-SHA256.")
	default:
		return nil, malformedQuery("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"")
	}
	s := &Signature{Presigned: true, Hex: q.Get("X-Amz-Signature"), Time: q.Get("X-Amz-Date"), Payload: UnsignedPayload}
	if reason := s.parseCredential(q.Get("X-Amz-Credential")); reason != "" {
		return nil, malformedQuery("Error parsing the X-Amz-Credential parameter; %s", reason)
	}
	if !s.parseSignedHeaders(q.Get("X-Amz-SignedHeaders")) {
		return nil, malformedQuery("X-Amz-SignedHeaders must name at most %d headers and include host.", maxSignedHeaders)
	}
	if err := s.parseQueryTimes(q); err != nil {
		return nil, err
	}
	if v := r.Header("x-amz-content-sha256"); v != "" {
		s.Payload = v
	}
	if v := q.Get("X-Amz-Content-Sha256"); v != "" {
		s.Payload = v
	}
	return s, CheckPayload(s.Payload)
}

func (s *Signature) parseQueryTimes(q Query) error {
	var err error
	if s.At, err = time.Parse(timeFormat, s.Time); err != nil {
		return malformedQuery("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
	}
	if s.Time[:8] != s.Date {
		return malformedQuery("Invalid credential date \"%s\". This date is not the same as X-Amz-Date: \"%s\".", s.Date, s.Time[:8])
	}
	n, err := strconv.ParseInt(q.Get("X-Amz-Expires"), 10, 64)
	switch {
	case err != nil:
		return malformedQuery("X-Amz-Expires should be a number")
	case n < 0:
		return malformedQuery("X-Amz-Expires must be non-negative")
	case n > MaxExpires:
		return malformedQuery("X-Amz-Expires must be less than a week (in seconds) that is, the given X-Amz-Expires must be less than %d seconds", MaxExpires)
	}
	s.Expires = time.Duration(n) * time.Second
	return nil
}

// CheckPayload tells whether x-amz-content-sha256 may have this value.
func CheckPayload(p string) error {
	switch p {
	case UnsignedPayload, StreamingPayload, StreamingPayloadTrailer, StreamingUnsignedTrailer:
		return nil
	case "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER":
		return notImplemented("Signatures of version 4A are not implemented. Please use AWS4-HMAC-SHA256.")
	}
	if IsSHA256(p) {
		return nil
	}
	return invalidArgument("x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, "+
		"STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.",
		"x-amz-content-sha256", clip(p))
}

// IsSHA256 tells whether p is the hex form of a SHA-256.
func IsSHA256(p string) bool {
	if len(p) != 64 {
		return false
	}
	for i := range len(p) {
		if unhex(p[i]) > 15 {
			return false
		}
	}
	return true
}

// clip keeps what a client sent from filling an error document.
func clip(s string) string {
	const limit = 128
	if len(s) > limit {
		return s[:limit]
	}
	return s
}
