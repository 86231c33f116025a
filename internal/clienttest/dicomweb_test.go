package clienttest_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
)

// firstOfEach keeps the first file of each SOP Instance UID.
func firstOfEach(files []dicomFile) []dicomFile {
	seen := map[string]bool{}
	return slices.DeleteFunc(slices.Clone(files), func(f dicomFile) bool {
		twin := seen[f.SOP]
		seen[f.SOP] = true
		return twin
	})
}

// syntheticFiles have rare transfer syntaxes; their UIDs are learned from the answers.
func syntheticFiles(t *testing.T) []dicomFile {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(corpusDir, "synthetic", "*.dcm"))
	if err != nil || len(paths) == 0 {
		unavailable(t, "no synthetic DICOM files: %v", err)
	}
	var files []dicomFile
	for _, p := range paths {
		files = append(files, dicomFile{Path: p, bytes: readFile(t, p)})
	}
	return files
}

// The whole corpus goes in through one door and comes out of both, byte for byte.
func TestCorpusByteForByte(t *testing.T) {
	files := validFiles(t)
	eachConfigured(t, "store: {segment_bytes: 16777216}\n", func(t *testing.T, s *server) {
		kept := stowAll(t, s, files)
		equal(t, "kept", len(kept), len(firstOfEach(files)))
		for _, f := range syntheticFiles(t) {
			code, answer := s.stow(t, f.bytes)
			ok := answer.items(t, "00081199")
			if code != http.StatusOK || len(ok) != 1 {
				t.Fatalf("%s: status %d", filepath.Base(f.Path), code)
			}
			kept = append(kept, stored{f, ok[0].text("00081190")})
		}
		for _, f := range kept {
			got := s.wado(t, f.url)
			equal(t, "parts", len(got), 1)
			same(t, filepath.Base(f.Path), got[0], f.bytes)
			resp, single := s.request(t, http.MethodGet, f.url, nil, "Accept", "application/dicom; transfer-syntax=*")
			kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
			equal(t, "single part", kind, "application/dicom")
			same(t, filepath.Base(f.Path)+" in a single part", single, f.bytes)
		}
		sameThroughS3(t, s, kept)

		// All at once, and again: nothing new is stored.
		var all [][]byte
		for _, f := range kept {
			all = append(all, f.bytes)
		}
		code, answer := s.stow(t, all...)
		equal(t, "status of storing again", code, http.StatusOK)
		equal(t, "stored again", len(answer.items(t, "00081199")), len(kept))
		sameThroughS3(t, s, kept)
		discreet(t, s, files)
		tarAgrees(t, s, kept)
	})
}

// discreet fails if the log names a patient, or gives away a UID.
func discreet(t *testing.T, s *server, files []dicomFile) {
	t.Helper()
	log := s.log.tail(64 * mib)
	if !strings.Contains(log, "msg=request") {
		t.Fatal("nothing was logged: this would not show anything")
	}
	for _, f := range files {
		for _, id := range []string{f.SOP, f.Series, f.Study} {
			if len(id) > 5 && strings.Contains(log, id) {
				t.Errorf("the log mentions an identifier of %s", filepath.Base(f.Path))
			}
		}
	}
}

// sameThroughS3 finds what is stored by the key that its UIDs make.
func sameThroughS3(t *testing.T, s *server, kept []stored) {
	t.Helper()
	c, bucket := minioClient(t, s), archive(t, s)
	for _, f := range kept {
		u := strings.Split(strings.TrimPrefix(f.url, s.dicomweb), "/") // /studies/S/series/E/instances/I
		if len(u) < 7 {
			t.Fatalf("RetrieveURL of %s has no UIDs", filepath.Base(f.Path))
		}
		key := u[2] + "/" + u[4] + "/" + u[6] + ".dcm"
		same(t, filepath.Base(f.Path)+" through S3", fetch(t, c, bucket, key, minio.GetObjectOptions{}), f.bytes)
	}
	listed := 0
	for o := range c.ListObjects(t.Context(), bucket, minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		listed++
	}
	equal(t, "objects in the bucket", listed, len(kept))
}

// archive is the bucket behind the DICOMweb door's default path.
func archive(t *testing.T, s *server) string {
	t.Helper()
	buckets, err := minioClient(t, s).ListBuckets(t.Context())
	if err != nil || len(buckets) != 1 {
		t.Fatalf("want one bucket at first, the archive: got %d, %v", len(buckets), err)
	}
	return buckets[0].Name
}

// With "replace", each file comes back right after it was stored, whatever was there under its UID.
func TestReplacingArchive(t *testing.T) {
	files := validFiles(t)
	s := start(t, options{config: "archives: [{name: newest, duplicates: replace}]\n"})
	s.dicomweb += "/newest"
	last := map[string]dicomFile{}
	for _, f := range files {
		name := filepath.Base(f.Path)
		code, answer := s.stow(t, f.bytes)
		ok := answer.items(t, "00081199")
		if code != http.StatusOK || len(ok) != 1 {
			t.Errorf("%s: status %d", name, code)
			continue
		}
		got := s.wado(t, ok[0].text("00081190"))[0]
		if before, twin := last[f.SOP]; twin && bytes.Equal(dataSet(t, before.bytes), dataSet(t, f.bytes)) && before.TransferSyntax == f.TransferSyntax {
			same(t, name+", stored already", got, before.bytes)
			continue
		}
		same(t, name, got, f.bytes)
		last[f.SOP] = f
	}
}

// dataSet is what follows group 2 in a Part 10 file.
func dataSet(t *testing.T, b []byte) []byte {
	t.Helper()
	const at = 128 + 4 // (0002,0000) UL, 4 bytes
	if len(b) < at+12 || string(b[at:at+4]) != "\x02\x00\x00\x00" {
		return b // no group length: then only a whole copy counts as the same
	}
	return b[at+12+int(binary.LittleEndian.Uint32(b[at+8:])):]
}

// What S3 puts into the archive's bucket answers QIDO, by whichever call it came, until S3 deletes it.
func TestS3PutsAnswerQIDO(t *testing.T) {
	files := firstOfEach(validFiles(t))
	s := start(t, options{})
	c, bucket := minioClient(t, s), archive(t, s)
	for i, f := range files {
		o := minio.PutObjectOptions{}
		if i%2 == 1 { // as two parts
			o.PartSize, o.NumThreads = 5*mib, 1
		}
		key := "inbox/" + filepath.Base(f.Path)
		if _, err := c.PutObject(t.Context(), bucket, key, bytes.NewReader(f.bytes), int64(len(f.bytes)), o); err != nil {
			t.Fatal(err)
		}
		found := s.qido(t, "/instances", url.Values{"SOPInstanceUID": {f.SOP}})
		equal(t, "found "+filepath.Base(f.Path), len(found), 1)
		equal(t, "study", found[0].text("0020000D"), f.Study)
		got := s.wado(t, "/studies/"+f.Study+"/series/"+f.Series+"/instances/"+f.SOP)
		same(t, filepath.Base(f.Path), got[0], f.bytes)
	}
	text := []byte("not DICOM")
	if _, err := c.PutObject(t.Context(), bucket, "readme.txt", bytes.NewReader(text), int64(len(text)), minio.PutObjectOptions{}); err != nil {
		t.Fatalf("a file that is not DICOM: %v", err)
	}

	// A copy is a duplicate of the indexed one, and takes its place when that goes.
	first := files[0]
	original, copied := "inbox/"+filepath.Base(first.Path), "copies/a"
	if _, err := c.CopyObject(t.Context(), minio.CopyDestOptions{Bucket: bucket, Object: copied}, minio.CopySrcOptions{Bucket: bucket, Object: original}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		remove string
		found  int
	}{{"", 1}, {original, 1}, {copied, 0}} {
		if step.remove != "" {
			if err := c.RemoveObject(t.Context(), bucket, step.remove, minio.RemoveObjectOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		equal(t, "found after removing "+step.remove, len(s.qido(t, "/instances", url.Values{"SOPInstanceUID": {first.SOP}})), step.found)
	}
}

func TestDicomwebClient(t *testing.T) {
	files := validFiles(t)
	list, err := json.Marshal(files)
	if err != nil {
		t.Fatal(err)
	}
	eachTransport(t, func(t *testing.T, s *server) {
		node(t, s, "dicomweb.mjs", writeFile(t, filepath.Join(t.TempDir(), "files.json"), list))
	})
}

// dcmtk reads what comes back, whether as stored or as Explicit VR Little Endian.
func TestDcmtkReadsWhatComesBack(t *testing.T) {
	dcmftest, dcmdump := need(t, "dcmftest"), need(t, "dcmdump")
	s := start(t, options{})
	for _, f := range stowAll(t, s, firstOfEach(validFiles(t))) {
		resp, got := s.request(t, http.MethodGet, f.url, nil, "Accept", "application/dicom")
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", filepath.Base(f.Path), resp.Status)
			continue
		}
		back := writeFile(t, filepath.Join(t.TempDir(), "back.dcm"), got)
		if out := run(t, nil, dcmftest, back); !strings.HasPrefix(out, "yes") {
			t.Errorf("%s: dcmftest says %q", filepath.Base(f.Path), out)
		}
		want, _, wantErr := execute(t, nil, nil, dcmdump, "-q", "-M", "+U8", "-f", "-s", f.Path)
		have, _, haveErr := execute(t, nil, nil, dcmdump, "-q", "-M", "+U8", "-f", "-s", back)
		if (wantErr == nil) != (haveErr == nil) {
			t.Errorf("%s: dcmdump: %v before, %v after", filepath.Base(f.Path), wantErr, haveErr)
		}
		if line := firstDifference(dataElements(want), dataElements(have)); line != "" {
			t.Errorf("%s: %s", filepath.Base(f.Path), line)
		}
	}
}

// dataElements are the lines of a dump that describe the data set: not group 2, which names the transfer syntax, nor the VR,
// which implicit files don't have, nor lengths.
func dataElements(dump string) []string {
	var lines []string
	for line := range strings.Lines(dump) {
		tag, rest, ok := strings.Cut(strings.TrimSpace(line), ") ")
		if !ok || !strings.HasPrefix(tag, "(") || strings.HasPrefix(tag, "(0002,") || len(rest) < 3 || strings.HasSuffix(tag, ",0000") {
			continue
		}
		value, _, _ := strings.Cut(rest[3:], " # ")
		if strings.HasPrefix(tag, "(7fe0") || strings.HasPrefix(tag, "(fffe") || strings.Contains(value, "(Sequence") {
			value = "" // says how it is encoded
		}
		lines = append(lines, tag+strings.TrimSpace(value))
	}
	return lines
}

// firstDifference names the tag at which two dumps part; values may be of patients and are not shown.
func firstDifference(a, b []string) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return "differs at " + a[i][:min(len(a[i]), 10)] + " / " + b[i][:min(len(b[i]), 10)]
		}
	}
	if len(a) != len(b) {
		return "one dump is longer"
	}
	return ""
}
