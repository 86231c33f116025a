package s3

import (
	"strings"
	"unicode/utf8"

	"gantry/s3/sigv4"
	"gantry/store"
)

const (
	metaPrefix   = "x-amz-meta-"
	defaultClass = "STANDARD"
	defaultType  = "binary/octet-stream" // what S3 says of objects stored without a content type

	// Limits on tags
	// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html), lengths in characters.
	maxTags     = 10
	maxTagKey   = 128
	maxTagValue = 256
)

// systemHeaders are kept with an object and given back as they came.
var systemHeaders = []struct{ name, header, override string }{
	{"content-type", "Content-Type", "response-content-type"},
	{"cache-control", "Cache-Control", "response-cache-control"},
	{"content-disposition", "Content-Disposition", "response-content-disposition"},
	{"content-encoding", "Content-Encoding", "response-content-encoding"},
	{"content-language", "Content-Language", "response-content-language"},
	{"expires", "Expires", "response-expires"},
}

// meta reads what a request says of the object it makes.
func (r *request) meta() (store.Meta, error) {
	m := store.Meta{StorageClass: storageClass(r.amzHeader("x-amz-storage-class"))}
	for _, h := range systemHeaders {
		v := r.Header(h.name)
		if h.name == "content-encoding" && v != "" {
			v = withoutChunked(v)
		}
		if v != "" {
			if m.System == nil {
				m.System = make(map[string]string, 2)
			}
			m.System[h.name] = v
		}
	}
	if err := r.userMeta(&m); err != nil {
		return m, err
	}
	var err error
	m.Tags, err = parseTags(r.amzHeader("x-amz-tagging"))
	return m, err
}

func storageClass(requested string) string {
	if requested == defaultClass {
		return ""
	}
	return requested
}

// withoutChunked removes aws-chunked, which is a coding of the transfer and not of the object.
func withoutChunked(encoding string) string {
	if !strings.Contains(strings.ToLower(encoding), "aws-chunked") {
		return encoding
	}
	var kept []string
	for part := range strings.SplitSeq(encoding, ",") {
		if part = strings.TrimSpace(part); part != "" && !strings.EqualFold(part, "aws-chunked") {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, ",")
}

// userMeta collects x-amz-meta-*; values of a repeated name are joined, bytes beyond ASCII are kept as they are.
func (r *request) userMeta(m *store.Meta) error {
	size := 0
	for i := range r.amz {
		name, ok := strings.CutPrefix(r.amz[i].name, metaPrefix)
		if !ok || name == "" {
			continue
		}
		if m.User == nil {
			m.User = make(map[string]string)
		}
		value := r.amz[i].value
		if old, ok := m.User[name]; ok {
			m.User[name] = old + "," + value
			size += 1 + len(value)
			continue
		}
		m.User[name] = value
		size += len(name) + len(value)
	}
	if size > store.MaxUserMeta {
		return newError(codeMetadataTooLarge, "").with("Size", itoa(size)).with("MaxSizeAllowed", itoa(store.MaxUserMeta))
	}
	return nil
}

// parseTags reads x-amz-tagging, which is written like a query.
func parseTags(raw string) (map[string]string, error) {
	if raw == "" {
		return nil, nil
	}
	bad := func() error {
		return errArgument("The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.",
			"x-amz-tagging", raw)
	}
	q, err := sigv4.ParseQuery(raw)
	if err != nil {
		return nil, bad()
	}
	if len(q) > maxTags {
		return nil, newError(codeInvalidTag, "Object tags cannot be greater than 10")
	}
	tags := make(map[string]string, len(q))
	for _, p := range q {
		if _, twice := tags[p.Name]; twice || p.Name == "" {
			return nil, bad()
		}
		if utf8.RuneCountInString(p.Name) > maxTagKey || !utf8.ValidString(p.Name) {
			return nil, newError(codeInvalidTag, "The TagKey you have provided is invalid")
		}
		if strings.HasPrefix(p.Name, "aws:") {
			return nil, newError(codeInvalidTag, "System tags cannot be added/updated by requester")
		}
		if utf8.RuneCountInString(p.Value) > maxTagValue || !utf8.ValidString(p.Value) {
			return nil, newError(codeInvalidTag, "The TagValue you have provided is invalid")
		}
		tags[p.Name] = p.Value
	}
	return tags, nil
}

// writeMeta sets the response headers that describe an object; of those, what the client overrides.
func (r *request) writeMeta(info *store.Info) {
	r.writeIdentity(info)
	r.SetHeader("Accept-Ranges", "bytes")
	for _, h := range systemHeaders {
		v := info.System[h.name]
		if len(r.query) > 0 {
			if o, ok := r.query.Lookup(h.override); ok {
				v = o
			}
		}
		if v == "" && h.name == "content-type" {
			v = defaultType
		}
		if v != "" {
			r.SetHeader(h.header, v)
		}
	}
	for name, value := range info.User {
		r.SetHeader(metaPrefix+name, value)
	}
	if info.StorageClass != "" {
		r.SetHeader("x-amz-storage-class", info.StorageClass)
	}
	if len(info.Tags) > 0 {
		r.SetHeader("x-amz-tagging-count", itoa(len(info.Tags)))
	}
}

// writeIdentity sets the headers that also belong to a 304.
func (r *request) writeIdentity(info *store.Info) {
	r.SetHeader("ETag", quote(info.ETag))
	r.SetHeader("Last-Modified", httpTime(info.Modified))
}

func quote(etag string) string { return `"` + etag + `"` }
