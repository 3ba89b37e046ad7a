// Package sequencer is one node of a quorum: it hosts a replica of every Raft group, turns what waits into entries,
// and serves RESP as a Redis Cluster would. DESIGN.md says why it is built as it is.
package sequencer
