package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"
)

// ScaleOptions say how many tiny instances go in, and how long each query is driven afterwards.
type ScaleOptions struct {
	Seed        uint64
	Instances   int
	PerRequest  int // instances in a STOW request, which are also a study
	Concurrency int // of ingest; queries run one after the other
	Duration    time.Duration
	Bucket      string // where the DICOMweb service keeps instances, to be listed by S3; empty: no listing
}

// Names of the results that Scale reports, in its order.
const (
	ScaleIngestStart = "ingest, first tenth"
	ScaleGetStart    = "WADO instance, near empty"
	ScaleIngest      = "ingest, middle"
	ScaleIngestEnd   = "ingest, last tenth"
	ScaleGetEnd      = "WADO instance, full"
	ScalePatient     = "QIDO patient ID"
	ScaleWildcard    = "QIDO *ID*"
	ScaleDates       = "QIDO date range"
	ScaleList        = "S3 list page of 1000"
)

const scaleLimit = 101

func (o ScaleOptions) check() error {
	if o.PerRequest < 1 || o.Instances < 10*o.PerRequest || o.Concurrency < 1 || o.Duration <= 0 {
		return fmt.Errorf("scale: want at least %d instances, a worker and a duration", 10*max(o.PerRequest, 1))
	}
	return nil
}

// Scale stores many tiny instances by STOW and then measures queries. Studies are planned when they are needed and
// forgotten, so that the client's memory does not grow with their number.
func Scale(ctx context.Context, t Target, o ScaleOptions, log io.Writer) (*Report, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if t.Bucket == "" {
		t.Bucket = o.Bucket
	}
	s := NewSession(t, NewUniformGenerator(o.Seed, KindTiny, o.PerRequest), log)
	s.gen.Prepare()
	sc := &scale{Session: s, ScaleOptions: o, report: NewReport(o.Seed, s.target)}
	total := o.Instances / o.PerRequest
	tenth := total / 10
	q := load{workers: 1, duration: o.Duration}
	steps := []struct {
		name string
		load load
		s3   bool
		op   operation
	}{
		{ScaleIngestStart, sc.ingestLoad(tenth), false, sc.ingest(0)},
		{ScaleGetStart, q, false, sc.get(tenth)},
		{ScaleIngest, sc.ingestLoad(total - 2*tenth), false, sc.ingest(tenth)},
		{ScaleIngestEnd, sc.ingestLoad(tenth), false, sc.ingest(total - tenth)},
		{ScaleGetEnd, q, false, sc.get(total)},
		{ScalePatient, q, false, sc.patient(total, "PatientID=")},
		{ScaleWildcard, q, false, sc.patient(total, "PatientID=*")},
		{ScaleDates, q, false, sc.dates(total)},
		{ScaleList, q, true, sc.list(total)},
	}
	for _, step := range steps {
		if step.name == ScaleList && (t.S3 == "" || o.Bucket == "") {
			continue
		}
		if err := sc.measure(ctx, step.name, step.load, step.s3, step.op); err != nil {
			return sc.report, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	if sc.report.Failed() {
		return sc.report, ErrFailed
	}
	return sc.report, nil
}

type scale struct {
	*Session
	ScaleOptions
	report *Report
}

func (sc *scale) ingestLoad(requests int) load {
	return load{workers: sc.ScaleOptions.Concurrency, count: int64(requests)}
}

func (sc *scale) measure(ctx context.Context, name string, l load, s3 bool, op operation) error {
	_, _ = fmt.Fprintf(sc.log, "%s\n", name) // progress only
	workers, err := sc.workers(l.workers, s3, 0)
	if err != nil {
		return err
	}
	defer closeWorkers(workers)
	stop := watch(ctx, sc.target.PID)
	res, err := drive(ctx, l, workers, op)
	server, usageErr := stop()
	if err := errors.Join(err, usageErr); err != nil {
		return err
	}
	res.Workload, res.Target, res.Server = name, sc.target.Name, server
	if server != nil && res.Operations > 0 {
		server.CPUPerOp = server.CPUSeconds * 1e6 / float64(res.Operations)
		server.WrittenPerOp = float64(server.WrittenBytes) / float64(res.Operations)
	}
	sc.report.Results = append(sc.report.Results, res)
	return WriteResults(sc.log, []*Result{res})
}

func (sc *scale) ingest(first int) operation {
	return func(ctx context.Context, w *worker, n int64) (moved, error) {
		return sc.stow(ctx, w, sc.gen.plan(first + int(n)).Series[0].Instances)
	}
}

func (sc *scale) get(total int) operation {
	return func(ctx context.Context, w *worker, n int64) (moved, error) {
		all := sc.gen.plan(rand.IntN(total)).Series[0].Instances
		in := all[rand.IntN(len(all))]
		sums := sc.gen.Sum(in, w.blobsFor(1)[0])
		var want fingerprint
		want.add(sums.CRC, sums.Size)
		return fetch(ctx, w.client, instancePath(in), acceptStored, want)
	}
}

// patient searches by what follows prefix: a patient's ID whole, or its digits between asterisks.
func (sc *scale) patient(total int, prefix string) operation {
	return func(ctx context.Context, w *worker, n int64) (moved, error) {
		i := rand.IntN(total)
		st := sc.gen.plan(i)
		q := query{params: prefix + st.PatientID, want: map[string]bool{st.UID: true}, exact: true}
		if strings.HasSuffix(prefix, "*") {
			q.params = prefix + st.PatientID[len(st.PatientID)-6:] + "*"
			q.exact = false // the digits may occur elsewhere in a longer ID
		}
		if other := i ^ 1; other < total { // a patient's studies are numbered 2p and 2p+1
			q.want[sc.gen.plan(other).UID] = true
		}
		q.params += fmt.Sprintf("&limit=%d", scaleLimit)
		return sc.once(ctx, w, q)
	}
}

func (sc *scale) dates(total int) operation {
	return func(ctx context.Context, w *worker, n int64) (moved, error) {
		st := sc.gen.plan(rand.IntN(total))
		return sc.once(ctx, w, query{params: fmt.Sprintf("StudyDate=%s-%s&limit=%d", st.Date, dayAfter(st.Date, 6), scaleLimit)})
	}
}

// once searches without remembering the answer: there are too many different ones.
func (sc *scale) once(ctx context.Context, w *worker, q query) (moved, error) {
	resp, err := w.client.do(ctx, &request{method: "GET", path: "/studies", query: q.params, header: acceptJSON})
	if err != nil {
		return moved{}, err
	}
	if err := resp.want(200); err != nil {
		return moved{}, err
	}
	for uid := range q.want {
		if !bytes.Contains(resp.body, []byte(uid)) {
			return moved{}, errAnswer
		}
	}
	if found := bytes.Count(resp.body, []byte(`"0020000D"`)); found == 0 || q.exact && found != len(q.want) {
		return moved{}, fmt.Errorf("%w: %d studies", errAnswer, found)
	}
	return moved{1, resp.size}, nil
}

func (sc *scale) list(total int) operation {
	return func(ctx context.Context, w *worker, n int64) (moved, error) {
		after := sc.gen.plan(rand.IntN(total)).UID
		resp, err := w.client.do(ctx, &request{
			method: "GET", path: "/" + sc.Bucket, query: "list-type=2&max-keys=1000&start-after=" + after,
		})
		if err != nil {
			return moved{}, err
		}
		if err := resp.want(200); err != nil {
			return moved{}, err
		}
		keys := bytes.Count(resp.body, []byte("<Key>"))
		if keys != listPage && (keys == 0 || bytes.Contains(resp.body, []byte("<IsTruncated>true"))) {
			return moved{}, fmt.Errorf("%w: %d", errKeys, keys)
		}
		return moved{int64(keys), resp.size}, nil
	}
}
