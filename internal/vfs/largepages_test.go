package vfs_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"gantry/internal/budget"
	"gantry/internal/vfs"
)

// TestEnlargePages reads a file in pieces, has its pages enlarged, and looks at how the kernel maps it before and after.
func TestEnlargePages(t *testing.T) {
	const huge = 2 << 20
	path := filepath.Join(t.TempDir(), "f")
	want := writeBlocks(t, path, 2*huge)
	f, err := vfs.OS{}.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	compare := func() {
		t.Helper()
		got := make([]byte, len(want))
		for off := len(got) - huge/8; off >= 0; off -= huge / 8 { // backwards, so that the kernel reads nothing ahead
			if _, err := f.ReadAt(got[off:off+huge/8], int64(off)); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, want) {
			t.Fatal("what is read is not what was written")
		}
	}
	compare()
	before := mappedLarge(t, path)
	for range 3 { // a page that is in use somewhere stays
		if err := f.EnlargePages(huge, huge); err != nil {
			t.Fatal(err)
		}
		compare()
		if mappedLarge(t, path) > before {
			return
		}
	}
	if largeFolios(t, path) {
		t.Errorf("%d bytes are mapped in large pages, as before", before)
	}
}

// writeBlocks writes a file past the page cache, where that can be.
func writeBlocks(t *testing.T, path string, n int) []byte {
	t.Helper()
	f, err := vfs.OS{}.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buf := budget.GetBuf(n)
	defer budget.PutBuf(buf)
	for i := range buf {
		buf[i] = byte(i * i >> 7)
	}
	if _, err := f.WriteV([][]byte{buf}, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(buf)
}

// mappedLarge is how many bytes of a file, all of which are in the page cache, one entry of the upper page tables maps each 2 MiB of.
func mappedLarge(t *testing.T, path string) (kb int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	m, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(m) }()
	if err := unix.Madvise(m, unix.MADV_POPULATE_READ); err != nil {
		t.Fatal(err)
	}
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer maps.Close()
	ours := false
	for s := bufio.NewScanner(maps); s.Scan(); {
		if strings.Contains(s.Text(), "-") && strings.Contains(s.Text(), "/") {
			ours = strings.HasSuffix(s.Text(), path)
		}
		if v, ok := strings.CutPrefix(s.Text(), "FilePmdMapped:"); ok && ours {
			if _, err := fmt.Sscan(v, &kb); err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Skip("the kernel does not tell how a file is mapped")
	return 0
}

// largeFolios tells whether the file system is known to have large pages.
func largeFolios(t *testing.T, path string) bool {
	t.Helper()
	var fs unix.Statfs_t
	var u unix.Utsname
	if err := unix.Statfs(path, &fs); err != nil {
		t.Fatal(err)
	}
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	return fs.Type == unix.EXT4_SUPER_MAGIC && (major > 6 || major == 6 && minor >= 16)
}
