package s3

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"gantry/s3/checksum"
	"gantry/store"
)

// Limits on XML bodies, in bytes and items.
const (
	maxSmallXML    = 64 << 10
	maxDeleteXML   = 2 << 20
	maxCompleteXML = 4 << 20
	maxDeletedKeys = 1000
)

func errXML() error { return newError(codeMalformedXML, "") }

// readXML reads a body of at most limit bytes and checks the hashes that came with it. Room for all such bodies together
// is bounded: whoever comes late waits. release gives the room back when what was read is no longer needed.
func (g *Gateway) readXML(r *request, limit int64, verified bool) (raw []byte, release func(), err error) {
	if r.ContentLength() == 0 && !verified {
		return nil, func() {}, nil
	}
	size := r.ContentLength()
	if isStreaming(r.payload) || size == 0 {
		if size, err = r.bodySize(); err != nil {
			return nil, nil, err
		}
	}
	if size > limit {
		return nil, nil, newError(codeMalformedXML, "The XML you provided is longer than "+itoa(limit)+" bytes")
	}
	b, err := r.newBody(size, checksum.None)
	if err != nil {
		return nil, nil, err
	}
	defer b.close()
	if verified && b.wantMD5 == nil && b.wantSum == nil && !b.trailer {
		return nil, nil, newError(codeInvalidRequest, "Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
	}
	room := size
	if size < 0 || verified {
		room = limit // what follows costs more than the bytes
	}
	if err := g.xmlRoom.Acquire(r.Context(), room); err != nil {
		return nil, nil, store.ErrBusy
	}
	release = func() { g.xmlRoom.Release(room) }
	if raw, err = b.readAll(limit); err != nil {
		release()
		return nil, nil, err
	}
	return raw, release, nil
}

// readAll reads a small body whole.
func (b *body) readAll(limit int64) ([]byte, error) {
	buf := bytes.NewBuffer(make([]byte, 0, max(b.size, 0)+bytes.MinRead))
	if _, err := buf.ReadFrom(io.LimitReader(b, limit+1)); err != nil {
		return nil, err
	}
	if int64(buf.Len()) > limit {
		return nil, errXML()
	}
	if _, err := b.sums(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// xmlReader walks a document strictly: every element must be asked for. Namespaces are ignored, since clients send their
// bodies with S3's, with none, and with others.
type xmlReader struct {
	d *xml.Decoder
}

// readRoot starts a document whose outermost element must have this name.
func readRoot(raw []byte, name string) (*xmlReader, error) {
	x := &xmlReader{d: xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))))}
	x.d.CharsetReader = func(charset string, r io.Reader) (io.Reader, error) {
		if strings.EqualFold(charset, "us-ascii") { // a part of UTF-8
			return r, nil
		}
		return nil, errXML()
	}
	got, ok, err := x.child()
	if err != nil || !ok || got != name {
		return nil, errXML()
	}
	return x, nil
}

// child enters the next element inside the current one; ok is false when that ends instead.
func (x *xmlReader) child() (name string, ok bool, err error) {
	for {
		t, err := x.d.Token()
		if err != nil {
			return "", false, errXML()
		}
		switch t := t.(type) {
		case xml.StartElement:
			return t.Name.Local, true, nil
		case xml.EndElement:
			return "", false, nil
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return "", false, errXML()
			}
		case xml.Directive: // document types and entities
			return "", false, errXML()
		}
	}
}

// text reads the current element to its end; it may hold no other.
func (x *xmlReader) text() (string, error) {
	var b []byte
	for {
		t, err := x.d.Token()
		if err != nil {
			return "", errXML()
		}
		switch t := t.(type) {
		case xml.EndElement:
			return string(b), nil
		case xml.CharData:
			b = append(b, t...)
		case xml.StartElement, xml.Directive:
			return "", errXML()
		}
	}
}

// end makes sure that nothing follows the outermost element.
func (x *xmlReader) end() error {
	for {
		t, err := x.d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		switch t := t.(type) {
		case xml.CharData:
			if len(bytes.TrimSpace(t)) == 0 {
				continue
			}
		case xml.Comment, xml.ProcInst:
			continue
		}
		return errXML()
	}
}

// each calls fn for every child of the current element.
func (x *xmlReader) each(fn func(name string) error) error {
	for {
		name, ok, err := x.child()
		if err != nil || !ok {
			return err
		}
		if err := fn(name); err != nil {
			return err
		}
	}
}
