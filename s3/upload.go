package s3

import (
	"net/http"
	"strconv"
	"strings"

	"gantry/s3/checksum"
	"gantry/store"
)

func (g *Gateway) createUpload(r *request) error {
	if err := r.refuseVersion(); err != nil {
		return err
	}
	if _, err := r.writeCondition(); err != nil {
		return err
	}
	meta, err := r.meta()
	if err != nil {
		return err
	}
	n := &store.NewUpload{Key: r.objectKey(), Meta: meta, Origin: r.origin()}
	if err := r.uploadChecksum(n); err != nil {
		return err
	}
	up, err := g.objects.CreateUpload(r.Context(), n)
	if err != nil {
		return err
	}
	if n.ChecksumAlgorithm != "" {
		r.SetHeader("x-amz-checksum-algorithm", n.ChecksumAlgorithm)
		r.SetHeader("x-amz-checksum-type", uploadType(n))
	}
	x := newXML()
	x.root("InitiateMultipartUploadResult")
	x.text("Bucket", r.bucket)
	x.text("Key", r.key)
	x.text("UploadId", up.ID)
	x.close("InitiateMultipartUploadResult")
	g.sendXML(r, x)
	return nil
}

func uploadType(n *store.NewUpload) string {
	return checksumType(&store.Checksum{Composite: n.ChecksumComposite})
}

// uploadChecksum reads which checksum an upload shall have. CRC-64 is only ever of the whole object, the SHAs only ever of
// the parts, the other CRCs either (https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html).
func (r *request) uploadChecksum(n *store.NewUpload) error {
	name, kind := r.amzHeader("x-amz-checksum-algorithm"), strings.ToUpper(r.amzHeader("x-amz-checksum-type"))
	if name == "" {
		if kind != "" {
			return newError(codeInvalidRequest, "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")
		}
		return nil
	}
	a, err := parseAlgorithm(name)
	if err != nil {
		return err
	}
	n.ChecksumAlgorithm = a.String()
	var ok bool
	switch kind {
	case "":
		n.ChecksumComposite = a != checksum.CRC64NVME
		return nil
	case "COMPOSITE":
		n.ChecksumComposite = true
		ok = a != checksum.CRC64NVME
	case "FULL_OBJECT":
		ok = a.Combines()
	default:
		return newError(codeInvalidRequest, "Value for x-amz-checksum-type header is invalid.")
	}
	if !ok {
		return newError(codeInvalidRequest, "The "+kind+" checksum type cannot be used with the "+strings.ToLower(name)+" checksum algorithm.")
	}
	return nil
}

// partTarget reads which part of which upload a request is about.
func (g *Gateway) partTarget(r *request) (int, *store.Upload, error) {
	if v, ok := r.query.Lookup("versionId"); ok {
		return 0, nil, errArgument("This operation does not accept a version-id.", "versionId", v)
	}
	v := r.query.Get("partNumber")
	number, err := strconv.Atoi(v)
	if err != nil || number < 1 || number > store.MaxParts {
		return 0, nil, errPartNumber(v)
	}
	if _, err := r.writeCondition(); err != nil {
		return 0, nil, err
	}
	up, err := g.objects.Upload(r.Context(), r.objectKey(), r.query.Get("uploadId"))
	return number, &up, err
}

// partAlgorithm is the checksum that parts of an upload need so that the whole can have one.
func partAlgorithm(up *store.Upload) checksum.Algorithm {
	if a, ok := checksum.Parse(up.ChecksumAlgorithm); ok {
		return a
	}
	return checksum.CRC64NVME
}

func (g *Gateway) uploadPart(r *request) error {
	number, up, err := g.partTarget(r)
	if err != nil {
		return err
	}
	b, err := r.openBody(partAlgorithm(up))
	if err != nil {
		return err
	}
	defer b.close()
	if up.ChecksumAlgorithm != "" && b.extra != nil {
		return newError(codeInvalidRequest, "Checksum Type mismatch occurred, expected checksum Type: "+
			strings.ToLower(up.ChecksumAlgorithm)+", actual checksum Type: "+strings.ToLower(b.algorithm.String()))
	}
	part, err := g.objects.PutPart(r.Context(), &store.PutPart{Key: r.objectKey(), UploadID: up.ID, Number: number, Body: b,
		Size: b.size, Sums: b.sums, Origin: r.origin()})
	if err != nil {
		return err
	}
	r.SetHeader("ETag", quote(part.ETag))
	for i := range part.Checksums {
		if a, ok := checksum.Parse(part.Checksums[i].Algorithm); ok && a == b.algorithm {
			r.SetHeader(a.Header(), part.Checksums[i].Value)
		}
	}
	r.NoContent(http.StatusOK)
	return nil
}

func (g *Gateway) abortUpload(r *request) error {
	if err := g.objects.Abort(r.Context(), r.objectKey(), r.query.Get("uploadId"), r.origin()); err != nil {
		return err
	}
	r.NoContent(http.StatusNoContent)
	return nil
}
