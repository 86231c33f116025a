package vfs_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"gantry/internal/budget"
	"gantry/internal/vfs"
)

// TestWriteVAligned checks that writes that may go past the page cache and others mix well, seen through reads that use it.
func TestWriteVAligned(t *testing.T) {
	f, err := vfs.OS{}.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var want []byte
	for i, n := range []int{512, 4096, 100, 412, 1 << 20, 512, 1536, 7, 505, 8192} {
		buf := budget.GetBuf(n)
		for j := range buf {
			buf[j] = byte(i + j)
		}
		two := [][]byte{buf, buf}
		if _, err := f.WriteV(two, int64(len(want))); err != nil {
			t.Fatalf("write %d: %v", n, err)
		}
		want = append(append(want, buf...), buf...)
		got := make([]byte, len(want))
		if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("after writing %d: %v, equal %v", n, err, bytes.Equal(got, want))
		}
		budget.PutBuf(buf)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkAppendSync appends batches, each followed by an fdatasync, through the page cache and past it, in turns. It reports
// how many times as fast direct I/O is, and the CPU of both: the evidence for docs/adr/0002.
func BenchmarkAppendSync(b *testing.B) {
	for _, size := range []int{128 << 10, 1 << 20, 4 << 20} {
		b.Run(byteSize(size), func(b *testing.B) {
			var took, cpu [2]time.Duration
			var files [2]vfs.File
			for i := range files {
				var err error
				if files[i], err = (vfs.OS{}).Create(filepath.Join(b.TempDir(), "f")); err != nil {
					b.Fatal(err)
				}
				defer files[i].Close()
			}
			whole := budget.GetBuf(size)
			shifted := make([]byte, size+1)[1:] // not aligned: goes through the page cache
			b.SetBytes(2 * int64(size))
			for i := 0; b.Loop(); i++ {
				for j, buf := range [][]byte{whole, shifted} {
					start, before := time.Now(), cpuTime(b)
					if _, err := files[j].WriteV([][]byte{buf}, int64(i)*int64(size)); err != nil {
						b.Fatal(err)
					}
					if err := files[j].Sync(); err != nil {
						b.Fatal(err)
					}
					took[j] += time.Since(start)
					cpu[j] += cpuTime(b) - before
				}
			}
			b.ReportMetric(took[1].Seconds()/took[0].Seconds(), "speed-ratio")
			b.ReportMetric(float64(cpu[0].Microseconds())/float64(b.N), "direct-cpu-µs")
			b.ReportMetric(float64(cpu[1].Microseconds())/float64(b.N), "cached-cpu-µs")
		})
	}
}

// BenchmarkAppendAligned appends batches as the log does: room is reserved, and while a batch is written those before it are
// synced. In one file all end at multiples of 4 KiB, in the other none does. It reports how many times as fast the first is: the
// evidence for docs/adr/0005.
func BenchmarkAppendAligned(b *testing.B) {
	const batches = 64
	for _, size := range []int{128 << 10, 512 << 10, 1 << 20, 2 << 20} {
		b.Run(byteSize(size), func(b *testing.B) {
			var took [2]time.Duration
			buf := budget.GetBuf(size)
			b.SetBytes(2 * batches * int64(size))
			for i := 0; b.Loop(); i++ {
				for j, n := range []int{size, size - 512} {
					took[j] += appendPipelined(b, filepath.Join(b.TempDir(), strconv.Itoa(2*i+j)), buf[:n], batches)
				}
			}
			b.ReportMetric(took[1].Seconds()/took[0].Seconds(), "speed-ratio")
		})
	}
}

// BenchmarkAppendHuge appends batches as the log does, from a buffer of the pools, in huge pages where the system grants them, and from one on
// the heap. It reports how many times as fast the first is: the evidence for docs/adr/0008.
func BenchmarkAppendHuge(b *testing.B) {
	const batches = 64
	for _, size := range []int{128 << 10, 512 << 10, 1 << 20, 2 << 20} {
		b.Run(byteSize(size), func(b *testing.B) {
			var took, cpu [2]time.Duration
			huge := budget.GetBuf(size)
			defer budget.PutBuf(huge)
			small := make([]byte, size) // aligned by its size
			for i := range size {
				huge[i], small[i] = byte(i), byte(i)
			}
			b.SetBytes(2 * batches * int64(size))
			for i := 0; b.Loop(); i++ {
				for j, buf := range [][]byte{huge, small} {
					before := cpuTime(b)
					took[j] += appendPipelined(b, filepath.Join(b.TempDir(), strconv.Itoa(2*i+j)), buf, batches)
					cpu[j] += cpuTime(b) - before
				}
			}
			b.ReportMetric(took[1].Seconds()/took[0].Seconds(), "speed-ratio")
			b.ReportMetric(cpu[0].Seconds()/cpu[1].Seconds(), "cpu-ratio")
		})
	}
}

// appendPipelined appends buf several times to a new file, each durable in the end, and returns how long that took.
func appendPipelined(b *testing.B, name string, buf []byte, times int) time.Duration {
	b.Helper()
	f, err := vfs.OS{}.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	start := time.Now()
	written, synced := make(chan struct{}, times), make(chan error, 1)
	go func() {
		var err error
		for range written {
			for len(written) > 0 {
				<-written
			}
			err = errors.Join(err, f.Sync())
		}
		synced <- err
	}()
	for i := range times {
		at := int64(i * len(buf))
		if err := f.Reserve(at, int64(len(buf))); err != nil {
			b.Fatal(err)
		}
		if _, err := f.WriteV([][]byte{buf}, at); err != nil {
			b.Fatal(err)
		}
		written <- struct{}{}
	}
	close(written)
	if err := <-synced; err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}

func byteSize(n int) string {
	if n < 1<<20 {
		return strconv.Itoa(n>>10) + "KiB"
	}
	return strconv.Itoa(n>>20) + "MiB"
}

func cpuTime(b *testing.B) time.Duration {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}
