package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"gantry/store"
)

func image(study, series, sop int) Image {
	return Image{
		Study: fmt.Sprintf("1.%d", study), Series: fmt.Sprintf("1.%d.%d", study, series), SOP: fmt.Sprintf("1.%d.%d.%d", study, series, sop),
		Class: "1.2.840.10008.5.1.4.1.1.2", Patient: fmt.Sprintf("P%d", study), Issuer: "HOSP", Name: "doe=john", Date: "20240131", Time: "1200",
		Accession: fmt.Sprintf("A%d", study), Modality: "CT", Label: fmt.Sprint("label", sop), Body: strings.Repeat("pixel", sop),
	}
}

func (m Image) key(bucket string) store.Key {
	return store.Key{Bucket: bucket, Name: m.Study + "/" + m.Series + "/" + m.SOP + ".dcm"}
}

func (h *harness) stow(bucket string, m Image) (store.PutResult, error) {
	return h.Put(h.Context(), &store.Put{Key: store.Key{Bucket: bucket}, Body: bytes.NewReader(m.Bytes()), Size: -1, Instance: &store.InstancePut{}})
}

// putImage stores an image by its identity.
func (h *harness) putImage(bucket string, m Image) store.PutResult {
	h.Helper()
	res, err := h.stow(bucket, m)
	if err != nil || !res.Stored || res.Duplicate || res.Key != m.key(bucket) {
		h.Fatalf("store instance: %+v, %v", res, err)
	}
	return res
}

// testIdentity applies each rule for other content under a known SOP Instance UID.
func testIdentity(h *harness) {
	for _, rule := range []store.Duplicates{"", store.Refuse, store.Replace, store.Keep} {
		b := "rule-" + string(rule) + "x"
		h.bucket(b, store.BucketSettings{DICOM: true, Duplicates: rule})
		m := image(1, 1, 1)
		first := h.putImage(b, m)
		same := m
		same.Meta = "another preamble"
		res, err := h.stow(b, same)
		if err != nil || res.Stored || res.Duplicate || !reflect.DeepEqual(res.Info, first.Info) {
			h.Errorf("%s, the same data set: %+v, %v", rule, res, err)
		}
		other := m
		other.Body, other.Study = "other", "1.99"
		for range 2 { // a retry changes nothing
			res, err = h.stow(b, other)
		}
		var refusal *store.InstanceError
		switch rule {
		case store.Replace:
			if err != nil || res.Duplicate || res.Key != first.Key {
				h.Errorf("replace: %+v, %v", res, err)
			}
			h.holds(first.Key, other.Bytes())
		case store.Keep:
			if err != nil || res.Key == first.Key || res.Stored {
				h.Errorf("keep: %+v, %v", res, err)
			}
			h.holds(first.Key, m.Bytes())
			h.holds(res.Key, other.Bytes())
			if totals, err := h.Totals(h.Context(), b); err != nil || totals.Duplicates != 1 || totals.Objects != 2 {
				h.Errorf("keep: %+v, %v", totals, err)
			}
		default:
			h.wants("refuse", err, store.ErrDuplicate)
			if !errors.As(err, &refusal) || refusal.Identity.SOP != m.SOP {
				h.Errorf("refuse: %v tells no identity", err)
			}
			h.holds(first.Key, m.Bytes())
		}
	}
	h.identityOfPuts()
}

// identityOfPuts checks what a put by identity is refused for, and that it takes no other object's place.
func (h *harness) identityOfPuts() {
	b := "archive"
	h.bucket(b, store.BucketSettings{DICOM: true, Duplicates: store.Replace})
	m := image(1, 1, 1)
	p := &store.Put{Key: store.Key{Bucket: b}, Body: bytes.NewReader(m.Bytes()), Size: -1, Instance: &store.InstancePut{Study: "1.2"}}
	_, err := h.Put(h.Context(), p)
	h.wants("another study", err, store.ErrWrongStudy)
	_, err = h.Put(h.Context(), &store.Put{Key: store.Key{Bucket: b}, Body: strings.NewReader("text"), Size: -1, Instance: &store.InstancePut{}})
	h.wants("no image", err, store.ErrNotDICOM)
	h.wants("no image", err, errNoImage)
	h.put(m.key(b), []byte("some text"))
	res, err := h.stow(b, m)
	if err != nil || !res.Stored || res.Duplicate || res.Key == m.key(b) {
		h.Errorf("stored where a text lay: %+v, %v", res, err)
	}
	h.holds(m.key(b), []byte("some text"))
	h.holds(res.Key, m.Bytes())
	row, err := h.Instance(h.Context(), b, m.SOP)
	if err != nil || row.Key != res.Key.Name {
		h.Errorf("instance %+v, %v", row, err)
	}
	info, err := h.InstanceInfo(h.Context(), b, m.SOP)
	if err != nil || info.Key != res.Key || info.LSN != row.LSN || info.Size != row.Size || info.Instance.Frames == nil || info.Instance.DataSet == 0 {
		h.Errorf("instance %+v, %v", info, err)
	}
	if _, err := h.InstanceInfo(h.Context(), b, "1.9"); !errors.Is(err, store.ErrNotFound) {
		h.Errorf("an instance that is not there: %v", err)
	}
}

// testDuplicateTakesItsPlace stores one instance under several keys: the oldest is indexed, until it goes.
func testDuplicateTakesItsPlace(h *harness) {
	b := "archive"
	h.bucket(b, store.BucketSettings{DICOM: true})
	m := image(1, 1, 1)
	names := []string{"z", "y", "x", "w"}
	for i, n := range names {
		m.Label = n
		res := h.put(store.Key{Bucket: b, Name: n}, m.Bytes())
		if res.Duplicate != (i > 0) || res.Instance == nil || res.Instance.SOP != m.SOP {
			h.Errorf("put %s: %+v", n, res)
		}
	}
	h.put(store.Key{Bucket: b, Name: "text"}, []byte("text"))
	if totals, err := h.Totals(h.Context(), b); err != nil || totals.Duplicates != 3 || totals.Unindexed != 1 || totals.Objects != 5 {
		h.Errorf("totals %+v, %v", totals, err)
	}
	indexed := func(want string) {
		h.Helper()
		row, err := h.Instance(h.Context(), b, m.SOP)
		if err != nil || row.Key != want || !strings.Contains(string(row.Attrs), want) {
			h.Errorf("indexed %s %s, want %s, %v", row.Key, row.Attrs, want, err)
		}
		study, err := h.Study(h.Context(), b, m.Study)
		if err != nil || study.Instances != 1 || study.Series != 1 || !strings.Contains(string(study.Attrs), want) {
			h.Errorf("study %+v, want one instance of %s, %v", study, want, err)
		}
	}
	indexed("z")
	h.delete(store.Key{Bucket: b, Name: "y"}) // a duplicate
	indexed("z")
	h.put(store.Key{Bucket: b, Name: "z"}, []byte("no image any more"))
	indexed("x")
	m.Label = "newer"
	res := h.put(store.Key{Bucket: b, Name: "x"}, m.Bytes()) // overwritten: w is the oldest now
	indexed("w")
	if !res.Duplicate {
		h.Errorf("the overwritten one is no duplicate: %+v", res)
	}
	h.rebuild()
	indexed("w")
	h.delete(store.Key{Bucket: b, Name: "w"})
	row, err := h.Instance(h.Context(), b, m.SOP)
	if err != nil || row.Key != "x" {
		h.Errorf("indexed %s, %v", row.Key, err)
	}
	h.delete(store.Key{Bucket: b, Name: "x"})
	_, err = h.Instance(h.Context(), b, m.SOP)
	h.wants("instance", err, store.ErrNotFound)
	_, err = h.Study(h.Context(), b, m.Study)
	h.wants("study", err, store.ErrNotFound)
	h.nothingIndexed(b)
}

func (h *harness) nothingIndexed(bucket string) {
	h.Helper()
	for _, ix := range []store.Index{store.ByDate, store.ByPatientID, store.ByName, store.ByAccession, store.ByModality} {
		if hits := h.search(bucket, ix, "", ""); len(hits) > 0 {
			h.Errorf("index %c: %q", ix, hits)
		}
	}
	if totals, err := h.Totals(h.Context(), bucket); err != nil || totals.Duplicates != 0 {
		h.Errorf("totals %+v, %v", totals, err)
	}
}

// testRowsFollowTheOldest checks attributes and counts of study and series while instances come and go.
func testRowsFollowTheOldest(h *harness) {
	b := "archive"
	h.bucket(b, store.BucketSettings{DICOM: true})
	var all []Image
	for i, series := range []int{2, 1, 2, 1, 3} {
		m := image(1, series, i+1)
		m.Modality = []string{"", "CT", "MR", "CT"}[series]
		if series == 3 {
			m.Modality, m.Class = "SR", "1.2.840.10008.5.1.4.1.1.88.11"
		}
		h.putImage(b, m)
		all = append(all, m)
	}
	check := func(label string, series, instances int, modalities ...string) {
		h.Helper()
		row, err := h.Study(h.Context(), b, "1.1")
		if err != nil || !strings.Contains(string(row.Attrs), label) || row.Series != series || row.Instances != instances || !reflect.DeepEqual(row.Modalities, modalities) {
			h.Errorf("study %+v %s, want %s, %d series, %d instances, %q, %v", row, row.Attrs, label, series, instances, modalities, err)
		}
		var order []store.LSN
		n := 0
		err = h.SeriesOf(h.Context(), b, "1.1", func(r store.SeriesRow) bool {
			order = append(order, r.LSN)
			n += r.Instances
			return true
		})
		if err != nil || len(order) != series || n != instances || order[0] != row.LSN {
			h.Errorf("series at %v with %d instances, %v", order, n, err)
		}
		for i := range len(order) - 1 {
			if order[i] >= order[i+1] {
				h.Errorf("series in order %v", order)
			}
		}
	}
	check("label1", 3, 5, "CT", "MR", "SR")
	h.delete(all[0].key(b))
	check("label2", 3, 4, "CT", "MR", "SR")
	h.delete(all[2].key(b))
	check("label2", 2, 3, "CT", "SR")
	h.delete(all[1].key(b))
	check("label4", 2, 2, "CT", "SR")
	h.putImage(b, all[0])
	check("label4", 3, 3, "CT", "MR", "SR")
	row, err := h.SeriesRow(h.Context(), b, "1.1", "1.1.3")
	if err != nil || row.Modality != "SR" || row.Instances != 1 {
		h.Errorf("series %+v, %v", row, err)
	}
	study, err := h.Study(h.Context(), b, "1.1")
	if err != nil || len(study.SOPClasses) != 2 {
		h.Errorf("classes %q, %v", study.SOPClasses, err)
	}
	_, err = h.SeriesRow(h.Context(), b, "1.1", "1.9")
	h.wants("series", err, store.ErrNotFound)
	var sops []string
	err = h.Instances(h.Context(), b, "1.1", "1.1.1", func(r store.InstanceRow) bool { sops = append(sops, r.SOP); return true })
	if err != nil || !reflect.DeepEqual(sops, []string{"1.1.1.4"}) {
		h.Errorf("instances %q, %v", sops, err)
	}
}

// testConflicts stores two patients in a study and a series in two studies.
func testConflicts(h *harness) {
	b := "archive"
	h.bucket(b, store.BucketSettings{DICOM: true})
	h.putImage(b, image(1, 1, 1))
	odd := image(1, 1, 2)
	odd.Patient = "other"
	h.putImage(b, odd)
	moved := image(2, 1, 3)
	moved.Series = "1.1.1"
	h.putImage(b, moved)
	check := func(conflicts string, patient, series bool) {
		h.Helper()
		var got []string
		err := h.Store.Conflicts(h.Context(), b, func(study string) bool { got = append(got, study); return true })
		if err != nil || strings.Join(got, " ") != conflicts {
			h.Errorf("conflicts %q, want %q, %v", got, conflicts, err)
		}
		st, err := h.Study(h.Context(), b, "1.1")
		if err != nil || st.Conflict != patient {
			h.Errorf("study %+v, %v", st, err)
		}
		se, err := h.SeriesRow(h.Context(), b, "1.1", "1.1.1")
		if err != nil || se.Conflict != series {
			h.Errorf("series %+v, %v", se, err)
		}
		got = nil
		err = h.StudiesWith(h.Context(), b, "1.1.1", func(study string) bool { got = append(got, study); return true })
		if err != nil || (len(got) > 1) != series || got[0] != "1.1" {
			h.Errorf("studies with the series: %q, %v", got, err)
		}
	}
	if err := h.StudiesWith(h.Context(), b, "1.1", func(string) bool { h.Error("a study by the beginning of its series' UID"); return true }); err != nil {
		h.Error(err)
	}
	check("1.1", true, true)
	h.delete(moved.key(b))
	check("1.1", true, false)
	h.delete(odd.key(b))
	check("", false, false)
}

// testDeleteInstances deletes at each level. What takes the place of a deleted instance goes with it, unless it lies elsewhere.
func testDeleteInstances(h *harness) {
	b := "archive"
	h.bucket(b, store.BucketSettings{DICOM: true, Duplicates: store.Keep})
	for series := range 3 {
		for sop := range 3 {
			h.putImage(b, image(1, series, sop))
		}
	}
	h.putImage(b, image(2, 0, 0))
	inside, elsewhere := image(1, 0, 0), image(1, 0, 1)
	inside.Body = "a duplicate"
	if res, err := h.stow(b, inside); err != nil || !res.Duplicate {
		h.Errorf("duplicate: %+v, %v", res, err)
	}
	elsewhere.Study, elsewhere.Body = "1.2", "the same SOP Instance UID in another study"
	moved, err := h.stow(b, elsewhere)
	if err != nil || !moved.Duplicate {
		h.Errorf("duplicate: %+v, %v", moved, err)
	}
	del := func(want int, wantErr error, id store.Identity) {
		h.Helper()
		n, err := h.Store.DeleteInstances(h.Context(), b, id, store.Origin{})
		if n != want || !errors.Is(err, wantErr) {
			h.Errorf("delete %+v: %d, %v; want %d, %v", id, n, err, want, wantErr)
		}
	}
	del(0, store.ErrNotFound, store.Identity{Study: "1.1", Series: "1.1.0", SOP: "1.1.2.2"})
	del(0, store.ErrNotFound, store.Identity{Study: "1.3"})
	del(2, nil, store.Identity{Study: "1.1", Series: "1.1.0", SOP: "1.1.0.0"})
	del(3, nil, store.Identity{Study: "1.1", Series: "1.1.2"})
	del(0, store.ErrNotFound, store.Identity{Study: "1.1", Series: "1.1.2"})
	del(5, nil, store.Identity{Study: "1.1"})
	_, err = h.Study(h.Context(), b, "1.1")
	h.wants("study", err, store.ErrNotFound)
	row, err := h.Instance(h.Context(), b, elsewhere.SOP)
	if err != nil || row.Study != "1.2" || row.Key != moved.Name {
		h.Errorf("the duplicate in another study: %+v, %v", row, err)
	}
	if st, err := h.Study(h.Context(), b, "1.2"); err != nil || st.Instances != 2 {
		h.Errorf("study %+v, %v", st, err)
	}
	del(2, nil, store.Identity{Study: "1.2"})
	h.nothingIndexed(b)
	if got := h.keys(b); got != "" {
		h.Errorf("left: %q", got)
	}
	_, err = h.Store.DeleteInstances(h.Context(), "none", store.Identity{Study: "1"}, store.Origin{})
	h.wants("no bucket", err, store.ErrNoBucket)
}

func testStrictBuckets(h *harness) {
	b := "strict"
	h.bucket(b, store.BucketSettings{DICOM: true})
	res := h.put(store.Key{Bucket: b, Name: "a"}, []byte("text"))
	if !errors.Is(res.Unindexed, errNoImage) || res.Instance != nil {
		h.Errorf("unindexed: %+v", res)
	}
	if _, err := h.UpdateBucket(h.Context(), b, store.BucketSettings{DICOM: true, Strict: true}, store.Origin{}); err != nil {
		h.Fatal(err)
	}
	_, err := h.Put(h.Context(), &store.Put{Key: store.Key{Bucket: b, Name: "b"}, Body: strings.NewReader("text"), Size: 4})
	h.wants("text", err, store.ErrNotDICOM)
	_, err = h.Put(h.Context(), &store.Put{Key: store.Key{Bucket: b, Name: "b"}, Body: bytes.NewReader(noise(1, 17*mib)), Size: -1})
	h.wants("large", err, store.ErrNotDICOM)
	h.put(store.Key{Bucket: b, Name: "c"}, image(1, 1, 1).Bytes())
	if got := h.keys(b); got != "a c" {
		h.Errorf("keys %q", got)
	}
}

// testInstancesByMultipart indexes what came in parts, and in a body beyond one record.
func testInstancesByMultipart(h *harness) {
	b := "archive"
	h.bucket(b, store.BucketSettings{DICOM: true})
	m := image(1, 1, 1)
	data := m.Bytes()
	up := h.upload(store.Key{Bucket: b, Name: "parts"})
	p := h.part(up, 1, data)
	if res, err := h.complete(up, p); err != nil || res.Instance == nil || res.Instance.SOP != m.SOP {
		h.Errorf("complete: %+v, %v", res, err)
	}
	large := image(1, 1, 2)
	large.Body = string(bytes.Repeat([]byte("x"), 17*mib))
	h.putImage(b, large)
	for range 2 {
		for key, sop := range map[string]string{"parts": m.SOP, large.key(b).Name: large.SOP} {
			row, err := h.Instance(h.Context(), b, sop)
			if err != nil || row.Key != key {
				h.Errorf("instance %+v, want %s, %v", row, key, err)
			}
		}
		h.rebuild()
	}
	h.holds(large.key(b), large.Bytes())
	up = h.upload(store.Key{Bucket: b, Name: "parts"})
	if res, err := h.complete(up, h.part(up, 1, []byte("text"))); err != nil || res.Unindexed == nil {
		h.Errorf("complete with a text: %+v, %v", res, err)
	}
	_, err := h.Instance(h.Context(), b, m.SOP)
	h.wants("overwritten instance", err, store.ErrNotFound)
}

func (h *harness) search(bucket string, ix store.Index, lo, hi string) (hits []string) {
	h.Helper()
	err := h.Search(h.Context(), bucket, ix, lo, hi, func(hit store.Hit) bool {
		hits = append(hits, hit.Value+"@"+hit.Study)
		return true
	})
	if err != nil {
		h.Errorf("search: %v", err)
	}
	return hits
}

// testSearch checks order and bounds of each index.
func testSearch(h *harness) {
	b := "archive"
	h.bucket(b, store.BucketSettings{DICOM: true})
	dates := []string{"20240131", "", "20240201", "19991231", "20240131", "20230615"}
	for i, d := range dates {
		m := image(i, 0, 1)
		m.Date, m.Time, m.Patient, m.Name = d, fmt.Sprintf("%02d30", 20-i), string(rune('a'+i%3)), fmt.Sprintf("n%d=common", i)
		m.Modality = []string{"CT", "MR"}[i%2]
		h.putImage(b, m)
	}
	for range 2 {
		for _, c := range []struct {
			ix     store.Index
			lo, hi string
			want   string
		}{
			{store.ByDate, "", "", "202402011830@1.2 202401312030@1.0 202401311630@1.4 202306151530@1.5 199912311730@1.3 @1.1"},
			{store.ByDate, "20240131", "20240201", "202401312030@1.0 202401311630@1.4"},
			{store.ByDate, "202401311700", "", "202402011830@1.2 202401312030@1.0"},
			{store.ByDate, "", "2000", "199912311730@1.3 @1.1"},
			{store.ByDate, "202401311630", "202401312030", "202401311630@1.4"},
			{store.ByDate, "3", "", ""},
			{store.ByPatientID, "", "", "a@1.0 a@1.3 b@1.1 b@1.4 c@1.2 c@1.5"},
			{store.ByPatientID, "b", "c", "b@1.1 b@1.4"},
			{store.ByPatientID, "bb", "", "c@1.2 c@1.5"},
			{store.ByAccession, "A2", "A4", "A2@1.2 A3@1.3"},
			{store.ByName, "n1", "n3", "n1@1.1 n2@1.2"},
			{store.ByName, "common", "common\x00", "common@1.0 common@1.1 common@1.2 common@1.3 common@1.4 common@1.5"},
			{store.ByModality, "MR", "MR\x00", "MR@1.1 MR@1.3 MR@1.5"},
		} {
			if got := strings.Join(h.search(b, c.ix, c.lo, c.hi), " "); got != c.want {
				h.Errorf("index %c from %q to %q: %q, want %q", c.ix, c.lo, c.hi, got, c.want)
			}
		}
		h.rebuild()
	}
	n := 0
	if err := h.Search(h.Context(), b, store.ByName, "", "", func(store.Hit) bool { n++; return n < 3 }); err != nil || n != 3 {
		h.Errorf("stopped after %d, %v", n, err)
	}
	err := h.Search(h.Context(), "none", store.ByName, "", "", func(store.Hit) bool { return true })
	h.wants("no bucket", err, store.ErrNoBucket)
}
