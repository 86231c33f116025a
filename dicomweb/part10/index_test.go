package part10_test

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"gantry/dicomweb/part10"
)

func TestInstanceFields(t *testing.T) {
	set := el(0x00080005, "CS", "ISO_IR 100") + ids() + el(0x00080020, "DA", "2024.01.15") + el(0x00080030, "TM", "1015") +
		el(0x00080050, "SH", " A1 ") + undefinedEl(0x00080051, "SQ", item(el(0x00400031, "UT", "HOSP")+el(0x00400032, "UT", "1.2"))) +
		el(0x00080060, "CS", "CT") + el(0x00090010, "LO", "ACME 1.0") + el(0x00091001, "LO", "short") + el(0x00091002, "OB", "xx") +
		el(0x00100010, "PN", "M\xfcller^J\xf6rg^^=X") + el(0x00100020, "LO", "P1 ") + el(0x00100021, "LO", "ISS") +
		el(0x00200013, "IS", "42") + image(2, 2, 8, "2") + el(0x7FE00010, "OB", "aaaabbbb")
	b := file(part10.ExplicitLE, set)
	in, err := index(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ what, got, want string }{
		{"date", in.StudyDate, "20240115"}, {"time", in.StudyTime, "101500.000000"}, {"accession", in.Accession, "A1"},
		{"accession issuer", in.AccessionIssuer, "HOSP"}, {"modality", in.Modality, "CT"}, {"patient", in.PatientID, "P1"},
		{"issuer", in.PatientIDIssuer, "ISS"}, {"charset", in.Charset, "ISO_IR 100"}, {"names", strings.Join(in.PatientNames, "|"), "müller^jörg|x"},
		{"SOP", in.SOPUID, "1.2.3.4"}, {"series", in.SeriesUID, "1.2.3.1"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %q, want %q", c.what, c.got, c.want)
		}
	}
	if in.InstanceNumber != 42 || in.NumberOfFrames != 2 || in.Pixels.Rows != 2 || in.Cut {
		t.Errorf("%+v", in)
	}
	if string(b[in.DataSet:]) != set {
		t.Errorf("the data set does not begin at %d", in.DataSet)
	}
	if want := bytes.Index(b, []byte("\xe0\x7f\x10\x00OB")); in.HeaderLen != int64(want) {
		t.Errorf("header of %d bytes, want %d", in.HeaderLen, want)
	}
	checkMember(t, string(in.StudyAttrs), "00080051", `{"vr":"SQ","Value":[{"00400031":{"vr":"UT","Value":["HOSP"]},"00400032":{"vr":"UT","Value":["1.2"]}}]}`)
	checkMember(t, string(in.SeriesAttrs), "00080060", `{"vr":"CS","Value":["CT"]}`)
	checkMember(t, string(in.InstanceAttrs), "00090010", `{"vr":"LO","Value":["ACME 1.0"]}`)
	checkMember(t, string(in.InstanceAttrs), "00091001", `{"vr":"LO","Value":["short"]}`)
	checkMember(t, string(in.InstanceAttrs), "00091002", "")
}

// reasons are small objects and why they are refused.
func TestRejections(t *testing.T) {
	valid := ids()
	deep := func(n int) string {
		return strings.Repeat(string(tagBytes(0x00081140))+"SQ\x00\x00\xff\xff\xff\xff"+string(tagBytes(0xFFFEE000))+"\xff\xff\xff\xff", n) +
			strings.Repeat(string(tagBytes(0xFFFEE00D))+u32(0)+string(tagBytes(0xFFFEE0DD))+u32(0), n)
	}
	for _, c := range []struct {
		name string
		b    []byte
		want part10.Reason // 0: accepted
	}{
		{"valid", file(part10.ExplicitLE, valid), 0},
		{"empty", nil, part10.NotDICOM},
		{"no prefix", make([]byte, 500), part10.NotDICOM},
		{"no group 2", []byte(string(make([]byte, 128)) + "DICM" + valid), part10.NotDICOM},
		{"no transfer syntax", []byte(string(make([]byte, 128)) + "DICM" + el(0x00020003, "UI", "1.2") + valid), part10.NoTransferSyntax},
		{"no data set", file(part10.ExplicitLE, ""), part10.Truncated},
		{"value past the end", cutBy(file(part10.ExplicitLE, valid+el(0x00400007, "LO", "abcd")), 2), part10.Truncated},
		{"element past its item", file(part10.ExplicitLE, valid+undefinedEl(0x00400275, "SQ", item(el(0x00400007, "LO", "x")[:8]+"\xff\xff")+strings.Repeat("x", 1<<17))), part10.Malformed},
		{"no study", file(part10.ExplicitLE, el(0x00080016, "UI", "1.2")+el(0x00080018, "UI", "1.3")), part10.NoStudy},
		{"no series", file(part10.ExplicitLE, strings.Replace(valid, el(0x0020000E, "UI", "1.2.3.1\x00"), "", 1)), part10.MissingUID},
		{"bad UID", file(part10.ExplicitLE, strings.Replace(valid, "1.2.3.4", "1/2.3.4", 1)), part10.BadUID},
		{"as deep as allowed", file(part10.ExplicitLE, valid+deep(part10.MaxDepth)), 0},
		{"too deep", file(part10.ExplicitLE, valid+deep(part10.MaxDepth+1)), part10.TooDeep},
		{"far too deep", file(part10.ExplicitLE, valid+deep(1<<17)), part10.TooDeep},
		{"sequence without end", file(part10.ExplicitLE, valid+undefinedEl(0x00400275, "SQ", item(""))[:20]), part10.Truncated},
		{"garbage behind pixel data", file(part10.ExplicitLE, valid+el(0x7FE00010, "OB", "ab")+"garbage!garbage!"), part10.Malformed},
		{"zeros behind pixel data", file(part10.ExplicitLE, valid+el(0x7FE00010, "OB", "ab")+string(make([]byte, 70000))), 0},
		{"not deflated", file(part10.DeflatedLE, valid), part10.Malformed},
		{"deflated", file(part10.DeflatedLE, deflate(valid)), 0},
		{"deflated, cut", file(part10.DeflatedLE, deflate(valid)[:40]), part10.Truncated},
		{"deflate bomb", file(part10.DeflatedLE, deflate(valid+el(0x7FE00010, "OB", string(make([]byte, 128<<20))))), part10.TooLarge},
		{"group 2 too large", []byte(string(make([]byte, 128)) + "DICM" + el(0x00020102, "OB", string(make([]byte, 2<<20))) + valid), part10.TooLarge},
		{"long values are skipped", file(part10.ExplicitLE, valid+el(0x00420011, "OB", strings.Repeat("x", 20<<20))), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := index(c.b)
			checkReject(t, err)
			var r *part10.RejectError
			errors.As(err, &r)
			if (r == nil) != (c.want == 0) || r != nil && r.Reason != c.want {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// endless gives head, then unit over and over.
type endless struct{ head, unit string }

func (e endless) ReadAt(p []byte, off int64) (int, error) {
	for n := 0; n < len(p); {
		at := off + int64(n)
		if at < int64(len(e.head)) {
			n += copy(p[n:], e.head[at:])
			continue
		}
		n += copy(p[n:], e.unit[(at-int64(len(e.head)))%int64(len(e.unit)):])
	}
	return len(p), nil
}

func TestHeaderTooLarge(t *testing.T) {
	e := endless{string(file(part10.ExplicitLE, ids())), el(0x00400007, "LO", strings.Repeat("x", 60000))}
	_, err := part10.Index(e, 1<<40)
	var r *part10.RejectError
	if !errors.As(err, &r) || r.Reason != part10.TooLarge {
		t.Errorf("got %v", err)
	}
}

func TestFragmentsWithoutEnd(t *testing.T) {
	e := endless{string(file(jpeg, ids())) + string(tagBytes(0x7FE00010)) + "OB\x00\x00\xff\xff\xff\xff", item("ab")}
	_, err := part10.Index(e, 1<<40)
	var r *part10.RejectError
	if !errors.As(err, &r) || r.Reason != part10.TooLarge {
		t.Errorf("got %v", err)
	}
}

// TestLevelsAreTheMetadata compares what an Instance records with the whole metadata.
func TestLevelsAreTheMetadata(t *testing.T) {
	for _, name := range corpusFiles(t, "valid", "synthetic") {
		b := read(t, name)
		in, err := index(b)
		if err != nil {
			t.Fatal(err)
		}
		var whole map[string]json.RawMessage
		if err := json.Unmarshal(metadata(t, b), &whole); err != nil {
			t.Fatal(err)
		}
		for _, attrs := range [][]byte{in.StudyAttrs, in.SeriesAttrs, in.InstanceAttrs} {
			var some map[string]json.RawMessage
			if err := json.Unmarshal(attrs, &some); err != nil {
				t.Fatal(err)
			}
			for key, got := range some {
				if string(got) != string(whole[key]) {
					t.Errorf("%s: %s: recorded %s, metadata %s", filepath.Base(name), key, got, whole[key])
				}
			}
		}
		for _, key := range []string{"00080018", "0020000D", "00100010", "00280010", "00080020", "0020000E"} {
			if !bytes.Contains(bytes.Join([][]byte{in.StudyAttrs, in.SeriesAttrs, in.InstanceAttrs}, nil), []byte(key)) && whole[key] != nil {
				t.Errorf("%s: %s is not recorded", filepath.Base(name), key)
			}
		}
	}
}

func cutBy(b []byte, n int) []byte { return b[:len(b)-n] }

func deflate(s string) string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		panic(err)
	}
	_, _ = w.Write([]byte(s)) // a bytes.Buffer takes everything
	_ = w.Close()
	return b.String()
}

// failing gives its bytes, but an error for every read that goes past good bytes.
type failing struct {
	*bytes.Reader
	good int64
}

var errDisk = errors.New("disk is gone")

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.good {
		return 0, errDisk
	}
	return f.Reader.ReadAt(p, off)
}

func TestSourceErrorsAreNoRejections(t *testing.T) {
	for _, b := range [][]byte{
		file(part10.ExplicitLE, ids()+image(2, 2, 8, "1")+el(0x7FE00010, "OB", strings.Repeat("abcd", 100000))),
		file(part10.DeflatedLE, deflate(ids())),
		file(jpeg, ids()+image(2, 2, 8, "1")+undefinedEl(0x7FE00010, "OB", item("")+item(strings.Repeat("a", 100000)))),
	} {
		for _, good := range []int64{0, 200, int64(len(b)) / 2, int64(len(b)) - 1} {
			_, err := part10.Index(failing{bytes.NewReader(b), good}, int64(len(b)))
			var r *part10.RejectError
			if !errors.Is(err, errDisk) || errors.As(err, &r) {
				t.Errorf("good until %d: got %v", good, err)
			}
		}
		// A source that is shorter than it says is a failure too, not a truncated object.
		_, err := part10.Index(bytes.NewReader(b[:len(b)-4]), int64(len(b)))
		var r *part10.RejectError
		if err == nil || errors.As(err, &r) || !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("short source: got %v", err)
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	var before, after runtime.MemStats
	b := file(part10.ExplicitLE, ids()+el(0x7FE00010, "OW", strings.Repeat("x", 64<<20)))
	if _, err := index(b); err != nil { // fills the pools
		t.Fatal(err)
	}
	runtime.ReadMemStats(&before)
	if _, err := index(b); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes allocated for one object", n)
	}
}

func TestEncodingIsWhatTheBytesShow(t *testing.T) {
	// An unknown transfer syntax, and labels that are wrong about VRs.
	for _, c := range []struct{ syntax, set, want string }{
		{"1.2.3.999", ids(), "1.2.3.999"}, {"1.2.3.999", implicitIDs(), "1.2.3.999"},
		{part10.ExplicitLE, implicitIDs(), part10.ImplicitLE}, {part10.ImplicitLE, ids(), part10.ImplicitLE},
	} {
		in, err := index(file(c.syntax, c.set))
		if err != nil || in.SOPUID != "1.2.3.4" || in.TransferSyntax != c.want {
			t.Errorf("%s: %v, %+v", c.syntax, err, in)
		}
	}
}

// TestImplicitUnderTheLabelOfExplicit: who asks for Explicit VR Little Endian gets that.
func TestImplicitUnderTheLabelOfExplicit(t *testing.T) {
	b := file(part10.ExplicitLE, implicitIDs()+implicitEl(0x00280010, u16(7)))
	in, err := index(b)
	if err != nil || in.TransferSyntax != part10.ImplicitLE {
		t.Fatalf("%v, %+v", err, in)
	}
	out := convert(t, b)
	if !strings.Contains(string(out), el(0x00280010, "US", u16(7))) {
		t.Errorf("not explicit: %q", out[132:])
	}
	if after, err := index(out); err != nil || after.TransferSyntax != part10.ExplicitLE || after.SOPUID != in.SOPUID {
		t.Errorf("%v, %+v", err, after)
	}
}

// TestDelimiterOfOddLength: whether there are pixels behind does not matter.
func TestDelimiterOfOddLength(t *testing.T) {
	odd := string(tagBytes(0xFFFEE000)) + "\xff\xff\xff\xff" + el(0x00080100, "SH", "code") + string(tagBytes(0xFFFEE00D)) + u32(5000)
	b := file(jpeg, ids()+undefinedEl(0x00400275, "SQ", odd)+image(2, 2, 8, "1")+undefinedEl(0x7FE00010, "OB", item("")+item(strings.Repeat("x", 9000))))
	in, err := index(b)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonOf(b[:in.HeaderLen])
	if err != nil {
		t.Fatal(err)
	}
	checkMember(t, out, "00400275", `{"vr":"SQ","Value":[{"00080100":{"vr":"SH","Value":["code"]}}]}`)
}

// TestFirstOfSeveralCounts: else what the index says and what the row says would find nothing together.
func TestFirstOfSeveralCounts(t *testing.T) {
	in, err := index(file(part10.ExplicitLE, ids()+el(0x00100010, "PN", "First")+el(0x00100010, "PN", "Second")+
		el(0x00100020, "LO", "")+el(0x00100020, "LO", "P2")))
	if err != nil {
		t.Fatal(err)
	}
	if names := strings.Join(in.PatientNames, "|"); names != "first" || in.PatientID != "" {
		t.Errorf("names %q, ID %q", names, in.PatientID)
	}
	checkMember(t, string(in.StudyAttrs), "00100010", `{"vr":"PN","Value":[{"Alphabetic":"First"}]}`)
	checkMember(t, string(in.StudyAttrs), "00100020", `{"vr":"LO"}`)
}

func TestUnknownVROfUndefinedLength(t *testing.T) {
	for _, inner := range []string{implicitEl(0x00091011, "ab"), el(0x00091011, "UN", "ab")} {
		out, err := jsonOf(file(part10.ExplicitLE, ids()+undefinedEl(0x00091010, "UN", delimited(inner))+el(0x00100020, "LO", "after")))
		if err != nil {
			t.Fatal(err)
		}
		checkMember(t, out, "00091010", `{"vr":"SQ","Value":[{"00091011":{"vr":"UN","InlineBinary":"YWI="}}]}`)
		checkMember(t, out, "00100020", `{"vr":"LO","Value":["after"]}`)
	}
}

func TestIndexReadsWhatWasWrittenAsUnknown(t *testing.T) {
	in, err := index(file(part10.ExplicitLE, el(0x00080016, "UN", "1.2.840.10008.5.1.4.1.1.7\x00")+el(0x00080018, "UN", "1.2.3.4\x00")+
		el(0x00080051, "UN", item(implicitEl(0x00400031, "HOSP")))+el(0x00080060, "UN", "CT")+
		el(0x0020000D, "UN", "1.2.3\x00")+el(0x0020000E, "UN", "1.2.3.1\x00")))
	if err != nil {
		t.Fatal(err)
	}
	if in.SOPUID != "1.2.3.4" || in.AccessionIssuer != "HOSP" {
		t.Errorf("instance %q, issuer %q", in.SOPUID, in.AccessionIssuer)
	}
	checkMember(t, string(in.InstanceAttrs), "00080018", `{"vr":"UI","Value":["1.2.3.4"]}`)
	checkMember(t, string(in.SeriesAttrs), "00080060", `{"vr":"CS","Value":["CT"]}`)
	checkMember(t, string(in.StudyAttrs), "00080051", `{"vr":"SQ","Value":[{"00400031":{"vr":"UT","Value":["HOSP"]}}]}`)
}
