package main

import (
	"fmt"
	"io"
	"path/filepath"

	"gantry/internal/vfs"
)

// lockData makes sure that no gantry runs on the data directory.
func lockData(c *Config) (io.Closer, error) {
	lock, err := vfs.OS{}.Lock(filepath.Join(c.Data, "lock"))
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	return lock, nil
}
