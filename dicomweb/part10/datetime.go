package part10

import "strings"

// NormalDate returns a DA value as YYYYMMDD, "" if it is none: a range, a query
// pattern, a day that no calendar has. The form YYYY.MM.DD of ACR-NEMA is accepted.
func NormalDate(s string) string {
	s = strings.Trim(s, padding)
	if len(s) == 10 && s[4] == '.' && s[7] == '.' {
		s = s[:4] + s[5:7] + s[8:]
	}
	if len(s) != 8 || !allDigits(s) {
		return ""
	}
	if d := number(s[6:]); d < 1 || d > monthDays(number(s[:4]), number(s[4:6])) {
		return ""
	}
	return s
}

// NormalTime returns a TM value as HHMMSS.ffffff, "" if it is none. Missing parts are
// zero, and colons as ACR-NEMA has them are accepted.
func NormalTime(s string) string {
	s = strings.Trim(s, padding)
	if len(s) >= 5 && s[2] == ':' {
		s = strings.ReplaceAll(s, ":", "")
	}
	whole, frac, dot := strings.Cut(s, ".")
	if n := len(whole); n != 2 && n != 4 && n != 6 || !allDigits(whole) || dot && (n != 6 || !allDigits(frac)) {
		return ""
	}
	whole = (whole + "0000")[:6]
	if number(whole[:2]) > 23 || number(whole[2:4]) > 59 || number(whole[4:]) > 60 {
		return ""
	}
	return whole + "." + (frac + "000000")[:6]
}

func allDigits(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return true
}

// number reads a short string of digits.
func number(s string) int {
	n := 0
	for i := range len(s) {
		n = n*10 + int(s[i]-'0')
	}
	return n
}

// monthDays returns how many days a month has; 0 if there is no such month.
func monthDays(year, month int) int {
	switch month {
	case 1, 3, 5, 7, 8, 10, 12:
		return 31
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 0
}
