// Package bench measures S3 and DICOMweb servers from the outside, over HTTP only, and works with any of them.
//
// A run is a list of workloads against one Target. Each workload drives one operation, either in a closed loop
// (a fixed number of workers, each waiting for its answer) or in an open loop (a fixed rate, with latency taken from
// the intended start, so that a stall of the server counts against every request it delayed). The data come from a
// Generator: studies with realistic headers, sizes and pixels, unique UIDs, repeatable by seed. Every byte read is
// compared by CRC-32C with what was sent; text answers (JSON, XML) are parsed and checked when first seen, and by
// checksum after that.
//
// The client costs little on purpose, for it shares the machine with the server it measures: one connection and one
// goroutine per worker, bodies sent from shared memory by writev, no parsing of what a checksum can settle. Its CPU
// time is part of every report.
package bench
