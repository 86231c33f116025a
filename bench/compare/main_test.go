package main

import (
	"strings"
	"testing"
)

func TestScratchTellsOfWhatWasLeft(t *testing.T) {
	parent := t.TempDir()
	var told strings.Builder
	first, err := scratch(parent, &told)
	if err != nil {
		t.Fatal(err)
	}
	second, err := scratch(parent, &told)
	if err != nil || told.Len() > 0 {
		t.Fatalf("beside a run that is under way: %v, %q", err, told.String())
	}
	defer second.Close()
	if err := first.Close(); err != nil { // as when its process is killed
		t.Fatal(err)
	}
	third, err := scratch(parent, &told)
	if err != nil {
		t.Fatal(err)
	}
	defer third.Close()
	if !strings.Contains(told.String(), first.Name()) || strings.Contains(told.String(), second.Name()) {
		t.Errorf("told %q", told.String())
	}
}
