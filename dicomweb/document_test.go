package dicomweb_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"gantry/store"
)

// document makes an Encapsulated PDF in Explicit VR Little Endian.
func document(pdf []byte) []byte { return documentOf("application/pdf", pdf) }

// documentOf makes an encapsulated document that says of itself what it is.
func documentOf(mediaType string, pdf []byte) []byte {
	var b bytes.Buffer
	le := binary.LittleEndian
	element := func(group, number uint16, vr string, value []byte) {
		if len(value)%2 == 1 {
			pad := byte(' ')
			if vr == "UI" || vr == "OB" {
				pad = 0
			}
			value = append(bytes.Clone(value), pad)
		}
		head := append(le.AppendUint16(le.AppendUint16(nil, group), number), vr...)
		if vr == "OB" {
			head = le.AppendUint32(append(head, 0, 0), uint32(len(value)))
		} else {
			head = le.AppendUint16(head, uint16(len(value)))
		}
		b.Write(append(head, value...))
	}
	text := func(group, number uint16, vr, value string) { element(group, number, vr, []byte(value)) }
	b.WriteString(strings.Repeat("\x00", 128) + "DICM")
	const class, uid = "1.2.840.10008.5.1.4.1.1.104.1", "2.25.7711"
	var group2 bytes.Buffer
	for _, e := range []struct {
		number uint16
		uid    string
	}{{2, class}, {3, uid + ".3"}, {0x10, "1.2.840.10008.1.2.1"}} {
		value := e.uid + strings.Repeat("\x00", len(e.uid)%2)
		group2.Write(append(le.AppendUint16(append(le.AppendUint16(le.AppendUint16(nil, 2), e.number), "UI"...), uint16(len(value))), value...))
	}
	element(2, 0, "UL", le.AppendUint32(nil, uint32(group2.Len())))
	b.Write(group2.Bytes())
	text(8, 0x16, "UI", class)
	text(8, 0x18, "UI", uid+".3")
	text(8, 0x60, "CS", "DOC")
	text(0x10, 0x10, "PN", "Document^Test")
	text(0x20, 0x0D, "UI", uid+".1")
	text(0x20, 0x0E, "UI", uid+".2")
	element(0x42, 0x11, "OB", pdf)
	text(0x42, 0x12, "LO", mediaType)
	return b.Bytes()
}

func TestBulkDataIsGivenAsWhatItIs(t *testing.T) {
	s := start(t, store.Replace, nil)
	pdf := []byte("%PDF-1.4 " + strings.Repeat("page ", 2000))
	if a := s.stow("/studies", document(pdf)); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	const path = "/studies/2.25.7711.1/series/2.25.7711.2/instances/2.25.7711.3/bulkdata/00420011"
	for _, c := range []struct{ accept, want string }{
		{"application/pdf", "application/pdf"},
		{"*/*", "application/pdf"},
		{"text/html, */*;q=0.1", "application/pdf"},
		{"application/octet-stream", "application/octet-stream"},
		{`multipart/related; type="application/pdf"`, `multipart/related; type="application/pdf"`},
	} {
		a := s.get(path, "Accept", c.accept)
		if got := a.Header.Get("Content-Type"); a.StatusCode != http.StatusOK || !strings.HasPrefix(got, c.want) || strings.Contains(got, "transfer-syntax") {
			t.Errorf("%s: %d %s", c.accept, a.StatusCode, got)
		}
		if !bytes.Contains(a.body, pdf) {
			t.Errorf("%s: other bytes", c.accept)
		}
	}
	for _, accept := range []string{"%s; transfer-syntax=1.2.840.10008.1.2.1", `multipart/related; type="%s"; transfer-syntax=1.2.840.10008.1.2.1`} {
		accept = fmt.Sprintf(accept, "application/octet-stream")
		if a := s.get(path, "Accept", accept); a.StatusCode != http.StatusOK || !bytes.Contains(a.body, pdf) {
			t.Errorf("%s: %d", accept, a.StatusCode)
		}
	}
	for _, refused := range []string{"image/jpeg", "application/pdf;q=0"} {
		if a := s.get(path, "Accept", refused); a.StatusCode != http.StatusNotAcceptable {
			t.Errorf("%s: %d", refused, a.StatusCode)
		}
	}
	if a := s.get("/studies", "Accept", "application/dicom+json;q=0"); a.StatusCode != http.StatusNotAcceptable {
		t.Errorf("query that accepts nothing: %d", a.StatusCode)
	}
}

// TestDocumentsDoNotRun: a document of any kind can be stored, and the console has the same origin.
func TestDocumentsDoNotRun(t *testing.T) {
	const path = "/studies/2.25.7711.1/series/2.25.7711.2/instances/2.25.7711.3/bulkdata/00420011"
	for mediaType, sandboxed := range map[string]bool{"text/html": true, "image/svg+xml": true, "application/pdf": false} {
		s := start(t, store.Replace, nil)
		if a := s.stow("/studies", documentOf(mediaType, []byte("<script>alert(1)</script>"))); a.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s", mediaType, a.StatusCode, a.body)
		}
		a := s.get(path, "Accept", "text/html,*/*;q=0.8")
		if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != mediaType || a.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", mediaType, a.StatusCode, a.Header)
		}
		if got := strings.HasPrefix(a.Header.Get("Content-Security-Policy"), "sandbox;"); got != sandboxed {
			t.Errorf("%s: sandboxed %v", mediaType, got)
		}
	}
}

func TestVideoIsGivenByItsName(t *testing.T) {
	s := start(t, store.Replace, nil)
	s.mustStow("synthetic/video_hevc.dcm")
	row := s.query("/instances")[0]
	a := s.get(row.place()+"/bulkdata/7FE00010", "Accept", "video/H265")
	if a.StatusCode != http.StatusOK || !strings.HasPrefix(a.Header.Get("Content-Type"), "video/H265") {
		t.Errorf("%d %s", a.StatusCode, a.Header.Get("Content-Type"))
	}
}
