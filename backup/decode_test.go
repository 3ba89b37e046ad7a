package backup

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/quorate/quorate/sequencer/wire"
)

const someName = "20261129T120000000Z-0badcafe"

func someGroup() *Group {
	return &Group{
		Format: 1, Backup: someName, ClusterID: "c0ffee", Group: 0, Index: 7, Term: 2, At: 1796000000000,
		Files:    []File{{Name: "000004.sst", Size: 7, SHA256: Sum{1}}, {Name: "MANIFEST-000001", Size: 0}},
		Segments: []Segment{{Key: "segments/c0ffee/00000/0000000000000001-0123456789abcdef.parquet", Size: 9, SHA256: Sum{2}}},
	}
}

func someManifest() *Manifest {
	g := someGroup()
	body, _ := encode(g)
	return &Manifest{
		Format: 1, Name: someName, ClusterID: "c0ffee", Epoch: 1, DataFormat: 3, Version: "v0.1.0", BegunAt: 1796000000000, At: 1796000001000,
		Settings: map[string]string{"fanout": "spread:25"}, Parts: []Part{g.part(body)},
	}
}

// TestFormat_Golden: what is written is what FORMAT.md says, byte for byte.
func TestFormat_Golden(t *testing.T) {
	for file, v := range map[string]any{"testdata/manifest.v1.json": someManifest(), "testdata/group.v1.json": someGroup()} {
		got, err := encode(v)
		if err != nil {
			t.Fatal(err)
		}
		if os.Getenv("GOLDEN") != "" {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v\n%s", file, err, got)
		}
	}
}

// TestDecode_Hostile: what a manifest says is bounded, whoever wrote it and however right its sums are.
func TestDecode_Hostile(t *testing.T) {
	for what, change := range map[string]func(*Manifest){
		"no groups": func(m *Manifest) { m.Parts = nil }, "a group too many": func(m *Manifest) { m.Parts = append(m.Parts, m.Parts[0]) },
		"a large group": func(m *Manifest) { m.Parts[0].Size = 1 << 40 }, "large files": func(m *Manifest) { m.Parts[0].Bytes = 1 << 60 },
		"less than nothing": func(m *Manifest) { m.Parts[0].Bytes = -1 }, "no entry": func(m *Manifest) { m.Parts[0].Index = 0 },
		"the last entry": func(m *Manifest) { m.Parts[0].Index = 1<<64 - 1 }, "the last term": func(m *Manifest) { m.Parts[0].Term = 1<<64 - 1 },
		"no epoch": func(m *Manifest) { m.Epoch = 0 }, "the last epoch": func(m *Manifest) { m.Epoch = 1<<64 - 1 },
		"a path": func(m *Manifest) { m.Name = "../../" + someName }, "another path": func(m *Manifest) { m.ClusterID = "../c" },
		"a long setting": func(m *Manifest) { m.Settings["fanout"] = strings.Repeat("x", 1000) },
		"format 0":       func(m *Manifest) { m.Format = 0 },
	} {
		m := someManifest()
		change(m)
		body, err := encode(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeManifest(body); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, change := range map[string]func(*Group){
		"a path": func(g *Group) { g.Files[0].Name = "../x.sst" }, "a hidden file": func(g *Group) { g.Files[0].Name = ".x.sst" },
		"a lock": func(g *Group) { g.Files[1].Name = "LOCK" }, "a file twice": func(g *Group) { g.Files[1].Name = g.Files[0].Name },
		"a large file": func(g *Group) { g.Files[0].Size = 1 << 50 }, "less than nothing": func(g *Group) { g.Files[0].Size = -1 },
		"no files": func(g *Group) { g.Files = nil }, "a group of none": func(g *Group) { g.Group = wire.MetaGroup },
		"a key that is none": func(g *Group) { g.Segments[0].Key = "segments/../../etc/passwd" }, "no entry": func(g *Group) { g.Index = 0 },
	} {
		g := someGroup()
		change(g)
		body, err := encode(g)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeGroup(body); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
	later := someManifest()
	later.Format = Format + 1
	body, err := encode(later)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeManifest(body); !errors.Is(err, ErrFormat) {
		t.Errorf("a later format: %v", err)
	}
}

func FuzzDecodeManifest(f *testing.F) {
	for _, v := range []any{someManifest(), someGroup(), map[string]any{"format": 1, "parts": []any{nil}}} {
		body, err := encode(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
		line, _, _ := bytes.Cut(body, []byte("\n"))
		f.Add(line) // the sum is added below, so that what is behind it is reached
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, body := range [][]byte{b, summed(b)} {
			if m, err := DecodeManifest(body); err == nil {
				again, err := encode(m)
				if err != nil || !bytes.Equal(again, body) || len(m.Parts) > maxGroups {
					t.Fatalf("%q was read as %q", body, again)
				}
			}
			if g, err := DecodeGroup(body); err == nil {
				for _, file := range g.Files {
					if strings.ContainsAny(file.Name, "/\\") || file.Name[0] == '.' {
						t.Fatalf("a file %q", file.Name)
					}
				}
			}
		}
	})
}

// summed ends a line with its sum.
func summed(line []byte) []byte {
	body, err := encode(rawJSON(line))
	if err != nil {
		return line
	}
	return body
}

type rawJSON []byte

func (r rawJSON) MarshalJSON() ([]byte, error) { return r, nil }
