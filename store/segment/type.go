package segment

import "strconv"

// Type says what a record is. Types that a reader does not know are kept and copied like all others.
type Type uint8

// Record types: part of the format, never renumber. 1 to 98 are records of the log; 10 to 19 and 27 to 98 are free.
const (
	// TypeObject is an object in one record.
	TypeObject Type = 1
	// TypeExtent is a piece of a large object.
	TypeExtent Type = 2
	// TypePart commits a part of a multipart upload.
	TypePart Type = 3
	// TypeComplete commits a large object. The payload is a short text that says which extents it is made of.
	TypeComplete Type = 4
	// TypeDelete is a tombstone or a delete marker.
	TypeDelete Type = 5
	// TypeUpload opens a multipart upload.
	TypeUpload Type = 6
	// TypeAbort ends an upload without an object.
	TypeAbort Type = 7
	// TypeBucket creates a bucket or changes its settings.
	TypeBucket Type = 8
	// TypeBucketDelete removes a bucket.
	TypeBucketDelete Type = 9

	// TypeOverride changes attributes that queries answer (patient merge, study correction); the object stays as it is.
	TypeOverride Type = 20
	// TypeReject marks instances as rejected.
	TypeReject Type = 21
	// TypeCommitment is a storage commitment.
	TypeCommitment Type = 22
	// TypeAudit is an audit line.
	TypeAudit Type = 23
	// TypeControl is for the log itself (epochs, checkpoints).
	TypeControl Type = 24
	// TypeCredential is an access key, encrypted under a key that is not in the log.
	TypeCredential Type = 25
	// TypeSetting is a setting of the site or pair.
	TypeSetting Type = 26

	// TypeFooter ends a sealed file. It is not a record of the log: it takes no LSN, the one it carries is where the
	// log goes on.
	TypeFooter Type = 99
)

var typeNames = map[Type]string{
	TypeObject: "object", TypeExtent: "extent", TypePart: "part", TypeComplete: "complete", TypeDelete: "delete",
	TypeUpload: "upload", TypeAbort: "abort", TypeBucket: "bucket", TypeBucketDelete: "bucketdelete",
	TypeOverride: "override", TypeReject: "reject", TypeCommitment: "commitment", TypeAudit: "audit",
	TypeControl: "control", TypeCredential: "credential", TypeSetting: "setting", TypeFooter: "footer",
}

// String returns the type's word, or its number if it has none.
func (t Type) String() string {
	if name, ok := typeNames[t]; ok {
		return name
	}
	return "type" + strconv.Itoa(int(t))
}

// valid says whether the type fits its two digits.
func (t Type) valid() bool { return t > 0 && t < 100 }
