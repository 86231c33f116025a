package part10_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/suyashkumar/dicom"
	"github.com/suyashkumar/dicom/pkg/tag"
)

// libraryElements returns the top level elements before the pixel data as
// suyashkumar/dicom reads them; ok is false where it cannot.
func libraryElements(b []byte) (all []*dicom.Element, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false // it panics on transfer syntaxes that it does not know
		}
	}()
	p, err := dicom.NewParser(bytes.NewReader(b), int64(len(b)), nil, dicom.SkipPixelData(),
		dicom.AllowUnknownSpecificCharacterSet(), dicom.AllowMissingMetaElementGroupLength())
	if err != nil {
		return nil, false
	}
	for {
		e, err := p.Next()
		if err != nil {
			return nil, false
		}
		if e.Tag.Group >= 0x7FE0 {
			return all, true
		}
		all = append(all, e)
	}
}

// TestAgreesWithTheLibrary compares numbers, codes, dates and UIDs of the data set itself
// with another reader. Text is left to the comparison with dcmdump: the library
// does not know all character sets.
func TestAgreesWithTheLibrary(t *testing.T) {
	files, values := 0, 0
	for _, name := range corpusFiles(t, "valid") {
		b := read(t, name)
		elements, ok := libraryElements(b)
		if !ok {
			continue
		}
		files++
		var ours map[string]jsonAttribute
		if err := json.Unmarshal(metadata(t, b), &ours); err != nil {
			t.Fatal(err)
		}
		for _, e := range elements {
			values += compareWithLibrary(t, filepath.Base(name), ours, e)
		}
	}
	t.Logf("%d files, %d values", files, values)
	if files < 150 || values < 10000 {
		t.Errorf("only %d files and %d values were compared", files, values)
	}
}

func compareWithLibrary(t *testing.T, name string, ours map[string]jsonAttribute, e *dicom.Element) int {
	key := fmt.Sprintf("%04X%04X", e.Tag.Group, e.Tag.Element)
	if e.Tag.Element == 0 || e.Tag == tag.SpecificCharacterSet || e.Value == nil {
		return 0
	}
	var want []string
	switch v := e.Value.GetValue().(type) {
	case []int:
		for _, n := range v {
			want = append(want, strconv.Itoa(n))
		}
	case []string:
		if !strings.Contains("CS DA TM DT UI AS AE", e.RawValueRepresentation) {
			return 0
		}
		for _, s := range v {
			want = append(want, strings.Trim(s, " \x00"))
		}
	default:
		return 0
	}
	a, ok := ours[key]
	if !ok {
		if e.Tag.Group > 2 {
			t.Errorf("%s: %s is missing", name, key)
		}
		return 0
	}
	if a.VR == "AT" || a.VR != e.RawValueRepresentation || a.InlineBinary != "" || a.BulkDataURI != "" {
		return 0 // tags come as pairs of numbers; private elements in implicit VR have another VR
	}
	var got []string
	for _, raw := range a.Value {
		got = append(got, scalar(t, raw))
	}
	if len(got) == 0 && strings.Join(want, "") == "" {
		return 1
	}
	if strings.Join(got, `\`) != strings.Join(want, `\`) {
		t.Errorf("%s: %s: got %.80q, the library has %.80q", name, key, got, want)
	}
	return 1
}
