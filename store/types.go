package store

import (
	"fmt"
	"io"
	"time"
)

// Sizes that are part of the contract with callers.
const (
	MaxRecord     = 16 << 20 // largest object kept as one record; beyond it, extents
	ExtentSize    = 4 << 20  // size of every extent but the last
	MaxObject     = 5 << 40  // largest object, 5 TiB
	MaxPut        = 5 << 30  // largest single put or part that S3 allows, 5 GiB; the store itself takes MaxObject
	MinPart       = 5 << 20  // smallest part but the last
	MaxParts      = 10000    // part numbers are 1..MaxParts
	MaxKeyBytes   = 1024     // UTF-8 bytes of an object key
	MaxUserMeta   = 2 << 10  // bytes of user metadata, keys plus values, as S3 counts them
	NullVersion   = "null"   // version id of objects in a bucket without versioning
	DICOMMimeType = "application/dicom"
)

// LSN is the byte offset of a record in the log, as if the log were one endless file (DESIGN §2). Zero is no record.
type LSN uint64

// String gives the 16 hex digits used in file names and logs.
func (l LSN) String() string { return fmt.Sprintf("%016x", uint64(l)) }

// Key names an object.
type Key struct {
	Bucket string
	Name   string // 1..MaxKeyBytes bytes of UTF-8, any character but NUL
}

// Checksum is one checksum of an object or part, as S3 spells it.
type Checksum struct {
	Algorithm string // CRC32, CRC32C, CRC64NVME, SHA1, SHA256
	Value     string // base64; composite values end in -N
	Composite bool   // checksum of the parts' checksums, not of the bytes
}

// Meta is what a client says of an object and gets back unchanged.
type Meta struct {
	System       map[string]string // lower-case header names: content-type, cache-control, content-disposition, content-encoding, content-language, expires, website-redirect-location
	User         map[string]string // x-amz-meta-* without the prefix, lower-case names
	Tags         map[string]string
	StorageClass string // as the client asked; empty means STANDARD
}

// Origin tells who sent a write and through which door; it is kept in the record for audit.
type Origin struct {
	Owner, Principal    string // key ids
	Door                string // s3, stow, import
	Peer                string // address of the client
	CallingAE, CalledAE string
	RequestID           string
}

// Info describes a stored object.
type Info struct {
	Key
	Meta
	LSN       LSN
	Version   string // version id; NullVersion where the bucket keeps none
	Size      int64
	ETag      string    // without quotes; not an MD5 when it ends in -N
	Modified  time.Time // commit time, UTC, as the log has it
	Owner     string
	Checksums []Checksum
	PartCount int       // parts of a multipart upload, 0 for any other object
	Instance  *Identity // nil unless the object is an indexed or duplicate DICOM instance
}

// Part describes an uploaded part, or a part of a completed object.
type Part struct {
	Number    int
	Size      int64
	ETag      string
	Modified  time.Time
	Checksums []Checksum
}

// Sums is what a gateway knows of a body only after the last byte: the ETag it computed (empty: the store makes one
// that ends in -N) and the checksums it verified.
type Sums struct {
	ETag      string
	Digest    []byte // of the bytes, for the ETag that the store makes; may be nil
	Checksums []Checksum
	Took      time.Duration // spent on them, for the metrics
}

// Condition is a precondition on the current object under a key, checked in log order against every earlier write.
// The zero value always holds.
type Condition struct {
	IfMatch     string    // "" or an ETag without quotes, or "*": the object must exist and have it; a missing object is ErrNotFound
	IfNoneMatch string    // "" or an ETag, or "*": no object, or none with that ETag
	IfModified  time.Time // delete only: Modified must equal it, to the second
	IfSize      *int64    // delete only
}

// Put describes one object to store.
type Put struct {
	Key
	// Body is read to its end; Size is its length, or -1 when unknown. A body that ends early or goes on is ErrIncompleteBody.
	Body io.Reader
	Size int64
	// AtMost is the most that Body can hold, in bytes, where Size is -1; 0 if that is unknown, too. Memory for the body is reserved
	// by it; a body that holds more is ErrIncompleteBody, or goes on as extents beyond MaxRecord.
	AtMost int64
	// Sums is called once after the end of Body, before anything becomes visible. An error refuses the put. May be nil.
	Sums func() (Sums, error)
	Meta
	Origin
	If Condition
	// Instance is set for puts that must be a DICOM instance (STOW, import). Name is then empty: it is made from the
	// identity, as study/series/instance.dcm.
	Instance *InstancePut
}

// InstancePut holds the rules for storing a DICOM instance by its identity.
type InstancePut struct {
	Study string // if not empty, the only StudyInstanceUID accepted; others are ErrWrongStudy
}

// PutResult tells what a put did.
type PutResult struct {
	Info
	Stored    bool  // false: the same data set is stored already, Info is that object's
	Duplicate bool  // stored, but another live object has the same SOP Instance UID and stays the indexed one
	Unindexed error // stored in a dicom bucket though it could not be read as DICOM: why
}

// Delete names an object to delete.
type Delete struct {
	Key
	Origin
	If Condition
}

// List asks for one page of keys in UTF-8 byte order.
type List struct {
	Bucket    string
	Prefix    string
	Delimiter string
	After     string // only keys greater than this
	SkipAfter bool   // After is a common prefix of an earlier page: skip every key that starts with it
	Max       int    // keys plus common prefixes, 0..10000
}

// Page is one page of a listing.
type Page struct {
	Objects   []Info   // Instance is left out
	Prefixes  []string // common prefixes, in order
	Truncated bool
	Next      string // the last key or prefix of the page: After of the next one
	NextSkip  bool   // SkipAfter of the next page
}

// NewUpload starts a multipart upload.
type NewUpload struct {
	Key
	Meta
	Origin
	ChecksumAlgorithm string // "" or one of Checksum.Algorithm
	ChecksumComposite bool
}

// Upload is a multipart upload in progress.
type Upload struct {
	NewUpload
	ID        string
	Initiated time.Time
}

// PutPart stores one part of an upload; a part of the same number is replaced.
type PutPart struct {
	Key
	UploadID string
	Number   int
	Body     io.Reader
	Size     int64 // -1 when unknown
	Sums     func() (Sums, error)
	Origin
}

// Complete makes an upload an object.
type Complete struct {
	Key
	UploadID string
	Parts    []CompletePart // ascending
	// Sums gets the stored parts, in order, and returns the ETag and checksums of the whole; an error refuses.
	Sums func(parts []Part) (Sums, error)
	Origin
	If Condition
}

// CompletePart is one line of a CompleteMultipartUpload.
type CompletePart struct {
	Number    int
	ETag      string
	Checksums []Checksum // those the client repeated; must equal the part's
}

// ListUploads asks for one page of uploads in progress, by key, then by time of start.
type ListUploads struct {
	Bucket, Prefix, Delimiter string
	AfterKey, AfterID         string
	Max                       int
}

// UploadPage is one page of uploads.
type UploadPage struct {
	Uploads         []Upload
	Prefixes        []string
	Truncated       bool
	NextKey, NextID string
}

// Bucket is a named set of objects.
type Bucket struct {
	ID       uint64 // never reused
	Name     string
	Created  time.Time
	Owner    string
	Settings BucketSettings
}

// BucketSettings are kept in the log with the bucket.
type BucketSettings struct {
	DICOM      bool       `json:"dicom,omitempty"`      // index DICOM objects
	Strict     bool       `json:"strict,omitempty"`     // refuse what does not parse as DICOM
	Duplicates Duplicates `json:"duplicates,omitempty"` // STOW of other content under a known SOP Instance UID; empty means refuse
}

// Duplicates is the policy for other content under a known SOP Instance UID.
type Duplicates string

// Policies; the words are those of the configuration.
const (
	Refuse  Duplicates = "refuse"  // ErrDuplicate
	Replace Duplicates = "replace" // a new version under the same key
	Keep    Duplicates = "keep"    // stored beside it, counted, not indexed
)
