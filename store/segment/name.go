package segment

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Member names: part of the format.
const (
	// ControlPrefix begins the name of every member that is not an object.
	ControlPrefix = ".gantry/"
	// FooterName is the name of the member that ends a sealed file.
	FooterName = ControlPrefix + "footer"

	extentPrefix = ControlPrefix + "extent/"
	maxPart      = 255 // what file systems take between two slashes, in bytes
	emptyPart    = "%"
	cutMark      = "%~" // before the hash of a part that was too long; no escape looks like it
)

// MemberName returns the name under which tar lists and extracts an object: "<bucket>/<key>", readable wherever that is possible. It
// is a pure function, and no two pairs of bucket and key give the same name.
//
// The key is cut at its slashes. In each part '%', backslashes, control characters and bytes that are not UTF-8 become
// %XX; an empty part becomes a single '%', "." and ".." get their dots escaped, and a part that is still longer than 255 bytes is cut and ends in
// "%~" and the SHA-256 of the whole part in hex. The bucket is one part, with slashes and a leading dot escaped.
func MemberName(bucket, key string) string {
	b := make([]byte, 0, len(bucket)+len(key)+8)
	b = appendPart(b, bucket, true)
	for {
		part, rest, more := strings.Cut(key, "/")
		b = appendPart(append(b, '/'), part, false)
		if !more {
			return string(b)
		}
		key = rest
	}
}

// ExtentName returns the name of the n-th extent of a stream. Extents of one stream are a folder of their own, and a shell's
// `cat folder/*` joins them in order.
func ExtentName(stream uint64, n int) string {
	return fmt.Sprintf("%s%016x/%08d", extentPrefix, stream, n)
}

// ControlName returns the name of a member that is neither object nor extent: ".gantry/<type>/<id>". The id is one part, its
// slashes escaped, so that no two of them are file and folder of the same name.
func ControlName(t Type, id string) string {
	b := append([]byte(ControlPrefix), t.String()...)
	return string(appendPart(append(b, '/'), id, true))
}

// appendPart appends one part of a name. One that is alone in its place has its slashes and its leading dot escaped too.
func appendPart(b []byte, part string, alone bool) []byte {
	if part == "" {
		return append(b, emptyPart...)
	}
	start := len(b)
	dots := part == "." || part == ".."
	for i := 0; i < len(part); {
		c := part[i]
		if c < utf8.RuneSelf {
			if c < ' ' || c == 0x7f || c == '%' || c == '\\' || c == '.' && (dots || alone && i == 0) || c == '/' && alone {
				b = appendEscape(b, c)
			} else {
				b = append(b, c)
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(part[i:])
		if r == utf8.RuneError && n == 1 || r < 0xa0 { // not UTF-8, or one of the control characters past ASCII
			for _, c := range []byte(part[i : i+n]) {
				b = appendEscape(b, c)
			}
		} else {
			b = append(b, part[i:i+n]...)
		}
		i += n
	}
	return cutPart(b, start, part)
}

// cutPart shortens the part that begins at start if it is too long for a file system.
func cutPart(b []byte, start int, part string) []byte {
	if len(b)-start <= maxPart {
		return b
	}
	to := start + maxPart - len(cutMark) - 2*sha256.Size
	for i := to - 1; i >= to-2; i-- { // not inside an escape
		if b[i] == '%' {
			to = i
			break
		}
	}
	for !utf8.RuneStart(b[to]) { // not inside a character
		to--
	}
	sum := sha256.Sum256([]byte(part))
	b = append(b[:to], cutMark...)
	return hex.AppendEncode(b, sum[:])
}

func appendEscape(b []byte, c byte) []byte {
	const upper = "0123456789ABCDEF"
	return append(b, '%', upper[c>>4], upper[c&15])
}
