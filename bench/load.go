package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A load says how hard and how long an operation is driven.
type load struct {
	workers  int
	rate     float64       // operations per second; 0 for a closed loop
	duration time.Duration // 0: until count or the operation's own end
	count    int64         // 0: no limit
}

// An operation performs number n, counted from 0, and says how many objects and bytes it moved.
type operation func(ctx context.Context, w *worker, n int64) (moved, error)

type moved struct {
	objects int64
	bytes   int64
}

// errDone ends a measurement whose data are used up; it is not counted.
var errDone = errors.New("no more data")

// timelineStep is the resolution of throughput over time.
const timelineStep = 250 * time.Millisecond

// maxErrorTexts is how many different error texts a report keeps.
const maxErrorTexts = 5

// maxStreak is after how many errors in a row a worker gives up: the server is down, or the request is not for it.
const maxStreak = 20

// A worker is one goroutine of a load with what it owns.
type worker struct {
	id      int
	client  *client
	more    []*client // for operations that work in parallel within
	blobs   []*Blob   // scratch for instances
	rng     rng
	parts   [][]byte    // scratch for request bodies
	request stowRequest // scratch, too

	latency  histogram
	timeline []moved
	total    moved
	errors   int64
	streak   int // errors in a row
	texts    map[string]bool
}

// clients are all that the worker has: none if it is a yardstick's.
func (w *worker) clients() []*client {
	if w.client == nil {
		return nil
	}
	return slices.Concat([]*client{w.client}, w.more)
}

func (w *worker) note(since time.Duration, latency time.Duration, m moved) {
	w.streak = 0
	w.latency.add(latency)
	w.total.objects += m.objects
	w.total.bytes += m.bytes
	slot := int(since / timelineStep)
	for len(w.timeline) <= slot {
		w.timeline = append(w.timeline, moved{})
	}
	w.timeline[slot].objects += m.objects
	w.timeline[slot].bytes += m.bytes
}

func (w *worker) fail(err error) {
	w.errors++
	w.streak++
	if w.texts == nil {
		w.texts = make(map[string]bool)
	}
	if len(w.texts) < maxErrorTexts {
		w.texts[err.Error()] = true
	}
}

// A Point is one step of the timeline.
type Point struct {
	Seconds float64 `json:"t"`
	Objects int64   `json:"objects"`
	Bytes   int64   `json:"bytes"`
}

// A Bucket is one bar of the latency distribution: how many operations took up to Millis.
type Bucket struct {
	Millis float64 `json:"le_ms"`
	Count  int64   `json:"count"`
}

// Latency in milliseconds. In an open loop it counts from the intended start.
type Latency struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99_9"`
	Max  float64 `json:"max"`
}

// Result is one measurement.
type Result struct {
	Workload      string       `json:"workload"`
	Target        string       `json:"target"`
	Concurrency   int          `json:"concurrency"`
	RateWanted    float64      `json:"rate_wanted,omitempty"` // operations per second of an open loop
	NotBegun      int64        `json:"not_begun,omitempty"`   // operations of an open loop whose time to start came and went while all workers were busy
	SizeBytes     int64        `json:"size_bytes,omitempty"`  // of the objects, where they are all alike
	PerRequest    int          `json:"per_request,omitempty"` // instances in one STOW request
	Seconds       float64      `json:"seconds"`
	Operations    int64        `json:"operations"`
	Objects       int64        `json:"objects"`
	Bytes         int64        `json:"bytes"`
	Errors        int64        `json:"errors"`
	GaveUp        int          `json:"gave_up,omitempty"`    // workers, after maxStreak errors in a row
	SentAgain     int64        `json:"sent_again,omitempty"` // requests, on new connections, for the server had closed theirs without an answer
	ErrorTexts    []string     `json:"error_texts,omitempty"`
	OpsPerSecond  float64      `json:"ops_per_s"`
	ObjsPerSecond float64      `json:"objects_per_s"`
	MBPerSecond   float64      `json:"mb_per_s"` // 10^6 bytes
	LatencyMS     Latency      `json:"latency_ms"`
	ClientCPU     float64      `json:"client_cpu_seconds"`
	ClientPerOp   float64      `json:"client_cpu_us_per_op"`
	Server        *ServerUsage `json:"server,omitempty"`
	Steps         []StepShare  `json:"write_steps,omitempty"`
	Distribution  []Bucket     `json:"distribution,omitempty"`
	Timeline      []Point      `json:"timeline,omitempty"`
}

// drive runs the operation under the load with the given workers, one goroutine each.
func drive(ctx context.Context, l load, workers []*worker, op operation) (*Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	runtime.GC() // what preparing left behind is not part of the measurement
	start, cpu := time.Now(), clientCPU()
	var next atomic.Int64
	var wg sync.WaitGroup
	for _, w := range workers {
		wg.Go(func() { w.loop(ctx, l, start, &next, op) })
	}
	wg.Wait()
	seconds := time.Since(start).Seconds()
	res := summarise(workers, seconds)
	res.Concurrency, res.RateWanted = len(workers), l.rate
	if ctx.Err() == nil {
		res.NotBegun = l.notBegun(res.Operations + res.Errors)
	}
	res.ClientCPU = (clientCPU() - cpu).Seconds()
	if res.Operations > 0 {
		res.ClientPerOp = res.ClientCPU * 1e6 / float64(res.Operations)
	}
	if res.Operations == 0 && res.Errors == 0 {
		return nil, errors.Join(ctx.Err(), errors.New("nothing was done: no data, or no time"))
	}
	return res, context.Cause(ctx)
}

func (w *worker) loop(ctx context.Context, l load, start time.Time, next *atomic.Int64, op operation) {
	for ctx.Err() == nil && w.streak < maxStreak {
		n := next.Add(1) - 1
		from, ok := l.begin(ctx, start, n)
		if !ok {
			return
		}
		m, err := op(ctx, w, n)
		switch now := time.Now(); {
		case errors.Is(err, errDone):
			return
		case err != nil && ctx.Err() != nil:
			return // the run was stopped, not the server's fault
		case err != nil:
			w.fail(err)
		default:
			w.note(now.Sub(start), now.Sub(from), m)
		}
	}
}

// begin waits until it is time for operation n and returns when that was meant to start; false ends the worker. An open loop lasts as long
// as it was to last: however late it is, it does not catch up afterwards, and however few operations there are, it waits for its end.
func (l load) begin(ctx context.Context, start time.Time, n int64) (time.Time, bool) {
	from, end := time.Now(), start.Add(l.duration)
	if l.count > 0 && n >= l.count || l.duration > 0 && !from.Before(end) {
		return from, false
	}
	if l.rate == 0 {
		return from, true
	}
	after := float64(n) / l.rate * float64(time.Second)
	if l.duration > 0 && after >= float64(l.duration) {
		sleepUntil(ctx, end)
		return from, false
	}
	from = start.Add(time.Duration(after))
	return from, sleepUntil(ctx, from)
}

// notBegun is how many of the operations that an open loop meant to start it did not, having begun so many.
func (l load) notBegun(begun int64) int64 {
	if l.rate == 0 || l.duration == 0 {
		return 0
	}
	meant := int64(math.Ceil(min(l.rate*l.duration.Seconds(), math.MaxInt64/2)))
	if l.count > 0 {
		meant = min(meant, l.count)
	}
	return max(0, meant-begun)
}

func sleepUntil(ctx context.Context, t time.Time) bool {
	wait := time.Until(t)
	if wait <= 0 {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func summarise(workers []*worker, seconds float64) *Result {
	var h histogram
	res := &Result{Seconds: seconds}
	texts := make(map[string]bool)
	for _, w := range workers {
		h.merge(&w.latency)
		res.Objects += w.total.objects
		res.Bytes += w.total.bytes
		res.Errors += w.errors
		if w.streak >= maxStreak {
			res.GaveUp++
		}
		for _, c := range w.clients() {
			res.SentAgain += c.again
		}
		for t := range w.texts {
			if len(texts) < maxErrorTexts {
				texts[t] = true
			}
		}
		for i, m := range w.timeline {
			for len(res.Timeline) <= i {
				at := float64(len(res.Timeline)) * timelineStep.Seconds()
				res.Timeline = append(res.Timeline, Point{Seconds: at})
			}
			res.Timeline[i].Objects += m.objects
			res.Timeline[i].Bytes += m.bytes
		}
	}
	for t := range texts {
		res.ErrorTexts = append(res.ErrorTexts, t)
	}
	res.Operations = h.n
	res.OpsPerSecond = float64(h.n) / seconds
	res.ObjsPerSecond = float64(res.Objects) / seconds
	res.MBPerSecond = float64(res.Bytes) / seconds / 1e6
	res.LatencyMS = Latency{
		Mean: millis(h.mean()), P50: millis(h.quantile(.5)), P90: millis(h.quantile(.9)),
		P99: millis(h.quantile(.99)), P999: millis(h.quantile(.999)), Max: millis(h.max),
	}
	res.Distribution = h.distribution()
	return res
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// joined is how many buckets of a histogram make one of a distribution, which is about 10% wide: as fine as a plot shows.
const joined = 1 << subBits / 8

// from is the latency, in ms, above which the bucket's are.
func (b Bucket) from() float64 {
	top := time.Duration(math.Round(b.Millis * float64(time.Millisecond)))
	return millis(max(bucketTop(max(bucketOf(top)-joined, 0)), 1))
}

// distribution is what a plot shows.
func (h *histogram) distribution() []Bucket {
	var out []Bucket
	for i := 0; i < len(h.counts); i += joined {
		var n int64
		for _, c := range h.counts[i:min(i+joined, len(h.counts))] {
			n += c
		}
		if n > 0 {
			out = append(out, Bucket{Millis: millis(bucketTop(i + joined - 1)), Count: n})
		}
	}
	return out
}

// A jobError names what a preparation was doing.
func jobError(what string, err error) error { return fmt.Errorf("%s: %w", what, err) }
