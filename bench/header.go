package bench

import (
	"fmt"
	"strings"
)

// header returns everything between group 2 and the pixels, unsorted.
func (g *Generator) header(in *Instance) []element {
	se := in.Series
	e := make([]element, 0, 192)
	e = append(e, common...)
	e = appendPatient(e, se.Study)
	e = append(e,
		element{0x00080016, "UI", se.Kind.sopClass()},
		element{0x00080018, "UI", in.UID},
		element{0x00080060, "CS", se.Kind.Modality()},
		element{0x0008103E, "LO", se.Description},
		element{0x0020000E, "UI", se.UID},
		element{0x00200011, "IS", itoa(se.Number)},
		element{0x00200013, "IS", itoa(in.Number)},
	)
	if se.Kind == KindTiny {
		return append(e, g.pixelModule(in)...)
	}
	e = append(e, equipment...)
	switch se.Kind {
	case KindCT:
		e = append(append(e, ctStatic...), crossSection(in, 5, 0.7421875)...)
		e = append(e, g.ctSlice(in)...)
	case KindMR:
		e = append(append(e, mrStatic...), crossSection(in, 4, 0.859375)...)
		e = append(e, element{0x00200052, "UI", g.uid(uint64(se.Study.Number), 900)})
	case KindCR, KindDX:
		e = append(append(e, projectionStatic...), projectionOf(se.Kind)...)
	case KindUS, KindUSLoop:
		e = append(e, ultrasoundStatic...)
		if in.Frames > 1 {
			e = append(e, element{0x00181063, "DS", "33.333"}, element{0x00280008, "IS", itoa(in.Frames)},
				element{0x00280009, "AT", at(0x00181063)})
		}
	case KindSR:
		return append(e, g.report(in)...)
	}
	return append(e, g.pixelModule(in)...)
}

func appendPatient(e []element, st *Study) []element {
	return append(e,
		element{0x00080005, "CS", st.Charset},
		element{0x00080020, "DA", st.Date},
		element{0x00080030, "TM", st.Time},
		element{0x00080050, "SH", st.Accession},
		element{0x00080090, "PN", st.Referring},
		element{0x00081030, "LO", st.Description},
		element{0x00100010, "PN", st.PatientName},
		element{0x00100020, "LO", st.PatientID},
		element{0x00100030, "DA", st.BirthDate},
		element{0x00100040, "CS", st.Sex},
		element{0x0020000D, "UI", st.UID},
		element{0x00200010, "SH", "S" + itoa(st.Number)},
	)
}

// pixelModule describes the pixels (PS3.3 C.7.6.3).
func (g *Generator) pixelModule(in *Instance) []element {
	p := g.picture(in.Series.Kind)
	allocated := 8
	if p.bits > 8 {
		allocated = 16
	}
	return []element{
		{0x00280002, "US", us(1)},
		{0x00280004, "CS", "MONOCHROME2"},
		{0x00280010, "US", us(p.rows)},
		{0x00280011, "US", us(p.columns)},
		{0x00280100, "US", us(allocated)},
		{0x00280101, "US", us(p.bits)},
		{0x00280102, "US", us(p.bits - 1)},
		{0x00280103, "US", us(0)},
	}
}

// crossSection is what CT and MR have in common; thickness and spacing in mm.
func crossSection(in *Instance, thickness, spacing float64) []element {
	z := -120 + thickness*float64(in.Number)
	se := in.Series
	return []element{
		{0x00080022, "DA", se.Study.Date},
		{0x00080032, "TM", fmt.Sprintf("%s%03d", se.Study.Time[:7], in.Number%1000)},
		{0x00080033, "TM", fmt.Sprintf("%s%03d", se.Study.Time[:7], in.Number%1000)},
		{0x00180050, "DS", fmt.Sprintf("%g", thickness)},
		{0x00180088, "DS", fmt.Sprintf("%g", thickness)},
		{0x00200012, "IS", "1"},
		{0x00200032, "DS", fmt.Sprintf(`-190\-190\%.3f`, z)},
		{0x00200037, "DS", `1\0\0\0\1\0`},
		{0x00201040, "LO", ""},
		{0x00201041, "DS", fmt.Sprintf("%.3f", z)},
		{0x00280030, "DS", fmt.Sprintf(`%g\%g`, spacing, spacing)},
	}
}

// ctSlice is what changes from slice to slice, the vendor's private block and the references to the topogram.
func (g *Generator) ctSlice(in *Instance) []element {
	study := uint64(in.Series.Study.Number)
	private := make([]byte, 1800)
	(&rng{hash(g.seed, 7, study, uint64(in.Series.Number), uint64(in.Number))}).fill(private)
	return []element{
		{0x00081140, "SQ", sequence([]element{
			{0x00081150, "UI", KindCT.sopClass()}, {0x00081155, "UI", g.uid(study, 1, 1)},
		})},
		{0x00181151, "IS", itoa(180 + in.Number%40)},
		{0x00181152, "IS", itoa(90 + in.Number%20)},
		{0x00200052, "UI", g.uid(study, 900)},
		{0x00290010, "LO", "BENCH CSA HEADER"},
		{0x00291010, "OB", string(private)},
	}
}

func projectionOf(k Kind) []element {
	if k == KindDX {
		return dxStatic
	}
	return []element{{0x00180015, "CS", "CHEST"}, {0x00181400, "LO", "CHEST STANDARD"}}
}

// report is a structured report: a tree of measurements and text (PS3.3 A.35.2).
func (g *Generator) report(in *Instance) []element {
	study := in.Series.Study
	content := [][]element{textItem("121106", "Comment", "No acute findings. "+strings.Repeat("Unremarkable. ", 12))}
	for i := range 24 {
		content = append(content, measurement(i, uint64(study.Number)))
	}
	reference := []element{
		{0x00081115, "SQ", sequence([]element{
			{0x00081199, "SQ", sequence([]element{
				{0x00081150, "UI", study.Series[0].Kind.sopClass()}, {0x00081155, "UI", study.Series[0].Instances[0].UID},
			})},
			{0x0020000E, "UI", study.Series[0].UID},
		})},
		{0x0020000D, "UI", study.UID},
	}
	return []element{
		{0x00080023, "DA", study.Date},
		{0x00080033, "TM", study.Time},
		{0x00081111, "SQ", ""},
		{0x0040A040, "CS", "CONTAINER"},
		{0x0040A043, "SQ", sequence(code("126000", "DCM", "Imaging Measurement Report"))},
		{0x0040A050, "CS", "SEPARATE"},
		{0x0040A372, "SQ", ""},
		{0x0040A375, "SQ", sequence(reference)},
		{0x0040A491, "CS", "COMPLETE"},
		{0x0040A493, "CS", "UNVERIFIED"},
		{0x0040A730, "SQ", sequence(content...)},
	}
}

func textItem(value, meaning, text string) []element {
	return []element{
		{0x0040A010, "CS", "CONTAINS"}, {0x0040A040, "CS", "TEXT"},
		{0x0040A043, "SQ", sequence(code(value, "DCM", meaning))}, {0x0040A160, "UT", text},
	}
}

func measurement(i int, study uint64) []element {
	return []element{
		{0x0040A010, "CS", "CONTAINS"}, {0x0040A040, "CS", "NUM"},
		{0x0040A043, "SQ", sequence(code("G-D7FE", "SRT", "Length "+itoa(i)))},
		{0x0040A300, "SQ", sequence([]element{
			{0x004008EA, "SQ", sequence(code("mm", "UCUM", "millimeter"))},
			{0x0040A30A, "DS", fmt.Sprintf("%.2f", float64(hash(study, uint64(i))%10000)/100)},
		})},
	}
}
