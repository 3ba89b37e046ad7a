package sequencer

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync/atomic"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// call is one command of a connection on its way from the parser to its place among the answers. Whoever has its answer
// sets err, out or res and then calls finish, once; the connection's writer alone reads them, after that.
type call struct {
	conn  *conn
	of    *command // nil where there is no such command, or AUTH is wanted first
	resp3 bool     // as it was when the command came: HELLO changes it for those behind
	cost  int      // bytes that its arguments and its answer may take; the lock of conn.answers
	last  bool     // nothing is read or answered behind it

	err    error
	out    []byte              // the answer, where encode is nil
	encode func(*reply, *call) // makes the answer of res
	res    raftfsm.Result

	ready  atomic.Bool
	waiter atomic.Pointer[chan struct{}] // closed by finish, where somebody asked
}

// finish says that the answer is there.
func (k *call) finish() {
	k.ready.Store(true)
	if waiter := k.waiter.Load(); waiter != nil {
		close(*waiter)
	}
	k.conn.answers.finished(k)
}

// done gives a channel that is closed when the call is finished. It is for the connection's reader alone; the writer
// does not need it.
func (k *call) done() <-chan struct{} {
	waiter := k.waiter.Load()
	if waiter == nil {
		ch := make(chan struct{})
		waiter = &ch
		k.waiter.Store(waiter)
		if k.ready.Load() { // finish may have looked before there was a waiter
			return nil
		}
	}
	return *waiter
}

// write adds the answer to r.
func (k *call) write(r *reply) {
	r.resp3 = k.resp3
	k.conn.srv.counts.answered(k.of, k.err)
	switch {
	case k.err != nil:
		r.err(k.err)
	case k.encode != nil:
		k.encode(r, k)
	default:
		r.b = append(r.b, k.out...)
	}
}

// fail answers an error.
func (k *call) fail(err error) {
	k.err = err
	k.finish()
}

// answer answers at once.
func (k *call) answer(build func(*reply)) error {
	r := reply{resp3: k.resp3, b: make([]byte, 0, 128)}
	build(&r)
	k.out = r.b
	k.finish()
	return nil
}

// ok answers OK.
func (k *call) ok() error {
	k.out = okReply
	k.finish()
	return nil
}

var okReply = []byte("+OK\r\n")

// submit offers a command to the group of key; encode makes the answer of its result where that is not an error.
func (k *call) submit(key string, cmd raftfsm.Command, encode func(*reply, *call)) error {
	h, slot, err := k.conn.node.route(key)
	if err != nil {
		return err
	}
	k.encode = encode
	h.submit(cmd, slot, k)
	k.conn.wrote(h, k)
	return nil
}

// complete takes what became of a submitted command.
func (k *call) complete(res raftfsm.Result, err error) {
	if err == nil {
		err = res.Err
	}
	k.res, k.err = res, err
	k.finish()
}

// reading is how a read is to be done.
type reading struct {
	key   string
	stale bool // of any replica, as it is
}

// read answers with what build makes of the store of the key's group. It runs beside other reads, but behind the
// writes that the connection sent before it to that group. Where how is not stale, it sees all that was acknowledged
// before it came, whoever sent it.
func (k *call) read(how reading, build func(s *raftfsm.Store, r *reply) error) error {
	h, slot, err := k.conn.node.route(how.key)
	if err != nil {
		return err
	}
	return k.readFrom(h, slot, how, build)
}

// readFrom is read of a group, whatever the key says.
func (k *call) readFrom(h *host, slot wire.Slot, how reading, build func(s *raftfsm.Store, r *reply) error) error {
	c := k.conn
	if err := h.leadErr(slot); err != nil {
		if !how.stale && !c.readOnly {
			return err
		}
		how.stale = true
	}
	c.srv.counts.reads.Add(1)
	before := c.writesBefore(h)
	k.spawn(func(r *reply) error {
		if err := await(c.ctx, before); err != nil {
			return err
		}
		if !how.stale {
			if err := h.readPoint(c.ctx, slot); err != nil {
				return err
			}
		}
		return build(h.store(), r)
	})
	return nil
}

// readHere answers with what build makes of this node's replica as it is, but behind the writes that the connection sent
// before to that group.
func (k *call) readHere(h *host, build func(s *raftfsm.Store, r *reply) error) error {
	c := k.conn
	c.srv.counts.reads.Add(1)
	before := c.writesBefore(h)
	k.spawn(func(r *reply) error {
		if err := await(c.ctx, before); err != nil {
			return err
		}
		return build(h.store(), r)
	})
	return nil
}

// await waits for an event, nil for none, or for the connection's end.
func await(ctx context.Context, event <-chan struct{}) error {
	if event == nil {
		return nil
	}
	select {
	case <-event:
		return nil
	case <-ctx.Done():
		return wire.ErrTryAgain
	}
}

// readPoint waits until a read is linearizable. Where this node no longer leads, the error says who does.
func (h *host) readPoint(ctx context.Context, slot wire.Slot) error {
	err := h.readBarrier(ctx)
	if isTryAgain(err) {
		if moved := h.leadErr(slot); moved != nil {
			return moved
		}
	}
	return err
}

// spawn answers with what build makes, on a goroutine of its own. A panic there ends the connection, not the process.
func (k *call) spawn(build func(r *reply) error) {
	c := k.conn
	c.reads.Go(func() {
		defer c.contain("read")
		r := reply{resp3: k.resp3}
		err := build(&r)
		if err != nil && !isTyped(err) && c.ctx.Err() == nil {
			c.log.Error("a read failed", "err", err)
		}
		k.out, k.err = r.b, err
		c.answers.settle(k, len(k.out))
		k.finish()
	})
}

// contain, deferred, keeps a panic within its connection.
func (c *conn) contain(where string) {
	if p := recover(); p != nil {
		c.srv.counts.panics.Add(1)
		c.log.Error("BUG: a panic ends the connection", "in", where, "panic", p, slog.String("stack", string(debug.Stack())))
		c.kill()
	}
}
