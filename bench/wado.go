package bench

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

const (
	acceptJSON   = "Accept: application/dicom+json\r\n"
	acceptStored = "Accept: multipart/related; type=\"application/dicom\"; transfer-syntax=*\r\n"
	acceptNative = "Accept: multipart/related; type=\"application/octet-stream\"; transfer-syntax=*\r\n"
	acceptJPEG   = "Accept: multipart/related; type=\"image/jpeg\"; transfer-syntax=" + jpegBaseline + "\r\n"
)

func studyPath(st *Study) string       { return "/studies/" + st.UID }
func seriesPath(se *Series) string     { return studyPath(se.Study) + "/series/" + se.UID }
func instancePath(in *Instance) string { return seriesPath(in.Series) + "/instances/" + in.UID }

func acceptFrames(k Kind) string {
	if k.transferSyntax() == jpegBaseline {
		return acceptJPEG
	}
	return acceptNative
}

// fetch gets a path and compares the parts of the answer with what is expected.
func fetch(ctx context.Context, c *client, path, accept string, want fingerprint) (moved, error) {
	use := sumSet
	if want.ordered {
		use = sumList
	}
	resp, err := c.do(ctx, &request{method: "GET", path: path, header: accept, use: use})
	if err != nil {
		return moved{}, err
	}
	if err := resp.want(200, 206); err != nil {
		return moved{}, err
	}
	got := resp.parts
	switch {
	case got.count == want.count && got.bytes == want.bytes && got != want:
		return moved{}, errOtherBytes
	case got != want:
		return moved{}, fmt.Errorf("wrong bytes: %d parts of %d bytes, want %d of %d",
			got.count, got.bytes, want.count, want.bytes)
	}
	return moved{int64(got.count), got.bytes}, nil
}

// instancesOf lists the instances of studies that keep accepts.
func instancesOf(studies []*Study, keep func(*Instance) bool) []*Instance {
	var out []*Instance
	for _, st := range studies {
		for _, se := range st.Series {
			for _, in := range se.Instances {
				if keep(in) {
					out = append(out, in)
				}
			}
		}
	}
	return out
}

func seriesOf(studies []*Study, keep func(*Series) bool) []*Series {
	var out []*Series
	for _, st := range studies {
		for _, se := range st.Series {
			if keep(se) {
				out = append(out, se)
			}
		}
	}
	return out
}

// pick chooses number n of a repeatable random walk.
func pick[T any](s *Session, all []T, n int64) T {
	return all[hash(s.seed, 11, uint64(n))%uint64(len(all))]
}

func prepareWadoInstance(ctx context.Context, s *Session, step *Step) (operation, error) {
	studies, err := s.ensureStudies(ctx, step.Studies)
	if err != nil {
		return nil, err
	}
	all := instancesOf(studies, func(*Instance) bool { return true })
	return func(ctx context.Context, w *worker, n int64) (moved, error) {
		in := pick(s, all, n)
		var want fingerprint
		want.add(in.Sums.CRC, in.Sums.Size)
		return fetch(ctx, w.client, instancePath(in), acceptStored, want)
	}, nil
}

// longSeries are the stored series of 10 or more instances.
func (s *Session) longSeries(ctx context.Context, step *Step) ([]*Series, error) {
	studies, err := s.ensureStudies(ctx, step.Studies)
	if err != nil {
		return nil, err
	}
	all := seriesOf(studies, func(se *Series) bool { return len(se.Instances) >= 10 })
	if len(all) == 0 {
		return nil, fmt.Errorf("no series of 10 or more instances in %d studies", step.Studies)
	}
	return all, nil
}

func prepareWadoSeries(ctx context.Context, s *Session, step *Step) (operation, error) {
	all, err := s.longSeries(ctx, step)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, w *worker, n int64) (moved, error) {
		se := pick(s, all, n)
		var want fingerprint
		for _, in := range se.Instances {
			want.add(in.Sums.CRC, in.Sums.Size)
		}
		return fetch(ctx, w.client, seriesPath(se), acceptStored, want)
	}, nil
}

func prepareWadoFrames(ctx context.Context, s *Session, step *Step) (operation, error) {
	studies, err := s.ensureStudies(ctx, step.Studies)
	if err != nil {
		return nil, err
	}
	all := instancesOf(studies, func(in *Instance) bool { return in.Frames > 0 })
	return func(ctx context.Context, w *worker, n int64) (moved, error) {
		in := pick(s, all, n)
		return s.fetchFrames(ctx, w.client, in, 1+int(hash(s.seed, 12, uint64(n))%uint64(in.Frames)))
	}, nil
}

// fetchFrames gets the frames of an instance in one request: the given one, or all if it is 0.
func (s *Session) fetchFrames(ctx context.Context, c *client, in *Instance, frame int) (moved, error) {
	want := fingerprint{ordered: true}
	list := strconv.Itoa(frame)
	sizes := in.Sums.FrameSizes
	if frame > 0 {
		want.add(in.Sums.FrameCRCs[frame-1], sizes[frame-1])
	} else {
		numbers := make([]string, in.Frames)
		for i, crc := range in.Sums.FrameCRCs {
			want.add(crc, sizes[i])
			numbers[i] = strconv.Itoa(i + 1)
		}
		list = strings.Join(numbers, ",")
	}
	return fetch(ctx, c, instancePath(in)+"/frames/"+list, acceptFrames(in.Series.Kind), want)
}

func prepareMetadata(ctx context.Context, s *Session, step *Step) (operation, error) {
	all, err := s.longSeries(ctx, step)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, w *worker, n int64) (moved, error) {
		return s.fetchMetadata(ctx, w.client, pick(s, all, n))
	}, nil
}

// fetchMetadata gets the metadata of a series and checks that every instance is described once.
func (s *Session) fetchMetadata(ctx context.Context, c *client, se *Series) (moved, error) {
	path := seriesPath(se) + "/metadata"
	resp, err := c.do(ctx, &request{method: "GET", path: path, header: acceptJSON})
	if err != nil {
		return moved{}, err
	}
	if err := resp.want(200); err != nil {
		return moved{}, err
	}
	m := moved{int64(len(se.Instances)), resp.size}
	return m, s.verifyText(path, resp, func(body []byte) error {
		q := query{want: make(map[string]bool, len(se.Instances)), exact: true}
		for _, in := range se.Instances {
			q.want[in.UID] = true
		}
		return q.check(body, "00080018")
	})
}
