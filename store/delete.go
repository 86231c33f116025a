package store

import (
	"context"
	"fmt"
	"slices"

	"gantry/store/segment"
)

// Delete deletes the current object under a key and tells what it was. Nothing is read, and a full disk does not keep it
// from happening. Errors: ErrNoBucket, ErrNotFound, ErrPrecondition, ErrRetained.
func (s *Store) Delete(ctx context.Context, d *Delete) (Info, error) {
	b, err := getBucket(s.catalog, d.Bucket)
	if err != nil {
		return Info{}, err
	}
	r, err := newRecord(tombstone(b, d.Name, &d.Origin), nil)
	if err != nil {
		return Info{}, err
	}
	var was Info
	err = s.submit(ctx, &op{records: []*record{r}, frees: true, check: func(tx *txn) error {
		if err := checkBucket(tx, b); err != nil {
			return err
		}
		e, err := tx.entry(b.ID, d.Name)
		if err != nil {
			return err
		}
		if e == nil {
			return ErrNotFound
		}
		was = e.info(d.Key)
		return checkCondition(tx, b.ID, d.Name, &d.If)
	}})
	if err != nil {
		return Info{}, err
	}
	return was, nil
}

func tombstone(b Bucket, key string, o *Origin) *segment.Header {
	return &segment.Header{Type: segment.TypeDelete, Name: segment.ControlName(segment.TypeDelete, b.Name+"/"+key), Fields: originFields(b, key, o)}
}

// deleteBatch is how many instances one operation deletes. Their tombstones take maxTombstones of memory at most, however many
// studies are deleted at a time.
const (
	deleteBatch   = 500
	maxTombstones = 4 * deleteBatch * headerRoom
)

// DeleteInstances deletes a study; or a series of it, or one instance, where those are named. Duplicates that take the place
// of what was deleted, in the same study or series, go with it; those that lie in another stay. It returns how many objects
// were deleted: none is ErrNotFound. Errors: ErrNoBucket, ErrRetained, ErrBusy.
func (s *Store) DeleteInstances(ctx context.Context, bucket string, id Identity, o Origin) (int, error) {
	b, err := getBucket(s.catalog, bucket)
	if err != nil {
		return 0, err
	}
	deleted := 0
	for {
		rows, err := s.instanceRows(ctx, b, id)
		if err != nil {
			return deleted, err
		}
		n := 0
		for chunk := range slices.Chunk(rows, deleteBatch) {
			done, err := s.deleteRows(ctx, b, chunk, &o)
			n += done
			if err != nil {
				return deleted + n, err
			}
		}
		if deleted += n; n == 0 {
			break
		}
	}
	if deleted == 0 {
		return 0, ErrNotFound
	}
	return deleted, nil
}

// instanceRows lists what a deletion takes away, the newest first: so the rows of study and series, which come from the
// oldest instance, need not change until the end.
func (s *Store) instanceRows(ctx context.Context, b Bucket, id Identity) ([]InstanceRow, error) {
	if id.SOP != "" {
		at, err := getIndexed(s.catalog, b.ID, id.SOP)
		if err != nil || at == nil || at.study != id.Study || id.Series != "" && at.series != id.Series {
			return nil, err
		}
		return []InstanceRow{{Key: at.key, LSN: at.lsn}}, nil
	}
	var rows []InstanceRow
	err := s.Instances(ctx, b.Name, id.Study, id.Series, func(r InstanceRow) bool {
		rows = append(rows, InstanceRow{Key: r.Key, LSN: r.LSN})
		return true
	})
	slices.SortFunc(rows, func(x, y InstanceRow) int { return compareLSN(y.LSN, x.LSN) })
	return rows, err
}

// deleteRows deletes objects in one operation: all of them are gone at once, or none. What was stored under their keys
// since they were listed stays.
func (s *Store) deleteRows(ctx context.Context, b Bucket, rows []InstanceRow, o *Origin) (int, error) {
	claim, err := s.tombstones.Acquire(ctx, int64(len(rows))*headerRoom)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrBusy, err)
	}
	defer claim.Release()
	all := &op{frees: true}
	for i := range rows {
		r, err := newRecord(tombstone(b, rows[i].Key, o), nil)
		if err != nil {
			all.freeHeaders()
			return 0, err
		}
		all.records = append(all.records, r)
	}
	every := all.records
	all.check = func(tx *txn) error {
		if err := checkBucket(tx, b); err != nil {
			return err
		}
		var kept, dropped []*record
		for i, r := range every {
			e, err := tx.entry(b.ID, rows[i].Key)
			if err != nil {
				return err
			}
			if e != nil && e.LSN == rows[i].LSN {
				kept = append(kept, r)
			} else {
				dropped = append(dropped, r)
			}
		}
		all.records, all.dropped = kept, dropped
		if len(all.records) == 0 {
			return errNothing
		}
		return nil
	}
	if err := s.submit(ctx, all); err != nil {
		return 0, err
	}
	return len(all.records), nil
}
