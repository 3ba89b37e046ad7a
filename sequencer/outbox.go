package sequencer

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// outbox carries changes of membership from the group of a chat, while this node leads it, to the groups of the users
// whose chat lists they change. Each is sent until its user's group has acknowledged it; the receiver ignores what it
// knows, so sending one twice does no harm. Nothing here is state: a new leader starts from the records in the store.
type outbox struct {
	host  *host
	limit int
	wake  chan struct{} // holds one token while there may be new records

	// All below belongs to run.
	window    []*outgoing // records that are not yet deleted, by id
	underway  int         // records sent and not yet back in delivered; at most limit
	delivered chan *outgoing
	through   uint64     // the AckOutbox under way; 0 while there is none
	acked     chan error // what became of it
	failures  int        // rounds of retries in a row
	retry     *time.Timer
	armed     bool // retry is running; until it fires nothing that failed is tried again
}

// outgoing is one record on its way to its user's group.
type outgoing struct {
	raftfsm.OutboxRecord
	owner *outbox
	state outgoingState
	err   error // of the last try; set before the record goes to owner.delivered
	claim outgoingClaim
}

// outgoingClaim is where a record stands that has its chat claimed for its two users before it says anything of it.
type outgoingClaim byte

const (
	claimUnknown outgoingClaim = iota
	claiming
	claimed // or there was nothing to claim
)

type outgoingState byte

const (
	sending outgoingState = iota
	failed
	arrived
)

const (
	outboxRetry    = 20 * time.Millisecond // before the first retry; doubles
	outboxRetryMax = time.Second
)

func newOutbox(h *host) *outbox {
	limit := h.node.cfg.Limits.OutboxWindow
	o := &outbox{
		host: h, limit: limit, wake: make(chan struct{}, 1),
		delivered: make(chan *outgoing, limit), acked: make(chan error, 1), retry: time.NewTimer(time.Hour),
	}
	o.retry.Stop()
	return o
}

// kick says that there may be new records. It never blocks.
func (o *outbox) kick() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// run moves records until the host stops.
func (o *outbox) run() {
	defer o.host.done.Done()
	defer o.retry.Stop()
	for {
		select {
		case <-o.wake:
			o.fill()
		case item := <-o.delivered:
			o.settle(item)
			o.settleMore()
		case err := <-o.acked:
			o.forget(err)
		case <-o.retry.C:
			o.again()
		case <-o.host.stop:
			return
		}
		o.acknowledge()
	}
}

// fill sends the records that are new since it last looked.
func (o *outbox) fill() {
	if !o.host.raft.Serving() {
		o.window, o.failures = nil, 0 // the next leader starts anew
		return
	}
	records, err := o.host.store().Outbox(o.limit)
	if err != nil {
		o.fail(err)
		return
	}
	var last uint64
	if n := len(o.window); n > 0 {
		last = o.window[n-1].ID
	}
	for _, record := range records {
		if record.ID <= last {
			continue
		}
		if o.underway == o.limit {
			return // forget looks again
		}
		item := &outgoing{OutboxRecord: record, owner: o}
		o.window = append(o.window, item)
		o.send(item)
	}
}

// send offers a record to its user's group, wherever that is led.
func (o *outbox) send(item *outgoing) {
	item.state = sending
	o.underway++
	n := o.host.node
	if other := o.claims(item); other != "" {
		item.claim = claiming
		o.sendClaim(item, other)
		return
	}
	slot := wire.SlotOf(item.UserID)
	if target, _, err := n.route(item.UserID); err == nil && target.raft.Serving() {
		target.submit(item.PutUserChat, slot, item)
		return
	}
	n.client.Submit(item.UserID, n.cfg.Limits.OutboxWait, item.reply, putUserChatArgs(item)...)
}

// claims gives the other user of a direct chat that has to be claimed for the two, "" where there is none. A claim is in the group of the smaller of
// them, and the chat in its own: of a backup either may be older, so that in a cluster which began with one a chat may have lost its claim. Where
// it did not, claiming it again changes nothing.
func (o *outbox) claims(item *outgoing) (other string) {
	if item.claim == claimed {
		return ""
	}
	item.claim = claimed
	if !item.Present || item.Chat.Type != wire.Direct || !o.host.node.beganRestored() {
		return ""
	}
	chat, err := o.host.store().Chat(item.Chat.ChatID)
	if err != nil || len(chat.Members) != 2 || chat.Members[0].UserID != item.UserID {
		return "" // the record of the smaller user claims it
	}
	return chat.Members[1].UserID
}

// sendClaim offers the claim of a direct chat to the group of the smaller user.
func (o *outbox) sendClaim(item *outgoing, other string) {
	n := o.host.node
	if target, slot, err := n.route(item.UserID); err == nil && target.raft.Serving() {
		target.submit(raftfsm.ClaimPair{UserID: item.UserID, OtherID: other, ChatID: item.Chat.ChatID}, slot, item)
		return
	}
	n.client.Submit(item.UserID, n.cfg.Limits.OutboxWait, item.reply, "USER.PAIR", item.UserID, other, item.Chat.ChatID)
}

// complete takes the answer of a group that this node leads.
func (item *outgoing) complete(res raftfsm.Result, err error) {
	if err == nil {
		err = res.Err
	}
	item.err = err
	item.owner.delivered <- item // has room for all that are under way
}

// reply takes the answer of a group that another node leads.
func (item *outgoing) reply(_ wire.Reply, err error) { item.complete(raftfsm.Result{}, err) }

func (o *outbox) settle(item *outgoing) {
	o.underway--
	if item.err != nil {
		item.state = failed
		if item.claim == claiming {
			item.claim = claimUnknown
		}
		o.fail(item.err)
		return
	}
	if item.claim == claiming {
		item.claim = claimed
		o.send(item)
		return
	}
	item.state = arrived
}

// settleMore takes what else has come back, so that one AckOutbox covers it.
func (o *outbox) settleMore() {
	for {
		select {
		case item := <-o.delivered:
			o.settle(item)
		default:
			return
		}
	}
}

// acknowledge has the group delete the records that have arrived, up to the first that has not.
func (o *outbox) acknowledge() {
	if o.through != 0 || o.armed {
		return
	}
	for _, item := range o.window {
		if item.state != arrived {
			break
		}
		o.through = item.ID
	}
	if o.through == 0 {
		return
	}
	o.host.submit(raftfsm.AckOutbox{Through: o.through}, 0, doneFunc(func(res raftfsm.Result, err error) {
		if err == nil {
			err = res.Err
		}
		o.acked <- err
	}))
}

// forget drops what was acknowledged, and looks for more.
func (o *outbox) forget(err error) {
	through := o.through
	o.through = 0
	if err != nil {
		o.fail(err)
		return
	}
	for len(o.window) > 0 && o.window[0].ID <= through {
		o.window = o.window[1:]
	}
	if !o.armed {
		o.failures = 0
	}
	o.fill()
}

// fail has what failed tried again after a while.
func (o *outbox) fail(err error) {
	if o.armed {
		return
	}
	if !wire.Temporary(err) {
		o.host.node.log.Error("a change of a chat list was refused; it will be tried again", "group", o.host.id, "err", err)
	}
	o.armed = true
	pause := min(outboxRetry<<min(o.failures, 10), outboxRetryMax)
	o.failures++
	o.retry.Reset(pause/2 + rand.N(pause/2))
}

// again sends what has failed, and looks for more.
func (o *outbox) again() {
	o.armed = false
	for _, item := range o.window {
		if item.state == failed && o.underway < o.limit {
			o.send(item)
		}
	}
	o.fill()
}

// putUserChatArgs is the command between nodes that does what raftfsm.PutUserChat does.
func putUserChatArgs(item *outgoing) []string {
	present := "0"
	if item.Present {
		present = "1"
	}
	return []string{
		"USER.PUTCHAT", item.UserID, item.Chat.ChatID, string(item.Chat.Type), item.Chat.Name,
		strconv.FormatUint(item.Chat.Version, 10), present,
	}
}
