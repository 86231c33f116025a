package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
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

// locked tells whether a gantry runs on the data directory. A directory that does not exist is not locked.
func locked(c *Config) (bool, error) {
	if _, err := os.Stat(c.Data); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	lock, err := lockData(c)
	if errors.Is(err, vfs.ErrLocked) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, lock.Close()
}

// requireData fails where there is no store: a command that only looks must not make one.
func requireData(c *Config) error {
	if _, err := os.Stat(filepath.Join(c.Data, "log")); err != nil {
		return fmt.Errorf("no store in the data directory %s: %w", c.Data, err)
	}
	return nil
}
