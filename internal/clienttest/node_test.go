package clienttest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// node runs one of the scripts beside this file. It checks for itself and exits with an error at the first difference.
func node(t *testing.T, s *server, script string, args ...string) {
	t.Helper()
	program := need(t, "node")
	if _, err := os.Stat("node_modules"); err != nil {
		unavailable(t, "npm packages are not installed: `make deps` does it")
	}
	env := []string{
		"GANTRY_S3=" + s.s3, "GANTRY_DICOMWEB=" + s.dicomweb, "GANTRY_KEY=" + s.keyID, "GANTRY_SECRET=" + s.secret,
		"NODE_EXTRA_CA_CERTS=" + s.caFile, "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
	}
	if out := run(t, env, program, append([]string{filepath.Join("testdata", script)}, args...)...); !strings.HasSuffix(out, "done\n") {
		t.Fatalf("%s ended early: %q", script, out)
	}
}

func TestAWSSDKForJavaScript(t *testing.T) {
	eachTransport(t, func(t *testing.T, s *server) {
		node(t, s, "s3.mjs")
	})
}
