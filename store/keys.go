package store

import (
	"encoding/binary"

	"gantry/store/catalog"
)

// catalogFormat is the version of the keys and values below. Raise it with every change: an older catalog is then rebuilt
// from the log.
const catalogFormat = 5

// The catalog's key spaces, one first byte each. Everything of a study lies together: its key starts with bucket and study.
const (
	spaceBucket    = 'b' // name → bucket
	spaceObject    = 'o' // bucket, object key → entry
	spaceUpload    = 'u' // bucket, object key, upload → upload
	spacePart      = 'p' // upload, part number → part
	spaceExtent    = 'x' // stream, index → location
	spaceOpen      = 'w' // stream → nothing: extents that nobody owns yet
	spaceGarbage   = 'g' // kind, stream or LSN → what the collector removes
	spaceTotals    = 'n' // bucket → totals
	spaceStudy     = 't' // bucket, study → studyRow
	spaceSeries    = 'e' // bucket, study, series → seriesRow
	spaceInstance  = 'i' // bucket, study, series, LSN → instanceRow: in order of arrival
	spaceSOP       = 's' // bucket, SOP Instance UID → the indexed object; with its LSN behind: another one that has it, too
	spaceSeriesUID = 'r' // bucket, series, study → nothing
	spaceConflict  = 'c' // bucket, study → nothing
	spaceIndex     = 'q' // bucket, index, value, study → hit
	spaceTime      = 'y' // → commit time of the newest record
	spaceHole      = 'h' // LSN → nothing: from there on the log could not be read when it was applied
)

// scatteredSpaces are those in which the keys of a study lie apart. UIDs may be random (PS3.5 B.2).
var scatteredSpaces = string([]byte{spaceSOP})

// Kinds of garbage.
const (
	garbageStream = 's' // a stream of extents
	garbageObject = 'm' // the streams that a large object's manifest names
)

func space(s byte) []byte { return append(make([]byte, 0, 64), s) }

func inBucket(s byte, bucket uint64) []byte { return catalog.AppendUint64(space(s), bucket) }

func bucketKey(name string) []byte { return append(space(spaceBucket), name...) }

func objectKey(bucket uint64, key string) []byte {
	return append(inBucket(spaceObject, bucket), key...)
}

func uploadPrefix(bucket uint64, key string) []byte {
	return catalog.AppendString(inBucket(spaceUpload, bucket), key)
}

func uploadKey(bucket uint64, key string, id LSN) []byte {
	return catalog.AppendUint64(uploadPrefix(bucket, key), uint64(id))
}

func partPrefix(upload LSN) []byte { return catalog.AppendUint64(space(spacePart), uint64(upload)) }

func partKey(upload LSN, number int) []byte {
	return binary.BigEndian.AppendUint16(partPrefix(upload), uint16(number))
}

func extentPrefix(stream uint64) []byte { return catalog.AppendUint64(space(spaceExtent), stream) }

func extentKey(stream uint64, index int) []byte {
	return binary.BigEndian.AppendUint32(extentPrefix(stream), uint32(index))
}

func holeKey(at LSN) []byte { return catalog.AppendUint64(space(spaceHole), uint64(at)) }

func openKey(stream uint64) []byte { return catalog.AppendUint64(space(spaceOpen), stream) }

func garbageKey(kind byte, id uint64) []byte {
	return catalog.AppendUint64(append(space(spaceGarbage), kind), id)
}

func totalsKey(bucket uint64) []byte { return inBucket(spaceTotals, bucket) }

func studyKey(bucket uint64, study string) []byte {
	return catalog.AppendUID(inBucket(spaceStudy, bucket), study)
}

func seriesPrefix(bucket uint64, study string) []byte {
	return catalog.AppendUID(inBucket(spaceSeries, bucket), study)
}

func seriesKey(bucket uint64, study, series string) []byte {
	return catalog.AppendUID(seriesPrefix(bucket, study), series)
}

func instancePrefix(bucket uint64, study, series string) []byte {
	k := catalog.AppendUID(inBucket(spaceInstance, bucket), study)
	if series == "" {
		return k
	}
	return catalog.AppendUID(k, series)
}

func instanceKey(bucket uint64, study, series string, lsn LSN) []byte {
	return catalog.AppendUint64(instancePrefix(bucket, study, series), uint64(lsn))
}

func sopKey(bucket uint64, sop string) []byte {
	return catalog.AppendUID(inBucket(spaceSOP, bucket), sop)
}

func duplicateKey(bucket uint64, sop string, lsn LSN) []byte {
	return catalog.AppendUint64(sopKey(bucket, sop), uint64(lsn))
}

func seriesUIDPrefix(bucket uint64, series string) []byte {
	return catalog.AppendUID(inBucket(spaceSeriesUID, bucket), series)
}

func seriesUIDKey(bucket uint64, series, study string) []byte {
	return catalog.AppendUID(seriesUIDPrefix(bucket, series), study)
}

func conflictKey(bucket uint64, study string) []byte {
	return append(inBucket(spaceConflict, bucket), study...)
}

func indexPrefix(bucket uint64, ix Index) []byte {
	return append(inBucket(spaceIndex, bucket), byte(ix))
}

// indexValueKey is where the entries of a value begin.
func indexValueKey(bucket uint64, ix Index, value string) []byte {
	if ix == ByDate {
		return catalog.AppendInvertedString(indexPrefix(bucket, ix), value)
	}
	return catalog.AppendString(indexPrefix(bucket, ix), value)
}

func indexKey(bucket uint64, ix Index, value, study string) []byte {
	return append(indexValueKey(bucket, ix, value), study...)
}

// tailUint64 reads the number that ends a key.
func tailUint64(key []byte) uint64 {
	if len(key) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(key[len(key)-8:])
}
