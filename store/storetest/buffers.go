package storetest

import (
	"fmt"
	"os"
	"testing"

	"gantry/internal/budget"
)

// Main is a TestMain that looks, after all tests, for buffers that nobody gave back: they would be lost to a server that runs for months.
func Main(m *testing.M) {
	code := m.Run()
	const few = 64 << 10 // bytes, of operations that a store was closed under
	if n := budget.UsedBytes(); code == 0 && n > few {
		fmt.Fprintf(os.Stderr, "%d bytes of buffers were not put back\n", n)
		code = 1
	}
	os.Exit(code)
}
