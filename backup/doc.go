// Package backup is what a backup of a cluster is: a manifest, what it names, and where in an object store that is. It knows files
// and their sums; who makes checkpoints, and what is in them, is the sequencer's affair. DESIGN.md gives the reasons, FORMAT.md
// the bytes.
package backup
