package segment

import (
	"encoding/json"
	"slices"
	"strconv"
	"unicode/utf8"
)

// appendFields appends the JSON object of a header.
func appendFields(b []byte, f *Fields) ([]byte, error) {
	b = append(b, '{')
	b = appendIdentity(b, f)
	b = appendObject(b, f)
	if f.DICOM != nil {
		var err error
		if b, err = appendDICOM(appendKey(b, "dcm"), f.DICOM); err != nil {
			return b, err
		}
	}
	b, err := appendRaw(b, "set", f.Settings)
	if err != nil {
		return b, err
	}
	if b, err = appendExtra(b, f.Extra, isFieldKey); err != nil {
		return b, err
	}
	return append(b, '}'), nil
}

func appendIdentity(b []byte, f *Fields) []byte {
	b = appendString(b, "enc", f.Encoding)
	if len(f.CRC) > 0 {
		b = append(appendKey(b, "crc"), '"')
		for _, c := range f.CRC {
			b = append(b, "00000000"...)
			putHex(b[len(b)-crcDigits:], uint64(c))
		}
		b = append(b, '"')
	}
	b = appendUint(b, "bid", f.BucketID)
	b = appendString(b, "b", f.Bucket)
	b = appendString(b, "k", f.Key)
	b = appendString(b, "v", f.VersionID)
	b = appendBool(b, "nv", f.NullVersion)
	b = appendBool(b, "dm", f.DeleteMarker)
	b = appendString(b, "o", f.Owner)
	b = appendString(b, "p", f.Principal)
	b = appendString(b, "d", f.Door)
	b = appendString(b, "pe", f.Peer)
	b = appendString(b, "ca", f.CallingAE)
	b = appendString(b, "ce", f.CalledAE)
	return appendString(b, "r", f.RequestID)
}

func appendObject(b []byte, f *Fields) []byte {
	b = appendInt(b, "sz", f.Size)
	b = appendString(b, "et", f.ETag)
	b = appendChecksums(b, "cs", f.Checksums)
	b = appendParts(b, "pt", f.Parts)
	b = appendInt(b, "pc", int64(f.PartCount))
	b = appendUint(b, "st", f.Stream)
	b = appendInt(b, "ix", int64(f.Index))
	b = appendString(b, "u", f.UploadID)
	b = appendInt(b, "pn", int64(f.PartNumber))
	b = appendMap(b, "sy", f.System)
	b = appendMap(b, "um", f.User)
	b = appendMap(b, "tg", f.Tags)
	b = appendString(b, "sc", f.StorageClass)
	b = appendString(b, "lm", f.LockMode)
	b = appendInt(b, "ru", f.RetainUntil)
	return appendBool(b, "lh", f.LegalHold)
}

func appendDICOM(b []byte, d *DICOM) ([]byte, error) {
	b = append(b, '{')
	b = appendString(b, "cl", d.SOPClass)
	b = appendString(b, "i", d.SOPInstance)
	b = appendString(b, "se", d.Series)
	b = appendString(b, "s", d.Study)
	b = appendString(b, "ts", d.TransferSyntax)
	b = appendString(b, "ch", d.Charset)
	b = appendInt(b, "ds", d.DataSet)
	b = appendInt(b, "hl", d.HeaderLen)
	b = appendInt(b, "fc", int64(d.FrameCount))
	b = appendString(b, "fr", d.Frames)
	b = appendBool(b, "fs", d.FramesScan)
	b = appendString(b, "pid", d.PatientID)
	b = appendString(b, "pii", d.PatientIDIssuer)
	b = appendString(b, "ac", d.Accession)
	b = appendString(b, "aci", d.AccessionIssuer)
	b = appendString(b, "m", d.Modality)
	b = appendString(b, "sd", d.StudyDate)
	b = appendString(b, "st", d.StudyTime)
	if len(d.Names) > 0 {
		b = append(appendKey(b, "n"), '[')
		for i, name := range d.Names {
			b = appendQuoted(appendComma(b, i), name)
		}
		b = append(b, ']')
	}
	b = appendInt(b, "in", int64(d.InstanceNumber))
	b, err := appendRaw(b, "sa", d.StudyAttrs)
	if err != nil {
		return b, err
	}
	if b, err = appendRaw(b, "ea", d.SeriesAttrs); err != nil {
		return b, err
	}
	if b, err = appendRaw(b, "ia", d.InstanceAttrs); err != nil {
		return b, err
	}
	if b, err = appendExtra(b, d.Extra, isDICOMKey); err != nil {
		return b, err
	}
	return append(b, '}'), nil
}

func appendChecksums(b []byte, key string, sums []Checksum) []byte {
	if len(sums) == 0 {
		return b
	}
	b = append(appendKey(b, key), '[')
	for i, c := range sums {
		b = append(appendComma(b, i), '{')
		b = appendString(b, "a", c.Algorithm)
		b = appendString(b, "v", c.Value)
		b = appendBool(b, "c", c.Composite)
		b = append(b, '}')
	}
	return append(b, ']')
}

func appendParts(b []byte, key string, parts []Part) []byte {
	if len(parts) == 0 {
		return b
	}
	b = append(appendKey(b, key), '[')
	for i := range parts {
		b = append(appendComma(b, i), '{')
		b = appendInt(b, "n", int64(parts[i].Number))
		b = appendInt(b, "s", parts[i].Size)
		b = appendString(b, "e", parts[i].ETag)
		b = appendChecksums(b, "c", parts[i].Checksums)
		b = append(b, '}')
	}
	return append(b, ']')
}

// appendMap appends the entries sorted by key, so that the same fields always give the same bytes.
func appendMap(b []byte, key string, m map[string]string) []byte {
	if len(m) == 0 {
		return b
	}
	b = append(appendKey(b, key), '{')
	var space [16]string
	for i, k := range sortedKeys(space[:0], m) {
		b = appendQuoted(appendComma(b, i), k)
		b = appendQuoted(append(b, ':'), m[k])
	}
	return append(b, '}')
}

// appendExtra appends fields that this version does not know. One that it does know is not allowed here: it would be there twice.
func appendExtra(b []byte, m map[string]json.RawMessage, known func(string) bool) ([]byte, error) {
	if len(m) == 0 {
		return b, nil
	}
	for _, k := range sortedKeys(nil, m) {
		if known(k) || len(m[k]) == 0 {
			return b, malformed("extra field is a known one, or has no value")
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(appendQuoted(b, k), ':')
		var err error
		if b, err = appendValid(b, m[k]); err != nil {
			return b, err
		}
	}
	return b, nil
}

func sortedKeys[V any](space []string, m map[string]V) []string {
	for k := range m {
		space = append(space, k)
	}
	slices.Sort(space)
	return space
}

// appendRaw appends a value that is JSON already.
func appendRaw(b []byte, key string, v json.RawMessage) ([]byte, error) {
	if len(v) == 0 {
		return b, nil
	}
	return appendValid(appendKey(b, key), v)
}

func appendValid(b []byte, v json.RawMessage) ([]byte, error) {
	if len(v) > MaxHeader {
		return b, ErrTooLarge
	}
	if !validJSON(v) {
		return b, malformed("raw field is not JSON")
	}
	return append(b, v...), nil
}

// appendKey appends a key of ours, which never needs escaping, and the comma before it.
func appendKey(b []byte, key string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(b, '"')
	b = append(b, key...)
	return append(b, '"', ':')
}

func appendComma(b []byte, i int) []byte {
	if i > 0 {
		return append(b, ',')
	}
	return b
}

func appendString(b []byte, key, v string) []byte {
	if v == "" {
		return b
	}
	return appendQuoted(appendKey(b, key), v)
}

func appendUint(b []byte, key string, v uint64) []byte {
	if v == 0 {
		return b
	}
	return strconv.AppendUint(appendKey(b, key), v, 10)
}

func appendInt(b []byte, key string, v int64) []byte {
	if v == 0 {
		return b
	}
	return strconv.AppendInt(appendKey(b, key), v, 10)
}

func appendBool(b []byte, key string, v bool) []byte {
	if !v {
		return b
	}
	return append(appendKey(b, key), "true"...)
}

// appendQuoted appends a JSON string. Control characters, quotes and backslashes become \u00XX, and bytes that are not
// UTF-8 become \udcXX: lone surrogates, which no text contains, so that every byte comes back (Python's "surrogateescape").
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		if plain[s[i]] {
			i++
			continue
		}
		escape := "\\u00"
		if s[i] >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
			escape = "\\udc"
		}
		b = append(b, s[from:i]...)
		b = append(b, escape...)
		b = append(b, hexDigits[s[i]>>4], hexDigits[s[i]&15])
		i++
		from = i
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}

// plain tells the ASCII characters that stand for themselves in a JSON string.
var plain = func() (t [256]bool) {
	for c := ' '; c < 0x7f; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()
