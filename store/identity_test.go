package store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"gantry/store"
)

// TestRottenInstanceIsNotCompared sends an instance again whose stored copy has rotted: neither "stored already" nor "another one"
// would be true, so it is refused with the damage, and nothing changes; but where others may take its place, it does.
func TestRottenInstanceIsNotCompared(t *testing.T) {
	t.Run("record of today", func(t *testing.T) { rottenInstance(t, int64(len("dicom|"))) })
	t.Run("record that does not tell where the data set begins", func(t *testing.T) { rottenInstance(t, 0) })
}

func rottenInstance(t *testing.T, dataSet int64) {
	dir := t.TempDir()
	s := open(t, store.Config{Dir: dir, Indexer: func(ctx context.Context, r io.ReaderAt, size int64) (*store.Instance, error) {
		in, err := testIndexer(ctx, r, size)
		if err == nil {
			in.DataSet = dataSet
		}
		return in, err
	}})
	mustBucket(t, s, "dicom", store.BucketSettings{DICOM: true})
	in := instance(1, 1, 1, "P")
	stow := func() (store.PutResult, error) {
		return s.Put(t.Context(), &store.Put{Key: store.Key{Bucket: "dicom"}, Body: bytes.NewReader(in), Size: -1, Instance: &store.InstancePut{}})
	}
	first, err := stow()
	if err != nil || !first.Stored {
		t.Fatalf("first: %+v, %v", first, err)
	}
	segments, err := filepath.Glob(filepath.Join(dir, "log", "*.tar"))
	if err != nil || len(segments) != 1 {
		t.Fatalf("segments %v, %v", segments, err)
	}
	text, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.LastIndex(text, in)
	if at < 0 {
		t.Fatal("the instance is not in the segment")
	}
	f, err := os.OpenFile(segments[0], os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, damage := range []bool{true, false} {
		b := in[len(in)-1]
		if damage {
			b ^= 1
		}
		if _, err := f.WriteAt([]byte{b}, int64(at+len(in)-1)); err != nil {
			t.Fatal(err)
		}
		again, err := stow()
		var known *store.InstanceError
		switch {
		case damage && (!errors.Is(err, store.ErrCorrupt) || !errors.As(err, &known)):
			t.Errorf("the stored copy is damaged: %+v, %v", again, err)
		case !damage && (err != nil || again.Stored || again.LSN != first.LSN):
			t.Errorf("the stored copy is mended: %+v, %v", again, err)
		}
	}
	if _, err := f.WriteAt([]byte{in[len(in)-1] ^ 1}, int64(at+len(in)-1)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.UpdateBucket(t.Context(), "dicom", store.BucketSettings{DICOM: true, Duplicates: store.Replace}, store.Origin{}); err != nil {
		t.Fatal(err)
	}
	if again, err := stow(); err != nil || !again.Stored {
		t.Errorf("the damaged copy is not replaced: %+v, %v", again, err)
	}
}
