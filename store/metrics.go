package store

import (
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what an operator watches of a store. They carry no names of objects.
type metrics struct {
	objects, bytes, batches, records, damage prometheus.Counter
	cacheHits, diskReads                     prometheus.Counter
	steps                                    [stepCount]prometheus.Counter
	commit                                   prometheus.Histogram

	recent commitTimes

	mu     sync.Mutex // guards places
	places map[place]struct{}
}

func newMetrics(reg prometheus.Registerer, s *Store) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "gantry", Subsystem: "store", Name: name, Help: help})
	}
	m := &metrics{
		places:    make(map[place]struct{}),
		objects:   counter("objects_stored_total", "Objects committed."),
		bytes:     counter("log_bytes_total", "Bytes appended to the log, headers and padding included."),
		batches:   counter("batches_total", "Group commits."),
		records:   counter("records_total", "Records committed."),
		damage:    counter("damage_found_total", "Damaged blocks, headers and stretches of the log met by reads and recovery, each counted once."),
		cacheHits: counter("cache_hits_total", "Blocks read from memory."),
		diskReads: counter("disk_reads_total", "Blocks read from a segment, which the page cache may have had."),
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "gantry", Subsystem: "store", Name: "commit_seconds", Help: "Time of writing and syncing one batch.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 15),
		}),
	}
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "gantry", Subsystem: "store", Name: "put_seconds_total",
		Help: "Time that objects spent in each step of their way into the log, added up over all objects.",
	}, []string{"step"})
	for i := range m.steps {
		m.steps[i] = vec.WithLabelValues(stepNames[i])
	}
	if reg == nil {
		return m
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "gantry", Subsystem: "store", Name: name, Help: help}, value)
	}
	disk := func(pick func(free, total uint64) uint64) func() float64 {
		return func() float64 {
			free, total, err := s.cfg.FS.Free(s.cfg.Dir)
			if err != nil {
				return math.NaN()
			}
			return float64(pick(free, total))
		}
	}
	reg.MustRegister(m.objects, m.bytes, m.batches, m.records, m.damage, m.commit, vec, m.cacheHits, m.diskReads,
		gauge("disk_free_bytes", "Free space of the data disk.", disk(func(free, _ uint64) uint64 { return free })),
		gauge("disk_size_bytes", "Size of the data disk.", disk(func(_, total uint64) uint64 { return total })),
		gauge("log_end_lsn", "LSN of the next record.", func() float64 {
			if s.wal == nil {
				return 0
			}
			return float64(s.wal.end.Load())
		}))
	return m
}

// step is a stretch of an object's way into the log.
type step int

// In the order in which they are gone.
const (
	stepReceive step = iota // waiting for room and for the body's bytes, and copying them; of large ones, also writing extents
	stepHash                // CRC-32C, and what else the gateway takes of the bytes
	stepParse               // reading the DICOM header
	stepEncode              // making the record
	stepQueue               // until the sequencer takes it, while it is busy with others
	stepDecide              // preconditions, identity, LSN, room on the disk
	stepAppend              // the write to the log
	stepSync                // fdatasync
	stepCatalog             // waiting for the mirror, if there is one, and making it visible

	stepCount = iota
)

var stepNames = [stepCount]string{"receive", "hash", "parse", "encode", "queue", "decide", "append", "fdatasync", "catalog"}

func (m *metrics) step(s step, d time.Duration) { m.steps[s].Add(d.Seconds()) }

// way notes the steps of the objects in a batch that is visible now.
func (m *metrics) way(b *batch) {
	now := time.Now()
	for _, o := range b.ops {
		if o.begun.IsZero() || o.result != nil {
			continue
		}
		m.step(stepQueue, b.taken.Sub(o.begun))
		m.step(stepDecide, b.started.Sub(b.taken))
		m.step(stepAppend, b.written.Sub(b.started))
		m.step(stepSync, b.synced.Sub(b.written))
		m.step(stepCatalog, now.Sub(b.synced))
	}
}

func (m *metrics) batch(records int, bytes int64, d time.Duration) {
	m.batches.Inc()
	m.records.Add(float64(records))
	m.bytes.Add(float64(bytes))
	m.commit.Observe(d.Seconds())
	m.recent.add(d)
}

func (m *metrics) stored() { m.objects.Inc() }

// place is where damage was met. A viewer asks for the same again and again.
type place struct {
	lsn    LSN
	offset int64
}

// maxPlaces bounds the places that are told apart. Who has as many doesn't count them.
const maxPlaces = 10_000

func (m *metrics) corrupt(p place) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.places[p]; !known && len(m.places) < maxPlaces {
		m.places[p] = struct{}{}
		m.damage.Inc()
	}
}

// damageFound is what damage counts, to be read back.
func (m *metrics) damageFound() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int64(len(m.places))
}
