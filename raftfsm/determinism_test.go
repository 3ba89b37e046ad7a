package raftfsm

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/quorate/quorate/sequencer/wire"
)

// drawCommand makes any command over a few chats and users, so that they meet.
func drawCommand(t *rapid.T) Command {
	chat := rapid.SampledFrom([]string{"c1", "c2", "c3"}).Draw(t, "chat")
	users := []string{"a", "b", "d", "e"}
	user := rapid.SampledFrom(users).Draw(t, "user")
	some := rapid.SliceOfN(rapid.SampledFrom(users), 0, 3)
	small := rapid.Uint64Range(0, 12)
	switch rapid.IntRange(0, 19).Draw(t, "kind") {
	case 0:
		return CreateChat{
			ChatID: chat, Type: wire.GroupChat, CreatorID: "a", Members: []string{"a", "b"},
			HistoryFromStart: rapid.Bool().Draw(t, "from start"),
		}
	case 1:
		by := rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "by")
		return ChangeMembers{ChatID: chat, By: by, Add: some.Draw(t, "add"), Remove: some.Draw(t, "remove")}
	case 2, 3:
		return Receipt{
			ChatID: chat, UserID: user, Delivered: wire.Seq(small.Draw(t, "delivered")), Read: wire.Seq(small.Draw(t, "read")),
		}
	case 4:
		return ClaimPair{UserID: "a", OtherID: user, ChatID: chat, Replaces: rapid.SampledFrom([]string{"", "c1"}).Draw(t, "old")}
	case 5:
		return PutUserChat{UserID: user, Present: rapid.Bool().Draw(t, "present"), Chat: wire.UserChat{
			ChatID: chat, Version: small.Draw(t, "version"),
		}}
	case 6:
		return AckOutbox{Through: small.Draw(t, "through")}
	case 7:
		return Expire{
			FeedBefore: wire.Millis(rapid.Int64Range(0, 300).Draw(t, "feed")), Max: uint32(rapid.IntRange(1, 20).Draw(t, "max")),
			DedupBefore: wire.Millis(rapid.Int64Range(0, 300).Draw(t, "dedup")),
		}
	case 8:
		return Seen{UserID: user, At: wire.Millis(rapid.Int64Range(0, 300).Draw(t, "seen at"))}
	case 9:
		return CommitFeed{Consumer: user, Offset: wire.Offset(small.Draw(t, "offset"))}
	case 10, 11:
		return drawArchived(t, chat)
	case 12:
		return Forget{ChatID: chat, Through: wire.Seq(small.Draw(t, "through"))}
	case 14:
		return PutDevice{UserID: user, Device: drawDevice(t)}
	case 15:
		device := drawDevice(t)
		return RemoveDevice{UserID: user, DeviceID: device.DeviceID, Version: rapid.SampledFrom([]uint64{0, 1, deviceVersion(&device)}).Draw(t, "version")}
	case 16:
		return MuteChat{UserID: user, ChatID: chat, Until: wire.Millis(rapid.Int64Range(0, 300).Draw(t, "until"))}
	case 13:
		return Retain{ChatID: chat, Own: rapid.Bool().Draw(t, "own"), For: wire.Millis(small.Draw(t, "keep for"))}
	}
	switch rapid.IntRange(0, 12).Draw(t, "of the meta group") {
	case 0:
		return PutMap{Base: small.Draw(t, "base"), Map: "m"}
	case 1:
		return TakeLease{Name: chat, Holder: user, For: wire.Millis(small.Draw(t, "for"))}
	case 2:
		return DropLease{Name: chat, Holder: user, Epoch: small.Draw(t, "epoch")}
	}
	return Append{
		ChatID: chat, SenderID: user, ClientMessageID: fmt.Sprint(small.Draw(t, "id")),
		Text: rapid.SampledFrom([]string{"x", "y"}).Draw(t, "text"), Seen: wire.Lamport(small.Draw(t, "seen")),
	}
}

// drawDevice makes one of a few devices.
func drawDevice(t *rapid.T) wire.Device {
	return wire.Device{
		DeviceID: rapid.SampledFrom([]string{"d1", "d2", "d3"}).Draw(t, "device"), Platform: wire.FCM,
		Token: rapid.SampledFrom([]string{"x", "y"}).Draw(t, "token"), MutedUntil: wire.Millis(rapid.Int64Range(0, 300).Draw(t, "muted until")),
	}
}

// drawArchived makes runs of one or two chats; most of them fit nowhere.
func drawArchived(t *rapid.T, chat string) Command {
	small := rapid.Uint64Range(1, 6)
	c := Archived{
		Term:    rapid.Uint64Range(1, 2).Draw(t, "term"),
		Segment: wire.Segment{Key: rapid.SampledFrom([]string{"k1", "k2", "k3"}).Draw(t, "object"), Size: 100, FooterSize: 10, Rows: 20},
	}
	for _, chatID := range []string{chat, "c2"}[:rapid.IntRange(1, 2).Draw(t, "runs")] {
		from := small.Draw(t, "run from")
		c.Runs = append(c.Runs, ArchivedRun{
			ChatID: chatID, From: wire.Seq(from), To: wire.Seq(from + small.Draw(t, "longer by") - 1), Reached: small.Draw(t, "reached"),
		})
	}
	return c
}

// Replicas that apply the same log hold the same bytes, whatever batches raft hands them and wherever one of them
// crashed.
func TestFSM_EqualLogsGiveEqualBytes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var log []*raft.Log
		now := wire.Millis(100)
		for i := range rapid.IntRange(1, 40).Draw(rt, "entries") {
			now += wire.Millis(rapid.Int64Range(-5, 20).Draw(rt, "step"))
			commands := rapid.SliceOfN(rapid.Custom(drawCommand), 1, 8).Draw(rt, "commands")
			log = append(log, logOf(uint64(i+1), now, commands...))
		}
		one, other := tempMachine(t), tempMachine(t)
		defer one.discard()
		defer other.discard()
		for _, l := range log {
			one.fsm.Apply(l)
		}
		for rest := log; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(rt, "batch")
			other.fsm.ApplyBatch(rest[:n])
			rest = rest[n:]
			switch rapid.IntRange(0, 3).Draw(rt, "fate") {
			case 0:
				if err := other.store.db.Flush(); err != nil {
					rt.Fatal(err)
				}
			case 1:
				other.crash()
				rest = log // raft offers again what follows its snapshot, here everything
			}
			if len(rest) == len(log) && rapid.Bool().Draw(rt, "once") {
				other.fsm.ApplyBatch(rest)
				rest = nil
			}
		}
		if a, b := dump(t, one.store), dump(t, other.store); a != b {
			rt.Fatalf("the bytes differ:\n%s\nand\n%s", a, b)
		}
	})
}

// tempMachine is a machine whose files are in memory and that discard removes: a property is checked a hundred times.
func tempMachine(t *testing.T) *machine {
	dir, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, dir: dir, fs: vfs.NewMem()}
	m.open()
	return m
}

func (m *machine) discard() {
	if err := m.store.Close(); err != nil {
		m.t.Fatal(err)
	}
	if err := os.RemoveAll(m.dir); err != nil {
		m.t.Fatal(err)
	}
}

// applyPath are the files that decide what an entry does.
var applyPath = []string{
	"apply.go", "apply_chat.go", "apply_expire.go", "apply_marks.go", "apply_seen.go", "bytes.go", "chat_cache.go", "command_codec.go",
	"entry.go", "feed_record.go", "fsm.go", "keys.go", "records.go", "txn.go",
}

// pathMaps are the maps on the apply path. Nothing ranges over them; one that is not here is suspect.
var pathMaps = map[string]bool{"over": true, "byID": true}

// The apply path has no clock, no chance and no order of a map.
func TestFSM_ApplyPathIsDeterministic(t *testing.T) {
	for _, name := range applyPath {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range problems(file) {
			t.Errorf("%s %s", fset.Position(problem.at), problem.what)
		}
	}
}

type problem struct {
	at   token.Pos
	what string
}

// problems looks for what could make two replicas differ.
func problems(file *ast.File) (all []problem) {
	known := map[ast.Expr]bool{}
	add := func(n ast.Node, what string) { all = append(all, problem{n.Pos(), what}) }
	knownAs := func(name string, typ ast.Expr) {
		if pathMaps[name] {
			known[typ] = true
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			switch path := strings.Trim(n.Path.Value, `"`); path {
			case "time", "math/rand", "math/rand/v2", "crypto/rand", "hash/maphash", "os", "net", "maps", "sync", "unsafe", "runtime":
				add(n, "imports "+path)
			}
		case *ast.Field:
			if len(n.Names) == 1 {
				knownAs(n.Names[0].Name, n.Type)
			}
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok {
				knownAs(key.Name, mapOf(n.Value))
			}
		case *ast.AssignStmt:
			if field, ok := n.Lhs[0].(*ast.SelectorExpr); ok {
				knownAs(field.Sel.Name, mapOf(n.Rhs[0]))
			}
		case *ast.MapType:
			if !known[n] {
				add(n, "has a map that this test does not know: is it ever ranged over?")
			}
		case *ast.RangeStmt:
			if field, ok := n.X.(*ast.SelectorExpr); ok && pathMaps[field.Sel.Name] {
				add(n, "ranges over a map")
			}
		case *ast.GoStmt, *ast.SelectStmt:
			add(n, "leaves the order to chance")
		}
		return true
	})
	return all
}

// mapOf gives the type of a map's literal.
func mapOf(e ast.Expr) ast.Expr {
	if lit, ok := e.(*ast.CompositeLit); ok {
		return lit.Type
	}
	return nil
}

func TestProblems_AreFound(t *testing.T) {
	for _, body := range []string{
		`import "time"`,
		`import r "math/rand/v2"`,
		`func f() { for range (map[string]int{}) {} }`,
		`func f() { m := make(map[int]int); for range m {} }`,
		`func (t *txn) f() { for range t.over {} }`,
		`type x struct { all map[string]int }`,
		`func f() { go g() }`,
		`func f() { select {} }`,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\n"+body, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(problems(file)) == 0 {
			t.Errorf("nothing is wrong with %s", body)
		}
	}
}
