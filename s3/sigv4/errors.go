package sigv4

import "fmt"

// Error is a refusal, with S3's code and the elements that S3 adds to its error document.
type Error struct {
	Code    string
	Message string
	Fields  []Field
}

// Field is one additional element of an error document.
type Field struct{ Name, Value string }

func (e *Error) Error() string { return e.Code + ": " + e.Message }

func malformedHeader(format string, args ...any) error {
	return &Error{Code: "AuthorizationHeaderMalformed",
		Message: "The authorization header is malformed; " + fmt.Sprintf(format, args...)}
}

func malformedQuery(format string, args ...any) error {
	return &Error{Code: "AuthorizationQueryParametersError", Message: fmt.Sprintf(format, args...)}
}

func denied(message string, fields ...Field) error {
	return &Error{Code: "AccessDenied", Message: message, Fields: fields}
}

func notImplemented(message string) error { return &Error{Code: "NotImplemented", Message: message} }

func invalidArgument(message, name, value string) error {
	return &Error{Code: "InvalidArgument", Message: message,
		Fields: []Field{{"ArgumentName", name}, {"ArgumentValue", value}}}
}

func mismatch(keyID, stringToSign, provided, canonical string) error {
	e := &Error{Code: "SignatureDoesNotMatch",
		Message: "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
		Fields: []Field{{"AWSAccessKeyId", keyID}, {"StringToSign", stringToSign}, {"SignatureProvided", provided},
			{"StringToSignBytes", fmt.Sprintf("% x", stringToSign)}}}
	if canonical != "" {
		e.Fields = append(e.Fields, Field{"CanonicalRequest", canonical}, Field{"CanonicalRequestBytes", fmt.Sprintf("% x", canonical)})
	}
	return e
}
