package part10

import (
	"bytes"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	// maxIndexed bounds the DICOM JSON that an Instance carries, all levels together.
	maxIndexed = 32 << 10
	// maxIndexedElement bounds one attribute in it, maxIndexedValue what is looked at.
	maxIndexedElement = 4 << 10
	maxIndexedValue   = 8 << 10
	// Private elements are recorded up to maxPrivateValue bytes each, and up to
	// maxPrivate bytes of JSON together.
	maxPrivateValue = 64
	maxPrivate      = 2 << 10
	// maxHeader bounds what stands before pixel data, values of over 64 KiB not
	// counted. Nothing of it is held, so this bounds time, not memory; structure sets
	// and segmentations of some 50 MB are real.
	maxHeader     = 256 << 20
	maxHeaderSkip = 64 << 10
	// maxNames bounds the search keys taken from a person name.
	maxNames     = 16
	maxNameBytes = 256 // of one: see NameKey
)

// Instance is what the store records of one DICOM object and answers queries from.
type Instance struct {
	// From the data set, without padding, 1 to 64 digits and dots.
	StudyUID, SeriesUID, SOPUID, SOPClass string
	// TransferSyntax is from group 2, but Implicit VR Little Endian if that is what the bytes are and Explicit what they are said to be.
	TransferSyntax string
	Charset        string // (0008,0005) as declared, without padding
	// HeaderLen counts the bytes from the start of the file up to the first pixel data
	// element, or to the end. For a deflated object it is the size of the file.
	HeaderLen int64
	DataSet   int64   // where the data set begins in the file
	Pixels    *Pixels // nil if the object has no pixel data

	// DICOM JSON objects (PS3.18 F.2) of the attributes of each level that queries are
	// answered from, UTF-8, ascending by tag, at most 32 KiB together.
	StudyAttrs, SeriesAttrs, InstanceAttrs []byte
	Cut                                    bool // an attribute was too long to be recorded

	// Decoded to UTF-8, without padding.
	PatientID, PatientIDIssuer, Accession, AccessionIssuer, Modality string

	StudyDate    string   // YYYYMMDD, "" if absent or not a date
	StudyTime    string   // HHMMSS.ffffff, "" if absent or not a time
	PatientNames []string // one key for each component group, as FoldName gives it

	InstanceNumber int
	NumberOfFrames int // declared; 0 if absent or no positive number

	// Frames is the frame table as DecodeFrames takes it; nil if there are no pixels.
	// It is also nil, with FramesScan set, if it would exceed 24 KiB: the pixel data is to be scanned then.
	Frames     []byte
	FramesScan bool
}

// Index reads the Part 10 object of size bytes in r. Pixel data is walked over, not
// held; memory is some 100 KiB whatever the object's size, plus 16 bytes a fragment. An
// error is a *RejectError because of the object's content, or wraps one from r.
// Nothing of r is used after it returns.
func Index(r io.ReaderAt, size int64) (*Instance, error) {
	o, err := open(r, size)
	if err != nil {
		return nil, err
	}
	defer o.close()
	in := &Instance{TransferSyntax: o.written(), DataSet: o.dataset, HeaderLen: size}
	x := indexer{in: in}
	x.object, x.cs, x.max = o, guessedCharset, maxIndexedElement
	x.opts.Inline = maxPrivateValue
	x.path = x.pathBuf[:0]
	x.dst = o.scratch.json[:0]
	for lv := range o.scratch.members {
		o.scratch.members[lv] = o.scratch.members[lv][:0]
	}
	if err := x.run(); err != nil {
		return nil, err
	}
	o.scratch.json = x.dst
	if err := in.identity(o); err != nil {
		return nil, err
	}
	x.finish()
	if err := x.frames(); err != nil {
		return nil, err
	}
	var last [1]byte // pixel data was not read: is it there at all?
	return in, readAt(r, last[:], size-1)
}

// indexer reads a data set once and keeps what an Instance is made of.
type indexer struct {
	jsonWriter
	in       *Instance
	pixels   Pixels
	private  int // bytes of JSON spent on private elements
	creators []creator
	header   int64  // bytes counted against maxHeader
	highest  uint32 // tag so far
}

// creator is a private creator element whose block has no recorded element yet.
type creator struct {
	tag   uint32
	value string
}

func (x *indexer) run() error {
	for {
		e, ok, err := x.nextTop()
		if err != nil || !ok {
			return err
		}
		switch {
		case e.tag>>16 == 0x7FE0:
			err = x.pixelGroup(&e)
		case x.pastPix:
			err = x.skip(&e, x.end, 0)
		default:
			err = x.attribute(&e)
		}
		if err != nil {
			return err
		}
		if err := x.count(&e); err != nil {
			return err
		}
	}
}

// count bounds what stands before pixel data.
func (x *indexer) count(e *element) error {
	if n := x.pos - e.off; !x.pastPix && (e.length == undefined || n <= maxHeaderSkip) {
		x.header += n
	}
	if x.header > maxHeader {
		return reject(TooLarge, e.off, e.tag, "more than 256 MiB of elements before the pixel data")
	}
	return nil
}

func (x *indexer) pixelGroup(e *element) error {
	p := &x.pixels
	switch e.tag {
	case 0x7FE00001:
		p.extendedOffsets = Range{e.val, int64(e.length)}
	case 0x7FE00002:
		p.extendedLength = Range{e.val, int64(e.length)}
	case tagFloatPixels, tagDoublePixels, tagPixelData:
		if p.Tag != 0 {
			break
		}
		if x.z == nil {
			x.in.HeaderLen = e.off
		}
		x.in.Pixels, x.in.NumberOfFrames = p, max(p.Frames, 0)
		return x.pixelData(p, e)
	}
	return x.skip(e, x.end, 0)
}

// attribute handles one element before the pixel data.
func (x *indexer) attribute(e *element) error {
	lv := loadDictionary().slot(e.tag).level
	was := x.reveal(e, maxIndexedValue)
	defer func() { x.coding = was }()
	kind := e.vr.info().kind
	switch {
	case kind == kindSeq || e.length == undefined:
		if lv == levelNone || e.length != undefined && e.length > 16*maxIndexedElement {
			x.in.Cut = x.in.Cut || lv != levelNone
			return x.skip(e, x.end, 0)
		}
		return x.sequenceAttribute(e, lv)
	case e.length > maxIndexedValue:
		x.in.Cut = x.in.Cut || lv != levelNone
		return x.longName(e)
	}
	b, err := x.value(e, maxIndexedValue)
	if err != nil {
		return err
	}
	if e.tag == 0x00080005 {
		x.in.Charset = string(bytes.Trim(b, padding))
		x.cs = ParseCharset(x.in.Charset)
		return nil
	}
	if !x.repeated(e.tag, lv) || e.vr.info().kind == kindUID {
		x.take(e, b)
	}
	switch {
	case isPrivate(e.tag):
		x.takePrivate(e, b)
	case lv != levelNone:
		x.record(e, b, lv)
	}
	return nil
}

// repeated tells whether an element with that tag was recorded before: the first one counts.
func (x *indexer) repeated(tag uint32, lv level) bool {
	if tag > x.highest {
		x.highest = tag
		return false
	}
	return slices.ContainsFunc(x.scratch.members[lv], func(m span) bool { return m.tag == tag })
}

// longName takes the search keys even from a patient name that is too long to record.
func (x *indexer) longName(e *element) error {
	if e.tag != 0x00100010 {
		return x.skip(e, x.end, 0)
	}
	b, err := x.peek(maxIndexedValue)
	if err != nil {
		return x.object.cut(err, e.tag)
	}
	if !x.repeated(e.tag, levelStudy) {
		x.in.PatientNames = nameKeys(decodeName(x.cs, b))
	}
	return x.skip(e, x.end, 0)
}

// record appends the JSON of one attribute.
func (x *indexer) record(e *element, b []byte, lv level) {
	at := len(x.dst)
	x.dst = appendKey(x.dst, e)
	switch kind := e.vr.info().kind; {
	case len(b) == 0:
	case kind == kindBytes || kind == kindNone:
		x.dst = x.scratch.appendInline(x.dst, e.vr, b, x.coding)
	default:
		x.dst = x.scratch.appendValues(x.dst, e.vr, b, x.coding, x.cs)
	}
	x.dst = append(x.dst, '}', ',')
	x.keep(e.tag, at, lv)
}

// keep decides whether the JSON from at on stays.
func (x *indexer) keep(tag uint32, at int, lv level) {
	if x.over || len(x.dst)-at > maxIndexedElement || len(x.dst) > maxIndexed-64 {
		x.in.Cut, x.over = true, false
		x.dst = x.dst[:at]
		return
	}
	x.scratch.members[lv] = append(x.scratch.members[lv], span{tag, at, len(x.dst)})
}

func (x *indexer) sequenceAttribute(e *element, lv level) error {
	at := len(x.dst)
	x.start, x.issuer = at, nil
	if e.tag == 0x00080051 {
		x.issuer = &x.in.AccessionIssuer
	}
	if err := x.element(e, x.end, 0); err != nil {
		return err
	}
	x.issuer = nil
	x.keep(e.tag, at, lv)
	return nil
}

// takePrivate records short private elements together with their creators.
func (x *indexer) takePrivate(e *element, b []byte) {
	switch kind := e.vr.info().kind; {
	case isCreator(e.tag):
		if len(b) <= maxPrivateValue && len(x.creators) < 256 {
			x.creators = append(x.creators, creator{e.tag, string(b)})
		}
		return
	case len(b) == 0 || len(b) > maxPrivateValue || kind == kindBytes || kind == kindNone:
		return
	}
	if x.private > maxPrivate {
		x.in.Cut = true
		return
	}
	block := e.tag&0xFFFF0000 | e.tag>>8&0xFF
	at := len(x.dst)
	for i, c := range x.creators {
		if c.tag == block {
			x.record(&element{tag: c.tag, vr: LO}, []byte(c.value), levelInstance)
			x.creators = slices.Delete(x.creators, i, i+1)
			break
		}
	}
	x.record(e, b, levelInstance)
	x.private += len(x.dst) - at
}

// take keeps the values that an Instance has as fields. Of several UIDs with one tag
// the first that is not empty counts.
func (x *indexer) take(e *element, b []byte) {
	in := x.in
	switch e.tag {
	case 0x00080016:
		keepFirst(&in.SOPClass, string(trimUID(b)))
	case 0x00080018:
		keepFirst(&in.SOPUID, string(trimUID(b)))
	case 0x0020000D:
		keepFirst(&in.StudyUID, string(trimUID(b)))
	case 0x0020000E:
		keepFirst(&in.SeriesUID, string(trimUID(b)))
	case 0x00080020:
		keepFirst(&in.StudyDate, NormalDate(string(b)))
	case 0x00080030:
		keepFirst(&in.StudyTime, NormalTime(string(b)))
	case 0x00080050:
		keepFirst(&in.Accession, decodeText(x.cs, b))
	case 0x00080060:
		keepFirst(&in.Modality, string(bytes.Trim(b, padding)))
	case 0x00100010:
		in.PatientNames = nameKeys(decodeName(x.cs, b))
	case 0x00100020:
		keepFirst(&in.PatientID, decodeText(x.cs, b))
	case 0x00100021:
		keepFirst(&in.PatientIDIssuer, decodeText(x.cs, b))
	case 0x00200013:
		in.InstanceNumber, _ = strconv.Atoi(string(bytes.Trim(b, padding)))
	case 0x00280103:
		x.signed = len(b) >= 2 && x.u16(b) == 1
	}
	if e.tag>>16 == 0x0028 {
		x.pixels.pixelAttribute(e.tag, b, x.coding)
	}
}

func keepFirst(dst *string, s string) {
	if *dst == "" {
		*dst = s
	}
}

// decodeText decodes a single-valued LO or SH.
func decodeText(cs *Charset, b []byte) string {
	return strings.Trim(string(cs.append(nil, b, delimiters(kindText))), padding)
}

func decodeName(cs *Charset, b []byte) string {
	return string(cs.append(nil, b, delimiters(kindName)))
}

// nameKeys returns the folded component groups of all values of a person name.
func nameKeys(s string) []string {
	var keys []string
	for name := range strings.SplitSeq(s, `\`) {
		for group := range strings.SplitSeq(name, "=") {
			k, _ := NameKey(FoldName(group))
			if k != "" && len(keys) < maxNames && !slices.Contains(keys, k) {
				keys = append(keys, k)
			}
		}
	}
	return keys
}

// NameKey returns what of a folded component group is kept as a search key. cut tells that there is more of it, or may have been if
// folded is such a key.
func NameKey(folded string) (key string, cut bool) {
	if len(folded) > maxNameBytes {
		return strings.ToValidUTF8(folded[:maxNameBytes], ""), true
	}
	return folded, len(folded) > maxNameBytes-utf8.UTFMax
}

// identity checks the UIDs by which the object is known.
func (in *Instance) identity(o *object) error {
	if in.StudyUID == "" && o.dicomdir {
		return reject(MediaDirectory, o.dataset, 0x0020000D, "a DICOMDIR belongs to no study")
	}
	for _, u := range []struct {
		tag uint32
		uid string
	}{{0x0020000D, in.StudyUID}, {0x0020000E, in.SeriesUID}, {0x00080018, in.SOPUID}, {0x00080016, in.SOPClass}} {
		switch {
		case u.uid == "" && u.tag == 0x0020000D && in.SOPUID != "" && in.SeriesUID == "":
			return reject(NoStudy, o.dataset, u.tag, "neither study nor series is named")
		case u.uid == "":
			return reject(MissingUID, o.dataset, u.tag, "no value for this required UID")
		case !validUID([]byte(u.uid)):
			return reject(BadUID, o.dataset, u.tag, "not 1 to 64 digits and dots")
		}
	}
	return nil
}

// finish assembles the JSON of the three levels.
func (x *indexer) finish() {
	x.in.StudyAttrs = x.assemble(levelStudy)
	x.in.SeriesAttrs = x.assemble(levelSeries)
	x.in.InstanceAttrs = x.assemble(levelInstance)
}

func (x *indexer) assemble(lv level) []byte {
	list, size := x.scratch.members[lv], 2
	byTag := func(a, b span) int { return int(int64(a.tag) - int64(b.tag)) }
	if !slices.IsSortedFunc(list, byTag) {
		slices.SortStableFunc(list, byTag)
	}
	for _, m := range list {
		size += m.end - m.start
	}
	out := append(make([]byte, 0, size), '{')
	for i, m := range list {
		if i == 0 || list[i-1].tag != m.tag {
			out = append(out, x.dst[m.start:m.end]...)
		}
	}
	if len(out) > 1 {
		out = out[:len(out)-1]
	}
	return append(out, '}')
}
