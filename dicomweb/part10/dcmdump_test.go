package part10_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"gantry/dicomweb/part10"
)

// tool returns the path of one of dcmtk's programs.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("dcmtk is not installed: %v", err)
		}
		t.Skipf("dcmtk is not installed: %v", err)
	}
	return path
}

// attribute is one element in a form that can be compared: path → VR and values.
type attribute struct {
	vr     string
	values []string
}

var (
	dumpLine  = regexp.MustCompile(`^( *)\(([0-9a-f]{4}),([0-9a-f]{4})\) (\S\S|\?\?) (.*?) +# *[0-9u/l]+, *[0-9-]+ .*$`)
	dumpByte  = regexp.MustCompile(`&#\d+;`)
	dumpValue = regexp.MustCompile(`^\[(.*)\]$`)
)

// dcmdump returns what dcmdump says of a file, up to its pixel data. The private
// dictionary is left out: private elements of implicit VR are unknown to us.
func dcmdump(t *testing.T, file string, convert bool) (all map[string]attribute, err error) {
	t.Helper()
	args := []string{"-q", "+L", "-Un", "+uc", "+Qn", "+sb", "7fe0,0008"}
	if convert {
		args = append(args, "+U8")
	}
	cmd := exec.Command(tool(t, "dcmdump"), append(args, file)...)
	cmd.Env = append(os.Environ(), "DCMDICTPATH=/usr/share/libdcmtk17/dicom.dic")
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	all = map[string]attribute{}
	var path []string // of the enclosing items
	var items []int
	sc := bufio.NewScanner(bytes.NewReader(out))
	sc.Buffer(nil, 64<<20)
	for sc.Scan() {
		m := dumpLine.FindStringSubmatch(sc.Text())
		if m == nil {
			continue
		}
		depth, tag := len(m[1])/2, strings.ToUpper(m[2]+m[3])
		switch {
		case tag == "FFFEE000":
			items = append(items[:(depth-1)/2], at(items, (depth-1)/2)+1)
			continue
		case strings.HasPrefix(tag, "FFFE") || depth == 0 && strings.HasPrefix(tag, "0002"):
			continue
		}
		path = path[:depth/2]
		key := ""
		for i, p := range path {
			key += p + "/" + strconv.Itoa(items[i]) + "/"
		}
		if m[4] == "SQ" || strings.HasPrefix(m[5], "(Sequence") {
			path = append(path, tag)
			items = append(items[:depth/2], 0)
			all[key+tag] = attribute{vr: "SQ"}
			continue
		}
		if strings.HasSuffix(tag, "0000") {
			continue
		}
		vr := strings.Replace(m[4], "??", "UN", 1) // unknown in implicit VR
		all[key+tag] = attribute{vr, dumpValues(vr, m[5])}
	}
	return all, nil
}

func at(s []int, i int) int {
	if i < len(s) {
		return s[i]
	}
	return 0
}

func dumpValues(vr, s string) []string {
	if strings.HasPrefix(s, "(no value") {
		return nil
	}
	if m := dumpValue.FindStringSubmatch(s); m != nil {
		// Numbers stand for bytes, not for code points.
		s = dumpByte.ReplaceAllStringFunc(m[1], func(e string) string {
			n, _ := strconv.Atoi(e[2 : len(e)-1])
			return string([]byte{byte(n)})
		})
		s = html.UnescapeString(s)
	}
	return canonical(vr, s)
}

// canonical splits and trims a value field.
func canonical(vr, s string) []string {
	switch vr {
	case "LT", "ST", "UT", "UR":
		if s = strings.TrimRight(s, " \x00"); s == "" {
			return nil
		}
		return []string{s}
	}
	if s = strings.TrimRight(s, " \x00"); s == "" {
		return nil
	}
	values := strings.Split(s, `\`)
	for i, v := range values {
		switch vr {
		case "LO", "SH", "UC", "PN":
			v = strings.TrimRight(v, " \x00")
		default:
			v = strings.Trim(v, " \x00")
		}
		if vr == "PN" {
			groups := strings.Split(v, "=")
			for i := range groups {
				groups[i] = strings.TrimRight(groups[i], " ")
			}
			v = strings.TrimRight(strings.Join(groups, "="), "=")
		}
		values[i] = v
	}
	return values
}

// flatten turns DICOM JSON into the same form.
func flatten(t *testing.T, all map[string]attribute, prefix string, set map[string]jsonAttribute) {
	for tag, a := range set {
		out := attribute{vr: a.VR}
		for n, raw := range a.Value {
			switch {
			case a.VR == "SQ":
				var item map[string]jsonAttribute
				if err := json.Unmarshal(raw, &item); err != nil {
					t.Fatal(err)
				}
				flatten(t, all, fmt.Sprintf("%s%s/%d/", prefix, tag, n+1), item)
			case a.VR == "PN":
				var p struct{ Alphabetic, Ideographic, Phonetic string }
				if err := json.Unmarshal(raw, &p); err != nil {
					t.Fatal(err)
				}
				out.values = append(out.values, strings.TrimRight(p.Alphabetic+"="+p.Ideographic+"="+p.Phonetic, "="))
			default:
				out.values = append(out.values, scalar(t, raw))
			}
		}
		if a.InlineBinary != "" {
			b, err := base64.StdEncoding.DecodeString(a.InlineBinary)
			if err != nil {
				t.Fatal(err)
			}
			out.values = []string{"hex:" + hex.EncodeToString(b)}
		}
		if a.BulkDataURI != "" {
			out.values = []string{"bulk:" + a.BulkDataURI}
		}
		all[prefix+tag] = out
	}
}

func scalar(t *testing.T, raw json.RawMessage) string {
	if len(raw) > 0 && raw[0] != '"' {
		if string(raw) == "null" {
			return ""
		}
		return string(raw)
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

type jsonAttribute struct {
	VR           string            `json:"vr"`
	Value        []json.RawMessage `json:"Value"`
	InlineBinary string
	BulkDataURI  string
}

// metadata returns WriteJSON's view of a file, with bulk data URIs that are paths.
func metadata(t testing.TB, b []byte) []byte {
	t.Helper()
	out, err := part10.WriteJSON(nil, bytes.NewReader(b), int64(len(b)), part10.JSONOptions{
		BulkDataURI: func(dst, path []byte) []byte { return append(dst, path...) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// binaryHex writes what dcmdump prints of a binary value as the little endian bytes.
func binaryHex(vr string, values []string) (string, bool) {
	width := map[string]int{"OB": 2, "UN": 2, "OW": 4}[vr]
	var b []byte
	for _, v := range values {
		switch {
		case width > 0:
			w, err := hex.DecodeString(v)
			if err != nil || len(v) != width {
				return "", false
			}
			if width == 4 {
				w[0], w[1] = w[1], w[0]
			}
			b = append(b, w...)
		case vr == "OF" || vr == "OD":
			bits := map[string]int{"OF": 32, "OD": 64}[vr]
			f, err := strconv.ParseFloat(v, bits)
			if err != nil {
				return "", false
			}
			if bits == 32 {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(f)))
			} else {
				b = binary.LittleEndian.AppendUint64(b, math.Float64bits(f))
			}
		default:
			n, err := strconv.ParseUint(v, 10, 64)
			if err != nil {
				return "", false
			}
			if vr == "OL" {
				b = binary.LittleEndian.AppendUint32(b, uint32(n))
			} else {
				b = binary.LittleEndian.AppendUint64(b, n)
			}
		}
	}
	return hex.EncodeToString(b), true
}

// same compares our attribute with dcmdump's. numbers compare as numbers.
func same(file []byte, ours, theirs attribute) string {
	if ours.vr != theirs.vr {
		return fmt.Sprintf("VR %s, dcmdump %s", ours.vr, theirs.vr)
	}
	switch ours.vr {
	case "OB", "OW", "OF", "OD", "OL", "OV", "UN":
		return sameBinary(file, ours, theirs)
	}
	if len(ours.values) != len(theirs.values) {
		return fmt.Sprintf("%d values, dcmdump %d: %.80q, %.80q", len(ours.values), len(theirs.values), ours.values, theirs.values)
	}
	for i, v := range ours.values {
		if !sameValue(ours.vr, v, theirs.values[i]) {
			return fmt.Sprintf("value %d: %.80q, dcmdump %.80q", i+1, v, theirs.values[i])
		}
	}
	return ""
}

func sameBinary(file []byte, ours, theirs attribute) string {
	if len(ours.values) == 0 || len(theirs.values) == 0 {
		if len(ours.values) != len(theirs.values) {
			return "empty on one side only"
		}
		return ""
	}
	got := ours.values[0]
	if path, ok := strings.CutPrefix(got, "bulk:"); ok {
		v, err := part10.Element(bytes.NewReader(file), int64(len(file)), path)
		if err != nil {
			return err.Error()
		}
		if v.Fragments != nil {
			return ""
		}
		f, err := v.Open(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return err.Error()
		}
		defer f.Close()
		var b bytes.Buffer
		if _, err := b.ReadFrom(f); err != nil {
			return err.Error()
		}
		got = "hex:" + hex.EncodeToString(b.Bytes())
	}
	want, ok := binaryHex(theirs.vr, theirs.values)
	if !ok {
		return fmt.Sprintf("dcmdump's value is not understood: %.60q", theirs.values)
	}
	if got != "hex:"+want {
		return fmt.Sprintf("bytes %.60s, dcmdump %.60s", got, want)
	}
	return ""
}

func sameValue(vr, a, b string) bool {
	if a == b {
		return true
	}
	switch vr {
	case "AT":
		return a == strings.ToUpper(strings.NewReplacer("(", "", ")", "", ",", "").Replace(b))
	case "IS", "DS", "FD", "FL":
		x, errA := strconv.ParseFloat(a, 64)
		y, errB := strconv.ParseFloat(b, 64)
		if vr == "FL" {
			x, y = float64(float32(x)), float64(float32(y))
		}
		// The 17th digit that dcmdump prints is not always right.
		return errA == nil && errB == nil && (math.Abs(x-y) <= 1e-15*math.Abs(x) || math.IsNaN(x) && math.IsNaN(y))
	}
	return false
}

// knownDifferences reads testdata/dcmdump-differences.tsv: file or *, path or its
// last tag, why.
func knownDifferences(t *testing.T) map[string]string {
	known := map[string]string{}
	for line := range strings.Lines(string(read(t, filepath.Join("testdata", "dcmdump-differences.tsv")))) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if strings.HasPrefix(line, "#") || len(f) < 3 {
			continue
		}
		known[f[0]+" "+f[1]] = f[2]
	}
	return known
}

func TestMetadataAgreesWithDcmdump(t *testing.T) {
	tool(t, "dcmdump")
	known := knownDifferences(t)
	for _, name := range corpusFiles(t, "valid", "synthetic") {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			file := read(t, name)
			var set map[string]jsonAttribute
			if err := json.Unmarshal(metadata(t, file), &set); err != nil {
				t.Fatal(err)
			}
			ours := map[string]attribute{}
			flatten(t, ours, "", set)
			base := filepath.Base(name)
			theirs, err := dcmdump(t, name, true)
			raw := err != nil && known[base+" +U8"] != ""
			if raw { // dcmtk cannot convert it: what is not ASCII stays out of the comparison
				theirs, err = dcmdump(t, name, false)
			}
			if err != nil {
				t.Fatalf("dcmdump: %v", err)
			}
			compare(t, file, ours, theirs, func(path string) bool {
				last := path[strings.LastIndex(path, "/")+1:]
				return known[base+" "+path] != "" || known[base+" "+last] != "" || known["* "+last] != "" || known[base+" *"] != "" ||
					raw && (last == "00080005" || !ascii(ours[path].values))
			})
		})
	}
}

// ascii tells whether values need no conversion.
func ascii(values []string) bool {
	for _, v := range values {
		for i := range len(v) {
			if v[i] >= utf8.RuneSelf {
				return false
			}
		}
	}
	return true
}

func compare(t *testing.T, file []byte, ours, theirs map[string]attribute, known func(string) bool) {
	for path, want := range theirs {
		if strings.HasSuffix(path, "/00080005") || known(path) || path[len(path)-8:] >= "7FE00008" && len(path) == 8 {
			continue
		}
		got, ok := ours[path]
		if !ok {
			t.Errorf("%s: missing, dcmdump %s %.80q", path, want.vr, want.values)
			continue
		}
		if diff := same(file, got, want); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
	for path := range ours {
		if _, ok := theirs[path]; !ok && path[len(path)-8:] < "7FE00008" && !known(path) {
			t.Errorf("%s: not in dcmdump", path)
		}
	}
}
