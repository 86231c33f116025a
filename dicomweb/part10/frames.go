package part10

// frames records where the frames are.
func (x *indexer) frames() error {
	x.in.FramesScan = x.in.Pixels != nil
	return nil
}
