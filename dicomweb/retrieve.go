package dicomweb

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"

	"gantry/store"
)

// ref is what is needed to send an instance.
type ref struct {
	key    string
	series string
	sop    string
	syntax string // transfer syntax as stored
	size   int64
}

// refs lists the instances of the study, series or instance that the path names; never none.
func (rq *request) refs() ([]ref, error) {
	if rq.route.sop != "" {
		row, err := rq.instanceRow()
		if err != nil {
			return nil, err
		}
		return []ref{refOf(&row)}, nil
	}
	var refs []ref
	err := rq.g.objects.Instances(rq.ctx, rq.bucket, rq.route.study, rq.route.series, func(row store.InstanceRow) bool {
		refs = append(refs, refOf(&row))
		return true
	})
	if err != nil {
		return nil, err
	}
	if len(refs) == 0 {
		return nil, notFound("study or series")
	}
	return refs, nil
}

func refOf(row *store.InstanceRow) ref {
	return ref{key: row.Key, series: row.Series, sop: row.SOP, syntax: row.TransferSyntax, size: row.Size}
}

// instanceRow finds the instance of the path, which must be in the study and series that the path says.
func (rq *request) instanceRow() (store.InstanceRow, error) {
	row, err := rq.g.objects.Instance(rq.ctx, rq.bucket, rq.route.sop)
	if err != nil {
		return row, err
	}
	if row.Study != rq.route.study || row.Series != rq.route.series {
		return row, notFound("instance")
	}
	return row, nil
}

// form is how instances are to be sent.
type form struct {
	single bool   // not wrapped in multipart/related
	syntax string // "*": as stored; "": Explicit VR Little Endian where possible; else exactly this one
}

// dicomForms returns what the client accepts as application/dicom, best first.
func dicomForms(accepts []mediaRange) []form {
	if len(accepts) == 0 {
		return []form{{syntax: anyTransfer}}
	}
	var out []form
	for _, m := range accepts {
		switch {
		case m.name == "*/*" || m.name == "multipart/*" || m.name == typeRelated && m.inner == "*/*":
			out = append(out, form{syntax: orAny(m.syntax)})
		case m.name == "application/*":
			out = append(out, form{single: true, syntax: orAny(m.syntax)})
		case m.name == typeDICOM:
			out = append(out, form{single: true, syntax: m.syntax})
		case m.name == typeRelated && m.inner == "":
			out = append(out, form{syntax: orAny(m.syntax)})
		case m.name == typeRelated && (m.inner == typeDICOM || m.inner == "application/*"):
			out = append(out, form{syntax: m.syntax})
		}
	}
	return out
}

func orAny(syntax string) string {
	if syntax == "" {
		return anyTransfer
	}
	return syntax
}

// syntaxFor tells in which transfer syntax an instance stored as stored is sent under form f; ok is false if it can't be.
func (f form) syntaxFor(stored string) (syntax string, ok bool) {
	switch {
	case f.syntax == anyTransfer || f.syntax == stored:
		return stored, true
	case f.syntax == "" && !convertible(stored):
		return stored, true
	case f.syntax == "" || f.syntax == explicitLE && convertible(stored):
		return explicitLE, true
	}
	return "", false
}

// convertible tells whether a transfer syntax can be brought into Explicit VR Little Endian without decoding pixels.
func convertible(syntax string) bool {
	switch syntax {
	case implicitLE, explicitLE, explicitBE, deflatedLE:
		return true
	}
	return false
}

// retrieve serves GET of a study, series or instance.
func (rq *request) retrieve() error {
	refs, err := rq.refs()
	if err != nil {
		return err
	}
	for _, f := range dicomForms(rq.accepts()) {
		if f.possible(refs) {
			if f.single && rq.route.sop != "" {
				return rq.sendSingle(refs[0], f)
			}
			return rq.sendRelated(refs, f)
		}
	}
	return notAcceptable()
}

func (f form) possible(refs []ref) bool {
	for i := range refs {
		if _, ok := f.syntaxFor(refs[i].syntax); !ok {
			return false
		}
	}
	return true
}

func notAcceptable() error {
	return &requestError{status: http.StatusNotAcceptable,
		message: "none of the accepted media types and transfer syntaxes can be given"}
}

// sendSingle sends one instance on its own, with ranges if it is sent as stored.
func (rq *request) sendSingle(r ref, f form) error {
	syntax, _ := f.syntaxFor(r.syntax)
	rq.SetHeader("Content-Type", typeDICOM+"; transfer-syntax="+syntax)
	o, err := rq.open(r)
	if err != nil {
		return err
	}
	if syntax == r.syntax {
		return rq.sendRange(o, 0, o.Size)
	}
	defer o.Close()
	size, err := explicitSize(o)
	if err != nil {
		return err
	}
	o2, err := rq.open(r)
	if err != nil {
		return err
	}
	rq.SendStream(size, &converted{o: o2})
	return nil
}

// open opens an object of the request's archive.
func (rq *request) open(r ref) (*store.Object, error) {
	o, err := rq.g.objects.Get(rq.ctx, store.Key{Bucket: rq.bucket, Name: r.key})
	if err != nil {
		return nil, err
	}
	return o, nil
}

// converted is an object that is brought into Explicit VR Little Endian while it is sent.
type converted struct{ o *store.Object }

func (c *converted) WriteTo(w io.Writer) (int64, error) {
	n := &counter{w: w}
	err := writeExplicit(n, c.o)
	return n.n, err
}

func (c *converted) Read([]byte) (int, error) { return 0, errUnreadable }
func (c *converted) Close() error             { return c.o.Close() }

// counter counts what passes.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// related is a multipart/related response in the making: parts that are opened one after the other as they are sent.
type related struct {
	ctx      context.Context
	boundary string
	parts    []relatedPart
}

// relatedPart is one part: its header and how to write its content.
type relatedPart struct {
	header string // lines with their ends, without the empty line
	size   int64  // of the content; -1 if unknown until it is written
	write  func(w io.Writer) error
}

func newBoundary() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return "gantry" + hex.EncodeToString(b[:])
}

// send sends the parts; with a Content-Length if all sizes are known.
func (m *related) send(rq *request, inner string) error {
	m.ctx, m.boundary = rq.ctx, newBoundary()
	rq.SetHeader("Content-Type", fmt.Sprintf(`%s; type="%s"; boundary=%s`, typeRelated, inner, m.boundary))
	if total, ok := m.total(); ok {
		rq.SendStream(total, m)
		return nil
	}
	rq.SendChunked(func(w io.Writer) error {
		_, err := m.WriteTo(w)
		return err
	})
	return nil
}

// total is the length of the whole body; ok is false if a part's size is unknown.
func (m *related) total() (n int64, ok bool) {
	for i := range m.parts {
		if m.parts[i].size < 0 {
			return 0, false
		}
		n += int64(len(m.opening(i))) + m.parts[i].size
	}
	return n + int64(len(m.closing())), true
}

// opening is what stands between the content of part i and that of the part before.
func (m *related) opening(i int) string {
	lead := "\r\n--"
	if i == 0 {
		lead = "--"
	}
	return lead + m.boundary + "\r\n" + m.parts[i].header + "\r\n"
}

func (m *related) closing() string { return "\r\n--" + m.boundary + "--\r\n" }

// WriteTo writes the body.
func (m *related) WriteTo(w io.Writer) (int64, error) {
	c := &counter{w: w}
	for i := range m.parts {
		if err := m.ctx.Err(); err != nil {
			return c.n, err
		}
		if _, err := io.WriteString(c, m.opening(i)); err != nil {
			return c.n, err
		}
		before := c.n
		if err := m.parts[i].write(c); err != nil {
			return c.n, err
		}
		if want := m.parts[i].size; want >= 0 && c.n-before != want {
			return c.n, fmt.Errorf("part of %d bytes changed to %d while it was sent", want, c.n-before)
		}
	}
	_, err := io.WriteString(c, m.closing())
	return c.n, err
}

func (m *related) Read([]byte) (int, error) { return 0, errUnreadable }

// Close has nothing to close: each part's object is closed when the part was written.
func (m *related) Close() error { return nil }

// sendRelated sends instances as multipart/related.
func (rq *request) sendRelated(refs []ref, f form) error {
	m := &related{parts: make([]relatedPart, len(refs))}
	for i, r := range refs {
		syntax, _ := f.syntaxFor(r.syntax)
		var h strings.Builder
		h.WriteString("Content-Type: " + typeDICOM + "; transfer-syntax=" + syntax + "\r\n")
		h.WriteString("Content-Location: " + instanceURL(rq.base, rq.route.study, r.series, r.sop) + "\r\n")
		m.parts[i] = relatedPart{header: h.String(), size: r.size}
		if syntax == r.syntax {
			m.parts[i].write = func(w io.Writer) error { return rq.copyStored(w, r) }
		} else {
			m.parts[i].size = -1
			m.parts[i].write = func(w io.Writer) error { return rq.copyExplicit(w, r) }
		}
	}
	return m.send(rq, typeDICOM)
}

// copyStored writes an object as it is.
func (rq *request) copyStored(w io.Writer, r ref) error {
	o, err := rq.open(r)
	if err != nil {
		return err
	}
	defer o.Close()
	return copyRange(w, o, 0, o.Size)
}

// copyExplicit writes an object in Explicit VR Little Endian.
func (rq *request) copyExplicit(w io.Writer, r ref) error {
	o, err := rq.open(r)
	if err != nil {
		return err
	}
	defer o.Close()
	return writeExplicit(w, o)
}

// copyRange writes n bytes of an object.
func copyRange(w io.Writer, o *store.Object, off, n int64) error {
	r := o.Range(off, n)
	defer r.Close()
	got, err := io.Copy(w, r)
	if err == nil && got != n {
		err = io.ErrUnexpectedEOF
	}
	return err
}
