package segment

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"
)

// Peek is what PeekHeader finds.
type Peek struct {
	Version    int
	Type       Type
	Stamp      Stamp
	PayloadLen int64
	HeaderLen  int
}

// RecordLen returns the length in bytes of the whole record: header, payload and padding.
func (p *Peek) RecordLen() int64 {
	return int64(p.HeaderLen) + p.PayloadLen + Padding(p.PayloadLen)
}

// PeekHeader reads the prefix of the header at the beginning of b, which needs to hold no more than PeekLen bytes of it. It
// checks the form but not the checksum: a use for bytes that were verified before.
func PeekHeader(b []byte) (Peek, error) {
	l, err := locate(b)
	if err != nil {
		return Peek{}, err
	}
	return parsePrefix(b, l)
}

// parsePrefix reads the prefix. All fields but the version must have their one form.
func parsePrefix(b []byte, l layout) (p Peek, err error) {
	f := b[l.prefix : l.prefix+prefixLen]
	for _, at := range []int{typeAt, lsnAt, epochAt, marksAt, commitAt, timeAt, payloadAt, crcAt, prefixLen} {
		if f[at-1] != ' ' {
			return p, malformed("prefix")
		}
	}
	version, ok := parseDecimal2(f[versionAt:])
	if !ok {
		return p, malformed("prefix")
	}
	if version != Version1 {
		return p, ErrVersion
	}
	kind, ok := parseDecimal2(f[typeAt:])
	var when, size uint64
	for _, n := range []struct {
		at   int
		into *uint64
	}{{lsnAt, &p.Stamp.LSN}, {epochAt, &p.Stamp.Epoch}, {commitAt, &p.Stamp.CommitPoint}, {timeAt, &when}, {payloadAt, &size}} {
		v, good := parseHex(f[n.at : n.at+u64Digits])
		*n.into = v
		ok = ok && good
	}
	p.Version, p.Type, p.HeaderLen = version, Type(kind), l.headerLen
	first, firstOK := parseMark(f[marksAt], markFirst)
	last, lastOK := parseMark(f[marksAt+1], markLast)
	if !ok || !firstOK || !lastOK || !p.Type.valid() || when > MaxTime || size > MaxPayload {
		return Peek{}, malformed("prefix")
	}
	p.Stamp.First, p.Stamp.Last, p.Stamp.Time, p.PayloadLen = first, last, int64(when), int64(size)
	return p, nil
}

func parseDecimal2(b []byte) (int, bool) {
	tens, ones := b[0]-'0', b[1]-'0'
	return int(tens)*10 + int(ones), tens <= 9 && ones <= 9
}

func parseMark(c, on byte) (set, ok bool) { return c == on, c == on || c == markNone }

// DecodeHeader decodes and verifies the header at the beginning of b; what follows it doesn't matter. The errors are
// *ShortError if b does not hold all of it, ErrChecksum, ErrVersion, or ErrFormat. Nothing in the result refers to b; its strings
// and raw values share one copy of the JSON, so clone those that are kept when the rest is not.
func DecodeHeader(b []byte) (*Header, error) {
	l, err := locate(b)
	if err != nil {
		return nil, err
	}
	if err := checkUstar(b, flagPax); err != nil {
		return nil, err
	}
	if len(b) < l.headerLen {
		return nil, &ShortError{Need: l.headerLen}
	}
	b = b[:l.headerLen]
	digits := b[l.prefix+crcAt : l.prefix+crcAt+crcDigits]
	if sum, ok := parseHex(digits); !ok || uint32(sum) != headerCRC(b, l.prefix+crcAt) {
		return nil, ErrChecksum
	}
	p, err := parsePrefix(b, l)
	if err != nil {
		return nil, err
	}
	h := &Header{
		Version: p.Version, Type: p.Type, LSN: p.Stamp.LSN, Epoch: p.Stamp.Epoch, CommitPoint: p.Stamp.CommitPoint,
		First: p.Stamp.First, Last: p.Stamp.Last, Time: p.Stamp.Time, PayloadLen: p.PayloadLen, Len: l.headerLen,
	}
	if err := decodeMember(b, l, h); err != nil {
		return nil, err
	}
	if err := decodeFields(bytes.Clone(bytes.TrimRight(b[l.prefix+prefixLen:l.commentTo], " ")), &h.Fields); err != nil {
		return nil, err
	}
	if checkHeader(h) != nil {
		return nil, malformed("header that cannot be")
	}
	return h, nil
}

// decodeMember reads the member block and the name.
func decodeMember(b []byte, l layout, h *Header) error {
	member := b[l.headerLen-sector:]
	if err := checkUstar(member, flagFile); err != nil {
		return err
	}
	size, ok := parseOctal(member[ustarSize : ustarSize+ustarNumDigits])
	if !ok || int64(size) != h.PayloadLen {
		return malformed("the two lengths of the payload differ")
	}
	seconds, ok := parseOctal(member[ustarMtime : ustarMtime+ustarNumDigits])
	if !ok || int64(seconds) != h.Time/int64(time.Second) {
		return malformed("the two commit times differ")
	}
	if b[l.commentTo] != '\n' || b[sector] == '0' {
		return malformed("comment has not the length it says")
	}
	h.Name = cString(member[ustarName : ustarName+ustarNameLen])
	return decodePath(b[l.commentTo+1:l.bodyTo], h)
}

// decodePath reads what comes after the comment; keywords that we don't use are passed over.
func decodePath(body []byte, h *Header) error {
	for len(body) > 0 {
		n, at := 0, 0
		for ; at < len(body) && at < maxLenDigits && body[at] != ' '; at++ {
			if body[at] < '0' || body[at] > '9' {
				return malformed("length of a pax record")
			}
			n = n*10 + int(body[at]-'0')
		}
		if n > len(body) || at+1 >= n || body[at] != ' ' || body[n-1] != '\n' {
			return malformed("length of a pax record")
		}
		if value, ok := strings.CutPrefix(string(body[at+1:n-1]), pathKey); ok {
			h.Name = value
		}
		body = body[n:]
	}
	return nil
}

func cString(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

// decodeFields takes over the text.
func decodeFields(text []byte, f *Fields) error {
	if !utf8.Valid(text) {
		return malformed("JSON is not UTF-8")
	}
	r := newJSONReader(text)
	r.object(func(key string) {
		if !readIdentity(r, f, key) && !readObject(r, f, key) {
			readExtra(r, &f.Extra, key)
		}
	})
	r.space()
	if r.bad == "" && r.i != len(r.s) {
		r.fail("text after the end")
	}
	if r.bad != "" {
		return malformed("JSON: " + r.bad)
	}
	return nil
}

// isFieldKey says whether Fields knows the key.
func isFieldKey(key string) bool {
	r, f := newJSONReader([]byte("null")), &Fields{}
	return readIdentity(r, f, key) || readObject(r, f, key)
}

// isDICOMKey says whether DICOM knows the key.
func isDICOMKey(key string) bool {
	r, d := newJSONReader([]byte("null")), &DICOM{}
	return readUIDs(r, d, key) || readAttributes(r, d, key)
}

func readExtra(r *jsonReader, m *map[string]json.RawMessage, key string) {
	v := r.rawOrNull()
	if r.bad != "" {
		return
	}
	if *m == nil {
		*m = make(map[string]json.RawMessage)
	}
	(*m)[key] = v
}

func readIdentity(r *jsonReader, f *Fields, key string) bool {
	switch key {
	case "enc":
		f.Encoding = r.text()
	case "crc":
		f.CRC = readCRC(r)
	case "bid":
		f.BucketID = r.uint64()
	case "b":
		f.Bucket = r.text()
	case "k":
		f.Key = r.text()
	case "v":
		f.VersionID = r.text()
	case "nv":
		f.NullVersion = r.bool()
	case "dm":
		f.DeleteMarker = r.bool()
	case "o":
		f.Owner = r.text()
	case "p":
		f.Principal = r.text()
	case "d":
		f.Door = r.text()
	case "pe":
		f.Peer = r.text()
	case "ca":
		f.CallingAE = r.text()
	case "ce":
		f.CalledAE = r.text()
	case "r":
		f.RequestID = r.text()
	default:
		return false
	}
	return true
}

func readObject(r *jsonReader, f *Fields, key string) bool {
	switch key {
	case "sz":
		f.Size = r.int64()
	case "et":
		f.ETag = r.text()
	case "cs":
		f.Checksums = readChecksums(r)
	case "pt":
		f.Parts = readParts(r)
	case "pc":
		f.PartCount = r.int()
	case "st":
		f.Stream = r.uint64()
	case "ix":
		f.Index = r.int()
	case "u":
		f.UploadID = r.text()
	case "pn":
		f.PartNumber = r.int()
	case "sy":
		f.System = r.textMap()
	case "um":
		f.User = r.textMap()
	case "tg":
		f.Tags = r.textMap()
	case "sc":
		f.StorageClass = r.text()
	case "lm":
		f.LockMode = r.text()
	case "ru":
		f.RetainUntil = r.int64()
	case "lh":
		f.LegalHold = r.bool()
	case "dcm":
		f.DICOM = readDICOM(r)
	case "set":
		f.Settings = r.raw()
	default:
		return false
	}
	return true
}

func readDICOM(r *jsonReader) *DICOM {
	if r.null() {
		return nil
	}
	d := &DICOM{}
	r.object(func(key string) {
		if !readUIDs(r, d, key) && !readAttributes(r, d, key) {
			readExtra(r, &d.Extra, key)
		}
	})
	return d
}

func readUIDs(r *jsonReader, d *DICOM, key string) bool {
	switch key {
	case "cl":
		d.SOPClass = r.text()
	case "i":
		d.SOPInstance = r.text()
	case "se":
		d.Series = r.text()
	case "s":
		d.Study = r.text()
	case "ts":
		d.TransferSyntax = r.text()
	case "ch":
		d.Charset = r.text()
	case "fc":
		d.FrameCount = r.int()
	case "ds":
		d.DataSet = r.int64()
	case "hl":
		d.HeaderLen = r.int64()
	case "fr":
		d.Frames = r.text()
	case "fs":
		d.FramesScan = r.bool()
	default:
		return false
	}
	return true
}

func readAttributes(r *jsonReader, d *DICOM, key string) bool {
	switch key {
	case "pid":
		d.PatientID = r.text()
	case "pii":
		d.PatientIDIssuer = r.text()
	case "ac":
		d.Accession = r.text()
	case "aci":
		d.AccessionIssuer = r.text()
	case "m":
		d.Modality = r.text()
	case "sd":
		d.StudyDate = r.text()
	case "st":
		d.StudyTime = r.text()
	case "n":
		r.array(func() { d.Names = append(d.Names, r.text()) })
	case "in":
		d.InstanceNumber = r.int()
	case "sa":
		d.StudyAttrs = r.raw()
	case "ea":
		d.SeriesAttrs = r.raw()
	case "ia":
		d.InstanceAttrs = r.raw()
	default:
		return false
	}
	return true
}

func readCRC(r *jsonReader) []uint32 {
	text := r.text()
	if text == "" {
		return nil
	}
	if len(text)%crcDigits != 0 {
		r.fail("length of the block checksums")
		return nil
	}
	sums := make([]uint32, len(text)/crcDigits)
	for i := range text {
		d, ok := hexValue(text[i])
		if !ok {
			r.fail("digit of a block checksum")
			return nil
		}
		sums[i/crcDigits] = sums[i/crcDigits]<<4 | uint32(d)
	}
	return sums
}

func readChecksums(r *jsonReader) (sums []Checksum) {
	r.array(func() {
		var c Checksum
		r.object(func(key string) {
			switch key {
			case "a":
				c.Algorithm = r.text()
			case "v":
				c.Value = r.text()
			case "c":
				c.Composite = r.bool()
			default:
				r.skip()
			}
		})
		sums = append(sums, c)
	})
	return sums
}

func readParts(r *jsonReader) (parts []Part) {
	r.array(func() {
		var p Part
		r.object(func(key string) {
			switch key {
			case "n":
				p.Number = r.int()
			case "s":
				p.Size = r.int64()
			case "e":
				p.ETag = r.text()
			case "c":
				p.Checksums = readChecksums(r)
			default:
				r.skip()
			}
		})
		parts = append(parts, p)
	})
	return parts
}
