// Package store keeps objects: it takes them in, makes them durable in the log, finds them again through the catalog
// and gives them back verified. Everything a site knows is a record of its log (package segment); the catalog (package
// catalog) is an index over it that can be thrown away and rebuilt.
//
// The write path is written down once, in Store.Put; the order of the log is decided in one goroutine, the sequencer.
// Gateways see the types of this package and its sentinel errors, nothing below them.
package store
