package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/quorate/quorate/sequencer/wire"
)

// Format is the version of all objects here that this program writes, and the last that it reads.
const Format = 1

// Sum is a SHA-256. In JSON it is 64 hexadecimal digits.
type Sum [sha256.Size]byte

func (s Sum) String() string { return hex.EncodeToString(s[:]) }

// MarshalText implements encoding.TextMarshaler.
func (s Sum) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Sum) UnmarshalText(text []byte) error {
	if n, err := hex.Decode(s[:], text[:min(len(text), 2*len(s))]); err != nil || n != len(s) || len(text) != 2*len(s) {
		return fmt.Errorf("%w: a sum of %d digits", ErrCorrupt, len(text))
	}
	return nil
}

// Begun is the first object of a backup: it says that one is being made.
type Begun struct {
	Format    int         `json:"format"`
	Name      string      `json:"name"`
	ClusterID string      `json:"clusterId"`
	Groups    int         `json:"groups"`
	At        wire.Millis `json:"at"`
}

// Manifest is the last object of a backup. The backup exists from the moment on at which it is there.
type Manifest struct {
	Format    int    `json:"format"`
	Name      string `json:"name"`
	ClusterID string `json:"clusterId"`
	Epoch     uint64 `json:"epoch"` // of the cluster
	// DataFormat is that of the records in the groups: a program that does not know it cannot restore the backup.
	DataFormat wire.Format       `json:"dataFormat"`
	Version    string            `json:"version"` // of the program that wrote it
	BegunAt    wire.Millis       `json:"begunAt"`
	At         wire.Millis       `json:"at"`
	Settings   map[string]string `json:"settings"` // that operators made
	Parts      []Part            `json:"parts"`    // the groups, from 0 on
}

// Part is a group in a Manifest, with the sum of its Group.
type Part struct {
	Group        wire.GroupID `json:"group"`
	Size         int64        `json:"size"` // of the object that holds the Group
	SHA256       Sum          `json:"sha256"`
	Index        uint64       `json:"index"`
	Term         uint64       `json:"term"`
	At           wire.Millis  `json:"at"`
	Files        int          `json:"files"`
	Bytes        int64        `json:"bytes"`
	Segments     int          `json:"segments"`
	SegmentBytes int64        `json:"segmentBytes"`
}

// Group is what is saved of one group: the files of a checkpoint, and the objects of the archive that it refers to.
type Group struct {
	Format    int          `json:"format"`
	Backup    string       `json:"backup"`
	ClusterID string       `json:"clusterId"`
	Group     wire.GroupID `json:"group"`
	Index     uint64       `json:"index"` // of the last entry in it
	Term      uint64       `json:"term"`  // of that entry
	At        wire.Millis  `json:"at"`    // when the checkpoint was made
	Files     []File       `json:"files"` // by name
	Segments  []Segment    `json:"segments"`
}

// File is one file of a checkpoint.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 Sum    `json:"sha256"`
}

// Segment is an object of the archive.
type Segment struct {
	Key    string `json:"key"`
	Size   int64  `json:"size"`
	SHA256 Sum    `json:"sha256"`
}

// part is the line of a group in the manifest, where the group is in an object of these bytes.
func (g *Group) part(body []byte) Part {
	p := Part{
		Group: g.Group, Size: int64(len(body)), SHA256: sha256.Sum256(body), Index: g.Index, Term: g.Term, At: g.At,
		Files: len(g.Files), Segments: len(g.Segments),
	}
	for _, f := range g.Files {
		p.Bytes += f.Size
	}
	for _, s := range g.Segments {
		p.SegmentBytes += s.Size
	}
	return p
}

// encode gives the bytes of an object: a line of JSON and a line with its SHA-256.
func encode(v any) ([]byte, error) {
	line, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode a backup's manifest: %w", err)
	}
	line = append(line, '\n')
	sum := Sum(sha256.Sum256(line))
	return append(append(line, sum.String()...), '\n'), nil
}
