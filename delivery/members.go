package delivery

import (
	"container/list"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// memberCache knows the members of the chats that the feed tells of. A chat's members are read once, at the chat's leader,
// and kept fresh by the members events, which come in the order of the chat. What the feed tells of a chat meanwhile is
// parked in order, so a feed reader never waits. Chats are immutable once they are in the cache.
type memberCache struct {
	seq     *wire.Client
	spawn   func(func())       // runs what takes long
	parcel  func() *dispatcher // hands parked events on, in order
	after   func(time.Duration, func())
	log     *slog.Logger
	most    int // members of all chats together
	parkMax int // events of one chat
	timeout time.Duration
	groupOf func(chatID string) wire.GroupID

	mu      sync.Mutex
	chats   map[string]*cachedChat
	reading map[*cachedChat]struct{}             // those of chats whose members are being read
	large   map[string]struct{}                  // chats that are not in the cache, and were large when they were looked at
	looking map[string][]func(*wire.Chat, error) // by chat: who waits to hear whether it is small
	recent  *list.List                           // of *cachedChat, the most recently used in front; those that are being read are not in it
	members int
	trails  int // messages of all chats whose sender is remembered
}

// cachedChat is one chat's place in the cache.
type cachedChat struct {
	id      string
	first   wire.Offset // of the events that wait for the read; 0 where none does
	chat    *wire.Chat  // nil while it is being read
	elem    *list.Element
	parked  []*wire.Event
	dropped wire.Seq // the highest seq of the messages that were not parked for want of room
	waiting []func(*wire.Chat, error)
	stale   bool // members events were missed after the read began
	trail
}

func newMemberCache(srv *Server) *memberCache {
	return &memberCache{
		seq: srv.seq, after: srv.after, log: srv.log,
		groupOf: func(chatID string) wire.GroupID { return wire.GroupOf(wire.SlotOf(chatID), max(srv.hub.size(), 1)) },
		most:    srv.limits.CachedMembers, parkMax: srv.limits.ParkedEvents, timeout: srv.limits.RequestTimeout,
		chats: map[string]*cachedChat{}, reading: map[*cachedChat]struct{}{}, large: map[string]struct{}{}, looking: map[string][]func(*wire.Chat, error){}, recent: list.New(),
	}
}

// event takes the next event of a chat. It returns the chat as it is right after the event, where it is known; otherwise
// the event is parked and handed on when the chat has been read.
func (m *memberCache) event(ev *wire.Event) (*wire.Chat, bool) {
	m.mu.Lock()
	c := m.chats[ev.ChatID]
	if c != nil && c.chat != nil {
		if chat, ok := changed(c.chat, ev); ok {
			m.keep(c, chat)
			m.mu.Unlock()
			return chat, true
		}
		m.forget(c)
		c = nil
	}
	read := c == nil
	if read {
		c = &cachedChat{id: ev.ChatID}
		m.chats[ev.ChatID] = c
		m.reading[c] = struct{}{}
	}
	c.park(ev, m.parkMax)
	m.mu.Unlock()
	if read {
		m.read(c)
	}
	return nil, false
}

// quiet takes an event that nobody here waits for: it keeps a cached chat right, and reads nothing.
func (m *memberCache) quiet(ev *wire.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.chats[ev.ChatID]
	if c == nil {
		return
	}
	if c.chat == nil {
		c.park(ev, m.parkMax)
	} else if chat, ok := changed(c.chat, ev); ok {
		m.keep(c, chat)
	} else {
		m.forget(c)
	}
}

// park keeps an event in order. Receipts and messages over the bound are dropped; changes of members are kept, they are few.
func (c *cachedChat) park(ev *wire.Event, most int) {
	if c.first == 0 {
		c.first = ev.Offset
	}
	if len(c.parked) < most || len(c.parked) < 4*most && (ev.Kind == wire.EventMembers || ev.Kind == wire.EventChat) {
		c.parked = append(c.parked, ev)
	} else if ev.Kind == wire.EventMessage {
		c.dropped = max(c.dropped, ev.Message.Seq)
	}
}

// chat gives the chat to use, now or when it has been read.
func (m *memberCache) chat(chatID string, use func(*wire.Chat, error)) {
	m.mu.Lock()
	c := m.chats[chatID]
	if c != nil && c.chat != nil {
		chat := c.chat
		m.recent.MoveToFront(c.elem)
		m.mu.Unlock()
		use(chat, nil)
		return
	}
	if c != nil && len(c.waiting) >= m.parkMax {
		m.mu.Unlock()
		use(nil, wire.ErrBusy)
		return
	}
	read := c == nil
	if read {
		c = &cachedChat{id: chatID}
		m.chats[chatID] = c
		m.reading[c] = struct{}{}
	}
	c.waiting = append(c.waiting, use)
	m.mu.Unlock()
	if read {
		m.read(c)
	}
}

// maxLarge bounds the chats that are known to be large.
const maxLarge = 100_000

// errLarge is the answer for a chat with more members than were asked for.
var errLarge = errors.New("a large chat")

// small is chat for one who wants chats of at most so many members. A larger one that is not in the cache is read once, to know that it is
// large, and takes no room there.
func (m *memberCache) small(chatID string, most int, use func(*wire.Chat, error)) {
	m.mu.Lock()
	_, large := m.large[chatID]
	_, known := m.chats[chatID]
	waiting := m.looking[chatID]
	look := !large && !known && len(waiting) == 0
	if !large && !known && len(waiting) < m.parkMax {
		m.looking[chatID] = append(waiting, use)
		use = nil
	}
	m.mu.Unlock()
	switch {
	case look:
		m.look(chatID, most)
	case use == nil: // it waits
	case known:
		m.chat(chatID, use)
	case large:
		use(nil, errLarge)
	default:
		use(nil, wire.ErrBusy)
	}
}

// look reads a chat for those who wait to hear whether it is small.
func (m *memberCache) look(chatID string, most int) {
	m.seq.GetChatAsync(m.timeout, chatID, "", func(view *wire.ChatView, err error) {
		var chat *wire.Chat
		if err == nil {
			if chat = &view.Chat; len(chat.Members) > most {
				chat, err = nil, errLarge
			}
		}
		m.mu.Lock()
		waiting := m.looking[chatID]
		delete(m.looking, chatID)
		if errors.Is(err, errLarge) {
			if len(m.large) >= maxLarge {
				clear(m.large)
			}
			m.large[chatID] = struct{}{}
		}
		m.mu.Unlock()
		for _, use := range waiting {
			use(chat, err)
		}
	})
}

// read asks the chat's leader for it.
func (m *memberCache) read(c *cachedChat) {
	m.seq.GetChatAsync(m.timeout, c.id, "", func(view *wire.ChatView, err error) {
		if err != nil {
			m.filled(c, nil, err)
			return
		}
		m.readMarks(c, &view.Chat)
	})
}

// filled takes the answer to read. It is on the goroutine that brings all answers, so it does not hand anything on itself.
func (m *memberCache) filled(c *cachedChat, chat *wire.Chat, err error) {
	m.mu.Lock()
	busy := len(c.parked) > 0 || c.dropped > 0
	m.mu.Unlock()
	if busy && err == nil {
		m.spawn(func() { m.settle(c, chat, err) })
		return
	}
	m.settle(c, chat, err)
}

// settle hands on what was parked until nothing is, and only then opens the chat to the feed reader, so that the order stays. What it hands on
// is queued for the sessions at once and written when all is: a chat in which much happens would never be through otherwise.
func (m *memberCache) settle(c *cachedChat, chat *wire.Chat, err error) {
	out := m.parcel()
	defer out.flush()
	for {
		m.mu.Lock()
		if c.stale {
			c.stale = false
			m.mu.Unlock()
			m.read(c)
			return
		}
		parked, waiting, dropped := c.parked, c.waiting, c.dropped
		c.waiting = nil
		again := err != nil && len(parked)+int(dropped) > 0 && !errors.Is(err, wire.ErrNoChat)
		switch {
		case again: // members of the chat wait for these events: ask until there is an answer
		case err != nil:
			m.trails -= len(c.senders)
			delete(m.chats, c.id)
			delete(m.reading, c)
		case len(parked) == 0 && dropped == 0 && len(waiting) == 0:
			m.keep(c, chat)
			delete(m.reading, c)
		default:
			c.parked, c.dropped = nil, 0
		}
		m.mu.Unlock()
		for _, use := range waiting {
			use(chat, err)
		}
		if again {
			m.log.Warn("the members of a chat cannot be read", "chat", c.id, "err", err)
			m.after(250*time.Millisecond+rand.N(250*time.Millisecond), func() { m.read(c) })
		}
		if err != nil || len(parked) == 0 && dropped == 0 && len(waiting) == 0 {
			return
		}
		chat = handOn(out, chat, parked, dropped)
	}
}

// handOn dispatches parked events and returns the chat as it is after them.
func handOn(out *dispatcher, chat *wire.Chat, parked []*wire.Event, dropped wire.Seq) *wire.Chat {
	for _, ev := range parked {
		if next, ok := changed(chat, ev); ok {
			chat = next
		}
		out.event(chat, ev, 0)
	}
	if dropped > 0 {
		out.event(chat, &wire.Event{Kind: eventDropped, ChatID: chat.ChatID, Seq: dropped}, 0)
	}
	out.endRun()
	return chat
}

// eventDropped is no event of the feed: it stands for messages up to Seq that could not be parked.
const eventDropped wire.EventKind = "dropped"

// keep puts a chat into the cache, as the most recently used, and drops the least recently used over the bound. Called with
// mu held.
func (m *memberCache) keep(c *cachedChat, chat *wire.Chat) {
	if c.chat != nil {
		m.members -= len(c.chat.Members) + 1
	}
	c.chat = chat
	m.members += len(chat.Members) + 1
	if c.elem == nil {
		c.elem = m.recent.PushFront(c)
	} else {
		m.recent.MoveToFront(c.elem)
	}
	for m.members > m.most && m.recent.Len() > 1 {
		m.forget(m.recent.Back().Value.(*cachedChat))
	}
}

// forget drops a chat that is in the cache. Called with mu held.
func (m *memberCache) forget(c *cachedChat) {
	m.recent.Remove(c.elem)
	m.members -= len(c.chat.Members) + 1
	m.trails -= len(c.senders)
	delete(m.chats, c.id)
}

// unfinished gives the first event of a group that waits for the members of its chat, the largest offset where none does.
func (m *memberCache) unfinished(g wire.GroupID) wire.Offset {
	m.mu.Lock()
	defer m.mu.Unlock()
	first := wire.Offset(math.MaxUint64)
	for c := range m.reading {
		if c.first > 0 && c.first < first && m.groupOf(c.id) == g {
			first = c.first
		}
	}
	return first
}

// clear forgets every chat, because members events were missed.
func (m *memberCache) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.recent.Len() > 0 {
		m.forget(m.recent.Front().Value.(*cachedChat))
	}
	for _, c := range m.chats { // those that are being read
		c.stale = true
	}
}

// changed returns the chat as it is after the event, or false where the event is not the next change of this chat, so that
// the chat has to be read again.
func changed(chat *wire.Chat, ev *wire.Event) (*wire.Chat, bool) {
	if ev.Kind != wire.EventMembers || ev.Version <= chat.Version {
		return chat, true
	}
	if ev.Version != chat.Version+1 {
		return nil, false
	}
	next := *chat
	next.Version = ev.Version
	next.Members = slices.DeleteFunc(slices.Clone(chat.Members), func(m wire.Member) bool {
		return slices.Contains(ev.Removed, m.UserID)
	})
	from := ev.Seq + 1
	if chat.HistoryFromStart {
		from = 1
	}
	for _, user := range ev.Added {
		i, found := slices.BinarySearchFunc(next.Members, user, func(m wire.Member, u string) int {
			return strings.Compare(m.UserID, u)
		})
		if !found {
			next.Members = slices.Insert(next.Members, i, wire.Member{
				UserID: user, Intervals: []wire.Interval{{From: from}},
			})
		}
	}
	return &next, true
}
