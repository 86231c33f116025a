// Package segment is the format of gantry's log and packs: it encodes, decodes and scans. It is a pure codec and knows no locks,
// goroutines or paths. The whole format is written down in docs/format/segment.md, for readers without this code.
//
// A segment is a POSIX.1-2001 (pax) tar archive. Each record is one member:
//
//	+-----------+--------------------------------+--------------+-----------------+---------+
//	| pax block | pax body: comment, maybe path, | member block | payload         | NULs to |
//	| 512       | NULs to a multiple of 512      | 512          | PayloadLen      | 512     |
//	+-----------+--------------------------------+--------------+-----------------+---------+
//	|<---------- header, at most 64 KiB ------------------------>|
//
// The comment starts with a prefix of fixed width, which holds what is known only when the record is committed, and goes on
// with a JSON object, which holds all the rest and is encoded long before, by many goroutines at once:
//
//	offset width  what (numbers are lower-case hex unless said otherwise)
//	     0     7  "gantry "
//	     7     3  format version, two decimal digits, and a space
//	    10     3  record type, two decimal digits, and a space
//	    13    17  LSN, and a space
//	    30    17  epoch, and a space
//	    47     3  "F" if first of its batch, "L" if last, "-" where not, and a space
//	    50    17  commit point, and a space
//	    67    17  commit time, nanoseconds since 1970 UTC, and a space
//	    84    17  length of the payload, and a space
//	   101     9  CRC-32C (Castagnoli) of the whole header, taken with these eight digits as '0', and a space
//	   110        JSON
//
// [Stamp.Apply] patches the prefix, the member's time and the checksums in place; the lengths never change. So the
// log gives LSNs to records that are ready to be written.
//
// The payload's own checksums (one CRC-32C per MiB) are in the JSON, hence under the header's checksum, hence under the digest
// in the footer: header bytes alone prove everything.
package segment
