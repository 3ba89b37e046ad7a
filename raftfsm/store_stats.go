package raftfsm

import "github.com/cockroachdb/pebble/v2"

// StoreStats is how a store's files and caches stand, as Pebble counts them. Counts begin anew when a snapshot of
// another node replaces the store.
type StoreStats struct {
	CacheBytes, CacheHits, CacheMisses         int64 // of blocks
	FilterHits, FilterMisses                   int64 // of bloom filters; a hit spares a read
	MemTables                                  int64
	MemTableBytes                              uint64
	Flushes, Compactions, CompactionsRunning   int64
	CompactionSeconds                          float64 // that compactions have taken, all together
	CompactionDebtBytes                        uint64  // that compactions have yet to write
	FlushedBytes, CompactedBytes               uint64  // written
	DiskBytes                                  uint64  // taken by all files
	ReadAmplification, TopTables, TopSublevels int     // sorted runs that a read may meet; what lies in level 0
	Iterators                                  int64   // open
	WriteStalls                                uint64  // times that writes waited for flushes or compactions
}

// Stats tells how the store stands. It is zero while the store is replaced, or closed.
func (s *Store) Stats() (stats StoreStats) {
	_ = s.locked(func(db *pebble.DB) error { // answers only that there is no store at the moment
		m := db.Metrics()
		total := m.Total()
		stats = StoreStats{
			CacheBytes: m.BlockCache.Size, CacheHits: m.BlockCache.Hits, CacheMisses: m.BlockCache.Misses,
			FilterHits: m.Filter.Hits, FilterMisses: m.Filter.Misses,
			MemTables: m.MemTable.Count, MemTableBytes: m.MemTable.Size,
			Flushes: m.Flush.Count, Compactions: m.Compact.Count, CompactionsRunning: m.Compact.NumInProgress,
			CompactionSeconds: m.Compact.Duration.Seconds(), CompactionDebtBytes: m.Compact.EstimatedDebt,
			FlushedBytes:   total.TableBytesFlushed + total.BlobBytesFlushed,
			CompactedBytes: total.TableBytesCompacted + total.BlobBytesCompacted,
			DiskBytes:      m.DiskSpaceUsage(), ReadAmplification: m.ReadAmp(),
			TopTables: int(m.Levels[0].TablesCount), TopSublevels: int(m.Levels[0].Sublevels),
			Iterators: m.TableIters, WriteStalls: s.stalls.Load(),
		}
		return nil
	})
	return stats
}

// OutboxPending gives how many changes of chat lists wait in the group's outbox to be acknowledged.
func (s *Store) OutboxPending() uint64 {
	m := s.meta()
	return m.outboxNext - m.outboxFirst
}
