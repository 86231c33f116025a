package s3

import (
	"gantry/internal/auth"
	"gantry/s3/sigv4"
)

// authenticate finds out who sent a request and checks that it was not altered on the way.
func (g *Gateway) authenticate(r *request) error {
	if g.noAuth {
		return g.admitAnybody(r)
	}
	s, err := sigv4.Parse(r, r.query)
	if err != nil {
		return err
	}
	if s == nil {
		return newError(codeAccessDenied, "")
	}
	if r.signingKey, err = g.verifier.Verify(r, r.path, r.query, s); err != nil {
		return err
	}
	credential, ok := g.keyring.Lookup(s.KeyID)
	if !ok {
		return newError(codeAccessDenied, "") // removed since
	}
	r.signature, r.payload, r.credential = s, s.Payload, credential
	r.Principal = credential.ID
	r.adoptQuery()
	return nil
}

// admitAnybody takes the payload coding from a request whose signature is of no interest.
func (g *Gateway) admitAnybody(r *request) error {
	r.credential = auth.Credential{ID: anonymous}
	r.payload = r.query.Get("X-Amz-Content-Sha256")
	if r.payload == "" {
		r.payload = r.amzHeader("x-amz-content-sha256")
	}
	r.adoptQuery()
	if r.payload == "" {
		return nil
	}
	return sigv4.CheckPayload(r.payload)
}

func (g *Gateway) authorize(r *request, op *operation) error {
	if !g.allows(r, op.needs, r.bucket) {
		return newError(codeAccessDenied, "")
	}
	want := r.amzHeader("x-amz-expected-bucket-owner")
	if want == "" || r.bucket == "" {
		return nil
	}
	return g.checkOwner(r, r.bucket, want)
}

// allows tells whether the caller has a permission on a bucket; no permission is needed for what has none.
func (g *Gateway) allows(r *request, p auth.Permission, bucket string) bool {
	return g.noAuth || p == 0 || auth.Allows(r.credential, p, bucket)
}

func (g *Gateway) checkOwner(r *request, bucket, want string) error {
	b, err := g.objects.Bucket(r.Context(), bucket)
	if err != nil {
		return err
	}
	if b.Owner != want {
		return newError(codeAccessDenied, "The bucket is not owned by the expected bucket owner.")
	}
	return nil
}
