package dicomweb

import "net/http"

// wadoURI serves the URI service (PS3.18 9.4) for application/dicom.
func (rq *request) wadoURI() error {
	q := rq.Query()
	if q.Get("requestType") != "WADO" {
		return badRequest("requestType must be WADO")
	}
	rq.route.study, rq.route.series, rq.route.sop = cleanUID(q.Get("studyUID")), cleanUID(q.Get("seriesUID")), cleanUID(q.Get("objectUID"))
	if rq.route.study == "" || rq.route.series == "" || rq.route.sop == "" {
		return badRequest("studyUID, seriesUID and objectUID must be given")
	}
	if err := q.Err(); err != nil {
		return err
	}
	if q.Has("anonymize") { // PS3.18 9.4.1.2.2: whoever asks for that must not get names instead
		return &requestError{status: http.StatusNotImplemented, message: "objects are not de-identified by this release"}
	}
	f := form{single: true, syntax: anyTransfer}
	if q.Has("transferSyntax") {
		f.syntax = q.Get("transferSyntax")
	}
	if types := parseAccept(q.All("contentType")); len(types) > 0 {
		ok := false
		for _, m := range types {
			ok = ok || m.matches(typeDICOM)
		}
		if !ok {
			return &requestError{status: http.StatusNotAcceptable, message: "only application/dicom is served"}
		}
	}
	return rq.sendInstances([]form{f})
}
