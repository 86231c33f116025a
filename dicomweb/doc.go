// Package dicomweb is the DICOMweb gateway (PS3.18): STOW-RS, QIDO-RS, WADO-RS, WADO-URI for application/dicom, and
// deletion by study, series and instance, over the objects of package store.
//
// A request is parsed into a route and, for queries and retrievals, a small request struct; one handler per kind of
// resource serves it. Nothing here holds a whole object: bodies are streamed in both directions, metadata is built from
// headers, and results of queries are kept in a bounded heap. Bytes that leave were verified by the store (I5); once the
// first byte of a response is out, an error cuts the connection, so that no client takes half for the whole.
package dicomweb
