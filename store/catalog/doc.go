// Package catalog is a small ordered key-value store: get, ordered iteration, atomic batches, snapshots. It holds what
// can be derived from the log (where each object is, and all that queries need) together with the LSN up to which the
// log has been applied, so it may be deleted at any time and filled again by replay.
//
// # Layers
//
// A committed batch becomes visible at once in a sorted in-memory overlay. A flusher freezes that overlay when it is
// large or old enough and writes it to the engine in one transaction, in key order, with the LSN it has applied up to.
// So what the engine holds is always the state after some prefix of the committed batches; after a crash the owner
// replays the log from the durable LSN of [Catalog.AppliedLSN]. Nothing is lost by a crash, since the log is durable
// before a batch is committed here. Commit waits for the engine only when the overlay's byte budget is used up.
//
//	    Commit
//	      |
//	active overlay      newest; deletes are tombstones
//	      |  freeze
//	frozen overlay      being written; immutable
//	      |  one transaction
//	engine              bbolt file, or a MemDisk in tests of crashes
//
// Keys that come in no order ([Options.Scattered]) the bbolt file keeps as sorted runs, one a flush, which are merged by and by: see runs.go.
//
// # Rules for users
//
//   - Keys are 1 to [MaxKeyBytes] bytes and don't begin with 0x00, values are at most [MaxValueBytes]. Other input is
//     refused by [Batch.Err], to be asked before the log is written.
//   - Bytes that Get and iterators return are never written again and may be kept; callers MUST NOT modify them.
//   - Snapshots and iterators MUST be closed, and soon: bbolt can't reuse a page that an open read transaction might see, so
//     its file grows as long as one stays open, and Close waits for them. A long scan takes a new snapshot every few
//     thousand keys and resumes after the last key it saw (see [After]).
//   - [ErrCorrupt] and [ErrMismatch] from Open mean: call [Remove], open again, replay the whole log.
package catalog
