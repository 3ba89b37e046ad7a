package delivery

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

const (
	fillInFlight = 2048
	makeInFlight = 128
	appendRate   = 200 // a second, timed
)

// sentMessages is all that was sent: message i went to one chat, and its number says the rest.
type sentMessages struct {
	client *wire.Client
	chats  []string
	chatOf []uint32  // of message i
	filled time.Time // when filling began
	full   time.Time // when it ended
	raw    atomic.Int64

	again, failed atomic.Int64 // answers
	failure       atomic.Pointer[error]
}

func newSent(client *wire.Client, chats int) *sentMessages {
	return &sentMessages{client: client, chats: sequencertest.Names("chat", chats)}
}

func (s *sentMessages) count() int { return len(s.chatOf) }

// vocabulary is some thousand words of two to four syllables.
var vocabulary = sync.OnceValue(func() (words []string) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 4096 {
		var word strings.Builder
		for range 1 + r.IntN(4) {
			word.WriteByte("bdfghklmnprstvz"[r.IntN(15)])
			word.WriteString([]string{"a", "e", "i", "o", "u", "ei", "an", "er"}[r.IntN(8)])
		}
		words = append(words, word.String())
	}
	return words
})

// request is message i.
func (s *sentMessages) request(i int) wire.AppendRequest {
	r := rand.New(rand.NewPCG(uint64(i), 7))
	words := vocabulary()
	var text strings.Builder
	for range 2 + r.IntN(24) {
		text.WriteString(words[r.IntN(r.IntN(len(words))+1)]) // some are common
		text.WriteByte(' ')
	}
	return wire.AppendRequest{
		ChatID: s.chats[s.chatOf[i]], SenderID: []string{"ann", "bob"}[i%2], ClientMessageID: fmt.Sprintf("%016x", i), Text: text.String(),
	}
}

// resendAfter is how long a client waits whose message was refused for now, as happens where it offers more than the machine can do.
const resendAfter = 100 * time.Millisecond

// send offers a message to a chat until it is acknowledged or refused for good, and calls done.
func (s *sentMessages) send(chat uint32, done func(error)) {
	s.chatOf = append(s.chatOf, chat)
	q := s.request(len(s.chatOf) - 1)
	s.raw.Add(int64(len(q.ChatID) + len(q.SenderID) + len(q.ClientMessageID) + len(q.Text) + 24))
	s.offer(q, done)
}

func (s *sentMessages) offer(q wire.AppendRequest, done func(error)) {
	s.client.AppendAsync(time.Minute, q, func(_ wire.AppendAck, err error) {
		switch {
		case err != nil && wire.Temporary(err):
			s.again.Add(1)
			time.AfterFunc(resendAfter, func() { s.offer(q, done) })
			return
		case err != nil:
			s.failed.Add(1)
			s.failure.Store(&err)
		}
		done(err)
	})
}

// fill makes the chats and sends messages to them, to the first ones most.
func (s *sentMessages) fill(t *testing.T, total int) {
	t.Helper()
	var under sync.WaitGroup
	slots := make(chan struct{}, makeInFlight)
	for _, chat := range s.chats {
		slots <- struct{}{}
		under.Go(func() {
			defer func() { <-slots }()
			q := wire.CreateChatRequest{ChatID: chat, Type: wire.GroupChat, CreatorID: "ann", Members: []string{"ann", "bob"}}
			if _, _, err := s.client.CreateChat(t.Context(), q); err != nil {
				s.failed.Add(1)
				s.failure.Store(&err)
			}
		})
	}
	under.Wait()
	slots, s.filled = make(chan struct{}, fillInFlight), time.Now()
	zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.1, 50, uint64(len(s.chats)-1))
	for range total {
		slots <- struct{}{}
		under.Add(1)
		s.send(uint32(zipf.Uint64()), func(error) { <-slots; under.Done() })
	}
	under.Wait()
	s.full = time.Now()
	if n := s.failed.Load(); n > 0 {
		t.Fatalf("%d messages failed, the last with %v", n, *s.failure.Load())
	}
}

// sentAt is when a part of so many was filled, in Unix milliseconds.
func (s *sentMessages) sentAt(part, parts int) int64 {
	return s.filled.Add(s.full.Sub(s.filled) * time.Duration(part) / time.Duration(parts)).UnixMilli()
}

// timeAppends sends messages to any chats at a steady rate for a time, or until stop, and tells how long each took from when it was due.
func (s *sentMessages) timeAppends(t *testing.T, d time.Duration, stop <-chan struct{}) (all []time.Duration) {
	t.Helper()
	var mu sync.Mutex
	var under sync.WaitGroup
	r := rand.New(rand.NewPCG(5, uint64(s.count())))
	tick := time.NewTicker(time.Second / appendRate)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); {
		select {
		case <-stop:
			end = time.Now()
			continue
		case due := <-tick.C:
			under.Add(1)
			s.send(uint32(r.IntN(len(s.chats))), func(err error) {
				defer under.Done()
				mu.Lock()
				defer mu.Unlock()
				if all = append(all, time.Since(due)); err != nil {
					t.Error(err)
				}
			})
		}
	}
	under.Wait()
	return all
}

// timePages reads the first page of chats from all over the archive, one after the other.
func (e *edge) timePages(s *sentMessages, count int) (took []time.Duration) {
	e.t.Helper()
	inOrder := slices.Sorted(slices.Values(s.chats)) // as they lie in objects
	for i := range count {
		chat := inOrder[(i*len(inOrder)/count+rand.IntN(max(len(inOrder)/count, 1)))%len(inOrder)]
		began := time.Now()
		e.must("ann", "GET", "/chats/"+chat+"/messages?cursor=1&limit=100", "", http.StatusOK)
		took = append(took, time.Since(began))
	}
	return took
}

// readAll reads every chat from its first message on, in pages of 100, and makes sure that all that was sent is there, once, with the seqs
// 1, 2, 3 …
func (s *sentMessages) readAll(t *testing.T, e *edge) (took []time.Duration) {
	t.Helper()
	seen := make([]atomic.Bool, s.count())
	var next atomic.Int64
	var mu sync.Mutex
	var under sync.WaitGroup
	for range readers {
		under.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(s.chats) && !t.Failed(); i = int(next.Add(1)) - 1 {
				all, err := s.readChat(e, uint32(i), seen)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				took = append(took, all...)
				mu.Unlock()
			}
		})
	}
	under.Wait()
	for i := range seen {
		if !seen[i].Load() {
			t.Fatalf("message %d of %s is nowhere", i, s.chats[s.chatOf[i]])
		}
	}
	return took
}

func (s *sentMessages) readChat(e *edge, index uint32, seen []atomic.Bool) (took []time.Duration, err error) {
	chat := s.chats[index]
	for n, cursor := 0, 1; cursor != 0; {
		began := time.Now()
		a := e.call("ann", "GET", fmt.Sprintf("/chats/%s/messages?cursor=%d&limit=100", chat, cursor), "")
		took = append(took, time.Since(began))
		var page struct {
			Messages []struct {
				SequenceNumber                  int
				SenderID, ClientMessageID, Text string
			}
			NextCursor int
		}
		if err := json.Unmarshal([]byte(a.body), &page); err != nil || a.status != http.StatusOK {
			return nil, fmt.Errorf("%s from %d: %d, %w", chat, cursor, a.status, err)
		}
		for _, m := range page.Messages {
			i, err := strconv.ParseUint(m.ClientMessageID, 16, 63)
			if err != nil || int(i) >= len(seen) || s.chatOf[i] != index || seen[i].Swap(true) {
				return nil, fmt.Errorf("%s has %+v, which was not sent there, or is there twice", chat, m)
			}
			q := s.request(int(i))
			if n++; m.SequenceNumber != n || m.Text != q.Text || m.SenderID != q.SenderID {
				return nil, fmt.Errorf("%s: %+v where %d should be, which was sent as %+v", chat, m, n, q)
			}
		}
		cursor = page.NextCursor
	}
	return took, nil
}
