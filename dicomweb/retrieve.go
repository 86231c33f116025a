package dicomweb

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"gantry/dicomweb/part10"
	"gantry/store"
)

// ref is what is needed to send an instance.
type ref struct {
	key    string
	lsn    store.LSN // of the object that all else was read from
	series string
	sop    string
	syntax string // transfer syntax as stored
	size   int64
	form   form          // how it is to be sent
	opened *store.Object // of a single instance
}

// refs lists the instances of the study, series or instance that the path names; never none. That of an instance is open, and must
// be closed.
func (rq *request) refs() ([]ref, error) {
	if rq.route.sop != "" {
		o, err := rq.openInstance()
		if err != nil {
			return nil, err
		}
		r := refOf(o.Instance, o.Name, o.LSN, o.Size)
		r.opened = o
		return []ref{r}, nil
	}
	var refs []ref
	err := rq.g.objects.Instances(rq.ctx, rq.bucket, rq.route.study, rq.route.series, func(row store.InstanceRow) bool {
		refs = append(refs, refOf(&row.Identity, row.Key, row.LSN, row.Size))
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

func refOf(id *store.Identity, key string, lsn store.LSN, size int64) ref {
	return ref{key: key, lsn: lsn, series: id.Series, sop: id.SOP, syntax: id.TransferSyntax, size: size}
}

// openInstance opens the instance that the URL names.
func (rq *request) openInstance() (*store.Object, error) {
	o, err := rq.g.objects.OpenInstance(rq.ctx, rq.bucket, rq.route.sop)
	if err == nil && !rq.names(o.Instance) {
		_ = o.Close()
		return nil, notFound("instance")
	}
	return o, err
}

// names tells whether an instance is in the study and series that the path says.
func (rq *request) names(id *store.Identity) bool {
	return id.Study == rq.route.study && id.Series == rq.route.series
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
	case implicitLE, explicitLE, explicitBE, deflatedLE, part10.PrivateGE:
		return true
	}
	return false
}

// retrieve serves GET of a study, series or instance.
func (rq *request) retrieve() error { return rq.sendInstances(dicomForms(rq.accepts())) }

// sendInstances sends what the path names, each instance in the first of the forms that it can be given in: a study may hold
// several transfer syntaxes, and a client accept several.
func (rq *request) sendInstances(forms []form) error {
	refs, err := rq.refs()
	if err != nil {
		return err
	}
	for i := range refs {
		if err := rq.chooseForm(&refs[i], forms); err != nil {
			if o := refs[0].opened; o != nil {
				_ = o.Close()
			}
			return err
		}
	}
	if refs[0].form.single && rq.route.sop != "" {
		return rq.sendSingle(refs[0])
	}
	return rq.sendRelated(refs)
}

// chooseForm sets the form of an instance. Where the client insists on a transfer syntax, the conversion is tried: once other instances were
// sent it would be too late to say that it can't be done.
func (rq *request) chooseForm(r *ref, forms []form) error {
	for _, f := range forms {
		syntax, ok := f.syntaxFor(r.syntax)
		if !ok {
			continue
		}
		if f.syntax != "" && syntax != r.syntax {
			err := rq.tryConversion(*r)
			if errors.Is(err, part10.ErrCannot) {
				continue
			}
			if err != nil {
				return err
			}
		}
		r.form = f
		return nil
	}
	return notAcceptable()
}

// tryConversion returns ErrCannot if an instance can't be brought into Explicit VR Little Endian after all.
func (rq *request) tryConversion(r ref) error {
	o, err := rq.open(r)
	if err != nil {
		return err
	}
	_, err = part10.NewConversion(o, o.Size)
	if r.opened == nil {
		err = errors.Join(err, o.Close())
	}
	return errors.Join(err, rq.ctx.Err())
}

func notAcceptable() error {
	return &requestError{status: http.StatusNotAcceptable,
		message: "none of the accepted media types and transfer syntaxes can be given"}
}

// sendSingle sends one instance on its own, with ranges if it is sent as stored.
func (rq *request) sendSingle(r ref) error {
	syntax, _ := r.form.syntaxFor(r.syntax)
	o, err := rq.open(r)
	if err != nil {
		return err
	}
	if syntax != r.syntax {
		c, err := part10.NewConversion(o, o.Size)
		switch {
		case err == nil:
			rq.SetHeader("Content-Type", instanceType(syntax))
			rq.SendStream(c.Size, &converted{c, o})
			return nil
		case r.form.syntax != "" || !errors.Is(err, part10.ErrCannot):
			_ = o.Close()
			return conversionError(err)
		}
	}
	rq.SetHeader("Content-Type", instanceType(r.syntax))
	return rq.sendRange(o, 0, o.Size)
}

func instanceType(syntax string) string { return typeDICOM + "; transfer-syntax=" + syntax }

func conversionError(err error) error {
	if errors.Is(err, part10.ErrCannot) {
		return notAcceptable()
	}
	return err
}

// open opens an object of the request's archive. If another one was stored under its key since it was looked up, its bytes must not be
// taken for those of the first.
func (rq *request) open(r ref) (*store.Object, error) {
	if r.opened != nil {
		return r.opened, nil
	}
	o, err := rq.g.objects.Get(rq.ctx, store.Key{Bucket: rq.bucket, Name: r.key})
	if err != nil {
		return nil, err
	}
	if o.LSN != r.lsn {
		_ = o.Close()
		return nil, &requestError{status: http.StatusServiceUnavailable, message: "the instance was replaced at this moment: ask again"}
	}
	return o, nil
}

// converted is an object that is brought into Explicit VR Little Endian while it is sent.
type converted struct {
	*part10.Conversion
	o *store.Object
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
	count    int                     // of parts
	part     func(i int) relatedPart // makes part i when it is needed: there may be very many
	object   *store.Object           // closed after the last part; nil if each part opens its own
}

// relatedPart is one part: its header and how to write its content.
type relatedPart struct {
	header string // lines with their ends, without the empty line
	size   int64  // of the content; -1 if it is known only once begun
	write  func(w io.Writer) error
	begin  func(p *relatedPart) error // called, if set, before anything of the part is written; may change all of it
	done   func() error               // called, if set, once for every begin that succeeded
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
		return errors.Join(err, m.Close())
	})
	return nil
}

// total is the length of the whole body; ok is false if a part's size is unknown.
func (m *related) total() (n int64, ok bool) {
	for i := range m.count {
		p := m.part(i)
		if p.size < 0 {
			return 0, false
		}
		n += int64(len(m.opening(i, &p))) + p.size
	}
	return n + int64(len(m.closing())), true
}

// opening is what stands between the content of part i and that of the part before.
func (m *related) opening(i int, p *relatedPart) string {
	lead := "\r\n--"
	if i == 0 {
		lead = "--"
	}
	length := ""
	if p.size >= 0 { // so that clients need not search for the boundary
		length = "Content-Length: " + strconv.FormatInt(p.size, 10) + "\r\n"
	}
	return lead + m.boundary + "\r\n" + p.header + length + "\r\n"
}

func (m *related) closing() string { return "\r\n--" + m.boundary + "--\r\n" }

// WriteTo writes the body.
func (m *related) WriteTo(w io.Writer) (int64, error) {
	c := &counter{w: w}
	for i := range m.count {
		if err := m.ctx.Err(); err != nil {
			return c.n, err
		}
		if err := m.writePart(c, i); err != nil {
			return c.n, err
		}
	}
	_, err := io.WriteString(c, m.closing())
	return c.n, err
}

func (m *related) writePart(c *counter, i int) (err error) {
	p := m.part(i)
	if p.begin != nil {
		if err := p.begin(&p); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.done()) }()
	}
	if _, err := io.WriteString(c, m.opening(i, &p)); err != nil {
		return err
	}
	before := c.n
	if err := p.write(c); err != nil {
		return err
	}
	if p.size >= 0 && c.n-before != p.size {
		return fmt.Errorf("part of %d bytes changed to %d while it was sent", p.size, c.n-before)
	}
	return nil
}

func (m *related) Read([]byte) (int, error) { return 0, errUnreadable }

// Close closes the object that all parts share; objects of their own are closed when the part was written.
func (m *related) Close() error {
	if m.object == nil {
		return nil
	}
	return m.object.Close()
}

// sendRelated sends instances as multipart/related.
func (rq *request) sendRelated(refs []ref) error {
	m := &related{count: len(refs), part: func(i int) relatedPart {
		r := refs[i]
		p := relatedPart{header: rq.partHeader(r, r.syntax), size: r.size}
		p.write = func(w io.Writer) error { return rq.copyStored(w, r) }
		if syntax, _ := r.form.syntaxFor(r.syntax); syntax != r.syntax {
			p.size = -1
			p.begin = func(p *relatedPart) error { return rq.beginConverted(p, r) }
		}
		return p
	}}
	if first := &refs[0]; first.opened != nil {
		if syntax, _ := first.form.syntaxFor(first.syntax); syntax == first.syntax {
			m.object = first.opened
		} else { // it is sent in chunks, if at all, and nobody would close it otherwise
			_ = first.opened.Close()
			first.opened = nil
		}
	}
	return m.send(rq, typeDICOM)
}

func (rq *request) partHeader(r ref, syntax string) string {
	return "Content-Type: " + instanceType(syntax) + "\r\n" +
		"Content-Location: " + instanceURL(rq.base, rq.route.study, r.series, r.sop) + "\r\n"
}

// beginConverted prepares a part that is to be brought into Explicit VR Little Endian, or, if that turns out not to be
// possible and the client did not insist, sent as stored.
func (rq *request) beginConverted(p *relatedPart, r ref) error {
	o, err := rq.open(r)
	if err != nil {
		return err
	}
	p.done = o.Close
	c, err := part10.NewConversion(o, o.Size)
	switch {
	case err == nil:
		p.header, p.size = rq.partHeader(r, explicitLE), c.Size
		p.write = func(w io.Writer) error {
			_, err := c.WriteTo(w)
			return err
		}
		return nil
	case r.form.syntax == "" && errors.Is(err, part10.ErrCannot):
		p.size = o.Size
		p.write = func(w io.Writer) error { return copyRange(w, o, 0, o.Size) }
		return nil
	}
	return errors.Join(err, o.Close())
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
