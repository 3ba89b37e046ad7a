package raftfsm

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/sequencer/wire"
)

var update = flag.Bool("update", false, "write the golden files anew")

// everyCommand has one command of each kind, with every field set.
var everyCommand = []Command{
	CreateChat{
		ChatID: "c.1", Type: wire.GroupChat, Name: "Wörter", CreatorID: "ann", Members: []string{"ann", "bob"},
		HistoryFromStart: true,
	},
	ChangeMembers{ChatID: "c.1", By: "ann", Add: []string{"cid", "dan"}, Remove: []string{"bob"}},
	Append{
		ChatID: "c.1", SenderID: "ann", ClientMessageID: "id-1", Text: "hello, wörld", Seen: 1 << 40,
		Trace: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	},
	Receipt{ChatID: "c.1", UserID: "bob", Delivered: 300, Read: 299},
	ClaimPair{UserID: "ann", OtherID: "bob", ChatID: "c.2", Replaces: "c.3"},
	PutUserChat{UserID: "bob", Present: true, Chat: wire.UserChat{ChatID: "c.1", Type: wire.Direct, Name: "n", Version: 7}},
	AckOutbox{Through: 1 << 33},
	Expire{FeedBefore: 1700000000000, DedupBefore: 1690000000000, Max: 4096},
	PutMap{Base: 300, Map: `{"format":1}`},
	TakeLease{Name: "feed/3", Holder: "edge-1", For: 2000},
	DropLease{Name: "feed/3", Holder: "edge-1", Epoch: 129},
	Seen{UserID: "ann", At: 1700000000000},
	CommitFeed{Consumer: "hub/eu-1", Offset: 1 << 35},
	Archived{
		Term: 7, Segment: wire.Segment{
			Key: "segments/00003/0000000000000007-00ff.parquet", Size: 64 << 20, FooterSize: 80_000, FooterCRC: 1 << 31,
			SHA256: [32]byte{0: 0xff, 31: 1}, Rows: 1 << 20, NewestAt: 1600000000000,
		},
		Runs: []ArchivedRun{{ChatID: "c.1", From: 1, To: 300, Row: 5, Reached: 1200}, {ChatID: "c.2", From: 9, To: 9, Row: 305}},
	},
	Retain{ChatID: "c.1", Own: true, For: 86400000},
	Forget{ChatID: "c.1", Through: 300},
	PutDevice{UserID: "ann", Device: wire.Device{
		DeviceID: "phone", Platform: wire.WebPush, Endpoint: "https://push.example/1", P256DH: "BKey", Auth: "auth", Token: "token",
		Topic: "com.example", Secret: "secret", MutedUntil: 1700000000000,
	}},
	RemoveDevice{UserID: "ann", DeviceID: "phone", Version: 1 << 50},
	MuteChat{UserID: "ann", ChatID: "c.1", Until: 1700000000000},
}

// commandsOf gives those of everyCommand that entries of a format may have.
func commandsOf(format wire.Format) []Command {
	return slices.DeleteFunc(slices.Clone(everyCommand), func(c Command) bool { return FormatOf(c) > format })
}

func entryOf(now wire.Millis, commands ...Command) []byte {
	return entryIn(wire.NewestFormat, now, commands...)
}

func entryIn(format wire.Format, now wire.Millis, commands ...Command) []byte {
	var body []byte
	for _, c := range commands {
		body = AppendCommand(body, c)
	}
	return AppendEntry(nil, format, now, len(commands), body)
}

// golden compares bytes with those of a file in testdata, which is hex with lines of 32 bytes.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		var lines strings.Builder
		for rest := got; len(rest) > 0; rest = rest[min(32, len(rest)):] {
			lines.WriteString(hex.EncodeToString(rest[:min(32, len(rest))]) + "\n")
		}
		if err := os.WriteFile(path, []byte(lines.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: a format changed without a new version\ngot  %x\nwant %x", name, got, want)
	}
}

func TestEntry_GoldenAndBack(t *testing.T) {
	for format := wire.OldestFormat; format <= lastGolden; format++ {
		commands := commandsOf(format)
		entry := entryIn(format, 1700000000123, commands...)
		golden(t, fmt.Sprintf("entry.v%d.hex", format), entry)
		decoded, err := DecodeEntry(entry)
		if err != nil {
			t.Fatal(err)
		}
		if decoded.Time != 1700000000123 || !reflect.DeepEqual(decoded.Commands, commands) {
			t.Fatalf("got %+v", decoded)
		}
	}
}

// lastGolden is the newest format that has a golden file. One that is built with the tag quorate_next has none.
const lastGolden wire.Format = 4

// TestEntry_CommandOfALaterFormat: an entry of a format holds what nodes of that format can read.
func TestEntry_CommandOfALaterFormat(t *testing.T) {
	for _, c := range everyCommand {
		for format := wire.OldestFormat; format <= wire.NewestFormat; format++ {
			_, err := DecodeEntry(entryIn(format, 1, c))
			if early := FormatOf(c) > format; early != errors.Is(err, errEarly) || !early && err != nil {
				t.Errorf("%T in format %d: %v", c, format, err)
			}
		}
	}
}

func TestEntry_LengthsOfEverySize(t *testing.T) {
	for _, size := range []int{0, 1, 100, 127, 128, 16_000, 16_384, 70_000} {
		want := Append{ChatID: "c", Text: strings.Repeat("x", size)}
		got, err := DecodeEntry(entryOf(1, want, AckOutbox{Through: 1}))
		if err != nil || !reflect.DeepEqual(got.Commands[0], want) {
			t.Fatalf("%d bytes: %v", size, err)
		}
	}
}

func TestEntry_EveryCutIsRefused(t *testing.T) {
	entry := entryOf(1, everyCommand...)
	for n := range entry {
		if _, err := DecodeEntry(entry[:n]); err == nil {
			t.Fatalf("%d of %d bytes were taken for a whole entry", n, len(entry))
		}
	}
	if _, err := DecodeEntry(append(bytes.Clone(entry), 0)); err == nil {
		t.Fatal("a byte too many was taken")
	}
	entry[0] = byte(wire.NewestFormat) + 1
	if _, err := DecodeEntry(entry); err == nil {
		t.Fatal("another version was taken")
	}
}

func TestEntry_NumbersThatNoWriterGives(t *testing.T) {
	for what, b := range map[string][]byte{
		"a padded time":      {1, 0x80, 0x00, 0},
		"a time beyond 2^63": {1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 0},
		"a number of 2^64":   {1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2, 0},
		"a count of 2^33":    {1, 0, 1, byte(kindExpire), 7, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x20},
		"a flag of 2":        {1, 0, 1, byte(kindCreateChat), 6, 0, 0, 0, 0, 0, 2},
	} {
		if e, err := DecodeEntry(b); !errors.Is(err, errNumber) && !errors.Is(err, errFlag) {
			t.Errorf("%s: %+v, %v", what, e, err)
		}
	}
	if e, err := DecodeEntry(AppendEntry(nil, wire.OldestFormat, -1, 0, nil)); err != nil || e.Time != 0 {
		t.Errorf("a leader before 1970: %+v, %v", e, err)
	}
}

func FuzzDecodeEntry(f *testing.F) {
	f.Add(entryOf(1700000000123, everyCommand...))
	f.Add(entryIn(wire.OldestFormat, 1700000000123, commandsOf(wire.OldestFormat)...))
	f.Add(entryOf(0))
	f.Add([]byte{1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeEntry(b)
		if err != nil {
			return
		}
		if again := entryIn(wire.Format(b[0]), e.Time, e.Commands...); !bytes.Equal(again, b) {
			t.Fatalf("%x was read as %+v, which is written %x", b, e, again)
		}
	})
}

// record is one kind of stored record: what a decoder makes of bytes, and the bytes of that.
type record struct {
	name  string
	bytes []byte
	again func([]byte) ([]byte, error)
}

var everyRecord = []record{
	{"meta", meta{1, 2, 3, 4, 5, 6, 7}.append(nil), func(b []byte) ([]byte, error) {
		m, err := decodeMeta(b)
		return m.append(nil), err
	}},
	{"chat", (&chatRecord{
		typ: wire.GroupChat, name: "n", creator: "a", createdAt: 9, historyFromStart: true, creation: []byte("0123456789abcdef"),
		version: 3, members: []wire.Member{{UserID: "a", Intervals: []wire.Interval{{From: 1, To: 5}, {From: 300}}}},
	}).append(nil), func(b []byte) ([]byte, error) {
		c, err := decodeChat(b)
		return c.append(nil), err
	}},
	{"counters", counters{300, 1, 301, 1700000000000}.append(nil), func(b []byte) ([]byte, error) {
		c, err := decodeCounters(b)
		return c.append(nil), err
	}},
	{"message", appendMessage(nil, &wire.Message{
		SenderID: "a", ClientMessageID: "m", Text: "text", SentAt: 1700000000000, Lamport: 301, Trace: "00-t",
	}), func(b []byte) ([]byte, error) {
		m, err := decodeMessage(b, "c", 1)
		return appendMessage(nil, &m), err
	}},
	{"dedup", (&dedup{[16]byte{1, 2, 3}, 300, 1700000000000, 301}).append(nil), func(b []byte) ([]byte, error) {
		r, err := decodeDedup(b)
		return r.append(nil), err
	}},
	{"marks", appendMarks(nil, wire.Watermarks{Delivered: 300, Read: 2, DeliveredAt: 5, ReadAt: 6}), func(b []byte) ([]byte, error) {
		m, err := decodeMarks(b, "u")
		return appendMarks(nil, m), err
	}},
	{"userchat", userChat{true, wire.UserChat{Type: wire.Direct, Name: "n", Version: 300}}.append(nil), func(b []byte) ([]byte, error) {
		u, err := decodeUserChat(b, "c")
		return u.append(nil), err
	}},
	{"number", appendNumber(nil, 1700000000000), func(b []byte) ([]byte, error) {
		n, err := decodeNumber(b)
		return appendNumber(nil, n), err
	}},
	{"archived-run", archivedRun{to: 300, row: 1 << 20, segment: 9, reached: 1201}.append(nil), func(b []byte) ([]byte, error) {
		r, err := decodeArchivedRun(b)
		return r.append(nil), err
	}},
	{"segment", (&segment{ref: object("segments/00003/7-00ff.parquet", 300), at: 1700000000000, live: 299}).append(nil), func(b []byte) ([]byte, error) {
		s, err := decodeSegment(b, 1)
		return s.append(nil), err
	}},
	{"keeping", keeping{first: 300, own: true, millis: 86400000}.append(nil), func(b []byte) ([]byte, error) {
		k, err := decodeKeeping(b)
		return k.append(nil), err
	}},
	{"push", (&pushRecord{
		devices: []wire.Device{
			{DeviceID: "phone", Platform: wire.APNs, Token: "t", Topic: "com.example", MutedUntil: 1700000000000},
			{DeviceID: "web", Platform: wire.WebPush, Endpoint: "https://push.example/1", P256DH: "BKey", Auth: "auth", Secret: "s"},
		},
		mutes: []wire.ChatMute{{ChatID: "c.1", Until: 1700000000000}, {ChatID: "c.2", Until: 300}},
	}).append(nil), func(b []byte) ([]byte, error) {
		p, err := decodePush(b)
		return p.append(nil), err
	}},
	{"event-message", appendEvent(nil, &wire.Event{
		Kind: wire.EventMessage, ChatID: "c", At: 5, Message: &wire.Message{Seq: 300, SenderID: "a", ClientMessageID: "m"},
	}), eventAgain},
	{"event-receipt", appendEvent(nil, &wire.Event{
		Kind: wire.EventReceipt, ChatID: "c", At: 5, Marks: &wire.Watermarks{UserID: "u", Delivered: 300, Read: 2, DeliveredAt: 5},
	}), eventAgain},
	{"event-members", appendEvent(nil, &wire.Event{
		Kind: wire.EventMembers, ChatID: "c", At: 5, Version: 2, Seq: 300, Added: []string{"x", "y"}, Removed: []string{"z"},
	}), eventAgain},
	{"event-chat", appendEvent(nil, &wire.Event{
		Kind: wire.EventChat, ChatID: "c", At: 5, Version: 1, Added: []string{"x", "y"},
	}), eventAgain},
}

func eventAgain(b []byte) ([]byte, error) {
	e, err := decodeEvent(b, 1)
	if err != nil {
		return nil, err
	}
	return appendEvent(nil, &e), nil
}

func TestRecords_GoldenAndBack(t *testing.T) {
	for _, r := range everyRecord {
		golden(t, "record-"+r.name+".v1.hex", r.bytes)
		got, err := r.again(r.bytes)
		if err != nil || !bytes.Equal(got, r.bytes) {
			t.Errorf("%s: %x became %x: %v", r.name, r.bytes, got, err)
		}
		for n := range r.bytes {
			if _, err := r.again(r.bytes[:n]); err == nil {
				t.Errorf("%s: %d of %d bytes were taken for a whole record", r.name, n, len(r.bytes))
			}
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	for i, r := range everyRecord {
		f.Add(byte(i), r.bytes)
	}
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		r := everyRecord[int(kind)%len(everyRecord)]
		if again, err := r.again(b); err == nil && !bytes.Equal(again, b) {
			t.Fatalf("%s: %x was written again as %x", r.name, b, again)
		}
	})
}

// FuzzFindMember holds the search for one member against the decoder of the whole chat: on any bytes both say the same.
func FuzzFindMember(f *testing.F) {
	f.Add(everyRecord[1].bytes, "a")
	f.Add((&chatRecord{members: []wire.Member{
		{UserID: "ann", Intervals: []wire.Interval{{From: 1, To: 2}, {From: 9}}}, {UserID: "bob"}, {UserID: "cid", Intervals: []wire.Interval{{From: 3}}},
	}}).append(nil), "cid")
	f.Fuzz(func(t *testing.T, b []byte, userID string) {
		c, err := decodeChat(b)
		m, there, errOne := findMember(b, userID)
		if (err == nil) != (errOne == nil) {
			t.Fatalf("%x: %v, looking for one member %v", b, err, errOne)
		}
		if err != nil {
			return
		}
		want, ok := lastNamed(c.members, userID)
		if ok != there || ok && !reflect.DeepEqual(m, want) {
			t.Fatalf("%q in %+v: %+v, %v", userID, c.members, m, there)
		}
	})
}

// lastNamed looks without relying on the order, which only a writer keeps.
func lastNamed(members []wire.Member, userID string) (wire.Member, bool) {
	for i := len(members) - 1; i >= 0; i-- {
		if members[i].UserID == userID {
			return members[i], true
		}
	}
	return wire.Member{}, false
}
