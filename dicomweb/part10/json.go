package part10

import (
	"io"
	"slices"
	"strconv"
)

const (
	// DefaultInline is the length in bytes up to which binary values are written into
	// the JSON itself.
	DefaultInline = 1024
	// maxInlineText bounds every other value; longer ones become bulk data (PS3.18
	// F.2.2 allows it for those VRs that can be that long).
	maxInlineText = 1 << 20
	// maxJSON bounds the JSON of one object.
	maxJSON = 64 << 20
)

// JSONOptions say how WriteJSON refers to bulk data. Without BulkDataURI long values
// are written as if empty.
type JSONOptions struct {
	// BulkDataURI appends the URI of the value at path to dst (to be safe in a JSON
	// string as it is). path is as Element takes it and valid during the call only.
	BulkDataURI func(dst, path []byte) []byte
	// Inline is the longest binary value written as InlineBinary, in bytes;
	// 0 means DefaultInline.
	Inline int
	// PixelVR is the VR under which PixelData is added if the source ends before it,
	// as a header of HeaderLen bytes does; empty if there is none to add.
	PixelVR string
}

// WriteJSON appends the data set of the Part 10 object in r (or of its first size
// bytes, if these end between two elements) to dst as a DICOM JSON object (PS3.18
// F.2): elements in ascending order, UTF-8, without group 2 and group lengths.
// PixelData is always bulk data. Errors are *RejectError or from r.
func WriteJSON(dst []byte, r io.ReaderAt, size int64, opts JSONOptions) ([]byte, error) {
	o, err := open(r, size)
	if err != nil {
		return dst, err
	}
	defer o.close()
	if opts.Inline == 0 {
		opts.Inline = DefaultInline
	}
	j := jsonWriter{object: o, opts: opts, dst: dst, start: len(dst), max: maxJSON, cs: guessedCharset}
	j.path = j.pathBuf[:0]
	if err := j.dataset(); err != nil {
		return dst, err
	}
	return j.dst, nil
}

// span is where the JSON of one element stands in dst.
type span struct {
	tag        uint32
	start, end int
}

// jsonWriter writes elements as DICOM JSON while it moves through an object.
type jsonWriter struct {
	*object
	opts    JSONOptions
	dst     []byte
	start   int  // of the JSON in dst
	max     int  // bytes of JSON beyond start; what does not fit is left out
	over    bool // something was left out
	cs      *Charset
	path    []byte // of the element in work
	pathBuf [64]byte
	// issuer, if set, takes the text of (0040,0031), or else (0040,0032), of an item.
	issuer *string
}

// dataset writes the whole data set.
func (j *jsonWriter) dataset() error {
	obj, pixels := &members{mark: len(j.scratch.spans)}, false
	// All text is UTF-8, whatever was declared.
	j.dst = append(append(j.dst, '{'), utf8Member...)
	j.addSpan(0x00080005, len(j.dst)-len(utf8Member), obj)
	for {
		e, ok, err := j.nextTop()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		pixels = pixels || e.tag == tagPixelData
		at, spans := len(j.dst), len(j.scratch.spans)
		if err := j.member(&e, j.end, 0, obj); err != nil {
			return err
		}
		if j.over { // one huge sequence must not hide the rest
			if e.length == undefined || at-j.start > j.max+maxInlineText {
				return reject(TooLarge, e.off, e.tag, "the header's JSON exceeds 64 MiB")
			}
			j.dst, j.scratch.spans, j.over = j.dst[:at], j.scratch.spans[:spans], false
			if e.vr == SQ {
				e.vr = UN // as the bytes it is
			}
			j.reference(&e, obj)
		}
	}
	if j.opts.PixelVR != "" && !pixels {
		j.reference(&element{tag: tagPixelData, vr: VR(j.opts.PixelVR[0])<<8 | VR(j.opts.PixelVR[1])}, obj)
	}
	j.closeObject(obj)
	return nil
}

// reference writes an element of the data set by reference to its value.
func (j *jsonWriter) reference(e *element, obj *members) {
	at := len(j.dst)
	j.dst = appendKey(j.dst, e)
	j.bulk(e.tag)
	j.dst = append(j.dst, '}', ',')
	j.addSpan(e.tag, at, obj)
}

// nextTop reads the next element of the data set itself; what stands before the
// first data element or is none of the data set's (groups 0 to 2, padding, group
// lengths) is skipped.
func (j *jsonWriter) nextTop() (element, bool, error) {
	for {
		e, ok, err := j.object.nextTop()
		if err != nil || !ok {
			return e, false, err
		}
		if e.tag>>16 > 2 && !e.filler() {
			return e, true, nil
		}
		if err := j.skip(&e, j.end, 0); err != nil {
			return e, false, err
		}
	}
}

// member writes one element of the object in work.
func (j *jsonWriter) member(e *element, limit int64, depth int, obj *members) error {
	at := len(j.dst)
	if err := j.element(e, limit, depth); err != nil {
		return err
	}
	if len(j.dst)-j.start > j.max {
		j.dst, j.over = j.dst[:at], true
	}
	if len(j.dst) > at {
		j.addSpan(e.tag, at, obj)
	}
	return nil
}

// members are those of one object in work: the spans from mark on.
type members struct {
	mark     int
	unsorted bool
}

func (j *jsonWriter) addSpan(tag uint32, at int, obj *members) {
	spans := j.scratch.spans
	if n := len(spans); n > obj.mark && spans[n-1].tag >= tag {
		obj.unsorted = true
	}
	j.scratch.spans = append(spans, span{tag, at, len(j.dst)})
}

// closeObject ends an object. Members out of order are sorted; of several with one tag
// the first counts.
func (j *jsonWriter) closeObject(obj *members) {
	spans := j.scratch.spans[obj.mark:]
	j.scratch.spans = j.scratch.spans[:obj.mark]
	if obj.unsorted {
		start := spans[0].start
		members := append([]byte(nil), j.dst[start:]...)
		j.dst = j.dst[:start]
		slices.SortStableFunc(spans, func(a, b span) int { return int(int64(a.tag) - int64(b.tag)) })
		for i, s := range spans {
			if i == 0 || spans[i-1].tag != s.tag {
				j.dst = append(j.dst, members[s.start-start:s.end-start]...)
			}
		}
	}
	if n := len(j.dst); j.dst[n-1] == ',' {
		j.dst[n-1] = '}'
		return
	}
	j.dst = append(j.dst, '}')
}

func appendKey(dst []byte, e *element) []byte {
	vr := e.vr
	if vr.info().kind == kindNone {
		vr = UN
	}
	dst = append(dst, '"')
	dst = appendTagHex(dst, e.tag)
	return append(dst, '"', ':', '{', '"', 'v', 'r', '"', ':', '"', byte(vr>>8), byte(vr), '"')
}

// element writes `"GGGGEEEE":{"vr":"XX",…},` and consumes the value.
func (j *jsonWriter) element(e *element, limit int64, depth int) error {
	was := j.reveal(e, maxInlineText)
	defer func() { j.coding = was }()
	switch {
	case e.tag != 0x00080005:
	case e.length > maxIndexedValue: // nor does the index read it
		return j.skip(e, limit, depth)
	default:
		return j.charset(e)
	}
	info := e.vr.info()
	if info.kind == kindSeq || e.length == undefined && (info.kind == kindNone || e.vr == UN) {
		return j.sequence(e, limit, depth)
	}
	j.dst = appendKey(j.dst, e)
	defer func() { j.dst = append(j.dst, '}', ',') }()
	binary := info.kind == kindBytes || info.kind == kindNone
	switch {
	case e.length == 0:
		return nil
	case e.tag == tagPixelData, e.length == undefined,
		binary && int64(e.length) > int64(j.opts.Inline), e.length > maxInlineText:
		j.bulk(e.tag)
		return j.skip(e, limit, depth)
	}
	b, err := j.value(e, maxInlineText)
	if err != nil {
		return err
	}
	if binary {
		j.dst = j.scratch.appendInline(j.dst, e.vr, b, j.coding)
		return nil
	}
	if e.tag == 0x00280103 && len(b) >= 2 {
		j.signed = j.u16(b) == 1
	}
	j.dst = j.scratch.appendValues(j.dst, e.vr, b, j.coding, j.cs)
	if j.issuer != nil {
		j.takeIssuer(e.tag, b)
	}
	return nil
}

func (j *jsonWriter) takeIssuer(tag uint32, b []byte) {
	if tag == 0x00400031 || tag == 0x00400032 && *j.issuer == "" {
		*j.issuer = decodeText(j.cs, b)
	}
}

// bulk writes the reference to the value of tag.
func (j *jsonWriter) bulk(tag uint32) {
	if j.opts.BulkDataURI == nil {
		return
	}
	was := len(j.path)
	j.path = appendTagHex(j.path, tag)
	j.dst = append(j.dst, `,"BulkDataURI":"`...)
	j.dst = j.opts.BulkDataURI(j.dst, j.path)
	j.dst = append(j.dst, '"')
	j.path = j.path[:was]
}

const utf8Member = `"00080005":{"vr":"CS","Value":["ISO_IR 192"]},`

// charset takes over the character set of a data set or item.
func (j *jsonWriter) charset(e *element) error {
	b, err := j.value(e, maxIndexedValue)
	if err != nil {
		return err
	}
	j.cs = ParseCharset(string(b))
	return nil
}

// sequence writes a sequence. One of defined length that can't be read as items is
// written as the bytes it is: an odd private sequence must not hide the rest.
func (j *jsonWriter) sequence(e *element, limit int64, depth int) error {
	mark, path, spans := len(j.dst), len(j.path), len(j.scratch.spans)
	was, cs, signed := j.enterUN(e), j.cs, j.signed
	err := j.items(e, limit, depth)
	j.coding, j.cs, j.signed = was, cs, signed
	j.path, j.scratch.spans = j.path[:path], j.scratch.spans[:spans]
	if err == nil || !isReject(err) || e.length == undefined {
		return err
	}
	j.dst = j.dst[:mark]
	asBytes := *e
	asBytes.vr = UN
	j.dst = appendKey(j.dst, &asBytes)
	j.bulk(e.tag)
	j.dst = append(j.dst, '}', ',')
	return j.skip(e, limit, depth)
}

func (j *jsonWriter) items(seq *element, limit int64, depth int) error {
	if depth >= MaxDepth {
		return reject(TooDeep, seq.off, seq.tag, "sequences are nested too deep")
	}
	shown := *seq
	shown.vr = SQ
	j.dst = appendKey(j.dst, &shown)
	j.path = append(appendTagHex(j.path, seq.tag), '/')
	base := len(j.path)
	for n := 1; ; n++ {
		item, ok, err := j.nextItem(seq, limit)
		if err != nil {
			return err
		}
		if !ok {
			j.closeArray(n > 1)
			return nil
		}
		if n == 1 {
			j.dst = append(j.dst, `,"Value":[`...)
		}
		j.path = append(strconv.AppendInt(j.path[:base], int64(n), 10), '/')
		at, spans, cs, signed := len(j.dst), len(j.scratch.spans), j.cs, j.signed
		if err := j.item(&item, depth+1); err != nil {
			if !isReject(err) || item.length == undefined || seq.length != undefined {
				return err
			}
			// Where it ends is known all the same, and nobody looked inside when it was stored.
			j.dst, j.scratch.spans, j.cs, j.signed = append(j.dst[:at], '{', '}'), j.scratch.spans[:spans], cs, signed
			if err := j.skipTo(item.stop); err != nil {
				return j.cut(err, seq.tag)
			}
		}
		j.dst = append(j.dst, ',')
		if len(j.dst)-j.start > j.max {
			j.dst, j.over = j.dst[:at], true
		}
	}
}

func (j *jsonWriter) closeArray(open bool) {
	if open && j.dst[len(j.dst)-1] == ',' {
		j.dst = j.dst[:len(j.dst)-1]
	}
	if open {
		j.dst = append(j.dst, ']')
	}
	j.dst = append(j.dst, '}', ',')
}

// item writes one item as an object. Its character set, if it has one, ends with it.
func (j *jsonWriter) item(item *element, depth int) error {
	cs, signed := j.cs, j.signed
	obj := &members{mark: len(j.scratch.spans)}
	j.dst = append(j.dst, '{')
	for {
		e, ok, err := j.nextIn(item)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if e.filler() {
			if err := j.skip(&e, item.stop, depth); err != nil {
				return err
			}
			continue
		}
		if err := j.member(&e, item.stop, depth, obj); err != nil {
			return err
		}
	}
	j.closeObject(obj)
	j.cs, j.signed = cs, signed
	return nil
}
