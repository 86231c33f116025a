package store_test

import (
	"testing"

	"gantry/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }
