package s3

import (
	"encoding/base64"
	"strconv"
	"strings"
	"unicode/utf8"

	"gantry/store"
)

// intParam reads a number between low and what fits 32 bits; more than high counts as high.
func (r *request) intParam(name string, low, high, otherwise int) (int, error) {
	return parseLimit(r.query.Get(name), name, low, high, otherwise)
}

func parseLimit(v, name string, low, high, otherwise int) (int, error) {
	if v == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil || n < int64(low) {
		return 0, errArgument("Provided "+name+" not an integer or within integer range", name, v)
	}
	return min(int(n), high), nil
}

// encodingType reads encoding-type; only url is known.
func (r *request) encodingType() (url bool, err error) {
	switch v := r.query.Get("encoding-type"); {
	case v == "":
		return false, nil
	case strings.EqualFold(v, "url"):
		return true, nil
	default:
		return false, errArgument("Invalid Encoding Method specified in Request", "encoding-type", v)
	}
}

// A continuation token says where the next page starts. It is opaque to clients: a version, whether everything below the
// name is skipped, and the name.
const (
	tokenAfter = "1k"
	tokenSkip  = "1p"
)

func makeToken(name string, skip bool) string {
	kind := tokenAfter
	if skip {
		kind = tokenSkip
	}
	return base64.RawURLEncoding.EncodeToString([]byte(kind + name))
}

func parseToken(token string) (name string, skip bool, err error) {
	if token == "" {
		return "", false, nil
	}
	bad := errArgument("The continuation token provided is incorrect", "continuation-token", token)
	if len(token) > 2*store.MaxKeyBytes {
		return "", false, bad
	}
	raw, derr := base64.RawURLEncoding.DecodeString(token)
	if derr != nil || !utf8.Valid(raw) {
		return "", false, bad
	}
	if name, ok := strings.CutPrefix(string(raw), tokenAfter); ok {
		return name, false, nil
	}
	if name, ok := strings.CutPrefix(string(raw), tokenSkip); ok {
		return name, true, nil
	}
	return "", false, bad
}

// startAfter makes a marker given by a client a place to start from. A marker inside a common prefix has that prefix behind
// it, since S3 lists only what sorts after the marker.
func startAfter(l *store.List, marker string) {
	l.After, l.SkipAfter = marker, false
	if l.Delimiter == "" || !strings.HasPrefix(marker, l.Prefix) {
		return
	}
	if i := strings.Index(marker[len(l.Prefix):], l.Delimiter); i >= 0 {
		l.After, l.SkipAfter = marker[:len(l.Prefix)+i+len(l.Delimiter)], true
	}
}
