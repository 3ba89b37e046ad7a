package raftfsm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

func (s *sim) makeChats() bool {
	for _, chat := range simChats {
		for tries := 0; ; tries++ {
			if n, g := s.serving(0); g != nil {
				if r, err := s.propose(n, g, group(chat, "u0", "u1", "u2", "u3")); err == nil && r[0].Err == nil {
					break
				}
			}
			if tries == 500 {
				s.fail("the group does not begin")
				return false
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return true
}

// send is one client: one message after the other, each until it is acknowledged, and some again after that.
func (s *sim) send(client int) {
	defer s.clients.Done()
	sender := fmt.Sprint("u", client)
	for i := 0; s.sleep(time.Duration(20+client*7) * time.Millisecond); i++ {
		a := Append{
			ChatID: simChats[(i+client)%len(simChats)], SenderID: sender, ClientMessageID: fmt.Sprint(i), Text: fmt.Sprint(sender, " says ", i),
		}
		for more := 1; more > 0; more-- {
			if !s.offer(client, a) {
				return
			}
			if more == 1 && i%3 == 0 && s.sleep(time.Duration(i%7)*100*time.Millisecond) {
				more, i = 2, i+1 // the answer must be the same however often it is asked for
			}
		}
	}
}

// offer offers a message until it is acknowledged. It is false when the simulation ends first.
func (s *sim) offer(client int, a Append) bool {
	op := s.history.Append(client, a.ChatID, a.SenderID, a.ClientMessageID, a.Text)
	for tries := client; ; tries++ {
		if n, g := s.serving(tries); g != nil {
			results, err := s.propose(n, g, a)
			switch {
			case err == nil && results[0].Err != nil:
				s.fail("%s of %s: %v", a.ClientMessageID, a.SenderID, results[0].Err)
				return false
			case err == nil:
				op.Acked(results[0].Append.Seq)
				s.count(&s.acked)
				return true
			}
		}
		if !s.sleep(30 * time.Millisecond) {
			return false
		}
	}
}

// readOften is a client that only reads: the whole of a chat, or its end.
func (s *sim) readOften(client int) {
	defer s.clients.Done()
	last := map[string]wire.Seq{}
	for i := 0; s.sleep(time.Duration(30+client*5) * time.Millisecond); i++ {
		n, g := s.reader(i)
		if g == nil {
			continue
		}
		chat := simChats[i%len(simChats)]
		from := last[chat] + 1
		op := s.history.Read(client, chat, from, wire.MaxPage)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		saw, err := s.read(ctx, n, g, chat, from)
		cancel()
		if err != nil {
			op.Refused()
			continue
		}
		op.Saw(saw)
		s.count(&s.reads)
		last[chat] += wire.Seq(len(saw))
	}
}

// reader gives a node to read from: one that serves.
func (s *sim) reader(i int) (*simNode, *Group) {
	if s.bug.staleRead {
		n := s.nodes[i%len(s.nodes)]
		return n, s.group(n)
	}
	return s.serving(i)
}

// read reads a page of a chat at a leader, linearizable.
func (s *sim) read(ctx context.Context, n *simNode, g *Group, chat string, from wire.Seq) ([]wire.Message, error) {
	if !s.bug.staleRead {
		if err := g.ReadBarrier(ctx); err != nil {
			return nil, err
		}
	}
	page, err := g.Store().Range(chat, from, wire.MaxPage)
	if errors.Is(err, wire.ErrNoChat) {
		err = nil
	}
	if err == nil && !s.alive(n, g) {
		err = wire.ErrTryAgain
	}
	return page, err
}

// propose offers commands at a leader and waits a while for what becomes of them.
func (s *sim) propose(n *simNode, g *Group, commands ...Command) ([]Result, error) {
	var body []byte
	for _, c := range commands {
		body = AppendCommand(body, c)
	}
	type outcome struct {
		results []Result
		err     error
	}
	done := make(chan outcome, 1)
	early := s.early(n, g, commands)
	p := g.Propose(AppendEntry(nil, wire.OldestFormat, wire.Millis(time.Since(s.began).Milliseconds()), len(commands), body))
	s.clients.Add(1)
	go func() {
		defer s.clients.Done()
		results, err := p.Wait()
		done <- outcome{results, err}
	}()
	if early != nil {
		return early, nil
	}
	timer := time.NewTimer(3 * time.Second)
	defer timer.Stop()
	select {
	case o := <-done:
		if o.err == nil && (!s.alive(n, g) || len(o.results) != len(commands)) {
			return nil, wire.ErrUnknown
		}
		return o.results, o.err
	case <-timer.C:
		return nil, wire.ErrUnknown
	}
}
