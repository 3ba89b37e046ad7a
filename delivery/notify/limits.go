package notify

import "time"

// Limits are the bounds of a notifier. A zero field takes its default. Those that are counted per group hold for each group that this node has.
type Limits struct {
	Grace       time.Duration // from a message to the look whether it was delivered; default 5 s
	GiveUp      time.Duration // from a message to the last try to tell of it; default 24 h
	FullAfter   time.Duration // the same while the table of notices is full; default 1 h
	Chats       int           // of one group with messages that nobody has looked after yet; beyond, the feed is not read; default 100,000
	Members     int           // of one group's chats whose watermarks are remembered; default 500,000
	Notices     int           // of one group, under way or to be tried again; beyond, the feed is not read; default 50,000
	Lookups     int           // of one group under way at the sequencers; default 64
	Sends       int           // to one platform under way; default 64
	BadgeChats  int           // of a user whose unread messages his badge counts; default 200
	TextBytes   int           // of a message's text in a notification; default 1,024
	FeedEvents  int           // events in one read of the feed, at most 1,000; default 1,000
	FeedWait    time.Duration // one read of the feed waits for an event; default 1 s
	RetryMost   time.Duration // between two tries at a provider that is not to be had; default 10 s
	LookupTime  time.Duration // one look-up; default 5 s
	CommitEvery time.Duration // how often the offset is committed; default 1 s
	StopTime    time.Duration // what is under way may take at the end; default 3 s
	LeaseTime   time.Duration // of the right to notify for a group; default 1.2 s
}

func (l Limits) withDefaults() Limits {
	def(&l.Grace, 5*time.Second)
	def(&l.GiveUp, 24*time.Hour)
	def(&l.FullAfter, time.Hour)
	def(&l.Chats, 100_000)
	def(&l.Members, 500_000)
	def(&l.Notices, 50_000)
	def(&l.Lookups, 64)
	def(&l.Sends, 64)
	def(&l.BadgeChats, 200)
	def(&l.TextBytes, 1024)
	def(&l.FeedEvents, 1000)
	def(&l.FeedWait, time.Second)
	def(&l.RetryMost, 10*time.Second)
	def(&l.LookupTime, 5*time.Second)
	def(&l.CommitEvery, time.Second)
	def(&l.StopTime, 3*time.Second)
	def(&l.LeaseTime, 1200*time.Millisecond)
	return l
}

func def[T int | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}
