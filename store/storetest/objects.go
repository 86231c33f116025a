package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing/iotest"
	"time"

	"gantry/store"
)

const mib = 1 << 20

// testSizes stores objects at the borders of sectors, blocks and records, with and without their size declared.
func testSizes(h *harness) {
	h.plain()
	want := map[store.Key][]byte{}
	for i, n := range []int{0, 1, 511, 512, 513, mib - 1, mib, mib + 1, 2*mib + 77, 16*mib - 1, 16 * mib, 16*mib + 1} {
		k := key(fmt.Sprintf("size/%d", n))
		want[k] = noise(uint64(i), n)
		h.put(k, want[k])
		if n > 3*mib && n != 16*mib+1 {
			continue
		}
		k = key(fmt.Sprintf("unknown/%d", n))
		want[k] = noise(uint64(100+i), n)
		res, err := h.Put(h.Context(), &store.Put{Key: k, Body: iotest.HalfReader(bytes.NewReader(want[k])), Size: -1})
		if err != nil || res.Size != int64(n) {
			h.Errorf("put of unknown size %d: %d, %v", n, res.Size, err)
		}
	}
	for range 2 {
		for k, data := range want {
			h.holds(k, data)
		}
		h.reopen()
	}
	for _, n := range []int{1, 513, 2*mib + 77, 16*mib + 1} {
		k := key(fmt.Sprintf("size/%d", n))
		h.ranges(k, want[k])
	}
}

// testLargeObject reads across the extents of an object.
func testLargeObject(h *harness) {
	h.plain()
	data := noise(1, 40*mib)
	h.put(key("large"), data)
	h.holds(key("large"), data)
	h.ranges(key("large"), data)
	h.put(key("large"), data[:20*mib])
	h.holds(key("large"), data[:20*mib])
	h.delete(key("large"))
	h.lacks(key("large"))
}

// ranges reads around every block border and in random places, in each of the ways to read.
func (h *harness) ranges(k store.Key, data []byte) {
	h.Helper()
	o, err := h.Get(h.Context(), k)
	if err != nil {
		h.Fatalf("get: %v", err)
	}
	defer o.Close()
	rng := rand.New(rand.NewPCG(uint64(len(data)), 1))
	size := int64(len(data))
	type span struct{ off, n int64 }
	spans := []span{{0, 0}, {0, size}, {size, 10}, {size - 1, 10}, {size + 5, 10}, {0, size + 5}}
	for at := int64(mib); at <= size; at += mib {
		spans = append(spans, span{at - 1, 2}, span{at, 1}, span{at - 1, 1}, span{at - 2, mib + 4})
	}
	for range 20 {
		spans = append(spans, span{rng.Int64N(size + 1), rng.Int64N(3*mib + 1)})
	}
	for _, s := range spans {
		lo := min(max(s.off, 0), size)
		want := data[lo:min(lo+s.n, size)]
		var got bytes.Buffer
		r := o.Range(s.off, s.n)
		if _, err := io.Copy(&got, r); err != nil || !bytes.Equal(got.Bytes(), want) {
			h.Errorf("range %d+%d of %d: %d bytes, %v", s.off, s.n, size, got.Len(), err)
		}
		if err := r.Close(); err != nil {
			h.Errorf("close range: %v", err)
		}
		p := make([]byte, s.n)
		n, err := o.ReadAt(p, lo)
		if !bytes.Equal(p[:n], want) || (err != nil) != (n < len(p)) || err != nil && !errors.Is(err, io.EOF) {
			h.Errorf("read %d at %d of %d: %d bytes, %v", s.n, lo, size, n, err)
		}
	}
	if _, err := o.ReadAt(make([]byte, 1), -1); err == nil {
		h.Errorf("read at -1: no error")
	}
	r := o.Range(0, size)
	if err := iotest.TestReader(struct{ io.Reader }{r}, data); size < 4*mib && err != nil {
		h.Errorf("reader: %v", err)
	}
	_ = r.Close()
}

var errSums = errors.New("checksum differs")

// testRefusedBodies gives bodies that must leave no trace.
func testRefusedBodies(h *harness) {
	h.plain()
	data := noise(1, 17*mib)
	broken := errors.New("connection lost")
	for _, c := range []struct {
		name string
		body io.Reader
		size int64
		sums error
		want error
	}{
		{"short", bytes.NewReader(data[:9]), 10, nil, store.ErrIncompleteBody},
		{"empty", nil, 10, nil, store.ErrIncompleteBody},
		{"short block", bytes.NewReader(data[:mib]), mib + 1, nil, store.ErrIncompleteBody},
		{"short large", bytes.NewReader(data), 18 * mib, nil, store.ErrIncompleteBody},
		{"short by the reader", io.MultiReader(bytes.NewReader(data[:9]), iotest.ErrReader(io.ErrUnexpectedEOF)), 10, nil, store.ErrIncompleteBody},
		{"short by the reader, unknown size", io.MultiReader(bytes.NewReader(data[:9]), iotest.ErrReader(io.ErrUnexpectedEOF)), -1, nil, store.ErrIncompleteBody},
		{"cut at its declared end", io.MultiReader(bytes.NewReader(data[:10]), iotest.ErrReader(io.ErrUnexpectedEOF)), 10, nil, store.ErrIncompleteBody},
		{"long", bytes.NewReader(data[:11]), 10, nil, store.ErrIncompleteBody},
		{"much too long", bytes.NewReader(data), 10, nil, store.ErrIncompleteBody},
		{"longer than nothing", bytes.NewReader(data), 0, nil, store.ErrIncompleteBody},
		{"long large", bytes.NewReader(data), 17*mib - 1, nil, store.ErrIncompleteBody},
		{"long at a record's limit", bytes.NewReader(data), 16 * mib, nil, store.ErrIncompleteBody},
		{"lost", io.MultiReader(bytes.NewReader(data[:mib+1]), iotest.ErrReader(broken)), 5 * mib, nil, broken},
		{"lost large", io.MultiReader(bytes.NewReader(data), iotest.ErrReader(broken)), -1, nil, broken},
		{"sums", bytes.NewReader(data[:10]), 10, errSums, errSums},
		{"sums large", bytes.NewReader(data), int64(len(data)), errSums, errSums},
		{"beyond all limits", bytes.NewReader(data), store.MaxObject + 1, nil, store.ErrTooLarge},
	} {
		called := 0
		sums := func() (store.Sums, error) { called++; return store.Sums{}, c.sums }
		_, err := h.Put(h.Context(), &store.Put{Key: key("k"), Body: c.body, Size: c.size, Sums: sums})
		h.wants(c.name, err, c.want)
		if want := 0; c.sums != nil && called != 1 || c.sums == nil && called != want {
			h.Errorf("%s: sums called %d times", c.name, called)
		}
	}
	h.lacks(key("k"))
	if got := h.keys("plain"); got != "" {
		h.Errorf("listed: %q", got)
	}
	if totals, err := h.Totals(h.Context(), "plain"); err != nil || totals != (store.Totals{}) {
		h.Errorf("totals %+v, %v", totals, err)
	}
	_, err := h.Put(h.Context(), &store.Put{Key: store.Key{Bucket: "none", Name: "k"}, Body: strings.NewReader("x"), Size: 1})
	h.wants("no bucket", err, store.ErrNoBucket)
}

func testKeys(h *harness) {
	h.plain()
	good := []string{
		"a", "/", "//", "a//b", "../../etc/passwd", ".", "..", "a/./b", " ", "\n\t\x01\x7f", "é", "e\u0301", "日本語/患者.dcm", "😀",
		"%2F", "a%00b", "\ufffd", "\U0010ffff", strings.Repeat("k", store.MaxKeyBytes), strings.Repeat("日", store.MaxKeyBytes/3),
		strings.Repeat("/", store.MaxKeyBytes), ".gantry/footer", "con", `a\b`,
	}
	for i, name := range good {
		h.put(key(name), noise(uint64(i), i))
	}
	h.reopen()
	for i, name := range good {
		h.holds(key(name), noise(uint64(i), i))
	}
	for _, name := range []string{"", "a\x00", "\x00", "\xff", "a\xc3", "\xed\xa0\x80", strings.Repeat("k", store.MaxKeyBytes+1)} {
		_, err := h.Put(h.Context(), &store.Put{Key: key(name), Body: strings.NewReader("x"), Size: 1})
		h.wants(fmt.Sprintf("put %q", name), err, store.ErrInvalidKey)
		_, err = h.CreateUpload(h.Context(), &store.NewUpload{Key: key(name)})
		h.wants(fmt.Sprintf("upload %q", name), err, store.ErrInvalidKey)
		h.lacks(key(name))
	}
}

func testMetadata(h *harness) {
	h.plain()
	p := &store.Put{
		Key: key("k"), Body: strings.NewReader("data"), Size: 4,
		Meta: store.Meta{
			System: map[string]string{"content-type": "image/dicom; a=\"b\"", "cache-control": "no-store"},
			User:   map[string]string{"name": "Müller^\x01", "empty": ""},
			Tags:   map[string]string{"a": "1", "": "x"}, StorageClass: "GLACIER_IR",
		},
		Origin: store.Origin{Owner: "me", Principal: "p", Door: "s3", Peer: "[::1]:1", RequestID: "r"},
		Sums: func() (store.Sums, error) {
			return store.Sums{ETag: "etag", Checksums: []store.Checksum{{Algorithm: "CRC32C", Value: "AAAA"}, {Algorithm: "SHA1", Value: "x-2", Composite: true}}}, nil
		},
	}
	before := h.clock.get()
	res, err := h.Put(h.Context(), p)
	if err != nil {
		h.Fatal(err)
	}
	for range 2 {
		info, err := h.Head(h.Context(), key("k"))
		if err != nil || !reflect.DeepEqual(info, res.Info) {
			h.Errorf("head %+v, put gave %+v, %v", info, res.Info, err)
		}
		if !reflect.DeepEqual(info.Meta, p.Meta) || info.Owner != "me" || info.ETag != "etag" || len(info.Checksums) != 2 || !info.Checksums[1].Composite {
			h.Errorf("head %+v", info)
		}
		if info.Modified.Before(before) || info.Modified.After(h.clock.get().Add(time.Second)) || info.Modified.Location() != time.UTC {
			h.Errorf("modified %v", info.Modified)
		}
		h.rebuild()
	}
	p.User = map[string]string{"k": strings.Repeat("v", store.MaxUserMeta)}
	_, err = h.Put(h.Context(), p)
	h.wants("user metadata", err, store.ErrMetadataTooLarge)
	p.User = nil
	p.System, p.Body = map[string]string{"content-type": strings.Repeat("v", 70_000)}, strings.NewReader("data")
	_, err = h.Put(h.Context(), p)
	h.wants("system metadata", err, store.ErrMetadataTooLarge)
	h.holds(key("k"), []byte("data"))
}

func testOverwriteAndDelete(h *harness) {
	h.plain()
	for i := range 5 {
		data := noise(uint64(i), 1000*i)
		h.put(key("k"), data)
		h.holds(key("k"), data)
		if totals, err := h.Totals(h.Context(), "plain"); err != nil || totals.Objects != 1 || totals.Bytes != int64(len(data)) {
			h.Errorf("totals %+v, %v", totals, err)
		}
	}
	info, err := h.Delete(h.Context(), &store.Delete{Key: key("k")})
	if err != nil || info.Size != 4000 {
		h.Errorf("delete: %+v, %v", info, err)
	}
	h.lacks(key("k"))
	_, err = h.Delete(h.Context(), &store.Delete{Key: key("k")})
	h.wants("second delete", err, store.ErrNotFound)
	_, err = h.Delete(h.Context(), &store.Delete{Key: store.Key{Bucket: "none", Name: "k"}})
	h.wants("delete without bucket", err, store.ErrNoBucket)
	h.rebuild()
	h.lacks(key("k"))
	h.put(key("k"), []byte("again"))
	h.holds(key("k"), []byte("again"))
}

// testOpenObjectsStay reads objects on after they were overwritten and deleted, and their extents collected.
func testOpenObjectsStay(h *harness) {
	h.plain()
	for _, n := range []int{100, 17 * mib} {
		data := noise(uint64(n), n)
		h.put(key("k"), data)
		o, err := h.Get(h.Context(), key("k"))
		if err != nil {
			h.Fatal(err)
		}
		h.put(key("k"), []byte("other"))
		h.delete(key("k"))
		h.put(key("k"), []byte("third"))
		var got bytes.Buffer
		if _, err := io.Copy(&got, o.Range(0, o.Size)); err != nil || !bytes.Equal(got.Bytes(), data) {
			h.Errorf("open object: %d bytes of %d, %v", got.Len(), n, err)
		}
		if err := errors.Join(o.Close(), o.Close()); err != nil {
			h.Errorf("close: %v", err)
		}
	}
}

// testTime sets the clock back over a restart.
func testTime(h *harness) {
	h.plain()
	last := h.put(key("a"), nil).Modified
	for i := range 3 {
		h.clock.move(-time.Hour)
		now := h.put(key(fmt.Sprint(i)), nil).Modified
		if now.Before(last) {
			h.Errorf("time ran back from %v to %v", last, now)
		}
		last = now
		h.reopen()
	}
}

func testClosed(h *harness) {
	h.plain()
	h.put(key("k"), []byte("data"))
	o, err := h.Get(h.Context(), key("k"))
	if err != nil {
		h.Fatal(err)
	}
	defer o.Close()
	h.close()
	h.close()
	_, err = h.Head(h.Context(), key("k"))
	h.wants("head", err, store.ErrClosed)
	_, err = h.Put(h.Context(), &store.Put{Key: key("k")})
	h.wants("put", err, store.ErrClosed)
	_, err = h.List(h.Context(), &store.List{Bucket: "plain", Max: 1})
	h.wants("list", err, store.ErrClosed)
	_, err = h.Buckets(h.Context())
	h.wants("buckets", err, store.ErrClosed)
	if _, err = o.ReadAt(make([]byte, 1), 0); !errors.Is(err, store.ErrClosed) || errors.Is(err, store.ErrCorrupt) {
		h.Errorf("read: %v, want ErrClosed", err)
	}
	h.open()
}
