// Package part10 reads DICOM Part 10 objects (PS3.10) within fixed bounds: what the
// store records of them, their DICOM JSON (PS3.18 Annex F), the place of every frame,
// and their conversion to Explicit VR Little Endian.
//
// Input is hostile by assumption. Every length is checked against what its enclosing
// item still holds before anything is allocated, nesting is bounded by MaxDepth, and
// pixel data is walked over, never read into memory. Nothing in this package panics
// on input, and no error text contains an element's value.
//
// Offsets are counted from the first byte of the file. In a deflated object they
// count the inflated data set as if it stood in place of the deflated one.
package part10
