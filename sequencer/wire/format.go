package wire

import "errors"

// Format is the version of what nodes write for each other: the entries of the logs and the cluster map. A program reads all
// formats from OldestFormat to NewestFormat, and writes the one that the cluster map names. That is raised, by one, when every
// node has told that it can read the next: so nodes of two versions work together, and until the last one is upgraded each may
// go back to the program that it had.
//
//	1  the first
//	2  entries may hold Seen and CommitFeed
//	3  entries may hold Archived, Retain and Forget
//	4  entries may hold PutDevice, RemoveDevice and MuteChat
type Format uint32

// OldestFormat is that of clusters whose map names none, and of nodes that tell of none.
const OldestFormat Format = 1

// ErrFormat says that something was written by a later version of the program, which this one cannot read.
var ErrFormat = errors.New("it was written by a later version of this program")

// Known reports whether this program can read and write the format.
func (f Format) Known() bool { return f >= OldestFormat && f <= NewestFormat }

// OrOldest is the format, or OldestFormat where there is none.
func (f Format) OrOldest() Format { return max(f, OldestFormat) }
