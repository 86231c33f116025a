package dicomweb

import "strings"

// query serves the search transactions of QIDO-RS (PS3.18 10.6).
func (rq *request) query() error {
	contentType := jsonType(rq.accepts())
	if contentType == "" {
		return notAcceptable()
	}
	raw := rq.Query()
	if err := raw.Err(); err != nil {
		return err // a filter left out would answer with other patients' studies
	}
	params := make([]param, 0, raw.Len())
	for i := range raw.Len() {
		name, value := raw.At(i)
		params = append(params, param{name, value})
	}
	q, err := parseQuery(rq.route, params)
	if err != nil {
		return err
	}
	if err := rq.g.queries.Acquire(rq.ctx, 1); err != nil {
		return err
	}
	defer rq.g.queries.Release(1)
	s := rq.g.newSearch(rq.ctx, rq.bucket, rq.base, q)
	if err := s.run(); err != nil {
		return err
	}
	if s.more {
		q.warnings = append(q.warnings, "there are additional results that can be requested")
	}
	for _, w := range q.warnings {
		rq.AddHeader("Warning", `299 gantry "`+w+`"`)
	}
	rq.SetHeader("Content-Type", contentType)
	rq.SetHeader("Cache-Control", "no-cache")
	return rq.sendJSON(s.out)
}

// jsonType is the media type under which DICOM JSON is given: its own, application/json to those who accept only that, or
// none if they accept neither.
func jsonType(accepts []mediaRange) string {
	if len(accepts) == 0 {
		return typeDICOMJSON
	}
	name := ""
	for _, m := range accepts {
		if m.matches(typeDICOMJSON) {
			return typeDICOMJSON
		}
		if m.name == typeJSON {
			name = typeJSON
		}
	}
	return name
}

// acceptsGzip reads Accept-Encoding (RFC 9110 12.5.3).
func acceptsGzip(values []string) bool {
	for _, v := range values {
		if len(v) > maxAcceptBytes {
			continue
		}
		for element := range strings.SplitSeq(v, ",") {
			coding, params, _ := strings.Cut(strings.ToLower(element), ";")
			coding = strings.TrimSpace(coding)
			if coding != "gzip" && coding != "*" {
				continue
			}
			_, q, ok := strings.Cut(params, "q=")
			return !ok || parseQuality(strings.TrimSpace(q)) > 0
		}
	}
	return false
}
