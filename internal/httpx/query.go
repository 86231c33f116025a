package httpx

import (
	"fmt"
	"strings"
)

// Query is a parsed query string. Unlike net/url's it keeps the order and
// tells an absent parameter from an empty one.
type Query struct {
	params []param
	err    error
}

type param struct{ key, value string }

// ParseQuery parses what follows the "?". Parameters are separated by "&";
// "+" is a space. A parameter with a bad escape is left out and gives Err.
func ParseQuery(raw string) Query {
	var q Query
	if raw == "" {
		return q
	}
	q.params = make([]param, 0, strings.Count(raw, "&")+1)
	for raw != "" {
		var part string
		part, raw, _ = strings.Cut(raw, "&")
		if part == "" {
			continue
		}
		k, v, _ := strings.Cut(part, "=")
		key, ok := unescapeQuery(k)
		value, ok2 := unescapeQuery(v)
		if !ok || !ok2 {
			q.err = fmt.Errorf("httpx: %w", errBadRequest("invalid percent-escape in the query"))
			continue
		}
		q.params = append(q.params, param{key, value})
	}
	return q
}

// Has reports whether the parameter is there, if only as "?key".
func (q Query) Has(key string) bool {
	for i := range q.params {
		if q.params[i].key == key {
			return true
		}
	}
	return false
}

// Get is the parameter's first value, or "".
func (q Query) Get(key string) string {
	for i := range q.params {
		if q.params[i].key == key {
			return q.params[i].value
		}
	}
	return ""
}

// All are the parameter's values in order; nil if there are none.
func (q Query) All(key string) []string {
	var out []string
	for i := range q.params {
		if q.params[i].key == key {
			out = append(out, q.params[i].value)
		}
	}
	return out
}

// Keys are the parameters' names in the order of their first appearance.
func (q Query) Keys() []string {
	out := make([]string, 0, len(q.params))
	seen := make(map[string]bool, len(q.params))
	for i := range q.params {
		if k := q.params[i].key; !seen[k] {
			seen[k] = true
			out = append(out, k)
		}
	}
	return out
}

// Len is the number of parameters, repeated ones included.
func (q Query) Len() int { return len(q.params) }

// At is the i-th parameter in the order sent.
func (q Query) At(i int) (key, value string) { return q.params[i].key, q.params[i].value }

// Err is a 400 *Error if some parameter could not be decoded.
func (q Query) Err() error { return q.err }

func unescapeQuery(s string) (string, bool) {
	if !strings.ContainsAny(s, "%+") {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '+':
			b = append(b, ' ')
		case '%':
			if i+2 >= len(s) {
				return "", false
			}
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi < 0 || lo < 0 {
				return "", false
			}
			b = append(b, byte(hi<<4|lo))
			i += 2
		default:
			b = append(b, s[i])
		}
	}
	return string(b), true
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
