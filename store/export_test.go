package store_test

import "gantry/store/catalog"

func removeCatalog(path string) error { return catalog.Remove(path) }
