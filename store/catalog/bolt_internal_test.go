package catalog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestSyncFailureIsToldFromWriteFailure(t *testing.T) {
	wrapped := &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	cases := []struct {
		err  error
		want bool
	}{
		{syscall.EIO, true},
		{fmt.Errorf("flush: %w", syscall.ENOSPC), true},
		{errors.New("file sync error: input/output error"), true},
		{wrapped, false},
		{fmt.Errorf("flush: %w", wrapped), false},
		{errors.New("file resize error: no space left on device"), false},
	}
	for _, tc := range cases {
		if got := isSyncFailure(tc.err); got != tc.want {
			t.Errorf("%v: %v, want %v", tc.err, got, tc.want)
		}
	}
}

// TestFailedWriteIsRolledBack limits the size of files: writes fail as on a full disk, reads go on, and
// the next try works.
func TestFailedWriteIsRolledBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	e, err := openBolt(path, []byte("stamp"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	changes := func(n int) *table {
		tab := new(table)
		for i := range 3000 {
			tab.Set(fmt.Sprintf("k%05d", i), fmt.Appendf(nil, "%d.%d", n, i))
		}
		return tab
	}
	if err := e.write(changes(1), 1); err != nil {
		t.Fatal(err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	// The Go runtime ignores SIGXFSZ: writes past the limit give EFBIG.
	low := syscall.Rlimit{Cur: uint64(info.Size()) - 4096, Max: limit.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &low); err != nil {
		t.Skipf("no file size limit here: %v", err)
	}
	big := changes(2)
	big.Set("k99999", make([]byte, 20<<20))
	failed := e.write(big, 2)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	if failed == nil || errors.Is(failed, ErrBroken) || errors.Is(failed, ErrCorrupt) {
		t.Fatalf("write past the limit: %v", failed)
	}
	if v, ok, err := e.get([]byte("k00007")); err != nil || !ok || string(v) != "1.7" {
		t.Fatalf("after a failed write: %q %v %v", v, ok, err)
	}
	if err := e.write(big, 2); err != nil {
		t.Fatalf("second try: %v", err)
	}
	if v, ok, err := e.get([]byte("k00007")); err != nil || !ok || string(v) != "2.7" {
		t.Fatalf("after the second try: %q %v %v", v, ok, err)
	}
}
