package dicomweb

import (
	"sort"
	"strconv"
	"strings"

	"gantry/internal/httpx"
)

// Media types of PS3.18 8.7.
const (
	typeDICOM       = "application/dicom"
	typeDICOMJSON   = "application/dicom+json"
	typeJSON        = "application/json"
	typeDICOMXML    = "application/dicom+xml"
	typeOctetStream = "application/octet-stream"
	typeRelated     = "multipart/related"
	typeWADL        = "application/vnd.sun.wadl+xml"
)

// Bounds of what a client may send in Accept and Content-Type.
const (
	maxAcceptBytes  = 16 << 10
	maxMediaRanges  = 64
	maxMediaParams  = 16
	maxBoundaryLen  = 256 // RFC 2046 5.1.1 says 70, but Orthanc sends 73
	anyTransfer     = "*"
	explicitLE      = "1.2.840.10008.1.2.1"
	implicitLE      = "1.2.840.10008.1.2"
	deflatedLE      = "1.2.840.10008.1.2.1.99"
	explicitBE      = "1.2.840.10008.1.2.2"
	maxQualityValue = 1000
	nothing         = "none" // the name of a range that covers no media type
)

// mediaRange is one media type of an Accept or Content-Type header with the parameters that matter here.
type mediaRange struct {
	name     string // lower-case type/subtype, "*/*" included
	inner    string // lower-case media type of the type parameter of multipart/related; "" if absent
	syntax   string // transfer-syntax parameter, "*" included; "" if absent
	boundary string
	quality  int // thousandths: 0..1000
}

// wildcard tells whether the range names no media type of its own.
func (m mediaRange) wildcard() bool { return strings.HasSuffix(m.name, "/*") }

// matches tells whether the range covers the media type name.
func (m mediaRange) matches(name string) bool {
	if m.name == "*/*" || m.name == name {
		return true
	}
	return m.wildcard() && strings.HasPrefix(name, m.name[:len(m.name)-1])
}

// parseAccept reads the values of all Accept headers (RFC 9110 12.5.1) in order of preference: by quality, exact types
// before wildcards, then as sent. Parameter values may be unquoted even where the grammar wants quotes, for that is what
// clients send. Elements that make no sense are skipped, and so are ranges with q=0; if there are none but those, nothing is acceptable.
func parseAccept(values []string) []mediaRange {
	var out []mediaRange
	refused := false
	for _, v := range values {
		if len(v) > maxAcceptBytes {
			continue
		}
		for _, element := range httpx.SplitUnquoted(v, ',') {
			m, ok := parseMedia(element)
			refused = refused || ok && m.quality == 0
			if ok && m.quality > 0 && len(out) < maxMediaRanges {
				out = append(out, m)
			}
		}
	}
	if refused && len(out) == 0 {
		return []mediaRange{{name: nothing}}
	}
	sort.SliceStable(out, func(i, j int) bool {
		if out[i].quality != out[j].quality {
			return out[i].quality > out[j].quality
		}
		return !out[i].wildcard() && out[j].wildcard()
	})
	return out
}

// parseMedia reads one media type with parameters.
func parseMedia(s string) (mediaRange, bool) {
	fields := httpx.SplitUnquoted(s, ';')
	if len(fields) > maxMediaParams {
		fields = fields[:maxMediaParams]
	}
	m := mediaRange{name: mediaName(fields[0]), quality: maxQualityValue}
	if m.name == "" {
		return m, false
	}
	for _, f := range fields[1:] {
		name, value, ok := strings.Cut(f, "=")
		if !ok {
			continue
		}
		value = unquote(strings.TrimSpace(value))
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "q":
			m.quality = parseQuality(value)
		case "type":
			inner, _, _ := strings.Cut(value, ";")
			m.inner = mediaName(inner)
		case "transfer-syntax":
			m.syntax = value
		case "boundary":
			m.boundary = value
		}
	}
	return m, true
}

// mediaName normalises type/subtype. A space inside stands for the '+' that form decoding of a query parameter ate.
func mediaName(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	s = strings.ReplaceAll(s, " ", "+")
	typ, sub, ok := strings.Cut(s, "/")
	if s == "*" {
		return "*/*"
	}
	if !ok || typ == "" || sub == "" || strings.ContainsAny(s, "\"\\()<>@:[]?={}\t\r\n") {
		return ""
	}
	return s
}

func parseQuality(s string) int {
	q, err := strconv.ParseFloat(s, 64)
	switch {
	case err != nil || q > 1:
		return maxQualityValue
	case !(q > 0):
		return 0
	}
	return int(q * maxQualityValue)
}

// unquote takes off the quotes of a quoted-string; anything else is returned as it is.
func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return strings.Trim(s, `"`)
	}
	s = s[1 : len(s)-1]
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
