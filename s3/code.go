package s3

import "net/http"

// code is an error code of S3 (https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html).
type code string

const (
	codeAccessDenied          code = "AccessDenied"
	codeAccessForbidden       code = "AccessForbidden"
	codeBadDigest             code = "BadDigest"
	codeBucketExists          code = "BucketAlreadyExists"
	codeBucketOwned           code = "BucketAlreadyOwnedByYou"
	codeBucketNotEmpty        code = "BucketNotEmpty"
	codeEntityTooLarge        code = "EntityTooLarge"
	codeEntityTooSmall        code = "EntityTooSmall"
	codeIncompleteBody        code = "IncompleteBody"
	codeInternalError         code = "InternalError"
	codeInvalidAccessKey      code = "InvalidAccessKeyId"
	codeInvalidArgument       code = "InvalidArgument"
	codeInvalidBucketName     code = "InvalidBucketName"
	codeInvalidDigest         code = "InvalidDigest"
	codeInvalidPart           code = "InvalidPart"
	codeInvalidPartNumber     code = "InvalidPartNumber"
	codeInvalidPartOrder      code = "InvalidPartOrder"
	codeInvalidRange          code = "InvalidRange"
	codeInvalidRequest        code = "InvalidRequest"
	codeInvalidStorageClass   code = "InvalidStorageClass"
	codeInvalidTag            code = "InvalidTag"
	codeInvalidToken          code = "InvalidToken"
	codeInvalidURI            code = "InvalidURI"
	codeKeyTooLong            code = "KeyTooLongError"
	codeMalformedXML          code = "MalformedXML"
	codeMetadataTooLarge      code = "MetadataTooLarge"
	codeMethodNotAllowed      code = "MethodNotAllowed"
	codeMissingContentLength  code = "MissingContentLength"
	codeNoSuchBucket          code = "NoSuchBucket"
	codeNoSuchBucketPolicy    code = "NoSuchBucketPolicy"
	codeNoSuchCORS            code = "NoSuchCORSConfiguration"
	codeNoSuchEncryption      code = "ServerSideEncryptionConfigurationNotFoundError"
	codeNoSuchKey             code = "NoSuchKey"
	codeNoSuchLifecycle       code = "NoSuchLifecycleConfiguration"
	codeNoSuchObjectLock      code = "ObjectLockConfigurationNotFoundError"
	codeNoSuchPublicAccess    code = "NoSuchPublicAccessBlockConfiguration"
	codeNoSuchReplication     code = "ReplicationConfigurationNotFoundError"
	codeNoSuchTagSet          code = "NoSuchTagSet"
	codeNoSuchUpload          code = "NoSuchUpload"
	codeNoSuchVersion         code = "NoSuchVersion"
	codeNoSuchWebsite         code = "NoSuchWebsiteConfiguration"
	codeNotImplemented        code = "NotImplemented"
	codePreconditionFailed    code = "PreconditionFailed"
	codeRequestTimeout        code = "RequestTimeout"
	codeRequestTimeTooSkewed  code = "RequestTimeTooSkewed"
	codeServiceUnavailable    code = "ServiceUnavailable"
	codeSignatureDoesNotMatch code = "SignatureDoesNotMatch"
	codeSlowDown              code = "SlowDown"
	codeSHA256Mismatch        code = "XAmzContentSHA256Mismatch"
)

// status gives the HTTP status that goes with a code. Codes not listed are 400.
func (c code) status() int {
	switch c {
	case codeAccessDenied, codeAccessForbidden, codeInvalidAccessKey, codeSignatureDoesNotMatch, codeRequestTimeTooSkewed:
		return http.StatusForbidden
	case codeNoSuchBucket, codeNoSuchKey, codeNoSuchUpload, codeNoSuchVersion, codeNoSuchBucketPolicy, codeNoSuchCORS,
		codeNoSuchEncryption, codeNoSuchLifecycle, codeNoSuchObjectLock, codeNoSuchPublicAccess, codeNoSuchReplication,
		codeNoSuchTagSet, codeNoSuchWebsite:
		return http.StatusNotFound
	case codeMethodNotAllowed:
		return http.StatusMethodNotAllowed
	case codeBucketExists, codeBucketOwned, codeBucketNotEmpty:
		return http.StatusConflict
	case codeMissingContentLength:
		return http.StatusLengthRequired
	case codePreconditionFailed:
		return http.StatusPreconditionFailed
	case codeInvalidRange, codeInvalidPartNumber:
		return http.StatusRequestedRangeNotSatisfiable
	case codeInternalError:
		return http.StatusInternalServerError
	case codeNotImplemented:
		return http.StatusNotImplemented
	case codeSlowDown, codeServiceUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

// messages are S3's own words.
var messages = map[code]string{
	codeAccessDenied:         "Access Denied",
	codeAccessForbidden:      "CORSResponse: CORS is not enabled for this bucket.",
	codeBadDigest:            "The Content-MD5 you specified did not match what we received.",
	codeBucketExists:         "The requested bucket name is not available. Please select a different name and try again.",
	codeBucketOwned:          "Your previous request to create the named bucket succeeded and you already own it.",
	codeBucketNotEmpty:       "The bucket you tried to delete is not empty.",
	codeEntityTooLarge:       "Your proposed upload exceeds the maximum allowed size",
	codeEntityTooSmall:       "Your proposed upload is smaller than the minimum allowed size",
	codeIncompleteBody:       "You did not provide the number of bytes specified by the Content-Length HTTP header.",
	codeInternalError:        "We encountered an internal error. Please try again.",
	codeInvalidBucketName:    "The specified bucket is not valid.",
	codeInvalidDigest:        "The Content-MD5 you specified is not valid.",
	codeInvalidPart:          "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.",
	codeInvalidPartNumber:    "The requested partnumber is not satisfiable",
	codeInvalidPartOrder:     "The list of parts was not in ascending order. Parts must be ordered by part number.",
	codeInvalidRange:         "The requested range is not satisfiable",
	codeInvalidStorageClass:  "The storage class you specified is not valid",
	codeInvalidTag:           "The tag provided was not a valid tag.",
	codeInvalidToken:         "The provided token is malformed or otherwise invalid.",
	codeInvalidURI:           "Couldn't parse the specified URI.",
	codeKeyTooLong:           "Your key is too long",
	codeMalformedXML:         "The XML you provided was not well-formed or did not validate against our published schema",
	codeMetadataTooLarge:     "Your metadata headers exceed the maximum allowed metadata size",
	codeMethodNotAllowed:     "The specified method is not allowed against this resource.",
	codeMissingContentLength: "You must provide the Content-Length HTTP header.",
	codeNoSuchBucket:         "The specified bucket does not exist",
	codeNoSuchBucketPolicy:   "The bucket policy does not exist",
	codeNoSuchCORS:           "The CORS configuration does not exist",
	codeNoSuchEncryption:     "The server side encryption configuration was not found",
	codeNoSuchKey:            "The specified key does not exist.",
	codeNoSuchLifecycle:      "The lifecycle configuration does not exist",
	codeNoSuchObjectLock:     "Object Lock configuration does not exist for this bucket",
	codeNoSuchPublicAccess:   "The public access block configuration was not found",
	codeNoSuchReplication:    "The replication configuration was not found",
	codeNoSuchTagSet:         "The TagSet does not exist",
	codeNoSuchUpload:         "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.",
	codeNoSuchVersion:        "The specified version does not exist.",
	codeNoSuchWebsite:        "The specified bucket does not have a website configuration",
	codeNotImplemented:       "A header or query you provided implies functionality that is not implemented",
	codePreconditionFailed:   "At least one of the pre-conditions you specified did not hold",
	codeRequestTimeout:       "Your socket connection to the server was not read from or written to within the timeout period.",
	codeServiceUnavailable:   "Service is unable to handle request.",
	codeSlowDown:             "Please reduce your request rate.",
	codeSHA256Mismatch:       "The provided 'x-amz-content-sha256' header does not match what was computed.",
}
