package dicomweb

import (
	"strconv"

	"gantry/store"
)

// returned is an attribute that a query returns unasked, with its VR for the case that the data set has no value.
type returned struct {
	vr       string
	optional bool // left out, not empty, where there is no value
}

// The attributes of PS3.18 Tables 10.6.3-3 to 10.6.3-5, and the few that every viewer asks for. Computed ones are
// added by the functions below.
var returnedStudy = map[string]returned{
	"00080020": {vr: "DA"},
	"00080030": {vr: "TM"},
	"00080050": {vr: "SH"},
	"00080090": {vr: "PN"},
	"00080201": {vr: "SH", optional: true},
	"00081030": {vr: "LO", optional: true},
	"00100010": {vr: "PN"},
	"00100020": {vr: "LO"},
	"00100021": {vr: "LO", optional: true},
	"00100030": {vr: "DA"},
	"00100040": {vr: "CS"},
	"00200010": {vr: "SH"},
}

var returnedSeries = map[string]returned{
	"00080060": {vr: "CS"},
	"00080201": {vr: "SH", optional: true},
	"0008103E": {vr: "LO", optional: true},
	"00200011": {vr: "IS"},
	"00400244": {vr: "DA", optional: true},
	"00400245": {vr: "TM", optional: true},
	"00400275": {vr: "SQ", optional: true},
}

var returnedInstance = map[string]returned{
	"00080201": {vr: "SH", optional: true},
	"00200013": {vr: "IS"},
	"00280008": {vr: "IS", optional: true},
	"00280010": {vr: "US", optional: true},
	"00280011": {vr: "US", optional: true},
	"00280100": {vr: "US", optional: true},
}

// returnedBy holds a table of returned attributes with the empty elements to write where there is no value.
type returnedBy struct {
	tags  map[string]returned
	empty []entry
}

func newReturned(tags map[string]returned) *returnedBy {
	r := &returnedBy{tags: tags}
	for tag, d := range tags {
		if !d.optional {
			r.empty = append(r.empty, entry{tag, []byte(`{"vr":"` + d.vr + `"}`)})
		}
	}
	return r
}

var (
	byStudy    = newReturned(returnedStudy)
	bySeries   = newReturned(returnedSeries)
	byInstance = newReturned(returnedInstance)
	byAbove    = newReturned(map[string]returned{ // of a level that the path names
		"00080201": {vr: "SH", optional: true},
	})
)

// always are attributes of every result that are neither recorded nor computed for matching.
var always = map[string]bool{"00080005": true, "00080016": true, "00080018": true, "00081190": true, "0020000D": true, "0020000E": true}

// wanted tells whether an attribute belongs into the results.
func (s *search) wanted(tag []byte, defaults *returnedBy) bool {
	if s.asked(string(tag)) {
		return true
	}
	_, ok := defaults.tags[string(tag)]
	return ok
}

// stored adds the wanted attributes of one level, and empty ones for defaults that have no value.
func (s *search) stored(attrs []byte, defaults *returnedBy) {
	s.merge = append(s.merge, defaults.empty...)
	m := newMembers(attrs)
	for {
		tag, value, ok := m.next()
		if !ok {
			return
		}
		if s.wanted(tag, defaults) {
			s.merge = append(s.merge, entry{string(tag), value})
		}
	}
}

// put adds an attribute with string values.
func (s *search) put(tag, vr string, values ...string) {
	b := append(make([]byte, 0, 32+64*len(values)), `{"vr":"`+vr+`"`...)
	for i, v := range values {
		if i == 0 {
			b = append(b, `,"Value":[`...)
		} else {
			b = append(b, ',')
		}
		b = appendJSONValue(b, v)
	}
	if len(values) > 0 {
		b = append(b, ']')
	}
	s.merge = append(s.merge, entry{tag, append(b, '}')})
}

// number adds an IS attribute.
func (s *search) number(tag string, n int) {
	s.merge = append(s.merge, entry{tag, []byte(`{"vr":"IS","Value":[` + strconv.Itoa(n) + `]}`)})
}

// asked tells whether an attribute was a key or named by includefield.
func (s *search) asked(tag string) bool { return s.q.all || s.q.include[tag] }

// studyEntries adds what a study says. Below the study level, where the path names the study, only its UID is added
// unless more was asked for.
func (s *search) studyEntries(row *store.StudyRow) {
	s.put("00080005", "CS", "ISO_IR 192")
	named, defaults := s.q.level != levelStudy && s.q.study != "", byStudy
	if named {
		defaults = byAbove
	}
	s.stored(row.Attrs, defaults)
	if !named || s.asked("00080061") {
		s.put("00080061", "CS", row.Modalities...)
	}
	if !named || s.asked("00201206") {
		s.number("00201206", row.Series)
	}
	if !named || s.asked("00201208") {
		s.number("00201208", row.Instances)
	}
	if s.asked("00080062") {
		s.put("00080062", "UI", row.SOPClasses...)
	}
	s.put("0020000D", "UI", row.UID)
	s.put("00080056", "CS", "ONLINE")
	s.put("00081190", "UR", studyURL(s.base, row.UID))
}

func (s *search) seriesEntries(row *store.SeriesRow) {
	named, defaults := s.q.level == levelInstance && s.q.series != "", bySeries
	if named {
		defaults = byAbove
	}
	s.stored(row.Attrs, defaults)
	if !named || s.asked("00201209") {
		s.number("00201209", row.Instances)
	}
	s.put("0020000E", "UI", row.UID)
	s.put("00081190", "UR", seriesURL(s.base, row.Study, row.UID))
}

func (s *search) instanceEntries(series *store.SeriesRow, row *store.InstanceRow) {
	s.stored(row.Attrs, byInstance)
	s.put("00080016", "UI", row.SOPClass)
	s.put("00080018", "UI", row.SOP)
	s.put("00083002", "UI", row.TransferSyntax)
	s.put("00081190", "UR", instanceURL(s.base, series.Study, series.UID, row.SOP))
}

func studyURL(base, study string) string { return base + "/studies/" + study }

func seriesURL(base, study, series string) string {
	return studyURL(base, study) + "/series/" + series
}

func instanceURL(base, study, series, sop string) string {
	return seriesURL(base, study, series) + "/instances/" + sop
}
