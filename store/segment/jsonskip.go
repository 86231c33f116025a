package segment

import (
	"strings"
	"unicode/utf8"
)

// maxJSONDepth is how deep the JSON in a header may nest. DICOM sequences go to 128, with three JSON levels for each.
const maxJSONDepth = 1024

// validJSON says whether b is one JSON value, in UTF-8, with nothing around it and nested no deeper than maxJSONDepth.
func validJSON(b []byte) bool {
	if len(b) == 0 || b[0] <= ' ' || !utf8.Valid(b) {
		return false
	}
	s := viewString(b)
	end, bad := skipValue(s, 0)
	return bad == "" && end == len(s)
}

// skipValue returns where the value that begins at s[i] ends, or what is wrong with it. It checks all of JSON's grammar, in
// one pass and without recursion, however deep the value is.
func skipValue(s string, i int) (end int, bad string) {
	var arrays [maxJSONDepth / 64]uint64 // one bit a level: array, not object
	depth, array := 0, false
	for {
		i = skipSpace(s, i)
		if i == len(s) {
			return i, "value expected"
		}
		c := s[i]
		if c == '{' || c == '[' {
			if depth == maxJSONDepth {
				return i, "nested too deep"
			}
			array = c == '['
			arrays[depth/64] &^= 1 << (depth % 64)
			if array {
				arrays[depth/64] |= 1 << (depth % 64)
			}
			depth++
			i = skipSpace(s, i+1)
			if i == len(s) || s[i] != c+2 { // ']' and '}' are two after '[' and '{'
				if !array {
					if i, bad = skipKey(s, i); bad != "" {
						return i, bad
					}
				}
				continue
			}
			depth--
			i++
		} else if i, bad = skipScalar(s, i); bad != "" {
			return i, bad
		}
		// A value has ended: close what ends with it, or go on after a comma.
		for {
			if depth == 0 {
				return i, ""
			}
			array = arrays[(depth-1)/64]>>((depth-1)%64)&1 == 1
			i = skipSpace(s, i)
			if i == len(s) || s[i] != ',' && (s[i] != ']' || !array) && (s[i] != '}' || array) {
				return i, "comma or end expected"
			}
			i++
			if s[i-1] == ',' {
				break
			}
			depth--
		}
		if !array {
			if i, bad = skipKey(s, i); bad != "" {
				return i, bad
			}
		}
	}
}

func skipSpace(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r') {
		i++
	}
	return i
}

// skipKey reads over the key of an object and the colon.
func skipKey(s string, i int) (int, string) {
	i = skipSpace(s, i)
	if i == len(s) || s[i] != '"' {
		return i, "key expected"
	}
	i, bad := skipString(s, i+1)
	if bad != "" {
		return i, bad
	}
	i = skipSpace(s, i)
	if i == len(s) || s[i] != ':' {
		return i, "colon expected"
	}
	return i + 1, ""
}

// skipScalar reads over a value that is neither object nor array.
func skipScalar(s string, i int) (int, string) {
	if s[i] == '"' {
		return skipString(s, i+1)
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if strings.HasPrefix(s[i:], word) {
			return i + len(word), ""
		}
	}
	return skipNumber(s, i)
}

// inString tells the bytes that stand for themselves in a JSON string; those past ASCII are checked elsewhere.
var inString = func() (t [256]bool) {
	for c := ' '; c < 256; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// skipString reads over the rest of a string without building it.
func skipString(s string, i int) (int, string) {
	for {
		for i < len(s) && inString[s[i]] {
			i++
		}
		switch {
		case i == len(s):
			return i, "string not ended"
		case s[i] == '"':
			return i + 1, ""
		case s[i] != '\\':
			return i, "control character in a string"
		}
		var space [utf8.UTFMax]byte
		r := jsonReader{s: s, i: i}
		r.unescape(space[:0])
		if r.bad != "" {
			return i, r.bad
		}
		i = r.i
	}
}

// skipNumber reads over a number of JSON's grammar.
func skipNumber(s string, i int) (int, string) {
	if i < len(s) && s[i] == '-' {
		i++
	}
	from := i
	if i = skipDigits(s, i); i == from || s[from] == '0' && i > from+1 {
		return i, "value expected"
	}
	if i < len(s) && s[i] == '.' {
		from = i + 1
		if i = skipDigits(s, from); i == from {
			return i, "digits expected"
		}
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		from = i
		if i = skipDigits(s, i); i == from {
			return i, "digits expected"
		}
	}
	return i, ""
}

func skipDigits(s string, i int) int {
	for i < len(s) && '0' <= s[i] && s[i] <= '9' {
		i++
	}
	return i
}
