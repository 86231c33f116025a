// Package clienttest drives the built binary from outside: with the S3 and DICOMweb clients that people already have, over
// HTTP and TLS; with hostile sockets; and with SIGKILL. It has no code of its own, only tests.
//
// Each test starts its own gantry on random loopback ports with an empty data folder. What a test needs and can't find
// (a client, the DICOM files) makes it skip, or fail when CI=true. GANTRY_LONG=1 adds what takes longer than CI has.
//
// GANTRY_CLIENTTEST_S3 or GANTRY_CLIENTTEST_DICOMWEB, with _KEY and _SECRET, point the sessions at another server instead, to
// see whether a session or the server is wrong.
package clienttest
