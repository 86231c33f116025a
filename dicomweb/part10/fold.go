package part10

import (
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// FoldName returns the key by which one component group of a person name is searched:
// NFC, case folded, spaces around components and empty trailing components dropped.
func FoldName(group string) string {
	s := strings.Trim(group, padding)
	if isASCII(s) {
		s = strings.ToLower(s)
	} else {
		s = norm.NFC.String(foldCase(norm.NFC.String(s)))
	}
	if strings.Contains(s, " ") {
		parts := strings.Split(s, "^")
		for i, p := range parts {
			parts[i] = strings.Trim(p, " ")
		}
		s = strings.Join(parts, "^")
	}
	return strings.TrimRight(s, "^"+padding)
}

// foldCase is Unicode's case folding. Of Cherokee letters the library makes small ones of capitals, and capitals of small ones.
func foldCase(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cherokee, r) {
			return unicode.ToLower(r)
		}
		return r
	}, cases.Fold().String(s))
}

// FoldPlain returns s without case, diacritics and compatibility differences (width,
// ligatures), for fuzzy matching.
func FoldPlain(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	s = foldCase(norm.NFKD.String(s))
	var b strings.Builder
	for _, r := range s {
		switch {
		case unicode.Is(unicode.Mn, r):
		case letterFolds[r] != "":
			b.WriteString(letterFolds[r])
		default:
			b.WriteRune(r)
		}
	}
	return norm.NFC.String(b.String())
}

// letterFolds are letters whose stroke is no combining mark.
var letterFolds = map[rune]string{'ø': "o", 'đ': "d", 'ł': "l", 'æ': "ae", 'œ': "oe", 'ð': "d", 'þ': "th", 'ħ': "h", 'ı': "i", 'ŧ': "t"}

// PlainWords returns the words of a person name, each as FoldPlain gives it.
func PlainWords(name string) []string {
	return strings.FieldsFunc(FoldPlain(name), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.Is(unicode.Mc, r) || r == '^' || r == '='
	})
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
