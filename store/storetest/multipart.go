package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	"gantry/store"
)

func (h *harness) upload(k store.Key) store.Upload {
	h.Helper()
	up, err := h.CreateUpload(h.Context(), &store.NewUpload{Key: k})
	if err != nil {
		h.Fatalf("create upload: %v", err)
	}
	return up
}

func (h *harness) part(up store.Upload, number int, data []byte) store.CompletePart {
	h.Helper()
	p, err := h.PutPart(h.Context(), &store.PutPart{Key: up.Key, UploadID: up.ID, Number: number, Body: bytes.NewReader(data), Size: int64(len(data))})
	if err != nil || p.Size != int64(len(data)) || p.Number != number {
		h.Fatalf("put part %d: %+v, %v", number, p, err)
	}
	return store.CompletePart{Number: number, ETag: p.ETag}
}

func (h *harness) complete(up store.Upload, parts ...store.CompletePart) (store.PutResult, error) {
	return h.Complete(h.Context(), &store.Complete{Key: up.Key, UploadID: up.ID, Parts: parts})
}

// testMultipart puts parts in any order, some twice and some for nothing, and reads the object by parts.
func testMultipart(h *harness) {
	h.plain()
	up, err := h.CreateUpload(h.Context(), &store.NewUpload{
		Key: key("k"), Meta: store.Meta{User: map[string]string{"a": "b"}, StorageClass: "X"}, Origin: store.Origin{Owner: "me", Principal: "p"},
		ChecksumAlgorithm: "SHA256", ChecksumComposite: true,
	})
	if err != nil || up.Initiated.IsZero() || up.User["a"] != "b" || up.ChecksumAlgorithm != "SHA256" || !up.ChecksumComposite {
		h.Fatalf("upload %+v, %v", up, err)
	}
	data := map[int][]byte{1: noise(1, 5*mib), 3: noise(3, 17*mib), 7: noise(7, 5*mib+1), 10000: noise(9, 3)}
	sent := map[int]store.CompletePart{}
	for _, n := range []int{10000, 3, 1, 9, 7} {
		h.part(up, n, noise(50, 100)) // replaced below
		if n != 9 {
			sent[n] = h.part(up, n, data[n])
		}
	}
	h.reopen()
	if _, err := h.Head(h.Context(), key("k")); !errors.Is(err, store.ErrNotFound) {
		h.Errorf("visible before it is complete: %v", err)
	}
	parts, more, err := h.Parts(h.Context(), key("k"), up.ID, 3, 2)
	if err != nil || !more || len(parts) != 2 || parts[0].Number != 7 || parts[0].Size != 5*mib+1 || parts[1].Number != 9 {
		h.Errorf("parts %+v %v, %v", parts, more, err)
	}
	var told []store.Part
	res, err := h.Complete(h.Context(), &store.Complete{
		Key: key("k"), UploadID: up.ID, Parts: []store.CompletePart{sent[1], sent[3], sent[7], sent[10000]},
		Sums: func(p []store.Part) (store.Sums, error) { told = p; return store.Sums{ETag: "e-4"}, nil },
	})
	want := bytes.Join([][]byte{data[1], data[3], data[7], data[10000]}, nil)
	if err != nil || res.PartCount != 4 || res.ETag != "e-4" || res.User["a"] != "b" || res.Owner != "me" || res.Size != int64(len(want)) {
		h.Fatalf("complete: %+v, %v", res, err)
	}
	_, err = h.complete(up, sent[1])
	h.wants("complete again", err, store.ErrNoUpload)
	for range 2 {
		h.holds(key("k"), want)
		h.readParts(data, told)
		h.rebuild()
	}
	h.ranges(key("k"), want)
}

func (h *harness) readParts(data map[int][]byte, told []store.Part) {
	h.Helper()
	o, err := h.Get(h.Context(), key("k"))
	if err != nil {
		h.Fatal(err)
	}
	defer o.Close()
	parts, err := o.Parts()
	if err != nil || !reflect.DeepEqual(parts, told) {
		h.Errorf("parts %+v, were %+v, %v", parts, told, err)
	}
	for n, want := range data {
		off, size, part, err := o.PartRange(n)
		got, rerr := io.ReadAll(o.Range(off, size))
		if err != nil || rerr != nil || part.Number != n || !bytes.Equal(got, want) {
			h.Errorf("part %d: %d bytes at %d, %+v, %v, %v", n, len(got), off, part, err, rerr)
		}
	}
	_, _, _, err = o.PartRange(2)
	h.wants("a part that is not there", err, store.ErrInvalidPart)
}

func testMultipartRefusals(h *harness) {
	h.plain()
	up := h.upload(key("k"))
	big, small := h.part(up, 1, noise(1, 5*mib)), h.part(up, 2, noise(2, 10))
	last := h.part(up, 3, nil)
	wrong := big
	wrong.ETag = "x"
	for _, c := range []struct {
		name  string
		parts []store.CompletePart
		want  error
	}{
		{"no parts", nil, store.ErrInvalidPart},
		{"order", []store.CompletePart{small, big}, store.ErrInvalidPartOrder},
		{"twice", []store.CompletePart{big, big}, store.ErrInvalidPartOrder},
		{"small", []store.CompletePart{big, small, last}, store.ErrPartTooSmall},
		{"missing", []store.CompletePart{big, {Number: 9, ETag: big.ETag}}, store.ErrInvalidPart},
		{"etag", []store.CompletePart{wrong}, store.ErrInvalidPart},
		{"number that wraps around", []store.CompletePart{big, {Number: 65537, ETag: big.ETag}}, store.ErrInvalidPart},
		{"number 0", []store.CompletePart{{Number: 0, ETag: big.ETag}}, store.ErrInvalidPart},
		{"too many", make([]store.CompletePart, store.MaxParts+1), store.ErrInvalidPart}, // before all else: their number is the client's choice
	} {
		_, err := h.complete(up, c.parts...)
		h.wants(c.name, err, c.want)
	}
	_, err := h.Complete(h.Context(), &store.Complete{
		Key: up.Key, UploadID: up.ID, Parts: []store.CompletePart{big},
		Sums: func([]store.Part) (store.Sums, error) { return store.Sums{}, errSums },
	})
	h.wants("sums", err, errSums)
	_, err = h.Complete(h.Context(), &store.Complete{Key: up.Key, UploadID: up.ID, Parts: []store.CompletePart{big}, If: store.Condition{IfMatch: "*"}})
	h.wants("condition", err, store.ErrNotFound)
	for _, n := range []int{0, -1, store.MaxParts + 1} {
		_, err := h.PutPart(h.Context(), &store.PutPart{Key: up.Key, UploadID: up.ID, Number: n, Body: strings.NewReader("x"), Size: 1})
		h.wants(fmt.Sprintf("part %d", n), err, store.ErrInvalidPart)
	}
	for _, id := range []string{"", "x", strings.Repeat("0", 16), "zzzzzzzzzzzzzzzz", up.ID + "0"} {
		_, err := h.PutPart(h.Context(), &store.PutPart{Key: up.Key, UploadID: id, Number: 1, Body: strings.NewReader("x"), Size: 1})
		h.wants("part of upload "+id, err, store.ErrNoUpload)
		h.wants("abort "+id, h.Abort(h.Context(), up.Key, id, store.Origin{}), store.ErrNoUpload)
	}
	_, err = h.Upload(h.Context(), key("other"), up.ID)
	h.wants("another key", err, store.ErrNoUpload)
	h.refusedParts(up)
	h.lacks(key("k"))
	if res, err := h.complete(up, last); err != nil || res.Size != 0 {
		h.Errorf("an object of one empty part: %+v, %v", res, err)
	}
	h.holds(key("k"), nil)
}

// refusedParts checks that a part that is refused leaves the one before it.
func (h *harness) refusedParts(up store.Upload) {
	h.Helper()
	before, _, err := h.Parts(h.Context(), up.Key, up.ID, 0, 100)
	if err != nil {
		h.Error(err)
	}
	for _, n := range []int{100, 17 * mib} {
		p := &store.PutPart{Key: up.Key, UploadID: up.ID, Number: 2, Body: bytes.NewReader(noise(1, n)), Size: int64(n + 1)}
		_, err := h.PutPart(h.Context(), p)
		h.wants("short part", err, store.ErrIncompleteBody)
		p.Body, p.Size, p.Sums = bytes.NewReader(noise(1, n)), -1, func() (store.Sums, error) { return store.Sums{}, errSums }
		_, err = h.PutPart(h.Context(), p)
		h.wants("part with wrong sums", err, errSums)
	}
	after, _, err := h.Parts(h.Context(), up.Key, up.ID, 0, 100)
	if err != nil || !reflect.DeepEqual(before, after) {
		h.Errorf("parts were %+v, are %+v, %v", before, after, err)
	}
}

// testAbortWhileCompleting lets one of each happen at once: the object is there whole, or neither object nor upload.
func testAbortWhileCompleting(h *harness) {
	h.plain()
	for i := range 20 {
		k := key(fmt.Sprint(i))
		up := h.upload(k)
		data := noise(uint64(i), 1000)
		p := h.part(up, 1, data)
		errs := make([]error, 3)
		together(3, func(j int) {
			switch j {
			case 0:
				_, errs[0] = h.complete(up, p)
			case 1:
				errs[1] = h.Abort(h.Context(), k, up.ID, store.Origin{})
			case 2: // replaces the part, perhaps
				_, errs[2] = h.PutPart(h.Context(), &store.PutPart{Key: k, UploadID: up.ID, Number: 1, Body: bytes.NewReader(data[:9]), Size: 9})
			}
		})
		if errs[2] != nil {
			h.wants("part", errs[2], store.ErrNoUpload)
		}
		switch {
		case errs[0] == nil:
			h.wants("abort", errs[1], store.ErrNoUpload)
			h.holds(k, data)
		case errors.Is(errs[0], store.ErrNoUpload), errors.Is(errs[0], store.ErrInvalidPart):
			if errs[1] != nil {
				h.Errorf("neither completed (%v) nor aborted (%v)", errs[0], errs[1])
			}
			h.lacks(k)
		default:
			h.Errorf("complete: %v", errs[0])
		}
		_, err := h.Upload(h.Context(), k, up.ID)
		h.wants("upload", err, store.ErrNoUpload)
	}
}

func testListUploads(h *harness) {
	h.plain()
	var want []string
	for _, name := range []string{"a", "a", "b/1", "b/2", "b/2", "c", "d/1", "é"} {
		up := h.upload(key(name))
		want = append(want, name+up.ID)
	}
	flat := func(l store.ListUploads) (uploads, prefixes []string) {
		for {
			page, err := h.Uploads(h.Context(), &l)
			if err != nil {
				h.Fatal(err)
			}
			for _, u := range page.Uploads {
				uploads = append(uploads, u.Name+u.ID)
			}
			prefixes = append(prefixes, page.Prefixes...)
			if !page.Truncated {
				return uploads, prefixes
			}
			l.AfterKey, l.AfterID = page.NextKey, page.NextID
		}
	}
	for _, limit := range []int{1, 2, 3, 1000} {
		got, _ := flat(store.ListUploads{Bucket: "plain", Max: limit})
		if !reflect.DeepEqual(got, want) {
			h.Errorf("pages of %d: %q, want %q", limit, got, want)
		}
		got, prefixes := flat(store.ListUploads{Bucket: "plain", Max: limit, Delimiter: "/"})
		if !reflect.DeepEqual(got, []string{want[0], want[1], want[5], want[7]}) || !reflect.DeepEqual(prefixes, []string{"b/", "d/"}) {
			h.Errorf("pages of %d with delimiter: %q, %q", limit, got, prefixes)
		}
		if got, _ = flat(store.ListUploads{Bucket: "plain", Max: limit, Prefix: "b/"}); !reflect.DeepEqual(got, want[2:5]) {
			h.Errorf("pages of %d with prefix: %q", limit, got)
		}
		if got, _ = flat(store.ListUploads{Bucket: "plain", Max: limit, AfterKey: "b/2"}); !reflect.DeepEqual(got, want[5:]) {
			h.Errorf("pages of %d after a key: %q", limit, got)
		}
	}
	_, err := h.Uploads(h.Context(), &store.ListUploads{Bucket: "none", Max: 1})
	h.wants("no bucket", err, store.ErrNoBucket)
}

// testUploadExpiry lets a week pass: maintenance runs at the start.
func testUploadExpiry(h *harness) {
	h.plain()
	old := h.upload(key("old"))
	p := h.part(old, 1, noise(1, 100))
	h.clock.move(6 * 24 * time.Hour)
	young := h.upload(key("young"))
	h.reopen()
	if _, err := h.Upload(h.Context(), old.Key, old.ID); err != nil {
		h.Errorf("after six days: %v", err)
	}
	h.clock.move(25 * time.Hour)
	h.reopen()
	deadline := time.Now().Add(time.Minute)
	for {
		_, err := h.Upload(h.Context(), old.Key, old.ID)
		if errors.Is(err, store.ErrNoUpload) {
			break
		}
		if err != nil || time.Now().After(deadline) {
			h.Fatalf("after seven days: %v", err)
		}
	}
	_, err := h.complete(old, p)
	h.wants("complete", err, store.ErrNoUpload)
	if _, err := h.Upload(h.Context(), young.Key, young.ID); err != nil {
		h.Errorf("the younger upload: %v", err)
	}
}
