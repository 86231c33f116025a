package s3

import (
	"sync"
	"time"
	"unicode/utf8"

	"gantry/s3/sigv4"
)

const (
	contentXML = "application/xml"
	xmlHeader  = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"
	namespace  = ` xmlns="http://s3.amazonaws.com/doc/2006-03-01/"`
	// timeXML is how S3 writes times in documents.
	timeXML = "2006-01-02T15:04:05.000Z"
)

// xmlWriter builds a document. Listings are long and frequent: it works without reflection, in one buffer.
type xmlWriter struct {
	b         []byte
	encodeURL bool // encoding-type=url is in force, for key
}

func newXML() *xmlWriter {
	return &xmlWriter{b: append(make([]byte, 0, 1024), xmlHeader...)}
}

// xmlPool keeps the buffers of listings. Larger ones than a page of 1000 ordinary keys are not kept.
var xmlPool = sync.Pool{New: func() any { return &xmlWriter{b: make([]byte, 0, 64<<10)} }}

const maxPooledXML = 1 << 20

func pooledXML() *xmlWriter {
	x, _ := xmlPool.Get().(*xmlWriter)
	x.b = append(x.b[:0], xmlHeader...)
	x.encodeURL = false
	return x
}

func (x *xmlWriter) release() {
	if cap(x.b) <= maxPooledXML {
		xmlPool.Put(x)
	}
}

// root opens the document's element in S3's namespace.
func (x *xmlWriter) root(name string) {
	x.b = append(x.b, '<')
	x.b = append(x.b, name...)
	x.b = append(x.b, namespace+">"...)
}

func (x *xmlWriter) open(name string) {
	x.b = append(x.b, '<')
	x.b = append(x.b, name...)
	x.b = append(x.b, '>')
}

func (x *xmlWriter) close(name string) {
	x.b = append(x.b, '<', '/')
	x.b = append(x.b, name...)
	x.b = append(x.b, '>')
}

func (x *xmlWriter) text(name, value string) {
	x.open(name)
	x.b = appendXML(x.b, value)
	x.close(name)
}

// optional writes an element only if it has a value.
func (x *xmlWriter) optional(name, value string) {
	if value != "" {
		x.text(name, value)
	}
}

func (x *xmlWriter) int(name string, n int64) { x.text(name, itoa(n)) }

func (x *xmlWriter) bool(name string, v bool) {
	if v {
		x.text(name, "true")
	} else {
		x.text(name, "false")
	}
}

func (x *xmlWriter) time(name string, t time.Time) {
	x.open(name)
	x.b = t.UTC().AppendFormat(x.b, timeXML)
	x.close(name)
}

// etag writes an entity tag in its quotes.
func (x *xmlWriter) etag(value string) {
	x.b = append(x.b, "<ETag>&quot;"...)
	x.b = appendXML(x.b, value)
	x.b = append(x.b, "&quot;</ETag>"...)
}

// key writes a key, prefix or delimiter, encoded if the client asked for that.
func (x *xmlWriter) key(name, value string) {
	x.open(name)
	if x.encodeURL {
		x.b = sigv4.AppendEscape(x.b, value, true)
	} else {
		x.b = appendXML(x.b, value)
	}
	x.close(name)
}

func (x *xmlWriter) owner(element, id string) {
	x.open(element)
	x.text("ID", id)
	x.text("DisplayName", id)
	x.close(element)
}

// appendXML escapes text. Control characters become character references, as S3 writes them although XML 1.0 has none for
// most: clients that expect such keys ask for encoding-type=url.
func appendXML(b []byte, s string) []byte {
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		esc, n := "", 1
		switch {
		case c == '&':
			esc = "&amp;"
		case c == '<':
			esc = "&lt;"
		case c == '>':
			esc = "&gt;"
		case c == '"':
			esc = "&quot;"
		case c == '\'':
			esc = "&apos;"
		case c < ' ' && c != '\n' && c != '\t' || c == 0x7f:
			esc = controlReference(c)
		case c >= utf8.RuneSelf:
			esc, n = checkRune(s[i:])
		}
		if esc != "" {
			b = append(b, s[start:i]...)
			b = append(b, esc...)
			start = i + n
		}
		i += n
	}
	return append(b, s[start:]...)
}

func controlReference(c byte) string {
	const digits = "0123456789abcdef"
	if c < 16 {
		return string([]byte{'&', '#', 'x', digits[c], ';'})
	}
	return string([]byte{'&', '#', 'x', digits[c>>4], digits[c&15], ';'})
}

// checkRune replaces what is not UTF-8 or not a character of XML.
func checkRune(s string) (escape string, n int) {
	r, n := utf8.DecodeRuneInString(s)
	if r == utf8.RuneError && n == 1 || r == 0xFFFE || r == 0xFFFF {
		return "\uFFFD", n
	}
	return "", n
}

func (g *Gateway) sendXML(r *request, x *xmlWriter) {
	r.SetHeader("Content-Type", contentXML)
	r.SendBytes(x.b)
}
