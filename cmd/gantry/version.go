package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// release is the version that is being made, or was.
const release = "0.1.0"

// version names the release and the commit that it was built from, as far as the build tells.
func version() string {
	revision, modified := "", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				revision = s.Value[:min(len(s.Value), 12)]
			case s.Key == "vcs.modified" && s.Value == "true":
				modified = ", modified"
			}
		}
	}
	if revision == "" {
		return fmt.Sprintf("%s (%s)", release, runtime.Version())
	}
	return fmt.Sprintf("%s (%s%s, %s)", release, revision, modified, runtime.Version())
}
