package store_test

import (
	"path/filepath"
	"testing"

	"gantry/internal/vfs"
	"gantry/store"
	"gantry/store/catalog"
	"gantry/store/storetest"
)

// The suite on the operating system's files and bbolt, with a cache of blocks.
func TestConformanceOnDisk(t *testing.T) {
	storetest.Run(t, func(t testing.TB, cfg store.Config) (store.Config, func() error) {
		cfg.Dir, cfg.CacheBytes = t.TempDir(), 8<<20
		return cfg, func() error { return catalog.Remove(filepath.Join(cfg.Dir, "catalog.db")) }
	})
}

// The suite on files and a catalog in memory.
func TestConformanceInMemory(t *testing.T) {
	storetest.Run(t, func(t testing.TB, cfg store.Config) (store.Config, func() error) {
		d := disk{fs: vfs.NewMem(), cat: catalog.NewMemDisk()}
		own := d.config()
		cfg.Dir, cfg.FS, cfg.OpenCatalog, cfg.RemoveCatalog = own.Dir, own.FS, own.OpenCatalog, own.RemoveCatalog
		return cfg, own.RemoveCatalog
	})
}
