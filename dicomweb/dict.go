package dicomweb

import "gantry/dicomweb/part10"

// computed are attributes that results have though no data set has them.
var computed = map[string]struct {
	vr    string
	level level
}{
	"00080056": {"CS", levelStudy},
	"00080061": {"CS", levelStudy},
	"00080062": {"UI", levelStudy},
	"00201206": {"IS", levelStudy},
	"00201208": {"IS", levelStudy},
	"00201209": {"IS", levelSeries},
	"00083002": {"UI", levelInstance},
}

// tagByKeyword looks up a keyword of PS3.6.
func tagByKeyword(keyword string) (uint32, bool) { return part10.TagByKeyword(keyword) }

// vrOf returns the VR of an attribute named by its tag key.
func vrOf(key string) string {
	if c, ok := computed[key]; ok {
		return c.vr
	}
	tag, _ := parseTagKey(key)
	return part10.VROf(tag).String()
}

// recorded tells whether queries can be answered from an attribute, and on which level it is.
func recorded(key string) (level, bool) {
	if c, ok := computed[key]; ok {
		return c.level, true
	}
	tag, _ := parseTagKey(key)
	switch part10.RecordedLevel(tag) {
	case 1:
		return levelStudy, true
	case 2:
		return levelSeries, true
	case 3:
		return levelInstance, true
	}
	return levelInstance, false
}
