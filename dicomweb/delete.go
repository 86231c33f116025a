package dicomweb

import (
	"net/http"

	"gantry/store"
)

// delete removes a study, a series or an instance, duplicates that were kept beside an instance included. What is under
// retention stops it; what was deleted before that stays deleted.
func (rq *request) delete() error {
	id := store.Identity{Study: rq.route.study, Series: rq.route.series, SOP: rq.route.sop}
	if _, err := rq.g.objects.DeleteInstances(rq.ctx, rq.bucket, id, rq.origin()); err != nil {
		return err
	}
	rq.NoContent(http.StatusNoContent)
	return nil
}
