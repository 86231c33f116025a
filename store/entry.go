package store

import (
	"time"

	"gantry/store/segment"
)

// location says where a record's header and payload lie. The segment follows from the LSN.
type location struct {
	LSN        LSN
	HeaderLen  int
	PayloadLen int64
	CRCs       []uint32 // CRC-32C of the payload per segment.BlockSize
}

func (l location) append(b []byte) []byte {
	b = appendUint(b, uint64(l.LSN))
	b = appendUint(b, uint64(l.HeaderLen))
	b = appendUint(b, uint64(l.PayloadLen))
	b = appendUint(b, uint64(len(l.CRCs)))
	for _, c := range l.CRCs {
		b = append(b, byte(c>>24), byte(c>>16), byte(c>>8), byte(c))
	}
	return b
}

func (d *decoder) location() location {
	l := location{LSN: LSN(d.uint()), HeaderLen: int(d.size(segment.MaxHeader)), PayloadLen: d.size(segment.MaxPayload)}
	n := d.uint()
	if n > uint64(len(d.b)/4) {
		d.fail()
		return location{}
	}
	l.CRCs = make([]uint32, n)
	for i := range l.CRCs {
		l.CRCs[i] = uint32(d.b[0])<<24 | uint32(d.b[1])<<16 | uint32(d.b[2])<<8 | uint32(d.b[3])
		d.b = d.b[4:]
	}
	return l
}

// entry is the catalog's value for a live object.
type entry struct {
	location
	Large     bool // the record is a manifest; the bytes are in extents
	Size      int64
	ETag      string
	Modified  time.Time
	Owner     string
	Meta      Meta
	Checksums []Checksum
	PartCount int
	Instance  *Identity
}

// appendListed writes what a listing needs first, so that it need not decode the rest.
func (e *entry) append(b []byte, name string) []byte {
	b = appendInt(b, e.Size)
	b = appendETag(b, e.ETag)
	b = appendInt(b, e.Modified.UnixNano())
	b = appendStr(b, e.Meta.StorageClass)
	b = appendStr(b, e.Owner)
	b = appendUint(b, uint64(e.LSN))
	b = appendChecksums(b, e.Checksums)
	b = e.location.append(b)
	b = appendBool(b, e.Large)
	b = appendMap(b, e.Meta.System)
	b = appendMap(b, e.Meta.User)
	b = appendMap(b, e.Meta.Tags)
	b = appendUint(b, uint64(e.PartCount))
	b = appendBool(b, e.Instance != nil)
	if e.Instance != nil {
		b = e.Instance.append(b, name)
	}
	return b
}

func decodeEntry(v []byte, name string) (*entry, error) {
	d := decoder{b: v}
	e := &entry{
		Size: d.int(), ETag: d.etag(), Modified: time.Unix(0, d.int()).UTC(),
		Meta: Meta{StorageClass: d.str()}, Owner: d.str(),
	}
	d.uint() // LSN again, for listings
	e.Checksums = d.checksums()
	e.location = d.location()
	e.Large = d.bool()
	e.Meta.System, e.Meta.User, e.Meta.Tags = d.stringMap(), d.stringMap(), d.stringMap()
	e.PartCount = int(d.uint())
	if d.bool() {
		e.Instance = d.identity(name)
	}
	return e, d.err
}

// decodeListed reads only what a listing shows.
func decodeListed(v []byte, k Key) (Info, error) {
	d := decoder{b: v}
	i := Info{
		Key: k, Version: NullVersion, Size: d.int(), ETag: d.etag(), Modified: time.Unix(0, d.int()).UTC(),
		Meta: Meta{StorageClass: d.str()}, Owner: d.str(), LSN: LSN(d.uint()), Checksums: d.checksums(),
	}
	return i, d.err
}

func (e *entry) info(k Key) Info {
	return Info{
		Key: k, Meta: e.Meta, LSN: e.LSN, Version: NullVersion, Size: e.Size, ETag: e.ETag, Modified: e.Modified,
		Owner: e.Owner, Checksums: e.Checksums, PartCount: e.PartCount, Instance: e.Instance,
	}
}

// append leaves the UIDs out where the object's name tells them.
func (id *Identity) append(b []byte, name string) []byte {
	canonical := name == id.objectName()
	b = appendBool(b, canonical)
	if !canonical {
		b = appendUID(appendUID(appendUID(b, id.Study), id.Series), id.SOP)
	}
	b = appendText(appendText(b, id.SOPClass), id.TransferSyntax)
	b = appendInt(b, id.DataSet)
	b = appendInt(b, id.HeaderLen)
	b = appendInt(b, int64(id.FrameCount))
	b = appendStr(b, id.Frames)
	return appendBool(b, id.FramesScan)
}

func (d *decoder) identity(name string) *Identity {
	id := &Identity{}
	if d.bool() {
		var ok bool
		if id.Study, id.Series, id.SOP, ok = cutObjectName(name); !ok {
			d.fail()
			return nil
		}
	} else {
		id.Study, id.Series, id.SOP = d.uid(), d.uid(), d.uid()
	}
	id.SOPClass, id.TransferSyntax = d.text(), d.text()
	id.DataSet, id.HeaderLen, id.FrameCount = d.int(), d.int(), int(d.int())
	if f := d.bytes(); len(f) > 0 {
		id.Frames = append([]byte(nil), f...)
	}
	id.FramesScan = d.bool()
	return id
}
