package part10_test

import (
	"strings"
	"testing"

	"gantry/dicomweb/part10"
)

// The examples of PS3.5 annexes H, I, J and K, and what real files do besides.
func TestCharsets(t *testing.T) {
	for _, c := range []struct{ declared, raw, want string }{
		{"", "plain", "plain"},
		{"ISO_IR 100", "M\xfcller^J\xf6rg", "Müller^Jörg"},
		{"ISO_IR 144", "\xbb\xee\xda\x63\x65\xdc\xd1\x79\x70\xd3", "Люкceмбypг"},
		{"ISO_IR 126", "\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2", "Διονυσιος"},
		{"ISO_IR 127", "\xe2\xc8\xc7\xe6\xea^\xe4\xe6\xd2\xc7\xd1", "قباني^لنزار"},
		{"ISO_IR 138", "\xf9\xf8\xe5\xef^\xe3\xe1\xe5\xf8\xe4", "שרון^דבורה"},
		{"ISO_IR 166", "\xa1\xd2\xc3", "การ"},
		{"ISO_IR 192", "Wang^XiaoDong=王^小东", "Wang^XiaoDong=王^小东"},
		{"GB18030", "Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab", "Wang^XiaoDong=王^小东"},
		{"GB18030", "\x81\x30\x81\x30\\\x95\x5c", "\u0080\\昞"},
		{"GBK", "\xd0\xa1\xb6\xab", "小东"},
		{"ISO_IR 13", "\xd4\xcf\xc0\xde^\xc0\xdb\xb3", "ﾔﾏﾀﾞ^ﾀﾛｳ"},
		{`\ISO 2022 IR 87`, "Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
			"Yamada^Tarou=山田^太郎=やまだ^たろう"},
		{`ISO 2022 IR 13\ISO 2022 IR 87`, "\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎"},
		{`\ISO 2022 IR 149`, "Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
			"Hong^Gildong=洪^吉洞=홍^길동"},
		{`\ISO 2022 IR 149`, "\xc8\xab", "홍"}, // without its escape sequence
		{`\ISO 2022 IR 58`, "Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab", "Zhang^XiaoDong=张^小东"},
		{`\ISO 2022 IR 159`, "\x1b$(D\x30\x21\x1b(B", "丂"},
		{`ISO 2022 IR 100\ISO 2022 IR 144`, "\xe9\x1b-L\xbb^\xe9", "éЛ^é"},
		{"UNKNOWN_SET", "M\xfcller", "Müller"},
		{"UNKNOWN_SET", "Müller", "Müller"},
		{"ISO-IR 100", "\xfc", "ü"}, {"iso_ir192", "ü", "ü"},
		{"ISO_IR 192", "bad \xff\xfe", "bad \ufffd\ufffd"},
		{`\ISO 2022 IR 87`, "\x1b$B;", "\ufffd"},
		// Where no code has an upper half, UTF-8 can be nothing else.
		{`\ISO_IR 192`, "Müller=王^小东", "Müller=王^小东"}, {`\ISO 2022 IR 87`, "王", "王"}, {`\ISO_IR 192`, "M\xfcller", "Müller"},
		{"", "\x1b$B;3ED\x1b(B^T", "山田^T"}, {"", "M\xfcller", "Müller"}, {"ISO_IR 6", "Müller", "Müller"},
		// Terms that are none, but leave no doubt.
		{"ISO_IR 149", "\xc8\xab", "홍"}, {"ISO_IR 58", "\xd5\xc5", "张"}, {"ISO 2022 58", "\x1b$)A\xd5\xc5", "张"}, {"ISO_IR 87", "\x1b$B;3ED\x1b(B", "山田"},
		{"GB2312", "\xd5\xc5", "张"}, {"ISO 2022 GBK", "\xd5\xc5", "张"},
		{"ISO_IR 13", "\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x8eR\x93c^\x91\xbe\x98Y=\x82\xe2\x95\\", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=や表"}, {"ISO_IR 13", "\x8e\xd4\x8e", "車\ufffd"},
		{"ISO 2022 IR 165", "M\xfcller", "Müller"}, {`\ISO 2022 IR 87`, "M\xfcller=\x1b$B;3ED\x1b(B", "Müller=山田"},
	} {
		if got := string(part10.ParseCharset(c.declared).Append(nil, []byte(c.raw))); got != c.want {
			t.Errorf("%s: % x: got %q, want %q", c.declared, c.raw, got, c.want)
		}
	}
}

// TestCharsetTooLong: what no index looked at must not hide the metadata.
func TestCharsetTooLong(t *testing.T) {
	b := file(part10.ExplicitLE, el(0x00080005, "CS", strings.Repeat(`\ISO 2022 IR 87`, 1000))+ids()+el(0x00100010, "PN", "é"))
	if _, err := index(b); err != nil {
		t.Fatalf("not stored: %v", err)
	}
	out, err := jsonOf(b)
	if err != nil {
		t.Fatal(err)
	}
	checkMember(t, out, "00100010", `{"vr":"PN","Value":[{"Alphabetic":"é"}]}`)
}

func TestCharsetDelimitersByVR(t *testing.T) {
	// In a person name "^" ends a run of code extensions, in a text it does not.
	set := el(0x00080005, "CS", `\ISO 2022 IR 144`)
	out, err := jsonOf(file(part10.ExplicitLE, set+ids()+el(0x00104000, "LT", "\x1b-L\xbb^\xbb")))
	if err != nil {
		t.Fatal(err)
	}
	checkMember(t, out, "00104000", `{"vr":"LT","Value":["Л^Л"]}`)
}

func TestCharsetOfItems(t *testing.T) {
	inner := el(0x00080005, "CS", "ISO_IR 144") + el(0x00080104, "LO", "\xbb\xee")
	out, err := jsonOf(file(part10.ExplicitLE, el(0x00080005, "CS", "ISO_IR 100")+ids()+
		undefinedEl(0x00081032, "SQ", item(inner)+delimited(el(0x00080104, "LO", "\xfc")))+el(0x00100010, "PN", "\xe9 ")))
	if err != nil {
		t.Fatal(err)
	}
	checkMember(t, out, "00081032", `{"vr":"SQ","Value":[{"00080104":{"vr":"LO","Value":["Лю"]}},{"00080104":{"vr":"LO","Value":["ü"]}}]}`)
	checkMember(t, out, "00100010", `{"vr":"PN","Value":[{"Alphabetic":"é"}]}`)
}
