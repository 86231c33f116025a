package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

var bucketName = []byte("catalog")

const (
	filePerm = 0o600
	// lockWait is how long Open waits for another process to let go of the file.
	lockWait = time.Second
	// fillPercent of pages that are split: most keys are appended near others just written. Study-clustered keys of 50 bytes with
	// values of 200 take 350 bytes each in the file; with 0.5 it is 590.
	fillPercent = 0.9
	// suspectSuffix names the marker beside a file that must not be trusted any more. It outlives the process.
	suspectSuffix = ".suspect"
	// minFileBytes is the size of bbolt's two meta pages.
	minFileBytes = 2 * 4096
)

// mapSizes are the sizes of address space to ask for, best first: it costs nothing, but may be limited. A file can't outgrow its mapping:
// bbolt would map it anew, and wait for every reader with that, the shared view among them.
var mapSizes = [...]int{1 << 40, 1 << 36, 1 << 32}

// boltEngine keeps everything in one bucket of one bbolt file. A damaged or truncated file makes bbolt panic, or the
// processor fault, on any access; guard turns that into ErrCorrupt.
type boltEngine struct {
	db     *bbolt.DB
	path   string
	opened uint64 // the LSN at open
	// pages reads the file beside bbolt.
	pages boltPages
	// current is the view that new readers share, nil once closed.
	current atomic.Pointer[boltView]
	// broken is set once bbolt must not be written to any more, stuck once it must not be called at all, since a
	// panic may have left its locks taken.
	broken atomic.Pointer[error]
	stuck  atomic.Bool
	// suspect is set once the marker was written.
	suspect atomic.Bool

	// scattered are the first bytes of the keys that are kept in runs.
	scattered string
	// runs and merge are the flusher's; readers use what their view has of them.
	runs      *runs
	merge     *merge // nil if none is under way
	mergeRows int    // see minMergeRows
}

// Remove deletes the catalog at path, if there is one. It must not be open.
func Remove(path string) error {
	for _, name := range [...]string{path, path + suspectSuffix} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove catalog: %w", err)
		}
	}
	return syncDir(filepath.Dir(path))
}

func openBolt(path string, stamp []byte, scattered string) (e *boltEngine, err error) {
	if _, err := os.Stat(path + suspectSuffix); err == nil {
		return nil, fmt.Errorf("marked as suspect: %w", ErrCorrupt)
	}
	info, err := os.Stat(path)
	isNew := errors.Is(err, fs.ErrNotExist)
	if err != nil && !isNew {
		return nil, err
	}
	if !isNew && info.Size() < minFileBytes {
		return nil, fmt.Errorf("%d bytes: %w", info.Size(), ErrCorrupt)
	}
	if !isNew {
		if err := checkFile(path); err != nil {
			return nil, err
		}
	}
	e = &boltEngine{path: path, scattered: scattered, mergeRows: minMergeRows}
	defer e.guard(debug.SetPanicOnFault(true), &err)
	if e.db, err = openFile(path); err != nil {
		return nil, openError(err)
	}
	if e.pages.file, err = os.Open(path); err != nil {
		return nil, errors.Join(err, e.db.Close())
	}
	e.pages.pageBytes = e.db.Info().PageSize
	if isNew {
		err = e.create(stamp)
	} else {
		err = e.inspect(stamp)
	}
	if err == nil {
		err = e.openRuns()
	}
	if err == nil {
		err = e.refresh()
	}
	if err != nil {
		return nil, errors.Join(err, e.db.Close(), e.pages.file.Close())
	}
	return e, nil
}

func openFile(path string) (db *bbolt.DB, err error) {
	for _, size := range mapSizes {
		db, err = bbolt.Open(path, filePerm, &bbolt.Options{
			Timeout:         lockWait,
			FreelistType:    bbolt.FreelistMapType,
			InitialMmapSize: size,
			MaxSize:         size,
		})
		if !errors.Is(err, syscall.ENOMEM) {
			break
		}
	}
	return db, err
}

func openError(err error) error {
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return ErrLocked
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}

func (e *boltEngine) create(stamp []byte) error {
	err := e.db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket(bucketName)
		if err != nil {
			return err
		}
		return errors.Join(b.Put(stampKey, stamp), b.Put(lsnKey, encodeLSN(0)), b.Put(runsKey, new(runs).encode(nil)))
	})
	return errors.Join(err, syncDir(filepath.Dir(e.path)))
}

// inspect is the cheap check at open, after checkFile: the file is as long as it says, and the stamp fits.
func (e *boltEngine) inspect(stamp []byte) error {
	return e.db.View(func(tx *bbolt.Tx) error {
		info, err := os.Stat(e.path)
		if err != nil {
			return err
		}
		if info.Size() < tx.Size() {
			return fmt.Errorf("%d of %d bytes: %w", info.Size(), tx.Size(), ErrCorrupt)
		}
		b := tx.Bucket(bucketName)
		if b == nil {
			return fmt.Errorf("no bucket: %w", ErrCorrupt)
		}
		if !bytes.Equal(b.Get(stampKey), stamp) {
			return ErrMismatch
		}
		e.opened, err = decodeLSN(b.Get(lsnKey))
		return err
	})
}

// guard is deferred around every use of bbolt. was is the goroutine's former setting of SetPanicOnFault.
func (e *boltEngine) guard(was bool, err *error) {
	debug.SetPanicOnFault(was)
	if r := recover(); r != nil {
		*err = fmt.Errorf("%w: %v", ErrCorrupt, r)
		e.markSuspect()
	}
}

// corrupt returns ErrCorrupt, and makes the next Open return it.
func (e *boltEngine) corrupt(format string, args ...any) error {
	e.markSuspect()
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// markSuspect makes the next Open return ErrCorrupt. If even that can't be written, the next Open may find out by itself, or not.
func (e *boltEngine) markSuspect() {
	if e.suspect.Swap(true) {
		return
	}
	f, err := os.OpenFile(e.path+suspectSuffix, os.O_CREATE|os.O_WRONLY, filePerm)
	if err != nil {
		return
	}
	_ = f.Sync()
	_ = f.Close()
	_ = syncDir(filepath.Dir(e.path))
}

func (e *boltEngine) lsn() uint64 { return e.opened }

func (e *boltEngine) begin() (engineTx, error) {
	v, err := e.acquire()
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (e *boltEngine) get(key []byte) ([]byte, bool, error) {
	v, err := e.acquire()
	if err != nil {
		return nil, false, err
	}
	defer v.close()
	return v.get(key)
}

func (e *boltEngine) write(changes *table, lsn uint64) (err error) {
	if p := e.broken.Load(); p != nil {
		return *p
	}
	err = e.flush(changes, lsn)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("flush catalog: %w", err)
	if isSyncFailure(err) {
		// The kernel may have dropped pages that a later fdatasync would call safe, and the new meta page may be in
		// the file already.
		e.markSuspect()
		err = fmt.Errorf("%w: %w", ErrBroken, err)
	}
	if errors.Is(err, ErrBroken) || errors.Is(err, ErrCorrupt) {
		e.broken.Store(&err)
	}
	return err
}

// flush writes changes in one transaction.
func (e *boltEngine) flush(changes *table, lsn uint64) (err error) {
	defer func() {
		if errors.Is(err, ErrCorrupt) {
			e.markSuspect()
		}
	}()
	v, err := e.acquire()
	if err != nil {
		return err
	}
	defer v.close()
	p, err := e.plan(v, changes)
	if err != nil {
		return err
	}
	rows := slices.Concat(p.filters, []row{{string(lsnKey), encodeLSN(lsn)}, {string(runsKey), p.runs.encode(p.merge)}}, p.rows)
	changes.Scan(func(k string, value []byte) bool {
		if !e.isScattered(k) {
			rows = append(rows, row{k, value})
		}
		return true
	})
	// The pages that update is going to use, for it trusts them.
	if err = e.pages.checkChanges(uint64(v.tx.ID()), rows); err != nil {
		return err
	}
	if err = e.update(rows); err != nil {
		return err
	}
	e.runs, e.merge = &p.runs, p.merge
	// Before this returns, readers must get what was written, for it leaves the overlay then.
	return e.refresh()
}

// isSyncFailure tells a failed fdatasync from a failed write. Only the former gives a bare errno; when the file grows, bbolt
// keeps just the text.
func isSyncFailure(err error) bool {
	var errno syscall.Errno
	var pathErr *fs.PathError
	if errors.As(err, &errno) && !errors.As(err, &pathErr) {
		return true
	}
	return strings.Contains(err.Error(), "file sync error")
}

func (e *boltEngine) update(rows []row) (err error) {
	defer func() {
		if errors.Is(err, ErrCorrupt) {
			e.stuck.Store(true)
		}
	}()
	defer e.guard(debug.SetPanicOnFault(true), &err)
	return e.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketName)
		if b == nil {
			return ErrCorrupt
		}
		b.FillPercent = fillPercent
		for _, r := range rows {
			var err error
			if r.value == nil {
				err = b.Delete(viewBytes(r.key))
			} else {
				err = b.Put(viewBytes(r.key), r.value)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (e *boltEngine) stats(s *Stats) {
	if info, err := os.Stat(e.path); err == nil {
		s.FileBytes = info.Size()
	}
	st := e.db.Stats()
	s.FreeBytes = int64(st.FreePageN) * int64(e.pages.pageBytes)
	s.PendingBytes = int64(st.PendingPageN) * int64(e.pages.pageBytes)
}

func (e *boltEngine) close() (err error) {
	e.publish(nil)
	_ = e.pages.file.Close() // only read from
	if e.stuck.Load() {
		// A panic may have left bbolt's locks taken: leave the mapping to the end of the process. The file can be
		// removed all the same.
		return nil
	}
	defer e.guard(debug.SetPanicOnFault(true), &err)
	return e.db.Close()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
