package gantry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// The limits of the house style.
const (
	maxFuncLines = 80
	maxFileLines = 600
)

const module = "gantry"

// mayImport is the import table of the design: for each package of ours, which others of ours its non-test code may import.
// "x/..." means x and everything below it. The first row that matches a package is its row; a package without a row is an
// error, so that a new one is placed on purpose.
var mayImport = []struct {
	pkg     string
	allowed []string
}{
	{"internal/...", []string{"internal/..."}},
	{"store/segment", []string{"internal/..."}},
	{"store/catalog", []string{"internal/vfs"}},
	{"store/storetest", []string{"store", "store/segment", "store/catalog", "internal/..."}},
	{"store", []string{"store/segment", "store/catalog", "internal/..."}},
	{"tiering/erasure", []string{"internal/..."}},
	{"tiering/cold", []string{"internal/..."}},
	{"tiering", []string{"store", "tiering/...", "internal/..."}},
	{"replication/...", []string{"store", "replication/...", "internal/..."}},
	{"dicomweb/part10", []string{"internal/..."}},
	{"dicomweb/...", []string{"store", "dicomweb/...", "internal/..."}},
	{"s3/...", []string{"store", "s3/...", "internal/..."}},
	{"console/...", []string{"store", "console/...", "internal/..."}},
	{"bench/...", []string{"bench/..."}},
	{"cmd/...", []string{"..."}},
}

// keptTo lists modules that only some of our packages may know, tests aside.
var keptTo = []struct {
	module string
	pkgs   []string
	why    string
}{
	{"go.etcd.io/bbolt", []string{"store/catalog"}, "nothing above the catalog may know its engine"},
	{"github.com/gofiber/fiber", []string{"internal/httpx", "s3/...", "dicomweb/...", "console/...", "cmd/..."}, "HTTP must not reach the store"},
	{"github.com/valyala/fasthttp", []string{"internal/httpx", "s3/...", "dicomweb/...", "console/...", "cmd/...", "bench/scenario"}, "HTTP must not reach the store"},
	{"github.com/suyashkumar/dicom", []string{"dicomweb/part10"}, "one bounded reader stands before it"},
	{"net/http", []string{"internal/...", "s3/...", "dicomweb/...", "console/...", "bench/...", "cmd/...", "tiering/cold"}, "HTTP must not reach the store"},
}

// vagueNames say nothing of what a package provides.
var vagueNames = []string{"util", "utils", "common", "helper", "helpers", "types", "models", "misc", "shared"}

// fileCalls are the functions of os that touch the file system; store, tiering and replication reach it only through vfs, so
// that crashes and faults can be injected everywhere.
var fileCalls = []string{
	"Chdir", "Chmod", "Chown", "Chtimes", "CopyFS", "Create", "CreateTemp", "DirFS", "Lchown", "Link", "Lstat", "Mkdir",
	"MkdirAll", "MkdirTemp", "NewFile", "Open", "OpenFile", "OpenInRoot", "OpenRoot", "ReadDir", "ReadFile", "Readlink", "Remove", "RemoveAll",
	"Rename", "Stat", "Symlink", "Truncate", "WriteFile",
}

// errno matches the names of system errors, which are no calls.
var errno = regexp.MustCompile(`^(Errno|E[A-Z0-9]+)$`)

// sleepsAllowed lists the test files that may call time.Sleep, and why.
var sleepsAllowed = map[string]string{
	"internal/clienttest": "drives other processes over real sockets, where only real time passes",
}

// goPackage is what `go list -json` tells and this test needs.
type goPackage struct {
	ImportPath   string
	Dir          string
	Name         string
	GoFiles      []string
	CgoFiles     []string
	TestGoFiles  []string
	XTestGoFiles []string
	Imports      []string
}

// rel is the package's path below the module; "" for the root.
func (p goPackage) rel() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
}

var listOnce = sync.OnceValues(func() ([]goPackage, error) {
	var stderr bytes.Buffer
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Name,GoFiles,CgoFiles,TestGoFiles,XTestGoFiles,Imports", "./...")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, stderr.Bytes())
	}
	var pkgs []goPackage
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs, nil
		} else if err != nil {
			return nil, fmt.Errorf("decode go list: %w", err)
		}
		pkgs = append(pkgs, p)
	}
})

func packages(t *testing.T) []goPackage {
	t.Helper()
	pkgs, err := listOnce()
	if err != nil {
		t.Fatal(err)
	}
	if len(pkgs) == 0 {
		t.Fatal("go list found no packages")
	}
	return pkgs
}

// matches reports whether the package path is meant by the pattern: the path itself, or "x/..." for x and all below it.
func matches(pattern, pkg string) bool {
	if pattern == "..." {
		return true
	}
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return pkg == base || strings.HasPrefix(pkg, base+"/")
	}
	return pattern == pkg
}

func matchesAny(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, pkg) })
}

// importRow returns the row of the table for a package.
func importRow(pkg string) (allowed []string, ok bool) {
	for _, r := range mayImport {
		if matches(r.pkg, pkg) {
			return r.allowed, true
		}
	}
	return nil, false
}

func TestImportTable(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) == 0 {
			continue
		}
		allowed, ok := importRow(p.rel())
		if !ok {
			t.Errorf("package %q has no row in the import table", p.rel())
			continue
		}
		for _, imp := range p.Imports {
			ours, isOurs := strings.CutPrefix(imp, module+"/")
			if isOurs && !matchesAny(allowed, ours) {
				t.Errorf("%s imports %s; it may import only %q", p.rel(), ours, allowed)
			}
			for _, k := range keptTo {
				if (imp == k.module || strings.HasPrefix(imp, k.module+"/")) && !matchesAny(k.pkgs, p.rel()) {
					t.Errorf("%s imports %s: %s", p.rel(), imp, k.why)
				}
			}
		}
	}
}

func TestPackageNames(t *testing.T) {
	for _, p := range packages(t) {
		if slices.Contains(vagueNames, p.Name) || slices.Contains(vagueNames, path.Base(p.ImportPath)) {
			t.Errorf("package %s: name it for what it provides", p.ImportPath)
		}
	}
}

// source is one parsed Go file.
type source struct {
	name string // relative to the module's root
	pkg  string // relative to the module
	test bool
	fset *token.FileSet
	file *ast.File
}

// line is the line of a position in the file.
func (s source) line(p token.Pos) int { return s.fset.Position(p).Line }

func sources(t *testing.T) []source {
	t.Helper()
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	var all []source
	for _, p := range packages(t) {
		code := slices.Concat(p.GoFiles, p.CgoFiles)
		for _, name := range slices.Concat(code, p.TestGoFiles, p.XTestGoFiles) {
			fset := token.NewFileSet()
			full := filepath.Join(p.Dir, name)
			f, err := parser.ParseFile(fset, full, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			short, err := filepath.Rel(root, full)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, source{name: short, pkg: p.rel(), test: !slices.Contains(code, name), fset: fset, file: f})
		}
	}
	return all
}

// use is one mention of a package's exported name, such as os.Open.
type use struct {
	pkg, name string
	line      int
}

// uses lists every mention of an imported package's name in the file. A local variable that shadows a package would be
// counted too; the standard library's names are not worth shadowing.
func (s source) uses() []use {
	imported := map[string]string{}
	for _, imp := range s.file.Imports {
		p, err := strconv.Unquote(imp.Path.Value)
		if err != nil {
			continue
		}
		name := path.Base(p)
		if imp.Name != nil {
			name = imp.Name.Name
		}
		imported[name] = p
	}
	var found []use
	ast.Inspect(s.file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := sel.X.(*ast.Ident); ok && imported[id.Name] != "" {
				found = append(found, use{imported[id.Name], sel.Sel.Name, s.line(sel.Pos())})
			}
		}
		return true
	})
	return found
}

func TestOnePackageComment(t *testing.T) {
	comments := map[string][]string{}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		if s.file.Doc != nil {
			comments[s.pkg] = append(comments[s.pkg], s.name)
		} else if comments[s.pkg] == nil {
			comments[s.pkg] = []string{}
		}
	}
	for pkg, files := range comments {
		if len(files) != 1 {
			t.Errorf("package %s has %d package comments, want 1: %q", pkg, len(files), files)
		}
	}
}

func TestSizes(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		if n := s.line(s.file.FileEnd); n > maxFileLines {
			t.Errorf("%s: %d lines, limit %d", s.name, n, maxFileLines)
		}
		for _, d := range s.file.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := s.line(fn.End()) - s.line(fn.Pos()) + 1; n > maxFuncLines {
				t.Errorf("%s:%d: %s has %d lines, limit %d", s.name, s.line(fn.Pos()), fn.Name.Name, n, maxFuncLines)
			}
		}
	}
}

func TestFilesOnlyThroughVFS(t *testing.T) {
	guarded := []string{"store/...", "tiering/...", "replication/..."}
	exempt := []string{"store/catalog"} // bbolt wants a real file
	for _, s := range sources(t) {
		if s.test || !matchesAny(guarded, s.pkg) || matchesAny(exempt, s.pkg) {
			continue
		}
		for _, u := range s.uses() {
			direct := u.pkg == "os" && slices.Contains(fileCalls, u.name)
			system := (u.pkg == "syscall" || u.pkg == "golang.org/x/sys/unix") && !errno.MatchString(u.name)
			if direct || system || u.pkg == "io/ioutil" {
				t.Errorf("%s:%d: %s.%s: files are reached through internal/vfs", s.name, u.line, u.pkg, u.name)
			}
		}
	}
}

// The segment format is a pure codec: it can be read and fuzzed without a disk, a lock or a goroutine in sight.
func TestSegmentIsPure(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || s.pkg != "store/segment" {
			continue
		}
		for _, u := range s.uses() {
			if u.pkg == "os" || u.pkg == "path/filepath" || u.pkg == "sync" && strings.HasSuffix(u.name, "Mutex") {
				t.Errorf("%s:%d: %s.%s in a pure codec", s.name, u.line, u.pkg, u.name)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if g, ok := n.(*ast.GoStmt); ok {
				t.Errorf("%s:%d: goroutine in a pure codec", s.name, s.line(g.Pos()))
			}
			return true
		})
	}
}

// Inside a synctest bubble time.Sleep moves a clock of its own; elsewhere it waits and hopes.
func TestNoSleepInTests(t *testing.T) {
	for _, s := range sources(t) {
		if !s.test || sleepsAllowed[s.pkg] != "" {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if ok && isSelector(call.Fun, "time", "Sleep") {
				t.Errorf("%s:%d: time.Sleep in a test: use synctest or an injected clock", s.name, s.line(call.Pos()))
			}
			return !ok || !isSelector(call.Fun, "synctest", "Test")
		})
	}
}

func isSelector(e ast.Expr, pkg, name string) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	id, ok := sel.X.(*ast.Ident)
	return ok && id.Name == pkg && sel.Sel.Name == name
}

func TestLibrariesDoNotPrint(t *testing.T) {
	printers := []string{"Print", "Printf", "Println"}
	global := []string{"Debug", "DebugContext", "Default", "Error", "ErrorContext", "Info", "InfoContext", "Log", "LogAttrs", "SetDefault", "Warn", "WarnContext", "With"}
	for _, s := range sources(t) {
		if s.test || matches("cmd/...", s.pkg) {
			continue
		}
		for _, u := range s.uses() {
			switch {
			case u.pkg == "fmt" && slices.Contains(printers, u.name),
				u.pkg == "log",
				u.pkg == "log/slog" && slices.Contains(global, u.name):
				t.Errorf("%s:%d: %s.%s in a library: use the injected logger", s.name, u.line, u.pkg, u.name)
			}
		}
	}
}
