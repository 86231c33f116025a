package s3

import (
	"crypto/md5" //nolint:gosec // S3's ETag is made of MD5s
	"encoding/hex"
	"errors"
	"strconv"
	"strings"

	"gantry/s3/checksum"
	"gantry/store"
)

// completion is a CompleteMultipartUpload being checked.
type completion struct {
	upload    store.Upload
	parts     []store.CompletePart
	algorithm checksum.Algorithm // of the checksum that the client expects of the whole; None if it has not said
	want      []byte             // raw
	size      int64              // that the client expects; -1 if it has not said
}

func (g *Gateway) completeUpload(r *request) error {
	condition, err := r.writeCondition()
	if err != nil {
		return err
	}
	r.sumOfWhole = true
	raw, release, err := g.readXML(r, maxCompleteXML, false)
	if err != nil {
		return err
	}
	defer release()
	c := &completion{size: -1}
	if c.parts, err = parseComplete(raw); err != nil {
		return err
	}
	if err := checkOrder(c.parts); err != nil {
		return err
	}
	id := r.query.Get("uploadId")
	if c.upload, err = g.objects.Upload(r.Context(), r.objectKey(), id); err != nil {
		return g.completedBefore(r, c, err)
	}
	if err := c.expect(r); err != nil {
		return err
	}
	res, err := g.objects.Complete(r.Context(), &store.Complete{Key: r.objectKey(), UploadID: id, Parts: c.parts, Sums: c.sums,
		Origin: r.origin(), If: condition})
	if err != nil {
		return g.completedBefore(r, c, err)
	}
	r.setIndexed(&res)
	g.sendCompleted(r, &res.Info)
	return nil
}

func checkOrder(parts []store.CompletePart) error {
	for i := 1; i < len(parts); i++ {
		if parts[i].Number <= parts[i-1].Number {
			return newError(codeInvalidPartOrder, "")
		}
	}
	return nil
}

// completedBefore makes a repeated Complete succeed: clients repeat it when the answer was lost. It is a repetition if the
// key holds the object that this upload became, of these parts.
func (g *Gateway) completedBefore(r *request, c *completion, err error) error {
	if !errors.Is(err, store.ErrNoUpload) {
		return err
	}
	etags := make([]string, len(c.parts))
	for i := range c.parts {
		etags[i] = c.parts[i].ETag
	}
	info, herr := g.objects.Completed(r.Context(), r.objectKey(), r.query.Get("uploadId"))
	if herr != nil || info.PartCount != len(c.parts) || info.ETag != joinETags(etags) {
		return err
	}
	g.sendCompleted(r, &info)
	return nil
}

func (g *Gateway) sendCompleted(r *request, info *store.Info) {
	scheme := "http://"
	if r.IsTLS() {
		scheme = "https://"
	}
	x := newXML()
	x.root("CompleteMultipartUploadResult")
	x.text("Location", scheme+r.Host()+r.RawPath())
	x.text("Bucket", r.bucket)
	x.text("Key", r.key)
	x.etag(info.ETag)
	x.checksums(info.Checksums)
	x.close("CompleteMultipartUploadResult")
	g.sendXML(r, x)
}

// expect reads what the client says of the whole object.
func (c *completion) expect(r *request) error {
	var err error
	if c.algorithm, c.want, err = r.checksumHeader(); err != nil {
		return err
	}
	if v := r.amzHeader("x-amz-mp-object-size"); v != "" {
		if c.size, err = strconv.ParseInt(v, 10, 64); err != nil || c.size < 0 {
			return errArgument("Value for x-amz-mp-object-size header is invalid.", "x-amz-mp-object-size", v)
		}
	}
	if kind := r.amzHeader("x-amz-checksum-type"); kind != "" && c.upload.ChecksumAlgorithm != "" && kind != uploadType(&c.upload.NewUpload) {
		return newError(codeInvalidRequest, "The upload was created using the "+uploadType(&c.upload.NewUpload)+
			" checksum mode. The complete request must use the same checksum mode.")
	}
	if !c.upload.ChecksumComposite {
		return nil
	}
	for i := range c.parts {
		if !hasChecksum(c.parts[i].Checksums, c.upload.ChecksumAlgorithm) {
			return newError(codeInvalidRequest, "The upload was created using a "+c.upload.ChecksumAlgorithm+" checksum. The complete "+
				"request must include the checksum for each part. It was missing for part "+itoa(c.parts[i].Number)+" in the request.")
		}
	}
	return nil
}

func hasChecksum(sums []store.Checksum, algorithm string) bool {
	for i := range sums {
		if sums[i].Algorithm == algorithm {
			return true
		}
	}
	return false
}

// sums makes ETag and checksum of the whole from those of the parts. It is store.Complete's Sums.
func (c *completion) sums(parts []store.Part) (store.Sums, error) {
	etags, total := make([]string, len(parts)), int64(0)
	for i := range parts {
		etags[i] = parts[i].ETag
		total += parts[i].Size
	}
	if c.size >= 0 && c.size != total {
		return store.Sums{}, newError(codeInvalidRequest, "The provided 'x-amz-mp-object-size' header does not match what was computed.")
	}
	s := store.Sums{ETag: joinETags(etags)}
	algorithm := partAlgorithm(&c.upload)
	sum, ok := combine(parts, algorithm, c.upload.ChecksumComposite)
	if ok {
		s.Checksums = []store.Checksum{sum}
	}
	if c.algorithm == checksum.None {
		return s, nil
	}
	if !ok || c.algorithm != algorithm {
		sum, ok = combine(parts, c.algorithm, false)
	}
	if !ok {
		return s, newError(codeInvalidRequest, "The parts have no "+c.algorithm.String()+" checksum.")
	}
	if value, _, _ := strings.Cut(sum.Value, "-"); value != checksum.Encode(c.want) {
		return s, newError(codeBadDigest, "The "+c.algorithm.String()+" you specified did not match the calculated checksum.")
	}
	return s, nil
}

// joinETags makes the ETag of an object of several parts: the MD5 of their MD5s, and their number.
func joinETags(etags []string) string {
	h := md5.New() //nolint:gosec // see the import
	for _, e := range etags {
		raw, err := hex.DecodeString(e)
		if err != nil {
			raw = []byte(e) // a part that another door stored without an MD5
		}
		h.Write(raw)
	}
	return hexSum(h) + "-" + itoa(len(etags))
}

// combine makes the checksum of the whole; it is not ok if a part has none.
func combine(parts []store.Part, a checksum.Algorithm, composite bool) (store.Checksum, bool) {
	if !composite && !a.Combines() {
		return store.Checksum{}, false
	}
	raw := make([][]byte, len(parts))
	for i := range parts {
		for j := range parts[i].Checksums {
			if c := &parts[i].Checksums[j]; c.Algorithm == a.String() {
				raw[i], _ = a.Decode(c.Value)
			}
		}
		if raw[i] == nil {
			return store.Checksum{}, false
		}
	}
	out := store.Checksum{Algorithm: a.String(), Composite: composite}
	if composite {
		out.Value = a.Composite(raw)
		return out, true
	}
	c := checksum.NewCombiner(a)
	for i := range parts {
		c.Add(raw[i], parts[i].Size)
	}
	out.Value = checksum.Encode(c.Sum())
	return out, true
}
