package dicomweb

import (
	"context"
	"fmt"
	"io"

	"gantry/dicomweb/part10"
	"gantry/store"
)

// Objects is what the gateway needs of the store. All methods are safe for concurrent use; errors wrap store's
// sentinels. Callbacks may call back into Objects.
type Objects interface {
	Bucket(ctx context.Context, name string) (store.Bucket, error)
	Begin(ctx context.Context, p *store.Put) (*store.Pending, error)
	Get(ctx context.Context, k store.Key) (*store.Object, error)
	DeleteInstances(ctx context.Context, bucket string, id store.Identity, o store.Origin) (int, error)

	Search(ctx context.Context, bucket string, ix store.Index, lo, hi string, fn func(store.Hit) bool) error
	Study(ctx context.Context, bucket, study string) (store.StudyRow, error)
	SeriesOf(ctx context.Context, bucket, study string, fn func(store.SeriesRow) bool) error
	SeriesRow(ctx context.Context, bucket, study, series string) (store.SeriesRow, error)
	StudiesWith(ctx context.Context, bucket, series string, fn func(study string) bool) error
	Instances(ctx context.Context, bucket, study, series string, fn func(store.InstanceRow) bool) error
	Instance(ctx context.Context, bucket, sop string) (store.InstanceRow, error)
	InstanceInfo(ctx context.Context, bucket, sop string) (store.Info, error)
	OpenInstance(ctx context.Context, bucket, sop string) (*store.Object, error)
}

var _ Objects = (*store.Store)(nil)

var _ store.Indexer = Index

// Index reads a DICOM object's header for the store: package part10 knows nothing of the store, nor the store of DICOM.
func Index(_ context.Context, r io.ReaderAt, size int64) (*store.Instance, error) {
	in, err := part10.Index(r, size)
	if err != nil {
		return nil, fmt.Errorf("read DICOM header: %w", err)
	}
	frames := in.NumberOfFrames
	if in.Pixels != nil {
		frames = max(frames, 1)
	}
	return &store.Instance{
		Identity: store.Identity{
			Study: in.StudyUID, Series: in.SeriesUID, SOP: in.SOPUID, SOPClass: in.SOPClass,
			TransferSyntax: in.TransferSyntax, DataSet: in.DataSet, HeaderLen: in.HeaderLen,
			FrameCount: frames, Frames: in.Frames, FramesScan: in.FramesScan,
		},
		Charset:   in.Charset,
		PatientID: in.PatientID, PatientIDIssuer: in.PatientIDIssuer,
		Accession: in.Accession, AccessionIssuer: in.AccessionIssuer,
		Modality: in.Modality, StudyDate: in.StudyDate, StudyTime: in.StudyTime,
		Names: in.PatientNames, InstanceNumber: in.InstanceNumber,
		StudyAttrs: in.StudyAttrs, SeriesAttrs: in.SeriesAttrs, SOPAttrs: in.InstanceAttrs,
	}, nil
}
