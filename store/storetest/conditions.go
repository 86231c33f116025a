package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"gantry/store"
)

const writers = 50

// testOneWinner lets many writers and deleters want the same thing at once: exactly one gets it.
func testOneWinner(h *harness) {
	h.plain()
	for round := range 4 {
		k := key(fmt.Sprint(round))
		var won, refused atomic.Int64
		var etag atomic.Value
		count := func(err error, loss error) {
			switch {
			case err == nil:
				won.Add(1)
			case errors.Is(err, loss):
				refused.Add(1)
			default:
				h.Errorf("unexpected: %v", err)
			}
		}
		check := func(what string) {
			h.Helper()
			if won.Load() != 1 || refused.Load() != writers-1 {
				h.Errorf("%s: %d won, %d were refused", what, won.Load(), refused.Load())
			}
			won.Store(0)
			refused.Store(0)
		}
		together(writers, func(i int) {
			res, err := h.Put(h.Context(), &store.Put{Key: k, Body: strings.NewReader(fmt.Sprint(i)), Size: -1, If: store.Condition{IfNoneMatch: "*"}})
			if err == nil {
				etag.Store(res.ETag)
			}
			count(err, store.ErrPrecondition)
		})
		check("create")
		together(writers, func(i int) {
			_, err := h.Put(h.Context(), &store.Put{Key: k, Body: strings.NewReader(fmt.Sprint("second", i)), Size: -1, If: store.Condition{IfMatch: etag.Load().(string)}})
			count(err, store.ErrPrecondition)
		})
		check("replace")
		together(writers, func(int) {
			_, err := h.Delete(h.Context(), &store.Delete{Key: k})
			count(err, store.ErrNotFound)
		})
		check("delete")
	}
}

// testCompareAndSwap counts with many writers: no increment gets lost, none happens twice.
func testCompareAndSwap(h *harness) {
	h.plain()
	h.put(key("n"), []byte("0"))
	const each = 4
	together(writers/2, func(int) {
		for range each {
			for h.increment() != nil {
				if h.Failed() {
					return
				}
			}
		}
	})
	h.holds(key("n"), []byte(strconv.Itoa(writers/2*each)))
}

func (h *harness) increment() error {
	o, err := h.Get(h.Context(), key("n"))
	if err != nil {
		h.Errorf("get: %v", err)
		return err
	}
	defer o.Close()
	b := make([]byte, o.Size)
	if _, err := o.ReadAt(b, 0); err != nil {
		h.Errorf("read: %v", err)
		return err
	}
	n, err := strconv.Atoi(string(b))
	if err != nil {
		h.Errorf("value: %v", err)
	}
	_, err = h.Put(h.Context(), &store.Put{Key: key("n"), Body: strings.NewReader(strconv.Itoa(n + 1)), Size: -1, If: store.Condition{IfMatch: o.ETag}})
	if err != nil && !errors.Is(err, store.ErrPrecondition) {
		h.Errorf("put: %v", err)
	}
	return err
}

func testConditions(h *harness) {
	h.plain()
	res := h.put(key("k"), []byte("data"))
	size, wrong := int64(4), int64(5)
	for _, c := range []struct {
		name     string
		k        store.Key
		cond     store.Condition
		put, del error
	}{
		{"match", key("k"), store.Condition{IfMatch: res.ETag}, nil, nil},
		{"match any", key("k"), store.Condition{IfMatch: "*"}, nil, nil},
		{"match another", key("k"), store.Condition{IfMatch: "x"}, store.ErrPrecondition, store.ErrPrecondition},
		{"match missing", key("none"), store.Condition{IfMatch: res.ETag}, store.ErrNotFound, store.ErrNotFound},
		{"match any missing", key("none"), store.Condition{IfMatch: "*"}, store.ErrNotFound, store.ErrNotFound},
		{"none match", key("k"), store.Condition{IfNoneMatch: res.ETag}, store.ErrPrecondition, store.ErrPrecondition},
		{"none match any", key("k"), store.Condition{IfNoneMatch: "*"}, store.ErrPrecondition, store.ErrPrecondition},
		{"none match another", key("k"), store.Condition{IfNoneMatch: "x"}, nil, nil},
		{"none match missing", key("none"), store.Condition{IfNoneMatch: "*"}, nil, store.ErrNotFound},
		{"both, one wrong", key("k"), store.Condition{IfMatch: res.ETag, IfNoneMatch: "*"}, store.ErrPrecondition, store.ErrPrecondition},
		{"time", key("k"), store.Condition{IfModified: res.Modified.Truncate(time.Second)}, nil, nil},
		{"another time", key("k"), store.Condition{IfModified: res.Modified.Add(time.Second)}, store.ErrPrecondition, store.ErrPrecondition},
		{"size", key("k"), store.Condition{IfSize: &size}, nil, nil},
		{"another size", key("k"), store.Condition{IfSize: &wrong}, store.ErrPrecondition, store.ErrPrecondition},
	} {
		for _, del := range []bool{false, true} {
			err, want := error(nil), c.put
			if del {
				_, err = h.Delete(h.Context(), &store.Delete{Key: c.k, If: c.cond})
				want = c.del
			} else {
				_, err = h.Put(h.Context(), &store.Put{Key: c.k, Body: strings.NewReader("data"), Size: 4, If: c.cond})
			}
			if (err == nil) != (want == nil) || want != nil && !errors.Is(err, want) {
				h.Errorf("%s, delete %v: %v, want %v", c.name, del, err, want)
			}
			_, _ = h.Delete(h.Context(), &store.Delete{Key: key("none")})
			if again := h.put(key("k"), []byte("data")); again.ETag != res.ETag {
				h.Errorf("the same bytes have ETag %s and %s", res.ETag, again.ETag)
			}
		}
	}
}
