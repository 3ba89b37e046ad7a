package wire

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// phase is where a request is.
type phase uint8

const (
	waiting  phase = iota // for a retry, or about to be put into a queue
	queued                // in a node's queue
	sent                  // perhaps on its way to a node, or executed there
	finished              // done has been called, or is about to be
)

// maxHops is how many MOVED answers are followed at once, one after the other, before there is a pause.
const maxHops = 3

// request is a command on its way. It is in the wheel until it is finished, and in the queue or among the unanswered of one
// node at most.
type request struct {
	place    wheelNode // belongs to the wheel
	deadline time.Duration

	key     Slot
	direct  bool   // to addr and nowhere else, once
	addr    string // of direct: the node
	meta    bool   // to the leader of the meta group, whatever key says
	args    []string
	bytes   int  // of args
	appends bool // a message
	done    func(Reply, error)

	mu       sync.Mutex // guards all below
	phase    phase
	unknown  bool     // an attempt that is over may have been executed
	last     error    // what the last attempt came to; definite
	attempts int      // that have failed
	hops     int      // MOVED answers since the last pause
	hint     string   // the address that the last of these gave, for the next attempt
	breaker  *breaker // of the group that the present attempt is for
}

// submit lets a request begin. It is refused at once where there is no room for it.
func (c *Client) submit(req *request, timeout time.Duration) {
	bytes, err := checkCommand(req.args)
	if err == nil && !c.pending.take(bytes) {
		err = fmt.Errorf("%w: too many requests are under way", ErrBusy)
	}
	if err != nil {
		req.mu.Lock()
		done := req.claim()
		req.mu.Unlock()
		done(Reply{}, err)
		return
	}
	now := c.now()
	req.bytes, req.deadline = bytes, now+max(timeout, 0)
	req.appends = req.args[0] == appendWord
	c.start.Do(func() { c.spawn(c.sweep) })
	if !c.wheel.add(req, now) {
		c.finish(req, Reply{}, ErrClosed)
		return
	}
	c.dispatch(req)
}

// dispatch puts a request that waits into the queue of a node, or has it wait longer.
func (c *Client) dispatch(req *request) {
	hint, begun := req.resume()
	n, br, err := c.pick(req, hint)
	if br != nil && !br.closed() && !begun && !br.probe(c.now()) {
		c.finish(req, Reply{}, errBroken)
		return
	}
	if !req.enter(br) {
		return // finished meanwhile
	}
	if err == nil {
		err = n.enqueue(req)
	}
	if err != nil {
		c.failed(req, err, false)
	}
}

// resume tells where the last answer, if any, said to go, and whether there has been an attempt.
func (req *request) resume() (hint string, begun bool) {
	req.mu.Lock()
	defer req.mu.Unlock()
	hint, req.hint = req.hint, ""
	return hint, req.attempts > 0 || req.hops > 0
}

// enter marks a request as queued. It is false where it does not wait any more.
func (req *request) enter(br *breaker) bool {
	req.mu.Lock()
	defer req.mu.Unlock()
	if req.phase != waiting {
		return false
	}
	req.phase, req.breaker = queued, br
	return true
}

// take marks a request as sent and gives what to send, nil where it is not queued any more. From here on it may be executed.
func (req *request) take() []string {
	req.mu.Lock()
	defer req.mu.Unlock()
	if req.phase != queued {
		return nil
	}
	req.phase = sent
	return req.args
}

// answered takes the answer to a request that was sent. It is dropped where the request is finished already.
func (c *Client) answered(req *request, r Reply) {
	err := r.Err()
	var moved *MovedError
	switch {
	case err == nil, req.direct:
		if br := req.group(); br != nil {
			br.succeeded()
		}
		c.finish(req, r, err)
	case errors.As(err, &moved):
		c.follow(req, moved)
	case Temporary(err):
		c.failed(req, err, errors.Is(err, ErrUnknown))
	default:
		if br := req.group(); br != nil {
			br.succeeded()
		}
		c.finish(req, Reply{}, req.refusal(err))
	}
}

// reads are the commands of which no attempt leaves anything open, since none changes anything.
var reads = map[string]bool{
	"CHAT.GET": true, "CHAT.HEAD": true, "CHAT.RANGE": true, "CHAT.RECEIPTS": true, "USER.CHATS": true, "FEED.COMMITTED": true,
}

// refusal is what a refused request comes to. Where an attempt before may have been executed, the refusal of this one says
// nothing about it: the state that the node judges by is another now, perhaps through that very attempt.
func (req *request) refusal(err error) error {
	req.mu.Lock()
	defer req.mu.Unlock()
	if !req.unknown || len(req.args) == 0 || reads[req.args[0]] {
		return err
	}
	return fmt.Errorf("%w: an attempt was lost, and the next one refused: %s", ErrUnknown, err.Error())
}

func (req *request) group() *breaker {
	req.mu.Lock()
	defer req.mu.Unlock()
	return req.breaker
}

// follow sends a request to the node that is said to lead; after some hops in a row it waits first, since nodes that do not
// agree would have it go round for ever.
func (c *Client) follow(req *request, moved *MovedError) {
	if req.meta {
		c.meta.Store(&moved.Addr)
	} else {
		c.routing.moved(c, moved)
		c.refresh(nil)
	}
	req.mu.Lock()
	if req.phase == finished {
		req.mu.Unlock()
		return
	}
	req.phase, req.last, req.hint = waiting, fmt.Errorf("%w: %w", ErrTryAgain, moved), moved.Addr
	req.hops++
	pause := req.hops > maxHops
	req.mu.Unlock()
	if pause {
		c.pause(req)
		return
	}
	c.dispatch(req)
}

// failed ends an attempt. Where it can be made again before the deadline it will be; maybe says that it may have been
// executed.
func (c *Client) failed(req *request, err error, maybe bool) {
	req.mu.Lock()
	if req.phase == finished {
		req.mu.Unlock()
		return
	}
	first := req.attempts == 0 && req.hops == 0
	br := req.breaker
	req.phase = waiting
	req.unknown = req.unknown || maybe
	if !maybe {
		req.last = err
	}
	req.mu.Unlock()

	busy := errors.Is(err, ErrBusy)
	if !busy {
		if br != nil {
			br.failed(c.now())
		}
		switch {
		case req.meta:
			c.meta.Store(nil) // any node knows who leads by now
		case !req.direct:
			c.refresh(nil)
		}
	}
	if req.direct || errors.Is(err, ErrNoAuth) || first && errors.Is(err, errQueueFull) {
		c.finish(req, Reply{}, req.refusal(err))
		return
	}
	c.pause(req)
}

// pause has a request wait, with full jitter, before its next attempt.
func (c *Client) pause(req *request) {
	req.mu.Lock()
	longest := c.cfg.RetryMax
	if steps := min(req.attempts, 16); c.cfg.RetryBase < longest>>steps {
		longest = c.cfg.RetryBase << steps
	}
	req.attempts++
	req.hops = 0
	req.mu.Unlock()
	c.wheel.move(req, c.now()+time.Duration(rand.Int64N(int64(longest)+1)))
}

// fire makes happen what is due: the next attempt, or the end of the time.
func (c *Client) fire(req *request, now time.Duration) {
	if now >= req.deadline {
		c.giveUp(req, nil)
		return
	}
	req.mu.Lock()
	due := req.phase == waiting
	req.mu.Unlock()
	if due {
		c.dispatch(req)
	}
}

// giveUp ends a request that has no answer yet, because its time is over, or because of why.
func (c *Client) giveUp(req *request, why error) {
	req.mu.Lock()
	if req.phase == finished {
		req.mu.Unlock()
		return
	}
	err, silent := req.outcome(why), req.phase == sent && why == nil
	br, done := req.breaker, req.claim()
	req.mu.Unlock()
	if silent && br != nil {
		br.failed(c.now())
		c.refresh(nil) // somebody else may lead by now
	}
	c.complete(req, done, Reply{}, err)
}

// outcome is the error of a request that ends without an answer. The caller holds mu.
func (req *request) outcome(why error) error {
	var err error
	switch {
	case (req.unknown || req.phase == sent) && req.last != nil:
		err = fmt.Errorf("%w: no answer in time; before that: %s", ErrUnknown, req.last.Error())
	case req.unknown || req.phase == sent:
		err = fmt.Errorf("%w: no answer in time", ErrUnknown)
	case req.last != nil:
		err = req.last
	case why == nil || errors.Is(why, context.DeadlineExceeded):
		err = errEmpty
	default:
		return why // nothing was tried, and it was not the time that was short
	}
	if why != nil {
		err = fmt.Errorf("%w: %w", err, why)
	}
	return err
}

// finish calls done, unless that has happened.
func (c *Client) finish(req *request, r Reply, err error) {
	req.mu.Lock()
	if req.phase == finished {
		req.mu.Unlock()
		return
	}
	done := req.claim()
	req.mu.Unlock()
	c.complete(req, done, r, err)
}

// claim gives the right to call done, once. The caller holds mu.
func (req *request) claim() func(Reply, error) {
	done := req.done
	req.phase, req.done, req.args = finished, nil, nil // an unanswered one stays with its node for a while
	return done
}

func (c *Client) complete(req *request, done func(Reply, error), r Reply, err error) {
	c.wheel.remove(req)
	c.pending.give(req.bytes)
	done(r, err)
}
