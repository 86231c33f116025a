package main

import (
	"strings"
	"testing"
)

// TestProgressStaysOnOneLine: what is wider than the terminal is cut there, or every update would leave a line behind.
func TestProgressStaysOnOneLine(t *testing.T) {
	var b strings.Builder
	p := newProgress(&b)
	p.show("in a log")
	p.terminal = true
	p.show("first")
	p.show("second")
	p.end()
	const at, off, on = "\r\x1b[K", "\x1b[?7l", "\x1b[?7h"
	if got, want := b.String(), "in a log\n"+at+off+"first"+on+at+off+"second"+on+"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
