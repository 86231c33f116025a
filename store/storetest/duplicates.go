package storetest

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"gantry/store"
)

// testSameInstanceAtOnce stores one instance many times at once, with other preambles: one is stored, and the rest find it.
// Of several contents of one UID one is stored, and every other one refused.
func testSameInstanceAtOnce(h *harness) {
	const b, senders, contents = "archive", 12, 3
	h.bucket(b, store.BucketSettings{DICOM: true})
	for round := range 8 {
		m := image(round, 1, 1)
		results := make([]store.PutResult, senders)
		errs := make([]error, senders)
		var wg sync.WaitGroup
		for i := range senders {
			in := m
			in.Meta, in.Body = fmt.Sprintf("preamble %d", i), fmt.Sprintf("content %d", i%contents)
			wg.Go(func() { results[i], errs[i] = h.stow(b, in) })
		}
		wg.Wait()
		stored := -1
		for i := range senders {
			if errs[i] == nil && results[i].Stored {
				if stored >= 0 {
					h.Errorf("round %d: both %d and %d were stored", round, stored, i)
				}
				stored = i
			}
		}
		if stored < 0 {
			h.Fatalf("round %d: nothing was stored: %v", round, errs)
		}
		for i := range senders {
			if same := i%contents == stored%contents; same && errs[i] != nil || !same && !errors.Is(errs[i], store.ErrDuplicate) {
				h.Errorf("round %d: content %d was stored; content %d: %v", round, stored%contents, i%contents, errs[i])
			}
		}
	}
	if totals, err := h.Totals(h.Context(), b); err != nil || totals.Objects != 8 {
		h.Errorf("totals %+v, %v", totals, err)
	}
}

// testSameLargeInstance compares objects of several records: equal but for the preamble, different in the last byte, shorter.
func testSameLargeInstance(h *harness) {
	const b = "archive"
	h.bucket(b, store.BucketSettings{DICOM: true})
	m := image(1, 1, 1)
	m.Body = strings.Repeat("0123456789abcdef", store.MaxRecord/16+1)
	h.putImage(b, m)
	m.Meta = "another preamble"
	if res, err := h.stow(b, m); err != nil || res.Stored {
		h.Errorf("the same data set: stored %v, %v", res.Stored, err)
	}
	other := m
	other.Body = m.Body[:len(m.Body)-1] + "!"
	for range 6 { // more than fit into the body budget at once: each gives its share back
		_, err := h.stow(b, other)
		h.wants("another last byte", err, store.ErrDuplicate)
	}
	other.Body = m.Body[:len(m.Body)-1]
	_, err := h.stow(b, other)
	h.wants("one byte less", err, store.ErrDuplicate)
}

// testDuplicatesNobodyWaitsFor sends instances again without waiting for the first ones while the last are received: what they hold
// of the body budget must come back by itself.
func testDuplicatesNobodyWaitsFor(h *harness) {
	const b, copies = "archive", 24 // the budget has room for four bodies of unknown length
	h.bucket(b, store.BucketSettings{DICOM: true})
	m := image(1, 1, 1)
	m.Body = strings.Repeat("0123456789abcdef", 1<<16)
	h.putImage(b, m)
	pending := make([]*store.Pending, copies)
	for i := range pending {
		m.Meta = fmt.Sprintf("preamble %d", i)
		var err error
		pending[i], err = h.Begin(h.Context(), &store.Put{
			Key: store.Key{Bucket: b}, Body: strings.NewReader(string(m.Bytes())), Size: -1, Instance: &store.InstancePut{},
		})
		if err != nil {
			h.Fatalf("copy %d: %v", i, err)
		}
	}
	for i, p := range pending {
		if res, err := p.Wait(); err != nil || res.Stored {
			h.Errorf("copy %d: stored %v, %v", i, res.Stored, err)
		}
	}
}
