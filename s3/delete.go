package s3

import (
	"context"
	"errors"
	"net/http"

	"gantry/store"
)

// deleteObject deletes an object; S3 says 204 also if there is none, unless If-Match wanted one.
func (g *Gateway) deleteObject(r *request) error {
	if r.query.Has("partNumber") {
		return errArgument("This operation does not accept a partNumber", "partNumber", r.query.Get("partNumber"))
	}
	if err := r.checkVersion(); err != nil {
		return err
	}
	condition, err := r.deleteCondition()
	if err != nil {
		return err
	}
	if err := g.remove(r.Context(), &store.Delete{Key: r.objectKey(), Origin: r.origin(), If: condition}); err != nil {
		return err
	}
	r.NoContent(http.StatusNoContent)
	return nil
}

func (g *Gateway) remove(ctx context.Context, d *store.Delete) error {
	_, err := g.objects.Delete(ctx, d)
	if errors.Is(err, store.ErrNotFound) && d.If.IfMatch == "" {
		return nil
	}
	return err
}
