package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// Versions of the peers that are built from source.
const (
	minioModule   = "github.com/minio/minio"
	minioVersion  = "v0.0.0-20260212201848-7aac2a2c5b7c" // the last commit of the open repository
	versityModule = "github.com/versity/versitygw/cmd/versitygw"
	versityVer    = "v1.0.14"
)

// built returns the path of a program that `go install` builds once into the cache; that takes minutes.
func built(ctx context.Context, cache, module, version string) (string, error) {
	dir := filepath.Join(cache, filepath.Base(module)+"-"+version)
	path := filepath.Join(dir, filepath.Base(module))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "install", "-trimpath", module+"@"+version)
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go install %s@%s: %w: %s", module, version, err, tail(out))
	}
	return path, nil
}

// startGantry starts the binary under test as an operator would, apart from ports, directory and key.
func startGantry(ctx context.Context, l Launch) (*Process, error) {
	if l.Gantry == "" {
		return nil, errors.New("no binary given")
	}
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	env := append([]string{"GANTRY_ROOT_KEY_ID=" + benchKeyID, "GANTRY_ROOT_SECRET=" + benchSecret}, l.Env...)
	argv := append([]string{l.Gantry, "serve", "--data", filepath.Join(l.Dir, "data"), "--s3-listen", ports[0], "--web-listen", ports[1]},
		l.Args...)
	p, err := launch(ctx, l, "http://"+ports[1]+"/readyz", env, argv...)
	if err != nil {
		return nil, err
	}
	p.Version = firstLine(exec.CommandContext(ctx, l.Gantry, "--version"))
	p.Target.S3, p.Target.DICOMweb = "http://"+ports[0], "http://"+ports[1]+"/dicomweb"
	p.Target.Metrics = "http://" + ports[1] + "/metrics"
	p.Target.KeyID, p.Target.Secret = benchKeyID, benchSecret
	return p, nil
}

const orthancConfig = "/etc/orthanc"

// startOrthanc starts Debian's Orthanc with its own configuration files, of which only ports and directories are
// changed.
func startOrthanc(ctx context.Context, l Launch) (*Process, error) {
	binary, err := exec.LookPath("Orthanc")
	if err != nil {
		return nil, errors.New("found no Orthanc: apt-get install orthanc orthanc-dicomweb")
	}
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(orthancConfig + "/*.json")
	if err != nil || len(files) == 0 {
		return nil, errors.Join(fmt.Errorf("no configuration in %s", orthancConfig), err)
	}
	config, data := filepath.Join(l.Dir, "config"), filepath.Join(l.Dir, "data")
	if err := errors.Join(os.Mkdir(config, 0o700), os.Mkdir(data, 0o700)); err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		changed := changeOrthanc(string(text), ports, data)
		if err := os.WriteFile(filepath.Join(config, filepath.Base(file)), []byte(changed), 0o600); err != nil {
			return nil, err
		}
	}
	p, err := launch(ctx, l, "http://"+ports[0]+"/system", nil, binary, config)
	if err != nil {
		return nil, err
	}
	p.Version = firstLine(exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${Version}", "orthanc"))
	p.Target.DICOMweb = "http://" + ports[0] + "/dicom-web"
	return p, nil
}

var orthancKeys = regexp.MustCompile(`(?m)^(\s*"(StorageDirectory|IndexDirectory|HttpPort|DicomPort)"\s*:\s*)[^,\n]*`)

func changeOrthanc(text string, ports []string, data string) string {
	return orthancKeys.ReplaceAllStringFunc(text, func(line string) string {
		m := orthancKeys.FindStringSubmatch(line)
		switch m[2] {
		case "HttpPort":
			return m[1] + portOf(ports[0])
		case "DicomPort":
			return m[1] + portOf(ports[1])
		}
		return m[1] + `"` + data + `"`
	})
}

func portOf(address string) string { return address[strings.LastIndex(address, ":")+1:] }

// startMinio starts a single-drive server.
func startMinio(ctx context.Context, l Launch) (*Process, error) {
	binary, err := built(ctx, l.Cache, minioModule, minioVersion)
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	env := []string{"MINIO_ROOT_USER=" + benchKeyID, "MINIO_ROOT_PASSWORD=" + benchSecret, "MINIO_BROWSER=off"}
	p, err := launch(ctx, l, "http://"+ports[0]+"/minio/health/ready", env,
		binary, "server", "--quiet", "--address", ports[0], filepath.Join(l.Dir, "data"))
	if err != nil {
		return nil, err
	}
	p.Version = minioVersion
	p.Target.S3, p.Target.KeyID, p.Target.Secret = "http://"+ports[0], benchKeyID, benchSecret
	return p, nil
}

// startVersity starts versitygw over a directory. It does not sync what it writes.
func startVersity(ctx context.Context, l Launch) (*Process, error) {
	binary, err := built(ctx, l.Cache, versityModule, versityVer)
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(l.Dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return nil, err
	}
	env := []string{"ROOT_ACCESS_KEY=" + benchKeyID, "ROOT_SECRET_KEY=" + benchSecret}
	p, err := launch(ctx, l, "http://"+ports[0]+"/", env, binary, "--quiet", "--port", ports[0], "posix", data)
	if err != nil {
		return nil, err
	}
	p.Version = versityVer
	p.Target.S3, p.Target.KeyID, p.Target.Secret = "http://"+ports[0], benchKeyID, benchSecret
	return p, nil
}

func firstLine(cmd *exec.Cmd) string {
	out, err := cmd.Output()
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}
