package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/bench/load"
	"github.com/quorate/quorate/bench/measure"
)

// peer is a system.
type peer interface {
	put(ctx context.Context, sender, n int, body []byte) error
	close()
}

// keeper is a peer that keeps what it acknowledged.
type keeper interface {
	held(ctx context.Context) (int64, error)
}

// broadcaster is a peer whose members get every message of sender 0's chat, on a connection each.
type broadcaster interface {
	peer
	listen(ctx context.Context, members int, got func(member int, body []byte, at time.Time)) error
}

func open(ctx context.Context, f *fleet, w work) (peer, error) {
	switch w.peer {
	case "etcd":
		return openEtcd(f)
	case "centrifuge":
		return openCentrifuge(ctx, f)
	}
	return openNATS(ctx, f, w)
}

const settleTime = 10 * time.Second

func do(ctx context.Context, w work, dir string) (*measure.Result, error) {
	f, err := startFleet(ctx, w.peer, dir)
	if err != nil {
		return nil, err
	}
	defer f.stop()
	p, err := open(ctx, f, w)
	if err != nil {
		return nil, err
	}
	defer p.close()
	r := newJob(w, f)
	crowd, broadcasts := p.(broadcaster)
	switch {
	case w.kind == "send":
		err = r.send(ctx, p)
	case w.kind == "fanout" && broadcasts:
		err = r.fanout(ctx, crowd)
	default:
		err = fmt.Errorf("%s does no %q", w.peer, w.kind)
	}
	if err != nil {
		return nil, err
	}
	return r.finish(ctx, p)
}

type job struct {
	work   work
	fleet  *fleet
	texts  *load.Texts
	window measure.Window
	result *measure.Result
	ops    []*measure.Recorder
	acked  atomic.Int64
}

func newJob(w work, f *fleet) *job {
	settings, _ := json.Marshal(map[string]any{"senders": w.senders, "streams": w.streams, "members": w.members, "size": w.size}) // plain values
	return &job{work: w, fleet: f, texts: load.NewTexts(1, w.size, 0), result: &measure.Result{
		Schema: measure.Schema, Scenario: w.kind, Label: w.peer, Settings: settings, Environment: measure.ThisMachine(w.peer, nil), Workers: 1,
		WarmupS: w.warmup.Seconds(), WindowS: w.window.Seconds(),
	}}
}

func (r *job) begin(names ...string) (server func()) {
	now := time.Now()
	r.window = measure.Window{Began: now, From: now.Add(r.work.warmup), To: now.Add(r.work.warmup + r.work.window)}
	r.result.Began = now
	for _, name := range names {
		r.ops = append(r.ops, measure.NewRecorder(name, r.window))
	}
	var before time.Duration
	timer := time.AfterFunc(r.work.warmup, func() { before = measure.CPUOf(r.fleet.pids()...) })
	return func() {
		timer.Stop()
		r.result.CPU.ServerSeconds = (measure.CPUOf(r.fleet.pids()...) - before).Seconds()
		r.result.CPU.ServerPids = r.fleet.pids()
	}
}

// send is a closed loop of senders, who wait for each ack.
func (r *job) send(ctx context.Context, p peer) error {
	ended := r.begin("send to ack")
	acks := r.ops[0]
	var group sync.WaitGroup
	for sender := range r.work.senders {
		group.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				now := time.Now()
				if !now.Before(r.window.To) {
					return
				}
				acks.Sent(now, now, 1)
				err := p.put(ctx, sender, n, []byte(r.texts.Text(sender, n)))
				if err != nil {
					acks.Failed(now, time.Now(), err)
					time.Sleep(10 * time.Millisecond)
					continue
				}
				r.acked.Add(1)
				acks.Done(now, now, time.Now())
			}
		})
	}
	group.Wait()
	ended()
	return ctx.Err()
}

// fanout keeps so many messages in flight that are not yet with all members.
func (r *job) fanout(ctx context.Context, p broadcaster) error {
	slots := make(chan struct{}, r.work.inFlight)
	var mu sync.Mutex
	var sent []time.Time // by number
	var texts []string   // by number
	var left []int
	var next []int // of each member: the number to come
	var faults []string
	next = make([]int, r.work.members)
	var arrivals *measure.Recorder
	err := p.listen(ctx, r.work.members, func(member int, body []byte, at time.Time) {
		mu.Lock()
		defer mu.Unlock()
		n, err := next[member], error(nil)
		if n >= len(texts) || string(body) != texts[n] { // it is another than the one whose turn it is
			n, err = number(body)
		}
		if err != nil || n >= len(sent) {
			faults = append(faults, fmt.Sprintf("member %d got %.40q", member, body))
			return
		}
		if n != next[member] && r.work.inFlight == 1 { // several at a time may be ordered either way
			faults = append(faults, fmt.Sprintf("member %d got %d in place of %d", member, n, next[member]))
		}
		next[member] = n + 1
		arrivals.Done(sent[n], sent[n], at)
		if left[n]--; left[n] == 0 {
			<-slots
		}
	})
	if err != nil {
		return err
	}
	ended := r.begin("send to receive", "send to ack")
	arrivals = r.ops[0]
	for n := 0; ctx.Err() == nil; n++ {
		select {
		case slots <- struct{}{}:
		case <-time.After(settleTime):
			return errors.New("a message did not come to all members")
		}
		now := time.Now()
		if !now.Before(r.window.To) {
			break
		}
		text := r.texts.Text(0, n)
		mu.Lock()
		sent, left, texts = append(sent, now), append(left, r.work.members), append(texts, text)
		mu.Unlock()
		arrivals.Sent(now, now, int64(r.work.members))
		go func() {
			r.ops[1].Sent(now, now, 1)
			if err := p.put(ctx, 0, n, []byte(text)); err != nil {
				r.ops[1].Failed(now, time.Now(), err)
				return
			}
			r.acked.Add(1)
			r.ops[1].Done(now, now, time.Now())
		}()
	}
	ended()
	if len(faults) > 0 {
		r.result.Notes = append(r.result.Notes, fmt.Sprintf("%d faults, the first: %s", len(faults), faults[0]))
	}
	return ctx.Err()
}

// number reads the number out of a text.
func number(body []byte) (int, error) {
	text := string(body[:min(len(body), 32)])
	for i := range text {
		if text[i] == '/' {
			rest := text[i+1:]
			for k := range rest {
				if rest[k] == '/' {
					return strconv.Atoi(rest[:k])
				}
			}
		}
	}
	return 0, errors.New("no number")
}

// finish looks that all that was acknowledged is there, where it is kept.
func (r *job) finish(ctx context.Context, p peer) (*measure.Result, error) {
	r.result.Checks.Acked = r.acked.Load()
	if k, keeps := p.(keeper); keeps {
		held, err := k.held(ctx)
		if err != nil {
			return nil, err
		}
		r.result.Checks.Read = held
		if held < r.acked.Load() {
			r.result.Checks.Broken = map[string]int64{"lost": r.acked.Load() - held}
		}
	}
	for _, o := range r.ops {
		r.result.Ops = append(r.result.Ops, o.Op())
	}
	r.result.Finish()
	return r.result, nil
}
