package catalog_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"gantry/store/catalog"
)

const (
	benchValueBytes   = 200
	benchKeysPerBatch = 80 // ten instances of eight keys
)

// benchKey is the n-th key of an archive: studies come in random order, the instances of one lie together.
func benchKey(dst []byte, n uint64) []byte {
	study := (n / 200) * 0x9E3779B97F4A7C15
	dst = append(dst, 'i')
	dst = catalog.AppendUint64(dst, study)
	dst = catalog.AppendString(dst, "1.2.840.113619.2.55.3.1234567.1")
	return catalog.AppendUint64(dst, n)
}

func benchCommit(b testing.TB, c *catalog.Catalog, from, n int) {
	value := make([]byte, benchValueBytes)
	var key []byte
	batch := c.NewBatch()
	for i := range n {
		key = benchKey(key[:0], uint64(from+i))
		binary.BigEndian.PutUint64(value, uint64(from+i))
		batch.Put(key, value)
	}
	if err := c.Commit(batch, uint64(from+n)); err != nil {
		b.Fatal(err)
	}
}

func benchOpen(b testing.TB, o catalog.Options) *catalog.Catalog {
	c, err := catalog.Open(filepath.Join(b.TempDir(), "catalog.db"), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Abort() })
	return c
}

// benchFilled holds flushed keys in the engine and some more in the overlay, interleaved.
func benchFilled(b testing.TB, flushed, overlaid int) *catalog.Catalog {
	c := benchOpen(b, catalog.Options{Manual: true, OverlayBytes: 1 << 30})
	for at := 0; at < flushed; at += benchKeysPerBatch {
		benchCommit(b, c, at, benchKeysPerBatch)
	}
	if err := c.Flush(context.Background()); err != nil {
		b.Fatal(err)
	}
	if overlaid > 0 {
		step := flushed / overlaid
		batch := c.NewBatch()
		for i := range overlaid {
			key := append(benchKey(nil, uint64(i*step)), 'x')
			batch.Put(key, make([]byte, benchValueBytes))
		}
		if err := c.Commit(batch, uint64(2*flushed)); err != nil {
			b.Fatal(err)
		}
	}
	return c
}

func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{8, benchKeysPerBatch, 640} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			c := benchOpen(b, catalog.Options{})
			b.ReportAllocs()
			at := 0
			for b.Loop() {
				benchCommit(b, c, at, n)
				at += n
			}
			b.ReportMetric(float64(at)/b.Elapsed().Seconds(), "keys/s")
			s := c.Stats()
			b.ReportMetric(float64(s.CommitWaits), "waits")
		})
	}
}

func BenchmarkGet(b *testing.B) {
	c := benchFilled(b, 400_000, 40_000)
	run := func(name string, key func(i int) []byte) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, _, err := c.Get(key(i)); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
	var buf []byte
	run("engine", func(i int) []byte {
		buf = benchKey(buf[:0], uint64(i*7919%400_000))
		return buf
	})
	run("overlay", func(i int) []byte {
		buf = append(benchKey(buf[:0], uint64(i*7919%40_000*10)), 'x')
		return buf
	})
	run("missing", func(i int) []byte {
		buf = append(benchKey(buf[:0], uint64(i*7919%400_000)), 'y')
		return buf
	})
}

func BenchmarkScan(b *testing.B) {
	for _, overlaid := range []int{0, 40_000} {
		c := benchFilled(b, 400_000, overlaid)
		for _, reverse := range []bool{false, true} {
			b.Run(fmt.Sprintf("overlay=%d/reverse=%v", overlaid, reverse), func(b *testing.B) {
				b.ReportAllocs()
				keys := 0
				for b.Loop() {
					it := c.Iter(nil, nil)
					if reverse {
						it.Close()
						it = c.IterReverse(nil, nil)
					}
					for it.Next() {
						keys++
					}
					if err := it.Close(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(keys)/b.Elapsed().Seconds(), "keys/s")
			})
		}
	}
}

// BenchmarkSkipScan takes the first key of each study, as a listing with a delimiter does.
func BenchmarkSkipScan(b *testing.B) {
	c := benchFilled(b, 400_000, 40_000)
	b.ReportAllocs()
	seeks := 0
	for b.Loop() {
		it := c.Iter([]byte("i"), []byte("j"))
		for ok := it.Next(); ok; seeks++ {
			ok = it.Seek(catalog.PrefixEnd(it.Key()[:9]))
		}
		if err := it.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(seeks)/b.Elapsed().Seconds(), "seeks/s")
}

func BenchmarkSnapshot(b *testing.B) {
	c := benchFilled(b, 40_000, 4_000)
	b.ReportAllocs()
	for b.Loop() {
		c.Snapshot().Close()
	}
}

// BenchmarkFill reports the rate, file size and memory of filling a catalog as a rebuild does.
func BenchmarkFill(b *testing.B) {
	const keys = 1_000_000
	for b.Loop() {
		c := benchOpen(b, catalog.Options{})
		for at := 0; at < keys; at += benchKeysPerBatch {
			benchCommit(b, c, at, benchKeysPerBatch)
		}
		if err := c.Flush(context.Background()); err != nil {
			b.Fatal(err)
		}
		s := c.Stats()
		b.ReportMetric(float64(s.FileBytes)/keys, "file-B/key")
		b.ReportMetric(float64(s.FlushedKeys)/float64(s.Flushes), "keys/flush")
		b.ReportMetric(float64(residentAnonymous(b))/(1<<20), "RssAnon-MB")
		c.Abort()
	}
	b.ReportMetric(keys*float64(b.N)/b.Elapsed().Seconds(), "keys/s")
}

// residentAnonymous returns RssAnon in bytes: memory of our own, without the mapped file.
func residentAnonymous(t testing.TB) int64 {
	t.Helper()
	runtime.GC()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(status), "RssAnon:")
	var kb int64
	if _, err := fmt.Sscanf(rest, "%d", &kb); err != nil || !ok {
		t.Fatalf("no RssAnon: %v", err)
	}
	return kb << 10
}
