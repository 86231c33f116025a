package dicomweb

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"gantry/store"
)

// smallObject makes an object in Explicit VR Little Endian of elements in the order given.
func smallObject(elements ...any) []byte {
	le := binary.LittleEndian
	element := func(b []byte, tag uint32, vr, value string) []byte {
		if len(value)%2 == 1 {
			value += map[bool]string{true: "\x00", false: " "}[vr == "UI"]
		}
		b = le.AppendUint16(le.AppendUint16(b, uint16(tag>>16)), uint16(tag))
		return append(le.AppendUint16(append(b, vr...), uint16(len(value))), value...)
	}
	b := element([]byte(strings.Repeat("\x00", 128)+"DICM"), 0x00020010, "UI", explicitLE)
	for i := 0; i < len(elements); i += 3 {
		b = element(b, uint32(elements[i].(int)), elements[i+1].(string), elements[i+2].(string))
	}
	return b
}

// The values from which the studies of TestPlanDecidesOnlyTheCost are made: as senders write them, rightly or wrongly.
var (
	planNames = []string{"", "ROE^JANE", "Roe^Jane^^", " ROE ^ JANE ", "ROE", "ROEMER^J", "Müller^Jörg", "MU\u0308LLER^JO\u0308RG", "\ufb00^ß", "SS^ff", "ΑΣ^ᾳ", "İ^ı",
		"=山田^太郎", "A^B=C^D=E", `A\B^C`, "Ꭰ^ꭰ", "K^k", "^JANE", "A^^C", "O'Neil-Roe^J.", strings.Repeat("long", 70) + "^END", strings.Repeat("山", 90) + "^ROE", "a*b", "=="}
	planIDs   = []string{"", "P1", " P1 ", `PA\PB`, "PA\x00\\PB", "p1", `P1\`, `\P2`, "P*", "P 1", "Ü1", "P1\x00"}
	planDates = []string{"", "20240115", "2024.01.15", "2024", "202401", "20240131", `20240115\20240201`, "20240231", "00000000", "20240101-20240131", "19991231", "20240201", "today"}
	planTimes = []string{"", "10", "1030", "10:30:00", "235960", "1x"}
	planKinds = []string{"CT", "MR", "", `CT\MR`, "ct", "C T", " CT"}
)

func pick(r *rand.Rand, list []string) string { return list[r.IntN(len(list))] }

// planArchive stores n studies of random attributes.
func planArchive(t *testing.T, r *rand.Rand, n int) *Gateway {
	t.Helper()
	st, err := store.Open(t.Context(), store.Config{Dir: t.TempDir(), Indexer: Index})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	if _, err := st.CreateBucket(t.Context(), "dicom", store.BucketSettings{DICOM: true}, store.Origin{}); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		study, series := fmt.Sprint("1.", i), fmt.Sprint("1.", i, ".", r.IntN(2))
		for k := range 1 + r.IntN(3) {
			set := []any{0x00080005, "CS", "ISO_IR 192", 0x00080016, "UI", "1.2", 0x00080018, "UI", fmt.Sprint(series, ".", k), 0x00080020, "DA", pick(r, planDates), 0x00080030, "TM", pick(r, planTimes),
				0x00080050, "SH", pick(r, planIDs), 0x00080060, "CS", pick(r, planKinds), 0x00100010, "PN", pick(r, planNames), 0x00100020, "LO", pick(r, planIDs)}
			if r.IntN(4) == 0 {
				set = append(set, 0x00100010, "PN", pick(r, planNames), 0x00100020, "LO", pick(r, planIDs))
			}
			b := smallObject(append(set, 0x0020000D, "UI", study, 0x0020000E, "UI", series)...)
			if _, err := st.Put(t.Context(), &store.Put{Key: store.Key{Bucket: "dicom"}, Body: bytes.NewReader(b), Size: int64(len(b)), Instance: &store.InstancePut{}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	g, err := New(Config{Objects: st, NoAuth: true})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// planKey makes a key that often matches something.
func planKey(r *rand.Rand) param {
	name := pick(r, []string{"PatientName", "PatientID", "AccessionNumber", "StudyDate", "StudyDate", "Modality", "ModalitiesInStudy", "StudyTime", "StudyInstanceUID", "SOPInstanceUID", "SeriesInstanceUID"})
	value := ""
	switch name {
	case "PatientName":
		value = strings.ReplaceAll(pick(r, planNames), `\`, "")
	case "PatientID", "AccessionNumber":
		value = pick(r, planIDs)
	case "StudyDate":
		return param{name, pick(r, []string{"20240115", "2024", "202401", "20240101-20240131", "20240115-", "-20240131", "-2024", "2024-", "20240231", "19991231-19991231", "20240131-20240101", "00000000", "20240100-20240199"})}
	case "StudyTime":
		return param{name, pick(r, []string{"10", "1000-1059", "10:30", "-12"})}
	case "Modality", "ModalitiesInStudy":
		value = pick(r, planKinds)
	default:
		var list []string
		for range 1 + r.IntN(3) {
			list = append(list, fmt.Sprint("1.", r.IntN(40), strings.Repeat(fmt.Sprint(".", r.IntN(2)), strings.Count(name, "SeriesI")+2*strings.Count(name, "SOP"))))
		}
		return param{name, strings.Join(list, ",")}
	}
	switch runes := []rune(value); r.IntN(4) {
	case 0:
		value = string(runes[:r.IntN(len(runes)+1)]) + "*"
	case 1:
		if len(runes) > 0 {
			runes[r.IntN(len(runes))] = '?'
			value = string(runes)
		}
	case 2:
		value = pick(r, []string{"*", ""}) + value + pick(r, []string{"*", "", "^*"})
	}
	return param{name, value}
}

// TestPlanDecidesOnlyTheCost compares what queries find by the index that was chosen for them with what they find among all studies.
func TestPlanDecidesOnlyTheCost(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	g := planArchive(t, r, 120)
	found := 0
	for range 1500 {
		params := []param{{"fuzzymatching", pick(r, []string{"true", "false"})}}
		for range 1 + r.IntN(2) {
			params = append(params, planKey(r))
		}
		kind := []resource{resStudies, resSeriesAll, resInstancesAll}[r.IntN(3)]
		q, err := parseQuery(route{resource: kind}, params)
		if err != nil {
			continue
		}
		find := func(p plan) string {
			s := g.newSearch(t.Context(), "dicom", "", q)
			if err := g.candidates(t.Context(), "dicom", p, s.study); err != nil {
				t.Fatal(err)
			}
			found += s.count
			return string(s.out)
		}
		if got, want := find(planQuery(q)), find(plan{firstPage: 7}); got != want {
			t.Errorf("%q:\n%.500s\namong all studies:\n%.500s", params, got, want)
		}
	}
	if found < 5000 {
		t.Errorf("only %d results", found)
	}
}
