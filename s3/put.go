package s3

import (
	"net/http"

	"gantry/s3/checksum"
	"gantry/store"
)

func (g *Gateway) putObject(r *request) error {
	if err := r.refuseVersion(); err != nil {
		return err
	}
	condition, err := r.writeCondition()
	if err != nil {
		return err
	}
	meta, err := r.meta()
	if err != nil {
		return err
	}
	b, err := r.openBody(checksum.None)
	if err != nil {
		return err
	}
	defer b.close()
	res, err := g.objects.Put(r.Context(), &store.Put{Key: r.objectKey(), Body: b, Size: b.size, Sums: b.sums, Meta: meta,
		Origin: r.origin(), If: condition})
	if err != nil {
		return err
	}
	r.SetHeader("ETag", quote(res.ETag))
	r.setChecksums(res.Checksums)
	r.setIndexed(&res)
	r.NoContent(http.StatusOK)
	return nil
}

// refuseVersion refuses requests that make an object and yet name a version or part of one.
func (r *request) refuseVersion() error {
	for _, name := range []string{"versionId", "partNumber"} {
		if v, ok := r.query.Lookup(name); ok {
			return errArgument("This operation does not accept a "+name, name, v)
		}
	}
	return nil
}

// setIndexed says what a dicom bucket made of an object.
func (r *request) setIndexed(res *store.PutResult) {
	if res.Duplicate {
		r.SetHeader(headerDuplicate, "true")
	}
	if res.Unindexed != nil {
		r.SetHeader(headerUnindexed, "true")
	}
}
