package delivery

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/quorate/quorate/delivery/relay"
	"github.com/quorate/quorate/sequencer/wire"
)

// presence knows who of the region's users is online, away or offline, by what this node's sessions and the attached edges tell. Who loses
// his last connection is offline only when he does not come back within PresenceGrace, so that a reconnect, a drained edge or a lost hub is
// no news. Every hub knows all, in its directory; the one that reads the feed of a user's group tells others of him and has his last seen
// written. A node that is no hub knows nothing, and asks one.
type presence struct {
	srv *Server

	mu      sync.Mutex
	leaving []departure          // in the order of their ends
	gone    map[string]time.Time // of those who are in leaving: when they went
	news    map[string]struct{}  // users to look at

	wake    chan struct{}
	publish chan change
	pace    *rate.Limiter // of those who are told of
	wg      sync.WaitGroup
}

// departure is a user without a connection.
type departure struct {
	user string
	went time.Time
	end  time.Time
}

// change is what others are to be told of a user.
type change struct {
	user     string
	presence relay.Presence
}

// presenceTellers is how many changes are told at a time: each reads a user's chats.
const presenceTellers = 8

func newPresence(srv *Server) *presence {
	return &presence{
		srv: srv, gone: map[string]time.Time{}, wake: make(chan struct{}, 1),
		publish: make(chan change, srv.limits.PresenceQueue), pace: rate.NewLimiter(rate.Limit(srv.limits.PresenceRate), 50),
	}
}

func (p *presence) open(ctx context.Context) {
	p.wg.Go(func() { p.run(ctx) })
	for range presenceTellers {
		p.wg.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case c := <-p.publish:
					if p.pace.Wait(ctx) == nil {
						p.tell(ctx, c)
					}
				}
			}
		})
	}
}

func (p *presence) close() { p.wg.Wait() }

// changed notes that a user may be more or less present than before. It never waits.
func (p *presence) changed(user string) {
	p.mu.Lock()
	if p.news == nil {
		p.news = map[string]struct{}{}
	}
	p.news[user] = struct{}{}
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// of tells how present a user is in this region.
func (p *presence) of(user string) relay.Presence {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.srv.hub.directory.told(user)
	if !p.srv.isHub() {
		s = p.srv.registry.status(user)
	}
	at := p.gone[user]
	if at.IsZero() && s != relay.Offline {
		at = p.srv.now()
	}
	if at.IsZero() {
		return relay.Presence{}
	}
	return relay.Presence{Status: s, LastSeen: wire.Millis(at.UnixMilli())}
}

func (p *presence) run(ctx context.Context) {
	tick := time.NewTicker(max(p.srv.limits.PresenceGrace/20, 5*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
			p.mu.Lock()
			news := p.news
			p.news = nil
			p.mu.Unlock()
			for user := range news {
				p.look(user)
			}
		case <-tick.C:
			p.depart(time.Now())
		}
	}
}

// status is how present a user is at the edge where he is most.
func (p *presence) status(user string) relay.Status {
	return max(p.srv.registry.status(user), p.srv.hub.directory.status(user))
}

// look finds out what has become of a user.
func (p *presence) look(user string) {
	now := p.status(user)
	p.mu.Lock()
	defer p.mu.Unlock()
	_, leaving := p.gone[user]
	switch was := p.srv.hub.directory.told(user); {
	case now != relay.Offline:
		delete(p.gone, user)
		if now != was {
			p.srv.hub.directory.tell(user, now)
			p.queueLocked(change{user, relay.Presence{Status: now, LastSeen: wire.Millis(p.srv.now().UnixMilli())}})
		}
	case was != relay.Offline && !leaving:
		went := p.srv.now()
		p.gone[user] = went
		p.leaving = append(p.leaving, departure{user, went, time.Now().Add(p.srv.limits.PresenceGrace)})
	}
}

// depart ends the time of those who did not come back.
func (p *presence) depart(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for ; n < len(p.leaving) && !now.Before(p.leaving[n].end); n++ {
		d := p.leaving[n]
		if p.gone[d.user] != d.went {
			continue // he came back
		}
		delete(p.gone, d.user)
		p.srv.hub.directory.tell(d.user, relay.Offline)
		p.queueLocked(change{d.user, relay.Presence{LastSeen: wire.Millis(d.went.UnixMilli())}})
	}
	clear(p.leaving[:n])
	if p.leaving = p.leaving[n:]; len(p.leaving) == 0 {
		p.leaving = nil
	}
}

// queueLocked has others told, where this is the node that does so. Beyond the bound they are not told, and find out when they ask.
func (p *presence) queueLocked(c change) {
	if !p.mine(c.user) {
		return
	}
	if c.presence.Status == relay.Offline {
		p.seen(c)
	}
	select {
	case p.publish <- c:
	default:
		p.srv.stats.presenceDropped.Add(1)
	}
}

// mine tells whether this hub tells others of a user.
func (p *presence) mine(user string) bool {
	h := p.srv.hub
	return h.shares(wire.GroupOf(wire.SlotOf(user), max(h.size(), 1)))
}

// seen has the time written at which a user was last there. One that cannot be written is lost: the one before stays.
func (p *presence) seen(c change) {
	p.srv.seq.SeenAsync(p.srv.limits.RequestTimeout, c.user, c.presence.LastSeen, func(_ wire.Millis, err error) {
		if err != nil {
			p.srv.stats.seenLost.Add(1)
		}
	})
}

// tell tells the members of a user's chats, unless he is there in another region.
func (p *presence) tell(ctx context.Context, c change) {
	ctx, cancel := context.WithTimeout(ctx, p.srv.limits.RequestTimeout)
	defer cancel()
	if c.presence.Status == relay.Offline && p.abroad(ctx, c.user).Status != relay.Offline {
		return
	}
	lines, _, err := p.srv.seq.UserChats(ctx, c.user, "", p.srv.limits.PresenceChats)
	if err != nil || len(lines) == 0 {
		return // they find out when they ask
	}
	h := relay.Hint{Kind: relay.HintPresence, UserID: c.user, Presence: c.presence}
	for _, line := range lines {
		h.Chats = append(h.Chats, line.ChatID)
	}
	p.srv.stats.presenceTold.Add(1)
	p.srv.router.send(h)
}

// abroadTime is how long other regions may take to say how present a user is there.
const abroadTime = 500 * time.Millisecond

// abroad asks one hub of each other region. A node that is no hub asks one of its own region, which asks the others.
func (p *presence) abroad(ctx context.Context, user string) (best relay.Presence) {
	patience := abroadTime
	if !p.srv.isHub() {
		patience *= 2
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, l := range p.srv.announcer.peers() {
		if there, err := l.ask(ctx, user); err == nil && (there.Status > best.Status || there.LastSeen > best.LastSeen) {
			best = relay.Presence{Status: max(best.Status, there.Status), LastSeen: max(best.LastSeen, there.LastSeen)}
		}
	}
	return best
}

// anywhere tells how present a user is, in this region or in another.
func (p *presence) anywhere(ctx context.Context, user string) relay.Presence {
	here := p.of(user)
	if here.Status == relay.Online || here.Status != relay.Offline && p.srv.isHub() {
		return here
	}
	there := p.abroad(ctx, user)
	if there.Status > here.Status || here.Status == relay.Offline && there.LastSeen > here.LastSeen {
		return there
	}
	return here
}

// flushSeen has it written that all who are here now were here, because this node ends and there is no other hub that would see them go.
func (p *presence) flushSeen(ctx context.Context) {
	if shared, _, _ := p.srv.hub.counts(); shared == 0 || p.srv.announcer.hasNeighbour() {
		return
	}
	var wg sync.WaitGroup
	window := make(chan struct{}, receiptWindow)
	now := wire.Millis(p.srv.now().UnixMilli())
	for _, u := range p.srv.registry.present() {
		if ctx.Err() != nil {
			return
		}
		window <- struct{}{}
		wg.Add(1)
		p.srv.seq.SeenAsync(p.srv.limits.RequestTimeout, u.ID, now, func(wire.Millis, error) {
			<-window
			wg.Done()
		})
	}
	wg.Wait()
}

// present takes a presence frame: the client says whether its user is there.
func (s *session) present(r *request) *problem {
	status := r.str("status")
	if r.err != nil {
		return problemOf(r.err)
	}
	switch status {
	case "online":
		s.away.Store(false)
	case "away":
		s.away.Store(true)
	default:
		return refuse(codeBadRequest, `status is "online" or "away"`)
	}
	s.srv.registry.presence(s.user)
	return nil
}

func presenceFrame(user string, p relay.Presence) []byte {
	return closeFrame(appendPresence(openFrame("presence", nil), user, p))
}

// appendPresence appends the members of a presence, each with a comma in front.
func appendPresence(dst []byte, user string, p relay.Presence) []byte {
	dst = appendText(dst, "userId", user)
	dst = appendText(dst, "status", p.Status.String())
	return appendTime(dst, "lastSeenAt", p.LastSeen)
}
