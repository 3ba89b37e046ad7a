package sequencertest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// Load is a number of senders that each offer one message after the other to the cluster, until Stop. Every message is
// offered until it is acknowledged, and some once more after that. A reader reads what comes.
type Load struct {
	t      testing.TB
	client *wire.Client
	record *Record
	chats  []string

	stop chan struct{}
	once sync.Once
	done sync.WaitGroup
}

// MakeChats makes group chats with these members; the first is the creator.
func MakeChats(t testing.TB, client *wire.Client, members []string, chats ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), settle)
	defer cancel()
	for _, chat := range chats {
		_, _, err := client.CreateChat(ctx, wire.CreateChatRequest{
			ChatID: chat, Type: wire.GroupChat, CreatorID: members[0], Members: members,
		})
		if err != nil {
			t.Fatalf("make chat %s: %v", chat, err)
		}
	}
}

// Names gives n names: prefix-1, prefix-2 …
func Names(prefix string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%d", prefix, i+1)
	}
	return names
}

// StartLoad sends to chats as senders, who must be members of all of them, and notes all in record. It ends with the
// test at the latest.
func StartLoad(t testing.TB, client *wire.Client, record *Record, chats, senders []string) *Load {
	l := &Load{t: t, client: client, record: record, chats: chats, stop: make(chan struct{})}
	for _, sender := range senders {
		l.done.Add(1)
		go l.send(sender)
	}
	l.done.Add(1)
	go l.read()
	t.Cleanup(l.Stop)
	return l
}

// Stop ends the load, after every message that was begun has been acknowledged.
func (l *Load) Stop() {
	l.once.Do(func() { close(l.stop) })
	l.done.Wait()
}

// Await waits until n more messages have been acknowledged.
func (l *Load) Await(n int) {
	l.t.Helper()
	first, _ := l.record.Acks()
	timeout := time.After(settle)
	for {
		acks, more := l.record.Acks()
		if acks >= first+n {
			return
		}
		select {
		case <-more:
		case <-timeout:
			l.t.Fatalf("%d of %d messages were acknowledged within %v", acks-first, n, settle)
		}
	}
}

func (l *Load) send(sender string) {
	defer l.done.Done()
	for n := 1; ; n++ {
		select {
		case <-l.stop:
			return
		default:
		}
		chat := l.chats[rand.IntN(len(l.chats))]
		id := fmt.Sprintf("%s-%d", sender, n)
		text := fmt.Sprintf("%s to %s: %d", id, chat, rand.Uint64())
		l.record.Begin(chat, sender, id, text)
		if !l.offer(chat, sender, id, text) {
			return
		}
		if n%8 == 0 && !l.offer(chat, sender, id, text) { // the answer must be the same
			return
		}
	}
}

// read reads the ends of chats, one after the other.
func (l *Load) read() {
	defer l.done.Done()
	tick := time.NewTicker(readPause)
	defer tick.Stop()
	next := map[string]wire.Seq{}
	for n := 0; ; n++ {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		chat := l.chats[n%len(l.chats)]
		next[chat] = ReadOnce(l.client, l.record, chat, max(next[chat], 1))
	}
}

// ReadOnce reads a page of a chat, notes it in record, and gives the seq behind it. A read that fails says nothing.
func ReadOnce(client *wire.Client, record *Record, chat string, from wire.Seq) wire.Seq {
	ctx, cancel := context.WithTimeout(context.Background(), readTime)
	defer cancel()
	op := record.Read(chat, from, wire.MaxPage)
	page, err := client.Range(ctx, wire.RangeRequest{ChatID: chat, From: from, Count: wire.MaxPage})
	if err != nil {
		op.Refused()
		return from
	}
	op.Saw(page.Messages)
	return from + wire.Seq(len(page.Messages))
}

const (
	readPause = 20 * time.Millisecond // between two reads of a load
	readTime  = 5 * time.Second       // for one
)

// retryPause is how long a sender waits after a refusal that may pass.
const retryPause = 10 * time.Millisecond

// offer sends one message until it is acknowledged; it is false where that took too long, which fails the test.
func (l *Load) offer(chat, sender, id, text string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), settle)
	defer cancel()
	for {
		ack, err := l.client.Append(ctx, wire.AppendRequest{ChatID: chat, SenderID: sender, ClientMessageID: id, Text: text})
		if err == nil {
			l.record.Acked(chat, sender, id, ack.Seq, ack.Lamport)
			return true
		}
		if !wire.Temporary(err) || ctx.Err() != nil {
			l.t.Errorf("%s: append %s: %v", chat, id, err)
			return false
		}
		select { // a breaker that is open answers at once
		case <-time.After(retryPause):
		case <-ctx.Done():
		}
	}
}

// ReadLog reads a whole chat at its leader, page by page.
func ReadLog(ctx context.Context, client *wire.Client, chat string) ([]wire.Message, error) {
	var log []wire.Message
	for from := wire.Seq(1); from != 0; {
		page, err := client.Range(ctx, wire.RangeRequest{ChatID: chat, From: from, Count: wire.MaxPage})
		if err != nil {
			return nil, fmt.Errorf("read %s from %d: %w", chat, from, err)
		}
		log = append(log, page.Messages...)
		from = page.Next
	}
	return log, nil
}

// Verify reads every chat of the record through the client and checks it. No load may run. It gives the logs.
func Verify(t testing.TB, client *wire.Client, record *Record) map[string][]wire.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), settle)
	defer cancel()
	logs := map[string][]wire.Message{}
	for _, chat := range record.Chats() {
		log, err := ReadLog(ctx, client, chat)
		if err != nil {
			t.Error(err)
			continue
		}
		if err := record.Check(chat, log); err != nil {
			t.Error(err)
		}
		logs[chat] = log
	}
	return logs
}
