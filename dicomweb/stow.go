package dicomweb

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"gantry/dicomweb/part10"
	"gantry/store"
)

// maxParts bounds the instances of one request, and with it the size of the response.
const maxParts = 20000

// maxPending is how many instances of one request may be on their way to the disk while the next one is read. The memory
// for them comes from the store's body budget.
const maxPending = 16

// storing is one STOW-RS request (PS3.18 10.5) in progress. Instances are read one after the other as they arrive and
// stored in that order; each is invisible until it is complete and validated, and what was stored stays, whatever
// becomes of the rest.
type storing struct {
	*request
	result  stowResult
	pending []*store.Pending // begun and not yet waited for, oldest first
	studies map[string]bool
	parts   int
	media   int  // parts refused for their media type
	status  int  // the gravest of the failures that concern the server: 503, 507, 413; 0 if none
	cut     bool // the body ended early, and the instance that it ended in was told of
}

// storeInstances serves POST studies and studies/{study}.
func (rq *request) storeInstances() error {
	s := &storing{request: rq, studies: map[string]bool{}}
	media, ok := parseMedia(rq.Header("Content-Type"))
	if enc := strings.ToLower(rq.Header("Content-Encoding")); enc != "" && enc != "identity" {
		return s.refuse(http.StatusUnsupportedMediaType, "content encodings are not supported")
	}
	switch {
	case !ok:
		return s.refuse(http.StatusUnsupportedMediaType, "Content-Type is missing or malformed")
	case media.name == typeDICOM:
		s.part(rq.Body(), typeDICOM, rq.ContentLength(), 0)
	case media.name != typeRelated:
		return s.refuse(http.StatusUnsupportedMediaType, "only application/dicom can be stored")
	case media.inner != "" && media.inner != typeDICOM:
		return s.refuse(http.StatusUnsupportedMediaType, "only multipart/related of application/dicom can be stored")
	default:
		err := s.related(media.boundary)
		s.settle(len(s.pending))
		if err != nil {
			return s.refuse(http.StatusBadRequest, err.Error())
		}
	}
	s.settle(len(s.pending))
	return s.respond(s.overall())
}

// related stores each part. An error means that the body is no multipart message at all.
func (s *storing) related(boundary string) error {
	body, err := newRelatedReader(s.Body(), boundary)
	if err != nil {
		return err
	}
	defer body.close()
	for {
		header, err := body.next()
		switch {
		case errors.Is(err, io.EOF) && s.parts == 0:
			return errors.New("the multipart body has no part")
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && s.parts == 0:
			return err
		case err != nil && s.cut:
			return nil
		case err != nil:
			s.other(reasonUnreadable, "multipart body is malformed or ends early")
			return nil
		case s.parts == maxParts:
			s.other(reasonResources, "too many instances in one request")
			s.status = http.StatusRequestEntityTooLarge
			return nil
		}
		s.relatedPart(header, body)
		if s.ctx.Err() != nil {
			return s.ctx.Err()
		}
	}
}

// relatedPart stores one part if it is of a kind that can be stored.
func (s *storing) relatedPart(header map[string]string, body *relatedReader) {
	contentType := typeDICOM
	if h := header["content-type"]; h != "" {
		media, _ := parseMedia(h)
		contentType = media.name
	}
	switch enc := strings.ToLower(header["content-transfer-encoding"]); enc {
	case "", "binary", "8bit", "7bit":
		atMost := int64(0)
		if n := s.ContentLength(); n > 0 {
			atMost = max(n-body.consumed(), 1)
		}
		s.part(body, contentType, -1, atMost)
	default:
		s.parts++
		s.other(reasonUnreadable, "content transfer encoding is not supported")
	}
}

// part stores one instance of size bytes, or, if size is -1, at most atMost, 0 if that is not known either.
func (s *storing) part(body io.Reader, contentType string, size, atMost int64) {
	s.parts++
	if contentType != typeDICOM {
		s.media++
		s.other(reasonUnreadable, "media type is not application/dicom")
		return
	}
	if len(s.pending) == maxPending {
		s.settle(1)
	}
	p, err := s.g.objects.Begin(s.ctx, &store.Put{
		Key:      store.Key{Bucket: s.bucket},
		Body:     body,
		Size:     size,
		AtMost:   atMost,
		Meta:     store.Meta{System: map[string]string{"content-type": typeDICOM}},
		Origin:   s.origin(),
		Instance: &store.InstancePut{Study: s.route.study},
	})
	if err != nil {
		s.settle(len(s.pending)) // the response keeps the order of the request
		s.fail(err)
		return
	}
	s.pending = append(s.pending, p)
}

// settle waits for the n oldest instances on their way, and notes what became of them.
func (s *storing) settle(n int) {
	for _, p := range s.pending[:n] {
		s.settled(p.Wait())
	}
	s.pending = append(s.pending[:0], s.pending[n:]...)
}

func (s *storing) settled(res store.PutResult, err error) {
	if err != nil {
		s.fail(err)
		return
	}
	id := res.Instance
	if id == nil {
		s.fail(fmt.Errorf("stored without identity: %w", store.ErrNotDICOM))
		return
	}
	s.studies[id.Study] = true
	s.result.studyURL = ""
	if len(s.studies) == 1 {
		s.result.studyURL = studyURL(s.base, id.Study)
	}
	s.result.stored = append(s.result.stored, stored{
		class: id.SOPClass, sop: id.SOP, url: instanceURL(s.base, id.Study, id.Series, id.SOP)})
}

// origin tells the log who sent this.
func (rq *request) origin() store.Origin {
	return store.Origin{
		Owner:     rq.Principal,
		Principal: rq.Principal,
		Door:      "stow",
		Peer:      rq.RemoteIP().String(),
		RequestID: rq.RequestID(),
	}
}

// fail notes a refused instance.
func (s *storing) fail(err error) {
	f := classify(err)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, store.ErrIncompleteBody) {
		f = failure{http.StatusBadRequest, "body ended early", reasonUnreadable}
		s.cut = true
	}
	if s.status < f.status && (f.status >= 500 || f.status == http.StatusRequestEntityTooLarge) {
		s.status = f.status
	}
	if f.status == http.StatusInternalServerError {
		s.g.logger.Error("store instance", "request_id", s.RequestID(), "error", err)
	}
	item := failed{reason: f.reason, comment: f.message}
	var reject *part10.RejectError
	if errors.As(err, &reject) {
		for _, item.comment = range []string{reject.Error(), reject.Why(), reject.Detail} {
			if utf8.RuneCountInString(item.comment) <= maxErrorComment {
				break // the most that can be said in a whole sentence
			}
		}
	}
	var known *store.InstanceError
	if errors.As(err, &known) {
		item.class, item.sop = known.Identity.SOPClass, known.Identity.SOP
	}
	s.result.failed = append(s.result.failed, item)
}

// other notes a part whose instance is not known.
func (s *storing) other(reason int, comment string) {
	s.result.failed = append(s.result.failed, failed{reason: reason, comment: comment})
}

// overall picks the status of the response (PS3.18 10.5.3.2). What the server can't do now is told even if some
// instances were stored, so that senders try again: storing the same instance twice does no harm.
func (s *storing) overall() int {
	switch {
	case s.status >= 500:
		return s.status
	case len(s.result.failed) == 0:
		return http.StatusOK
	case len(s.result.stored) > 0:
		return http.StatusAccepted
	case s.status != 0:
		return s.status
	case s.media == s.parts:
		return http.StatusUnsupportedMediaType
	}
	return http.StatusConflict
}

// refuse answers a request that was not read as instances; the body has the same form as always.
func (s *storing) refuse(status int, why string) error {
	s.other(reasonUnreadable, why)
	return s.respond(status)
}

// respond sends the Store Instances Response Module.
func (s *storing) respond(status int) error {
	if status == http.StatusServiceUnavailable {
		s.SetHeader("Retry-After", retryAfter)
	}
	s.Status(status)
	accepts := s.accepts()
	for _, m := range accepts {
		if m.matches(typeDICOMJSON) || m.matches(typeJSON) {
			break
		}
		if m.name == typeDICOMXML || m.name == "application/xml" || m.name == "text/xml" ||
			m.name == typeRelated && m.inner == typeDICOMXML {
			s.SetHeader("Content-Type", typeDICOMXML)
			s.SendBytes(xmlDocument(s.result.module()))
			return nil
		}
	}
	s.SetHeader("Content-Type", cmp.Or(jsonType(accepts), typeDICOMJSON))
	s.SendBytes(appendJSON(nil, s.result.module()))
	return nil
}
