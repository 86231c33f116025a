package dicomweb

import (
	"io"
	"net/http"

	"gantry/store"
)

// Bulk data, frames and conversion come with their part of package part10.

var errNotServed = &requestError{status: http.StatusNotImplemented, message: "not served yet"}

func (rq *request) bulkData() error { return errNotServed }
func (rq *request) frames() error   { return errNotServed }

func explicitSize(*store.Object) (int64, error)        { return 0, errNotServed }
func writeExplicit(_ io.Writer, _ *store.Object) error { return errNotServed }
