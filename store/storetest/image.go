package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"gantry/store"
)

// Image is the suite's stand-in for a DICOM object: a line of text that Indexer reads.
type Image struct {
	Study, Series, SOP, Class  string
	Patient, Issuer, Name      string
	Date, Time                 string
	Accession, Modality, Label string // Label is an attribute of all levels
	Body                       string
	Meta                       string // stands for preamble and group 2: no part of the data set
}

const imageHead = "image"

// Bytes is the object.
func (m Image) Bytes() []byte {
	return []byte(strings.Join([]string{
		imageHead, m.Meta, m.Study, m.Series, m.SOP, m.Class, m.Patient, m.Issuer, m.Name, m.Date, m.Time, m.Accession,
		m.Modality, m.Label, m.Body,
	}, "|"))
}

var errNoImage = errors.New("not an image")

// Indexer reads what Image.Bytes made.
func Indexer(_ context.Context, r io.ReaderAt, size int64) (*store.Instance, error) {
	b := make([]byte, min(size, 4096))
	if n, err := r.ReadAt(b, 0); n < len(b) {
		return nil, fmt.Errorf("read image: %w", err)
	}
	f := strings.Split(string(b), "|")
	if len(f) < 15 || f[0] != imageHead {
		return nil, errNoImage
	}
	in := &store.Instance{
		PatientID: f[6], PatientIDIssuer: f[7], StudyDate: f[9], StudyTime: f[10], Accession: f[11], Modality: f[12],
		InstanceNumber: len(f[4]),
	}
	if f[8] != "" {
		in.Names = strings.Split(f[8], "=")
	}
	in.Study, in.Series, in.SOP, in.SOPClass = f[2], f[3], f[4], f[5]
	in.TransferSyntax, in.HeaderLen, in.FrameCount, in.Frames = "1.2.840.10008.1.2.1", size, 1, []byte("frames")
	in.DataSet = int64(len(f[0]) + 1 + len(f[1]) + 1)
	in.StudyAttrs = fmt.Appendf(nil, `{"00100020":%q,"00081030":%q}`, f[6], f[13])
	in.SeriesAttrs = fmt.Appendf(nil, `{"00080060":%q,"0008103E":%q}`, f[12], f[13])
	in.SOPAttrs = fmt.Appendf(nil, `{"00200013":%q}`, f[13])
	return in, nil
}
