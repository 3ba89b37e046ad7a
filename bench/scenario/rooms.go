package scenario

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/quorate/quorate/bench/check"
	"github.com/quorate/quorate/sequencer/wire"
)

// room is one chat of a run.
type room struct {
	number  int
	id      string
	members []string
	chat    *check.Chat
	next    int // number of its next message
	parsed  *parsed
}

// makeRooms makes chats with these members: over RESP where there are sequencers, else over REST.
func (r *run) makeRooms(ctx context.Context, members [][]string) ([]*room, error) {
	rooms := make([]*room, len(members))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(makersAtOnce)
	for n := range members {
		group.Go(func() error {
			id, err := r.makeRoom(ctx, n, members[n])
			if err != nil {
				return err
			}
			rooms[n] = &room{number: n, id: id, members: members[n], chat: r.judge.Chat(id), parsed: newParsed(len(members[n]))}
			return nil
		})
	}
	return rooms, group.Wait()
}

func (r *run) makeRoom(ctx context.Context, n int, members []string) (string, error) {
	id := r.chat(n)
	if r.client == nil {
		return r.rest.makeChat(ctx, r.target(n), id, members)
	}
	typ := wire.GroupChat
	if len(members) == 2 {
		typ = wire.Direct
	}
	if _, _, err := r.client.CreateChat(ctx, wire.CreateChatRequest{ChatID: id, Type: typ, CreatorID: members[0], Members: members[1:]}); err != nil {
		return "", fmt.Errorf("make a chat: %w", err)
	}
	return id, nil
}

// apart gives so many rooms members of their own each.
func (r *run) apart(rooms, members int) [][]string {
	all := make([][]string, rooms)
	for n := range all {
		for m := range members {
			all[n] = append(all[n], r.user(n*members+m))
		}
	}
	return all
}

// readBack reads the logs of rooms whole and gives them to the judge.
func (r *run) readBack(ctx context.Context, rooms []*room) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readersAtOnce)
	for _, room := range rooms {
		group.Go(func() error {
			log, err := r.readLog(ctx, room)
			room.chat.Log(log, err == nil)
			return err
		})
	}
	return group.Wait()
}

// readersAtOnce is how many logs are read back at the same time.
const readersAtOnce = 4

func (r *run) readLog(ctx context.Context, room *room) (log []wire.Message, err error) {
	for from := wire.Seq(1); from != 0; {
		page, next, err := r.readPage(ctx, room, from)
		if err != nil {
			return log, fmt.Errorf("read %s from %d: %w", room.id, from, err)
		}
		log, from = append(log, page...), next
	}
	return log, nil
}

// readPage asks the sequencers where it can, and a delivery node for what is in the archive.
func (r *run) readPage(ctx context.Context, room *room, from wire.Seq) (page []wire.Message, next wire.Seq, err error) {
	if r.client != nil {
		p, err := r.client.Range(ctx, wire.RangeRequest{ChatID: room.id, From: from, Count: wire.MaxPage})
		if err != nil || !p.Archived {
			return p.Messages, p.Next, err
		}
	}
	if len(r.Targets) == 0 {
		return nil, 0, errors.New("it is in the archive, which only a delivery node reads")
	}
	return r.rest.page(ctx, r.target(room.number), room.id, room.members[0], from, wire.MaxPage)
}
