package httpx

import (
	"bytes"
	"strings"
)

// framing is what the raw header block says about the body, before fasthttp's
// interpretation.
type framing struct {
	hasLength   bool // a Content-Length header is present
	hasTransfer bool // a Transfer-Encoding header is present
	bareLF      bool // some line ends in LF alone
}

// scanFraming looks at a raw header block: header lines, without the request
// line. It allocates nothing.
func scanFraming(raw []byte) framing {
	var f framing
	for len(raw) > 0 {
		end := bytes.IndexByte(raw, '\n')
		if end < 0 {
			end = len(raw)
		} else if end == 0 || raw[end-1] != '\r' {
			f.bareLF = true
		}
		line := raw[:end]
		raw = raw[min(end+1, len(raw)):]
		if len(line) == 0 {
			continue
		}
		switch line[0] | 0x20 {
		case 'c':
			f.hasLength = f.hasLength || isHeaderLine(line, "content-length")
		case 't':
			f.hasTransfer = f.hasTransfer || isHeaderLine(line, "transfer-encoding")
		}
	}
	return f
}

func isHeaderLine(line []byte, name string) bool {
	return len(line) > len(name) && line[len(name)] == ':' && strings.EqualFold(string(line[:len(name)]), name)
}

// headerValues finds the values of a header in a raw header block.
func headerValues(raw []byte, name string) (values []string) {
	for line := range bytes.Lines(raw) {
		if isHeaderLine(line, name) {
			values = append(values, string(bytes.TrimSpace(line[len(name)+1:])))
		}
	}
	return values
}

// check refuses what two parsers could read differently: a proxy in front of
// us that takes the other reading would let a client smuggle a request past
// it. fasthttp has already refused repeated or malformed lengths and unknown
// transfer codings, but lets these pass (RFC 9112 sections 2.2, 6.1 and 6.3).
func (f framing) check(chunked bool) error {
	switch {
	case f.bareLF:
		return errBadRequest("header line not terminated by CRLF")
	case f.hasTransfer && f.hasLength:
		return errBadRequest("both Content-Length and Transfer-Encoding")
	case f.hasTransfer && !chunked:
		return errBadRequest("unsupported Transfer-Encoding")
	}
	return nil
}
