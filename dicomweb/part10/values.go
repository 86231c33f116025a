package part10

import (
	"bytes"
	"encoding/base64"
	"math"
	"strconv"
	"unicode/utf8"
)

// scratch holds buffers that are reused between values and objects.
type scratch struct {
	text  []byte
	swap  []byte
	spans []span
	json  []byte
	// members are where the attributes of each level stand in json.
	members [levelCount][]span
}

func (s *scratch) trim() {
	const keep = 64 << 10
	if cap(s.text) > keep {
		s.text = nil
	}
	if cap(s.swap) > keep {
		s.swap = nil
	}
	if cap(s.json) > keep {
		s.json = nil
	}
	if cap(s.spans) > 4096 {
		s.spans = nil
	}
}

const padding = " \x00"

// appendValues appends `,"Value":[…]` for a value field of any VR but SQ and the
// binary ones. b is not empty.
func (s *scratch) appendValues(dst []byte, vr VR, b []byte, c coding, cs *Charset) []byte {
	mark := len(dst)
	dst = append(dst, `,"Value":[`...)
	start := len(dst)
	switch info := vr.info(); info.kind {
	case kindInt:
		dst = appendInts(dst, b, c, info)
	case kindFloat:
		dst = appendFloats(dst, b, c, info.unit)
	case kindTag:
		dst = appendTags(dst, b, c)
	default:
		if b = bytes.TrimRight(b, padding); len(b) > 0 {
			dst = s.appendStrings(dst, info.kind, b, cs)
		}
	}
	if len(dst) == start {
		return dst[:mark] // nothing but padding: an empty value
	}
	dst[len(dst)-1] = ']' // every value has left a comma
	return dst
}

func (s *scratch) appendStrings(dst []byte, kind vrKind, b []byte, cs *Charset) []byte {
	if (kind == kindText || kind == kindLong || kind == kindName) && !isPlain(b) {
		s.text = cs.append(s.text[:0], b, delimiters(kind))
		b = s.text
	}
	if kind == kindLong || kind == kindURI {
		return append(appendQuoted(dst, b), ',')
	}
	for {
		one, rest, more := bytes.Cut(b, backslash)
		dst = append(appendOne(dst, kind, one), ',')
		if !more {
			return dst
		}
		b = rest
	}
}

// delimiters returns what ends a run of code extensions in a value (PS3.5 6.1.2.5.3),
// besides control characters.
func delimiters(kind vrKind) string {
	switch kind {
	case kindName:
		return `\^=`
	case kindText:
		return `\`
	}
	return ""
}

var backslash = []byte{'\\'}

// appendOne appends one value of a string VR, null if it is empty.
func appendOne(dst []byte, kind vrKind, b []byte) []byte {
	if kind == kindText || kind == kindName {
		b = bytes.TrimRight(b, padding)
	} else {
		b = bytes.Trim(b, padding)
	}
	if len(b) == 0 {
		return append(dst, "null"...)
	}
	switch kind {
	case kindName:
		return appendName(dst, b)
	case kindDecStr:
		return appendDecimal(dst, b)
	case kindIntStr:
		return appendInteger(dst, b)
	}
	return appendQuoted(dst, b)
}

var nameGroups = [3]string{`"Alphabetic":`, `"Ideographic":`, `"Phonetic":`}

// appendName appends a person name as the object of PS3.18 F.2.2, null if all its
// component groups are empty.
func appendName(dst, b []byte) []byte {
	mark := len(dst)
	for i := 0; i < len(nameGroups) && len(b) > 0; i++ {
		var group []byte
		group, b, _ = bytes.Cut(b, []byte{'='})
		if group = bytes.TrimRight(group, padding); len(group) == 0 {
			continue
		}
		if len(dst) == mark {
			dst = append(dst, '{')
		} else {
			dst = append(dst, ',')
		}
		dst = append(dst, nameGroups[i]...)
		dst = appendQuoted(dst, group)
	}
	if len(dst) == mark {
		return append(dst, "null"...)
	}
	return append(dst, '}')
}

// appendQuoted appends b, which ought to be UTF-8, as a JSON string.
func appendQuoted(dst, b []byte) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(b); {
		if c := b[i]; c >= 0x20 && c != '"' && c != '\\' && c < 0x80 {
			i++
			continue
		} else if c >= 0x80 {
			r, n := utf8.DecodeRune(b[i:])
			if r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
		}
		dst = append(dst, b[start:i]...)
		dst = appendEscaped(dst, b[i])
		i++
		start = i
	}
	dst = append(dst, b[start:]...)
	return append(dst, '"')
}

func appendEscaped(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch {
	case c == '"' || c == '\\':
		return append(dst, '\\', c)
	case c == '\n':
		return append(dst, '\\', 'n')
	case c == '\r':
		return append(dst, '\\', 'r')
	case c == '\t':
		return append(dst, '\\', 't')
	case c < 0x20:
		return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
	}
	return append(dst, "\ufffd"...)
}

// appendInteger appends an IS as a number if it is one that a double holds exactly,
// else as a string.
func appendInteger(dst, b []byte) []byte {
	mark := len(dst)
	if d, ok := appendDigits(dst, b); ok && len(d)-mark <= 16 && !bytes.ContainsAny(d[mark:], ".eE") {
		return d
	}
	return appendQuoted(dst[:mark], b)
}

// appendDecimal appends a DS as a number, in its own digits so that no precision is
// lost, if it is a finite one, else as a string.
func appendDecimal(dst, b []byte) []byte {
	mark := len(dst)
	d, ok := appendDigits(dst, b)
	if ok && bytes.ContainsAny(d[mark:], "eE") || len(d)-mark > 40 {
		if f, err := strconv.ParseFloat(string(d[mark:]), 64); err != nil || math.IsInf(f, 0) {
			ok = false
		}
	}
	if ok {
		return d
	}
	return appendQuoted(dst[:mark], b)
}

// appendDigits rewrites a number of PS3.5's grammar in that of JSON: no plus sign, no
// leading zeros, a digit on both sides of the point.
func appendDigits(dst, b []byte) ([]byte, bool) {
	i := 0
	if b[0] == '-' || b[0] == '+' {
		if b[0] == '-' {
			dst = append(dst, '-')
		}
		i++
	}
	whole := i
	for i < len(b) && isDigit(b[i]) {
		i++
	}
	digits := i - whole
	for whole < i-1 && b[whole] == '0' {
		whole++
	}
	if digits == 0 {
		dst = append(dst, '0')
	}
	dst = append(dst, b[whole:i]...)
	if i < len(b) && b[i] == '.' {
		frac := i + 1
		for i++; i < len(b) && isDigit(b[i]); i++ {
			digits++
		}
		if i > frac {
			dst = append(append(dst, '.'), b[frac:i]...)
		}
	}
	if digits == 0 {
		return dst, false
	}
	return appendExponent(dst, b[i:])
}

func appendExponent(dst, b []byte) ([]byte, bool) {
	if len(b) == 0 {
		return dst, true
	}
	if b[0] != 'e' && b[0] != 'E' || len(b) < 2 {
		return dst, false
	}
	dst, b = append(dst, b[0]), b[1:]
	if b[0] == '+' || b[0] == '-' {
		dst, b = append(dst, b[0]), b[1:]
	}
	for _, c := range b {
		if !isDigit(c) {
			return dst, false
		}
	}
	return append(dst, b...), len(b) > 0
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// maxExact is the largest integer that every JSON reader keeps exactly.
const maxExact = 1<<53 - 1

func appendInts(dst, b []byte, c coding, info vrInfo) []byte {
	for n := int(info.unit); len(b) >= n; b = b[n:] {
		var u uint64
		switch n {
		case 2:
			u = uint64(c.u16(b))
			if info.signed {
				u = uint64(int64(int16(u)))
			}
		case 4:
			u = uint64(c.u32(b))
			if info.signed {
				u = uint64(int64(int32(u)))
			}
		default:
			u = c.u64(b)
		}
		quote := n == 8 && (info.signed && (int64(u) > maxExact || int64(u) < -maxExact) || !info.signed && u > maxExact)
		if quote {
			dst = append(dst, '"')
		}
		if info.signed {
			dst = strconv.AppendInt(dst, int64(u), 10)
		} else {
			dst = strconv.AppendUint(dst, u, 10)
		}
		if quote {
			dst = append(dst, '"')
		}
		dst = append(dst, ',')
	}
	return dst
}

func appendFloats(dst, b []byte, c coding, unit uint8) []byte {
	for n := int(unit); len(b) >= n; b = b[n:] {
		f, bits := 0.0, 64
		if n == 4 {
			f, bits = float64(math.Float32frombits(c.u32(b))), 32
		} else {
			f = math.Float64frombits(c.u64(b))
		}
		switch {
		case math.IsNaN(f):
			dst = append(dst, `"NaN"`...)
		case math.IsInf(f, 1):
			dst = append(dst, `"Infinity"`...)
		case math.IsInf(f, -1):
			dst = append(dst, `"-Infinity"`...)
		default:
			dst = strconv.AppendFloat(dst, f, 'g', -1, bits)
		}
		dst = append(dst, ',')
	}
	return dst
}

func appendTags(dst, b []byte, c coding) []byte {
	for ; len(b) >= 4; b = b[4:] {
		dst = append(dst, '"')
		dst = appendTagHex(dst, c.tag(b))
		dst = append(dst, '"', ',')
	}
	return dst
}

func appendTagHex(dst []byte, tag uint32) []byte {
	const hex = "0123456789ABCDEF"
	for shift := 28; shift >= 0; shift -= 4 {
		dst = append(dst, hex[tag>>shift&15])
	}
	return dst
}

// appendInline appends `,"InlineBinary":"…"` of the little endian form of b.
func (s *scratch) appendInline(dst []byte, vr VR, b []byte, c coding) []byte {
	if unit := int(vr.info().unit); c.big && unit > 1 {
		s.swap = append(s.swap[:0], b...)
		swapUnits(s.swap, unit)
		b = s.swap
	}
	dst = append(dst, `,"InlineBinary":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, b)
	return append(dst, '"')
}

// swapUnits reverses every unit bytes of b in place; a shorter rest stays as it is.
func swapUnits(b []byte, unit int) {
	for ; len(b) >= unit; b = b[unit:] {
		for i, j := 0, unit-1; i < j; i, j = i+1, j-1 {
			b[i], b[j] = b[j], b[i]
		}
	}
}
