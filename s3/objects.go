package s3

import (
	"context"

	"gantry/store"
)

// Objects is what the gateway needs of a store; *store.Store has it. All methods are safe for concurrent use and return the
// sentinel errors of package store, wrapped.
type Objects interface {
	objectStore
	bucketStore
	uploadStore
}

type objectStore interface {
	Put(ctx context.Context, p *store.Put) (store.PutResult, error)
	Head(ctx context.Context, k store.Key) (store.Info, error)
	Get(ctx context.Context, k store.Key) (*store.Object, error) // the caller closes it
	Delete(ctx context.Context, d *store.Delete) (store.Info, error)
	List(ctx context.Context, l *store.List) (store.Page, error)
}

type bucketStore interface {
	Buckets(ctx context.Context) ([]store.Bucket, error)
	Bucket(ctx context.Context, name string) (store.Bucket, error)
	CreateBucket(ctx context.Context, name string, st store.BucketSettings, o store.Origin) (store.Bucket, error)
	DeleteBucket(ctx context.Context, name string, o store.Origin) error
}

type uploadStore interface {
	CreateUpload(ctx context.Context, n *store.NewUpload) (store.Upload, error)
	Upload(ctx context.Context, k store.Key, id string) (store.Upload, error)
	PutPart(ctx context.Context, p *store.PutPart) (store.Part, error)
	Parts(ctx context.Context, k store.Key, id string, after, limit int) (parts []store.Part, truncated bool, err error)
	Uploads(ctx context.Context, l *store.ListUploads) (store.UploadPage, error)
	Complete(ctx context.Context, c *store.Complete) (store.PutResult, error)
	Completed(ctx context.Context, k store.Key, id string) (store.Info, error)
	Abort(ctx context.Context, k store.Key, id string, o store.Origin) error
}
