package dicomweb

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"gantry/dicomweb/part10"
	"gantry/store"
)

// aliases are media types that clients use for others: those of older editions of PS3.18, and near relations whose
// bytes are the same.
var aliases = map[string]string{
	"image/dicom+jpeg":     "image/jpeg",
	"image/dicom+jpeg-ls":  "image/jls",
	"image/dicom+jls":      "image/jls",
	"image/x-jls":          "image/jls",
	"image/dicom+jpeg-jp2": "image/jp2",
	"image/dicom+jpeg-jpx": "image/jpx",
	"image/dicom+rle":      "image/dicom-rle",
	"image/x-dicom-rle":    "image/dicom-rle",
	"image/j2c":            "image/jp2",
	"image/jhc":            "image/jphc",
	"video/mpeg2":          "video/mpeg",
}

// piece is what is sent of an object as one part: ranges of its bytes, or something computed from them.
type piece struct {
	ranges []part10.Range
	size   int64
	open   func() (io.ReadCloser, error) // if not ranges of the object
	suffix string                        // of its URL below the instance
}

// pixels is the pixel data of an instance, to be sent in pieces.
type pixels struct {
	object  *store.Object
	syntax  string // as stored; empty of what is no DICOM
	pieces  []piece
	natural string // media type of the bytes as stored: application/octet-stream if not compressed
	alone   bool   // one piece, which is sent without multipart to those who take anything
}

// frames serves single frames (PS3.18 10.4.1.1.6) and pixeldata, which is all of them.
func (rq *request) frames() error {
	if rq.route.badFrames {
		return badRequest("frames are a list of numbers from 1, at most %d", maxFrames)
	}
	o, err := rq.openInstance()
	if err != nil {
		return err
	}
	p, err := rq.framesOf(o)
	if err == nil {
		return rq.sendPixels(p)
	}
	_ = o.Close()
	return err
}

// framesOf cuts the frames that the path names out of an instance.
func (rq *request) framesOf(o *store.Object) (*pixels, error) {
	table, err := frameTable(o)
	if err != nil {
		return nil, frameError(err)
	}
	numbers := rq.route.frames
	if numbers == nil {
		if table.Len() > maxFrames {
			return nil, badRequest("more than %d frames: ask for them by number", maxFrames)
		}
		for n := range table.Len() {
			numbers = append(numbers, n+1)
		}
	}
	p := &pixels{object: o, syntax: o.Instance.TransferSyntax, natural: part10.FrameMediaType(o.Instance.TransferSyntax)}
	computed := int64(-1)
	for _, n := range numbers {
		if n > table.Len() {
			return nil, frameError(part10.ErrFrameRange)
		}
		one := piece{suffix: "/frames/" + strconv.Itoa(n)}
		if table.Computed() {
			one.open = func() (io.ReadCloser, error) { return part10.OpenFrame(o, o.Size, n-1) }
			if computed < 0 {
				if computed, err = computedLength(o, n-1); err != nil {
					return nil, frameError(err)
				}
			}
			one.size = computed // all frames of an object are alike
		} else {
			one.ranges = table.AppendRanges(nil, n-1)
			for _, r := range one.ranges {
				one.size += r.Length
			}
		}
		p.pieces = append(p.pieces, one)
	}
	return p, nil
}

func computedLength(o *store.Object, n int) (int64, error) {
	f, err := part10.OpenFrame(o, o.Size, n)
	if err != nil {
		return 0, err
	}
	return f.Length, f.Close()
}

// frameTable finds where the frames of an instance are.
func frameTable(o *store.Object) (*part10.FrameTable, error) {
	var table *part10.FrameTable
	var err error
	switch {
	case o.Instance.FramesScan:
		table, err = part10.ScanFrames(o, o.Size)
	case len(o.Instance.Frames) == 0:
		return nil, part10.ErrNoFrames
	default:
		table, err = part10.DecodeFrames(o.Instance.Frames)
	}
	if err != nil {
		return nil, err
	}
	return table, table.Err()
}

// frameError makes an answer of what part10 says about frames; none of it quotes data.
func frameError(err error) error {
	for _, known := range []error{part10.ErrNoFrames, part10.ErrFrameRange, part10.ErrFramesInconsistent, part10.ErrFramesVideo} {
		if errors.Is(err, known) {
			return &requestError{status: http.StatusNotFound, message: known.Error()}
		}
	}
	return err
}

// pixelForm is how pixel data is to be sent.
type pixelForm struct {
	single bool
	media  string // media type of each part
	syntax string // to be named with it
}

// pixelForms returns what the client accepts that this pixel data can be given as, best first.
func (p *pixels) pixelForms(accepts []mediaRange) []pixelForm {
	if len(accepts) == 0 {
		accepts = []mediaRange{{name: "*/*"}}
	}
	var out []pixelForm
	for _, m := range accepts {
		f := pixelForm{single: true, media: m.name}
		if m.name == typeRelated || m.name == "multipart/*" || m.name == "*/*" {
			f.single, f.media = m.name == "*/*" && p.alone, m.inner
		}
		if f.media == "" {
			f.media = "*/*"
		}
		var ok bool
		if f.media, ok = p.media(f.media); !ok {
			continue
		}
		if f.syntax, ok = p.label(f.media, m.syntax); ok {
			out = append(out, f)
		}
	}
	return out
}

// media tells under which media type pixel data is given to those who ask for want.
func (p *pixels) media(want string) (string, bool) {
	natural := mediaRange{name: want}
	switch {
	case want == "*/*":
		return p.natural, true
	case natural.wildcard():
		if natural.matches(strings.ToLower(p.natural)) {
			return p.natural, true
		}
		return typeOctetStream, want == "application/*"
	case strings.EqualFold(want, p.natural):
		return p.natural, true
	case want == typeOctetStream || aliases[want] == p.natural:
		return want, true
	case want == "image/jpx" && p.natural == "image/jp2": // a jp2 is a jpx
		return want, true
	}
	return "", false
}

// label tells which transfer syntax is named with the bytes; ok is false if the client wants another one. Uncompressed
// pixels are little endian, whatever the object's syntax.
func (p *pixels) label(media, want string) (syntax string, ok bool) {
	if p.syntax == "" {
		if want == explicitLE && media == typeOctetStream { // the default of that media type (PS3.18 8.7.3.3)
			return want, true
		}
		return "", want == "" || want == anyTransfer
	}
	if !convertible(p.syntax) {
		return p.syntax, want == "" || want == anyTransfer || want == p.syntax
	}
	if want == implicitLE && p.syntax == implicitLE {
		return want, true
	}
	return explicitLE, media == typeOctetStream && (want == "" || want == anyTransfer || want == explicitLE)
}

// sendPixels sends pixel data in the best form that the client accepts, and closes the object.
func (rq *request) sendPixels(p *pixels) error {
	forms := p.pixelForms(rq.accepts())
	if len(forms) == 0 {
		_ = p.object.Close()
		return notAcceptable()
	}
	f := forms[0]
	contentType := f.media
	if f.syntax != "" {
		contentType += "; transfer-syntax=" + f.syntax
	}
	if p.syntax == "" { // a document must not run as a page of this server, beside the console
		rq.SetHeader("X-Content-Type-Options", "nosniff")
		if f.media != "application/pdf" { // browsers show none in a sandbox
			rq.SetHeader("Content-Security-Policy", "sandbox; default-src 'none'")
		}
	}
	if f.single && len(p.pieces) == 1 {
		rq.SetHeader("Content-Type", contentType)
		return rq.sendPiece(p.object, &p.pieces[0])
	}
	url := instanceURL(rq.base, rq.route.study, rq.route.series, rq.route.sop)
	m := &related{count: len(p.pieces), object: p.object, part: func(i int) relatedPart {
		one := &p.pieces[i]
		return relatedPart{
			header: "Content-Type: " + contentType + "\r\nContent-Location: " + url + one.suffix + "\r\n",
			size:   one.size,
			write:  func(w io.Writer) error { return one.copy(w, p.object) },
		}
	}}
	return m.send(rq, f.media)
}

// sendPiece sends one piece as the whole body and closes the object. A piece that lies in one range of the object can be
// asked for in ranges.
func (rq *request) sendPiece(o *store.Object, one *piece) error {
	if len(one.ranges) == 1 {
		return rq.sendRange(o, one.ranges[0].Offset, one.size)
	}
	rq.SendStream(one.size, &pieceBody{o, one})
	return nil
}

// pieceBody is a piece as a response body.
type pieceBody struct {
	o *store.Object
	p *piece
}

func (b *pieceBody) Read([]byte) (int, error) { return 0, errUnreadable }
func (b *pieceBody) Close() error             { return b.o.Close() }

func (b *pieceBody) WriteTo(w io.Writer) (int64, error) {
	c := &counter{w: w}
	err := b.p.copy(c, b.o)
	return c.n, err
}

// copy writes a piece.
func (p *piece) copy(w io.Writer, o *store.Object) error {
	if p.open == nil {
		for _, r := range p.ranges {
			if err := copyRange(w, o, r.Offset, r.Length); err != nil {
				return err
			}
		}
		return nil
	}
	r, err := p.open()
	if err != nil {
		return fmt.Errorf("compute pixel data: %w", err)
	}
	defer r.Close()
	_, err = io.Copy(w, r)
	return err
}

// bulkData serves the value of one element, named as in BulkDataURI (PS3.18 10.4.1.1.5).
func (rq *request) bulkData() error {
	o, err := rq.openInstance()
	if err != nil {
		return err
	}
	p, err := rq.valueOf(o)
	if err != nil {
		_ = o.Close()
		return err
	}
	p.alone = len(p.pieces) == 1
	return rq.sendPixels(p)
}

// valueOf finds the value that the path names. Compressed pixel data is one piece a frame, or one altogether if it has no
// separate frames.
func (rq *request) valueOf(o *store.Object) (*pixels, error) {
	v, err := part10.Element(o, o.Size, rq.route.bulkPath)
	switch {
	case errors.Is(err, part10.ErrPath) || errors.Is(err, part10.ErrNoElement):
		return nil, notFound("bulk data")
	case err != nil:
		return nil, err
	}
	if v.Fragments != nil && rq.route.bulkPath == pixelDataTag {
		p, err := rq.framesOf(o)
		if err == nil {
			return p, nil
		}
	}
	one := piece{suffix: "/bulkdata/" + rq.route.bulkPath, size: v.Range.Length}
	p := &pixels{object: o, syntax: explicitLE, natural: typeOctetStream}
	switch {
	case v.Fragments != nil:
		p.syntax, p.natural = o.Instance.TransferSyntax, part10.FrameMediaType(o.Instance.TransferSyntax)
		one.ranges, one.size = v.Fragments, 0
		for _, r := range v.Fragments {
			one.size += r.Length
		}
	case v.Direct:
		one.ranges = []part10.Range{v.Range}
	default:
		one.open = func() (io.ReadCloser, error) { return v.Open(o, o.Size) }
	}
	if media := documentType(rq.route.bulkPath, o); media != "" {
		p.syntax, p.natural = "", media
	}
	p.pieces = []piece{one}
	return p, nil
}

// documentType returns the media type that an encapsulated document states of itself (PS3.3 C.24.2), empty for any other value.
func documentType(path string, o *store.Object) string {
	const document, mimeType, longest = "00420011", "00420012", 128
	if path != document {
		return ""
	}
	v, err := part10.Element(o, o.Size, mimeType)
	if err != nil || v.Range.Length > longest {
		return ""
	}
	r, err := v.Open(o, o.Size)
	if err != nil {
		return ""
	}
	b, err := io.ReadAll(io.LimitReader(r, longest))
	if errors.Join(err, r.Close()) != nil {
		return ""
	}
	name := mediaName(strings.Trim(string(b), " \x00"))
	if strings.Contains(name, "*") || strings.ContainsAny(name, ";,") {
		return ""
	}
	return name
}
