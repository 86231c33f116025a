package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clockTick is the unit of CPU times in /proc/PID/stat; USER_HZ is 100 on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// A usage is what a process and its children have used so far.
type usage struct {
	cpu                time.Duration
	rss, rssAnon       int64 // bytes, now
	written, readBytes int64 // bytes that reached or left the disk
	diskUnknown        bool  // the kernel tells these only to who may trace the process
}

// usageOf adds up processes, of which the first must exist.
func usageOf(pids []int) (usage, error) {
	var total usage
	for i, p := range pids {
		u, err := processUsage(p)
		if err != nil {
			if i == 0 {
				return usage{}, err
			}
			continue // a child that has ended
		}
		total.cpu += u.cpu
		total.rss += u.rss
		total.rssAnon += u.rssAnon
		total.written += u.written
		total.readBytes += u.readBytes
		total.diskUnknown = total.diskUnknown || u.diskUnknown
	}
	return total, nil
}

func processUsage(pid int) (usage, error) {
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return usage{}, fmt.Errorf("server usage: %w", err)
	}
	fields := statFields(stat)
	if len(fields) < 15 {
		return usage{}, fmt.Errorf("server usage: short %s/stat", dir)
	}
	var u usage
	for _, f := range fields[11:15] { // utime, stime, and those of children waited for
		ticks, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return usage{}, fmt.Errorf("server usage: %w", err)
		}
		u.cpu += time.Duration(ticks) * clockTick
	}
	u.rss = 1024 * procField(dir+"/status", "VmRSS:")
	u.rssAnon = 1024 * procField(dir+"/status", "RssAnon:")
	u.written = procField(dir+"/io", "write_bytes:")
	u.readBytes = procField(dir+"/io", "read_bytes:")
	_, err = os.ReadFile(dir + "/io")
	u.diskUnknown = err != nil
	return u, nil
}

// statFields returns the fields after the command's name, which may hold spaces and parentheses; the first is state.
func statFields(stat []byte) []string {
	return strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
}

// procField returns a number from a file of "name value" lines, 0 if it cannot be read.
func procField(path, name string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			if f := strings.Fields(rest); len(f) > 0 {
				n, err := strconv.ParseInt(f[0], 10, 64)
				if err == nil {
					return n
				}
			}
		}
	}
	return 0
}

// family returns a process and its descendants.
func family(pid int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return []int{pid}
	}
	children := make(map[int][]int)
	for _, e := range entries {
		child, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		if f := statFields(stat); len(f) > 1 {
			if parent, err := strconv.Atoi(f[1]); err == nil {
				children[parent] = append(children[parent], child)
			}
		}
	}
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// clientCPU is the CPU time of this process so far.
func clientCPU() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// ServerUsage is what the server's processes used during one measurement.
type ServerUsage struct {
	CPUSeconds   float64 `json:"cpu_seconds"`
	RSSBytes     int64   `json:"rss_bytes"`              // largest seen
	RssAnonBytes int64   `json:"rss_anon_bytes"`         // largest seen
	WrittenBytes int64   `json:"disk_written_bytes"`     // given to the disk, file system overhead included
	ReadBytes    int64   `json:"disk_read_bytes"`        // fetched from the disk, so not from the page cache
	CPUPerOp     float64 `json:"cpu_us_per_op"`          // microseconds
	WrittenPerOp float64 `json:"disk_written_per_op"`    // bytes
	DiskUnknown  bool    `json:"disk_unknown,omitempty"` // the three above are 0 because the process is another user's
}

// watch samples the memory of pid until stopped, and returns what was used meanwhile.
func watch(ctx context.Context, pid int) func() (*ServerUsage, error) {
	if pid == 0 {
		return func() (*ServerUsage, error) { return nil, nil }
	}
	pids := family(pid)
	before, err := usageOf(pids)
	if err != nil {
		return func() (*ServerUsage, error) { return nil, err }
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan usage)
	go func() {
		peak := before
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				done <- peak
				return
			case <-tick.C:
				if u, err := usageOf(pids); err == nil {
					peak.rss, peak.rssAnon = max(peak.rss, u.rss), max(peak.rssAnon, u.rssAnon)
				}
			}
		}
	}()
	return func() (*ServerUsage, error) {
		cancel()
		peak := <-done
		after, err := usageOf(family(pid))
		if err != nil {
			return nil, err
		}
		return &ServerUsage{
			CPUSeconds:   (after.cpu - before.cpu).Seconds(),
			RSSBytes:     max(peak.rss, after.rss),
			RssAnonBytes: max(peak.rssAnon, after.rssAnon),
			WrittenBytes: after.written - before.written,
			ReadBytes:    after.readBytes - before.readBytes,
			DiskUnknown:  before.diskUnknown || after.diskUnknown,
		}, nil
	}
}
