package s3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"gantry/internal/httpx"
	"gantry/s3/sigv4"
	"gantry/store"
)

// apiError is an error as S3 words it.
type apiError struct {
	code    code
	message string
	fields  []sigv4.Field // further elements of the document
	headers []header      // further response headers
}

// newError makes an error; an empty message stands for S3's own.
func newError(c code, message string) *apiError {
	if message == "" {
		message = messages[c]
	}
	return &apiError{code: c, message: message}
}

func (e *apiError) Error() string { return string(e.code) + ": " + e.message }

// with adds an element to the error document.
func (e *apiError) with(name, value string) *apiError {
	e.fields = append(e.fields, sigv4.Field{Name: name, Value: value})
	return e
}

func (e *apiError) withHeader(name, value string) *apiError {
	e.headers = append(e.headers, header{name, value})
	return e
}

func errArgument(message, name, value string) *apiError {
	return newError(codeInvalidArgument, message).with("ArgumentName", name).with("ArgumentValue", clip(value))
}

func errNotImplemented(what, name string) *apiError {
	return newError(codeNotImplemented, "A "+what+" you provided implies functionality that is not implemented").with(what, clip(name))
}

// clip keeps what a client sent from filling an answer.
func clip(s string) string {
	const limit = 256
	if len(s) > limit {
		return s[:limit]
	}
	return s
}

// sentinels maps what the store says to what S3 says. The first match counts.
var sentinels = []struct {
	err     error
	code    code
	message string
}{
	{store.ErrNotFound, codeNoSuchKey, ""},
	{store.ErrNoBucket, codeNoSuchBucket, ""},
	{store.ErrNoUpload, codeNoSuchUpload, ""},
	{store.ErrBucketExists, codeBucketOwned, ""},
	{store.ErrBucketNotEmpty, codeBucketNotEmpty, ""},
	{store.ErrInvalidBucketName, codeInvalidBucketName, ""},
	{store.ErrInvalidKey, codeInvalidURI, ""},
	{store.ErrPrecondition, codePreconditionFailed, ""},
	{store.ErrTooLarge, codeEntityTooLarge, ""},
	{store.ErrMetadataTooLarge, codeMetadataTooLarge, ""},
	{store.ErrIncompleteBody, codeIncompleteBody, ""},
	{store.ErrInvalidPartOrder, codeInvalidPartOrder, ""},
	{store.ErrInvalidPart, codeInvalidPart, ""},
	{store.ErrPartTooSmall, codeEntityTooSmall, ""},
	{store.ErrRetained, codeAccessDenied, "Access Denied because object protected by object lock."},
	{store.ErrDuplicate, codeInvalidRequest, "Another object with this SOP Instance UID is stored."},
	{store.ErrFull, codeSlowDown, "The disk is full: writes are refused until space is freed."},
	{store.ErrBusy, codeSlowDown, ""},
	{store.ErrBroken, codeServiceUnavailable, ""},
	{store.ErrClosed, codeServiceUnavailable, ""},
	{store.ErrCorrupt, codeInternalError, "Stored data is damaged; the damage is reported to the operator."},
	{io.ErrUnexpectedEOF, codeIncompleteBody, ""},
	{context.Canceled, codeRequestTimeout, ""},
	{context.DeadlineExceeded, codeRequestTimeout, ""},
}

// translate finds the S3 error for any error that an operation may return.
func translate(err error) *apiError {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*sigv4.Error](err); ok {
		return &apiError{code: code(e.Code), message: e.Message, fields: e.Fields}
	}
	if e, ok := errors.AsType[*httpx.Error](err); ok {
		return translateHTTP(e)
	}
	if errors.Is(err, store.ErrNotDICOM) {
		return newError(codeInvalidRequest, "The bucket is strict and takes only DICOM objects: "+clip(err.Error()))
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			return newError(s.code, s.message)
		}
	}
	return newError(codeInternalError, "")
}

// translateHTTP words what the HTTP adapter refuses.
func translateHTTP(e *httpx.Error) *apiError {
	switch e.Status {
	case http.StatusRequestTimeout:
		return newError(codeRequestTimeout, "")
	case http.StatusLengthRequired:
		return newError(codeMissingContentLength, "")
	case http.StatusRequestEntityTooLarge:
		return newError(codeEntityTooLarge, "")
	case http.StatusServiceUnavailable:
		return newError(codeSlowDown, e.Message)
	case http.StatusInternalServerError:
		return newError(codeInternalError, "")
	}
	return newError(code(e.Code), e.Message)
}

// WriteError renders any error as S3 does; it is the ErrorWriter of the S3 listener.
func (g *Gateway) WriteError(c *httpx.Ctx, err error) {
	e := translate(err)
	g.stamp(c)
	status := e.code.status()
	if status == http.StatusInternalServerError && !errors.Is(err, store.ErrCorrupt) { // which the store has logged
		g.logger.Error("request failed", "request_id", c.RequestID(), "route", c.Route, "error", err)
	}
	if e.code == codeSlowDown || e.code == codeServiceUnavailable {
		c.SetHeader("Retry-After", "5")
	}
	for _, h := range e.headers {
		c.SetHeader(h.name, h.value)
	}
	if c.Method() == http.MethodHead {
		c.NoContent(status)
		return
	}
	c.Status(status)
	c.SetHeader("Content-Type", contentXML)
	c.SendBytes(g.errorDocument(c, e))
}

func (g *Gateway) errorDocument(c *httpx.Ctx, e *apiError) []byte {
	x := newXML()
	x.open("Error")
	x.text("Code", string(e.code))
	x.text("Message", e.message)
	for _, f := range e.fields {
		x.text(f.Name, printable(f.Value))
	}
	resource, ok := sigv4.Unescape(c.RawPath(), false)
	if !ok {
		resource = c.RawPath()
	}
	x.text("Resource", printable(resource))
	x.text("RequestId", c.RequestID())
	x.text("HostId", g.hostID)
	x.close("Error")
	return x.b
}

// printable replaces what XML 1.0 has no character for: a client that can't read the document would not learn the code.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' {
			return utf8.RuneError
		}
		return r
	}, s)
}

func itoa[T int | int64](n T) string { return strconv.FormatInt(int64(n), 10) }
