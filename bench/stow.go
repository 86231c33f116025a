package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

const (
	stowBoundary = "bench-boundary-4f2a9c"
	stowHeader   = "Content-Type: multipart/related; type=\"application/dicom\"; boundary=" + stowBoundary + "\r\n" +
		"Accept: application/dicom+json\r\n"
	stowOpen  = "--" + stowBoundary + "\r\nContent-Type: application/dicom\r\n\r\n"
	stowNext  = "\r\n" + stowOpen
	stowClose = "\r\n--" + stowBoundary + "--\r\n"
)

// chunks cuts studies into requests of at most n instances; a request never spans studies, as with real senders.
func chunks(studies []*Study, n int) [][]*Instance {
	var out [][]*Instance
	for _, st := range studies {
		var all []*Instance
		for _, se := range st.Series {
			all = append(all, se.Instances...)
		}
		for len(all) > 0 {
			k := min(n, len(all))
			out = append(out, all[:k:k])
			all = all[k:]
		}
	}
	return out
}

// prepareStow stores the next studies of the generator, each once.
func prepareStow(_ context.Context, s *Session, step *Step) (operation, error) {
	from := s.stored
	todo := chunks(s.gen.Studies(from + step.Studies)[from:], step.PerRequest)
	if step.Duration > 0 || step.Count > 0 && step.Count < int64(len(todo)) {
		return nil, errors.New("stow stores whole studies: give their number, not a duration or a count")
	}
	s.stored = from + step.Studies
	s.gen.Prepare()
	return s.stowAll(todo, s.ahead(todo)), nil
}

// maxAhead is how many instances are made before the clock starts: some 7 KB each, for they share their pixels.
const maxAhead = 16 << 10

// A stowRequest is the body of a request.
type stowRequest struct {
	parts [][]byte
	bytes int64 // of the instances
}

// fill puts instances into the body.
func (r *stowRequest) fill(blobs []*Blob) {
	r.parts, r.bytes = r.parts[:0], 0
	for i, b := range blobs {
		text := stowNext
		if i == 0 {
			text = stowOpen
		}
		r.parts = append(append(r.parts, []byte(text)), b.Parts...)
		r.bytes += b.Size
	}
	r.parts = append(r.parts, []byte(stowClose))
}

// ahead makes the first of the requests. To make an instance costs the client as much as to send 100 KB, and would slow a fast
// server down on the same machine.
func (s *Session) ahead(todo [][]*Instance) []stowRequest {
	var out []stowRequest
	var scratch Blob
	left := maxAhead
	for _, instances := range todo {
		if left -= len(instances); left < 0 {
			break
		}
		blobs := make([]*Blob, len(instances))
		for i, in := range instances {
			s.gen.Build(in, &scratch)
			blobs[i] = scratch.clone()
		}
		var r stowRequest
		r.fill(blobs)
		out = append(out, r)
	}
	return out
}

// stowAll sends requests, of which the first are made already.
func (s *Session) stowAll(todo [][]*Instance, made []stowRequest) operation {
	return func(ctx context.Context, w *worker, n int64) (moved, error) {
		if n >= int64(len(todo)) {
			return moved{}, errDone
		}
		if n < int64(len(made)) {
			return send(ctx, w, todo[n], &made[n])
		}
		return s.stow(ctx, w, todo[n])
	}
}

// stow makes a request and sends it.
func (s *Session) stow(ctx context.Context, w *worker, instances []*Instance) (moved, error) {
	blobs := w.blobsFor(len(instances))
	for i, in := range instances {
		s.gen.Build(in, blobs[i])
	}
	w.request.fill(blobs)
	return send(ctx, w, instances, &w.request)
}

// blobsFor returns n blobs that the worker keeps for re-use.
func (w *worker) blobsFor(n int) []*Blob {
	for len(w.blobs) < n {
		w.blobs = append(w.blobs, new(Blob))
	}
	return w.blobs[:n]
}

// send sends a request and examines its answer.
func send(ctx context.Context, w *worker, instances []*Instance, r *stowRequest) (moved, error) {
	resp, err := w.client.do(ctx, &request{method: "POST", path: "/studies", header: stowHeader, body: r.parts})
	if err != nil {
		return moved{}, err
	}
	if err := resp.want(200); err != nil {
		return moved{}, err
	}
	return moved{int64(len(instances)), r.bytes}, checkStored(resp.body, instances)
}

var errNotStored = errors.New("store: answer does not name the instance")

// checkStored looks for failure reasons (0008,1197) and for each UID in the answer, as JSON or XML. The sequence of
// failures itself may be there and empty.
func checkStored(answer []byte, instances []*Instance) error {
	if bytes.Contains(answer, []byte(`"00081197"`)) { // with its quotes: some UIDs have these digits
		return fmt.Errorf("store: failures reported: %.300q", answer)
	}
	for _, in := range instances {
		if !bytes.Contains(answer, []byte(in.UID)) {
			return errNotStored
		}
	}
	return nil
}

// ensureStudies brings the first n studies to the target, unless they are there, and returns them with checksums.
func (s *Session) ensureStudies(ctx context.Context, n int) ([]*Study, error) {
	studies := s.gen.Studies(n)
	if s.stored < n {
		missing, err := s.missing(ctx, studies[s.stored:])
		if err != nil {
			return nil, err
		}
		todo := chunks(missing, 1)
		if len(todo) > 0 {
			if err := s.fill(ctx, "instances", len(todo), false, s.stowAll(todo, nil)); err != nil {
				return nil, err
			}
		}
		s.stored = n
	}
	var blob Blob
	for _, st := range studies {
		for _, se := range st.Series {
			for _, in := range se.Instances {
				s.gen.Sum(in, &blob)
			}
		}
	}
	return studies, nil
}

// missing returns the studies whose last instance the target does not know.
func (s *Session) missing(ctx context.Context, studies []*Study) ([]*Study, error) {
	c, err := s.newClient(false)
	if err != nil {
		return nil, err
	}
	defer c.close()
	var out []*Study
	for _, st := range studies {
		last := st.Series[len(st.Series)-1]
		path := instancePath(last.Instances[len(last.Instances)-1])
		resp, err := c.do(ctx, &request{method: "GET", path: path + "/metadata", header: acceptJSON})
		if err != nil {
			return nil, jobError("look for studies", err)
		}
		if resp.status != 200 || !bytes.Contains(resp.body, []byte(last.UID)) {
			out = append(out, st)
		}
	}
	return out, nil
}
