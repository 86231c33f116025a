package s3

import (
	"net"
	"net/http"
	"strings"
	"unicode/utf8"

	"gantry/internal/auth"
	"gantry/internal/httpx"
	"gantry/s3/sigv4"
	"gantry/store"
)

// request is a request as operations see it. It implements sigv4.Request.
type request struct {
	*httpx.Ctx
	query  sigv4.Query
	path   string // decoded, with its leading slash
	bucket string // empty: the service
	key    string // empty: the bucket
	amz    []header

	credential auth.Credential
	signature  *sigv4.Signature // nil if the request is not signed
	signingKey []byte
	payload    string // x-amz-content-sha256 in force; empty if none was given
	sumOfWhole bool   // x-amz-checksum-* speaks of the object that is completed, not of the body
	etags      ETags  // of what is stored
}

// header is one header line with a lower-case name.
type header struct{ name, value string }

// parseTarget cuts the request target into bucket, key and query.
func (g *Gateway) parseTarget(r *request) error {
	var ok bool
	if r.path, ok = sigv4.Unescape(r.RawPath(), false); !ok || !utf8.ValidString(r.path) || strings.IndexByte(r.path, 0) >= 0 {
		return newError(codeInvalidURI, "")
	}
	if r.path == "" || r.path[0] != '/' {
		return newError(codeInvalidURI, "")
	}
	var err error
	if r.query, err = sigv4.ParseQuery(r.RawQuery()); err != nil {
		return newError(codeInvalidURI, "The query string is malformed.")
	}
	if bucket := g.virtualHost(r.Host()); bucket != "" {
		r.bucket, r.key = bucket, r.path[1:]
	} else {
		r.bucket, r.key, _ = strings.Cut(r.path[1:], "/")
	}
	switch {
	case r.bucket == "" && r.key != "":
		return newError(codeInvalidURI, "")
	case len(r.key) > store.MaxKeyBytes:
		return newError(codeKeyTooLong, "").with("Size", itoa(len(r.key))).with("MaxSizeAllowed", itoa(store.MaxKeyBytes))
	}
	return nil
}

// virtualHost gives the bucket that a host names, if it does.
func (g *Gateway) virtualHost(host string) string {
	if len(g.domains) == 0 {
		return ""
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, d := range g.domains {
		if host == d[1:] {
			return ""
		}
		if bucket, ok := strings.CutSuffix(host, d); ok {
			return bucket
		}
	}
	return ""
}

// collect takes the x-amz-* headers once; they are looked at from several sides.
func (r *request) collect() {
	r.amz = make([]header, 0, 8)
	r.Ctx.VisitHeaders(func(name, value string) {
		if hasAmzPrefix(name) {
			r.amz = append(r.amz, header{strings.ToLower(name), value})
		}
	})
}

func hasAmzPrefix(name string) bool { return len(name) > 6 && strings.EqualFold(name[:6], "x-amz-") }

// VisitHeaders visits the x-amz-* headers, which is what signatures ask for.
func (r *request) VisitHeaders(fn func(name, value string)) {
	for i := range r.amz {
		fn(r.amz[i].name, r.amz[i].value)
	}
}

// amzHeader gives an x-amz-* header; a presigned URL may carry it in the query.
func (r *request) amzHeader(name string) string {
	v, _ := r.lookupAmz(name)
	return v
}

func (r *request) lookupAmz(name string) (string, bool) {
	for i := range r.amz {
		if r.amz[i].name == name {
			return r.amz[i].value, true
		}
	}
	return "", false
}

// adoptQuery makes headers of the x-amz-* parameters that are not part of a presigned URL's signature: S3 treats them alike,
// and some signers move headers there.
func (r *request) adoptQuery() {
	for i := range r.query {
		p := &r.query[i]
		if !hasAmzPrefix(p.Name) {
			continue
		}
		switch name := strings.ToLower(p.Name); name {
		case "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signedheaders", "x-amz-signature",
			"x-amz-content-sha256":
		default:
			if _, ok := r.lookupAmz(name); !ok {
				r.amz = append(r.amz, header{name, p.Value})
			}
		}
	}
}

func (r *request) objectKey() store.Key { return store.Key{Bucket: r.bucket, Name: r.key} }

func (r *request) origin() store.Origin {
	return store.Origin{Owner: r.credential.ID, Principal: r.credential.ID, Door: "s3", Peer: r.RemoteIP().String(), RequestID: r.RequestID()}
}

// isForm tells whether this is an upload by an HTML form, which carries its signature in the body.
func (r *request) isForm() bool {
	return r.Method() == http.MethodPost && r.key == "" && strings.HasPrefix(strings.ToLower(r.Header("content-type")), "multipart/form-data")
}
