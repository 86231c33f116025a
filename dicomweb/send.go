package dicomweb

import (
	"bytes"
	"io"
)

// smallBody is the size in bytes up to which a body need not be counted while it is sent.
const smallBody = 1 << 20

// sendWhole sends bytes that may be shared with others.
func (rq *request) sendWhole(body []byte) error {
	rq.SendStream(int64(len(body)), io.NopCloser(bytes.NewReader(body)))
	return nil
}

// sendBuilt sends bytes that were made for this request alone. Large ones are counted until they are sent, so that slow
// clients can't make the process hold any number of them (I9).
func (rq *request) sendBuilt(body []byte) error {
	n := min(int64(len(body)), maxHeld)
	if n <= smallBody {
		return rq.sendWhole(body)
	}
	if err := rq.g.held.Acquire(rq.ctx, n); err != nil {
		return err
	}
	rq.SendStream(int64(len(body)), &heldBody{Reader: bytes.NewReader(body), release: func() { rq.g.held.Release(n) }})
	return nil
}

// heldBody gives its count back when it was sent.
type heldBody struct {
	*bytes.Reader // with its WriteTo
	release       func()
}

func (b *heldBody) Close() error {
	b.release()
	return nil
}

// sendJSON sends a body, compressed if the client likes.
func (rq *request) sendJSON(body []byte) error {
	const worthIt = 1 << 10
	rq.AddHeader("Vary", "Accept, Accept-Encoding")
	if len(body) < worthIt || !acceptsGzip(rq.Headers("Accept-Encoding")) {
		return rq.sendBuilt(body)
	}
	rq.SetHeader("Content-Encoding", "gzip")
	return rq.sendBuilt(compress(body))
}
