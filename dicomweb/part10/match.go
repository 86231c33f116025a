package part10

import (
	"strings"
	"unicode/utf8"
)

// HasWildcard reports whether a query value is a pattern (PS3.4 C.2.2.2.4).
func HasWildcard(s string) bool { return strings.ContainsAny(s, "*?") }

// MatchWildcard reports whether s as a whole matches pattern, in which "*" stands for
// any text and "?" for one character; case matters. It never goes back behind a "*"
// once the text between two of them was found, so that its time is bounded by the
// product of the lengths, and is linear for patterns without "?".
func MatchWildcard(pattern, s string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	n, ok := matchPrefix(head, s)
	if !ok || !star {
		return ok && n == len(s)
	}
	s = s[n:]
	for {
		part, more, star := strings.Cut(rest, "*")
		if !star {
			return matchSuffix(rest, s)
		}
		at, n := findPart(part, s)
		if at < 0 {
			return false
		}
		s, rest = s[at+n:], more
	}
}

// matchPrefix matches part, which has no "*", at the start of s; n is the length of
// what it matched.
func matchPrefix(part, s string) (n int, ok bool) {
	if !strings.Contains(part, "?") {
		return len(part), strings.HasPrefix(s, part)
	}
	for _, r := range part {
		c, w := utf8.DecodeRuneInString(s[n:])
		if w == 0 || r != '?' && r != c {
			return 0, false
		}
		n += w
	}
	return n, true
}

func matchSuffix(part, s string) bool {
	if !strings.Contains(part, "?") {
		return strings.HasSuffix(s, part)
	}
	// As many characters from the end as part has.
	at := len(s)
	for range utf8.RuneCountInString(part) {
		_, w := utf8.DecodeLastRuneInString(s[:at])
		if w == 0 {
			return false
		}
		at -= w
	}
	n, ok := matchPrefix(part, s[at:])
	return ok && n == len(s)-at
}

// findPart finds the first place in s where part matches.
func findPart(part, s string) (at, n int) {
	if !strings.Contains(part, "?") {
		return strings.Index(s, part), len(part)
	}
	for at = 0; at <= len(s); {
		if n, ok := matchPrefix(part, s[at:]); ok {
			return at, n
		}
		_, w := utf8.DecodeRuneInString(s[at:])
		at += max(w, 1)
	}
	return -1, 0
}

// MatchPN reports whether a person name matches a query value with or without
// wildcards: without regard to case, each component group of the pattern against the
// same group of the name, or, if the pattern has but one, against any group. name is
// a value as stored, its groups divided by "=".
func MatchPN(pattern, name string) bool {
	groups := strings.Split(pattern, "=")
	if len(groups) == 1 {
		p := FoldName(pattern)
		for g := range strings.SplitSeq(name, "=") {
			if MatchWildcard(p, FoldName(g)) {
				return true
			}
		}
		return false
	}
	names := strings.Split(name, "=")
	for i, p := range groups {
		p = FoldName(p)
		if p == "" {
			continue // an empty group asks nothing
		}
		if i >= len(names) || !MatchWildcard(p, FoldName(names[i])) {
			return false
		}
	}
	return true
}

// MatchFuzzy reports whether every word of query begins a word of name, each word of
// name used once, without regard to case, diacritics, order and punctuation
// (fuzzymatching of PS3.18 8.3.4.2).
func MatchFuzzy(query, name string) bool {
	want, have := PlainWords(query), PlainWords(name)
	if len(want) == 0 || len(want) > len(have) {
		return false
	}
	used := make([]bool, len(have))
	for _, w := range want {
		// The shortest word that fits leaves the others to longer prefixes.
		best := -1
		for i, h := range have {
			if !used[i] && strings.HasPrefix(h, w) && (best < 0 || len(h) < len(have[best])) {
				best = i
			}
		}
		if best < 0 {
			return false
		}
		used[best] = true
	}
	return true
}
