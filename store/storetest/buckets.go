package storetest

import (
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"

	"gantry/store"
)

func testBuckets(h *harness) {
	for _, name := range []string{
		"", "ab", "-ab", "ab-", ".ab", "a..b", "a.-b", "a-.b", "Abc", "a_b", "ä-b", "192.168.0.1", "xn--abc", "abc-s3alias", "sthree-abc", "abc--x-s3", "studies",
		"series", "instances", "bulkdata", strings.Repeat("a", 64), "a/b", "a b",
	} {
		_, err := h.CreateBucket(h.Context(), name, store.BucketSettings{}, store.Origin{})
		h.wants(fmt.Sprintf("create %q", name), err, store.ErrInvalidBucketName)
	}
	names := []string{"abc", "a.b-c.9", "zz9", strings.Repeat("a", 63)}
	ids := map[uint64]bool{}
	for _, name := range names {
		b := h.bucket(name, store.BucketSettings{})
		if ids[b.ID] || b.ID == 0 || b.Name != name || b.Owner != "owner" || b.Created.IsZero() {
			h.Errorf("bucket %+v", b)
		}
		ids[b.ID] = true
		have, err := h.CreateBucket(h.Context(), name, store.BucketSettings{DICOM: true}, store.Origin{Owner: "other"})
		h.wants("create again", err, store.ErrBucketExists)
		if have.ID != b.ID || have.Settings.DICOM {
			h.Errorf("the existing one: %+v, made %+v", have, b)
		}
	}
	var won atomic.Int64
	together(writers, func(int) {
		if _, err := h.CreateBucket(h.Context(), "race", store.BucketSettings{}, store.Origin{}); err == nil {
			won.Add(1)
		}
	})
	if won.Load() != 1 {
		h.Errorf("%d made the same bucket", won.Load())
	}
	before, err := h.Bucket(h.Context(), "abc")
	if err != nil {
		h.Error(err)
	}
	st := store.BucketSettings{DICOM: true, Strict: true, Duplicates: store.Keep}
	after, err := h.UpdateBucket(h.Context(), "abc", st, store.Origin{Owner: "other"})
	before.Settings = st
	if err != nil || !reflect.DeepEqual(before, after) {
		h.Errorf("updated: %+v, want %+v, %v", after, before, err)
	}
	_, err = h.UpdateBucket(h.Context(), "none", st, store.Origin{})
	h.wants("update", err, store.ErrNoBucket)
	_, err = h.Bucket(h.Context(), "none")
	h.wants("bucket", err, store.ErrNoBucket)
	h.wants("delete", h.DeleteBucket(h.Context(), "none", store.Origin{}), store.ErrNoBucket)
	list, err := h.Buckets(h.Context())
	var got []string
	for _, b := range list {
		got = append(got, b.Name)
	}
	if want := []string{"a.b-c.9", strings.Repeat("a", 63), "abc", "race", "zz9"}; err != nil || !reflect.DeepEqual(got, want) {
		h.Errorf("buckets %q, want %q, %v", got, want, err)
	}
}

// testBucketMadeAnew deletes a bucket and makes it again: nothing comes back, not even after a rebuild.
func testBucketMadeAnew(h *harness) {
	h.bucket("plain", store.BucketSettings{DICOM: true})
	h.putImage("plain", image(1, 1, 1))
	h.put(key("k"), []byte("data"))
	h.put(key("large"), noise(1, 17*mib))
	h.wants("delete", h.DeleteBucket(h.Context(), "plain", store.Origin{}), store.ErrBucketNotEmpty)
	first, err := h.Bucket(h.Context(), "plain")
	if err != nil {
		h.Error(err)
	}
	for _, name := range strings.Fields(h.keys("plain")) {
		h.delete(key(name))
	}
	if err := h.DeleteBucket(h.Context(), "plain", store.Origin{}); err != nil {
		h.Fatal(err)
	}
	_, err = h.Put(h.Context(), &store.Put{Key: key("k"), Body: strings.NewReader("x"), Size: 1})
	h.wants("put into a deleted bucket", err, store.ErrNoBucket)
	_, err = h.List(h.Context(), &store.List{Bucket: "plain"})
	h.wants("list a deleted bucket", err, store.ErrNoBucket)
	h.rebuild()
	if second := h.bucket("plain", store.BucketSettings{DICOM: true}); second.ID == first.ID {
		h.Errorf("the id was given again")
	}
	for range 2 {
		if got := h.keys("plain"); got != "" {
			h.Errorf("keys %q", got)
		}
		_, err := h.Instance(h.Context(), "plain", image(1, 1, 1).SOP)
		h.wants("instance", err, store.ErrNotFound)
		if totals, err := h.Totals(h.Context(), "plain"); err != nil || totals != (store.Totals{}) {
			h.Errorf("totals %+v, %v", totals, err)
		}
		h.rebuild()
	}
}

func testDeleteBucketWithUploads(h *harness) {
	h.plain()
	for i := range 3 {
		up := h.upload(key(fmt.Sprint(i)))
		h.part(up, 1, []byte("data"))
	}
	h.put(key("k"), nil)
	h.wants("delete", h.DeleteBucket(h.Context(), "plain", store.Origin{}), store.ErrBucketNotEmpty)
	if page, err := h.Uploads(h.Context(), &store.ListUploads{Bucket: "plain", Max: 10}); err != nil || len(page.Uploads) != 3 {
		h.Errorf("a refused deletion left %d uploads, %v", len(page.Uploads), err)
	}
	h.delete(key("k"))
	if err := h.DeleteBucket(h.Context(), "plain", store.Origin{}); err != nil {
		h.Fatal(err)
	}
	h.plain()
	if page, err := h.Uploads(h.Context(), &store.ListUploads{Bucket: "plain", Max: 10}); err != nil || len(page.Uploads) != 0 {
		h.Errorf("the new bucket has %d uploads, %v", len(page.Uploads), err)
	}
}
