package part10

// VR is a value representation (PS3.5 6.2): its two letters, the first in the high byte.
type VR uint16

// The value representations of PS3.5 table 6.2-1.
const (
	AE VR = 'A'<<8 | 'E'
	AS VR = 'A'<<8 | 'S'
	AT VR = 'A'<<8 | 'T'
	CS VR = 'C'<<8 | 'S'
	DA VR = 'D'<<8 | 'A'
	DS VR = 'D'<<8 | 'S'
	DT VR = 'D'<<8 | 'T'
	FD VR = 'F'<<8 | 'D'
	FL VR = 'F'<<8 | 'L'
	IS VR = 'I'<<8 | 'S'
	LO VR = 'L'<<8 | 'O'
	LT VR = 'L'<<8 | 'T'
	OB VR = 'O'<<8 | 'B'
	OD VR = 'O'<<8 | 'D'
	OF VR = 'O'<<8 | 'F'
	OL VR = 'O'<<8 | 'L'
	OV VR = 'O'<<8 | 'V'
	OW VR = 'O'<<8 | 'W'
	PN VR = 'P'<<8 | 'N'
	SH VR = 'S'<<8 | 'H'
	SL VR = 'S'<<8 | 'L'
	SQ VR = 'S'<<8 | 'Q'
	SS VR = 'S'<<8 | 'S'
	ST VR = 'S'<<8 | 'T'
	SV VR = 'S'<<8 | 'V'
	TM VR = 'T'<<8 | 'M'
	UC VR = 'U'<<8 | 'C'
	UI VR = 'U'<<8 | 'I'
	UL VR = 'U'<<8 | 'L'
	UN VR = 'U'<<8 | 'N'
	UR VR = 'U'<<8 | 'R'
	US VR = 'U'<<8 | 'S'
	UT VR = 'U'<<8 | 'T'
	UV VR = 'U'<<8 | 'V'

	// Dictionary entries whose VR depends on the rest of the data set.
	vrUSorSS VR = 'x'<<8 | 's' // by PixelRepresentation
	vrOBorOW VR = 'o'<<8 | 'x' // OW in implicit VR
	vrUSorOW VR = 'l'<<8 | 't' // OW in implicit VR
)

// String returns the two letters.
func (v VR) String() string { return string([]byte{byte(v >> 8), byte(v)}) }

// How a value is read.
type vrKind uint8

const (
	kindNone   vrKind = iota // not a VR that we know
	kindCode                 // default repertoire, several values, spaces around them mean nothing
	kindUID                  // several values, padded with NUL
	kindText                 // declared character set, several values
	kindLong                 // declared character set, one value, leading spaces matter
	kindURI                  // default repertoire, one value
	kindName                 // PN
	kindDecStr               // DS
	kindIntStr               // IS
	kindTag                  // AT
	kindInt                  // US SS UL SL UV SV
	kindFloat                // FL FD
	kindBytes                // OB OW OF OD OL OV UN
	kindSeq                  // SQ
)

type vrInfo struct {
	kind   vrKind
	unit   uint8 // bytes that are swapped together in big endian, 1 if none
	long   bool  // 32-bit length in explicit VR
	signed bool
}

var vrTable = func() (t [26 * 26]vrInfo) {
	set := func(i vrInfo, vrs ...VR) {
		for _, v := range vrs {
			t[vrIndex(v)] = i
		}
	}
	set(vrInfo{kind: kindCode, unit: 1}, AE, AS, CS, DA, DT, TM)
	set(vrInfo{kind: kindUID, unit: 1}, UI)
	set(vrInfo{kind: kindText, unit: 1}, LO, SH)
	set(vrInfo{kind: kindText, unit: 1, long: true}, UC)
	set(vrInfo{kind: kindLong, unit: 1}, LT, ST)
	set(vrInfo{kind: kindLong, unit: 1, long: true}, UT)
	set(vrInfo{kind: kindURI, unit: 1, long: true}, UR)
	set(vrInfo{kind: kindName, unit: 1}, PN)
	set(vrInfo{kind: kindDecStr, unit: 1}, DS)
	set(vrInfo{kind: kindIntStr, unit: 1}, IS)
	set(vrInfo{kind: kindTag, unit: 2}, AT)
	set(vrInfo{kind: kindInt, unit: 2}, US)
	set(vrInfo{kind: kindInt, unit: 2, signed: true}, SS)
	set(vrInfo{kind: kindInt, unit: 4}, UL)
	set(vrInfo{kind: kindInt, unit: 4, signed: true}, SL)
	set(vrInfo{kind: kindInt, unit: 8, long: true}, UV)
	set(vrInfo{kind: kindInt, unit: 8, long: true, signed: true}, SV)
	set(vrInfo{kind: kindFloat, unit: 4}, FL)
	set(vrInfo{kind: kindFloat, unit: 8}, FD)
	set(vrInfo{kind: kindBytes, unit: 1, long: true}, OB, UN)
	set(vrInfo{kind: kindBytes, unit: 2, long: true}, OW)
	set(vrInfo{kind: kindBytes, unit: 4, long: true}, OF, OL)
	set(vrInfo{kind: kindBytes, unit: 8, long: true}, OD, OV)
	set(vrInfo{kind: kindSeq, unit: 1, long: true}, SQ)
	return t
}()

func vrIndex(v VR) int { return int(v>>8-'A')*26 + int(v&0xFF-'A') }

// info returns what is known of v; the zero vrInfo if nothing is.
func (v VR) info() vrInfo {
	if !v.letters() {
		return vrInfo{}
	}
	return vrTable[vrIndex(v)]
}

// letters reports whether both bytes are upper case letters, as those of every VR are.
func (v VR) letters() bool {
	hi, lo := byte(v>>8), byte(v)
	return hi >= 'A' && hi <= 'Z' && lo >= 'A' && lo <= 'Z'
}
