package bench

import (
	"fmt"
	"math/big"
	"sync"
	"time"
)

// A Study is planned, not stored: its instances' bytes are built when they are sent. Every field is a pure function
// of the generator's seed and the study's number.
type Study struct {
	Number      int
	UID         string
	PatientID   string
	PatientName string
	Charset     string // value of (0008,0005) that PatientName is encoded in
	Sex         string
	BirthDate   string
	Accession   string
	Date, Time  string // DICOM DA and TM
	Description string
	Referring   string
	Series      []*Series
}

// A Series belongs to one study and is built from one template.
type Series struct {
	Study       *Study
	Number      int
	UID         string
	Kind        Kind
	Description string
	Instances   []*Instance
}

// An Instance is one DICOM file. Sums is nil until Generator.Sum has built it once.
type Instance struct {
	Series *Series
	Number int // from 1
	UID    string
	Frames int
	Sums   *Sums
}

// Sums are what answers are checked against. Sizes are in bytes.
type Sums struct {
	Size       int64
	CRC        uint32   // CRC-32C of the whole file
	FrameCRCs  []uint32 // CRC-32C of each frame as WADO-RS returns it; nil without pixels
	FrameSizes []int64
}

// Kind selects the template of a series.
type Kind int

// The templates. KindTiny makes files of about 1 KB, for tests of scale.
const (
	KindCT Kind = iota
	KindMR
	KindCR
	KindDX
	KindUS
	KindUSLoop
	KindSR
	KindTiny
)

// Modality is the value of (0008,0060).
func (k Kind) Modality() string {
	return [...]string{"CT", "MR", "CR", "DX", "US", "US", "SR", "OT"}[k]
}

func (k Kind) sopClass() string {
	return "1.2.840.10008.5.1.4.1.1." +
		[...]string{"2", "4", "1", "1.1", "6.1", "3.1", "88.22", "7"}[k]
}

func (k Kind) transferSyntax() string {
	if k == KindUS || k == KindUSLoop {
		return jpegBaseline
	}
	return explicitLittleEndian
}

// A Generator plans studies and builds their instances. Safe for concurrent use.
type Generator struct {
	seed     uint64
	uniform  Kind // of all instances,
	perStudy int  // so many in a study's one series; 0: a hospital's mix

	images [KindTiny + 1]imageOnce

	mu        sync.Mutex // guards the plan
	studies   []*Study
	instances []*Instance // of all planned studies, in order
}

// NewGenerator returns a generator of realistic studies. Equal seeds give equal bytes.
func NewGenerator(seed uint64) *Generator { return &Generator{seed: seed} }

// NewUniformGenerator returns a generator of studies that hold one series of perStudy instances of one kind.
func NewUniformGenerator(seed uint64, kind Kind, perStudy int) *Generator {
	return &Generator{seed: seed, uniform: kind, perStudy: max(perStudy, 1)}
}

// Study returns study number i.
func (g *Generator) Study(i int) *Study {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.studies) <= i {
		g.planLocked()
	}
	return g.studies[i]
}

// Studies returns the first n studies.
func (g *Generator) Studies(n int) []*Study {
	if n <= 0 {
		return nil
	}
	g.Study(n - 1)
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.studies[:n:n]
}

// Instance returns instance number i, counted through all studies.
func (g *Generator) Instance(i int) *Instance {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.instances) <= i {
		g.planLocked()
	}
	return g.instances[i]
}

func (g *Generator) planLocked() {
	st := g.plan(len(g.studies))
	g.studies = append(g.studies, st)
	for _, se := range st.Series {
		g.instances = append(g.instances, se.Instances...)
	}
}

// firstStudyDate: studies are spread over the two years from here.
var firstStudyDate = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

const studyDays = 730

// uid derives a UID under 2.25 (PS3.5 B.2) from what it names.
func (g *Generator) uid(numbers ...uint64) string {
	hi := hash(append([]uint64{g.seed, 1}, numbers...)...)
	lo := hash(append([]uint64{g.seed, 2}, numbers...)...)
	hi = hi&^0xF000 | 0x4000 // a random UUID by its version bits
	lo = lo&^(3<<62) | 1<<63
	n := new(big.Int).SetUint64(hi)
	n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(lo))
	return "2.25." + n.String()
}

func (g *Generator) plan(i int) *Study {
	r := rng{hash(g.seed, 3, uint64(i))}
	patient := i / 2 // two studies each: a current one and a prior
	p := rng{hash(g.seed, 4, uint64(patient))}
	name := patientNames[p.n(len(patientNames))]
	day := firstStudyDate.AddDate(0, 0, r.n(studyDays))
	st := &Study{
		Number:      i,
		UID:         g.uid(uint64(i)),
		PatientID:   fmt.Sprintf("P%04X%06d", g.seed&0xFFFF, patient),
		PatientName: name.encoded,
		Charset:     name.charset,
		Sex:         [...]string{"F", "M", "O"}[min(p.n(41)/20, 2)],
		BirthDate:   time.Date(1930+p.n(90), 1, 1+p.n(365), 0, 0, 0, 0, time.UTC).Format("20060102"),
		Accession:   fmt.Sprintf("A%04X%07d", g.seed&0xFFFF, i),
		Date:        day.Format("20060102"),
		Time:        fmt.Sprintf("%02d%02d%02d.%03d000", 7+r.n(12), r.n(60), r.n(60), r.n(1000)),
		Referring:   referrers[r.n(len(referrers))],
	}
	if g.perStudy > 0 {
		st.Description = "UNIFORM"
		g.addSeries(st, g.uniform, "uniform", g.perStudy)
		return st
	}
	g.planMix(st, &r)
	return st
}

// planMix gives eight consecutive studies the mix of a general hospital: three CT, two MR, two radiographs, one
// ultrasound; reports on some of them.
func (g *Generator) planMix(st *Study, r *rng) {
	switch st.Number % 8 {
	case 0, 4, 7:
		st.Description = "CT THORAX ABDOMEN"
		g.addSeries(st, KindCT, "Topogram 0.6", 1)
		g.addSeries(st, KindCT, "Thorax 5.0 B31f", 20+r.n(17))
		g.addSeries(st, KindCT, "Lung 5.0 B70f", 10+r.n(9))
		if r.n(2) == 0 {
			g.addSeries(st, KindSR, "Dose Report", 1)
		}
	case 2, 6:
		st.Description = "MR HEAD"
		for _, d := range []string{"t1_se_sag", "t2_tse_tra", "flair_cor"} {
			g.addSeries(st, KindMR, d, 12+r.n(9))
		}
	case 1:
		st.Description = "CHEST PA LAT"
		g.addSeries(st, KindCR, "chest", 2)
	case 5:
		st.Description = "HAND L AP OBL"
		g.addSeries(st, KindDX, "hand", 2)
	case 3:
		st.Description = "US ABDOMEN"
		g.addSeries(st, KindUS, "stills", 6)
		g.addSeries(st, KindUSLoop, "loops", 2)
		g.addSeries(st, KindSR, "Report", 1)
	}
}

// loopFrames is the length of an ultrasound loop.
const loopFrames = 20

func (g *Generator) addSeries(st *Study, kind Kind, description string, n int) {
	number := len(st.Series) + 1
	se := &Series{
		Study: st, Number: number, Kind: kind, Description: description,
		UID: g.uid(uint64(st.Number), uint64(number)),
	}
	frames := 1
	switch kind {
	case KindUSLoop:
		frames = loopFrames
	case KindSR:
		frames = 0
	}
	for i := 1; i <= n; i++ {
		se.Instances = append(se.Instances, &Instance{
			Series: se, Number: i, Frames: frames,
			UID: g.uid(uint64(st.Number), uint64(number), uint64(i)),
		})
	}
	st.Series = append(st.Series, se)
}

type personName struct{ charset, encoded string }

// patientNames are made up; those in ISO_IR 100 are written in Latin-1 bytes.
var patientNames = []personName{
	{"ISO_IR 100", "Example^Anna"}, {"ISO_IR 100", "Sample^Peter^J"}, {"ISO_IR 100", "M\xfcster^J\xf6rg"},
	{"ISO_IR 100", "Fran\xe7ois^Mod\xe8le"}, {"ISO_IR 100", "Bench^Maria^^Dr"}, {"ISO_IR 100", "Phantom^Ola"},
	{"ISO_IR 100", "Tester^Lena"}, {"ISO_IR 192", "Yamada^Tarou=山田^太郎=やまだ^たろう"},
	{"ISO_IR 192", "Образец^Иван"}, {"ISO_IR 192", "Παράδειγμα^Νίκη"}, {"ISO_IR 100", "Mu\xf1oz^Ejemplo"},
	{"ISO_IR 192", "Örnek^Ayşe"},
}

var referrers = []string{"Referrer^One^^Dr", "Referrer^Two^^Dr", "Outpatient^Clinic", "Ward^Seven"}
