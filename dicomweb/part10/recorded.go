package part10

// RecordedLevel tells at which query level an Instance records an attribute: 1 study, 2 series, 3 instance; 0 if it
// does not. Private elements are recorded with the instance, if they are short.
func RecordedLevel(tag uint32) int {
	if isPrivate(tag) {
		return int(levelInstance)
	}
	return int(loadDictionary().slot(tag).level)
}
