package dicomweb

import (
	"errors"
	"net/http"

	"gantry/internal/auth"
)

// challenges are the two ways to authenticate, Basic first for the sake of browsers.
var challenges = []string{`Basic realm="gantry", charset="UTF-8"`, `Bearer realm="gantry"`}

var errUnauthorized = &requestError{status: http.StatusUnauthorized, message: "credentials are missing or wrong"}

// permission is what a request needs.
func (rq *request) permission() auth.Permission {
	switch rq.Method() {
	case "POST":
		return auth.Write
	case "DELETE":
		return auth.Delete
	}
	return auth.Read
}

// authorize checks the credentials of a request and what they allow in its archive.
func (g *Gateway) authorize(rq *request) error {
	if g.cfg.NoAuth {
		return nil
	}
	cred, err := g.cfg.Keyring.Authenticate(rq.Header("Authorization"))
	if err != nil {
		return errors.Join(errUnauthorized, err)
	}
	rq.Principal = cred.ID
	if !auth.Allows(cred, rq.permission(), rq.bucket) {
		return &requestError{status: http.StatusForbidden, message: "these credentials do not allow that"}
	}
	return nil
}
