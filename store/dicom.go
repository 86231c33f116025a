package store

import (
	"context"
	"encoding/json"
	"io"
	"time"
)

// Indexer reads a DICOM object's header. It is injected, so that the store knows no DICOM syntax. An error means that
// the bytes are not a readable DICOM instance; it is wrapped so that errors.As still finds it. I/O errors of r must be
// returned as they are (they wrap ErrCorrupt or ErrIncompleteBody). r never returns more than size bytes.
type Indexer func(ctx context.Context, r io.ReaderAt, size int64) (*Instance, error)

// Identity is what the catalog keeps with an object that is a DICOM instance.
type Identity struct {
	Study, Series, SOP string // instance UIDs
	SOPClass           string
	TransferSyntax     string // as received
	DataSet            int64  // where the data set begins, after preamble and group 2
	HeaderLen          int64  // bytes before the PixelData element; the whole size where there is none
	FrameCount         int    // 0 where there are no pixels
	Frames             []byte // frame table in the reader's own encoding; nil if FramesScan or no pixels
	FramesScan         bool   // the table is too large for the record: read the object to find frames
}

// Instance is what an Indexer finds out about an object.
type Instance struct {
	Identity
	Charset                           string
	PatientID, PatientIDIssuer        string
	Accession, AccessionIssuer        string
	Modality                          string
	StudyDate                         string   // YYYYMMDD or empty
	StudyTime                         string   // HHMMSS.FFFFFF, cut where unknown, or empty
	Names                             []string // folded component groups of the patient's name
	InstanceNumber                    int
	StudyAttrs, SeriesAttrs, SOPAttrs json.RawMessage // DICOM JSON objects (PS3.18 F.2), one per level
}

// StudyRow is a study as the catalog has it. Attributes are those of its live instance of lowest LSN.
type StudyRow struct {
	UID        string
	LSN        LSN // that instance's
	Attrs      json.RawMessage
	Series     int
	Instances  int
	Modalities []string  // sorted, distinct
	SOPClasses []string  // sorted, distinct
	Conflict   bool      // instances disagree on the patient
	Date, Time string    // normalised StudyDate and StudyTime
	Modified   time.Time // last change of any of its instances
}

// SeriesRow is a series as the catalog has it.
type SeriesRow struct {
	Study, UID string
	LSN        LSN
	Attrs      json.RawMessage
	Instances  int
	Modality   string
	Conflict   bool // the same series UID occurs in another study
	Modified   time.Time
}

// InstanceRow is an indexed instance.
type InstanceRow struct {
	Identity
	Key            string // object key in the bucket
	LSN            LSN
	Attrs          json.RawMessage
	InstanceNumber int
	Size           int64
	Modified       time.Time
}

// Index names a study-level search index.
type Index byte

// The indexes. Values are part of catalog keys; the catalog is rebuilt when they change.
const (
	ByDate      Index = 'd' // StudyDate and StudyTime, newest first; studies without a date come last
	ByPatientID Index = 'p' // PatientID; the issuer is in Hit.Detail
	ByName      Index = 'n' // folded component groups of PatientName, one entry each
	ByAccession Index = 'a' // AccessionNumber; the issuer is in Hit.Detail
	ByModality  Index = 'm' // each modality in the study
)

// Hit is one entry of an index.
type Hit struct {
	Value      string // the indexed value; for ByDate date and time joined, e.g. 20240131120000.000000
	Detail     string // issuer for ByPatientID and ByAccession
	Study      string // study instance UID
	Date, Time string // of the study, for sorting without reading its row
}
