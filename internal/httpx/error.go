package httpx

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"

	"github.com/valyala/fasthttp"
)

// Error is an error that the adapter itself makes, before the handler runs, while it
// reads the body, or in its place after a panic. The gateways render it in their own form.
type Error struct {
	// Status is 400, 408, 411, 413, 431, 500 or 503.
	Status int
	// Code is a short name in the manner of S3's error codes.
	Code string
	// Message is fit for the client; it never quotes the request.
	Message string
	cause   error
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

func (e *Error) Unwrap() error { return e.cause }

func errBadRequest(message string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "BadRequest", Message: message}
}

func errTimeout(cause error) *Error {
	return &Error{Status: http.StatusRequestTimeout, Code: "RequestTimeout",
		Message: "the request arrived too slowly", cause: cause}
}

func errTooLarge() *Error {
	return &Error{Status: http.StatusRequestEntityTooLarge, Code: "EntityTooLarge",
		Message: "the request body is larger than is allowed here"}
}

func errHeadersTooLarge() *Error {
	return &Error{Status: http.StatusRequestHeaderFieldsTooLarge, Code: "RequestHeaderSectionTooLarge",
		Message: "the request headers are too large"}
}

func errInternal() *Error {
	return &Error{Status: http.StatusInternalServerError, Code: "InternalError", Message: "internal error"}
}

// ErrLengthRequired is for handlers that need a Content-Length and got none.
var ErrLengthRequired error = &Error{Status: http.StatusLengthRequired, Code: "MissingContentLength",
	Message: "a Content-Length header is required"}

// errParked tells fasthttp to let go of a connection between requests. It wraps
// net.ErrClosed so that fasthttp sends nothing to the client.
var errParked = errParkedConn{}

type errParkedConn struct{}

func (errParkedConn) Error() string   { return "connection parked" }
func (errParkedConn) Is(t error) bool { return t == net.ErrClosed }

// bodyError translates an error from reading a request body into what Ctx.Body
// documents. fasthttp's own error says little (a connection that ends between
// two chunks even gives a clean io.EOF), so it is the connection that tells:
// connErr is the first error in reading from it. Without one, what came was malformed.
func bodyError(connErr error) error {
	var own *Error
	switch {
	case connErr == nil:
		return errBadRequest("malformed chunked body")
	case errors.As(connErr, &own):
		return own
	}
	return io.ErrUnexpectedEOF
}

// requestError translates an error from fasthttp's reading of a request.
func requestError(err error) *Error {
	var own *Error
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, new(*fasthttp.ErrSmallBuffer)):
		return errHeadersTooLarge()
	case isTimeout(err):
		return errTimeout(err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &Error{Status: http.StatusBadRequest, Code: "IncompleteBody",
			Message: "the request ended early", cause: err}
	}
	return errBadRequest("malformed request")
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &ne) && ne.Timeout()
}

// plainErrorWriter serves those who configure none.
func plainErrorWriter(c *Ctx, err error) {
	var e *Error
	if !errors.As(err, &e) {
		e = errInternal()
	}
	c.SetHeader("Content-Type", "text/plain; charset=utf-8")
	c.Status(e.Status)
	c.SendBytes([]byte(e.Error() + "\n"))
}
