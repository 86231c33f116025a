package part10_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"gantry/dicomweb/part10"
)

// checkMember compares one member of a JSON object, as text.
func checkMember(t *testing.T, object, key, want string) {
	t.Helper()
	var all map[string]json.RawMessage
	if err := json.Unmarshal([]byte(object), &all); err != nil {
		t.Fatalf("no JSON: %v: %.200s", err, object)
	}
	if got := string(all[key]); got != want {
		t.Errorf("%s: got %s, want %s", key, got, want)
	}
}

func f32(fs ...float32) string {
	var b []byte
	for _, f := range fs {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
	}
	return string(b)
}

func TestJSONValues(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, c := range []struct{ element, want string }{
		{el(0x00090001, "IS", `1\-2\+03\ 4 \x\\2147483648`), `{"vr":"IS","Value":[1,-2,3,4,"x",null,2147483648]}`},
		{el(0x00090001, "IS", `99999999999999999999\1.5\1e3`), `{"vr":"IS","Value":["99999999999999999999","1.5","1e3"]}`},
		{el(0x00090001, "DS", `1.50\.5\5.\-.5E+3\007\1e999\-\ \1,5\0`), `{"vr":"DS","Value":[1.50,0.5,5,-0.5E+3,7,"1e999","-",null,"1,5",0]}`},
		{el(0x00090001, "DS", `1e\1e+\+\.\-00.10`), `{"vr":"DS","Value":["1e","1e+","+",".",-0.10]}`},
		{el(0x00090001, "US", u16(1)+u16(65535)), `{"vr":"US","Value":[1,65535]}`},
		{el(0x00090001, "SS", u16(1)+u16(65535)), `{"vr":"SS","Value":[1,-1]}`},
		{el(0x00090001, "UL", u32(-1)), `{"vr":"UL","Value":[4294967295]}`},
		{el(0x00090001, "SL", u32(-1)), `{"vr":"SL","Value":[-1]}`},
		{el(0x00090001, "UV", u64(1<<53-1)+u64(1<<53)+u64(-1)), `{"vr":"UV","Value":[9007199254740991,"9007199254740992","18446744073709551615"]}`},
		{el(0x00090001, "SV", u64(-1)+u64(-1<<62)), `{"vr":"SV","Value":[-1,"-4611686018427387904"]}`},
		{el(0x00090001, "FL", f32(1.1, inf, -inf, float32(math.NaN()))), `{"vr":"FL","Value":[1.1,"Infinity","-Infinity","NaN"]}`},
		{el(0x00090001, "AT", u16(0x18)+u16(0x1063)), `{"vr":"AT","Value":["00181063"]}`},
		{el(0x00090001, "US", "\x01"), `{"vr":"US","Value":[8193]}`},
		{el(0x00090001, "OB", "\x00\x01"), `{"vr":"OB","InlineBinary":"AAE="}`},
		{el(0x00090001, "LO", ` a \b `), `{"vr":"LO","Value":[" a","b"]}`},
		{el(0x00090001, "LT", " a\\b\r\n\t\"\x01"), `{"vr":"LT","Value":[" a\\b\r\n\t\"\u0001"]}`},
		{el(0x00090001, "LO", ""), `{"vr":"LO"}`}, {el(0x00090001, "LO", "  "), `{"vr":"LO"}`},
		{el(0x00090001, "SQ", ""), `{"vr":"SQ"}`}, {el(0x00090001, "SQ", item("")), `{"vr":"SQ","Value":[{}]}`},
		{el(0x00090001, "UI", "1.2\\1.3\x00"), `{"vr":"UI","Value":["1.2","1.3"]}`},
		{el(0x00090001, "PN", `A^B=\=C==\\D`), `{"vr":"PN","Value":[{"Alphabetic":"A^B"},{"Ideographic":"C"},null,{"Alphabetic":"D"}]}`},
		{el(0x00090001, "PN", `==c`), `{"vr":"PN","Value":[{"Phonetic":"c"}]}`},
		{el(0x00090001, "UR", "http://x/\\y "), `{"vr":"UR","Value":["http://x/\\y"]}`},
		{el(0x00090001, "OW", strings.Repeat("x", 1026)), `{"vr":"OW","BulkDataURI":"00090001"}`},
		{rawEl(0x00090001, "  ", "ab"), `{"vr":"UN","InlineBinary":"YWI="}`},
		{el(0x00090001, "SQ", item(el(0x00091001, "UN", strings.Repeat("x", 2000)))),
			`{"vr":"SQ","Value":[{"00091001":{"vr":"UN","BulkDataURI":"00090001/1/00091001"}}]}`},
		// A sequence that holds no items is shown as the bytes it is.
		{el(0x00090001, "SQ", "not items!"), `{"vr":"UN","BulkDataURI":"00090001"}`},
	} {
		out, err := jsonOf(file(part10.ExplicitLE, c.element))
		if err != nil {
			t.Errorf("%q: %v", c.element, err)
			continue
		}
		checkMember(t, out, "00090001", c.want)
	}
}

// TestUnreadableItem: an item of defined length is not looked into when an object is stored, so what it holds must not hide the rest.
func TestUnreadableItem(t *testing.T) {
	rotten := string(tagBytes(0x00091001)) + "LO\x00\x40" + "short"
	bad := undefinedEl(0x00090001, "SQ", item(el(0x00091002, "LO", "a"))+item(rotten+" ")+item(el(0x00091002, "LO", "c")))
	b := file(part10.ExplicitLE, bad+ids())
	if _, err := index(b); err != nil {
		t.Fatalf("not stored: %v", err)
	}
	out, err := jsonOf(b)
	if err != nil {
		t.Fatal(err)
	}
	checkMember(t, out, "00090001", `{"vr":"SQ","Value":[{"00091002":{"vr":"LO","Value":["a"]}},{},{"00091002":{"vr":"LO","Value":["c"]}}]}`)
	checkMember(t, out, "0020000E", `{"vr":"UI","Value":["1.2.3.1"]}`)
}

// TestTooMuchForMetadata: what can't be left out, and what is too much even by reference, is an error and not a part of it.
func TestTooMuchForMetadata(t *testing.T) {
	one := item(el(0x00200013, "IS", "1") + el(0x00200011, "IS", "22"))
	many := new(strings.Builder)
	for i := range 70 {
		many.WriteString(rawEl(0x00090000|uint32(i+0x10), "UT", strings.Repeat("x", 1<<20)))
	}
	for i := range 100_000 {
		many.WriteString(el(0x00110010+uint32(i/0xF000)<<17|uint32(i%0xF000), "LO", ""))
	}
	for name, set := range map[string]string{
		"undefined length": undefinedEl(0x52009230, "SQ", strings.Repeat(one, 1_200_000)) + el(0x52009231, "LO", "x"),
		"many elements":    many.String(),
	} {
		_, err := jsonOf(file(part10.ExplicitLE, ids()+set))
		var r *part10.RejectError
		if !errors.As(err, &r) || r.Reason != part10.TooLarge {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDelimitersOfOddLength: what a delimiter says of its length means nothing, for items and for sequences.
func TestDelimitersOfOddLength(t *testing.T) {
	end := func(tag uint32) string { return string(tagBytes(tag)) + u32(4) }
	odd := string(tagBytes(0x00090001)) + "SQ\x00\x00\xff\xff\xff\xff" + string(tagBytes(0xFFFEE000)) + "\xff\xff\xff\xff" + el(0x00091002, "LO", "a") +
		end(0xFFFEE00D) + end(0xFFFEE0DD)
	b := file(part10.ExplicitLE, odd+ids())
	if _, err := index(b); err != nil {
		t.Fatalf("not stored: %v", err)
	}
	out, err := jsonOf(b)
	if err != nil {
		t.Fatal(err)
	}
	checkMember(t, out, "00090001", `{"vr":"SQ","Value":[{"00091002":{"vr":"LO","Value":["a"]}}]}`)
}

// TestHugeSequence: what does not fit the metadata is given by reference.
func TestHugeSequence(t *testing.T) {
	one := item(el(0x00200013, "IS", "1") + el(0x00200011, "IS", "22"))
	huge := el(0x52009230, "SQ", strings.Repeat(one, 1_200_000))
	b := file(part10.ExplicitLE, ids()+huge+el(0x7FE00010, "OB", "abcd"))
	if _, err := index(b); err != nil {
		t.Fatalf("not stored: %v", err)
	}
	out, err := jsonOf(b)
	if err != nil {
		t.Fatal(err)
	}
	checkMember(t, out, "52009230", `{"vr":"UN","BulkDataURI":"52009230"}`)
	checkMember(t, out, "0020000E", `{"vr":"UI","Value":["1.2.3.1"]}`)
	checkMember(t, out, "7FE00010", `{"vr":"OB","BulkDataURI":"7FE00010"}`)
}

func TestJSONOrderAndOmissions(t *testing.T) {
	set := el(0x00100020, "LO", "second") + el(0x00100000, "UL", u32(0)) + el(0x00100010, "PN", "first") +
		el(0x00100020, "LO", "again") + el(0x00400275, "SQ", item(el(0x00400000, "UL", u32(0))+el(0xFFFCFFFC, "OB", "\x00\x00"))) +
		el(0xFFFCFFFC, "OB", "\x00\x00")
	out, err := jsonOf(file(part10.ExplicitLE, set))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"00080005":{"vr":"CS","Value":["ISO_IR 192"]},"00100010":{"vr":"PN","Value":[{"Alphabetic":"first"}]},` +
		`"00100020":{"vr":"LO","Value":["second"]},"00400275":{"vr":"SQ","Value":[{}]}}`
	if out != want {
		t.Errorf("got %s, want %s", out, want)
	}
}

func TestJSONOfHeaderAlone(t *testing.T) {
	b := file(part10.ExplicitLE, ids()+image(2, 2, 8, "1")+el(0x7FE00010, "OB", "abcd"))
	in, err := index(b)
	if err != nil {
		t.Fatal(err)
	}
	opts := part10.JSONOptions{PixelVR: in.Pixels.VR.String(), BulkDataURI: func(dst, path []byte) []byte { return append(dst, path...) }}
	whole, err := part10.WriteJSON(nil, bytes.NewReader(b), int64(len(b)), opts)
	if err != nil {
		t.Fatal(err)
	}
	header, err := part10.WriteJSON([]byte("x"), bytes.NewReader(b[:in.HeaderLen]), in.HeaderLen, opts)
	if err != nil {
		t.Fatal(err)
	}
	if string(header) != "x"+string(whole) {
		t.Errorf("got %s, want %s", header, whole)
	}
	checkMember(t, string(whole), "7FE00010", `{"vr":"OB","BulkDataURI":"7FE00010"}`)
}

func TestImplicitVRs(t *testing.T) {
	set := implicitEl(0x00280103, u16(1)) + implicitEl(0x00280106, u16(0xFFFF)) + implicitEl(0x60023000, "ab") +
		implicitEl(0x60020010, u16(7)) + implicitEl(0x00090010, "CREATOR ") + implicitEl(0x00091001, "ab") +
		implicitEl(0x00283006, "ab") + implicitEl(0x00080001, u32(1))
	out, err := jsonOf(file(part10.ImplicitLE, set))
	if err != nil {
		t.Fatal(err)
	}
	checkMember(t, out, "00280106", `{"vr":"SS","Value":[-1]}`)
	checkMember(t, out, "60023000", `{"vr":"OW","InlineBinary":"YWI="}`)
	checkMember(t, out, "60020010", `{"vr":"US","Value":[7]}`)
	checkMember(t, out, "00090010", `{"vr":"LO","Value":["CREATOR"]}`)
	checkMember(t, out, "00091001", `{"vr":"UN","InlineBinary":"YWI="}`)
	checkMember(t, out, "00283006", `{"vr":"OW","InlineBinary":"YWI="}`)
}

// TestSignednessIsLookedUp: some elements whose VR depends on PixelRepresentation stand before it.
func TestSignednessIsLookedUp(t *testing.T) {
	before := func(signed int) string {
		return implicitIDs() + implicitEl(0x00189810, "\xfe\xff") + implicitEl(0x00280010, u16(2)) + implicitEl(0x00280071, "\xff\xff") +
			implicitEl(0x00280103, u16(signed)) + implicitEl(0x00280106, "\xfd\xff")
	}
	for signed, want := range []string{`{"vr":"US","Value":[65534]} {"vr":"US","Value":[65535]} {"vr":"US","Value":[65533]}`,
		`{"vr":"SS","Value":[-2]} {"vr":"SS","Value":[-1]} {"vr":"SS","Value":[-3]}`} {
		b := file(part10.ImplicitLE, before(signed))
		for _, b := range [][]byte{b, convert(t, b)} {
			out, err := jsonOf(b)
			if err != nil {
				t.Fatal(err)
			}
			for i, tag := range []string{"00189810", "00280071", "00280106"} {
				checkMember(t, out, tag, strings.Split(want, " ")[i])
			}
			checkMember(t, out, "00280010", `{"vr":"US","Value":[2]}`)
		}
	}
	unknown, err := jsonOf(file(part10.ExplicitLE, el(0x00189810, "UN", "\xfe\xff")+el(0x00280103, "US", u16(1))))
	if err != nil {
		t.Fatal(err)
	}
	checkMember(t, unknown, "00189810", `{"vr":"SS","Value":[-2]}`)
}

func TestUnknownVRsThatTheDictionaryKnows(t *testing.T) {
	big := func(set string) []byte { return file(part10.ExplicitBE, set) }
	little := func(set string) []byte { return file(part10.ExplicitLE, set) }
	bytesOf := func(s string) string {
		return `{"vr":"UN","InlineBinary":"` + base64.StdEncoding.EncodeToString([]byte(s)) + `"}`
	}
	procedure := item(implicitEl(0x00080100, "code") + implicitEl(0x00091001, strings.Repeat("x", 2000)))
	for _, c := range []struct {
		file      []byte
		tag, want string
	}{
		{little(el(0x00080018, "UN", "1.2.3\x00")), "00080018", `{"vr":"UI","Value":["1.2.3"]}`},
		{little(el(0x00080018, "UN", "1.x.3\x00")), "00080018", bytesOf("1.x.3\x00")},
		{little(el(0x00080018, "UN", "")), "00080018", `{"vr":"UI"}`},
		{little(el(0x00080060, "UN", "C\x01")), "00080060", bytesOf("C\x01")},
		{little(el(0x00180050, "UN", "1.5 ")), "00180050", `{"vr":"DS","Value":[1.5]}`},
		{little(el(0x00180050, "UN", "thin")), "00180050", bytesOf("thin")},
		{little(el(0x00100010, "UN", "A^B ")), "00100010", `{"vr":"PN","Value":[{"Alphabetic":"A^B"}]}`},
		{little(el(0x00100010, "UN", "A\x00^B")), "00100010", bytesOf("A\x00^B")},
		{little(el(0x00280009, "UN", u16(24)+u16(99))), "00280009", `{"vr":"AT","Value":["00180063"]}`},
		{little(el(0x00280009, "UN", "ab")), "00280009", bytesOf("ab")},
		{little(el(0x00280103, "UN", u16(1)) + el(0x00280106, "UN", u16(0xFFFF))), "00280106", `{"vr":"SS","Value":[-1]}`},
		{little(el(0x00090010, "UN", "ACME") + el(0x00091001, "UN", "ab")), "00091001", bytesOf("ab")},
		{little(el(0x00081032, "UN", procedure)), "00081032",
			`{"vr":"SQ","Value":[{"00080100":{"vr":"SH","Value":["code"]},"00091001":{"vr":"UN","BulkDataURI":"00081032/1/00091001"}}]}`},
		{little(el(0x00081032, "UN", "no items")), "00081032", `{"vr":"UN","BulkDataURI":"00081032"}`},
		// Little endian in any syntax (PS3.5 6.2.2 note 2).
		{big("\x00\x28\x00\x10UN\x00\x00\x00\x00\x00\x02" + u16(512) + "\x00\x28\x00\x11US\x00\x02\x02\x00"), "00280010", `{"vr":"US","Value":[512]}`},
		{big("\x00\x28\x00\x10UN\x00\x00\x00\x00\x00\x02" + u16(512) + "\x00\x28\x00\x11US\x00\x02\x02\x00"), "00280011", `{"vr":"US","Value":[512]}`},
	} {
		out, err := jsonOf(c.file)
		if err != nil {
			t.Errorf("%s: %v", c.want, err)
			continue
		}
		checkMember(t, out, c.tag, c.want)
	}
	b := little(el(0x00081032, "UN", procedure))
	v, err := part10.Element(bytes.NewReader(b), int64(len(b)), "00081032/1/00091001")
	if err != nil || v.Range.Length != 2000 || b[v.Range.Offset] != 'x' {
		t.Errorf("a value in a sequence that was written as UN: %+v, %v", v, err)
	}
}

func TestElementFindsNestedValues(t *testing.T) {
	b := file(part10.ExplicitLE, ids()+undefinedEl(0x00400275, "SQ", delimited(el(0x00091001, "OB", "no"))+item(el(0x00091001, "OB", "yes!"))))
	v, err := part10.Element(bytes.NewReader(b), int64(len(b)), "00400275/2/00091001")
	if err != nil {
		t.Fatal(err)
	}
	if got := string(b[v.Range.Offset : v.Range.Offset+v.Range.Length]); got != "yes!" || !v.Direct || v.VR != part10.OB {
		t.Errorf("got %q, %+v", got, v)
	}
	for path, want := range map[string]error{
		"00400275/3/00091001": part10.ErrNoElement, "00400275/0/00091001": part10.ErrPath, "00400275": part10.ErrNoElement,
		"00400275/1": part10.ErrPath, "": part10.ErrPath, "zz": part10.ErrPath, "00091001": part10.ErrNoElement,
	} {
		if _, err := part10.Element(bytes.NewReader(b), int64(len(b)), path); err != want { //nolint:errorlint // sentinels are returned bare
			t.Errorf("%q: got %v, want %v", path, err, want)
		}
	}
}

func TestFragmentsWrittenAsUN(t *testing.T) {
	b := file(jpeg, ids()+image(2, 2, 8, "1")+undefinedEl(0x7FE00010, "UN", item("")+item("abcd")))
	out, err := jsonOf(b)
	if err != nil {
		t.Fatal(err)
	}
	checkMember(t, out, "7FE00010", `{"vr":"OB","BulkDataURI":"7FE00010"}`)
	v, err := part10.Element(bytes.NewReader(b), int64(len(b)), "7FE00010")
	if err != nil || len(v.Fragments) != 1 {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestBulkValuesAreLittleEndian(t *testing.T) {
	words := strings.Repeat("ab", 1000)
	bigEl := string([]byte{0, 0x28, 0x30, 0x06}) + "OW\x00\x00\x00\x00\x07\xd0" + words
	for _, c := range []struct {
		syntax, set, want string
	}{
		{part10.ExplicitBE, bigEl, strings.Repeat("ba", 1000)},
		{part10.DeflatedLE, deflate(el(0x00283006, "OW", words)), words},
	} {
		b := file(c.syntax, c.set)
		out, err := jsonOf(b)
		if err != nil {
			t.Fatal(err)
		}
		checkMember(t, out, "00283006", `{"vr":"OW","BulkDataURI":"00283006"}`)
		v, err := part10.Element(bytes.NewReader(b), int64(len(b)), "00283006")
		if err != nil || v.Direct {
			t.Fatalf("%s: %v, %+v", c.syntax, err, v)
		}
		f, err := v.Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(f)
		if err != nil || string(got) != c.want || f.Length != int64(len(got)) {
			t.Errorf("%s: got %.20q and %v, want %.20q", c.syntax, got, err, c.want)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}
