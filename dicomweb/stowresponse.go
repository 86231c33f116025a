package dicomweb

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Failure and warning reasons of the Store Instances Response Module (PS3.18 I.2, values of PS3.4 B.2.3).
const (
	reasonProcessing    = 0x0110 // processing failure
	reasonDuplicate     = 0x0111 // other content under this SOP Instance UID is stored
	reasonNotAuthorized = 0x0124
	reasonResources     = 0xA700 // out of resources: the sender may try again
	reasonMismatch      = 0xA900 // the data set does not match what was asked for: another study
	reasonUnreadable    = 0xC000 // cannot understand
)

// maxErrorComment is the length of an LO value, in characters.
const maxErrorComment = 64

// stored is one item of ReferencedSOPSequence.
type stored struct {
	class, sop, url string
}

// failed is one item of FailedSOPSequence, or of OtherFailuresSequence where sop is unknown.
type failed struct {
	class, sop string
	reason     int
	comment    string // why, for a person; no patient data
}

// stowResult collects what became of each part.
type stowResult struct {
	studyURL string // if everything stored is in one study
	stored   []stored
	failed   []failed
}

// attribute is one DICOM attribute of a response: values, or items for a sequence.
type attribute struct {
	tag, vr, keyword string
	values           []any // string or int
	items            [][]attribute
}

// module lays the result out as attributes, in tag order.
func (r *stowResult) module() []attribute {
	var out []attribute
	if r.studyURL != "" {
		out = append(out, attribute{tag: "00081190", vr: "UR", keyword: "RetrieveURL", values: []any{r.studyURL}})
	}
	var known, other [][]attribute
	for _, f := range r.failed {
		if f.sop == "" {
			other = append(other, f.attributes())
		} else {
			known = append(known, f.attributes())
		}
	}
	if len(known) > 0 {
		out = append(out, attribute{tag: "00081198", vr: "SQ", keyword: "FailedSOPSequence", items: known})
	}
	if len(r.stored) > 0 {
		items := make([][]attribute, len(r.stored))
		for i, s := range r.stored {
			items[i] = s.attributes()
		}
		out = append(out, attribute{tag: "00081199", vr: "SQ", keyword: "ReferencedSOPSequence", items: items})
	}
	if len(other) > 0 {
		out = append(out, attribute{tag: "0008119A", vr: "SQ", keyword: "OtherFailuresSequence", items: other})
	}
	return out
}

func (s stored) attributes() []attribute {
	return []attribute{
		{tag: "00081150", vr: "UI", keyword: "ReferencedSOPClassUID", values: []any{s.class}},
		{tag: "00081155", vr: "UI", keyword: "ReferencedSOPInstanceUID", values: []any{s.sop}},
		{tag: "00081190", vr: "UR", keyword: "RetrieveURL", values: []any{s.url}},
	}
}

func (f failed) attributes() []attribute {
	var out []attribute
	if f.comment != "" {
		comment, _, _ := strings.Cut(f.comment, "\n") // an LO has one line
		out = append(out, attribute{tag: "00000902", vr: "LO", keyword: "ErrorComment", values: []any{cut(comment, maxErrorComment)}})
	}
	if f.sop != "" {
		out = append(out,
			attribute{tag: "00081150", vr: "UI", keyword: "ReferencedSOPClassUID", values: []any{f.class}},
			attribute{tag: "00081155", vr: "UI", keyword: "ReferencedSOPInstanceUID", values: []any{f.sop}})
	}
	return append(out, attribute{tag: "00081197", vr: "US", keyword: "FailureReason", values: []any{f.reason}})
}

// cut shortens s to max characters.
func cut(s string, max int) string {
	if utf8.RuneCountInString(s) <= max {
		return s
	}
	return string([]rune(s)[:max])
}

// appendJSON writes a data set in the DICOM JSON model (PS3.18 F.2).
func appendJSON(b []byte, set []attribute) []byte {
	b = append(b, '{')
	for i, a := range set {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `"`+a.tag+`":{"vr":"`+a.vr+`","Value":[`...)
		for j, v := range a.values {
			if j > 0 {
				b = append(b, ',')
			}
			b = appendJSONValue(b, v)
		}
		for j, item := range a.items {
			if j > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, item)
		}
		b = append(b, "]}"...)
	}
	return append(b, '}')
}

func appendJSONValue(b []byte, v any) []byte {
	if n, ok := v.(int); ok {
		return strconv.AppendInt(b, int64(n), 10)
	}
	q, err := json.Marshal(v)
	if err != nil {
		return append(b, `""`...)
	}
	return append(b, q...)
}

// xmlDocument writes a data set in the Native DICOM Model (PS3.19 A.1).
func xmlDocument(set []attribute) []byte {
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" +
		`<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM" xml:space="preserve">`)
	writeXML(&b, set)
	b.WriteString("</NativeDicomModel>\n")
	return b.Bytes()
}

func writeXML(b *bytes.Buffer, set []attribute) {
	for _, a := range set {
		b.WriteString(`<DicomAttribute tag="` + a.tag + `" vr="` + a.vr + `" keyword="` + a.keyword + `">`)
		for i, v := range a.values {
			b.WriteString(`<Value number="` + strconv.Itoa(i+1) + `">`)
			if n, ok := v.(int); ok {
				b.WriteString(strconv.Itoa(n))
			} else if s, ok := v.(string); ok {
				_ = xml.EscapeText(b, []byte(s)) // a bytes.Buffer takes everything
			}
			b.WriteString(`</Value>`)
		}
		for i, item := range a.items {
			b.WriteString(`<Item number="` + strconv.Itoa(i+1) + `">`)
			writeXML(b, item)
			b.WriteString(`</Item>`)
		}
		b.WriteString(`</DicomAttribute>`)
	}
}
