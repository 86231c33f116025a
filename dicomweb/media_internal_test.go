package dicomweb

import (
	"fmt"
	"strings"
	"testing"

	"gantry/dicomweb/part10"
)

func TestParseAccept(t *testing.T) {
	for _, c := range []struct {
		headers []string
		want    string
	}{
		{nil, ""},
		{[]string{"*/*"}, "*/*"},
		{[]string{`multipart/related; type="application/dicom"; transfer-syntax=*`}, "multipart/related(application/dicom,*)"},
		{[]string{`multipart/related; type=application/dicom; transfer-syntax=1.2.840.10008.1.2.4.50`}, "multipart/related(application/dicom,1.2.840.10008.1.2.4.50)"},
		{[]string{`Multipart/Related;TYPE="Application/DICOM"`}, "multipart/related(application/dicom,)"},
		{[]string{`*/*;q=0.1, application/dicom;q=0.5`, `application/dicom+json`}, "application/dicom+json application/dicom */*"},
		{[]string{`*/*, application/dicom`}, "application/dicom */*"},
		{[]string{`application/dicom;q=0, text/html;q=1.0`}, "text/html"},
		{[]string{`application/dicom;q=0`}, "none"},
		{[]string{"application/dicom json"}, "application/dicom+json"},
		{[]string{`a/b; type="x,y/z;q=0", c/d`}, "a/b(x,y/z,) c/d"},
		{[]string{",, ;q=1, nonsense, a/b;;q=abc"}, "a/b"},
		{[]string{`multipart/related; type="application/octet-stream"; transfer-syntax="1.2.840.10008.1.2.1", multipart/related; type="image/jls"`},
			"multipart/related(application/octet-stream,1.2.840.10008.1.2.1) multipart/related(image/jls,)"},
		{[]string{strings.Repeat("a/b,", 20000)}, ""},
	} {
		var got []string
		for _, m := range parseAccept(c.headers) {
			s := m.name
			if m.inner != "" || m.syntax != "" {
				s += fmt.Sprintf("(%s,%s)", m.inner, m.syntax)
			}
			got = append(got, s)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q: got %q, want %q", c.headers, got, c.want)
		}
	}
}

func TestDICOMForms(t *testing.T) {
	const jpeg = "1.2.840.10008.1.2.4.50"
	for _, c := range []struct {
		accept, stored string
		want           string // syntax, with "1:" before it if single; "" if not acceptable
	}{
		{"", implicitLE, implicitLE},
		{"*/*", jpeg, jpeg},
		{"application/dicom", implicitLE, "1:" + explicitLE},
		{"application/dicom", jpeg, "1:" + jpeg},
		{"application/dicom;transfer-syntax=*", explicitBE, "1:" + explicitBE},
		{`multipart/related; type="application/dicom"`, deflatedLE, explicitLE},
		{`multipart/related; type="application/dicom"; transfer-syntax=` + jpeg, jpeg, jpeg},
		{`multipart/related; type="application/dicom"; transfer-syntax=` + jpeg, explicitLE, ""},
		{`application/dicom; transfer-syntax=` + explicitLE, jpeg, ""},
		{`application/dicom; transfer-syntax=` + explicitLE + `, */*;q=0.1`, jpeg, jpeg},
		{`multipart/related; type="application/dicom+xml"`, explicitLE, ""},
		{"image/png", explicitLE, ""},
		{"multipart/related", implicitLE, implicitLE},
	} {
		var values []string
		if c.accept != "" {
			values = []string{c.accept}
		}
		got := ""
		for _, f := range dicomForms(parseAccept(values)) {
			if syntax, ok := f.syntaxFor(c.stored); ok {
				if got = syntax; f.single {
					got = "1:" + syntax
				}
				break
			}
		}
		if got != c.want {
			t.Errorf("%q of %s: got %q, want %q", c.accept, c.stored, got, c.want)
		}
	}
}

// The names are those that dicomweb-client and viewers made with it use.
func TestPixelsGoByTheNamesThatClientsUse(t *testing.T) {
	for _, c := range []struct{ syntax, name string }{
		{"1.2.840.10008.1.2.5", "image/x-dicom-rle"},
		{"1.2.840.10008.1.2.4.81", "image/x-jls"},
		{"1.2.840.10008.1.2.4.91", "image/jpx"},
		{"1.2.840.10008.1.2.4.202", "image/jhc"},
		{"1.2.840.10008.1.2.4.100", "video/mpeg2"},
		{"1.2.840.10008.1.2.4.101", "video/mpeg2"},
		{"1.2.840.10008.1.2.4.107", "video/h265"},
	} {
		p := &pixels{syntax: c.syntax, natural: part10.FrameMediaType(c.syntax)}
		accept := `multipart/related; type="` + c.name + `"; transfer-syntax=` + c.syntax
		if forms := p.pixelForms(parseAccept([]string{accept})); len(forms) != 1 || !strings.EqualFold(forms[0].media, c.name) || forms[0].syntax != c.syntax {
			t.Errorf("%s: got %+v", accept, forms)
		}
	}
}

func TestParseByteRange(t *testing.T) {
	for _, c := range []struct {
		header        string
		size          int64
		first, length int64
		kind          rangeKind
	}{
		{"", 10, 0, 10, rangeNone},
		{"bytes=0-0", 10, 0, 1, rangePart},
		{"bytes=2-", 10, 2, 8, rangePart},
		{"bytes=2-100", 10, 2, 8, rangePart},
		{"bytes=-3", 10, 7, 3, rangePart},
		{"bytes=-30", 10, 0, 10, rangePart},
		{"bytes=10-", 10, 0, 0, rangeBad},
		{"bytes=-0", 10, 0, 0, rangeBad},
		{"bytes=0-", 0, 0, 0, rangeBad},
		{"bytes=5-2", 10, 0, 10, rangeNone},
		{"bytes=0-1,3-4", 10, 0, 10, rangeNone},
		{"lines=0-1", 10, 0, 10, rangeNone},
		{"bytes=a-b", 10, 0, 10, rangeNone},
		{"bytes=0-9223372036854775807", 10, 0, 10, rangePart},
		{"bytes=-", 10, 0, 10, rangeNone},
	} {
		first, length, kind := parseByteRange(c.header, c.size)
		if first != c.first || length != c.length || kind != c.kind {
			t.Errorf("%q of %d: got %d+%d kind %d, want %d+%d kind %d",
				c.header, c.size, first, length, kind, c.first, c.length, c.kind)
		}
	}
}

func FuzzParseAccept(f *testing.F) {
	f.Add(`multipart/related; type="application/dicom"; transfer-syntax=*; q=0.5, */*`)
	f.Add(`a/b;type="x\"y`)
	f.Fuzz(func(t *testing.T, header string) {
		list := parseAccept([]string{header})
		if len(list) > maxMediaRanges {
			t.Fatalf("%d ranges", len(list))
		}
		for i, m := range list {
			if m.name == nothing && len(list) == 1 {
				continue
			}
			if m.quality <= 0 || m.quality > maxQualityValue || !strings.Contains(m.name, "/") {
				t.Fatalf("%+v", m)
			}
			if i > 0 && m.quality > list[i-1].quality {
				t.Fatal("not in order of quality")
			}
		}
		dicomForms(list)
	})
}
