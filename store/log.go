package store

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"gantry/internal/vfs"
	"gantry/store/segment"
)

const segmentSuffix = ".tar"

// wal is the log on disk: segment files in one directory, of which the last one is appended to. Only the sequencer
// appends; anybody reads.
type wal struct {
	fs     vfs.FS
	dir    string
	limit  int64 // size at which a segment is sealed, bytes
	logger *slog.Logger

	end     atomic.Uint64 // everything below it is durable, also at the mirror
	written uint64        // sequencer only: LSN of the next record; what lies between end and here is in flight
	broken  error         // sequencer only: why nothing more is accepted

	mu   sync.RWMutex // guards segs and their fields
	segs []*segmentFile

	files   *fileCache
	pages   *largePages
	sealing sync.WaitGroup
}

// segmentFile is one file of the log.
type segmentFile struct {
	base   LSN
	end    LSN // first LSN past it; meaningful once it is no longer the last
	sealed bool
	handed bool      // to the sealer; sequencer only
	shut   bool      // nothing is appended any more, since a file that begins at its end may be there; sequencer only
	noted  *contents // what its footer will say; nil if it has to be read for that. Sequencer, then sealer
}

func (s *segmentFile) name() string { return s.base.String() + segmentSuffix }

func openWAL(fsys vfs.FS, dir string, limit int64, logger *slog.Logger) (*wal, error) {
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("make log directory: %w", err)
	}
	if err := fsys.SyncDir(dir); err != nil { // a process that was killed may have made a segment and not its name durable
		return nil, fmt.Errorf("sync log directory: %w", err)
	}
	l := &wal{fs: fsys, dir: dir, limit: limit, logger: logger}
	l.files, l.pages = newFileCache(fsys, maxOpenSegments), newLargePages()
	names, err := fsys.List(dir)
	if err != nil {
		return nil, fmt.Errorf("list log directory: %w", err)
	}
	for _, name := range names {
		base, ok := parseSegmentName(name)
		if !ok {
			continue
		}
		l.segs = append(l.segs, &segmentFile{base: base})
	}
	slices.SortFunc(l.segs, func(a, b *segmentFile) int {
		if a.base < b.base {
			return -1
		}
		return 1
	})
	for i := range len(l.segs) - 1 {
		l.segs[i].end = l.segs[i+1].base
	}
	return l, nil
}

func parseSegmentName(name string) (LSN, bool) {
	hex, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(hex) != 16 {
		return 0, false
	}
	v, err := strconv.ParseUint(hex, 16, 64)
	return LSN(v), err == nil
}

func (l *wal) path(s *segmentFile) string { return filepath.Join(l.dir, s.name()) }

// segmentOf finds the segment that holds a record.
func (l *wal) segmentOf(lsn LSN) (*segmentFile, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	i, found := slices.BinarySearchFunc(l.segs, lsn, func(s *segmentFile, lsn LSN) int {
		switch {
		case s.base < lsn:
			return -1
		case s.base > lsn:
			return 1
		}
		return 0
	})
	if !found {
		i--
	}
	if i < 0 {
		return nil, fmt.Errorf("record %s is before the log's first segment: %w", lsn, ErrCorrupt)
	}
	return l.segs[i], nil
}

// endOf is the LSN at which a segment's records end.
func (l *wal) endOf(seg *segmentFile) LSN {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if seg == l.segs[len(l.segs)-1] {
		return LSN(l.end.Load())
	}
	return seg.end
}

// active is the segment that is appended to; nil before the first one. Sequencer only.
func (l *wal) active() *segmentFile {
	if len(l.segs) == 0 {
		return nil
	}
	return l.segs[len(l.segs)-1]
}

// write appends a batch to the active segment. It is durable after the next sync. Sequencer only.
func (l *wal) write(bufs [][]byte, n int64) error {
	seg := l.active()
	f, err := l.files.acquire(l.path(seg))
	if err != nil {
		return fmt.Errorf("open active segment: %w", err)
	}
	defer f.release()
	if _, err := f.WriteV(bufs, int64(LSN(l.written)-seg.base)); err != nil {
		return fmt.Errorf("append to segment: %w", err)
	}
	l.written += uint64(n)
	return nil
}

// sync makes what was written to the active segment durable with one fdatasync. After an error nothing of it counts.
func (l *wal) sync() error {
	f, err := l.files.acquire(l.path(l.active()))
	if err != nil {
		return fmt.Errorf("open active segment: %w", err)
	}
	defer f.release()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync segment: %w", err)
	}
	return nil
}

// advance makes a durable batch part of the log.
func (l *wal) advance(n int64) { l.end.Add(uint64(n)) }

// A record ends at a multiple of blockSize in its segment if it is large, or the last one of a batch whose last operation passes.
// The blocks of today's disks and file systems are that long: so an append seldom rewrites one that holds acknowledged bytes, and
// what is written past the page cache need not be filled up to one. Records that are small, and very many, it would make longer
// than they are worth.
const (
	blockSize   = 4 << 10
	alignAlways = 64 << 10 // bytes of a record that is aligned wherever it is
)

// align widens the header of a record that has its LSN. Sequencer only.
func (l *wal) align(r *record, last bool) error {
	size := r.size()
	if !last && size < alignAlways {
		return nil
	}
	at := r.header.LSN
	if seg := l.active(); seg != nil {
		at -= uint64(seg.base)
	}
	n := int(-(at + uint64(size)) % blockSize)
	if n == 0 {
		return nil
	}
	raw, err := segment.Widen(r.raw, n)
	if errors.Is(err, segment.ErrTooLarge) {
		return nil // the next one will
	}
	if err != nil {
		return fmt.Errorf("align record: %w", err)
	}
	r.raw, r.header.Len = aligned(raw, r.raw), len(raw)
	return nil
}

// needsSegment tells whether a batch of n bytes begins a new segment.
func (l *wal) needsSegment(n int64) bool {
	seg, at := l.active(), LSN(l.written)
	return seg == nil || seg.sealed || seg.shut || at > seg.base && int64(at-seg.base)+n > l.limit
}

// makeRoom gets the active segment ready for a batch of n bytes: it starts a new one where the batch does not fit, and
// reserves the space. A full disk is ErrFull and changes nothing.
func (l *wal) makeRoom(n int64) error {
	if l.broken != nil {
		return l.broken
	}
	if l.needsSegment(n) {
		if err := l.startSegment(LSN(l.written)); err != nil {
			return fullOr(err)
		}
	}
	seg := l.active()
	f, err := l.files.acquire(l.path(seg))
	if err != nil {
		return fmt.Errorf("open active segment: %w", err)
	}
	defer f.release()
	return fullOr(f.Reserve(int64(LSN(l.written)-seg.base), n))
}

// startSegment creates the file for the records from base on and hands the one before it to the sealer.
func (l *wal) startSegment(base LSN) error {
	seg, prev := &segmentFile{base: base, noted: newContents(base)}, l.active()
	if left, err := l.createFile(l.path(seg)); err != nil {
		if prev != nil {
			prev.shut = prev.shut || left
		}
		return fmt.Errorf("create segment: %w", err)
	}
	l.mu.Lock()
	if prev != nil && prev.end != base { // if it is, the sealer may be reading it
		prev.end = base
	}
	l.segs = append(l.segs, seg)
	l.mu.Unlock()
	if prev != nil && !prev.handed { // it was, if a poisoned one after it was set aside
		prev.handed = true
		if !prev.sealed {
			l.sealing.Go(func() { l.seal(prev) })
		}
	}
	return nil
}

// createFile makes a segment's file and its name durable, before anything in it is acknowledged. A file of that name that
// is not among the segments is left from an attempt that failed: nothing in it counts. If it fails itself, left tells that a file may
// be there, or come back: the next start would take it for the end of the segment before it.
func (l *wal) createFile(path string) (left bool, err error) {
	f, err := l.fs.Create(path)
	if vfs.IsNoSpace(err) {
		return false, err
	}
	if errors.Is(err, fs.ErrExist) {
		if err := l.fs.Remove(path); err != nil {
			return true, err
		}
		f, err = l.fs.Create(path)
	}
	if err != nil {
		return true, err
	}
	if err := f.Close(); err != nil {
		return true, err
	}
	return true, l.fs.SyncDir(l.dir)
}

// poison gives up the active segment after a failed write or sync: the kernel may have dropped what it could not write,
// so nothing past the last durable record can be trusted and the sync is never tried again (STYLE 15). The log goes on in a
// new segment, whose first LSN tells readers where the old one's valid bytes end.
func (l *wal) poison(cause error) error {
	end := LSN(l.end.Load())
	l.active().noted = nil // it counts what is lost
	l.logger.Error("segment poisoned", "segment", l.active().name(), "valid_until", end.String(), "error", cause)
	if l.active().base == end {
		if err := l.setAside(l.active()); err != nil {
			return err
		}
	}
	return l.startSegment(end)
}

// setAside renames a poisoned segment that holds no valid record, since its successor needs its name.
func (l *wal) setAside(seg *segmentFile) error {
	l.files.drop(l.path(seg))
	if err := l.fs.Rename(l.path(seg), l.path(seg)+".poisoned"); err != nil {
		return fmt.Errorf("set poisoned segment aside: %w", err)
	}
	l.mu.Lock()
	l.segs = l.segs[:len(l.segs)-1]
	l.mu.Unlock()
	return nil
}

// empty tells whether the log holds no byte.
func (l *wal) empty() (bool, error) {
	for _, seg := range l.segs {
		size, _, err := l.fs.Stat(l.path(seg))
		if err != nil || size > 0 {
			return false, err
		}
	}
	return true, nil
}

// size is how far the log can reach, judging by its files.
func (l *wal) size() int64 {
	seg := l.active()
	if seg == nil {
		return 0
	}
	size, _, err := l.fs.Stat(l.path(seg))
	if err != nil {
		return int64(seg.base)
	}
	return int64(seg.base) + size
}

// recordsEnd is where the records of a segment's file end at most: its footer is none.
func (l *wal) recordsEnd(seg *segmentFile, size int64) (LSN, error) {
	f, err := l.files.acquire(l.path(seg))
	if err != nil {
		return 0, err
	}
	defer f.release()
	if ft, err := segment.ReadFooter(f, size); err == nil {
		size = ft.Offset
	}
	return seg.base + LSN(size), nil
}

// skipTo leaves out LSNs that the log has lost, so that none is given twice.
func (l *wal) skipTo(lsn LSN) {
	l.end.Store(uint64(lsn))
	if seg := l.active(); seg != nil {
		seg.sealed = true
	}
}

// fullOr turns the file system's error for a full disk into ErrFull.
func fullOr(err error) error {
	if err != nil && vfs.IsNoSpace(err) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

func (l *wal) close() error {
	l.sealing.Wait()
	return l.files.close()
}
