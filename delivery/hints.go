package delivery

import (
	"sync/atomic"

	"github.com/quorate/quorate/delivery/relay"
	"github.com/quorate/quorate/sequencer/wire"
)

// router brings what is of passing worth to the hub that reads the feed of the chat's group, in each region: that one knows the chat's
// members, and who of them is at which edge.
type router struct {
	srv   *Server
	feeds atomic.Pointer[map[string]map[wire.GroupID]string] // by region: the hub of each group's feed
}

func newRouter(srv *Server) *router {
	r := &router{srv: srv}
	r.learn(map[string]map[wire.GroupID]string{})
	return r
}

// learn takes what the leases say now.
func (r *router) learn(feeds map[string]map[wire.GroupID]string) { r.feeds.Store(&feeds) }

// send brings a hint to all who are to have it, in this region and in others.
func (r *router) send(h relay.Hint) {
	hub := r.srv.hub
	for g, chats := range hub.byGroup(h.Chats) {
		h.Chats = chats
		node := (*r.feeds.Load())[r.srv.region()][g]
		if l := r.srv.announcer.to(node); l != nil && !hub.shares(g) {
			l.hint(h)
			continue
		}
		hub.hint(h) // it is this node's, or nobody's at present
	}
}

// abroad brings a hint to the hubs of the other regions, once to each region.
func (r *router) abroad(g wire.GroupID, h relay.Hint) {
	for region, holders := range *r.feeds.Load() {
		if region == r.srv.region() {
			continue
		}
		if l := r.srv.announcer.to(holders[g]); l != nil {
			h.Relayed = true
			l.hint(h)
		}
	}
}

// byGroup sorts chats by their groups.
func (h *hub) byGroup(chats []string) map[wire.GroupID][]string {
	groups, out := max(h.size(), 1), map[wire.GroupID][]string{}
	for _, id := range chats {
		g := wire.GroupOf(wire.SlotOf(id), groups)
		out[g] = append(out[g], id)
	}
	return out
}

// hint tells the members of chats of something passing, those at this node and at the edges that are attached.
func (h *hub) hint(hint relay.Hint) {
	for g, chats := range h.byGroup(hint.Chats) {
		if !hint.Relayed {
			abroad := hint
			abroad.Chats = chats
			h.srv.router.abroad(g, abroad)
		}
		for _, id := range chats {
			tell := func(chat *wire.Chat, err error) {
				if err == nil {
					h.tellHint(chat, hint)
				}
			}
			if hint.Kind == relay.HintPresence {
				h.srv.members.small(id, h.srv.limits.PresenceMembers, tell)
			} else {
				h.srv.members.chat(id, tell)
			}
		}
	}
}

// tellHint tells the other members of one chat.
func (h *hub) tellHint(chat *wire.Chat, hint relay.Hint) {
	if _, member := chat.Member(hint.UserID); !member {
		return // he has left
	}
	item := relay.Item{Kind: relay.ItemTyping, ChatID: chat.ChatID, UserID: hint.UserID}
	if hint.Kind == relay.HintPresence {
		if len(chat.Members) > h.srv.limits.PresenceMembers {
			return
		}
		item = relay.Item{Kind: relay.ItemPresence, UserID: hint.UserID, Presence: hint.Presence}
	}
	p, d := newPush(item), newDispatcher(h)
	for i := range chat.Members {
		if user := chat.Members[i].UserID; user != hint.UserID {
			d.give(p, user)
		}
	}
	d.seal(p)
	d.flush()
}
