package part10

import "bytes"

// reveal gives an element that an explicit syntax declares UN the VR by which the dictionary knows it, if its value can
// be one of that VR: software that doesn't know an element passes it on as UN. Such a value is implicit little endian
// whatever the syntax (PS3.5 6.2.2 note 2), so the coding changes with it; the one to be restored after the value is
// returned. Values of more than max bytes stay UN, sequences excepted.
func (s *scanner) reveal(e *element, max int) coding {
	was := s.coding
	if e.vr != UN || !s.explicit || e.length == undefined {
		return was
	}
	vr := implicitVR(e.tag, s.signed)
	switch {
	case vr == UN:
		return was
	case vr == SQ:
		s.enterUN(e)
		e.vr = vr
		return was
	case int64(e.length) > int64(max):
		return was
	}
	if b, err := s.peek(int(e.length)); err == nil && plausible(vr.info(), b) {
		e.vr, s.coding = vr, coding{}
	}
	return was
}

// plausible reports whether b can be a value field of a VR that is no sequence.
func plausible(info vrInfo, b []byte) bool {
	switch info.kind {
	case kindInt, kindFloat, kindBytes:
		return len(b)%int(info.unit) == 0
	case kindTag:
		return len(b)%4 == 0
	}
	b = bytes.TrimRight(b, padding)
	for _, c := range b {
		if !plausibleByte(info.kind, c) {
			return false
		}
	}
	return true
}

func plausibleByte(kind vrKind, c byte) bool {
	switch kind {
	case kindUID:
		return isDigit(c) || c == '.' || c == '\\'
	case kindDecStr, kindIntStr:
		return isDigit(c) || bytes.IndexByte([]byte(`+-.eE \`), c) >= 0
	case kindCode, kindURI:
		return c >= ' ' && c < 0x7F
	}
	const escape = 0x1B // of code extensions
	return c >= ' ' && c != 0x7F || c >= '\t' && c <= '\r' || c == escape
}
