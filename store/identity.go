package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"gantry/internal/budget"
	"gantry/store/segment"
)

// errUndecided tells that an instance shares its SOP Instance UID with others that it must be compared with first. The
// sequencer can't wait for that: what is stored has to be read. So the operation is compared aside, and queued again.
var errUndecided = errors.New("to be compared with what is stored")

// maxComparing is how many instances are compared at a time: more would only take the disk from each other.
const maxComparing = 4

// setAside compares an undecided operation and queues it again. It needs nobody to wait for the operation: its memory is needed
// by those that come after it.
func (s *Store) setAside(o *op) {
	s.comparing.Add(1)
	go func() {
		defer s.comparing.Done()
		s.comparers <- struct{}{}
		err := o.compare()
		<-s.comparers
		o.begun = time.Now()
		if err == nil {
			err = s.enqueue(context.Background(), o)
		}
		if err != nil {
			o.free()
			o.done <- err
		}
	}()
}

// checkIdentity applies the bucket's rule for duplicates. An object that was put by key is stored in any case.
func (d *draft) checkIdentity(tx *txn) error {
	held, err := tx.holders(d.bucket.ID, d.instance.SOP)
	if err != nil {
		return err
	}
	if d.put.Instance != nil {
		if err := d.nameInstance(tx, held); err != nil {
			return err
		}
	}
	key := d.object.header.Fields.Key
	d.duplicate = slices.ContainsFunc(held, func(e sopEntry) bool { return e.key != key })
	return nil
}

// nameInstance finds the key for an object that is stored by its identity, while others hold its SOP Instance UID.
func (d *draft) nameInstance(tx *txn, held []sopEntry) error {
	if len(held) == 0 {
		name := d.instance.objectName()
		e, err := tx.entry(d.bucket.ID, name)
		if err != nil || e == nil {
			return firstError(err, d.rename(name))
		}
		return d.rename(d.besides(tx)) // something else was put under that key: it must not vanish
	}
	for _, at := range held {
		e, err := tx.entry(d.bucket.ID, at.key)
		if err != nil || e == nil || e.Instance == nil {
			return firstError(err, fmt.Errorf("instance %s has no entry: %w", at.lsn, ErrCorrupt))
		}
		if e.Instance.TransferSyntax != d.instance.TransferSyntax || d.differs(e) {
			continue
		}
		same, known := d.compared[at.lsn]
		switch {
		case !known:
			d.undecided = append(d.undecided, at)
		case same:
			info := e.info(Key{Bucket: d.bucket.Name, Name: at.key})
			d.same = &info
			return errNothing
		}
	}
	if len(d.undecided) > 0 {
		return errUndecided
	}
	switch d.bucket.Settings.Duplicates {
	case Replace:
		return d.rename(held[0].key)
	case Keep:
		return d.rename(d.besides(tx))
	}
	return ErrDuplicate
}

// differs tells whether a stored object can't hold the same data set, judging by what the catalog knows: its length and, where
// the data sets begin at the same place, the checksums of the blocks behind the first, which holds preamble and group 2.
func (d *draft) differs(e *entry) bool {
	in := e.Instance
	if in.DataSet == 0 { // its record is older than this field
		return false
	}
	if e.Size-in.DataSet != d.upload.size-d.instance.DataSet {
		return true
	}
	if e.Large || d.upload.stream != nil || in.DataSet != d.instance.DataSet {
		return false
	}
	was, is := e.CRCs, d.upload.body.crcs
	return len(was) == len(is) && len(is) > 1 && !slices.Equal(was[1:], is[1:])
}

// besides is a key that no object has, next to the one that the identity gives.
func (d *draft) besides(tx *txn) string {
	return fmt.Sprintf("%s.%016x%s", strings.TrimSuffix(d.instance.objectName(), objectExt), tx.next, objectExt)
}

// rename encodes the record anew under another key.
func (d *draft) rename(key string) error {
	h := *d.object.header
	if h.Fields.Key == key {
		return nil
	}
	h.Fields.Key, h.Name = key, segment.MemberName(d.bucket.Name, key)
	r, err := newRecord(&h, d.upload.body)
	if err != nil {
		return err
	}
	budget.PutBuf(d.object.raw)
	*d.object = *r
	return nil
}

// compare finds out which of the objects that check asked for hold the data set that d brings. One that can't be read is another
// one, where that does not mean that d is refused: so sending an instance again can take the place of a damaged copy.
func (s *Store) compare(d *draft) error {
	if d.compared == nil {
		d.compared = make(map[LSN]bool)
	}
	for _, at := range d.undecided {
		same, err := s.sameDataSet(d, at)
		if rule := d.bucket.Settings.Duplicates; errors.Is(err, ErrCorrupt) && (rule == Replace || rule == Keep) {
			same, err = false, nil
		}
		if err != nil {
			return fmt.Errorf("compare with instance %s: %w", at.lsn, err)
		}
		d.compared[at.lsn] = same
	}
	return nil
}

// sameDataSet compares byte by byte what follows group 2. An object that was replaced or deleted meanwhile is another one:
// check will see.
func (s *Store) sameDataSet(d *draft, at sopEntry) (bool, error) {
	o, err := s.Get(context.Background(), Key{Bucket: d.bucket.Name, Name: at.key})
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrNoBucket) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer o.Close()
	if o.LSN != at.lsn {
		return false, nil
	}
	start, n := o.Instance.DataSet, d.upload.size-d.instance.DataSet
	if start == 0 { // its record is older than this field
		in, err := s.cfg.Indexer(context.Background(), o, o.Size)
		if err != nil {
			return false, err
		}
		start = in.DataSet
	}
	if o.Size-start != n {
		return false, nil
	}
	stored, sent := o.Range(start, n), d.upload.from(d.instance.DataSet)
	defer stored.Close()
	defer sent.Close()
	_, err = io.Copy(&comparer{with: sent}, stored)
	if errors.Is(err, errDiffers) {
		return false, nil
	}
	return err == nil, err
}

// from reads what was received from an offset on.
func (u *received) from(off int64) io.ReadCloser {
	if o, ok := u.readerAt().(*Object); ok {
		return o.Range(off, o.Size-off)
	}
	return io.NopCloser(io.NewSectionReader(u.body, off, u.size-off))
}

var errDiffers = errors.New("bytes differ")

// comparer is written to: errDiffers unless it gets the bytes that come from with.
type comparer struct {
	with io.Reader
	buf  [32 << 10]byte
}

func (c *comparer) Write(p []byte) (n int, err error) {
	for n < len(p) {
		b := c.buf[:min(len(c.buf), len(p)-n)]
		if _, err := io.ReadFull(c.with, b); err != nil {
			return n, err
		}
		if !bytes.Equal(b, p[n:n+len(b)]) {
			return n, errDiffers
		}
		n += len(b)
	}
	return n, nil
}
