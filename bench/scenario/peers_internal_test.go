package scenario

import (
	"strings"
	"testing"
)

func TestChangeOrthancKeepsTheRest(t *testing.T) {
	const shipped = "{\n  \"Name\" : \"Orthanc\",\n  // \"HttpPort\" : 1 in a comment\n  \"StorageDirectory\" : \"/var/lib/orthanc/db-v6\",\n" +
		"  \"IndexDirectory\" : \"/var/lib/orthanc/db-v6\",\n  \"HttpPort\" : 8042,\n  \"DicomPort\" : 4242\n}\n"
	got := changeOrthanc(shipped, []string{"127.0.0.1:1111", "127.0.0.1:2222"}, "/data")
	want := strings.NewReplacer("/var/lib/orthanc/db-v6", "/data", "8042", "1111", "4242", "2222").Replace(shipped)
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
