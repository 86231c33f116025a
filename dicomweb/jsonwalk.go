package dicomweb

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
)

// The stored attributes are JSON objects that part10 wrote: compact, tags as upper-case hex in ascending order. The
// walker below reads them where they lie, without building a tree. It recurses nowhere, so depth costs nothing, and it
// never looks past the bytes it was given.

var errAttributes = errors.New("malformed attribute JSON")

// members iterates over the members of one JSON object.
type members struct {
	b   []byte
	pos int
	err error
}

// newMembers starts at an object; anything else has no members. Empty input is an empty object.
func newMembers(obj []byte) *members {
	m := &members{b: obj}
	m.space()
	switch {
	case m.pos == len(m.b):
	case m.b[m.pos] == '{':
		m.pos++
	default:
		m.err = errAttributes
	}
	return m
}

func (m *members) space() {
	for m.pos < len(m.b) && (m.b[m.pos] == ' ' || m.b[m.pos] == '\n' || m.b[m.pos] == '\t' || m.b[m.pos] == '\r') {
		m.pos++
	}
}

// next returns the next member: its name as it stands between the quotes, and its value's bytes.
func (m *members) next() (name, value []byte, ok bool) {
	m.space()
	if m.err != nil || m.pos >= len(m.b) || m.b[m.pos] == '}' {
		return nil, nil, false
	}
	if m.b[m.pos] == ',' {
		m.pos++
		m.space()
	}
	end := stringEnd(m.b, m.pos)
	if end < 0 {
		m.err = errAttributes
		return nil, nil, false
	}
	name = m.b[m.pos+1 : end-1]
	m.pos = end
	m.space()
	if m.pos >= len(m.b) || m.b[m.pos] != ':' {
		m.err = errAttributes
		return nil, nil, false
	}
	m.pos++
	m.space()
	end = valueEnd(m.b, m.pos)
	if end < 0 {
		m.err = errAttributes
		return nil, nil, false
	}
	value = m.b[m.pos:end]
	m.pos = end
	return name, value, true
}

// elements iterates over the values of one JSON array.
type elements struct {
	b   []byte
	pos int
}

func newElements(array []byte) *elements {
	if len(array) == 0 || array[0] != '[' {
		return &elements{}
	}
	return &elements{b: array, pos: 1}
}

func (e *elements) next() (value []byte, ok bool) {
	for e.pos < len(e.b) && (e.b[e.pos] == ',' || e.b[e.pos] <= ' ') {
		e.pos++
	}
	if e.pos >= len(e.b) || e.b[e.pos] == ']' {
		return nil, false
	}
	end := valueEnd(e.b, e.pos)
	if end < 0 {
		e.pos = len(e.b)
		return nil, false
	}
	value = e.b[e.pos:end]
	e.pos = end
	return value, true
}

// stringEnd returns the offset after the string that starts at pos, or -1.
func stringEnd(b []byte, pos int) int {
	if pos >= len(b) || b[pos] != '"' {
		return -1
	}
	for i := pos + 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// valueEnd returns the offset after the value that starts at pos, or -1.
func valueEnd(b []byte, pos int) int {
	if pos >= len(b) {
		return -1
	}
	switch b[pos] {
	case '"':
		return stringEnd(b, pos)
	case '{', '[':
		return nestedEnd(b, pos)
	}
	i := pos
	for i < len(b) && bytes.IndexByte([]byte(",]} \n\t\r"), b[i]) < 0 {
		i++
	}
	if i == pos {
		return -1
	}
	return i
}

// nestedEnd returns the offset after the object or array that starts at pos, or -1.
func nestedEnd(b []byte, pos int) int {
	depth := 0
	for i := pos; i < len(b); i++ {
		switch b[i] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		case '"':
			end := stringEnd(b, i)
			if end < 0 {
				return -1
			}
			i = end - 1
		}
	}
	return -1
}

// member returns the value of the member of that name, nil if there is none.
func member(obj []byte, name string) []byte {
	m := newMembers(obj)
	for {
		n, v, ok := m.next()
		if !ok {
			return nil
		}
		if string(n) == name {
			return v
		}
	}
}

// text decodes a JSON string, number or literal into its text; null and nested values are "".
func text(v []byte) string {
	if len(v) == 0 || v[0] == '{' || v[0] == '[' || v[0] == 'n' {
		return ""
	}
	if v[0] != '"' {
		return string(v)
	}
	if len(v) >= 2 && bytes.IndexByte(v, '\\') < 0 {
		return string(v[1 : len(v)-1])
	}
	var s string
	if json.Unmarshal(v, &s) != nil {
		return ""
	}
	return s
}

// tagKey spells a tag as DICOM JSON does.
func tagKey(tag uint32) string {
	const hex = "0123456789ABCDEF"
	var b [8]byte
	for i := range b {
		b[i] = hex[tag>>(28-4*i)&15]
	}
	return string(b[:])
}

// parseTagKey reads eight hex digits.
func parseTagKey(s string) (uint32, bool) {
	if len(s) != 8 || s[0] == '+' || s[0] == '-' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 16, 32)
	return uint32(n), err == nil
}
