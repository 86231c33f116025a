package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// progress shows how a long task is getting on: on one line of a terminal, or in a line now and then elsewhere.
type progress struct {
	w        io.Writer
	terminal bool
	every    time.Duration
	started  time.Time
	shown    time.Time
	open     bool // the terminal's line is not ended
}

const (
	progressOnTerminal = 200 * time.Millisecond
	progressInLog      = 5 * time.Second
	watchEvery         = 100 * time.Millisecond // how often the progress is looked at
)

func newProgress(w io.Writer) *progress {
	now := time.Now()
	p := &progress{w: w, every: progressInLog, started: now, shown: now}
	if f, ok := w.(*os.File); ok {
		if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err == nil {
			p.terminal, p.every = true, progressOnTerminal
		}
	}
	return p
}

// due tells whether it is time for another line.
func (p *progress) due() bool { return time.Since(p.shown) >= p.every }

// show writes the line, over the last one on a terminal.
func (p *progress) show(line string) {
	p.shown = time.Now()
	if !p.terminal {
		fmt.Fprintln(p.w, line)
		return
	}
	fmt.Fprintf(p.w, "\r\x1b[K\x1b[?7l%s\x1b[?7h", line) // a narrow terminal cuts it: the next one could not take the place of two lines
	p.open = true
}

// end leaves the terminal at the beginning of a line.
func (p *progress) end() {
	if p.open {
		fmt.Fprintln(p.w)
		p.open = false
	}
}

// watch shows what line says, now and then, until stop is called.
func (p *progress) watch(line func(*progress) string) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if p.due() {
					p.show(line(p))
				}
			case <-quit:
				p.end()
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

// pace says how fast n of total bytes were done, and when the rest will be.
func (p *progress) pace(n, total int64) string {
	elapsed := time.Since(p.started).Seconds()
	rate := float64(n) / max(elapsed, 0.001)
	s := fmt.Sprintf("%.1f MB/s", rate/1e6)
	if total > n && rate > 0 {
		s += ", " + leftText(float64(total-n)/rate) + " left"
	}
	return s
}

// leftText says seconds for people; far ahead it doesn't pretend to be exact.
func leftText(seconds float64) string {
	switch {
	case seconds > 99*3600:
		return fmt.Sprintf("%.0f days", seconds/86400)
	case seconds >= 3600:
		return fmt.Sprintf("%d h %02d min", int(seconds)/3600, int(seconds)/60%60)
	case seconds >= 60:
		return fmt.Sprintf("%d min %02d s", int(seconds)/60, int(seconds)%60)
	}
	return fmt.Sprintf("%.0f s", seconds)
}
