package dicomweb

import (
	"encoding/json"
	"errors"
	"net/http"

	"gantry/internal/httpx"
	"gantry/store"
)

// retryAfter is what a client is told to wait when the store is busy, in seconds.
const retryAfter = "1"

// failure is how an error looks from outside.
type failure struct {
	status  int
	message string
	reason  int // FailureReason of STOW-RS
}

// sentinels maps the store's errors, most telling first.
var sentinels = []struct {
	err error
	failure
}{
	{store.ErrFull, failure{http.StatusInsufficientStorage, "out of disk space", reasonResources}},
	{store.ErrBusy, failure{http.StatusServiceUnavailable, "too busy, try again", reasonResources}},
	{store.ErrBroken, failure{http.StatusServiceUnavailable, "no write is accepted until restart", reasonResources}},
	{store.ErrClosed, failure{http.StatusServiceUnavailable, "shutting down", reasonResources}},
	{store.ErrDuplicate, failure{http.StatusConflict, "another object with this SOP Instance UID is stored", reasonDuplicate}},
	{store.ErrWrongStudy, failure{http.StatusConflict, "Study Instance UID differs from the one in the URL", reasonMismatch}},
	{store.ErrRetained, failure{http.StatusConflict, "under retention", reasonNotAuthorized}},
	{store.ErrCorrupt, failure{http.StatusInternalServerError, "stored data is damaged", reasonProcessing}},
	{store.ErrIncompleteBody, failure{http.StatusBadRequest, "body ended early", reasonUnreadable}},
	{store.ErrTooLarge, failure{http.StatusRequestEntityTooLarge, "object too large", reasonResources}},
	{store.ErrMetadataTooLarge, failure{http.StatusConflict, "indexed attributes are too large", reasonUnreadable}},
	{store.ErrNotDICOM, failure{http.StatusConflict, "not a readable DICOM instance", reasonUnreadable}},
	{store.ErrNoBucket, failure{http.StatusNotFound, "archive not found", reasonProcessing}},
	{store.ErrNotFound, failure{http.StatusNotFound, "not found", reasonProcessing}},
}

// classify tells what to answer to an error.
func classify(err error) failure {
	var own *requestError
	if errors.As(err, &own) {
		return failure{own.status, own.message, reasonProcessing}
	}
	var adapter *httpx.Error
	if errors.As(err, &adapter) {
		return failure{adapter.Status, adapter.Message, reasonProcessing}
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			return s.failure
		}
	}
	return failure{http.StatusInternalServerError, "internal error", reasonProcessing}
}

// WriteError answers with a small JSON object that says what is wrong in a sentence.
func (g *Gateway) WriteError(c *httpx.Ctx, err error) {
	f := classify(err)
	var own *requestError
	if errors.As(err, &own) {
		for _, h := range own.header {
			c.SetHeader(h[0], h[1])
		}
	}
	if f.status == http.StatusUnauthorized {
		for _, ch := range challenges {
			c.AddHeader("WWW-Authenticate", ch)
		}
	}
	g.cors(c) // a browser hides errors that come without
	if f.status == http.StatusServiceUnavailable {
		c.SetHeader("Retry-After", retryAfter)
	}
	body, jsonErr := json.Marshal(map[string]string{"error": f.message})
	if jsonErr != nil {
		body = []byte(`{"error":"internal error"}`)
	}
	c.SetHeader("Content-Type", typeJSON)
	c.Status(f.status)
	c.SendBytes(append(body, '\n'))
}
