package s3

import (
	"strings"

	"gantry/s3/checksum"
)

// accepted are the x-amz-* headers that operations understand, whatever their value; the operations check it.
var accepted = map[string]bool{
	"x-amz-date": true, "x-amz-content-sha256": true, "x-amz-decoded-content-length": true, "x-amz-trailer": true,
	"x-amz-user-agent": true, "x-amz-te": true, "x-amz-request-payer": true, "x-amz-expected-bucket-owner": true,
	"x-amz-source-expected-bucket-owner": true, "x-amz-optional-object-attributes": true, "x-amz-bypass-governance-retention": true,
	"x-amz-sdk-checksum-algorithm": true, "x-amz-checksum-algorithm": true, "x-amz-checksum-type": true,
	"x-amz-checksum-mode": true, "x-amz-storage-class": true, "x-amz-tagging": true, "x-amz-tagging-directive": true,
	"x-amz-metadata-directive": true, "x-amz-copy-source": true, "x-amz-copy-source-range": true,
	"x-amz-copy-source-if-match": true, "x-amz-copy-source-if-none-match": true,
	"x-amz-copy-source-if-modified-since": true, "x-amz-copy-source-if-unmodified-since": true,
	"x-amz-object-attributes": true, "x-amz-max-parts": true, "x-amz-part-number-marker": true, "x-amz-mp-object-size": true,
	"x-amz-if-match-last-modified-time": true, "x-amz-if-match-size": true,
}

// cannedACLs are those that S3 knows. Only those that change nothing are taken: every bucket is its owner's alone.
var cannedACLs = map[string]bool{
	"private": true, "bucket-owner-full-control": true, "bucket-owner-read": false, "public-read": false,
	"public-read-write": false, "authenticated-read": false, "aws-exec-read": false, "log-delivery-write": false,
}

// storageClasses maps those of S3 to whether objects in them can be read at once, which is all we offer.
var storageClasses = map[string]bool{
	"STANDARD": true, "REDUCED_REDUNDANCY": true, "STANDARD_IA": true, "ONEZONE_IA": true, "INTELLIGENT_TIERING": true,
	"GLACIER_IR": true, "GLACIER": false, "DEEP_ARCHIVE": false, "OUTPOSTS": false, "SNOW": false, "EXPRESS_ONEZONE": false,
	"FSX_OPENZFS": false, "FSX_ONTAP": false,
}

// checkHeaders refuses x-amz-* headers that would be ignored otherwise.
func (r *request) checkHeaders() error {
	for i := range r.amz {
		if err := r.checkHeader(r.amz[i].name, r.amz[i].value); err != nil {
			return err
		}
	}
	return nil
}

func (r *request) checkHeader(name, value string) error {
	if accepted[name] || strings.HasPrefix(name, metaPrefix) {
		if name == "x-amz-storage-class" {
			return checkStorageClass(value)
		}
		return nil
	}
	if _, ok := checksum.ByHeader(name); ok {
		return nil
	}
	switch name {
	case "x-amz-acl":
		return checkACL(value)
	case "x-amz-security-token":
		// There are no temporary credentials: a token belongs to another service.
		if value != "" && r.signature != nil {
			return newError(codeInvalidToken, "")
		}
		return nil
	case "x-amz-object-ownership":
		if value == "BucketOwnerEnforced" {
			return nil
		}
	case "x-amz-bucket-object-lock-enabled":
		if strings.EqualFold(value, "false") {
			return nil
		}
	}
	return errNotImplemented("Header", name)
}

func checkACL(value string) error {
	harmless, known := cannedACLs[value]
	switch {
	case harmless || value == "":
		return nil
	case known:
		return errNotImplemented("Header", "x-amz-acl")
	}
	return errArgument("The canned ACL you specified is not valid.", "x-amz-acl", value)
}

func checkStorageClass(value string) error {
	offered, known := storageClasses[value]
	switch {
	case offered || value == "":
		return nil
	case known:
		return errNotImplemented("Header", "x-amz-storage-class")
	}
	return newError(codeInvalidStorageClass, "").with("StorageClassRequested", clip(value))
}
