package sigv4

import (
	"errors"
	"slices"
	"strings"
)

// Param is one parameter of a query, decoded.
type Param struct {
	Name, Value string
}

// Query holds the parameters of a query in order of their appearance.
type Query []Param

var errQuery = errors.New("malformed query")

// ParseQuery decodes a raw query. A plus sign is a space.
func ParseQuery(raw string) (Query, error) {
	if raw == "" {
		return nil, nil
	}
	if strings.Count(raw, "&") >= maxParams {
		return nil, errQuery
	}
	q := make(Query, 0, 8)
	for len(raw) > 0 {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, ok1 := Unescape(name, true)
		value, ok2 := Unescape(value, true)
		if !ok1 || !ok2 {
			return nil, errQuery
		}
		q = append(q, Param{Name: name, Value: value})
	}
	return q, nil
}

// Lookup gives the first value under a name.
func (q Query) Lookup(name string) (string, bool) {
	for i := range q {
		if q[i].Name == name {
			return q[i].Value, true
		}
	}
	return "", false
}

// Get gives the first value under a name, or nothing.
func (q Query) Get(name string) string {
	v, _ := q.Lookup(name)
	return v
}

// Has tells whether a parameter is there, with a value or not.
func (q Query) Has(name string) bool {
	_, ok := q.Lookup(name)
	return ok
}

// Unescape resolves percent escapes, and a plus sign to a space if plus is set. Malformed escapes are not ok.
func Unescape(s string, plus bool) (string, bool) {
	if strings.IndexByte(s, '%') < 0 && (!plus || strings.IndexByte(s, '+') < 0) {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '%':
			if i+2 >= len(s) {
				return "", false
			}
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi > 15 || lo > 15 {
				return "", false
			}
			b = append(b, hi<<4|lo)
			i += 2
		case c == '+' && plus:
			b = append(b, ' ')
		default:
			b = append(b, c)
		}
	}
	return string(b), true
}

func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.' || c == '~'
}

// AppendEscape writes s as AWS encodes it: everything but unreserved characters, and slashes if slash is set, in
// upper-case hex.
func AppendEscape(b []byte, s string, slash bool) []byte {
	const digits = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		c := s[i]
		if unreserved(c) || c == '/' && slash {
			b = append(b, c)
			continue
		}
		b = append(b, '%', digits[c>>4], digits[c&15])
	}
	return b
}

// appendCanonical writes the canonical query: encoded, sorted, without the signature itself.
func (q Query) appendCanonical(b []byte) []byte {
	if len(q) == 0 {
		return b
	}
	if len(q) == 1 {
		return q[0].appendEncoded(b)
	}
	encoded := make([]string, 0, len(q))
	for i := range q {
		if q[i].Name != "X-Amz-Signature" {
			encoded = append(encoded, string(q[i].appendEncoded(nil)))
		}
	}
	slices.SortFunc(encoded, comparePairs)
	for i, e := range encoded {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(b, e...)
	}
	return b
}

// comparePairs orders by name, then by value: '=' sorts after characters that may follow in a longer name.
func comparePairs(a, b string) int {
	an, av, _ := strings.Cut(a, "=")
	bn, bv, _ := strings.Cut(b, "=")
	if c := strings.Compare(an, bn); c != 0 {
		return c
	}
	return strings.Compare(av, bv)
}

func (p *Param) appendEncoded(b []byte) []byte {
	b = AppendEscape(b, p.Name, false)
	b = append(b, '=')
	return AppendEscape(b, p.Value, false)
}
