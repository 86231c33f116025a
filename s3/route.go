package s3

import (
	"net/http"
	"strings"

	"gantry/internal/auth"
)

// operation is one operation of the API. Operations that check permissions of their own need none here.
type operation struct {
	name  string
	needs auth.Permission
	run   func(*Gateway, *request) error
}

// The operations on the service and on buckets.
var (
	opListBuckets      = &operation{"ListBuckets", 0, (*Gateway).listBuckets}
	opCreateBucket     = &operation{"CreateBucket", auth.Admin, (*Gateway).createBucket}
	opHeadBucket       = &operation{"HeadBucket", auth.Read, (*Gateway).headBucket}
	opDeleteBucket     = &operation{"DeleteBucket", auth.Admin, (*Gateway).deleteBucket}
	opListObjects      = &operation{"ListObjects", auth.Read, (*Gateway).listObjects}
	opListObjectsV2    = &operation{"ListObjectsV2", auth.Read, (*Gateway).listObjectsV2}
	opListVersions     = &operation{"ListObjectVersions", auth.Read, (*Gateway).listVersions}
	opListUploads      = &operation{"ListMultipartUploads", auth.Read, (*Gateway).listUploads}
	opDeleteObjects    = &operation{"DeleteObjects", auth.Delete, (*Gateway).deleteObjects}
	opBucketProbe      = &operation{"GetBucketConfiguration", auth.Read, (*Gateway).probeBucket}
	opPreflight        = &operation{"Preflight", 0, (*Gateway).preflight}
	opRefused          = &operation{"NotImplemented", 0, (*Gateway).refuse}
	opMethodNotAllowed = &operation{"MethodNotAllowed", 0, (*Gateway).refuseMethod}
)

// The operations on objects.
var (
	opGetObject      = &operation{"GetObject", auth.Read, (*Gateway).getObject}
	opHeadObject     = &operation{"HeadObject", auth.Read, (*Gateway).headObject}
	opPutObject      = &operation{"PutObject", auth.Write, (*Gateway).putObject}
	opCopyObject     = &operation{"CopyObject", auth.Write, (*Gateway).copyObject}
	opDeleteObject   = &operation{"DeleteObject", auth.Delete, (*Gateway).deleteObject}
	opGetAttributes  = &operation{"GetObjectAttributes", auth.Read, (*Gateway).getAttributes}
	opObjectProbe    = &operation{"GetObjectConfiguration", auth.Read, (*Gateway).probeObject}
	opCreateUpload   = &operation{"CreateMultipartUpload", auth.Write, (*Gateway).createUpload}
	opUploadPart     = &operation{"UploadPart", auth.Write, (*Gateway).uploadPart}
	opUploadPartCopy = &operation{"UploadPartCopy", auth.Write, (*Gateway).uploadPartCopy}
	opCompleteUpload = &operation{"CompleteMultipartUpload", auth.Write, (*Gateway).completeUpload}
	opAbortUpload    = &operation{"AbortMultipartUpload", auth.Write, (*Gateway).abortUpload}
	opListParts      = &operation{"ListParts", auth.Read, (*Gateway).listParts}
)

// route picks the operation. What is known of S3 but not implemented is routed to a refusal, so that it is refused only
// after its sender was authenticated.
func route(r *request) *operation {
	if r.Method() == http.MethodOptions {
		return opPreflight
	}
	sub, known := r.subresource()
	if !known {
		return opRefused
	}
	switch {
	case r.bucket == "":
		return routeService(r, sub)
	case r.key == "":
		return routeBucket(r, sub)
	}
	return routeObject(r, sub)
}

func routeService(r *request, sub string) *operation {
	switch {
	case sub != "":
		return opRefused
	case r.Method() == http.MethodGet || r.Method() == http.MethodHead:
		return opListBuckets
	}
	return opMethodNotAllowed
}

func routeBucket(r *request, sub string) *operation {
	method := r.Method()
	switch {
	case sub == "":
		return routePlainBucket(r)
	case sub == "delete" && method == http.MethodPost:
		return opDeleteObjects
	case method != http.MethodGet:
		return opRefused
	case sub == "uploads":
		return opListUploads
	case sub == "versions":
		return opListVersions
	case bucketProbes[sub] != nil:
		return opBucketProbe
	}
	return opRefused
}

func routePlainBucket(r *request) *operation {
	switch r.Method() {
	case http.MethodGet:
		if r.query.Get("list-type") == "2" {
			return opListObjectsV2
		}
		return opListObjects
	case http.MethodHead:
		return opHeadBucket
	case http.MethodPut:
		return opCreateBucket
	case http.MethodDelete:
		return opDeleteBucket
	case http.MethodPost:
		return opRefused // form uploads
	}
	return opMethodNotAllowed
}

func routeObject(r *request, sub string) *operation {
	method := r.Method()
	switch {
	case sub == "":
		return routePlainObject(r)
	case sub == "uploads" && method == http.MethodPost:
		return opCreateUpload
	case sub == "uploadId":
		return routeUpload(r)
	case method != http.MethodGet:
		return opRefused
	case sub == "attributes":
		return opGetAttributes
	case objectProbes[sub] != nil:
		return opObjectProbe
	}
	return opRefused
}

func routePlainObject(r *request) *operation {
	switch r.Method() {
	case http.MethodGet:
		return opGetObject
	case http.MethodHead:
		return opHeadObject
	case http.MethodPut:
		if r.isCopy() {
			return opCopyObject
		}
		return opPutObject
	case http.MethodDelete:
		return opDeleteObject
	case http.MethodPost:
		return opRefused
	}
	return opMethodNotAllowed
}

func routeUpload(r *request) *operation {
	switch r.Method() {
	case http.MethodPut:
		if r.isCopy() {
			return opUploadPartCopy
		}
		return opUploadPart
	case http.MethodPost:
		return opCompleteUpload
	case http.MethodDelete:
		return opAbortUpload
	case http.MethodGet:
		return opListParts
	}
	return opMethodNotAllowed
}

func (r *request) isCopy() bool {
	_, ok := r.lookupAmz("x-amz-copy-source")
	return ok
}

// readParams are parameters that refine a read without naming a sub-resource.
var readParams = map[string]bool{
	"prefix": true, "delimiter": true, "marker": true, "max-keys": true, "encoding-type": true, "list-type": true,
	"continuation-token": true, "start-after": true, "fetch-owner": true, "key-marker": true, "version-id-marker": true,
	"upload-id-marker": true, "max-uploads": true, "max-parts": true, "part-number-marker": true, "max-buckets": true,
	"bucket-region": true, "response-content-type": true, "response-content-language": true, "response-expires": true,
	"response-cache-control": true, "response-content-disposition": true, "response-content-encoding": true,
}

// subresources are the parameters that S3 gives a meaning of their own, implemented or not.
var subresources = map[string]bool{
	"abac": true, "accelerate": true, "acl": true, "analytics": true, "annotation": true, "annotations": true, "append": true, "attributes": true,
	"cors": true, "delete": true, "encryption": true, "intelligent-tiering": true, "inventory": true, "legal-hold": true,
	"lifecycle": true, "location": true, "logging": true, "metadataConfiguration": true, "metadataInventoryTable": true,
	"metadataJournalTable": true, "metadataTable": true, "metrics": true, "notification": true, "object-lock": true,
	"ownershipControls": true, "policy": true, "policyStatus": true, "publicAccessBlock": true, "renameObject": true,
	"replication": true, "requestPayment": true, "restore": true, "retention": true, "select": true, "select-type": true,
	"session": true, "tagging": true, "torrent": true, "uploadId": true, "uploads": true, "versioning": true, "versions": true,
	"website": true,
}

// subresource finds the one sub-resource that a query names. It is not known if there are several, or if a parameter means
// something that we don't know: one without a value, or any on a request that writes.
func (r *request) subresource() (sub string, known bool) {
	reads := r.Method() == http.MethodGet || r.Method() == http.MethodHead
	for i := range r.query {
		name := r.query[i].Name
		switch {
		case subresources[name]:
			if sub != "" && sub != name {
				return "", false
			}
			sub = name
		case name == "versionId" || name == "partNumber":
		case strings.HasPrefix(strings.ToLower(name), "x-"): // x-amz-* are headers; any other S3 passes over
		case name == "AWSAccessKeyId" || name == "Signature" || name == "Expires": // refused as what it is, with the signature
		case reads && readParams[name]:
		case !reads || r.query[i].Value == "":
			return "", false
		}
	}
	return sub, true
}

func (g *Gateway) refuse(r *request) error {
	var names []string
	for i := range r.query {
		if !hasAmzPrefix(r.query[i].Name) {
			names = append(names, r.query[i].Name)
		}
	}
	if len(names) == 0 { // a form, most likely
		return errNotImplemented("Method", r.Method())
	}
	return errNotImplemented("Query", r.Method()+" "+strings.Join(names, "&"))
}

func (g *Gateway) refuseMethod(*request) error { return newError(codeMethodNotAllowed, "") }

// preflight answers OPTIONS: no bucket has a CORS configuration.
func (g *Gateway) preflight(r *request) error {
	if r.Header("origin") == "" {
		return newError(codeInvalidRequest, "Insufficient information. Origin request header needed.")
	}
	return newError(codeAccessForbidden, "").with("Method", clip(r.Header("access-control-request-method"))).with("ResourceType", "BUCKET")
}
