package sequencer_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

// BenchmarkAppend measures appends of 200 bytes through one group of three replicas in this process, with real fsyncs, in
// a closed loop: every sender has one append under way. direct offers commands to the leader's batcher; resp goes through
// the pipelined client and the RESP server, tls does so with certificates, between the nodes too. CPU is that of the whole process: three replicas, and the client.
func BenchmarkAppend(b *testing.B) {
	for _, road := range []string{"direct", "resp", "tls"} {
		for _, senders := range []int{1, 64, 1024} {
			b.Run(fmt.Sprintf("%s/senders=%d", road, senders), func(b *testing.B) {
				options := []sequencertest.Option{patient}
				if road == "tls" {
					options = append(options, newAuthority(b).secured)
				}
				c := sequencertest.Start(b, 3, 1, options...)
				client := c.Client()
				users := sequencertest.Names("user", 64)
				chats := sequencertest.Names("chat", 64)
				sequencertest.MakeChats(b, client, users, chats...)
				leader := c.Node(c.Leader(0))
				offer := func(m raftfsm.Append, done func(error)) {
					leader.Submit(m.ChatID, m, func(res raftfsm.Result, err error) {
						if err == nil {
							err = res.Err
						}
						done(err)
					})
				}
				if road != "direct" {
					offer = overRESP(client)
				}
				measureAppends(b, senders, users, chats, offer)
			})
		}
	}
}

// BenchmarkAppendGroups is BenchmarkAppend over eight groups, whose leaders are where elections left them. Each entry
// costs the same whatever it holds, so what counts is how full they are: the bound on a node's entries in flight.
func BenchmarkAppendGroups(b *testing.B) {
	for _, inFlight := range []int{2, 8, 32} {
		b.Run(fmt.Sprintf("nodeInFlight=%d/senders=512", inFlight), func(b *testing.B) {
			c := sequencertest.Start(b, 3, 8, patient, func(_ int, cfg *sequencer.Config) { cfg.Limits.NodeInFlight = inFlight })
			client := c.Client()
			users, chats := sequencertest.Names("user", 64), sequencertest.Names("chat", 64)
			sequencertest.MakeChats(b, client, users, chats...)
			measureAppends(b, 512, users, chats, overRESP(client))
		})
	}
}

// BenchmarkGroups is BenchmarkAppend with 512 senders over one and over eight groups, for each kind of log. Its commands go
// straight to the batchers of whoever leads, so that what is measured is the quorum, not the client.
func BenchmarkGroups(b *testing.B) {
	for _, kind := range logKinds {
		for _, groups := range []int{1, 8} {
			b.Run(fmt.Sprintf("log=%s/groups=%d", kind, groups), func(b *testing.B) {
				c := sequencertest.Start(b, 3, groups, patient, func(_ int, cfg *sequencer.Config) {
					cfg.LogStore, cfg.SegmentBytes = kind, 0
				})
				users, chats := sequencertest.Names("user", 64), sequencertest.Names("chat", 64)
				sequencertest.MakeChats(b, c.Client(), users, chats...)
				leaders := make([]*sequencer.Node, groups)
				for g := range leaders {
					leaders[g] = c.Node(c.Leader(wire.GroupID(g)))
				}
				entries, commands := batching(c)
				measureAppends(b, 512, users, chats, func(m raftfsm.Append, done func(error)) {
					leader := leaders[wire.GroupOf(wire.SlotOf(m.ChatID), groups)]
					leader.Submit(m.ChatID, m, func(res raftfsm.Result, err error) { done(errors.Join(err, res.Err)) })
				})
				entriesAfter, commandsAfter := batching(c)
				b.ReportMetric(float64(commandsAfter-commands)/float64(entriesAfter-entries), "msgs/entry")
			})
		}
	}
}

// batching adds up Batching of all nodes.
func batching(c *sequencertest.Cluster) (entries, commands int64) {
	for i := range c.Len() {
		e, n := c.Node(i).Batching()
		entries, commands = entries+e, commands+n
	}
	return entries, commands
}

// logKinds are the logs that are compared.
var logKinds = []string{sequencer.LogBolt, sequencer.LogWAL}

// overRESP offers messages through the client.
func overRESP(client *wire.Client) func(raftfsm.Append, func(error)) {
	return func(m raftfsm.Append, done func(error)) {
		client.Submit(m.ChatID, time.Minute, func(_ wire.Reply, err error) { done(err) },
			"CHAT.APPEND", m.ChatID, m.SenderID, m.ClientMessageID, m.Text)
	}
}

// patient keeps a leader that is short of CPU in office: failover is not what is measured.
func patient(_ int, cfg *sequencer.Config) {
	cfg.Timing = raftfsm.Timing{Heartbeat: 2 * time.Second, Election: 2 * time.Second, Lease: 2 * time.Second}
}

// measureAppends has senders offer b.N messages and reports what they cost.
func measureAppends(b *testing.B, senders int, users, chats []string, offer func(raftfsm.Append, func(error))) {
	b.Helper()
	text := strings.Repeat("x", 200)
	waits := make([][]time.Duration, senders)
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	before, begin := cpuTime(b), time.Now()
	for s := range senders {
		share := b.N / senders
		if s < b.N%senders {
			share++
		}
		wg.Go(func() {
			waits[s] = make([]time.Duration, 0, share)
			answer := make(chan error, 1)
			var sent time.Time
			done := func(err error) {
				// Not where the sender goes on: the scheduler may let one of a thousand goroutines wait for long.
				waits[s] = append(waits[s], time.Since(sent))
				answer <- err
			}
			for i := range share {
				sent = time.Now()
				offer(raftfsm.Append{
					ChatID: chats[s%len(chats)], SenderID: users[s%len(users)],
					ClientMessageID: strconv.Itoa(s) + "-" + strconv.Itoa(i), Text: text,
				}, done)
				if err := <-answer; err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	took, cpu := time.Since(begin), cpuTime(b)-before
	b.StopTimer()
	all := slices.Concat(waits...)
	slices.Sort(all)
	if len(all) == 0 {
		return
	}
	at := func(q float64) float64 { return float64(all[int(q*float64(len(all)-1))]) / float64(time.Millisecond) }
	b.ReportMetric(float64(len(all))/took.Seconds(), "msgs/s")
	b.ReportMetric(at(0.50), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
	b.ReportMetric(float64(cpu.Microseconds())/float64(len(all)), "cpu-us/msg")
}

// cpuTime gives what this process has used, in user and system mode.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
