package segment

import "encoding/json"

// Header is everything of a record but its payload.
type Header struct {
	// Version is the format version. AppendHeader takes 0 as the newest one.
	Version int
	Type    Type
	// LSN is the record's place in the log: its offset in the file plus the LSN of the file's first byte. In packs it no longer
	// fits the offset.
	LSN uint64
	// Epoch is the ownership under which the record was committed.
	Epoch uint64
	// CommitPoint is the LSN up to which everything was acknowledged when the batch was formed. Only the first record of
	// a batch needs it.
	CommitPoint uint64
	// First and Last mark the ends of a group commit.
	First, Last bool
	// Time is the commit time in nanoseconds since 1970 UTC, 0 to MaxTime.
	Time int64
	// Name is the member name: see MemberName, ExtentName and ControlName.
	Name string
	// PayloadLen is the length of the payload in bytes, 0 to MaxPayload.
	PayloadLen int64
	Fields     Fields
	// Len is the length of the header in bytes, a multiple of 512. Set by DecodeHeader, ignored by AppendHeader.
	Len int
}

// RecordLen returns the length in bytes of the whole record: header, payload and padding.
func (h *Header) RecordLen() int64 {
	return int64(h.Len) + h.PayloadLen + Padding(h.PayloadLen)
}

// Stamp returns what of the header is known only at commit.
func (h *Header) Stamp() Stamp {
	return Stamp{LSN: h.LSN, Epoch: h.Epoch, CommitPoint: h.CommitPoint, First: h.First, Last: h.Last, Time: h.Time}
}

// Fields is the JSON part of a header. Zero values are not written. Strings may hold any bytes. The keys, given on the
// right, are part of the format.
type Fields struct {
	Encoding string   // enc: how the payload is stored; "" is plain
	CRC      []uint32 // crc: CRC-32C of each BlockSize of the payload, the last one shorter; 8 hex digits each, joined

	BucketID     uint64 // bid: never reused
	Bucket       string // b
	Key          string // k: the true key, of which the member name is a readable form
	VersionID    string // v
	NullVersion  bool   // nv
	DeleteMarker bool   // dm

	Owner     string // o
	Principal string // p: who did it
	Door      string // d: "s3", "stow", "import"
	Peer      string // pe: address it came from
	CallingAE string // ca: AE titles of a DICOM sender
	CalledAE  string // ce
	RequestID string // r: finds a forwarded request again

	Size      int64      // sz: of the whole object in bytes, where that is not the payload
	ETag      string     // et: without quotes
	Checksums []Checksum // cs
	Parts     []Part     // pt: short part tables; long ones are in the payload
	PartCount int        // pc

	Stream     uint64 // st: which extents belong together
	Index      int    // ix: which extent of the stream, from 0
	UploadID   string // u
	PartNumber int    // pn: 1 to 10000

	System map[string]string // sy: Content-Type and its like; names in lower case
	User   map[string]string // um: x-amz-meta-*, names without that prefix
	Tags   map[string]string // tg

	StorageClass string // sc: "" is STANDARD
	LockMode     string // lm: GOVERNANCE or COMPLIANCE
	RetainUntil  int64  // ru: nanoseconds since 1970 UTC
	LegalHold    bool   // lh

	DICOM    *DICOM          // dcm
	Settings json.RawMessage // set: bucket settings and other control payloads

	// Extra holds the fields that this version does not know; they are written back as they were.
	Extra map[string]json.RawMessage
}

// Checksum is one of S3's additional checksums.
type Checksum struct {
	Algorithm string // a: "CRC32C" etc.
	Value     string // v: base64
	Composite bool   // c: over the parts' checksums, not over the whole object
}

// Part is an entry of a multipart object's part table.
type Part struct {
	Number    int        // n
	Size      int64      // s
	ETag      string     // e
	Checksums []Checksum // c
}

// DICOM is what queries and retrieval need to know of an instance, so that nothing is parsed twice.
type DICOM struct {
	SOPClass       string // cl
	SOPInstance    string // i
	Series         string // se
	Study          string // s
	TransferSyntax string // ts: as received
	Charset        string // ch: (0008,0005) as received
	DataSet        int64  // ds: where the data set begins in the payload, after preamble and group 2
	HeaderLen      int64  // hl: bytes of the payload before the pixel data
	FrameCount     int    // fc: number of frames; 0 without pixels
	Frames         string // fr: frame and fragment offsets, base64
	FramesScan     bool   // fs: offsets are too many for the header; scan the payload

	PatientID       string   // pid
	PatientIDIssuer string   // pii
	Accession       string   // ac
	AccessionIssuer string   // aci
	Modality        string   // m
	StudyDate       string   // sd
	StudyTime       string   // st
	Names           []string // n: the patient's name, each component group, UTF-8
	InstanceNumber  int      // in

	// DICOM JSON objects (PS3.18 F) of the attributes that QIDO answers from, private ones with their creators.
	StudyAttrs    json.RawMessage // sa
	SeriesAttrs   json.RawMessage // ea
	InstanceAttrs json.RawMessage // ia

	// Extra holds the fields that this version does not know.
	Extra map[string]json.RawMessage
}
