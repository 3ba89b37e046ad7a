package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/sequencer/wire"
)

// What an object of a backup may say. Nothing is allocated or written before it was compared with these.
const (
	maxManifestBytes = 4 << 20
	maxGroupBytes    = 48 << 20
	maxGroups        = 1024
	maxFiles         = 1 << 20
	maxSegments      = 1 << 20
	maxFileBytes     = 1 << 40
	maxAllBytes      = 1 << 50
	maxNumber        = 1 << 62 // of an index, a term or a time
	maxSettings      = 64
	maxTextBytes     = 256
	maxEpoch         = uint64(wire.MaxSeq)
)

// decode reads an object that encode wrote, and nothing else: bytes that encode would not write are refused.
func decode(body []byte, v any) error {
	i := bytes.IndexByte(body, '\n') + 1
	sum := Sum(sha256.Sum256(body[:i]))
	if i == 0 || string(body[i:]) != sum.String()+"\n" {
		return fmt.Errorf("%w: it does not fit its checksum", ErrCorrupt)
	}
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(body[:i], &head); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if head.Format > Format {
		return fmt.Errorf("%w: %d, this program knows %d", ErrFormat, head.Format, Format)
	}
	if err := json.Unmarshal(body[:i], v); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if again, err := encode(v); err != nil || !bytes.Equal(again, body) {
		return fmt.Errorf("%w: it says more than it may, or says it otherwise", ErrCorrupt)
	}
	return nil
}

// DecodeManifest reads a manifest. It answers ErrCorrupt or ErrFormat for what is none that may be followed.
func DecodeManifest(body []byte) (*Manifest, error) {
	m := &Manifest{}
	if len(body) > maxManifestBytes {
		return nil, fmt.Errorf("%w: a manifest of %d bytes", ErrCorrupt, len(body))
	}
	if err := decode(body, m); err != nil {
		return nil, err
	}
	if bad := m.check(); bad != "" {
		return nil, fmt.Errorf("%w: %s", ErrCorrupt, bad)
	}
	return m, nil
}

// check tells what a manifest says that cannot be, "" for nothing.
func (m *Manifest) check() string {
	switch {
	case m.Format < 1 || CheckName(m.Name) != nil || wire.CheckID("cluster", m.ClusterID) != nil:
		return "it names no backup of a cluster"
	case m.Epoch < 1 || m.Epoch > maxEpoch || m.DataFormat < wire.OldestFormat || len(m.Version) > maxTextBytes || badTime(m.At) || badTime(m.BegunAt):
		return "an epoch, a format, a version or a time is out of bounds"
	case len(m.Parts) < 1 || len(m.Parts) > maxGroups:
		return fmt.Sprintf("it has %d groups", len(m.Parts))
	case len(m.Settings) > maxSettings:
		return "it has too many settings"
	}
	for key, value := range m.Settings {
		if wire.CheckID("setting", key) != nil || len(value) > maxTextBytes {
			return "a setting is too long"
		}
	}
	total := int64(0)
	for i := range m.Parts {
		p := &m.Parts[i]
		if int(p.Group) != i || p.Size < 1 || p.Size > maxGroupBytes || badPosition(p.Index, p.Term) || badTime(p.At) ||
			p.Files < 1 || p.Files > maxFiles || p.Segments < 0 || p.Segments > maxSegments || badSize(p.Bytes) || badSize(p.SegmentBytes) {
			return fmt.Sprintf("group %d is out of bounds", i)
		}
		if total += p.Bytes + p.SegmentBytes; badSize(total) {
			return "it is too large"
		}
	}
	return ""
}

// decodeGroup reads a group, and makes sure that it is the one that the manifest means.
func decodeGroup(body []byte, m *Manifest, p *Part) (*Group, error) {
	if int64(len(body)) != p.Size || sha256.Sum256(body) != p.SHA256 {
		return nil, fmt.Errorf("%w: it is not the one that the manifest names", ErrCorrupt)
	}
	g, err := DecodeGroup(body)
	if err != nil {
		return nil, err
	}
	if g.Backup != m.Name || g.ClusterID != m.ClusterID || g.part(body) != *p {
		return nil, fmt.Errorf("%w: it is not as the manifest says", ErrCorrupt)
	}
	return g, nil
}

// DecodeGroup reads a group. It answers ErrCorrupt or ErrFormat for what is none that may be followed.
func DecodeGroup(body []byte) (*Group, error) {
	g := &Group{}
	if len(body) > maxGroupBytes {
		return nil, fmt.Errorf("%w: a group of %d bytes", ErrCorrupt, len(body))
	}
	if err := decode(body, g); err != nil {
		return nil, err
	}
	if bad := g.check(); bad != "" {
		return nil, fmt.Errorf("%w: %s", ErrCorrupt, bad)
	}
	return g, nil
}

func (g *Group) check() string {
	switch {
	case g.Format < 1 || CheckName(g.Backup) != nil || wire.CheckID("cluster", g.ClusterID) != nil || g.Group >= maxGroups:
		return "it names no group of a backup"
	case badPosition(g.Index, g.Term) || badTime(g.At):
		return "its place in the log is out of bounds"
	case len(g.Files) < 1 || len(g.Files) > maxFiles || len(g.Segments) > maxSegments:
		return fmt.Sprintf("it has %d files and %d objects of the archive", len(g.Files), len(g.Segments))
	}
	total := int64(0)
	for i, f := range g.Files {
		if !goodName(f.Name) || f.Size < 0 || f.Size > maxFileBytes || i > 0 && g.Files[i-1].Name >= f.Name {
			return fmt.Sprintf("it has a file %.80q of %d bytes", f.Name, f.Size)
		}
		if total += f.Size; badSize(total) {
			return "it is too large"
		}
	}
	for i, s := range g.Segments {
		if _, ok := archive.ParseKey(s.Key); !ok || s.Size < 1 || s.Size > maxFileBytes || i > 0 && g.Segments[i-1].Key >= s.Key {
			return fmt.Sprintf("it has an object %.80q of %d bytes", s.Key, s.Size)
		}
	}
	return ""
}

// goodName allows the names that the files of a checkpoint have, and nothing that leads out of a directory.
func goodName(name string) bool {
	return wire.CheckID("file", name) == nil && name[0] != '.' && name != "LOCK"
}

func badSize(n int64) bool        { return n < 0 || n > maxAllBytes }
func badTime(at wire.Millis) bool { return at < 0 || at > maxNumber }
func badPosition(index, t uint64) bool {
	return index < 1 || index > maxNumber || t < 1 || t > maxNumber
}
