// Package sigv4 checks AWS Signature Version 4 as S3 uses it: in the Authorization header, in the query of a presigned
// URL, and chunk by chunk in an aws-chunked body
// (https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html). It knows requests only through
// an interface, and keys only through a function.
package sigv4

// Values that the protocol fixes.
const (
	algorithm   = "AWS4-HMAC-SHA256"
	ecdsa       = "AWS4-ECDSA-P256-SHA256"
	terminator  = "aws4_request"
	service     = "s3"
	timeFormat  = "20060102T150405Z"
	emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// Payload says how the body of a request is protected: one of these, or the hex SHA-256 of the body.
const (
	UnsignedPayload          = "UNSIGNED-PAYLOAD"
	StreamingPayload         = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	StreamingPayloadTrailer  = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	StreamingUnsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
)

// Limits on what a request may bring.
const (
	MaxExpires       = 7 * 24 * 3600 // seconds a presigned URL may live
	maxParams        = 256           // query parameters
	maxSignedHeaders = 128
	maxCredential    = 512  // bytes of a credential
	maxAuthorization = 8192 // bytes of an Authorization header
)

// Request is what a signature covers. Names of headers are given in lower case; values as received.
type Request interface {
	Method() string
	Host() string
	Header(name string) string    // first value, empty if absent
	Headers(name string) []string // every value
	VisitHeaders(fn func(name, value string))
}
