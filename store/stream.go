package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"gantry/store/catalog"
	"gantry/store/segment"
)

// stream is a row of extents that will become a large object or a part. Until a record names it, it is invisible, and
// dead if its writer goes away.
type stream struct {
	store *Store
	id    uint64
	next  int      // index of the next extent
	size  int64    // bytes written
	crcs  []uint32 // one per extent, over the checksums of its blocks: what an ETag can be made of
	owned bool     // a committed record names it
}

// maxOpenStreams keeps stream ids unique: see newStream.
const maxOpenStreams = 512

// newStream names a stream by an LSN: the log's end, or the next number if that was given out already. Every extent takes
// more than maxOpenStreams bytes of log, so an id given out before a restart lies below the log's end after it if any of
// its extents is there.
func (s *Store) newStream() (*stream, error) {
	s.streamMu.Lock()
	defer s.streamMu.Unlock()
	if s.openStreams == 0 {
		s.lastStream = 0 // an id at the log's end or past it has no extent: nothing came of its stream
	}
	end := s.wal.end.Load()
	id := max(end, s.lastStream+1)
	if id-end > maxOpenStreams {
		return nil, fmt.Errorf("%w: more than %d large bodies", ErrBusy, maxOpenStreams)
	}
	s.lastStream = id
	s.openStreams++
	return &stream{store: s, id: id}, nil
}

// write commits one extent, and frees it. With drop set it only frees.
func (st *stream) write(ctx context.Context, ext *body, drop bool) error {
	defer ext.free()
	if drop {
		return nil
	}
	r, err := st.record(ext)
	if err != nil {
		return err
	}
	return st.store.submit(ctx, &op{records: []*record{r}})
}

func (st *stream) record(ext *body) (*record, error) {
	h := &segment.Header{Type: segment.TypeExtent, Name: segment.ExtentName(st.id, st.next)}
	h.Fields.Stream, h.Fields.Index = st.id, st.next
	r, err := newRecord(h, ext)
	if err != nil {
		return nil, err
	}
	st.next++
	st.size += ext.size
	st.crcs = append(st.crcs, ext.crcs...)
	return r, nil
}

// abandon gives extents without an owner to the collector. Should it fail, the next start does it.
func (st *stream) abandon() {
	if st == nil || st.owned || st.next == 0 {
		return
	}
	_ = st.store.submit(context.Background(), &op{apply: func(tx *txn) error {
		_, open, err := tx.Get(openKey(st.id))
		if open {
			tx.Delete(openKey(st.id))
			tx.Put(garbageKey(garbageStream, st.id), nil)
		}
		return err
	}})
}

// close ends the use of a stream's id. It must be called once.
func (st *stream) close() {
	if st == nil {
		return
	}
	st.store.streamMu.Lock()
	st.store.openStreams--
	st.store.streamMu.Unlock()
}

// collectBatch bounds the extents forgotten in one step, so that writers wait little.
const collectBatch = 2000

// collect removes what garbage keys name from the catalog, a step at a time. The records stay in their segments, dead. It
// returns false when there is nothing left.
func (s *Store) collect(ctx context.Context) (more bool, err error) {
	key, streams, err := s.nextGarbage()
	if err != nil || key == nil {
		return false, err
	}
	return true, s.submit(ctx, &op{apply: func(tx *txn) error {
		if s.inUse(key, streams) { // opened before it was deleted, and pinned only now
			return nil
		}
		return tx.forgetStreams(key, streams)
	}})
}

// nextGarbage finds a garbage key whose streams nobody reads; nil if there is none.
func (s *Store) nextGarbage() (key []byte, streams []uint64, err error) {
	end := catalog.PrefixEnd(space(spaceGarbage))
	for from := space(spaceGarbage); ; from = catalog.After(key) {
		var value []byte
		key = nil
		err = catalog.Scan(s.catalog, from, end, func(k, v []byte) bool {
			key, value = k, v
			return false
		})
		if err != nil || key == nil {
			return nil, nil, err
		}
		if s.inUse(key, nil) {
			continue
		}
		if streams, err = s.garbageStreams(key, value); err != nil {
			return nil, nil, err
		}
		if !s.inUse(key, streams) {
			return key, streams, nil
		}
	}
}

// inUse tells whether somebody reads what a garbage key names or its streams, or something of the same number: then it only has to wait.
func (s *Store) inUse(garbage []byte, streams []uint64) bool {
	return s.pins.held(LSN(tailUint64(garbage))) || slices.ContainsFunc(streams, func(id uint64) bool { return s.pins.held(LSN(id)) })
}

// garbageStreams are those that a garbage key names: one itself, or those of a large object.
func (s *Store) garbageStreams(key, value []byte) ([]uint64, error) {
	if key[1] != garbageObject {
		return []uint64{tailUint64(key)}, nil
	}
	streams, err := s.streamsOf(value)
	if errors.Is(err, ErrCorrupt) {
		return nil, nil // which extents they were is lost; they stay in the catalog
	}
	return streams, err
}

func (s *Store) streamsOf(value []byte) ([]uint64, error) {
	d := decoder{b: value}
	loc := d.location()
	if d.err != nil {
		return nil, d.err
	}
	m, err := s.readManifest(loc)
	if err != nil {
		return nil, err
	}
	ids := make([]uint64, len(m))
	for i := range m {
		ids[i] = m[i].Stream
	}
	return ids, nil
}

// forgetStreams removes up to collectBatch extents, and the garbage key with the last of them.
func (tx *txn) forgetStreams(garbage []byte, streams []uint64) error {
	left := collectBatch
	for _, id := range streams {
		prefix := extentPrefix(id)
		var keys [][]byte
		err := catalog.Scan(tx, prefix, catalog.PrefixEnd(prefix), func(k, _ []byte) bool {
			if left--; left < 0 {
				return false
			}
			keys = append(keys, k)
			return true
		})
		if err != nil {
			return err
		}
		for _, k := range keys {
			tx.Delete(k)
		}
		if left < 0 {
			return nil
		}
	}
	tx.Delete(garbage)
	return nil
}

// orphanStreams gives the extents whose writers ended with the last run to the collector.
func (s *Store) orphanStreams(ctx context.Context) error {
	prefix := space(spaceOpen)
	var ids []uint64
	err := catalog.Scan(s.catalog, prefix, catalog.PrefixEnd(prefix), func(k, _ []byte) bool {
		ids = append(ids, tailUint64(k))
		return true
	})
	if err != nil || len(ids) == 0 {
		return err
	}
	return s.submit(ctx, &op{apply: func(tx *txn) error {
		for _, id := range ids {
			tx.Delete(openKey(id))
			tx.Put(garbageKey(garbageStream, id), nil)
		}
		return nil
	}})
}
