package delivery

import (
	"slices"
	"strings"
	"unique"

	"github.com/quorate/quorate/sequencer/wire"
)

// positions are the chats of a session in which nothing is under way, and where the session stands in each: 16 bytes a chat, as there
// may be millions of sessions with many chats. Chat ids are shared by all sessions of the process. In the order of the ids.
type positions []position

type position struct {
	chat unique.Handle[string]
	next wire.Seq // pushed next
}

func (p positions) search(chatID string) (int, bool) {
	return slices.BinarySearchFunc(p, chatID, func(at position, id string) int { return strings.Compare(at.chat.Value(), id) })
}

// find gives the position in a chat, nil where there is none. It is good until the next set.
func (p positions) find(chatID string) *position {
	i, ok := p.search(chatID)
	if !ok {
		return nil
	}
	return &p[i]
}

// set puts the session at next in a chat. In the order of the ids, it only appends.
func (p *positions) set(chatID string, next wire.Seq) {
	if n := len(*p); n == 0 || (*p)[n-1].chat.Value() < chatID {
		*p = append(*p, position{unique.Make(chatID), next})
		return
	}
	i, ok := p.search(chatID)
	if ok {
		(*p)[i].next = next
		return
	}
	*p = slices.Insert(*p, i, position{unique.Make(chatID), next})
}
