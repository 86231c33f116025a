package store_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"gantry/internal/vfs"
	"gantry/store"

	"golang.org/x/sys/unix"
)

// A batchFS notes the size of every write that the log makes.
type batchFS struct {
	vfs.OS
	mu    sync.Mutex // guards sizes
	sizes []int64
}

type batchFile struct {
	vfs.File
	fs *batchFS
}

func (f *batchFS) Create(name string) (vfs.File, error) {
	file, err := f.OS.Create(name)
	return batchFile{file, f}, err
}

func (f *batchFS) OpenRW(name string) (vfs.File, error) {
	file, err := f.OS.OpenRW(name)
	return batchFile{file, f}, err
}

func (f batchFile) WriteV(bufs [][]byte, off int64) (int64, error) {
	n, err := f.File.WriteV(bufs, off)
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.fs.sizes = append(f.fs.sizes, n)
	return n, err
}

// BenchmarkPutAgainstRaw puts objects and then appends the same bytes in the same batches, each followed by an fdatasync, to
// a plain file. raw-ratio is how many times as long the plain file took: 1 means that the store costs nothing but its disk.
func BenchmarkPutAgainstRaw(b *testing.B) {
	for _, size := range []int{128 << 10, 512 << 10} {
		for _, workers := range []int{1, 16} {
			b.Run(fmt.Sprintf("%dKiB/c=%d", size>>10, workers), func(b *testing.B) { putAgainstRaw(b, size, workers) })
		}
	}
}

func putAgainstRaw(b *testing.B, size, workers int) {
	fsys := new(batchFS)
	s := open(b, store.Config{Dir: b.TempDir(), FS: fsys})
	mustBucket(b, s, "raw", store.BucketSettings{})
	data := noise(1, size)
	const puts = 320
	var stored, raw time.Duration
	var batches int
	b.SetBytes(int64(size) * puts)
	for round := 0; b.Loop(); round++ {
		fsys.sizes = fsys.sizes[:0]
		start := time.Now()
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				for i := w; i < puts; i += workers {
					key := store.Key{Bucket: "raw", Name: fmt.Sprintf("%06d/%04d", round, i)}
					_, err := s.Put(b.Context(), &store.Put{Key: key, Body: bytes.NewReader(data), Size: int64(size)})
					if err != nil {
						b.Error(err)
					}
				}
			})
		}
		wg.Wait()
		stored += time.Since(start)
		batches += len(fsys.sizes)
		b.StopTimer()
		raw += rawAppend(b, filepath.Join(b.TempDir(), "raw"), fsys.sizes, data)
		b.StartTimer()
	}
	b.ReportMetric(raw.Seconds()/stored.Seconds(), "raw-ratio")
	b.ReportMetric(float64(batches)/float64(b.N), "syncs/op")
}

// rawAppend appends batches of the given sizes to a new file and returns how long that took.
func rawAppend(b *testing.B, path string, sizes []int64, data []byte) time.Duration {
	b.Helper()
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer os.Remove(path)
	defer f.Close()
	start := time.Now()
	var at int64
	for _, left := range sizes {
		var bufs [][]byte
		for left > 0 {
			n := min(left, int64(len(data)))
			bufs = append(bufs, data[:n])
			left -= n
		}
		n, err := unix.Pwritev(int(f.Fd()), bufs, at)
		if err != nil {
			b.Fatal(err)
		}
		at += int64(n)
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(start)
}
