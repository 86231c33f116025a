package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"gantry/store"
)

// testIndexer reads "dicom|study|series|sop|patient|date|modality|..." instead of DICOM.
func testIndexer(_ context.Context, r io.ReaderAt, size int64) (*store.Instance, error) {
	b := make([]byte, min(size, 512))
	if n, err := r.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) || n < len(b) {
		return nil, fmt.Errorf("read head: %w", err)
	}
	f := strings.Split(string(b), "|")
	if len(f) < 7 || f[0] != "dicom" {
		return nil, errors.New("not the test's kind of DICOM")
	}
	in := &store.Instance{PatientID: f[4], StudyDate: f[5], Modality: f[6], Names: []string{"NAME^" + f[4]}, Accession: "A" + f[1]}
	in.Study, in.Series, in.SOP, in.SOPClass, in.TransferSyntax, in.HeaderLen = f[1], f[2], f[3], "1.2.3", "1.2.840.10008.1.2.1", size
	in.StudyAttrs = []byte(fmt.Sprintf(`{"00100020":%q}`, f[4]))
	in.SeriesAttrs = []byte(fmt.Sprintf(`{"00080060":%q}`, f[6]))
	in.SOPAttrs = []byte(`{}`)
	return in, nil
}

func instance(study, series, sop int, patient string) []byte {
	return []byte(fmt.Sprintf("dicom|1.%d|1.%d.%d|1.%d.%d.%d|%s|20240101|CT|body of %d", study, study, series, study, series, sop, patient, sop))
}

func open(t testing.TB, cfg store.Config) *store.Store {
	t.Helper()
	if cfg.Indexer == nil {
		cfg.Indexer = testIndexer
	}
	s, err := store.Open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func put(t testing.TB, s *store.Store, bucket, key string, data []byte) store.PutResult {
	t.Helper()
	res, err := s.Put(t.Context(), &store.Put{Key: store.Key{Bucket: bucket, Name: key}, Body: bytes.NewReader(data), Size: int64(len(data))})
	if err != nil {
		t.Fatalf("put: %v", err)
	}
	return res
}

func get(t testing.TB, s *store.Store, bucket, key string) []byte {
	t.Helper()
	o, err := s.Get(t.Context(), store.Key{Bucket: bucket, Name: key})
	if err != nil {
		t.Fatalf("get: %v", err)
	}
	defer o.Close()
	r := o.Range(0, o.Size)
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return b
}

func mustBucket(t testing.TB, s *store.Store, name string, st store.BucketSettings) {
	t.Helper()
	if _, err := s.CreateBucket(t.Context(), name, st, store.Origin{}); err != nil {
		t.Fatalf("create bucket: %v", err)
	}
}

func verify(t testing.TB, s *store.Store) {
	t.Helper()
	rep, err := s.Verify(t.Context(), nil)
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	if !rep.Clean() {
		t.Fatalf("verify: %+v", rep)
	}
}

func noise(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func TestObjectsComeBackAfterRestartAndRebuild(t *testing.T) {
	dir := t.TempDir()
	cfg := store.Config{Dir: dir, SegmentBytes: 8 << 20}
	s := open(t, cfg)
	mustBucket(t, s, "plain", store.BucketSettings{})
	sizes := []int{0, 1, 511, 512, 513, 100_000, 1 << 20, 1<<20 + 1, 16 << 20, 16<<20 + 1, 21<<20 + 7}
	want := map[string][]byte{}
	for i, n := range sizes {
		key := fmt.Sprintf("dir/%02d", i)
		want[key] = noise(uint64(i), n)
		put(t, s, "plain", key, want[key])
	}
	check := func(s *store.Store) {
		t.Helper()
		for key, data := range want {
			if got := get(t, s, "plain", key); !bytes.Equal(got, data) {
				t.Errorf("%s: got %d bytes, want %d", key, len(got), len(data))
			}
		}
		verify(t, s)
	}
	check(s)
	page1, err := s.List(t.Context(), &store.List{Bucket: "plain", Max: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, rebuild := range []bool{false, true} {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if rebuild {
			if err := removeCatalog(filepath.Join(dir, "catalog.db")); err != nil {
				t.Fatal(err)
			}
		}
		s = open(t, cfg)
		check(s)
		page2, err := s.List(t.Context(), &store.List{Bucket: "plain", Max: 1000})
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(page1) != fmt.Sprint(page2) {
			t.Errorf("rebuild %v: listing differs:\n%v\n%v", rebuild, page1, page2)
		}
	}
}

// TestBatchesEndAtBlocks stores objects one after the other: no batch begins in a block of the disk that holds bytes acknowledged
// before. (One that is not the last of its batch may be followed at once.)
func TestBatchesEndAtBlocks(t *testing.T) {
	s := open(t, store.Config{Dir: t.TempDir()})
	mustBucket(t, s, "blocks", store.BucketSettings{})
	for i, size := range []int{0, 1, 511, 512, 4095, 4096, 70_000, 1 << 20, 1<<20 + 1} {
		if res := put(t, s, "blocks", fmt.Sprint(i), noise(uint64(i), size)); res.LSN%4096 != 0 {
			t.Errorf("the record after one of %d bytes is at LSN %s", size, res.LSN)
		}
	}
}
