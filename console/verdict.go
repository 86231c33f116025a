package console

import (
	"fmt"
	"time"
)

// Level is how a question is answered at a glance.
type Level string

// The levels, from good to bad.
const (
	Green Level = "green"
	Amber Level = "amber"
	Red   Level = "red"
)

// Word says a level to those who don't see colours.
func (l Level) Word() string {
	switch l {
	case Green:
		return "OK"
	case Amber:
		return "Attention"
	}
	return "Alarm"
}

func worst(levels ...Level) Level {
	out := Green
	for _, l := range levels {
		if l == Red || l == Amber && out == Green {
			out = l
		}
	}
	return out
}

// Verdict answers one question: in a colour, in one sentence, and with what to know beyond it.
type Verdict struct {
	Level Level  `json:"level"`
	Text  string `json:"text"`
	More  string `json:"more"`
}

// When a figure becomes a colour.
const (
	slowCommit     = 100 * time.Millisecond // 99th percentile
	verySlowCommit = time.Second
	fewCommits     = 100 // of fewer the median is judged: one slow commit among them is no alarm

	soonFullDays = 90
	nowFullDays  = 14
	highUse      = 0.85 // of the disk
)

// judge fills in the verdicts.
func (s *Status) judge() {
	s.Safe, s.Fast, s.Full, s.Tidy = s.safe(), s.fast(), s.full(), s.tidy()
	s.Overall = worst(s.Safe.Level, s.Fast.Level, s.Full.Level, s.Tidy.Level)
}

func (s *Status) safe() Verdict {
	switch {
	case s.Log.Broken:
		return Verdict{Red, "Writes are refused: the log is broken.", "The disk failed a write. Look at the server's log and at the disk, then restart. What was acknowledged is kept."}
	case s.Log.DamageFound > 0:
		return Verdict{Red, plural(s.Log.DamageFound, "place is", "places are") + " damaged.",
			"Damaged data are never served; everything else is. Stop the server and run “gantry verify” for the list of objects."}
	}
	return Verdict{Green, "Everything acknowledged is on disk, and no damage is known.",
		"This site has no mirror: there is one copy, on one disk."}
}

func (s *Status) fast() Verdict {
	c := s.Commits
	if c.Count == 0 {
		return Verdict{Green, "Nothing was written since the start.", ""}
	}
	v := Verdict{Green, fmt.Sprintf("Writes are safe on disk within %s.", millis(c.P99)),
		fmt.Sprintf("99 of 100, over the last %s; half of them within %s, the last one in %s.", plural(int64(c.Count), "commit", "commits"), millis(c.P50), millis(c.Last))}
	judged := c.P99
	if c.Count < fewCommits {
		judged = c.P50
	}
	switch {
	case judged >= float64(verySlowCommit.Milliseconds()):
		v.Level, v.Text = Red, fmt.Sprintf("Writes take up to %s to be safe on disk.", millis(c.P99))
	case judged >= float64(slowCommit.Milliseconds()):
		v.Level, v.Text = Amber, fmt.Sprintf("Writes take up to %s to be safe on disk.", millis(c.P99))
	}
	return v
}

func millis(ms float64) string {
	switch {
	case ms >= 1000:
		return fmt.Sprintf("%.1f s", ms/1000)
	case ms >= 10:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.1f ms", ms)
}

func (s *Status) full() Verdict {
	d := s.Disk
	usable := uint64(0)
	if d.FreeBytes > d.ReserveBytes {
		usable = d.FreeBytes - d.ReserveBytes
	}
	more := fmt.Sprintf("%s of %s are free; the last %s of them are kept for deletes.", Size(d.FreeBytes), Size(d.SizeBytes), Size(d.ReserveBytes))
	if d.Full {
		return Verdict{Red, "The disk is full: writes are refused.", more + " Reads and deletes go on."}
	}
	v := Verdict{Green, fmt.Sprintf("There is room for %s.", Size(usable)), more}
	if d.DaysUntilFull == nil {
		v.More += " How long that lasts can't be told yet."
	} else {
		days := *d.DaysUntilFull
		v.Text = fmt.Sprintf("There is room for %s, %s at the present rate.", Size(usable), span(days))
		v.More += fmt.Sprintf(" %s a day came in, measured over %s.", Size(uint64(*d.IngestBytesPerDay)), span(float64(d.MeasuredSeconds)/86400))
		switch {
		case days < nowFullDays:
			v.Level = Red
		case days < soonFullDays:
			v.Level = Amber
		}
	}
	if d.SizeBytes > 0 && float64(d.FreeBytes) < (1-highUse)*float64(d.SizeBytes) {
		v.Level = worst(v.Level, Amber)
	}
	return v
}

func (s *Status) tidy() Verdict {
	t := s.Totals
	if t.Conflicts+t.Duplicates+t.Unindexed == 0 {
		return Verdict{Green, "Nothing waits for a person to look at it.", ""}
	}
	v := Verdict{Level: Green, Text: "Some objects are stored but not indexed."}
	v.More = fmt.Sprintf("%s, %s, %s. All of them are kept.", plural(t.Conflicts, "study names several patients", "studies name several patients"),
		plural(t.Duplicates, "duplicate", "duplicates"), plural(t.Unindexed, "object that is not DICOM", "objects that are not DICOM"))
	if t.Conflicts > 0 {
		v.Level, v.Text = Amber, plural(t.Conflicts, "study names", "studies name")+" more than one patient."
	}
	return v
}

func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// span says a number of days roughly.
func span(days float64) string {
	switch {
	case days >= 3*365:
		return fmt.Sprintf("%.0f years", days/365)
	case days >= 90:
		return fmt.Sprintf("%.0f months", days/30.4)
	case days >= 2:
		return fmt.Sprintf("%.0f days", days)
	}
	return fmt.Sprintf("%.0f hours", days*24)
}

// Size writes bytes for people, in powers of 1000 as disks are sold.
func Size[T int64 | uint64](n T) string {
	v, units := float64(n), []string{"kB", "MB", "GB", "TB", "PB"}
	if v < 1000 {
		return fmt.Sprintf("%d bytes", n)
	}
	i := -1
	for v >= 999.5 && i < len(units)-1 {
		v, i = v/1000, i+1
	}
	if v < 10 {
		return fmt.Sprintf("%.1f %s", v, units[i])
	}
	return fmt.Sprintf("%.0f %s", v, units[i])
}
