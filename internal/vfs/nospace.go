package vfs

import (
	"errors"
	"syscall"
)

// IsNoSpace tells a full disk, or an exhausted quota, from other errors.
func IsNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
