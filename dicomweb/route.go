package dicomweb

import (
	"net/url"
	"strconv"
	"strings"
)

// resource is what a path names.
type resource int

// The resources of PS3.18 10.1.2 that are served, and those that are known but not served.
const (
	resNone resource = iota
	resService
	resStudies
	resStudy
	resSeriesAll // /series, and /studies/{s}/series
	resSeries
	resInstancesAll // /instances, and below a study or a series
	resInstance
	resMetadata
	resBulkData
	resFrames
	resRendered // rendered and thumbnail, not served
	resWADOURI
)

const pixelDataTag = "7FE00010"

// maxFrames bounds the frame list of one request.
const maxFrames = 16 << 10

// route is a parsed path. UIDs are validated; empty ones are not part of the path.
type route struct {
	bucket             string // "" for the default archive
	resource           resource
	study, series, sop string
	bulkPath           string // of bulk data, relative to .../bulkdata/; "" for all of the resource
	frames             []int  // nil for all
	badFrames          bool
}

// reserved are path segments after the service root that are no bucket names.
var reserved = map[string]bool{"studies": true, "series": true, "instances": true, "bulkdata": true, "wado": true}

// parseRoute cuts an undecoded path that starts with /dicomweb.
func parseRoute(path string) route {
	rest, ok := strings.CutPrefix(path, "/dicomweb")
	if !ok || rest != "" && rest[0] != '/' {
		return route{}
	}
	seg := strings.Split(strings.Trim(rest, "/"), "/")
	if seg[0] == "" {
		return route{resource: resService}
	}
	var r route
	if !reserved[seg[0]] {
		r.bucket, seg = unescape(seg[0]), seg[1:]
		if len(seg) == 0 {
			r.resource = resService
			return r
		}
	}
	r.parse(seg)
	return r
}

// parse reads the segments below the service root.
func (r *route) parse(seg []string) {
	switch {
	case seg[0] == "wado" && len(seg) == 1:
		r.resource = resWADOURI
	case seg[0] == "studies":
		r.parseStudy(seg[1:])
	case seg[0] == "series" && len(seg) == 1:
		r.resource = resSeriesAll
	case seg[0] == "instances" && len(seg) == 1:
		r.resource = resInstancesAll
	}
}

func (r *route) parseStudy(seg []string) {
	if len(seg) == 0 {
		r.resource = resStudies
		return
	}
	r.study, seg = cleanUID(unescape(seg[0])), seg[1:]
	switch {
	case r.study == "":
	case len(seg) == 0:
		r.resource = resStudy
	case seg[0] == "series" && len(seg) == 1:
		r.resource = resSeriesAll
	case seg[0] == "series":
		r.parseSeries(seg[1:])
	case seg[0] == "instances" && len(seg) == 1:
		r.resource = resInstancesAll
	default:
		r.parseLeaf(seg)
	}
}

func (r *route) parseSeries(seg []string) {
	r.series, seg = cleanUID(unescape(seg[0])), seg[1:]
	switch {
	case r.series == "":
	case len(seg) == 0:
		r.resource = resSeries
	case seg[0] == "instances" && len(seg) == 1:
		r.resource = resInstancesAll
	case seg[0] == "instances":
		if r.sop = cleanUID(unescape(seg[1])); r.sop == "" {
			return
		}
		if len(seg) == 2 {
			r.resource = resInstance
			return
		}
		r.parseLeaf(seg[2:])
	default:
		r.parseLeaf(seg)
	}
}

// parseLeaf reads what stands below a study, series or instance.
func (r *route) parseLeaf(seg []string) {
	switch {
	case len(seg) == 1 && seg[0] == "metadata":
		r.resource = resMetadata
	case seg[0] == "rendered" || seg[0] == "thumbnail":
		r.resource = resRendered
	case r.sop == "":
	case len(seg) == 1 && seg[0] == "pixeldata":
		r.resource = resFrames // all of them
	case seg[0] == "bulkdata" && len(seg) > 1:
		r.resource, r.bulkPath = resBulkData, strings.ToUpper(unescape(strings.Join(seg[1:], "/")))
	case seg[0] == "frames" && len(seg) == 2:
		r.resource = resFrames
		r.frames, r.badFrames = parseFrames(unescape(seg[1]))
	case seg[0] == "frames" && len(seg) == 3:
		r.resource = resRendered
	}
}

// parseFrames reads a comma separated list of frame numbers, counted from 1.
func parseFrames(list string) (frames []int, bad bool) {
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 31)
		if err != nil || n == 0 || len(frames) == maxFrames {
			return nil, true
		}
		frames = append(frames, int(n))
	}
	return frames, false
}

// unescape decodes a path segment; what is not decodable becomes empty.
func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	d, err := url.PathUnescape(s)
	if err != nil {
		return ""
	}
	return d
}

// cleanUID returns s if it has the form of a UID as the store keeps them, else "".
func cleanUID(s string) string {
	if s == "" || len(s) > 64 {
		return ""
	}
	for i := 0; i < len(s); i++ {
		if s[i] != '.' && (s[i] < '0' || s[i] > '9') {
			return ""
		}
	}
	return s
}

// label names the route for metrics: few values, no identifiers.
func (r route) label(method string) string {
	name := map[resource]string{
		resService: "service", resStudies: "studies", resStudy: "study", resSeriesAll: "series-list", resSeries: "series",
		resInstancesAll: "instance-list", resInstance: "instance", resMetadata: "metadata", resBulkData: "bulkdata",
		resFrames: "frames", resRendered: "rendered", resWADOURI: "wado-uri",
	}[r.resource]
	switch {
	case name == "":
		return "dicomweb-other"
	case method == "POST":
		return "stow"
	case method == "DELETE":
		return "delete-" + name
	case r.resource == resStudies || r.resource == resSeriesAll || r.resource == resInstancesAll:
		return "qido-" + name
	}
	return "wado-" + name
}
