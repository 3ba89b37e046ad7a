package delivery

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// storm sends to chats from several users over several edges, until it is stopped. Every send is repeated until it is
// acknowledged.
type storm struct {
	t     *testing.T
	stop  chan struct{}
	wg    sync.WaitGroup
	acked sync.Map // messageId -> clientMessageId
	count atomic.Int64
}

func startStorm(t *testing.T, edges []*edge, user string, chats []string, senders int) *storm {
	s := &storm{t: t, stop: make(chan struct{})}
	for i := range senders {
		s.wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-s.stop:
					return
				default:
				}
				if !s.offer(edges, user, chats[n%len(chats)], fmt.Sprintf("s%d-%d", i, n)) {
					return
				}
			}
		})
	}
	return s
}

// offer sends one message, at one edge after the other, until it is acknowledged.
func (s *storm) offer(edges []*edge, user, chat, id string) bool {
	for deadline := time.Now().Add(patience); ; {
		e := edges[int(s.count.Load())%len(edges)]
		a := e.call(user, "POST", "/chats/"+chat+"/messages", `{"text":"`+id+`","clientMessageId":"`+id+`"}`)
		if a.status == 201 || a.status == 200 {
			if old, twice := s.acked.LoadOrStore(a.json()["messageId"], id); twice {
				s.t.Errorf("%v and %s have the same place", old, id)
			}
			s.count.Add(1)
			return true
		}
		if temporary, _ := a.json()["temporary"].(bool); !temporary || time.Now().After(deadline) {
			s.t.Errorf("send: %d %s", a.status, a.body)
			return false
		}
	}
}

// end stops the storm and returns how many messages each chat has, by a look at its log, which has to hold every
// acknowledged message at its place.
func (s *storm) end(e *edge, user string, chats []string) map[string]int64 {
	s.t.Helper()
	close(s.stop)
	s.wg.Wait()
	last := map[string]int64{}
	logs := map[any]any{}
	for _, chat := range chats {
		for cursor := int64(1); cursor > 0; {
			page := e.must(user, "GET", fmt.Sprintf("/chats/%s/messages?limit=500&cursor=%d", chat, cursor), "", 200).json()
			for _, v := range page["messages"].([]any) {
				m := v.(map[string]any)
				last[chat]++
				if number(m["sequenceNumber"]) != last[chat] {
					s.t.Fatalf("%s: %v follows %d", chat, m, last[chat]-1)
				}
				logs[m["messageId"]] = m["clientMessageId"]
			}
			cursor = number(page["nextCursor"])
		}
	}
	s.acked.Range(func(place, id any) bool {
		if logs[place] != id {
			s.t.Errorf("%v was acknowledged for %v and holds %v", place, id, logs[place])
		}
		return true
	})
	return last
}

// follower is a client that keeps a cursor per chat over all its connections. It fails the test on a gap or a repeat.
type follower struct {
	t     *testing.T
	user  string
	chats []string
	mu    sync.Mutex
	next  map[string]int64
	texts map[string]string // messageId -> text
}

func newFollower(t *testing.T, user string, chats []string) *follower {
	f := &follower{t: t, user: user, chats: chats, next: map[string]int64{}, texts: map[string]string{}}
	for _, chat := range chats {
		f.next[chat] = 1
	}
	return f
}

func (f *follower) cursors() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	text := "{"
	for i, chat := range f.chats {
		if i > 0 {
			text += ","
		}
		text += fmt.Sprintf("%q:%d", chat, f.next[chat])
	}
	return text + "}"
}

// follow connects, takes at least one message more and what comes until stop is closed. It is false when the edge refused.
func (f *follower) follow(e *edge, stop <-chan struct{}) bool {
	d := e.dialPath(f.user, "/stream")
	defer d.ws.CloseNow()
	d.send(`{"type":"hello","deviceId":"follower","cursors":` + f.cursors() + `}`)
	for {
		select {
		case m := <-d.frames:
			f.take(m)
		case <-d.closed:
			for len(d.frames) > 0 {
				f.take(<-d.frames)
			}
			return false
		case <-stop:
			// The frames that have been read are part of the cursor; the rest comes again.
			_ = d.ws.CloseNow()
			<-d.closed
			for len(d.frames) > 0 {
				f.take(<-d.frames)
			}
			return true
		}
	}
}

func (f *follower) take(m map[string]any) {
	if m["type"] != "message" {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	chat, seq := m["chatId"].(string), number(m["sequenceNumber"])
	if seq != f.next[chat] {
		f.t.Errorf("%s got %d of %s, want %d", f.user, seq, chat, f.next[chat])
	}
	f.next[chat] = seq + 1
	f.texts[m["messageId"].(string)] = m["text"].(string)
}

// has tells whether everything has come.
func (f *follower) has(last map[string]int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for chat, n := range last {
		if f.next[chat] <= n {
			return false
		}
	}
	return true
}

// run follows on one edge after the other until all of a storm has come; it reconnects after every pause.
func (f *follower) run(edges []*edge, pause time.Duration, finished <-chan struct{}) {
	for i := 0; ; i++ {
		stop := make(chan struct{})
		over := make(chan struct{})
		go func() {
			defer close(over)
			select {
			case <-time.After(pause):
			case <-finished:
			}
			close(stop)
		}()
		f.follow(edges[i%len(edges)], stop)
		select {
		case <-finished:
			<-over
			return
		default:
		}
	}
}

// TestResume_StormOfSends reconnects with cursors, at another edge each time, while messages rain in.
func TestResume_StormOfSends(t *testing.T) {
	addrs := startCluster(t, 1)
	edges := []*edge{openEdge(t, addrs, smallPages), openEdge(t, addrs, smallPages)}
	alice, bob := fresh("alice"), fresh("bob")
	var chats []string
	for range 5 {
		chats = append(chats, edges[0].group(alice, bob))
	}
	s := startStorm(t, edges, alice, chats, 8)
	finished := make(chan struct{})
	var wg sync.WaitGroup
	followers := []*follower{newFollower(t, bob, chats), newFollower(t, alice, chats)}
	for i, f := range followers {
		wg.Go(func() { f.run(edges, time.Duration(i+1)*30*time.Millisecond, finished) })
	}
	eventually(t, "enough messages", func() bool { return s.count.Load() > 2000 || t.Failed() })
	last := s.end(edges[0], alice, chats)
	for _, f := range followers {
		eventually(t, "everything at the followers", func() bool { return f.has(last) })
	}
	close(finished)
	wg.Wait()
	sameTexts(t, followers)
}

func smallPages(c *Config) { c.Limits.PageMessages = 8 }

func sameTexts(t *testing.T, followers []*follower) {
	t.Helper()
	for place, text := range followers[0].texts {
		for _, f := range followers[1:] {
			if f.texts[place] != text {
				t.Errorf("%s is %q for %s and %q for %s", place, text, followers[0].user, f.texts[place], f.user)
			}
		}
	}
}

// TestStream_HelloDuringSends makes many sessions whose hello meets messages that are just being committed.
func TestStream_HelloDuringSends(t *testing.T) {
	e := openEdge(t, startCluster(t, 1))
	alice := fresh("alice")
	chat := e.group(alice)
	s := startStorm(t, []*edge{e}, alice, []string{chat}, 2)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			path := "/chats/" + chat + "/stream?cursor=1"
			if i%2 == 0 {
				path = "/chats/" + chat + "/stream"
			}
			d := e.dialPath(alice, path)
			first := number(d.await("a message", func(map[string]any) bool { return true })["sequenceNumber"])
			d.awaitSeqs(chat, first+1, first+50)
			_ = d.ws.Close(websocket.StatusNormalClosure, "")
		})
		if i%10 == 9 {
			wg.Wait() // a user may have 16 connections
		}
	}
	s.end(e, alice, []string{chat})
}
