package dicomweb

import (
	"errors"
	"net/http"

	"gantry/store"
)

// deletePage is how many instances are looked up before they are deleted.
const deletePage = 1000

// delete removes a study, a series or an instance. It goes on until nothing indexed is left, for behind a deleted
// instance a kept duplicate may come up. What is under retention stops it; what was deleted before that stays deleted.
func (rq *request) delete() error {
	deleted := 0
	for {
		keys, err := rq.deletable()
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			break
		}
		before := deleted
		for _, key := range keys {
			if err := rq.ctx.Err(); err != nil {
				return err
			}
			_, err := rq.g.objects.Delete(rq.ctx, &store.Delete{
				Key: store.Key{Bucket: rq.bucket, Name: key}, Origin: rq.origin()})
			switch {
			case err == nil:
				deleted++
			case !errors.Is(err, store.ErrNotFound): // another request was faster: as well
				return err
			}
		}
		if deleted == before {
			break
		}
	}
	if deleted == 0 {
		return notFound("study, series or instance")
	}
	rq.NoContent(http.StatusNoContent)
	return nil
}

// deletable returns the keys of some of the instances that the path names.
func (rq *request) deletable() ([]string, error) {
	if rq.route.sop != "" {
		row, err := rq.instanceRow()
		var own *requestError
		if errors.Is(err, store.ErrNotFound) || errors.As(err, &own) {
			return nil, nil
		}
		return []string{row.Key}, err
	}
	var keys []string
	err := rq.g.objects.Instances(rq.ctx, rq.bucket, rq.route.study, rq.route.series, func(row store.InstanceRow) bool {
		keys = append(keys, row.Key)
		return len(keys) < deletePage
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return keys, err
}
