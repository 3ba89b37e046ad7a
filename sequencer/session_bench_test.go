package sequencer_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

// sessionChats is in how many chats each user of BenchmarkSession is, all of 256 members.
const sessionChats = 20

// BenchmarkSession measures what it takes to load a session at a delivery node: a user's chat list, and then where each of
// his chats stands. There are three replicas of eight groups in this process. CPU is that of the whole process: replicas,
// and the client.
func BenchmarkSession(b *testing.B) {
	c := sequencertest.Start(b, 3, 8, patient)
	client := c.Client()
	users, chats := sequencertest.Names("user", wire.MaxMembers), sequencertest.Names("chat", sessionChats)
	sequencertest.MakeChats(b, client, users, chats...)
	for _, user := range users {
		c.Eventually("the chat list of "+user, func() bool {
			list, _, err := client.UserChats(context.Background(), user, "", wire.MaxPage)
			return err == nil && len(list) == len(chats)
		})
	}
	for _, at := range []int{1, 64} {
		b.Run(fmt.Sprintf("sessions=%d/list", at), func(b *testing.B) {
			measureSessions(b, at, users, func(ctx context.Context, user string) error {
				_, _, err := client.UserChats(ctx, user, "", wire.MaxPage)
				return err
			})
		})
		b.Run(fmt.Sprintf("sessions=%d/heads", at), func(b *testing.B) {
			measureSessions(b, at, users, func(ctx context.Context, user string) error {
				heads, err := client.Heads(ctx, chats, user)
				if err == nil && len(heads) != len(chats) {
					err = fmt.Errorf("%d heads", len(heads))
				}
				return err
			})
		})
	}
}

// measureSessions loads b.N times something of a user, so many at a time.
func measureSessions(b *testing.B, atOnce int, users []string, load func(ctx context.Context, user string) error) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	b.ReportAllocs()
	b.ResetTimer()
	before := cpuTime(b)
	var wg sync.WaitGroup
	for s := range atOnce {
		wg.Go(func() {
			for i := s; i < b.N; i += atOnce {
				if err := load(ctx, users[i%len(users)]); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
}
