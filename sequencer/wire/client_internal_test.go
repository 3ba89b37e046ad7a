package wire

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

// spread gives the ranges of n groups, without those that are left out.
func spread(n int, without ...int) []GroupRoute {
	var ranges []GroupRoute
	for g := range n {
		if slices.Contains(without, g) {
			continue
		}
		first, last := SlotRange(GroupID(g), n)
		ranges = append(ranges, GroupRoute{First: first, Last: last, Leader: "a:1", Replicas: []string{"b:1"}})
	}
	return ranges
}

// TestGroupsOf_SomeLeftOut: a node leaves out groups without a leader, and still the others keep their numbers.
func TestGroupsOf_SomeLeftOut(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 8, 16, 64} {
		old := &routes{groups: make([]route, n)}
		for g := range old.groups {
			old.groups[g].GroupRoute = GroupRoute{Leader: "c:1", Replicas: []string{"b:1"}}
		}
		for out := range n {
			ranges := spread(n, out)
			rand.Shuffle(len(ranges), func(i, j int) { ranges[i], ranges[j] = ranges[j], ranges[i] })
			groups, err := groupsOf(ranges, old)
			if n == 1 {
				if !errors.Is(err, errTopology) {
					t.Errorf("no ranges at all: %v", err)
				}
				continue
			}
			if err != nil || len(groups) != n {
				t.Fatalf("%d groups without %d: %d, %v", n, out, len(groups), err)
			}
			for g := range groups {
				first, last := SlotRange(GroupID(g), n)
				want := GroupRoute{Group: GroupID(g), First: first, Last: last, Leader: "a:1", Replicas: []string{"b:1"}}
				if g == out {
					want.Leader, want.Replicas = "", []string{"c:1", "b:1"}
				}
				if !reflect.DeepEqual(groups[g], want) {
					t.Fatalf("group %d of %d without %d: %+v", g, n, out, groups[g])
				}
			}
		}
		if groups, err := groupsOf(spread(n), nil); err != nil || len(groups) != n {
			t.Errorf("all of %d: %d, %v", n, len(groups), err)
		}
	}
}

func TestGroupsOf_Refuses(t *testing.T) {
	for name, ranges := range map[string][]GroupRoute{
		"overlap":      {{First: 0, Last: 8192}, {First: 8192, Last: 16383}},
		"uneven holes": {{First: 0, Last: 100}, {First: 8192, Last: 16383}},
		"not told":     {},
		"ambiguous":    {{First: 0, Last: 16}}, // of 964 groups, or of 1000
	} {
		if groups, err := groupsOf(ranges, nil); err == nil {
			t.Errorf("%s: %v", name, groups)
		}
	}
	uneven := []GroupRoute{{First: 101, Last: 16383}, {First: 0, Last: 100}} // another cluster's own way, but whole
	if groups, err := groupsOf(uneven, nil); err != nil || len(groups) != 2 || groups[1].First != 101 {
		t.Errorf("whole but uneven: %v, %v", groups, err)
	}
}

func TestDecodeSlots(t *testing.T) {
	r := mustParse(t, "*2\r\n"+
		"*4\r\n:0\r\n:8191\r\n*4\r\n$3\r\n::1\r\n:7\r\n$2\r\nid\r\n*0\r\n*2\r\n_\r\n:8\r\n"+
		"*5\r\n:8192\r\n:16383\r\n*2\r\n$1\r\nh\r\n:1\r\n*2\r\n$1\r\nh\r\n:1\r\n*2\r\n$0\r\n\r\n:2\r\n")
	want := []GroupRoute{
		{First: 0, Last: 8191, Leader: "[::1]:7", Replicas: []string{"10.0.0.1:8"}},
		{First: 8192, Last: 16383, Leader: "h:1", Replicas: []string{"10.0.0.1:2"}},
	}
	if got, err := decodeSlots("10.0.0.1:7379", r); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	for name, text := range map[string]string{
		"no array":       "+OK\r\n",
		"null range":     "*1\r\n_\r\n",
		"no node":        "*1\r\n*2\r\n:0\r\n:1\r\n",
		"backwards":      "*1\r\n*3\r\n:2\r\n:1\r\n*2\r\n$1\r\nh\r\n:1\r\n",
		"beyond":         "*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$1\r\nh\r\n:1\r\n",
		"node no array":  "*1\r\n*3\r\n:0\r\n:1\r\n+h\r\n",
		"port 0":         "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\nh\r\n:0\r\n",
		"port too large": "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\nh\r\n:65536\r\n",
	} {
		if got, err := decodeSlots("a:1", mustParse(t, text)); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestWheel_AgainstAList has requests come, move and go at random, with time in small and large steps, and compares what is
// due with what a plain list says.
func TestWheel_AgainstAList(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var w wheel
	w.init()
	due := map[*request]time.Duration{} // of those in the wheel
	now := time.Duration(0)
	pick := func() *request {
		for req := range due { // a random one
			return req
		}
		return nil
	}
	for range 20_000 {
		switch op := rng.IntN(10); {
		case op < 4:
			req := &request{deadline: now + time.Duration(rng.Int64N(int64(30*time.Second)))}
			if !w.add(req, now) {
				t.Fatal("an open wheel refuses")
			}
			due[req] = req.deadline
		case op < 6 && len(due) > 0:
			req := pick()
			due[req] = min(now+time.Duration(rng.Int64N(int64(time.Second))), req.deadline)
			w.move(req, due[req])
		case op < 7 && len(due) > 0:
			req := pick()
			w.remove(req)
			w.remove(req)
			w.move(req, now) // stays out
			delete(due, req)
		default:
			now += time.Duration(rng.Int64N(int64([]time.Duration{wheelTick, time.Second, 15 * time.Second}[rng.IntN(3)])))
			checkDue(t, &w, due, now)
		}
		if w.empty() != (len(due) == 0) {
			t.Fatalf("empty is %v with %d requests", w.empty(), len(due))
		}
	}
	if got := w.close(); len(got) != len(due) {
		t.Errorf("close gives %d of %d", len(got), len(due))
	}
	if w.add(&request{}, now) {
		t.Error("a closed wheel takes more")
	}
}

// checkDue: what comes is due; what has been due for a tick has come.
func checkDue(t *testing.T, w *wheel, due map[*request]time.Duration, now time.Duration) {
	t.Helper()
	for _, req := range w.advance(now, nil) {
		at, in := due[req]
		if !in || at > now {
			t.Fatalf("due at %v came at %v (known: %v)", at, now, in)
		}
		if req.deadline <= now {
			w.remove(req)
			delete(due, req)
		} else {
			due[req] = req.deadline
		}
	}
	for _, at := range due {
		if at <= now-wheelTick {
			t.Fatalf("due at %v, not yet there at %v", at, now)
		}
	}
}

func TestBreaker(t *testing.T) {
	b := newBreaker(BreakerConfig{Failures: 3, After: time.Second, Probe: 100 * time.Millisecond})
	at := time.Second
	for range 10 {
		b.failed(at)
	}
	if !b.closed() {
		t.Fatal("many failures at one moment are no outage yet")
	}
	at += time.Second
	if b.failed(at); b.closed() {
		t.Fatal("failures for a second are one")
	}
	if b.probe(at) {
		t.Error("a request passes at once")
	}
	at += 150 * time.Millisecond
	if !b.probe(at) || b.probe(at) {
		t.Error("after a while one passes, and one only")
	}
	b.succeeded()
	if !b.closed() || !b.probe(at) {
		t.Error("its success does not end it")
	}
	at += time.Hour
	for range 2 {
		b.failed(at)
		at += time.Second
	}
	b.succeeded()
	for range 2 {
		b.failed(at)
		at += time.Second
	}
	if !b.closed() {
		t.Error("failures with a success between them are counted together")
	}
}

func TestFifo(t *testing.T) {
	var q fifo
	var want []*request
	rng := rand.New(rand.NewPCG(3, 4))
	for range 10_000 {
		if rng.IntN(5) < 3 {
			req := &request{}
			q.push(req)
			want = append(want, req)
		} else if got := q.pop(); len(want) == 0 && got != nil || len(want) > 0 && got != want[0] {
			t.Fatal("wrong order")
		} else if len(want) > 0 {
			want = want[1:]
		}
		if q.len() != len(want) {
			t.Fatalf("%d, want %d", q.len(), len(want))
		}
	}
}
