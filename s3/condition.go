package s3

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"gantry/store"
)

// conditions are the preconditions of a read: of GET and HEAD, or of the source of a copy.
type conditions struct {
	match, noneMatch          string
	modified, unmodifiedSince string
}

func (r *request) readConditions() conditions {
	return conditions{match: r.Header("if-match"), noneMatch: r.Header("if-none-match"),
		modified: r.Header("if-modified-since"), unmodifiedSince: r.Header("if-unmodified-since")}
}

func (r *request) sourceConditions() conditions {
	const prefix = "x-amz-copy-source-"
	return conditions{match: r.amzHeader(prefix + "if-match"), noneMatch: r.amzHeader(prefix + "if-none-match"),
		modified: r.amzHeader(prefix + "if-modified-since"), unmodifiedSince: r.amzHeader(prefix + "if-unmodified-since")}
}

// failed evaluates the conditions in the order of RFC 9110 section 13.2.2, which is S3's: entity tags win over dates.
// It returns 0, 304 or 412, and the name of the header that did not hold.
func (c *conditions) failed(info *store.Info) (status int, header string) {
	switch {
	case c.match != "":
		if !matches(c.match, info.ETag) {
			return http.StatusPreconditionFailed, "If-Match"
		}
	case c.unmodifiedSince != "":
		if t, ok := parseTime(c.unmodifiedSince); ok && seconds(info.Modified).After(t) {
			return http.StatusPreconditionFailed, "If-Unmodified-Since"
		}
	}
	switch {
	case c.noneMatch != "":
		if matches(c.noneMatch, info.ETag) {
			return http.StatusNotModified, "If-None-Match"
		}
	case c.modified != "":
		if t, ok := parseTime(c.modified); ok && !seconds(info.Modified).After(t) {
			return http.StatusNotModified, "If-Modified-Since"
		}
	}
	return 0, ""
}

// matches tells whether a list of entity tags, or *, covers one. Quotes are optional, as with S3.
func matches(list, etag string) bool {
	for tag := range strings.SplitSeq(list, ",") {
		if tag = unquote(tag); tag == "*" || tag == etag {
			return true
		}
	}
	return false
}

// unquote takes space, a weakness mark and quotes off an entity tag.
func unquote(tag string) string {
	tag = strings.TrimSpace(tag)
	tag = strings.TrimPrefix(tag, "W/")
	if len(tag) >= 2 && tag[0] == '"' && tag[len(tag)-1] == '"' {
		return tag[1 : len(tag)-1]
	}
	return tag
}

// seconds cuts a time to what HTTP dates can say.
func seconds(t time.Time) time.Time { return t.Truncate(time.Second) }

func parseTime(s string) (time.Time, bool) {
	if t, err := http.ParseTime(s); err == nil {
		return t, true
	}
	t, err := time.Parse(time.RFC3339, s)
	return t, err == nil
}

func httpTime(t time.Time) string { return t.UTC().Format(http.TimeFormat) }

// writeCondition reads the precondition of a write.
func (r *request) writeCondition() (store.Condition, error) {
	for _, name := range []string{"if-modified-since", "if-unmodified-since", "if-range", "content-range"} {
		if r.Header(name) != "" {
			return store.Condition{}, errNotImplemented("Header", name)
		}
	}
	match, noneMatch := r.Header("if-match"), r.Header("if-none-match")
	for _, v := range []string{match, noneMatch} {
		if strings.Contains(v, ",") {
			return store.Condition{}, errNotImplemented("Header", "If-Match")
		}
	}
	return store.Condition{IfMatch: unquote(match), IfNoneMatch: unquote(noneMatch)}, nil
}

// deleteCondition reads the precondition of a delete.
func (r *request) deleteCondition() (store.Condition, error) {
	c, err := r.writeCondition()
	if err != nil {
		return c, err
	}
	if c.IfNoneMatch != "" {
		return c, errNotImplemented("Header", "If-None-Match")
	}
	err = parseDeleteCondition(&c, r.amzHeader("x-amz-if-match-last-modified-time"), r.amzHeader("x-amz-if-match-size"))
	return c, err
}

func parseDeleteCondition(c *store.Condition, modified, size string) error {
	if modified != "" {
		t, ok := parseTime(modified)
		if !ok {
			return errArgument("Invalid time of last modification.", "x-amz-if-match-last-modified-time", modified)
		}
		c.IfModified = seconds(t)
	}
	if size != "" {
		n, err := strconv.ParseInt(size, 10, 64)
		if err != nil || n < 0 {
			return errArgument("Invalid size.", "x-amz-if-match-size", size)
		}
		c.IfSize = &n
	}
	return nil
}
