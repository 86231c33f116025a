package store

import (
	"encoding/json"
	"iter"
	"slices"
	"strings"
	"time"
	"unsafe"

	"gantry/store/catalog"
	"gantry/store/segment"
)

// counts tells how many there are of each name, in the order of names.
type counts []count

type count struct {
	name string
	n    int // over 0
}

// add counts n more of a name, or fewer.
func (c *counts) add(name string, n int) {
	i, found := slices.BinarySearchFunc(*c, name, func(x count, name string) int { return strings.Compare(x.name, name) })
	if !found {
		*c = slices.Insert(*c, i, count{name: name})
	}
	if (*c)[i].n += n; (*c)[i].n <= 0 {
		*c = slices.Delete(*c, i, i+1)
	}
}

func (c counts) names() []string {
	out := make([]string, len(c))
	for i := range c {
		out[i] = c[i].name
	}
	return out
}

// studyValue is the catalog's value for a study.
type studyValue struct {
	LSN                  LSN // of the instance that the attributes come from
	Attrs                json.RawMessage
	Date, Time           string
	PatientID, Issuer    string
	Accession, AccIssuer string
	Names                []string
	Series, Instances    int
	Patients             counts // patient → instances
	Modalities           counts // modality → series
	Classes              counts // SOP class → instances
	Modified             int64  // ns
}

func (s *studyValue) source(h *segment.Header) {
	d := h.Fields.DICOM
	s.LSN, s.Attrs, s.Date, s.Time = LSN(h.LSN), d.StudyAttrs, d.StudyDate, d.StudyTime
	s.PatientID, s.Issuer, s.Accession, s.AccIssuer, s.Names = d.PatientID, d.PatientIDIssuer, d.Accession, d.AccessionIssuer, d.Names
}

func (s *studyValue) swapModality(from, to string) {
	if from == to {
		return
	}
	s.Modalities.add(from, -1)
	s.Modalities.add(to, 1)
}

// conflict tells that the instances disagree on the patient.
func (s *studyValue) conflict() bool { return len(s.Patients) > 1 }

// terms lists the study's index entries: none while it has no instance.
func (s *studyValue) terms() []term {
	if s.Instances == 0 {
		return nil
	}
	out := make([]term, 0, 4+len(s.Names)+len(s.Modalities))
	out = append(out, term{ix: ByDate, value: s.dateTime()})
	out = appendTerms(out, ByPatientID, s.PatientID, s.Issuer)
	out = appendTerms(out, ByAccession, s.Accession, s.AccIssuer)
	for _, n := range s.Names {
		out = append(out, term{ix: ByName, value: n})
	}
	for i := range s.Modalities {
		out = appendTerms(out, ByModality, s.Modalities[i].name, "")
	}
	for i := range out {
		out[i].date, out[i].time = s.Date, s.Time
	}
	return out
}

// maxValues bounds what is looked at of one attribute.
const maxValues = 16

// eachValue gives the values of an attribute, as they are matched.
func eachValue(values string) iter.Seq[string] {
	return func(yield func(string) bool) {
		n := 0
		for v := range strings.SplitSeq(values, `\`) {
			if n++; n > maxValues || !yield(strings.Trim(v, " \x00")) {
				return
			}
		}
	}
}

// appendTerms adds a term for each of the values that an attribute has: any one is enough to find it by (PS3.4 C.2.2.2).
func appendTerms(out []term, ix Index, values, detail string) []term {
	for v := range eachValue(values) {
		out = append(out, term{ix: ix, value: v, detail: detail})
	}
	return out
}

// modalities lists the values of the series' modalities, each once.
func (s *studyValue) modalities() []string {
	var all []string
	for i := range s.Modalities {
		for v := range eachValue(s.Modalities[i].name) {
			if v != "" {
				all = append(all, v)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// dateTime sorts studies by time; a time without a date means nothing.
func (s *studyValue) dateTime() string {
	if s.Date == "" {
		return ""
	}
	return s.Date + s.Time
}

func (s *studyValue) append(b []byte) []byte {
	b = appendUint(b, uint64(s.LSN))
	b = appendStr(b, s.Attrs)
	for _, v := range []string{s.Date, s.Time, s.PatientID, s.Issuer, s.Accession, s.AccIssuer} {
		b = appendStr(b, v)
	}
	b = appendStrs(b, s.Names)
	b = appendInt(appendInt(b, int64(s.Series)), int64(s.Instances))
	b = appendCounts(appendCounts(appendCounts(b, s.Patients), s.Modalities), s.Classes)
	return appendInt(b, s.Modified)
}

func decodeStudy(v []byte) (*studyValue, error) {
	d := decoder{b: v, of: string(v)}
	s := &studyValue{
		LSN: LSN(d.uint()), Attrs: d.bytes(), Date: d.str(), Time: d.str(), PatientID: d.str(), Issuer: d.str(),
		Accession: d.str(), AccIssuer: d.str(), Names: d.strs(), Series: int(d.int()), Instances: int(d.int()),
		Patients: d.counts(), Modalities: d.counts(), Classes: d.counts(), Modified: d.int(),
	}
	return s, d.err
}

func getStudy(r catalog.Reader, bucket uint64, study string) (*studyValue, error) {
	v, ok, err := r.Get(studyKey(bucket, study))
	if err != nil || !ok {
		return nil, err
	}
	return decodeStudy(v)
}

// seriesValue is the catalog's value for a series.
type seriesValue struct {
	LSN       LSN // of the instance that the attributes come from: the oldest
	Attrs     json.RawMessage
	Modality  string
	Instances int
	Classes   counts // SOP class → instances
	Modified  int64  // ns
}

func (s *seriesValue) source(h *segment.Header) {
	s.LSN, s.Attrs, s.Modality = LSN(h.LSN), h.Fields.DICOM.SeriesAttrs, h.Fields.DICOM.Modality
}

func (s *seriesValue) append(b []byte) []byte {
	b = appendUint(b, uint64(s.LSN))
	b = appendStr(appendStr(b, s.Attrs), s.Modality)
	b = appendInt(b, int64(s.Instances))
	return appendInt(appendCounts(b, s.Classes), s.Modified)
}

func decodeSeries(v []byte) (*seriesValue, error) {
	d := decoder{b: v}
	s := &seriesValue{
		LSN: LSN(d.uint()), Attrs: d.bytes(), Modality: d.str(), Instances: int(d.int()), Classes: d.counts(), Modified: d.int(),
	}
	return s, d.err
}

func getSeries(r catalog.Reader, bucket uint64, study, series string) (*seriesValue, error) {
	v, ok, err := r.Get(seriesKey(bucket, study, series))
	if err != nil || !ok {
		return nil, err
	}
	return decodeSeries(v)
}

// instanceValue is the catalog's value for an indexed instance.
type instanceValue struct {
	SOP, SOPClass, TransferSyntax string
	HeaderLen                     int64
	FrameCount, Number            int
	Size, Modified                int64
	Key                           string // "" stands for the one made from the identity
	Patient                       string
	Attrs                         json.RawMessage
}

func (i *instanceValue) append(b []byte) []byte {
	b = appendText(appendText(appendUID(b, i.SOP), i.SOPClass), i.TransferSyntax)
	for _, n := range []int64{i.HeaderLen, int64(i.FrameCount), int64(i.Number), i.Size, i.Modified} {
		b = appendInt(b, n)
	}
	attrs := unsafe.String(unsafe.SliceData(i.Attrs), len(i.Attrs)) // nobody writes to them, nor keeps them here
	return appendText(appendStr(appendStr(b, i.Key), i.Patient), attrs)
}

func decodeInstance(v []byte) (*instanceValue, error) {
	d := decoder{b: v}
	i := &instanceValue{
		SOP: d.uid(), SOPClass: d.text(), TransferSyntax: d.text(), HeaderLen: d.int(), FrameCount: int(d.int()),
		Number: int(d.int()), Size: d.int(), Modified: d.int(), Key: d.str(), Patient: d.str(), Attrs: spellOut(nil, d.bytes()),
	}
	return i, d.err
}

func (i *instanceValue) row(study, series string, lsn LSN) InstanceRow {
	id := Identity{
		Study: study, Series: series, SOP: i.SOP, SOPClass: i.SOPClass, TransferSyntax: i.TransferSyntax,
		HeaderLen: i.HeaderLen, FrameCount: i.FrameCount,
	}
	return InstanceRow{
		Identity: id, Key: id.longKey(i.Key), LSN: lsn, Attrs: i.Attrs, InstanceNumber: i.Number, Size: i.Size, Modified: time.Unix(0, i.Modified).UTC(),
	}
}
