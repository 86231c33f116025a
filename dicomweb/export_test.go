package dicomweb

// StreamMetadataAfter makes a gateway stream metadata that is larger than n bytes, for tests.
func (g *Gateway) StreamMetadataAfter(n int) { g.maxMetadata = n }
