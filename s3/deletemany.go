package s3

import (
	"golang.org/x/sync/errgroup"

	"gantry/store"
)

// deleteWorkers is how many keys of one request are deleted at a time; the store commits them together.
const deleteWorkers = 64

// deleteObjects deletes up to 1000 keys, and tells of each what became of it.
func (g *Gateway) deleteObjects(r *request) error {
	raw, release, err := g.readXML(r, maxDeleteXML, true)
	if err != nil {
		return err
	}
	defer release()
	list, quiet, err := parseDelete(raw)
	if err != nil {
		return err
	}
	if _, err := g.objects.Bucket(r.Context(), r.bucket); err != nil {
		return err
	}
	failures := g.deleteAll(r, list)
	x := pooledXML()
	defer x.release()
	x.root("DeleteResult")
	for i := range list {
		x.deleted(&list[i], failures[i], quiet)
	}
	x.close("DeleteResult")
	g.sendXML(r, x)
	return nil
}

func (g *Gateway) deleteAll(r *request, list []deletion) []error {
	failures := make([]error, len(list))
	origin, ctx := r.origin(), r.Context()
	var workers errgroup.Group
	workers.SetLimit(deleteWorkers)
	for i := range list {
		workers.Go(func() error {
			d := &list[i]
			if failures[i] = d.check(); failures[i] == nil {
				k := store.Key{Bucket: r.bucket, Name: d.key}
				failures[i] = g.remove(ctx, &store.Delete{Key: k, Origin: origin, If: d.condition})
			}
			return nil
		})
	}
	_ = workers.Wait() // the workers return nothing
	return failures
}

func (d *deletion) check() error {
	if len(d.key) > store.MaxKeyBytes {
		return newError(codeKeyTooLong, "")
	}
	if d.version != "" && d.version != store.NullVersion {
		return newError(codeNoSuchVersion, "")
	}
	return nil
}

func (x *xmlWriter) deleted(d *deletion, failure error, quiet bool) {
	switch {
	case failure != nil:
		e := translate(failure)
		x.open("Error")
		x.text("Key", d.key)
		x.optional("VersionId", d.version)
		x.text("Code", string(e.code))
		x.text("Message", e.message)
		x.close("Error")
	case !quiet:
		x.open("Deleted")
		x.text("Key", d.key)
		x.optional("VersionId", d.version)
		x.close("Deleted")
	}
}
