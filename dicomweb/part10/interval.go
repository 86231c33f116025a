package part10

import (
	"strings"
	"time"
)

// Interval is what a query value of VR DT asks for: normal values from From to To,
// both included, an empty one open. Normal values compare as text.
type Interval struct{ From, To string }

// Contains reports whether a value as NormalDateTime gives it lies in the interval; an
// empty one never does.
func (i Interval) Contains(normal string) bool {
	return normal != "" && normal >= i.From && (i.To == "" || normal <= i.To)
}

// ParseDateTimeRange reads a query value of VR DT (PS3.4 C.2.2.2.5.3). zone is the
// offset from UTC ("+0100") of values that state none; empty means UTC.
func ParseDateTimeRange(s, zone string) (Interval, bool) {
	s = strings.Trim(s, padding)
	// A hyphen before four digits up to 1200, with something before it, is an offset.
	for i := range len(s) {
		if s[i] == '-' && !isOffset(s[:i], s[i:]) {
			s = s[:i] + "/" + s[i+1:]
			break
		}
	}
	a, b, ranged := strings.Cut(s, "/")
	if !ranged {
		return dateTime(s, zone)
	}
	var out Interval
	if a = strings.Trim(a, padding); a != "" {
		i, ok := dateTime(a, zone)
		if !ok {
			return Interval{}, false
		}
		out.From = i.From
	}
	if b = strings.Trim(b, padding); b != "" {
		i, ok := dateTime(b, zone)
		if !ok {
			return Interval{}, false
		}
		out.To = i.To
	}
	return out, a != "" || b != ""
}

func isOffset(before, s string) bool {
	if before == "" || strings.HasSuffix(before, "/") || len(s) < 5 || !allDigits(s[1:5]) || number(s[1:5]) > 1200 {
		return false
	}
	// A year of a range would be followed by more of a date, or stand alone behind
	// a first value that already had its offset.
	return (len(s) == 5 || s[5] == '-') && !strings.ContainsAny(before, "+-")
}

// NormalDateTime returns a DT value in UTC as YYYYMMDDHHMMSS.ffffff, "" if it is none.
// zone is the offset from UTC of a value that states none; empty means UTC.
func NormalDateTime(s, zone string) string {
	i, _ := dateTime(strings.Trim(s, padding), zone)
	return i.From
}

// dateTime returns the first and the last moment that a DT value, which may leave out
// its end, can mean.
func dateTime(s, zone string) (Interval, bool) {
	if i := strings.LastIndexAny(s, "+-"); i >= 0 {
		s, zone = s[:i], s[i:]
	}
	minutes, ok := zoneMinutes(zone)
	whole, frac, dot := strings.Cut(s, ".")
	n := len(whole)
	if !ok || n < 4 || n > 14 || n%2 != 0 || !allDigits(whole) || dot && (n != 14 || frac == "" || len(frac) > 6 || !allDigits(frac)) {
		return Interval{}, false
	}
	first := whole + "00000101000000"[n:]
	day := monthDays(number(first[:4]), number(first[4:6]))
	last := whole + "00001231235959"[n:]
	if n == 6 {
		last = whole + string([]byte{'0' + byte(day/10), '0' + byte(day%10)}) + "235959"
	}
	if d := number(first[6:8]); d < 1 || d > day || number(first[8:10]) > 23 || number(first[10:12]) > 59 || number(first[12:]) > 60 {
		return Interval{}, false
	}
	return Interval{
		inUTC(first, (frac + "000000")[:6], minutes),
		inUTC(last, (frac + "999999")[:6], minutes),
	}, true
}

// inUTC moves 14 digits of local time to UTC.
func inUTC(s, frac string, minutes int) string {
	t := time.Date(number(s[:4]), time.Month(number(s[4:6])), number(s[6:8]),
		number(s[8:10]), number(s[10:12])-minutes, number(s[12:]), 0, time.UTC)
	if t.Year() < 0 || t.Year() > 9999 {
		return s + "." + frac
	}
	return t.Format("20060102150405") + "." + frac
}

// zoneMinutes reads an offset from UTC, "+HHMM" or "-HHMM".
func zoneMinutes(zone string) (int, bool) {
	if zone == "" {
		return 0, true
	}
	if len(zone) != 5 || zone[0] != '+' && zone[0] != '-' || !allDigits(zone[1:]) {
		return 0, false
	}
	m := number(zone[1:3])*60 + number(zone[3:])
	if m > 14*60 || number(zone[3:]) > 59 {
		return 0, false
	}
	if zone[0] == '-' {
		m = -m
	}
	return m, true
}
