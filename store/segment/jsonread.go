package segment

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// jsonReader reads the JSON that a header may hold. What it returns shares the memory of the text. The first error sticks; after
// it everything reads as zero.
type jsonReader struct {
	s   string
	b   []byte // the same bytes, from which raw values are cut
	i   int
	bad string // what was wrong first
}

// newJSONReader takes over b.
func newJSONReader(b []byte) *jsonReader {
	return &jsonReader{s: viewString(b), b: b}
}

// viewString returns b as a string without a copy. Nobody may change b as long as the string lives; raw values that are cut from b
// may be changed by those who get them, since they overlap no other value.
func viewString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func (r *jsonReader) fail(what string) {
	if r.bad == "" {
		r.bad = what
	}
	r.i = len(r.s)
}

func (r *jsonReader) space() {
	for r.i < len(r.s) && (r.s[r.i] == ' ' || r.s[r.i] == '\n' || r.s[r.i] == '\t' || r.s[r.i] == '\r') {
		r.i++
	}
}

// take skips the character if it is next.
func (r *jsonReader) take(c byte) bool {
	r.space()
	if r.i < len(r.s) && r.s[r.i] == c {
		r.i++
		return true
	}
	return false
}

// null skips a null, which stands for an absent value.
func (r *jsonReader) null() bool {
	r.space()
	if strings.HasPrefix(r.s[r.i:], "null") {
		r.i += len("null")
		return true
	}
	return false
}

// object calls field for each key, which must read the value.
func (r *jsonReader) object(field func(key string)) {
	if r.null() {
		return
	}
	if !r.take('{') {
		r.fail("object expected")
		return
	}
	if r.take('}') {
		return
	}
	for {
		key := r.quoted()
		if !r.take(':') {
			r.fail("colon expected")
			return
		}
		field(key)
		if r.take('}') {
			return
		}
		if !r.take(',') {
			r.fail("comma expected")
			return
		}
	}
}

// array calls element for each element, which must read it.
func (r *jsonReader) array(element func()) {
	if r.null() {
		return
	}
	if !r.take('[') {
		r.fail("array expected")
		return
	}
	if r.take(']') {
		return
	}
	for {
		element()
		if r.take(']') {
			return
		}
		if !r.take(',') {
			r.fail("comma expected")
			return
		}
	}
}

// text reads a string or null.
func (r *jsonReader) text() string {
	if r.null() {
		return ""
	}
	return r.quoted()
}

// quoted reads a string, as appendQuoted writes it or as any other JSON encoder does.
func (r *jsonReader) quoted() string {
	if !r.take('"') {
		r.fail("string expected")
		return ""
	}
	from := r.i
	i := from
	for i < len(r.s) && inString[r.s[i]] {
		i++
	}
	switch {
	case i < len(r.s) && r.s[i] == '"':
		r.i = i + 1
		return r.s[from:i]
	case i < len(r.s) && r.s[i] == '\\':
		r.i = i
		return r.escaped(from)
	}
	r.fail("string not ended, or with a control character")
	return ""
}

// escaped reads on where quoted met the first backslash.
func (r *jsonReader) escaped(from int) string {
	b := []byte(r.s[from:r.i])
	for r.i < len(r.s) {
		c := r.s[r.i]
		switch {
		case c == '"':
			r.i++
			return string(b)
		case c == '\\':
			b = r.unescape(b)
		case c < ' ':
			r.fail("control character in a string")
		default:
			b = append(b, c)
			r.i++
		}
	}
	r.fail("string not ended")
	return ""
}

// unescape appends what one escape sequence stands for.
func (r *jsonReader) unescape(b []byte) []byte {
	if r.i+1 >= len(r.s) {
		r.fail("escape cut short")
		return b
	}
	c := r.s[r.i+1]
	r.i += 2
	switch c {
	case '"', '\\', '/':
		return append(b, c)
	case 'b':
		return append(b, '\b')
	case 'f':
		return append(b, '\f')
	case 'n':
		return append(b, '\n')
	case 'r':
		return append(b, '\r')
	case 't':
		return append(b, '\t')
	case 'u':
		return r.unescapeRune(b)
	}
	r.fail("unknown escape")
	return b
}

// unescapeRune appends the character of a \u sequence, whose digits are next.
func (r *jsonReader) unescapeRune(b []byte) []byte {
	u, ok := r.hex4()
	switch {
	case !ok:
		r.fail("bad \\u escape")
	case u >= 0xdc80 && u <= 0xdcff: // a byte that is not UTF-8, see appendQuoted
		return append(b, byte(u))
	case u >= 0xd800 && u <= 0xdbff:
		if strings.HasPrefix(r.s[r.i:], "\\u") {
			r.i += 2
			if low, ok := r.hex4(); ok && low >= 0xdc00 && low <= 0xdfff {
				return utf8.AppendRune(b, 0x10000+(u-0xd800)<<10+low-0xdc00)
			}
		}
		r.fail("surrogate without its partner")
	case u >= 0xdc00 && u <= 0xdfff:
		r.fail("surrogate without its partner")
	default:
		return utf8.AppendRune(b, u)
	}
	return b
}

func (r *jsonReader) hex4() (rune, bool) {
	if len(r.s)-r.i < 4 {
		return 0, false
	}
	v, err := strconv.ParseUint(r.s[r.i:r.i+4], 16, 16)
	r.i += 4
	return rune(v), err == nil
}

// number returns the text of an integer, "0" for null.
func (r *jsonReader) number() string {
	if r.null() {
		return "0"
	}
	from := r.i
	for r.i < len(r.s) && (r.s[r.i] >= '0' && r.s[r.i] <= '9' || r.s[r.i] == '-') {
		r.i++
	}
	return r.s[from:r.i]
}

func (r *jsonReader) uint64() uint64 {
	v, err := strconv.ParseUint(r.number(), 10, 64)
	if err != nil {
		r.fail("bad number")
	}
	return v
}

func (r *jsonReader) int64() int64 {
	v, err := strconv.ParseInt(r.number(), 10, 64)
	if err != nil {
		r.fail("bad number")
	}
	return v
}

func (r *jsonReader) int() int { return int(r.int64()) }

func (r *jsonReader) bool() bool {
	if r.null() {
		return false
	}
	switch {
	case strings.HasPrefix(r.s[r.i:], "true"):
		r.i += len("true")
		return true
	case strings.HasPrefix(r.s[r.i:], "false"):
		r.i += len("false")
	default:
		r.fail("true or false expected")
	}
	return false
}

func (r *jsonReader) textMap() map[string]string {
	var m map[string]string
	r.object(func(key string) {
		if m == nil {
			m = make(map[string]string, 4)
		}
		m[key] = r.text()
	})
	return m
}

// raw returns any value, nil for null.
func (r *jsonReader) raw() json.RawMessage {
	if r.null() {
		return nil
	}
	return r.rawOrNull()
}

func (r *jsonReader) rawOrNull() json.RawMessage {
	r.space()
	from := r.i
	r.skip()
	if r.bad != "" {
		return nil
	}
	return json.RawMessage(r.b[from:r.i:r.i])
}

// skip reads over any value and checks its grammar.
func (r *jsonReader) skip() {
	end, bad := skipValue(r.s, r.i)
	if bad != "" {
		r.fail(bad)
		return
	}
	r.i = end
}
