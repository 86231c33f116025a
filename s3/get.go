package s3

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"gantry/s3/checksum"
	"gantry/store"
)

// selection is what of an object a read gives.
type selection struct {
	span
	partial bool             // answered with 206
	sums    []store.Checksum // of exactly these bytes, if known
}

func (g *Gateway) getObject(r *request) error {
	if err := r.checkVersion(); err != nil {
		return err
	}
	obj, err := g.objects.Get(r.Context(), r.objectKey())
	if err != nil {
		return err
	}
	sel, done, err := r.prepareRead(&obj.Info, obj)
	if err != nil || done {
		_ = obj.Close()
		return err
	}
	b := &objectBody{stream: obj.Range(sel.off, sel.n), object: obj}
	if sel.n > 0 {
		if _, err := io.ReadFull(b.stream, b.first[:]); err != nil {
			_ = b.Close()
			return err
		}
		b.ahead = b.first[:]
	}
	r.SendStream(sel.n, b)
	return nil
}

func (g *Gateway) headObject(r *request) error {
	if err := r.checkVersion(); err != nil {
		return err
	}
	if r.query.Has("partNumber") {
		return g.headPart(r)
	}
	info, err := g.objects.Head(r.Context(), r.objectKey())
	if err != nil {
		return err
	}
	sel, done, err := r.prepareRead(&info, nil)
	if err == nil && !done {
		r.SendHead(sel.n)
	}
	return err
}

func (g *Gateway) headPart(r *request) error {
	obj, err := g.objects.Get(r.Context(), r.objectKey())
	if err != nil {
		return err
	}
	defer obj.Close()
	sel, done, err := r.prepareRead(&obj.Info, obj)
	if err == nil && !done {
		r.SendHead(sel.n)
	}
	return err
}

// objectBody is a range of an object that closes the object with itself. Its first byte is read ahead: damage found with it
// becomes an answer, while later damage can only cut the connection.
type objectBody struct {
	stream io.ReadCloser
	object *store.Object
	first  [1]byte
	ahead  []byte // what of first was not given out yet
}

func (b *objectBody) Read(p []byte) (int, error) {
	if len(b.ahead) > 0 && len(p) > 0 {
		n := copy(p, b.ahead)
		b.ahead = b.ahead[n:]
		return n, nil
	}
	return b.stream.Read(p)
}

func (b *objectBody) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(b.ahead)
	b.ahead = b.ahead[n:]
	if err != nil {
		return int64(n), err
	}
	m, err := io.Copy(w, b.stream)
	return int64(n) + m, err
}

func (b *objectBody) Close() error {
	return errors.Join(b.stream.Close(), b.object.Close())
}

// parted is an object whose parts can be found.
type parted interface {
	PartRange(number int) (off, n int64, part store.Part, err error)
}

// prepareRead does all of a read but sending the bytes: preconditions, selection, headers. done tells that the answer is
// complete without a body.
func (r *request) prepareRead(info *store.Info, parts parted) (sel selection, done bool, err error) {
	c := r.readConditions()
	switch status, name := c.failed(info); status {
	case http.StatusNotModified:
		r.writeIdentity(info)
		r.NoContent(status)
		return sel, true, nil
	case http.StatusPreconditionFailed:
		return sel, false, newError(codePreconditionFailed, "").with("Condition", name)
	}
	if sel, err = r.choose(info, parts); err != nil {
		return sel, false, err
	}
	r.writeMeta(info)
	r.writeChecksums(sel.sums)
	if sel.partial {
		r.Status(http.StatusPartialContent)
		if sel.n > 0 {
			r.SetHeader("Content-Range", "bytes "+itoa(sel.off)+"-"+itoa(sel.off+sel.n-1)+"/"+itoa(info.Size))
		}
	}
	return sel, false, nil
}

// choose finds out which bytes are asked for.
func (r *request) choose(info *store.Info, parts parted) (selection, error) {
	whole := selection{span: span{0, info.Size}, sums: info.Checksums}
	h := r.Header("range")
	if r.query.Has("partNumber") {
		if h != "" {
			return whole, newError(codeInvalidRequest, "Cannot specify both Range header and partNumber query parameter")
		}
		return r.choosePart(info, parts)
	}
	if h == "" || !r.rangeApplies(info) {
		return whole, nil
	}
	s, ok, err := parseRange(h, info.Size)
	if err != nil || !ok {
		return whole, err
	}
	return selection{span: s, partial: true}, nil
}

// rangeApplies evaluates If-Range.
func (r *request) rangeApplies(info *store.Info) bool {
	v := r.Header("if-range")
	if v == "" {
		return true
	}
	if t, ok := parseTime(v); ok {
		return seconds(info.Modified).Equal(t)
	}
	return unquote(v) == info.ETag
}

func (r *request) choosePart(info *store.Info, parts parted) (selection, error) {
	v := r.query.Get("partNumber")
	number, err := strconv.Atoi(v)
	if err != nil || number < 1 || number > store.MaxParts {
		return selection{}, errPartNumber(v)
	}
	if info.PartCount == 0 {
		// An object that was put in one piece is its own first part.
		if number > 1 {
			return selection{}, newError(codeInvalidPartNumber, "").with("PartNumberRequested", v).with("ActualPartCount", "1")
		}
		return selection{span: span{0, info.Size}, partial: info.Size > 0, sums: info.Checksums}, nil
	}
	off, n, part, err := parts.PartRange(number)
	if err != nil {
		if errors.Is(err, store.ErrInvalidPart) || errors.Is(err, store.ErrNotFound) {
			return selection{}, newError(codeInvalidPartNumber, "").with("PartNumberRequested", v).
				with("ActualPartCount", itoa(info.PartCount))
		}
		return selection{}, err
	}
	r.SetHeader("x-amz-mp-parts-count", itoa(info.PartCount))
	return selection{span: span{off, n}, partial: n > 0, sums: part.Checksums}, nil
}

func errPartNumber(v string) error {
	return errArgument("Part number must be an integer between 1 and 10000, inclusive", "partNumber", v)
}

// writeChecksums sets the checksums of what is sent, if the client asked for them.
func (r *request) writeChecksums(sums []store.Checksum) {
	if len(sums) > 0 && strings.EqualFold(r.amzHeader("x-amz-checksum-mode"), "ENABLED") {
		r.setChecksums(sums)
	}
}

func (r *request) setChecksums(sums []store.Checksum) {
	for i := range sums {
		a, ok := checksum.Parse(sums[i].Algorithm)
		if !ok {
			continue
		}
		r.SetHeader(a.Header(), sums[i].Value)
		r.SetHeader("x-amz-checksum-type", checksumType(&sums[i]))
	}
}

func checksumType(c *store.Checksum) string {
	if c.Composite {
		return "COMPOSITE"
	}
	return "FULL_OBJECT"
}

// checkVersion refuses versions that cannot exist while buckets keep none.
func (r *request) checkVersion() error {
	if len(r.query) == 0 {
		return nil
	}
	v, ok := r.query.Lookup("versionId")
	if !ok || v == store.NullVersion {
		return nil
	}
	if v == "" {
		return errArgument("Version id cannot be the empty string", "versionId", "")
	}
	return newError(codeNoSuchVersion, "").with("Key", r.key).with("VersionId", clip(v))
}
