package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"gantry/internal/vfs"
	"gantry/store/segment"
)

// siteFile holds what must survive outside log and catalog. It is replaced as a whole.
const siteFile = "site.json"

// site is what this site knows of itself: which log it holds, and the epoch it writes in.
type site struct {
	logID string
	epoch atomic.Uint64
	// commit is the commit point last saved. The log's own is that of the last batch, which is older by all that was in flight then.
	commit atomic.Uint64
	mu     sync.Mutex // guards the file
}

type siteJSON struct {
	Format  int       `json:"format"`
	LogID   string    `json:"log_id"`
	Epoch   uint64    `json:"epoch"`
	Commit  string    `json:"commit_lsn,omitempty"` // everything below was acknowledged
	Lineage []lineage `json:"lineage"`              // the last epochs, oldest first
}

// commit is the commit point, 0 in a file of before it was kept.
func (j *siteJSON) commit() (uint64, error) {
	if j.Commit == "" {
		return 0, nil
	}
	return strconv.ParseUint(j.Commit, 16, 64)
}

type lineage struct {
	Epoch uint64 `json:"epoch"`
	First string `json:"first_lsn"`
}

// maxLineage bounds the epochs kept in the site file; the log has all of them.
const maxLineage = 1000

func (s *Store) epoch() uint64 { return s.site.epoch.Load() }

func (s *Store) sitePath() string { return filepath.Join(s.cfg.Dir, siteFile) }

func (s *Store) loadSite() (siteJSON, error) {
	var j siteJSON
	b, err := vfs.ReadFile(s.cfg.FS, s.sitePath(), 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil
	}
	if err != nil {
		return j, fmt.Errorf("read site file: %w", err)
	}
	if err := json.Unmarshal(b, &j); err != nil {
		return j, fmt.Errorf("site file %s is damaged (restore it, or remove it to have it made anew from the log): %w", s.sitePath(), err)
	}
	if j.Format != 1 {
		return j, fmt.Errorf("site file has format %d, this gantry knows 1", j.Format)
	}
	return j, nil
}

func (s *Store) saveEpoch(epoch uint64) error {
	err := s.saveSite(func(j *siteJSON, end LSN) {
		j.Epoch = epoch
		j.Lineage = append(j.Lineage, lineage{Epoch: epoch, First: end.String()})
		if n := len(j.Lineage) - maxLineage; n > 0 {
			j.Lineage = j.Lineage[n:]
		}
	})
	if err == nil {
		s.site.epoch.Store(epoch)
	}
	return err
}

// saveCommitPoint makes it known to the next start that all of the log until now was acknowledged, so that what is damaged there is not
// taken for a torn tail.
func (s *Store) saveCommitPoint() error {
	if s.site.commit.Load() == s.wal.end.Load() {
		return nil
	}
	return s.saveSite(func(*siteJSON, LSN) {})
}

func (s *Store) saveSite(change func(j *siteJSON, end LSN)) error {
	s.site.mu.Lock()
	defer s.site.mu.Unlock()
	j, err := s.loadSite()
	if err != nil {
		return err
	}
	end := LSN(s.wal.end.Load())
	change(&j, end)
	j.Format, j.LogID, j.Commit = 1, s.site.logID, end.String()
	b, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return fmt.Errorf("encode site file: %w", err)
	}
	if err := vfs.WriteFile(s.cfg.FS, s.sitePath(), append(b, '\n')); err != nil {
		return fmt.Errorf("write site file: %w", err)
	}
	s.site.commit.Store(uint64(end))
	return nil
}

func newLogID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// birth is the first record of a log: it names it.
type birth struct {
	LogID string `json:"log_id"`
}

func (s *Store) writeBirth(ctx context.Context) error {
	b, err := json.Marshal(birth{LogID: s.site.logID})
	if err != nil {
		return err
	}
	h := &segment.Header{Type: segment.TypeControl, Name: segment.ControlName(segment.TypeControl, "log")}
	h.Fields.Settings = b
	return s.submitRecord(ctx, h, nil, true)
}

// logIDFromLog reads the id from the log's first record, for a site file that was lost.
func (s *Store) logIDFromLog() (string, error) {
	h, err := s.wal.readHeader(0)
	if err != nil {
		return "", fmt.Errorf("site file is missing, and the log's first record cannot tell its id: %w", err)
	}
	var b birth
	if err := json.Unmarshal(h.Fields.Settings, &b); err != nil || b.LogID == "" {
		return "", fmt.Errorf("site file is missing, and the log's first record has no id: %w", ErrCorrupt)
	}
	return b.LogID, nil
}
