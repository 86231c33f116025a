package store

import (
	"errors"
	"syscall"
)

// isNoSpace tells a full disk, or quota, from other errors.
func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
