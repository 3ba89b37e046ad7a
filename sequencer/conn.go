package sequencer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/redcon"

	"github.com/quorate/quorate/sequencer/wire"
	"github.com/quorate/quorate/trust"
)

// conn is one connection. Its reader takes commands as they come and starts each at once; its writer sends the answers
// in the same order as they become known. So a whole pipeline is under way before its first answer is waited for.
type conn struct {
	srv   *server
	node  *Node
	log   *slog.Logger
	id    int64
	guard *guard
	redis redcon.DetachedConn // what reads commands

	// The reader's alone.
	who       *principal   // nil before AUTH
	users     *trust.Users // as they were when who was looked up
	failures  int          // of AUTH
	resp3     bool
	readOnly  bool // a replica may answer reads, as with READONLY in Redis
	name      string
	lastWrite []*call // per group, the last write that was under way when it was sent
	feeds     bool    // it has read feeds

	answers  *answers
	reads    sync.WaitGroup
	ctx      context.Context // ends when nothing more can be sent
	cancel   context.CancelFunc
	input    context.Context // ends when nothing more can come
	endInput context.CancelFunc
}

const (
	writeBytes    = 64 << 10 // of answers that leave together
	writeMaxIdle  = 256 << 10
	callCost      = 256                // of a command whose answer is small, beside its arguments
	preAuthCalls  = 16                 // commands under way before AUTH
	protocolWords = "Protocol error: " // how redcon's own errors begin
)

// Why a connection ends, besides what its reader says.
var (
	errQuit   = errors.New("the client quits")
	errNoRoom = errors.New("the connection ended while its commands waited")
)

// serve runs a connection from its first command on, and closes it. It returns when all its goroutines have ended.
func (c *conn) serve(first redcon.Command) {
	defer c.kill()
	var writer sync.WaitGroup
	writer.Go(c.writeAll)
	err := c.readAll(first)
	c.endInput()
	c.answers.end()
	writer.Wait() // all answers are out, or the client does not take them
	if refused := protocolError(""); errors.As(err, &refused) && c.ctx.Err() == nil {
		farewell(c.guard.Conn, nil, refused)
	}
	c.kill()
	c.reads.Wait()
	c.leaveFeeds()
	c.logEnd(err)
}

func (c *conn) logEnd(err error) {
	switch {
	case c.srv.countHostile(err):
		c.log.Warn("a connection ended for what it sent", "err", err)
	case err != nil && !errors.Is(err, io.EOF):
		c.log.Debug("a connection ended", "err", err)
	}
}

// kill ends the connection at once.
func (c *conn) kill() {
	c.cancel()
	if err := c.guard.Close(); err != nil {
		c.log.Debug("close a connection", "err", err)
	}
}

// readAll takes commands until there are no more, and says why.
func (c *conn) readAll(cmd redcon.Command) (err error) {
	defer c.contain("command")
	for {
		if err := c.start(cmd); err != nil {
			return err
		}
		if cmd, err = c.redis.ReadCommand(); err != nil {
			if text := err.Error(); strings.HasPrefix(text, protocolWords) {
				return protocolError(strings.TrimPrefix(text, protocolWords))
			}
			return err
		}
	}
}

// start starts one command. An error ends the connection.
func (c *conn) start(cmd redcon.Command) error {
	a := args(cmd.Args)
	k := &call{conn: c, resp3: c.resp3, cost: callCost + len(cmd.Raw)}
	c.recheck()
	known, err := c.admit(a)
	k.of = known
	if known != nil && known.cost != nil {
		k.cost += known.cost(c, a)
	}
	under := c.srv.limits.ConnCommands
	if c.who == nil {
		under = min(under, preAuthCalls)
	}
	if !c.answers.put(c.ctx, k, under) {
		return errNoRoom
	}
	c.srv.counts.commands.Add(1)
	if err == nil {
		err = known.run(c, k, a)
	}
	if err != nil {
		k.fail(err)
	}
	if !k.last {
		return nil
	}
	return cmp.Or(err, errQuit)
}

// admit finds a command and says whether it may run with these arguments.
func (c *conn) admit(a args) (*command, error) {
	known := lookup(a[0])
	switch {
	case c.who == nil && (known == nil || !known.preAuth):
		return nil, wire.ErrNoAuth
	case known == nil:
		return nil, unknownCommand(a)
	case known.arity >= 0 && len(a) != known.arity, len(a) < -known.arity:
		return nil, redisError("ERR wrong number of arguments for '" + strings.ToLower(known.name) + "' command")
	case !known.preAuth && !known.needs(a).of(c.who.role):
		c.srv.counts.denied.Add(1)
		return nil, fmt.Errorf("%w: User %s has no permissions to run the '%s' command", wire.ErrNoPerm, c.who.name, strings.ToLower(known.name))
	}
	return known, nil
}

// recheck looks whether the file of users still has the user of this connection.
func (c *conn) recheck() {
	if now := c.srv.access.users.Load(); c.who != nil && c.users != now {
		c.users = now
		if c.who = c.srv.access.still(c.who); c.who == nil {
			c.forget()
		}
	}
}

// forget makes the connection that of whoever it was before AUTH.
func (c *conn) forget() {
	c.who = c.guard.who
	if c.srv.access.open {
		c.who = anybody
	}
	c.guard.trusted = c.who != nil
}

// wrote remembers a write, for the reads behind it. What was refused at once changes nothing for them.
func (c *conn) wrote(h *host, k *call) {
	if k.ready.Load() {
		return
	}
	if c.lastWrite == nil {
		c.lastWrite = make([]*call, len(c.node.replicas().groups)+1)
	}
	c.lastWrite[c.place(h)] = k
}

// place is that of a group in lastWrite; the meta group is the last.
func (c *conn) place(h *host) int { return min(int(h.id), len(c.lastWrite)-1) }

// writesBefore gives a channel that is closed when all writes to a group that came before are answered, nil where they
// are. The last one is the last to be answered: a group answers in the order of its log.
func (c *conn) writesBefore(h *host) <-chan struct{} {
	if c.lastWrite == nil {
		return nil
	}
	last := &c.lastWrite[c.place(h)]
	if *last == nil || (*last).ready.Load() {
		*last = nil
		return nil
	}
	return (*last).done()
}

// writeAll sends answers until there are no more. What is ready leaves together; what is not ready holds nothing back.
func (c *conn) writeAll() {
	defer c.contain("answer")
	var r reply
	var taken []*call
	for {
		if taken = c.answers.take(c.ctx, taken); len(taken) == 0 {
			return
		}
		unsent := 0 // calls of taken[:i] whose answers are in r
		for i, k := range taken {
			if unsent > 0 && !k.ready.Load() {
				runtime.Gosched() // a batch is answered at once: let the rest of it come
				if !k.ready.Load() {
					if !c.send(&r, taken[i-unsent:i]) {
						return
					}
					unsent = 0
				}
			}
			if !c.answers.await(c.ctx, k) {
				return
			}
			k.write(&r)
			unsent++
			if len(r.b) >= writeBytes || k.last {
				if !c.send(&r, taken[i+1-unsent:i+1]) || k.last {
					return
				}
				unsent = 0
			}
		}
		if unsent > 0 && !c.send(&r, taken[len(taken)-unsent:]) {
			return
		}
	}
}

// send writes what is in r. A client that does not take it in time is gone.
func (c *conn) send(r *reply, done []*call) bool {
	err := c.guard.SetWriteDeadline(time.Now().Add(c.srv.limits.WriteWait))
	if err == nil {
		_, err = c.guard.Write(r.b)
	}
	if err != nil {
		c.log.Debug("a client does not take its answers", "err", err)
		c.kill()
		return false
	}
	if r.b = r.b[:0]; cap(r.b) > writeMaxIdle {
		r.b = nil
	}
	c.answers.written(done)
	return true
}
