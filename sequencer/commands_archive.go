package sequencer

import (
	"strings"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// archiveCommand is ARCHIVE STATUS, and ARCHIVE RUN, ARCHIVE SEGMENTS and ARCHIVE INDEX, of one group each.
func archiveCommand(c *conn, k *call, a args) error {
	switch {
	case a.is(1, "RUN") && len(a) >= 3:
		return archiveRun(c, k, a)
	case a.is(1, "SEGMENTS") && len(a) >= 3:
		return archiveSegments(c, k, a)
	case a.is(1, "INDEX") && len(a) >= 3:
		return archiveIndex(c, k, a)
	case a.is(1, "STATUS") && len(a) == 2:
		return archiveStatus(c, k)
	case a.is(1, "HELP") && len(a) == 2:
		return helped(k, "ARCHIVE STATUS", "ARCHIVE RUN group [BEFORE ms]", "ARCHIVE SEGMENTS group [AFTER number] [COUNT n]",
			"ARCHIVE INDEX group [AFTER chatId from] [COUNT n]")
	}
	return unknownSub("ARCHIVE", a)
}

// archivePage is how many lines an answer has where the command names no COUNT, and at most.
const archivePage = 1000

func archiveCost(*conn, args) int { return archivePage * lineBytes }

// archiveRun is ARCHIVE RUN group [BEFORE ms]: a round now, which is answered when it is done.
func archiveRun(c *conn, k *call, a args) error {
	h, err := c.group(a, 2)
	if err != nil {
		return err
	}
	if err := h.leadErr(h.firstSlot()); err != nil {
		return err
	}
	q := &archiveRound{whole: true, done: make(chan error, 1)}
	for o := (options{args: a, at: 3}); o.more(); {
		if !o.take(0, "BEFORE") {
			return errSyntax
		}
		ms, err := o.number("BEFORE", 1, uint64(wire.MaxSeq))
		if err != nil {
			return err
		}
		q.before = wire.Millis(ms)
	}
	if err := h.archiver.ask(q); err != nil {
		return err
	}
	k.spawn(func(r *reply) error {
		select {
		case err := <-q.done:
			if err == nil {
				r.simple("OK")
			}
			return err
		case <-c.ctx.Done():
			return wire.ErrTryAgain
		case <-h.stop:
			return wire.ErrTryAgain
		}
	})
	return nil
}

// archiveStatus is ARCHIVE STATUS: how archiving goes in the groups that this node leads.
func archiveStatus(c *conn, k *call) error {
	var led []*host
	for _, h := range c.node.replicas().data() {
		if h.raft.Serving() {
			led = append(led, h)
		}
	}
	return k.answer(func(r *reply) {
		r.array(len(led))
		for _, h := range led {
			a := h.archiver
			trouble := ""
			if text := a.stats.trouble.Load(); text != nil {
				trouble = *text
			}
			r.maps(9)
			r.fieldInt("group", int64(h.id))
			r.fieldBool("archive", a.store != nil)
			r.fieldInt("lagMs", int64(1000*h.archiveLag()))
			r.fieldInt("everyMs", c.node.cfg.ArchiveEvery.Milliseconds())
			r.fieldInt("hotBytes", a.hotBytes())
			r.fieldInt("hotLimit", c.node.cfg.HotBytes)
			r.fieldBool("hotAlarm", a.hot.on.Load())
			r.fieldInt("broken", int64(a.broken.count()))
			r.fieldStr("trouble", trouble)
		}
	})
}

// archiveSegments is ARCHIVE SEGMENTS group [AFTER number] [COUNT n].
func archiveSegments(c *conn, k *call, a args) error {
	h, err := c.group(a, 2)
	if err != nil {
		return err
	}
	behind, count := uint64(0), uint64(archivePage)
	for o := (options{args: a, at: 3}); o.more(); {
		switch {
		case o.take(0, "AFTER"):
			behind, err = o.number("AFTER", 0, uint64(wire.MaxSeq))
		case o.take(1, "COUNT"):
			count, err = o.number("COUNT", 1, archivePage)
		default:
			return errSyntax
		}
		if err != nil {
			return err
		}
	}
	return k.readFrom(h, h.firstSlot(), reading{}, func(s *raftfsm.Store, r *reply) error {
		all, err := s.Segments(behind, int(count))
		if err != nil {
			return err
		}
		r.array(len(all))
		for i := range all {
			r.maps(10)
			r.fieldInt("number", int64(all[i].Number))
			r.fieldInt("at", int64(all[i].At))
			r.fieldInt("live", int64(all[i].Live))
			segmentFields(r, &all[i].Segment)
		}
		return nil
	})
}

// archiveIndex is ARCHIVE INDEX group [AFTER chatId from] [COUNT n].
func archiveIndex(c *conn, k *call, a args) error {
	h, err := c.group(a, 2)
	if err != nil {
		return err
	}
	var behind raftfsm.IndexLine
	count := uint64(archivePage)
	for o := (options{args: a, at: 3}); o.more(); {
		switch {
		case o.take(0, "AFTER"):
			var chatID string
			if chatID, err = o.id("AFTER"); err != nil {
				return err
			}
			behind.ChatID = strings.Clone(chatID)
			behind.From, err = o.seq("AFTER")
		case o.take(1, "COUNT"):
			count, err = o.number("COUNT", 1, archivePage)
		default:
			return errSyntax
		}
		if err != nil {
			return err
		}
	}
	return k.readFrom(h, h.firstSlot(), reading{}, func(s *raftfsm.Store, r *reply) error {
		lines, err := s.ArchiveIndex(behind, int(count))
		if err != nil {
			return err
		}
		r.array(len(lines))
		for _, l := range lines {
			r.maps(5)
			r.fieldStr("chatId", l.ChatID)
			r.fieldInt("from", int64(l.From))
			r.fieldInt("to", int64(l.To))
			r.fieldInt("row", int64(l.Row))
			r.fieldInt("segment", int64(l.Segment))
		}
		return nil
	})
}

// chatRetention is CHAT.RETENTION chatId [ms|CLUSTER].
func chatRetention(_ *conn, k *call, a args) error {
	chatID, err := a.id(1, "chatId")
	if err != nil {
		return err
	}
	if len(a) == 2 {
		return k.read(reading{key: chatID}, func(s *raftfsm.Store, r *reply) error {
			if _, err := s.Head(chatID); err != nil {
				return err
			}
			kept, err := s.Retention(chatID)
			if err != nil {
				return err
			}
			r.maps(3)
			r.fieldInt("first", int64(kept.First))
			r.fieldBool("own", kept.Own)
			r.fieldInt("keepMs", int64(kept.For))
			return nil
		})
	}
	cmd := raftfsm.Retain{ChatID: strings.Clone(chatID), Own: !a.is(2, "CLUSTER")}
	if cmd.Own {
		ms, err := a.number(2, "ms", 0, uint64(wire.MaxSeq))
		if err != nil {
			return err
		}
		cmd.For = wire.Millis(ms)
	}
	return k.submit(chatID, cmd, func(r *reply, _ *call) { r.simple("OK") })
}
