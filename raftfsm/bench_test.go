package raftfsm

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/quorate/quorate/sequencer/wire"
)

// benchAppends makes entries of n appends each, of 100-byte texts into 1,000 chats. Ids never repeat.
func benchAppends(entries, n int) []*raft.Log {
	text := strings.Repeat("x", 100)
	logs := make([]*raft.Log, entries)
	commands := make([]Command, n)
	id := 0
	for i := range logs {
		for j := range commands {
			commands[j] = say(fmt.Sprintf("chat-%d", id%1000), "alice", fmt.Sprint("m-", id), text)
			id++
		}
		logs[i] = logOf(uint64(i+2), wire.Millis(1000+i), commands...)
	}
	return logs
}

func benchMachine(b *testing.B) *machine {
	m := newMachine(b)
	var chats []Command
	for i := range 1000 {
		chats = append(chats, group(fmt.Sprintf("chat-%d", i), "alice", "bob"))
	}
	m.do(1, chats...)
	return m
}

func BenchmarkApply(b *testing.B) {
	for _, n := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("commands=%d", n), func(b *testing.B) {
			m := benchMachine(b)
			logs := benchAppends((b.N+n-1)/n, n)
			b.ReportAllocs()
			b.ResetTimer()
			before := processTime(b)
			for _, l := range logs {
				m.fsm.Apply(l)
			}
			b.ReportMetric(float64((processTime(b)-before).Nanoseconds())/float64(len(logs)*n), "cpu-ns/command")
		})
	}
}

func BenchmarkEntryCodec(b *testing.B) {
	entry := benchAppends(1, 1024)[0].Data
	decoded, err := DecodeEntry(entry)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		var buf []byte
		for i := 0; i < b.N; i++ {
			if i%1024 == 0 {
				buf = buf[:0]
			}
			buf = AppendCommand(buf, decoded.Commands[i%1024])
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; i < b.N; i += 1024 {
			if _, err := DecodeEntry(entry); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkFeedRead(b *testing.B) {
	m := benchMachine(b)
	for _, l := range benchAppends(20, 1024) {
		m.fsm.Apply(l)
	}
	next, _ := m.store.FeedHead()
	for name, from := range map[string]wire.Offset{"memory": next - 1000, "disk": 1001} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; i < b.N; i += 1000 {
				events, _, err := m.store.Feed(from, 1000, 1<<20)
				if err != nil || len(events) != 1000 {
					b.Fatal(len(events), err)
				}
			}
		})
	}
}

// BenchmarkTimes fills the times of one page of 500 messages that every member has read, in steps of ten.
func BenchmarkTimes(b *testing.B) {
	for _, members := range []int{2, 256} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			m := newMachine(b)
			var all []string
			for i := range members {
				all = append(all, fmt.Sprintf("u%03d", i))
			}
			m.one(1, group("c", all...))
			for i := range 50 {
				var commands []Command
				for j := range 10 {
					commands = append(commands, say("c", all[0], fmt.Sprint(i*10+j), "x"))
				}
				for _, user := range all {
					commands = append(commands, Receipt{ChatID: "c", UserID: user, Read: wire.Seq(i*10 + 10)})
				}
				m.do(wire.Millis(i+2), commands...)
			}
			chat, err := m.store.Chat("c")
			if err != nil {
				b.Fatal(err)
			}
			page, err := m.store.Range("c", 1, wire.MaxPage)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := m.store.Times(chat, page); err != nil || page[499].ReadAt != 51 {
					b.Fatal(page[499], err)
				}
			}
		})
	}
}

// BenchmarkHeadFor reads where a chat of 256 members stands for one of them.
func BenchmarkHeadFor(b *testing.B) {
	m := newMachine(b)
	members := make([]string, wire.MaxMembers)
	for i := range members {
		members[i] = fmt.Sprintf("user-%03d", i)
	}
	for i := range 20 {
		m.one(1, group(fmt.Sprint("chat-", i), members...))
		m.one(2, say(fmt.Sprint("chat-", i), members[0], "m", "text"))
	}
	b.ReportAllocs()
	b.ResetTimer()
	before := processTime(b)
	for i := range b.N {
		if _, err := m.store.HeadFor(fmt.Sprint("chat-", i%20), members[i%len(members)]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((processTime(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
}
