package store

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"gantry/store/catalog"
	"gantry/store/segment"
)

// objectExt ends the names of objects that were stored by their DICOM identity.
const objectExt = ".dcm"

// objectName is the key under which an instance is stored when the client gave none.
func (id *Identity) objectName() string {
	return id.Study + "/" + id.Series + "/" + id.SOP + objectExt
}

// shortKey leaves out a key that can be made from the identity: most can, and it is long.
func (id *Identity) shortKey(key string) string {
	if key == id.objectName() {
		return ""
	}
	return key
}

// longKey undoes shortKey.
func (id *Identity) longKey(short string) string {
	if short == "" {
		return id.objectName()
	}
	return short
}

func cutObjectName(name string) (study, series, sop string, ok bool) {
	name, ok = strings.CutSuffix(name, objectExt)
	parts := strings.Split(name, "/")
	if !ok || len(parts) != 3 {
		return "", "", "", false
	}
	return parts[0], parts[1], parts[2], true
}

// index makes a new object findable. If another live object has its SOP Instance UID, that one, being older, stays the
// indexed one.
func (tx *txn) index(h *segment.Header) error {
	d := h.Fields.DICOM
	bucket := h.Fields.BucketID
	first, err := tx.indexed(bucket, d.SOPInstance)
	if err != nil {
		return err
	}
	e := &sopEntry{sop: d.SOPInstance, lsn: LSN(h.LSN), study: d.Study, series: d.Series, key: h.Fields.Key}
	if first == nil {
		tx.put(sopKey(bucket, d.SOPInstance), e)
		return tx.addInstance(h)
	}
	tx.put(duplicateKey(bucket, d.SOPInstance, e.lsn), e)
	if !first.more {
		first.more = true
		tx.put(sopKey(bucket, d.SOPInstance), first)
	}
	return tx.addDuplicates(bucket, 1)
}

// unindex forgets an object that is gone. If it was the indexed one of its SOP Instance UID, the next takes its place.
func (tx *txn) unindex(bucket uint64, old *entry, now int64) error {
	id := old.Instance
	first, err := tx.indexed(bucket, id.SOP)
	if err != nil {
		return err
	}
	if first == nil || first.lsn != old.LSN {
		tx.Delete(duplicateKey(bucket, id.SOP, old.LSN))
		return tx.addDuplicates(bucket, -1)
	}
	tx.Delete(sopKey(bucket, id.SOP))
	if err := tx.removeInstance(bucket, id, old.LSN, now); err != nil || !first.more {
		return err
	}
	others, err := tx.duplicates(bucket, id.SOP, 1)
	if err != nil || len(others) == 0 {
		return err
	}
	next := &others[0]
	next.more = true // or it was the last one: then that is found out when it matters
	tx.Delete(duplicateKey(bucket, id.SOP, next.lsn))
	tx.put(sopKey(bucket, id.SOP), next)
	if err := tx.addDuplicates(bucket, -1); err != nil {
		return err
	}
	h, err := tx.header(next.lsn)
	if errors.Is(err, ErrCorrupt) {
		return nil // its attributes are lost: it can be read by its key, but not be found
	}
	if err != nil {
		return err
	}
	return tx.addInstance(h)
}

// sopEntry is where an instance is.
type sopEntry struct {
	sop                string
	lsn                LSN
	study, series, key string
	more               bool // of the indexed one: others may have its SOP Instance UID, too
}

// append leaves out the SOP Instance UID: it is in the key.
func (e *sopEntry) append(b []byte) []byte {
	id := Identity{Study: e.study, Series: e.series, SOP: e.sop}
	b = appendUID(appendUID(appendUint(b, uint64(e.lsn)), e.study), e.series)
	return appendBool(appendStr(b, id.shortKey(e.key)), e.more)
}

func decodeSOP(sop string, v []byte) (sopEntry, error) {
	d := decoder{b: v}
	e := sopEntry{sop: sop, lsn: LSN(d.uint()), study: d.uid(), series: d.uid()}
	id := Identity{Study: e.study, Series: e.series, SOP: sop}
	e.key, e.more = id.longKey(d.str()), d.bool()
	return e, d.err
}

// indexed finds the live object of lowest LSN with a SOP Instance UID; nil if there is none.
func (tx *txn) indexed(bucket uint64, sop string) (*sopEntry, error) {
	return getIndexed(tx, bucket, sop)
}

func getIndexed(r catalog.Reader, bucket uint64, sop string) (*sopEntry, error) {
	v, ok, err := r.Get(sopKey(bucket, sop))
	if err != nil || !ok {
		return nil, err
	}
	e, err := decodeSOP(sop, v)
	return &e, err
}

// maxHolders bounds how many objects of one SOP Instance UID a put looks at.
const maxHolders = 64

// holders lists the live objects with a SOP Instance UID, the indexed one first. Nearly always there is none, or one, and no need to
// go through keys, which costs many times as much.
func (tx *txn) holders(bucket uint64, sop string) ([]sopEntry, error) {
	first, err := tx.indexed(bucket, sop)
	if err != nil || first == nil {
		return nil, err
	}
	out := []sopEntry{*first}
	if !first.more {
		return out, nil
	}
	others, err := tx.duplicates(bucket, sop, maxHolders-1)
	return append(out, others...), err
}

// duplicates lists live objects that share the SOP Instance UID of the indexed one, by LSN.
func (tx *txn) duplicates(bucket uint64, sop string, most int) ([]sopEntry, error) {
	var out []sopEntry
	var derr error
	from := sopKey(bucket, sop)
	err := catalog.Scan(tx, catalog.After(from), catalog.PrefixEnd(from), func(_, v []byte) bool {
		var e sopEntry
		e, derr = decodeSOP(sop, v)
		out = append(out, e)
		return derr == nil && len(out) < most
	})
	return out, firstError(err, derr)
}

func (tx *txn) addInstance(h *segment.Header) error {
	bucket, d := h.Fields.BucketID, h.Fields.DICOM
	lsn := LSN(h.LSN)
	patient := d.PatientID + "\x00" + d.PatientIDIssuer
	id := Identity{Study: d.Study, Series: d.Series, SOP: d.SOPInstance}
	row := instanceValue{
		SOP: d.SOPInstance, SOPClass: d.SOPClass, TransferSyntax: d.TransferSyntax, HeaderLen: d.HeaderLen,
		FrameCount: d.FrameCount, Number: d.InstanceNumber, Size: objectSize(h), Modified: h.Time, Key: id.shortKey(h.Fields.Key),
		Patient: patient, Attrs: d.InstanceAttrs,
	}
	tx.put(instanceKey(bucket, d.Study, d.Series, lsn), &row)

	study, err := getStudy(tx, bucket, d.Study)
	if err != nil {
		return err
	}
	newStudy := study == nil
	if newStudy {
		study = &studyValue{}
	}
	before, conflict := study.terms(), study.conflict()
	series, err := getSeries(tx, bucket, d.Study, d.Series)
	if err != nil {
		return err
	}
	if series == nil {
		series = &seriesValue{LSN: lsn + 1}
		study.Series++
		study.Modalities.add(series.Modality, 1)
		tx.Put(seriesUIDKey(bucket, d.Series, d.Study), nil)
	}
	if lsn < series.LSN {
		study.swapModality(series.Modality, d.Modality)
		series.source(h)
	}
	if newStudy || lsn < study.LSN {
		study.source(h)
	}
	series.Instances++
	series.Classes.add(d.SOPClass, 1)
	series.Modified = max(series.Modified, h.Time)
	study.Instances++
	study.Classes.add(d.SOPClass, 1)
	study.Patients.add(patient, 1)
	study.Modified = max(study.Modified, h.Time)
	tx.put(seriesKey(bucket, d.Study, d.Series), series)
	tx.putStudy(bucket, d.Study, study, before, conflict)
	return nil
}

func (tx *txn) removeInstance(bucket uint64, id *Identity, lsn LSN, now int64) error {
	key := instanceKey(bucket, id.Study, id.Series, lsn)
	v, ok, err := tx.Get(key)
	if err != nil || !ok {
		return err
	}
	row, err := decodeInstance(v)
	if err != nil {
		return err
	}
	tx.Delete(key)
	study, err := getStudy(tx, bucket, id.Study)
	if err != nil || study == nil {
		return err
	}
	before, conflict := study.terms(), study.conflict()
	if err := tx.shrinkSeries(bucket, id, lsn, study, now); err != nil {
		return err
	}
	study.Instances--
	study.Classes.add(id.SOPClass, -1)
	study.Patients.add(row.Patient, -1)
	study.Modified = max(study.Modified, now)
	if study.Instances == 0 {
		tx.Delete(studyKey(bucket, id.Study))
		tx.Delete(conflictKey(bucket, id.Study))
		tx.swapTerms(bucket, id.Study, before, nil)
		return nil
	}
	if study.LSN == lsn {
		if err := tx.resourceStudy(bucket, id.Study, study); err != nil {
			return err
		}
	}
	tx.putStudy(bucket, id.Study, study, before, conflict)
	return nil
}

// shrinkSeries takes one instance out of its series.
func (tx *txn) shrinkSeries(bucket uint64, id *Identity, lsn LSN, study *studyValue, now int64) error {
	series, err := getSeries(tx, bucket, id.Study, id.Series)
	if err != nil || series == nil {
		return err
	}
	series.Instances--
	series.Classes.add(id.SOPClass, -1)
	series.Modified = max(series.Modified, now)
	if series.Instances == 0 {
		study.Series--
		study.Modalities.add(series.Modality, -1)
		tx.Delete(seriesKey(bucket, id.Study, id.Series))
		tx.Delete(seriesUIDKey(bucket, id.Series, id.Study))
		return nil
	}
	if series.LSN == lsn {
		h, err := tx.oldest(instancePrefix(bucket, id.Study, id.Series))
		switch {
		case errors.Is(err, ErrCorrupt): // keep the attributes that there are
		case err != nil || h == nil:
			return err
		default:
			study.swapModality(series.Modality, h.Fields.DICOM.Modality)
			series.source(h)
		}
	}
	tx.put(seriesKey(bucket, id.Study, id.Series), series)
	return nil
}

// oldest reads the header of the first instance under a prefix that ends with a series.
func (tx *txn) oldest(prefix []byte) (*segment.Header, error) {
	var lsn LSN
	found := false
	err := catalog.Scan(tx, prefix, catalog.PrefixEnd(prefix), func(k, _ []byte) bool {
		lsn, found = LSN(tailUint64(k)), true
		return false
	})
	if err != nil || !found {
		return nil, err
	}
	return tx.header(lsn)
}

// resourceStudy takes the study's attributes from its remaining instance of lowest LSN.
func (tx *txn) resourceStudy(bucket uint64, study string, row *studyValue) error {
	lowest, found := LSN(0), false
	var derr error
	prefix := seriesPrefix(bucket, study)
	err := catalog.Scan(tx, prefix, catalog.PrefixEnd(prefix), func(_, v []byte) bool {
		var s *seriesValue
		if s, derr = decodeSeries(v); derr != nil {
			return false
		}
		if !found || s.LSN < lowest {
			lowest, found = s.LSN, true
		}
		return true
	})
	if err := firstError(err, derr); err != nil || !found {
		return err
	}
	h, err := tx.header(lowest)
	if errors.Is(err, ErrCorrupt) {
		return nil // keep the attributes that there are
	}
	if err != nil {
		return err
	}
	row.source(h)
	return nil
}

// putStudy writes a study's row and what changes beside it: before and conflict tell what it was.
func (tx *txn) putStudy(bucket uint64, study string, row *studyValue, before []term, conflict bool) {
	tx.put(studyKey(bucket, study), row)
	tx.swapTerms(bucket, study, before, row.terms())
	switch {
	case row.conflict() && !conflict:
		tx.Put(conflictKey(bucket, study), nil)
	case !row.conflict() && conflict:
		tx.Delete(conflictKey(bucket, study))
	}
}

// term is one entry of a study-level index.
type term struct {
	ix            Index
	value, detail string
	date, time    string
}

// swapTerms replaces a study's index entries. Entries that stay the same are not touched.
func (tx *txn) swapTerms(bucket uint64, study string, before, after []term) {
	if slices.Equal(before, after) { // nearly always
		return
	}
	for _, t := range before {
		if !slices.Contains(after, t) {
			tx.Delete(indexKey(bucket, t.ix, t.value, study))
		}
	}
	for _, t := range after {
		if !slices.Contains(before, t) {
			v := appendStr(appendStr(appendStr(nil, t.detail), t.date), t.time)
			tx.Put(indexKey(bucket, t.ix, t.value, study), v)
		}
	}
}

func (tx *txn) addDuplicates(bucket uint64, n int64) error {
	t, err := getTotals(tx, bucket)
	if err != nil {
		return err
	}
	t.Duplicates += n
	tx.put(totalsKey(bucket), &t)
	return nil
}

func objectSize(h *segment.Header) int64 {
	if h.Type == segment.TypeComplete {
		return h.Fields.Size
	}
	return h.PayloadLen
}

// identityOf reads what dicomFields wrote. The record was checksummed; a field that does not parse is left empty.
func identityOf(d *segment.DICOM) Identity {
	id := Identity{
		Study: d.Study, Series: d.Series, SOP: d.SOPInstance, SOPClass: d.SOPClass, TransferSyntax: d.TransferSyntax,
		DataSet: d.DataSet, HeaderLen: d.HeaderLen, FrameCount: d.FrameCount, FramesScan: d.FramesScan,
	}
	if b, err := base64.StdEncoding.DecodeString(d.Frames); err == nil && len(b) > 0 {
		id.Frames = b
	}
	return id
}

func dicomFields(in *Instance) *segment.DICOM {
	return &segment.DICOM{
		SOPClass: in.SOPClass, SOPInstance: in.SOP, Series: in.Series,
		Study: in.Study, TransferSyntax: in.TransferSyntax, Charset: in.Charset, DataSet: in.DataSet, HeaderLen: in.HeaderLen,
		FrameCount: in.FrameCount, Frames: base64.StdEncoding.EncodeToString(in.Frames), FramesScan: in.FramesScan,
		PatientID: in.PatientID, PatientIDIssuer: in.PatientIDIssuer, Accession: in.Accession,
		AccessionIssuer: in.AccessionIssuer, Modality: in.Modality, StudyDate: in.StudyDate, StudyTime: in.StudyTime,
		Names: in.Names, InstanceNumber: in.InstanceNumber, StudyAttrs: in.StudyAttrs, SeriesAttrs: in.SeriesAttrs,
		InstanceAttrs: in.SOPAttrs,
	}
}
