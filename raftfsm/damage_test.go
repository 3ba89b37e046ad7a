package raftfsm

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/raft"

	"github.com/quorate/quorate/sequencer/wire"
)

// damagedReplica is the files of a small replica, ended as by a crash, and what it held.
type damagedReplica struct {
	cfg   Config
	whole string // directory with the files as they should be
	files []string
	texts []string // of the messages of chat c
}

// aReplica makes a group of one and has it write all that a replica writes: flushed tables, two snapshots, a log behind
// them, term and vote.
func aReplica(t *testing.T) *damagedReplica {
	t.Helper()
	const fast = 20 * time.Millisecond // it is alone: there is nobody to wait for
	d := &damagedReplica{whole: filepath.Join(t.TempDir(), "group-1.1")}
	d.cfg = Config{
		Node: "n1", Group: 1, Dir: d.whole, Timing: Timing{Heartbeat: fast, Election: fast, Lease: fast}, Store: StoreConfig{CacheBytes: 1 << 20, MemTableBytes: 1 << 20},
		ScrubBytes: -1,
	}
	g, mux := d.open(t, d.whole, func(err error) { t.Error(err) })
	d.do(t, g, group("c", "a"))
	for i := 1; i <= 60; i++ {
		noise := make([]byte, 1000) // so that there are several blocks
		for j := range noise {
			noise[j] = byte('a' + rand.IntN(26))
		}
		d.texts = append(d.texts, fmt.Sprint("text ", i, " ", string(noise)))
		d.do(t, g, say("c", "a", fmt.Sprint(i), d.texts[i-1]))
		if i == 20 || i == 40 {
			reload := g.raft.ReloadableConfig()
			reload.TrailingLogs = 5
			if err := errors.Join(g.raft.ReloadConfig(reload), g.raft.Snapshot().Error()); err != nil {
				t.Fatal(err)
			}
		}
	}
	d.close(t, g, mux)
	err := filepath.WalkDir(d.whole, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			name, _ := filepath.Rel(d.whole, path)
			d.files = append(d.files, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *damagedReplica) tryOpen(t *testing.T, dir string, fatal func(error)) (*Group, *Mux, error) {
	t.Helper()
	cfg := d.cfg
	cfg.Dir, cfg.Fatal, cfg.Logger = dir, fatal, slog.New(slog.DiscardHandler)
	mux, err := ListenMux("127.0.0.1:0", func() Card { return Card{} }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Bootstrap = []Peer{{ID: "n1", RaftAddr: fmt.Sprint(mux.Addr())}}
	g, err := Open(cfg, mux)
	if err != nil {
		mux.Close()
	}
	return g, mux, err
}

func (d *damagedReplica) open(t *testing.T, dir string, fatal func(error)) (*Group, *Mux) {
	t.Helper()
	g, mux, err := d.tryOpen(t, dir, fatal)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the group serves", g.Serving)
	return g, mux
}

func (d *damagedReplica) close(t *testing.T, g *Group, mux *Mux) {
	t.Helper()
	_ = g.Close() // one that found damage holds its writes, and may say so
	mux.Close()
}

func (d *damagedReplica) do(t *testing.T, g *Group, cmd Command) {
	t.Helper()
	results, err := g.Propose(AppendEntry(nil, wire.OldestFormat, 1, 1, AppendCommand(nil, cmd))).Wait()
	if err != nil || len(results) != 1 || results[0].Err != nil {
		t.Fatalf("%+v: %v, %v", cmd, results, err)
	}
}

// copyTo copies the whole replica, keeping what is linked linked, as damage to a table is damage to its snapshots too.
func (d *damagedReplica) copyTo(t *testing.T, dir string) {
	t.Helper()
	var seen []string
	for _, name := range d.files {
		from, to := filepath.Join(d.whole, name), filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		linked := ""
		a, _ := os.Stat(from)
		for _, other := range seen {
			if b, _ := os.Stat(filepath.Join(d.whole, other)); os.SameFile(a, b) {
				linked = other
			}
		}
		seen = append(seen, name)
		if linked != "" {
			if err := os.Link(filepath.Join(dir, linked), to); err != nil {
				t.Fatal(err)
			}
			continue
		}
		body, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, body, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// verdict is what a replica with damaged files did.
type verdict string

const (
	lostAtOpen verdict = "lost at open" // and set aside
	detected   verdict = "detected on read"
	harmless   verdict = "harmless" // it served what it should, to the last message
)

// judge opens a copy of the replica after damage was done to it, and reads all. Any answer but a whole one must be an error.
func (d *damagedReplica) judge(t *testing.T, damage func(dir string) error) verdict {
	t.Helper()
	parent := t.TempDir()
	dir := filepath.Join(parent, "group-1.1")
	d.copyTo(t, dir)
	if err := damage(dir); err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 16)
	g, mux, err := d.tryOpen(t, dir, func(err error) { told <- err })
	if err != nil {
		if !errors.Is(err, ErrReplicaLost) {
			t.Fatalf("it is no longer opened, but not lost: %v", err)
		}
		if aside, _ := filepath.Glob(dir + corruptSuffix + "*"); len(aside) != 1 || IsReplica(dir) {
			t.Fatalf("set aside: %v, still there: %v", aside, IsReplica(dir))
		}
		return lostAtOpen
	}
	defer d.close(t, g, mux)
	eventually(t, "it serves or fails", func() bool { return g.Serving() || len(told) > 0 })
	messages, err := g.Store().Range("c", 1, 1000)
	if len(told) > 0 {
		if err := markedCorrupt(dir); err == nil {
			t.Fatalf("told of %v, which is not recorded", <-told)
		}
		return detected
	}
	if err != nil || len(messages) != len(d.texts) {
		t.Fatalf("it serves %d of %d messages: %v", len(messages), len(d.texts), err)
	}
	for i, m := range messages {
		if m.Seq != wire.Seq(i+1) || m.Text != d.texts[i] {
			t.Fatalf("it serves %+v as message %d", m, i+1)
		}
	}
	return harmless
}

// edit changes the bytes of a file in place: it stays linked.
func edit(path string, change func(b []byte) []byte) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(change(b))
	return errors.Join(err, f.Close())
}

// TestReplica_DamagedFiles damages each file of a replica in each way. Nothing may be served that was not written, nothing
// that was acknowledged may be missing, and nothing may harm the process.
func TestReplica_DamagedFiles(t *testing.T) {
	d := aReplica(t)
	seed := uint64(os.Getpid())
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 1))
	flips := 3
	if testing.Short() {
		flips = 1
	}
	verdicts := map[string]map[verdict]int{}
	for _, name := range d.files {
		kind, _, _ := strings.Cut(filepath.Base(name), "-")
		if strings.HasSuffix(kind, tableSuffix) {
			kind = tableSuffix
		}
		verdicts[kind] = map[verdict]int{}
		try := func(how string, damage func(path string) error) {
			t.Run(how+" "+strings.ReplaceAll(name, "/", "_"), func(t *testing.T) {
				verdicts[kind][d.judge(t, func(dir string) error { return damage(filepath.Join(dir, name)) })]++
			})
		}
		try("delete", os.Remove)
		info, err := os.Stat(filepath.Join(d.whole, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() == 0 {
			continue
		}
		for range flips {
			at := chance.IntN(int(info.Size()))
			try(fmt.Sprint("flip ", at), func(path string) error {
				return edit(path, func(b []byte) []byte { b[at] ^= 1 << chance.IntN(8); return b })
			})
		}
		try("truncate", func(path string) error {
			return edit(path, func(b []byte) []byte { return b[:len(b)/2] })
		})
		try("empty", func(path string) error { return os.Truncate(path, 0) })
		try("zero", func(path string) error {
			return edit(path, func(b []byte) []byte {
				at := chance.IntN(len(b)) &^ 4095
				clear(b[at:min(at+4096, len(b))])
				return b
			})
		})
	}
	for kind, v := range verdicts {
		t.Logf("%-12s %v", kind, v)
	}
	for _, kind := range []string{logName, tableSuffix, snapshotMetaName, "MANIFEST"} {
		if v := verdicts[kind]; v[lostAtOpen]+v[detected] == 0 {
			t.Errorf("no damage to %s was ever found: %v", kind, v)
		}
	}
}

// TestReplica_FlippedLog flips many bits of the file with log, term and vote: no checksum of bbolt's covers it.
func TestReplica_FlippedLog(t *testing.T) {
	whole := boltBytes(t)
	chance := rand.New(rand.NewPCG(uint64(os.Getpid()), 2))
	flips := 200
	if testing.Short() {
		flips = 20
	}
	var used []int // where something is written: most of the file is free
	for i, b := range whole {
		if b != 0 {
			used = append(used, i)
		}
	}
	found := 0
	for n := range flips {
		at, bit := chance.IntN(len(whole)), chance.IntN(8)
		if n%2 == 0 {
			at = used[chance.IntN(len(used))]
		}
		dir := t.TempDir()
		b := bytes.Clone(whole)
		b[at] ^= 1 << bit
		if err := os.WriteFile(filepath.Join(dir, logName), b, 0o600); err != nil {
			t.Fatal(err)
		}
		g := &Group{cfg: Config{Dir: dir}}
		err := checkPresent(dir)
		if err == nil {
			err = g.openLog()
		}
		if err == nil {
			err = errors.Join(g.checked.verify(), g.stable.verify(true, 7))
		}
		if err != nil {
			if found++; !errors.Is(err, ErrCorrupt) {
				t.Fatalf("bit %d of byte %d: %v", bit, at, err)
			}
		} else if err := boltHolds(g); err != nil {
			t.Fatalf("bit %d of byte %d: %v", bit, at, err)
		}
		if g.bolt != nil {
			g.bolt.Close()
		}
	}
	t.Logf("%d of %d flips in %d bytes found, the others hit free space", found, flips, len(whole))
	if found == 0 {
		t.Error("no flip was found")
	}
}

// boltHolds compares a log with what boltBytes wrote.
func boltHolds(g *Group) error {
	first, err := g.entries.FirstIndex()
	if last, _ := g.entries.LastIndex(); err != nil || first != 3 || last != 300 {
		return fmt.Errorf("the log goes from %d to %d: %w", first, last, err)
	}
	if term, err := g.stable.GetUint64(keyTerm); err != nil || term != 300 {
		return fmt.Errorf("the term is %d: %w", term, err)
	}
	for i := uint64(3); i <= 300; i++ {
		var l raft.Log
		if err := g.entries.GetLog(i, &l); err != nil || !bytes.Equal(l.Data, bytes.Repeat([]byte{byte(i)}, int(i))) {
			return fmt.Errorf("entry %d is %x: %w", i, l.Data, err)
		}
	}
	return nil
}

// TestReplica_LostParts takes whole parts of a replica away.
func TestReplica_LostParts(t *testing.T) {
	d := aReplica(t)
	for lost, want := range map[string]verdict{
		"snapshots": lostAtOpen, "store": harmless, "store/db": harmless, "store snapshots": lostAtOpen, "raft.db store": lostAtOpen,
		"raft.db store snapshots": lostAtOpen, "raft.db REPLICA": lostAtOpen,
	} {
		got := d.judge(t, func(dir string) (err error) {
			for _, part := range strings.Fields(lost) {
				err = errors.Join(err, os.RemoveAll(filepath.Join(dir, part)))
			}
			return err
		})
		if got != want {
			t.Errorf("without %s: %s, want %s", lost, got, want)
		}
	}
}

// TestReplica_KeepsOneSetAside has a replica lost again and again: the disk must not fill with what is set aside.
func TestReplica_KeepsOneSetAside(t *testing.T) {
	parent := t.TempDir()
	for _, name := range []string{"group-1.1", "group-1.2", "group-10.1", "group-1.3"} {
		dir := filepath.Join(parent, name)
		if err := errors.Join(os.Mkdir(dir, 0o755), MarkCorrupt(dir, errInjected), MarkCorrupt(dir, errDisk)); err != nil {
			t.Fatal(err)
		}
		err := setAside(dir, markedCorrupt(dir))
		if !errors.Is(err, ErrReplicaLost) || !strings.Contains(err.Error(), errInjected.Error()) {
			t.Fatalf("got %v", err)
		}
	}
	entries, err := os.ReadDir(parent)
	if err != nil || len(entries) != 2 || !strings.HasPrefix(entries[0].Name(), "group-1.3") ||
		!strings.HasPrefix(entries[1].Name(), "group-10.1") {
		t.Fatalf("left: %v, %v", entries, err)
	}
}

// flipTables flips a bit in each table.
func flipTables(dir string) error {
	tables, err := filepath.Glob(filepath.Join(dir, "store", "db", "*"+tableSuffix))
	for _, path := range tables {
		err = errors.Join(err, edit(path, func(b []byte) []byte { b[len(b)/2] ^= 1; return b }))
	}
	return err
}

// TestReplica_DamageFoundLater has damage that Open does not look for: it is found on the first read, or by the scrub.
func TestReplica_DamageFoundLater(t *testing.T) {
	for by, scrub := range map[string]int64{"reads": -1, "the scrub": 1 << 30} {
		t.Run(by, func(t *testing.T) {
			d := aReplica(t)
			dir := filepath.Join(t.TempDir(), "group-1.1")
			d.copyTo(t, dir)
			if err := flipTables(dir); err != nil {
				t.Fatal(err)
			}
			told := make(chan error, 16)
			fatal := func(err error) { told <- err }
			store, err := OpenStore(filepath.Join(dir, "store"), d.cfg.Store)
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			store.failure.listen(marking(dir, fatal))
			if scrub > 0 {
				r := &Group{
					cfg: Config{Dir: dir, ScrubBytes: scrub}, store: store, closing: make(chan struct{}),
					turn: make(chan struct{}, 1),
				}
				r.done.Add(1)
				r.scrub()
			} else if m, err := store.Range("c", 1, 1000); err == nil {
				t.Errorf("it serves %d messages", len(m))
			}
			if err := <-told; !errors.Is(err, ErrCorrupt) && !isDamage(err) {
				t.Fatalf("told of %v", err)
			}
			if err := markedCorrupt(dir); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("recorded: %v", err)
			}
		})
	}
}

// TestStore_UnfinishedTablesAreNoDamage holds Pebble while it writes a table, and puts halves of others where a crash and a snapshot that comes in
// leave them. A node that is started, and the scrub, must not take them for damage: all replicas write their tables at about the same time.
func TestStore_UnfinishedTablesAreNoDamage(t *testing.T) {
	var holding atomic.Bool
	held, release := make(chan struct{}), make(chan struct{})
	m, told := faultyMachine(t, func(op errorfs.Op) bool {
		if strings.HasSuffix(op.Path, tableSuffix) && op.Kind == errorfs.OpFileWrite && holding.CompareAndSwap(true, false) {
			close(held)
			<-release
		}
		return false
	})
	m.one(1, group("c", "a"))
	if err := m.store.db.Flush(); err != nil {
		t.Fatal(err)
	}
	m.one(2, say("c", "a", "1", "x"))
	holding.Store(true)
	flushed, err := m.store.db.AsyncFlush()
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-held:
	case <-flushed:
		t.Fatal("the flush was not held")
	}
	coming := filepath.Join(m.dir, "snapshots", "1-1-1"+unfinishedSuffix, "state")
	if err := os.MkdirAll(coming, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, half := range []string{filepath.Join(coming, "000001.sst"), filepath.Join(m.store.current(), "009999.sst")} {
		if err := os.WriteFile(half, make([]byte, 4096), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g := &Group{cfg: Config{Dir: m.dir, ScrubBytes: 1 << 30}, store: m.store, closing: make(chan struct{}), log: slog.New(slog.DiscardHandler)}
	if err := g.scrubOnce(); err != nil {
		t.Errorf("the scrub: %v", err)
	}
	if g.scrubbed.Load() == 0 {
		t.Error("the scrub has read nothing")
	}
	if err := m.store.verifyNewest(1 << 30); err != nil {
		t.Errorf("at the start: %v", err)
	}
	close(release)
	<-flushed
	if err := errors.Join(g.scrubOnce(), m.store.Close()); err != nil || len(told) > 0 {
		t.Errorf("%v, told of %d failures", err, len(told))
	}
}

// TestStore_DamageIsOfTheTableThatWasListed: what has another table in its place by the time that it is read is not verified.
func TestStore_DamageIsOfTheTableThatWasListed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "000001.sst")
	listed := func(b byte) table {
		t.Helper()
		if err := errors.Join(os.RemoveAll(path), os.WriteFile(path, bytes.Repeat([]byte{b}, 4096), 0o600)); err != nil {
			t.Fatal(err)
		}
		tables, err := tablesIn(filepath.Dir(path))
		if err != nil || len(tables) != 1 {
			t.Fatalf("%v, %v", tables, err)
		}
		return tables[0]
	}
	first := listed(1)
	if err := first.verify(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a table of rubbish: %v", err)
	}
	second := listed(2)
	if err := errors.Join(os.Chtimes(path, time.Time{}, first.info.ModTime().Add(time.Second)), first.verify()); err != nil {
		t.Errorf("another in its place: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := second.verify(); err != nil {
		t.Errorf("removed: %v", err)
	}
}
