package part10

import (
	"strings"
	"time"
)

// Interval is what a query value of VR DA, TM or DT asks for: normal values from From
// to To, both included, an empty one open. Normal values compare as text.
type Interval struct{ From, To string }

// Contains reports whether a value as NormalDate, NormalTime or NormalDateTime gives it
// lies in the interval; an empty one never does.
func (i Interval) Contains(normal string) bool {
	return normal != "" && normal >= i.From && (i.To == "" || normal <= i.To)
}

// ParseDateRange reads a query value of VR DA: a date, or a range open or closed at
// either end (PS3.4 C.2.2.2.5.1).
func ParseDateRange(s string) (Interval, bool) {
	return parseRange(s, "-", func(s string) (Interval, bool) {
		d := NormalDate(s)
		return Interval{d, d}, d != ""
	})
}

// ParseTimeRange reads a query value of VR TM. A time that leaves parts out means all
// of that hour or minute.
func ParseTimeRange(s string) (Interval, bool) { return parseRange(s, "-", timeInterval) }

func timeInterval(s string) (Interval, bool) {
	from := NormalTime(s)
	if from == "" {
		return Interval{}, false
	}
	s = strings.ReplaceAll(strings.Trim(s, padding), ":", "")
	last := "595959.999999"
	switch whole, frac, _ := strings.Cut(s, "."); {
	case len(whole) == 2:
		return Interval{from, whole + last[2:]}, true
	case len(whole) == 4:
		return Interval{from, whole + last[4:]}, true
	default:
		return Interval{from, whole + "." + (frac + "999999")[:6]}, true
	}
}

// parseRange cuts a query value at the separator and reads either side with one.
func parseRange(s, separator string, one func(string) (Interval, bool)) (Interval, bool) {
	s = strings.Trim(s, padding)
	a, b, ranged := strings.Cut(s, separator)
	if !ranged {
		return one(s)
	}
	var out Interval
	if a = strings.Trim(a, padding); a != "" {
		i, ok := one(a)
		if !ok {
			return Interval{}, false
		}
		out.From = i.From
	}
	if b = strings.Trim(b, padding); b != "" {
		i, ok := one(b)
		if !ok {
			return Interval{}, false
		}
		out.To = i.To
	}
	return out, a != "" || b != ""
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
	return parseRange(s, "/", func(s string) (Interval, bool) { return dateTime(s, zone) })
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
