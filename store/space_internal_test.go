package store

import (
	"testing"
	"testing/synctest"
	"time"

	"gantry/internal/vfs"
)

// freeFS is a disk of which so much is free, and that counts how often it is asked.
type freeFS struct {
	vfs.FS
	free  uint64
	asked int
}

func (f *freeFS) Free(string) (free, total uint64, err error) {
	f.asked++
	return f.free, 1 << 40, nil
}

// TestNearlyFullLooksAsOftenAsNeeded writes batches of a mebibyte, all at one moment, to a disk whose reserve is 4 GiB: what is written
// since the last look counts, and near the reserve nothing is written without one.
func TestNearlyFullLooksAsOftenAsNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const batch, reserve = 1 << 20, 4 << 30
		ops := []*op{{records: []*record{{raw: make([]byte, batch)}}}}
		for _, c := range []struct {
			above          uint64 // what is free above the reserve, bytes
			batches, asked int
		}{
			{10 * plenty, 1000, 1},
			{plenty + 5*batch, 10, 6}, // five are certain to fit
			{plenty + 5*batch, 1100, 1096},
			{10 * batch, 20, 20},
			{0, 20, 20},
		} {
			disk := &freeFS{free: reserve + c.above}
			s := &Store{cfg: Config{FS: disk, MinFreeBytes: reserve}}
			s.metrics = newMetrics(nil, s)
			fit := 0
			for range c.batches {
				if !s.nearlyFull(ops) {
					disk.free -= batch
					fit++
				}
			}
			if want := min(c.batches, int(c.above/batch)); fit != want || disk.asked != c.asked {
				t.Errorf("%d batches, %d MiB above the reserve: %d fit, the disk was asked %d times; want %d and %d",
					c.batches, c.above>>20, fit, disk.asked, want, c.asked)
			}
		}
		disk := &freeFS{free: reserve + 10*plenty}
		s := &Store{cfg: Config{FS: disk, MinFreeBytes: reserve}}
		s.metrics = newMetrics(nil, s)
		for range 3 {
			s.nearlyFull(ops)
			time.Sleep(lookAfter)
		}
		if disk.asked != 3 {
			t.Errorf("asked %d times in three periods", disk.asked)
		}
	})
}
