package store

import (
	"context"
	"errors"
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

// deleteBatch is how many instances one operation deletes.
const deleteBatch = 500

// DeleteInstances deletes a study; or a series of it, or one instance, where those are named. Objects that an instance's
// duplicates hold go with it. It returns how many objects were deleted: none is ErrNotFound. Errors: ErrNoBucket, ErrRetained.
func (s *Store) DeleteInstances(ctx context.Context, bucket string, id Identity, o Origin) (int, error) {
	b, err := getBucket(s.catalog, bucket)
	if err != nil {
		return 0, err
	}
	deleted := 0
	for {
		keys, err := s.instanceKeys(ctx, b, id)
		if err != nil {
			return deleted, err
		}
		if len(keys) == 0 {
			break
		}
		n := 0
		for chunk := range slices.Chunk(keys, deleteBatch) {
			done, err := s.deleteKeys(ctx, b, chunk, &o)
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

// instanceKeys lists what a deletion takes away, the newest first: so the rows of study and series, which come from the
// oldest instance, need not change until the end.
func (s *Store) instanceKeys(ctx context.Context, b Bucket, id Identity) ([]string, error) {
	if id.SOP != "" {
		at, err := getIndexed(s.catalog, b.ID, id.SOP)
		if err != nil || at == nil || at.study != id.Study || id.Series != "" && at.series != id.Series {
			return nil, err
		}
		return []string{at.key}, nil
	}
	var rows []InstanceRow
	err := s.Instances(ctx, b.Name, id.Study, id.Series, func(r InstanceRow) bool {
		rows = append(rows, r)
		return true
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(rows, func(x, y InstanceRow) int { return compareLSN(y.LSN, x.LSN) })
	keys := make([]string, len(rows))
	for i := range rows {
		keys[i] = rows[i].Key
	}
	return keys, nil
}

// deleteKeys deletes objects in one operation: all of them are gone at once, or none.
func (s *Store) deleteKeys(ctx context.Context, b Bucket, keys []string, o *Origin) (int, error) {
	all := &op{frees: true}
	for _, k := range keys {
		r, err := newRecord(tombstone(b, k, o), nil)
		if err != nil {
			return 0, err
		}
		all.records = append(all.records, r)
	}
	every := all.records
	all.check = func(tx *txn) error {
		if err := checkBucket(tx, b); err != nil {
			return err
		}
		all.records = all.records[:0:0]
		for _, r := range every {
			e, err := tx.entry(b.ID, r.header.Fields.Key)
			if err != nil {
				return err
			}
			if e != nil {
				all.records = append(all.records, r)
			}
		}
		if len(all.records) == 0 {
			return errNothing
		}
		return nil
	}
	err := s.submit(ctx, all)
	if errors.Is(err, errNothing) {
		err = nil
	}
	return len(all.records), err
}
