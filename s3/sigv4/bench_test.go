package sigv4_test

import (
	"testing"

	"gantry/s3/sigv4"
)

// BenchmarkVerify is a signed request's way from its header to a yes, with the day's key derived already.
func BenchmarkVerify(b *testing.B) {
	v, r := exampleVerifier(), &request{method: "GET", host: "examplebucket.s3.amazonaws.com", path: "/test.txt", headers: [][2]string{
		{"Range", "bytes=0-9"}, {"x-amz-content-sha256", emptyHash}, {"x-amz-date", "20130524T000000Z"},
		authorization("host;range;x-amz-content-sha256;x-amz-date", "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")}}
	b.ReportAllocs()
	for b.Loop() {
		q, err := sigv4.ParseQuery(r.query)
		if err != nil {
			b.Fatal(err)
		}
		s, err := sigv4.Parse(r, q)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := v.Verify(r, r.path, q, s); err != nil {
			b.Fatal(err)
		}
	}
}
