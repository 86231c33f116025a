package main_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// walkThrough takes the shell commands out of the README: those for a gantry that runs, and those for one that was
// stopped.
func walkThrough(t *testing.T) (running, stopped string) {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok1 := strings.Cut(string(text), "<!-- walk-through: running -->")
	during, rest, ok2 := strings.Cut(rest, "<!-- walk-through: stopped -->")
	after, _, ok3 := strings.Cut(rest, "\n## ")
	if !ok1 || !ok2 || !ok3 {
		t.Fatal("the README's walk-through is not where it was")
	}
	return shellBlocks(during), shellBlocks(after)
}

func shellBlocks(text string) string {
	var b strings.Builder
	parts := strings.Split(text, "```")
	for i := 1; i < len(parts); i += 2 {
		if code, ok := strings.CutPrefix(parts[i], "sh\n"); ok {
			b.WriteString(code)
		}
	}
	return b.String()
}

// What the README prints must work as printed. Only the addresses differ, so that the test needs no fixed ports.
func TestReadmeWalkThrough(t *testing.T) {
	for _, tool := range []string{"curl", "aws", "rclone", "tar"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skipf("%v: make deps installs it", err)
		}
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	for to, from := range map[string]string{"bin/gantry": binary, "README.md": filepath.Join(root, "README.md")} {
		if err := os.Symlink(from, filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(filepath.Join(dir, "docs"), os.DirFS(filepath.Join(root, "docs"))); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, "GANTRY_ROOT_KEY_ID=")
	s.data = filepath.Join(dir, "data")
	s.env = append(s.env, "GANTRY_DATA="+s.data)
	r := s.serve()
	during, after := walkThrough(t)
	addresses := strings.NewReplacer("http://127.0.0.1:8080", r.web, "http://127.0.0.1:9000", r.s3)
	shell := func(script string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), commandLimit)
		defer cancel()
		cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", addresses.Replace(script))
		cmd.Dir, cmd.Env = dir, s.env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	// The second part runs in the same terminal as the first, whose variables it uses.
	shell(during + "\ndeclare -p STUDY SERIES IMAGE > variables")
	r.stop()
	shell(". ./variables\n" + after)
}
