package clienttest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const orthancPlugin = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"

// orthanc is a running Orthanc that knows the server as "gantry".
type orthanc struct {
	t   *testing.T
	url string
}

func startOrthanc(t *testing.T, s *server) *orthanc {
	t.Helper()
	program, dir := need(t, "Orthanc", "/usr/sbin/Orthanc"), t.TempDir()
	if _, err := os.Stat(orthancPlugin); err != nil {
		unavailable(t, "Orthanc's DICOMweb plugin: %v", err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	config, err := json.Marshal(map[string]any{
		"StorageDirectory": filepath.Join(dir, "db"), "HttpPort": port, "DicomServerEnabled": false, "AuthenticationEnabled": false,
		"RemoteAccessAllowed": false, "Plugins": []string{orthancPlugin}, "HttpTimeout": 60, "HttpsCACertificates": s.caFile,
		"HttpsVerifyPeers": s.caFile != "", "OverwriteInstances": false,
		"DicomWeb": map[string]any{"Enable": true, "Servers": map[string]any{
			"gantry": map[string]any{"Url": s.dicomweb + "/", "Username": s.keyID, "Password": s.secret},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	log := &logBuffer{}
	cmd := exec.Command(program, writeFile(t, filepath.Join(dir, "orthanc.json"), config))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // its data is thrown away
		_ = cmd.Wait()
		if t.Failed() {
			for line := range strings.Lines(log.tail(64 << 10)) {
				if strings.HasPrefix(line, "E") {
					t.Logf("Orthanc logged: %s", line)
				}
			}
		}
	})
	o := &orthanc{t, fmt.Sprintf("http://127.0.0.1:%d", port)}
	for deadline := time.Now().Add(startLimit); ; time.Sleep(100 * time.Millisecond) {
		resp, err := http.Get(o.url + "/dicom-web/servers")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return o
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("Orthanc with its DICOMweb plugin is not ready: %v\n%s", err, log.tail(4<<10))
		}
	}
}

// call sends a request to Orthanc; a body that isn't bytes goes as JSON.
func (o *orthanc) call(method, path string, body any) (int, []byte) {
	o.t.Helper()
	data, ok := body.([]byte)
	if !ok && body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			o.t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(o.t.Context(), method, o.url+path, bytes.NewReader(data))
	if err != nil {
		o.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		o.t.Fatalf("Orthanc %s: %v", path, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		o.t.Fatalf("Orthanc %s: %v", path, err)
	}
	return resp.StatusCode, answer
}

// upload gives Orthanc files and returns its ids of those that it took, each with the file; Orthanc refuses some.
func (o *orthanc) upload(files []dicomFile) map[string]dicomFile {
	o.t.Helper()
	took := map[string]dicomFile{}
	for _, f := range files {
		var answer struct{ ID, Status string }
		if code, body := o.call(http.MethodPost, "/instances", f.bytes); code == http.StatusOK && json.Unmarshal(body, &answer) == nil && answer.Status == "Success" {
			took[answer.ID] = f
		}
	}
	return took
}

// Orthanc's plugin stores, queries and retrieves: what it sent comes back to it as it was.
func TestOrthancPlugin(t *testing.T) {
	files := firstOfEach(validFiles(t))
	eachTransport(t, func(t *testing.T, s *server) {
		o := startOrthanc(t, s)
		took := o.upload(files)
		if len(took) < len(files)*9/10 {
			t.Fatalf("Orthanc took only %d of %d files", len(took), len(files))
		}
		var ids []string
		studies := map[string]bool{}
		for id, f := range took {
			ids = append(ids, id)
			studies[f.Study] = true
		}
		code, answer := o.call(http.MethodPost, "/dicom-web/servers/gantry/stow", map[string]any{"Resources": ids, "Synchronous": true})
		equal(t, "stow through Orthanc "+string(answer), code, http.StatusOK)
		for _, f := range took {
			got := s.wado(t, "/studies/"+f.Study+"/series/"+f.Series+"/instances/"+f.SOP)
			same(t, filepath.Base(f.Path), got[0], f.bytes)
		}
		o.query(len(studies))
		o.retrieve(took, studies)
	})
}

// query asks through Orthanc for all studies, series and instances.
func (o *orthanc) query(studies int) {
	o.t.Helper()
	var found []map[string]any
	code, answer := o.call(http.MethodPost, "/dicom-web/servers/gantry/qido", map[string]any{"Uri": "/studies", "Arguments": map[string]string{"limit": "1000"}})
	if code != http.StatusOK || json.Unmarshal(answer, &found) != nil {
		o.t.Fatalf("qido through Orthanc: %d", code)
	}
	equal(o.t, "studies that Orthanc finds", len(found), studies)
	code, answer = o.call(http.MethodPost, "/dicom-web/servers/gantry/get", map[string]any{"Uri": "/studies", "Arguments": map[string]string{"StudyInstanceUID": "1.2.3.4.5"}})
	equal(o.t, "qido of nothing", fmt.Sprintf("%d %s", code, bytes.TrimSpace(answer)), "200 []")
}

// retrieve empties Orthanc and lets it fetch every study.
func (o *orthanc) retrieve(took map[string]dicomFile, studies map[string]bool) {
	t := o.t
	t.Helper()
	for id := range took {
		o.call(http.MethodDelete, "/instances/"+id, nil)
	}
	var resources []map[string]string
	for study := range studies {
		resources = append(resources, map[string]string{"Study": study})
	}
	code, answer := o.call(http.MethodPost, "/dicom-web/servers/gantry/retrieve", map[string]any{"Resources": resources, "Synchronous": true})
	equal(t, "retrieve through Orthanc "+string(answer), code, http.StatusOK)
	identical := 0
	for id, f := range took {
		code, back := o.call(http.MethodGet, "/instances/"+id+"/file", nil)
		equal(t, filepath.Base(f.Path)+" in Orthanc", code, http.StatusOK)
		switch f.TransferSyntax {
		case "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99":
			// The plugin doesn't name a transfer syntax, so these came as Explicit VR Little Endian.
		default:
			same(t, filepath.Base(f.Path)+" retrieved by Orthanc", back, f.bytes)
			identical++
		}
	}
	if identical < 100 {
		t.Errorf("only %d files could be compared", identical)
	}
}
