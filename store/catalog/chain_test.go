package catalog_test

import (
	"runtime"
	"testing"

	"gantry/store/catalog"
)

// A sequencer that never pauses makes every batch over the one before it. Those that are committed must not pile up.
func TestCommittedBatchesAreForgotten(t *testing.T) {
	c, err := catalog.OpenMem(catalog.NewMemDisk(), catalog.Options{LogID: "chain"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	forgotten := make(chan struct{})
	last := c.NewBatch()
	last.Put([]byte("key"), []byte("value"))
	runtime.AddCleanup(last, func(int) { close(forgotten) }, 0)
	for lsn := range uint64(100) {
		next := c.NewBatch(last)
		next.Put([]byte("key"), []byte("value"))
		if err := c.Commit(last, lsn); err != nil {
			t.Fatal(err)
		}
		last = next
	}
	for range 100 {
		runtime.GC()
		select {
		case <-forgotten:
			runtime.KeepAlive(last)
			return
		default:
			runtime.Gosched()
		}
	}
	t.Error("the first batch is still reachable from the last")
	runtime.KeepAlive(last)
}
