package part10

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/transform"
)

// Charset decodes text of a Specific Character Set (0008,0005) (PS3.3 C.12.1.1.2) to
// UTF-8. Bytes that the set does not define become U+FFFD; an unknown or absent set is
// read as UTF-8 where the text is valid UTF-8, else as ISO 8859-1: text is never refused.
// So are bytes with the high bit set where no declared set has an upper half.
type Charset struct {
	kind   charsetKind
	single *charmap.Charmap  // of singleByte
	multi  encoding.Encoding // of multiByte
	g0, g1 codeSet           // of iso2022: the state at the start of every value
}

type charsetKind uint8

const (
	iso2022    charsetKind = iota // code extensions, JIS X 0201, or none declared
	utf8Set                       // ISO_IR 192
	singleByte                    // one 8-bit set without code extensions
	multiByte                     // GB18030, GBK
)

// codeSet is one of the sets that ISO 2022 designates to G0 or G1.
type codeSet struct {
	single *charmap.Charmap // 8-bit set of which G1 uses the upper half
	width  int              // bytes a character
	id     codeSetID
}

type codeSetID uint8

const (
	setNone codeSetID = iota
	setASCII
	setRomaji   // JIS X 0201, lower half
	setKatakana // JIS X 0201, upper half
	setSingle
	setJISX0208
	setJISX0212
	setKSX1001
	setGB2312
)

var (
	guessedCharset = &Charset{g0: ascii}
	ascii          = codeSet{id: setASCII, width: 1}
	romaji         = codeSet{id: setRomaji, width: 1}
	katakana       = codeSet{id: setKatakana, width: 1}
	jisx0208       = codeSet{id: setJISX0208, width: 2}
	jisx0212       = codeSet{id: setJISX0212, width: 2}
	ksx1001        = codeSet{id: setKSX1001, width: 2}
	gb2312         = codeSet{id: setGB2312, width: 2}
)

// singleSets are the ISO 8859 sets by their registration number, as in "ISO_IR 100".
var singleSets = map[string]*charmap.Charmap{
	"100": charmap.ISO8859_1, "101": charmap.ISO8859_2, "109": charmap.ISO8859_3,
	"110": charmap.ISO8859_4, "144": charmap.ISO8859_5, "127": charmap.ISO8859_6,
	"126": charmap.ISO8859_7, "138": charmap.ISO8859_8, "148": charmap.ISO8859_9,
	"203": charmap.ISO8859_15, "166": charmap.Windows874,
}

// charsets holds every single defined term; it is never written after it was made.
var charsets = func() map[string]*Charset {
	m := map[string]*Charset{
		"":           guessedCharset,
		"ISO_IR 6":   guessedCharset,
		"ISO_IR 192": {kind: utf8Set},
		"GB18030":    {kind: multiByte, multi: simplifiedchinese.GB18030},
		"GBK":        {kind: multiByte, multi: simplifiedchinese.GBK},
		"ISO_IR 13":  {kind: iso2022, g0: romaji, g1: katakana},
	}
	for n, c := range singleSets {
		m["ISO_IR "+n] = &Charset{kind: singleByte, single: c}
	}
	return m
}()

// ParseCharset returns the decoder for the value of (0008,0005) as stored.
func ParseCharset(declared string) *Charset {
	declared = strings.Trim(declared, " \x00")
	if c := charsets[declared]; c != nil {
		return c
	}
	terms := strings.Split(declared, `\`)
	if len(terms) == 1 {
		if c := charsets[normalTerm(terms[0])]; c != nil {
			return c
		}
	}
	c := &Charset{kind: iso2022, g0: ascii}
	for i, t := range terms {
		c.extend(normalTerm(t), i == 0)
	}
	return c
}

// normalTerm repairs the usual misspellings: ISO-IR 100, ISO_IR100, iso_ir 100, ISO IR 192, ISO 2022 58, GB2312 (of which GBK is a superset).
func normalTerm(t string) string {
	t = strings.ToUpper(strings.Trim(t, " \x00"))
	squeezed := strings.NewReplacer("_", "", "-", "", " ", "").Replace(t)
	switch {
	case squeezed == "GB2312" || squeezed == "ISO2022GBK":
		return "GBK"
	case strings.HasPrefix(squeezed, "ISO2022"):
		return "ISO 2022 IR " + strings.TrimPrefix(squeezed[len("ISO2022"):], "IR")
	case strings.HasPrefix(squeezed, "ISOIR"):
		return "ISO_IR " + squeezed[len("ISOIR"):]
	case squeezed == "UTF8":
		return "ISO_IR 192"
	}
	return t
}

// extend adds one of several declared terms. The first one gives the state at the
// start of a value; if it leaves G1 free, the first extension with a G1 set fills it,
// for writers that leave its escape sequence out.
func (c *Charset) extend(term string, first bool) {
	n := strings.TrimPrefix(strings.TrimPrefix(term, "ISO 2022 IR "), "ISO_IR ")
	g1 := codeSet{}
	switch {
	case n == "13":
		if g1 = katakana; first {
			c.g0 = romaji
		}
	case n == "149":
		g1 = ksx1001
	case n == "58":
		g1 = gb2312
	case singleSets[n] != nil:
		g1 = codeSet{id: setSingle, width: 1, single: singleSets[n]}
	case first && charsets[term] != nil && (charsets[term].kind == multiByte || charsets[term].kind == utf8Set):
		*c = *charsets[term] // these allow no extensions: ignore what follows
	}
	if c.g1.id == setNone {
		c.g1 = g1
	}
}

// Append appends raw, a whole value field of VR PN, decoded to UTF-8, to dst.
func (c *Charset) Append(dst, raw []byte) []byte { return c.append(dst, raw, delimiters(kindName)) }

// append decodes a whole value field in which delims are the delimiters.
func (c *Charset) append(dst, raw []byte, delims string) []byte {
	if isPlain(raw) {
		return append(dst, raw...)
	}
	switch c.kind {
	case utf8Set:
		return appendValid(dst, raw)
	case singleByte:
		return appendSingle(dst, raw, c.single)
	case multiByte:
		return appendMulti(dst, raw, c.multi)
	}
	if c.g1.id == setNone && bytes.IndexByte(raw, 0x1B) < 0 && utf8.Valid(raw) {
		return append(dst, raw...) // no set that is declared has such bytes: \ISO_IR 192 is real
	}
	return c.appendISO2022(dst, raw, delims)
}

// isPlain reports whether raw means the same in every character set: 7 bits, no escape.
func isPlain(raw []byte) bool {
	for _, b := range raw {
		if b >= 0x80 || b == 0x1B {
			return false
		}
	}
	return true
}

func appendValid(dst, raw []byte) []byte {
	for len(raw) > 0 {
		r, n := utf8.DecodeRune(raw)
		dst = utf8.AppendRune(dst, r)
		raw = raw[n:]
	}
	return dst
}

func appendSingle(dst, raw []byte, c *charmap.Charmap) []byte {
	for _, b := range raw {
		dst = utf8.AppendRune(dst, c.DecodeByte(b))
	}
	return dst
}

// appendMulti decodes with one of x/text's stateless multi-byte encodings.
func appendMulti(dst, raw []byte, e encoding.Encoding) []byte {
	out, _, err := transform.Bytes(e.NewDecoder(), raw)
	if err != nil {
		// These decoders replace what they can't decode; should one ever fail,
		// the text is still not lost.
		return appendSingle(dst, raw, charmap.ISO8859_1)
	}
	return append(dst, out...)
}

// appendISO2022 decodes text with code extensions (PS3.5 6.1.2.5). Delimiters and
// control characters bring back the initial state.
func (c *Charset) appendISO2022(dst, raw []byte, delims string) []byte {
	g0, g1 := c.g0, c.g1
	for len(raw) > 0 {
		b := raw[0]
		switch {
		case b == 0x1B:
			n := designate(raw, &g0, &g1)
			raw = raw[n:]
		case b < 0x20 || g0.width == 1 && strings.IndexByte(delims, b) >= 0:
			dst, raw, g0, g1 = append(dst, b), raw[1:], c.g0, c.g1
		case b == 0x20 || b == 0x7F:
			dst, raw = append(dst, b), raw[1:]
		default:
			set := g0
			if b >= 0x80 {
				set = g1
			}
			var n int
			dst, n = appendRun(dst, raw, set)
			raw = raw[n:]
		}
	}
	return dst
}

// escapes are the escape sequences of PS3.3 tables C.12-3 and C.12-4, and three that
// are found in files all the same: JIS C 6226, Katakana in G0, Latin-9.
var escapes = []struct {
	seq  string
	g1   bool
	code codeSet
}{
	{"\x1b(B", false, ascii}, {"\x1b(J", false, romaji}, {"\x1b(I", false, katakana},
	{"\x1b)I", true, katakana}, {"\x1b$B", false, jisx0208}, {"\x1b$@", false, jisx0208},
	{"\x1b$(D", false, jisx0212}, {"\x1b$)C", true, ksx1001}, {"\x1b$)A", true, gb2312},
	{"\x1b-A", true, single("100")}, {"\x1b-B", true, single("101")}, {"\x1b-C", true, single("109")},
	{"\x1b-D", true, single("110")}, {"\x1b-L", true, single("144")}, {"\x1b-G", true, single("127")},
	{"\x1b-F", true, single("126")}, {"\x1b-H", true, single("138")}, {"\x1b-M", true, single("148")},
	{"\x1b-T", true, single("166")}, {"\x1b-b", true, single("203")},
}

func single(n string) codeSet { return codeSet{id: setSingle, width: 1, single: singleSets[n]} }

// designate carries out the escape sequence at the start of raw and returns its length.
// An unknown one is skipped by its escape character only.
func designate(raw []byte, g0, g1 *codeSet) int {
	for i := range escapes {
		e := &escapes[i]
		if len(raw) < len(e.seq) || string(raw[:len(e.seq)]) != e.seq {
			continue
		}
		if e.g1 {
			*g1 = e.code
		} else {
			*g0 = e.code
		}
		return len(e.seq)
	}
	return 1
}

// appendRun decodes one character of set at the start of raw; it returns how many
// bytes that took.
func appendRun(dst, raw []byte, set codeSet) ([]byte, int) {
	b := raw[0]
	if set.width == 2 {
		if len(raw) < 2 || raw[1]&0x7F < 0x21 {
			return utf8.AppendRune(dst, utf8.RuneError), 1
		}
		return appendPair(dst, [3]byte{0x8F, b | 0x80, raw[1] | 0x80}, set.id), 2
	}
	switch {
	case set.id == setKatakana && b&0x7F >= 0x21 && b&0x7F <= 0x5F:
		return utf8.AppendRune(dst, 0xFF61+rune(b&0x7F)-0x21), 1
	case set.id == setRomaji && b == 0x7E:
		return utf8.AppendRune(dst, 0x203E), 1 // overline; 5C stays: it delimits values
	case b < 0x80:
		return append(dst, b), 1
	case set.id == setKatakana && len(raw) > 1: // JIS X 0201 has no such byte, but Shift-JIS is written under its name
		return appendPair(dst, [3]byte{0, b, raw[1]}, set.id), 2
	case set.id == setSingle:
		return utf8.AppendRune(dst, set.single.DecodeByte(b)), 1
	case set.id == setNone:
		return utf8.AppendRune(dst, rune(b)), 1 // ISO 8859-1
	}
	return utf8.AppendRune(dst, utf8.RuneError), 1
}

// appendPair decodes one two-byte character, given with both high bits set behind
// the 8F that EUC-JP puts before JIS X 0212.
func appendPair(dst []byte, p [3]byte, id codeSetID) []byte {
	var e encoding.Encoding
	in := p[1:]
	switch id {
	case setJISX0208:
		e = japanese.EUCJP
	case setJISX0212:
		e, in = japanese.EUCJP, p[:]
	case setKSX1001:
		e = korean.EUCKR
	case setKatakana:
		e = japanese.ShiftJIS
	default:
		e = simplifiedchinese.GBK
	}
	var out [8]byte
	n, _, err := e.NewDecoder().Transform(out[:], in, true)
	if err != nil || n == 0 {
		return utf8.AppendRune(dst, utf8.RuneError)
	}
	return append(dst, out[:n]...)
}
