package store

import "strings"

// shorthand is what the texts in the catalog are made of: DICOM JSON (PS3.18 F.2), UIDs of the standard, headers. Each is written as one
// byte, the one it is listed with, which never occurs in JSON, nor in any other UTF-8 text without control characters. So the rows
// of instances, which are most of the catalog, become a third as long: more of it stays in memory, and less is written.
// Of two that begin alike the longer one comes first.
var shorthand = [...]struct {
	code byte
	text string
}{
	{0x01, `":{"vr":"AE","Value":["`},
	{0x02, `":{"vr":"AS","Value":["`},
	{0x03, `":{"vr":"CS","Value":["`},
	{0x04, `":{"vr":"DA","Value":["`},
	{0x05, `":{"vr":"DS","Value":[`},
	{0x06, `":{"vr":"DT","Value":["`},
	{0x07, `":{"vr":"FD","Value":[`},
	{0x08, `":{"vr":"FL","Value":[`},
	{0x09, `":{"vr":"IS","Value":[`},
	{0x0a, `":{"vr":"LO","Value":["`},
	{0x0b, `":{"vr":"LT","Value":["`},
	{0x0c, `":{"vr":"PN","Value":[{"Alphabetic":"`},
	{0x0d, `":{"vr":"SH","Value":["`},
	{0x0e, `":{"vr":"SQ","Value":[{"`},
	{0x0f, `":{"vr":"ST","Value":["`},
	{0x10, `":{"vr":"TM","Value":["`},
	{0x11, `":{"vr":"UI","Value":["`},
	{0x12, `":{"vr":"US","Value":[`},
	{0x13, `":{"vr":"UT","Value":["`},
	{0x14, `":{"vr":"`},
	{0x15, `"]},"`},
	{0x16, `"]}}`},
	{0x17, `","`},
	{0x18, `]},"`},
	{0x19, `]}}`},
	{0x1a, `},"`},
	{0x1b, `000800`},
	{0x1c, `001800`},
	{0x1d, `002000`},
	{0x1e, `002801`},
	{0x1f, `002800`},
	{0xf5, `004000`},
	{0xf6, `1.2.840.10008.5.1.4.1.1.`},
	{0xf7, `1.2.840.10008.1.2`},
	{0xf8, `1.2.840.10008.`},
	{0xf9, `2.25.`},
	{0xfa, `MONOCHROME2`},
	{0xfb, `ORIGINAL`},
	{0xfc, `PRIMARY`},
	{0xfd, `content-type`},
	{0xfe, `application/dicom`},
}

// plainText marks a text that holds a byte of the shorthand, and is written as it is. It comes first.
const plainText = 0x00

// longhand is the text of each code.
var longhand = func() (long [256]string) {
	for _, s := range shorthand {
		long[s.code] = s.text
	}
	return long
}()

// A family are the texts that share their first two bytes.
type family struct {
	common string       // what all begin with
	next   [256][]uint8 // indexes in shorthand of those in which a byte follows that
	whole  byte         // code of the one in which nothing does; plainText if there is none
}

// families are the families by their first two bytes. remarkable are the bytes with which one begins, and those that may not be in what is
// abbreviated.
var families, remarkable = func() (all [256]*[256]*family, is [256]bool) {
	for _, s := range shorthand {
		at := &all[s.text[0]]
		if *at == nil {
			*at = new([256]*family)
		}
		f := &(*at)[s.text[1]]
		if *f == nil {
			*f = &family{common: s.text}
		}
		for !strings.HasPrefix(s.text, (*f).common) {
			(*f).common = (*f).common[:len((*f).common)-1]
		}
	}
	for i, s := range shorthand {
		f := all[s.text[0]][s.text[1]]
		if n := len(f.common); n == len(s.text) {
			f.whole = s.code
		} else {
			f.next[s.text[n]] = append(f.next[s.text[n]], uint8(i))
		}
	}
	for c := range is {
		is[c] = c == plainText || longhand[c] != "" || all[c] != nil
	}
	return all, is
}()

// shorten gives the code of the longest text of the shorthand that s begins with, and how long that is: 0 if there is none. s has two
// bytes at least, of which the first begins a family.
func shorten(s string) (code byte, n int) {
	f := families[s[0]][s[1]]
	if f == nil || !strings.HasPrefix(s, f.common) {
		return 0, 0
	}
	n = len(f.common)
	if n < len(s) {
		for _, k := range f.next[s[n]] {
			if sh := &shorthand[k]; strings.HasPrefix(s[n:], sh.text[n:]) {
				return sh.code, len(sh.text)
			}
		}
	}
	if f.whole == plainText {
		return 0, 0
	}
	return f.whole, n
}

// abbreviate appends a text in shorthand. What it appends is never longer than the text and a byte.
func abbreviate(dst []byte, s string) []byte {
	start, from := len(dst), 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case !remarkable[c]:
			continue
		case c == plainText || longhand[c] != "":
			return append(append(dst[:start], plainText), s...)
		case i+1 == len(s):
			continue
		}
		if code, n := shorten(s[i:]); n > 0 {
			dst = append(append(dst, s[from:i]...), code)
			from = i + n
			i = from - 1
		}
	}
	return append(dst, s[from:]...)
}

// spellOut appends the text that was abbreviated. Any bytes are the shorthand of something.
func spellOut(dst, b []byte) []byte {
	if len(b) > 0 && b[0] == plainText {
		return append(dst, b[1:]...)
	}
	from := 0
	for i, c := range b {
		if text := longhand[c]; text != "" {
			dst = append(append(dst, b[from:i]...), text...)
			from = i + 1
		}
	}
	return append(dst, b[from:]...)
}
