package delivery

import (
	"hash/maphash"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits are the bounds of one edge. A zero field takes its default. Those of client addresses, and RequestConnections, are none at
// all where they are negative.
type Limits struct {
	HeaderTimeout      time.Duration // a request's head must be there; default 5 s
	BodyTimeout        time.Duration // the whole request must be there; default 15 s
	WriteTimeout       time.Duration // the whole answer must be taken; default 30 s
	IdleTimeout        time.Duration // a kept-alive connection without a request; default 60 s
	RequestTimeout     time.Duration // what a request may wait for the sequencer; default 5 s
	HelloTimeout       time.Duration // from the upgrade to a good hello; default 5 s
	HeaderBytes        int           // of one request's head; default 16 KiB
	BodyBytes          int64         // of one request's body; default 128 KiB
	FrameBytes         int           // of one message from a WebSocket client; default 64 KiB
	PingInterval       time.Duration // a WebSocket client that has said nothing for so long is pinged; default 45 s
	StallTimeout       time.Duration // a WebSocket client takes nothing of what waits for it; default 30 s
	OutboxBytes        int           // waiting for one WebSocket client; default 1 MiB
	Connections        int           // WebSockets of this edge; default 1,000,000
	UserConnections    int           // WebSockets of one user; default 16
	AddressConnections int           // WebSockets of one client address; default 4,096
	AddressHandshakes  int           // WebSocket handshakes of one address in a second, ten times as many at once; default 100
	AddressFailures    int           // tokens of one address refused in a second, likewise; after that none is looked at; default 50
	AddressRequests    int           // TCP connections of one address that are no WebSockets, or not yet; default 2,048
	RequestConnections int           // the same of all addresses; default 32,768
	KnownAddresses     int           // addresses that are remembered; default 2,000,000
	SendsPerSecond     float64       // of one user; default 20
	SendBurst          int           // of one user; default 50
	RatedUsers         int           // users whose rate is remembered; default 1,000,000
	SessionRequests    int           // requests of one WebSocket that wait for the sequencer; default 256
	SessionChats       int           // chats of one user; default 10,000
	HelloCursors       int           // chats named in one hello; default 2,000
	Loading            int           // sessions that read their chats after hello at the same time; default 32
	LoadQueue          int           // sessions that wait for that; default 16,384
	PageMessages       int           // messages in one page of catch-up; default 200
	PageBytes          int           // of JSON in one page of history, which then ends early; default 256 KiB
	CachedMembers      int           // members of all chats in the member cache; default 1,000,000
	RecentBytes        int           // of the last messages of chats, for those who come back; default 64 MiB
	ParkedEvents       int           // feed events of one chat that wait for its members; default 256
	FeedEvents         int           // events in one read of the feed, at most 1,000; default 1,000
	ReceiptDelay       time.Duration // how long a receipt may wait for others, a crowd's four times as long; default 250 ms
	PendingReceipts    int           // (chat, member) pairs whose receipt waits; default 65,536
	ToldReceipts       int           // (chat, member) pairs whose last receipt is remembered, twice as many at most; default 65,536
	TypingInterval     time.Duration // between two typing frames of one session in one chat; default 2 s
	FeedWait           time.Duration // one read of the feed waits for an event; default 1 s
	FeedGather         time.Duration // that more messages for the same members are waited for, while some are under way; default 5 ms
	TokenSweepInterval time.Duration // between two looks for expired tokens; default 15 s
	PresenceGrace      time.Duration // from a user's last connection to others being told; default 5 s
	PresenceMembers    int           // of a chat whose members are told of one another's presence unasked; default 32
	PresenceChats      int           // of a user whose members are told; default 100
	PresenceRate       float64       // users whose changes this node tells of, in a second; default 500
	PresenceQueue      int           // changes of presence that wait to be told; default 8,192
	LeaseTime          time.Duration // of a hub's right to read a feed for its region; default 1.2 s
	Batches            BatchLimits
}

func (l Limits) withDefaults() Limits {
	def(&l.HeaderTimeout, 5*time.Second)
	def(&l.BodyTimeout, 15*time.Second)
	def(&l.WriteTimeout, 30*time.Second)
	def(&l.IdleTimeout, time.Minute)
	def(&l.RequestTimeout, 5*time.Second)
	def(&l.HelloTimeout, 5*time.Second)
	def(&l.HeaderBytes, 16<<10)
	def(&l.BodyBytes, 128<<10)
	def(&l.FrameBytes, 64<<10)
	def(&l.PingInterval, 45*time.Second)
	def(&l.StallTimeout, 30*time.Second)
	def(&l.OutboxBytes, 1<<20)
	def(&l.Connections, 1_000_000)
	def(&l.UserConnections, 16)
	unless(&l.AddressConnections, 4096)
	unless(&l.AddressHandshakes, 100)
	unless(&l.AddressFailures, 50)
	unless(&l.AddressRequests, 2048)
	unless(&l.RequestConnections, 32_768)
	def(&l.KnownAddresses, 2_000_000)
	def(&l.SendsPerSecond, 20)
	def(&l.SendBurst, 50)
	def(&l.RatedUsers, 1_000_000)
	def(&l.SessionRequests, 256)
	def(&l.SessionChats, 10_000)
	def(&l.HelloCursors, 2_000)
	def(&l.Loading, 32)
	def(&l.LoadQueue, 16_384)
	def(&l.PageMessages, 200)
	def(&l.PageBytes, 256<<10)
	def(&l.CachedMembers, 1_000_000)
	def(&l.RecentBytes, 64<<20)
	def(&l.ParkedEvents, 256)
	def(&l.FeedEvents, 1000)
	def(&l.ReceiptDelay, 250*time.Millisecond)
	def(&l.PendingReceipts, 65_536)
	def(&l.ToldReceipts, 65_536)
	def(&l.TypingInterval, 2*time.Second)
	def(&l.FeedWait, time.Second)
	def(&l.FeedGather, 5*time.Millisecond)
	def(&l.TokenSweepInterval, 15*time.Second)
	def(&l.PresenceGrace, 5*time.Second)
	def(&l.PresenceMembers, 32)
	def(&l.PresenceChats, 100)
	def(&l.PresenceRate, 500)
	def(&l.PresenceQueue, 8192)
	def(&l.LeaseTime, 1200*time.Millisecond)
	l.Batches.fill()
	return l
}

func def[T int | int64 | float64 | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

// unless is def of a limit that may be none.
func unless(field *int, value int) {
	if *field == 0 {
		*field = value
	}
}

// sendRates limits how fast each user may send, over all the connections to this edge. A user whose bucket is full again
// needs no memory; those are forgotten when there are too many.
type sendRates struct {
	perSecond rate.Limit
	burst     int
	most      int // per shard
	shards    [64]rateShard
	seed      maphash.Seed
}

type rateShard struct {
	mu    sync.Mutex
	users map[string]*rate.Limiter
}

func newSendRates(l Limits) *sendRates {
	r := &sendRates{perSecond: rate.Limit(l.SendsPerSecond), burst: l.SendBurst, seed: maphash.MakeSeed()}
	r.most = max(1, l.RatedUsers/len(r.shards))
	for i := range r.shards {
		r.shards[i].users = map[string]*rate.Limiter{}
	}
	return r
}

// take takes one send from the user's bucket. Where it is empty it takes nothing and returns the refusal with the time
// after which one will be there.
func (r *sendRates) take(user string, now time.Time) *problem {
	s := &r.shards[maphash.String(r.seed, user)%uint64(len(r.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	bucket := s.users[user]
	if bucket == nil {
		if len(s.users) >= r.most && !s.forgetFull(now, r.burst) {
			return refuse(codeOverloaded, "too many users are sending")
		}
		bucket = rate.NewLimiter(r.perSecond, r.burst)
		s.users[user] = bucket
	}
	if bucket.AllowN(now, 1) {
		return nil
	}
	p := refuse(codeRateLimited, "too many sends")
	p.retryAfter = time.Duration((1 - bucket.TokensAt(now)) / float64(r.perSecond) * float64(time.Second))
	return p
}

// forgetFull drops the users whose bucket is full, and tells whether there was any. Called with mu held.
func (s *rateShard) forgetFull(now time.Time, burst int) bool {
	before := len(s.users)
	for user, bucket := range s.users {
		if bucket.TokensAt(now) >= float64(burst) {
			delete(s.users, user)
		}
	}
	return len(s.users) < before
}
