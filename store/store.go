package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gantry/internal/budget"
	"gantry/internal/vfs"
	"gantry/store/catalog"
)

// Config of a store. Zero values mean the defaults given.
type Config struct {
	Dir     string  // where everything is; made if missing
	FS      vfs.FS  // default: the operating system's
	Indexer Indexer // default: nothing is DICOM

	SegmentBytes int64         // size at which a segment is sealed (512 MiB)
	BodyBytes    int64         // memory for bodies being received (128 MiB); at least MaxRecord
	CacheBytes   int64         // memory for blocks that are read again and again; 0: none
	OverlayBytes int64         // memory for what the catalog has not written yet (64 MiB)
	MinFreeBytes int64         // below that much free space, only deletes go on (5% of the disk, at most 10 GiB)
	UploadExpiry time.Duration // age at which an upload is aborted (7 days)

	Mirror     Mirror // nil: a single site
	Clock      func() time.Time
	Logger     *slog.Logger          // nil discards
	Registerer prometheus.Registerer // nil: no metrics
	Progress   func(Progress)        // told while the log is replayed; may be nil

	// OpenCatalog replaces the bbolt file, for crash tests on an in-memory file system. Both or none are set.
	OpenCatalog   func(catalog.Options) (*catalog.Catalog, error)
	RemoveCatalog func() error
}

// Progress of a long task.
type Progress struct {
	Records     int64
	Bytes       int64 // of the log, done
	TotalBytes  int64
	DamageFound int
}

func (c *Config) setDefaults() error {
	if c.Dir == "" {
		return errors.New("store: Dir is empty")
	}
	if c.FS == nil {
		c.FS = vfs.OS{}
	}
	if c.Indexer == nil {
		c.Indexer = func(context.Context, io.ReaderAt, int64) (*Instance, error) { return nil, ErrNotDICOM }
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	setDefault(&c.SegmentBytes, 512<<20)
	setDefault(&c.BodyBytes, 128<<20)
	setDefault(&c.OverlayBytes, 64<<20)
	setDefault(&c.UploadExpiry, 7*24*time.Hour)
	if c.BodyBytes < MaxRecord {
		return fmt.Errorf("store: BodyBytes is below %d", int64(MaxRecord))
	}
	path := filepath.Join(c.Dir, "catalog.db")
	if c.OpenCatalog == nil {
		c.OpenCatalog = func(o catalog.Options) (*catalog.Catalog, error) { return catalog.Open(path, o) }
		c.RemoveCatalog = func() error { return catalog.Remove(path) }
	}
	return nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Store is one site's objects. It is safe for concurrent use.
type Store struct {
	cfg     Config
	lock    io.Closer
	site    site
	wal     *wal
	catalog *catalog.Catalog
	budget  *budget.Budget // for bodies
	cache   *blockCache
	metrics *metrics

	queue   chan *op
	stop    chan struct{} // closed by Close
	stopped chan struct{} // closed by the settler, after the sequencer has ended and all comparing
	workers sync.WaitGroup

	comparing sync.WaitGroup // operations set aside
	comparers chan struct{}  // as many as are compared now
	cancel    context.CancelFunc
	once      sync.Once
	closing   sync.Once
	closed    error // result of Close

	tombstones *budget.Budget // for those of deletions of many instances

	lastTime atomic.Int64 // commit time of the newest record, ns

	pins pins

	streamMu    sync.Mutex // guards the next two
	lastStream  uint64
	openStreams int

	flight *flight
	space  freeSpace

	damage      []Damage    // found by recovery
	brokenState sharedError // wal.broken, for those who are not the sequencer
}

// Open opens the store in cfg.Dir, or makes a new one. It replays what the catalog does not know yet, cuts a torn tail
// off the log, and starts a new epoch. Damage does not keep it from opening: see Damage. Errors: vfs.ErrLocked.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	if err := cfg.FS.MkdirAll(cfg.Dir); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	lock, err := cfg.FS.Lock(filepath.Join(cfg.Dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	s := &Store{
		cfg: cfg, lock: lock, budget: budget.New(cfg.BodyBytes), queue: make(chan *op, queueLength),
		stop: make(chan struct{}), stopped: make(chan struct{}), flight: newFlight(), comparers: make(chan struct{}, maxComparing),
		tombstones: budget.New(maxTombstones),
	}
	s.metrics = newMetrics(cfg.Registerer, s)
	if s.cache, err = newBlockCache(cfg.CacheBytes); err != nil {
		return nil, errors.Join(fmt.Errorf("memory for the cache: %w", err), s.closeFiles())
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.closeFiles())
	}
	return s, nil
}

func (s *Store) start(ctx context.Context) error {
	if err := s.recover(ctx); err != nil {
		return err
	}
	go s.sequence()
	go s.settle()
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	if err := s.begin(ctx); err != nil {
		s.halt()
		return err
	}
	s.workers.Go(func() { s.wal.enlarge(background) })
	s.workers.Add(1)
	go s.maintain(background)
	return nil
}

// begin writes the first record of a new log, and forgets what the last run left half done.
func (s *Store) begin(ctx context.Context) error {
	if s.wal.end.Load() == 0 {
		if err := s.writeBirth(ctx); err != nil {
			return err
		}
	}
	return s.orphanStreams(ctx)
}

const (
	// maintenance is how often garbage and old uploads are looked for.
	maintenance = time.Minute
	// resting is how long nothing was written before the commit point is saved.
	resting = 5 * time.Second
)

// maintain does what nobody waits for.
func (s *Store) maintain(ctx context.Context) {
	defer s.workers.Done()
	t, rest := time.NewTicker(maintenance), time.NewTicker(resting)
	defer t.Stop()
	defer rest.Stop()
	warn := func(err error) {
		if err != nil && ctx.Err() == nil && !errors.Is(err, ErrFull) {
			s.cfg.Logger.Warn("maintenance", "error", err)
		}
	}
	warn(s.tidy(ctx))
	end := s.End()
	for {
		select {
		case <-t.C:
			warn(s.tidy(ctx))
		case <-rest.C:
			before := end
			if end = s.End(); end == before {
				warn(s.saveCommitPoint())
			}
		case <-ctx.Done():
			return
		}
	}
}

func (s *Store) tidy(ctx context.Context) error {
	if err := s.expireUploads(ctx); err != nil {
		return fmt.Errorf("expire uploads: %w", err)
	}
	for {
		more, err := s.collect(ctx)
		if err != nil {
			return fmt.Errorf("collect garbage: %w", err)
		}
		if !more {
			return nil
		}
	}
}

func (s *Store) expireUploads(ctx context.Context) error {
	buckets, err := s.Buckets(ctx)
	if err != nil {
		return err
	}
	limit := s.cfg.Clock().Add(-s.cfg.UploadExpiry)
	for _, b := range buckets {
		l := ListUploads{Bucket: b.Name, Max: MaxPage}
		for {
			page, err := s.Uploads(ctx, &l)
			if err != nil {
				return err
			}
			for _, u := range page.Uploads {
				if !u.Initiated.Before(limit) {
					continue
				}
				if err := s.Abort(ctx, u.Key, u.ID, Origin{Door: "expiry"}); err != nil && !errors.Is(err, ErrNoUpload) {
					return err
				}
			}
			if !page.Truncated {
				break
			}
			l.AfterKey, l.AfterID = page.NextKey, page.NextID
		}
	}
	return nil
}

// halt stops the sequencer and the workers, and waits for them.
func (s *Store) halt() {
	s.once.Do(func() {
		close(s.stop)
		s.cancel()
	})
	<-s.stopped
	s.workers.Wait()
	for {
		select {
		case o := <-s.queue: // came too late: whoever waits is told that the store is closed
			o.freeHeaders()
		default:
			return
		}
	}
}

// Close finishes the operations that were submitted (those that have to be compared first may end with ErrClosed), writes the
// catalog and releases the files. It may be called twice.
func (s *Store) Close() error {
	s.halt()
	s.closing.Do(func() {
		if s.brokenState.get() == nil {
			if err := s.saveCommitPoint(); err != nil { // the next start knows less, and that is all
				s.cfg.Logger.Warn("commit point not saved", "error", err)
			}
		}
		s.closed = s.closeFiles()
	})
	return s.closed
}

func (s *Store) closeFiles() error {
	var errs []error
	if s.catalog != nil {
		errs = append(errs, s.catalog.Close())
	}
	if s.wal != nil {
		errs = append(errs, s.wal.close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	if s.cache != nil {
		errs = append(errs, s.cache.close())
	}
	return errors.Join(errs...)
}

// Flush makes the catalog durable up to now, so that the next start has nothing to replay.
func (s *Store) Flush(ctx context.Context) error { return closedOr(s.catalog.Flush(ctx)) }

// End is the LSN of the next record: everything below it is durable.
func (s *Store) End() LSN { return LSN(s.wal.end.Load()) }

// freeSpace is what the sequencer last saw of the disk.
type freeSpace struct {
	until time.Time // when to look again
	room  uint64    // bytes to write before that
}

// The disk is looked at again after lookAfter, and at every batch while less than plenty lies between what is free and the reserve.
const (
	lookAfter = 100 * time.Millisecond
	plenty    = 1 << 30
)

// nearlyFull tells whether a batch would take the disk below the reserve that deletes live on. Sequencer only.
func (s *Store) nearlyFull(ops []*op) bool {
	var need uint64
	for _, o := range ops {
		need += uint64(o.size())
	}
	if now := time.Now(); need > s.space.room || !now.Before(s.space.until) {
		s.space = freeSpace{}
		free, total, err := s.cfg.FS.Free(s.cfg.Dir)
		if err != nil {
			return false // Reserve will tell
		}
		reserve := s.reserve(total)
		if free < reserve+need {
			return true
		}
		s.space = freeSpace{until: now.Add(lookAfter), room: free - min(free, reserve+plenty)}
	}
	s.space.room -= min(s.space.room, need)
	return false
}

// reserve is the free space, in bytes, that only deletes may use.
func (s *Store) reserve(total uint64) uint64 {
	if s.cfg.MinFreeBytes > 0 {
		return uint64(s.cfg.MinFreeBytes)
	}
	return min(total/20, 10<<30)
}
