package scenario

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/quorate/quorate/bench/load"
	"github.com/quorate/quorate/bench/measure"
	"github.com/quorate/quorate/bench/socket"
)

// idle opens connections that then do nothing but answer pings, and looks what they cost the server. Each is a descriptor and some bytes
// here, and no more is kept of it, so that the clients of very many fit on a machine beside the server. Several runs of one name, beside
// each other, may share their people: one makes the chats, the others only connect.
type idle struct {
	r        *run
	pool     *socket.Pool
	people   int // that have the connections
	mine     int // connections
	welcomes *measure.Recorder
	planned  []time.Time
	begun    []time.Time
	again    []returning // in no order; they are few
	returned int         // how often one was asked to come again, and did
	open     int
	failed   int
	fewest   int   // chats in a welcome
	pids     []int // of the targets
}

// returning is a connection that the server asked to come again.
type returning struct {
	number int
	at     time.Time
}

const (
	beginsAtOnce = 64                     // connections that are begun between two looks at those that are: a server waits for hello only so long
	idlePatience = 100 * time.Millisecond // between two looks, where nothing comes: there may be many such processes on a machine
)

func newIdle(r *run) (scenario, error) {
	i := &idle{r: r, welcomes: r.recorder("connect to welcome")}
	if r.Connections > 0 {
		i.mine = r.share(r.Connections)
	}
	if i.people = i.mine; r.Users > 0 {
		i.people = r.share(r.Users)
	}
	r.Chats = max(r.Chats, 0)
	switch {
	case i.people == 0:
		return nil, errors.New("without connections there must be users whose chats are made")
	case r.Chats > 0 && (r.Members < 2 || i.people < r.Members):
		return nil, errors.New("chats have 2 or more members, and no more than there are people")
	}
	// The time that counts is that of the ramp, and the hold behind it.
	r.Warmup, r.For = 0, r.For+time.Duration(float64(i.mine)/(r.Ramp/float64(r.Parts))*float64(time.Second))
	var err error
	i.pool, err = socket.NewPool(socket.Config{Token: r.access.Token, Device: deviceAt(r.Targets)}, i)
	return i, err
}

// deviceAt names the device of all clients of a run. Another one at another target has other devices of the same people.
func deviceAt(targets []string) string {
	u, err := url.Parse(targets[0])
	if err != nil {
		return "bench"
	}
	return "bench-" + u.Port()
}

func (i *idle) close() { i.pool.Close() }

// prepare puts each user into so many chats: the members of one are those behind the members of the one before, all around.
func (i *idle) prepare(ctx context.Context) error {
	if err := socket.RaiseFiles(i.mine + 256); err != nil {
		return err
	}
	if i.pids = i.r.access.Servers; i.pids == nil {
		var hosts []string
		for _, t := range i.r.Targets {
			if u, err := url.Parse(t); err == nil {
				hosts = append(hosts, u.Host)
			}
		}
		i.pids = measure.Listeners(hosts)
	}
	var members [][]string
	for c := range (i.people*i.r.Chats + i.r.Members - 1) / max(i.r.Members, 1) {
		users := make([]string, i.r.Members)
		for m := range users {
			users[m] = i.r.user((c*i.r.Members + m) % i.people)
		}
		members = append(members, users)
	}
	if _, err := i.r.makeRooms(ctx, members); err != nil {
		return err
	}
	if err := i.awaitLists(ctx); err != nil {
		return err
	}
	if len(members) > 0 && len(i.pids) > 0 && i.mine > 0 {
		sleep(ctx, min(idleSettle, i.r.For))
	}
	return nil
}

// idleSettle is how long a run that holds for long rests before it looks what a node has without connections: by then a node has given back what
// only the making of chats needed.
const idleSettle = 35 * time.Second

// awaitLists waits until people spread over all have all their chats in their lists, which follow the members of chats.
func (i *idle) awaitLists(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readersAtOnce)
	for n := 0; n < i.people && i.r.Chats > 0; n += max(1, i.people/listSamples) {
		group.Go(func() error {
			for ctx.Err() == nil {
				have, err := i.r.rest.chats(ctx, i.r.target(n), i.r.user(n))
				if err != nil || have >= i.r.Chats {
					return err
				}
				sleep(ctx, 200*time.Millisecond)
			}
			return ctx.Err()
		})
	}
	return group.Wait()
}

// listSamples is how many people's lists are looked at.
const listSamples = 32

func (i *idle) drive(ctx context.Context) error {
	if i.mine == 0 {
		return nil
	}
	w := i.r.window
	before := measure.ResidentOf(i.pids...)
	schedule := load.NewSchedule(i.r.Ramp/float64(i.r.Parts), w.Began, w.To)
	slept, began, all := i.pool.Slept, time.Now(), false
	for ctx.Err() == nil && time.Now().Before(w.To) {
		if err := i.beginDue(schedule); err != nil {
			return err
		}
		patience := 5 * time.Millisecond
		if len(i.planned) == i.mine {
			patience = idlePatience
		}
		if err := i.pool.Wait(time.Now().Add(patience)); err != nil {
			return err
		}
		if !all && i.open+i.failed >= i.mine {
			all = true
			i.r.enter("hold")
		}
	}
	if took := time.Since(began); i.pool.Slept-slept < took/10 {
		i.r.limited("the goroutine of the clients was busy for over 90 %% of the time")
	}
	return i.tell(before)
}

// beginDue begins the connections whose time it is, but not so many that those that are there would wait for it.
func (i *idle) beginDue(schedule *load.Schedule) error {
	now := time.Now()
	for most := len(i.planned) + beginsAtOnce; len(i.planned) < min(i.mine, most); {
		_, planned, due := schedule.Due(now)
		if !due {
			break
		}
		i.planned, i.begun = append(i.planned, planned), append(i.begun, now)
		i.welcomes.Sent(planned, now, 1)
		if err := i.connect(len(i.planned) - 1); err != nil {
			return err
		}
	}
	for k := len(i.again) - 1; k >= 0; k-- {
		if c := i.again[k]; !now.Before(c.at) {
			i.again[k] = i.again[len(i.again)-1]
			i.again = i.again[:len(i.again)-1]
			if err := i.connect(c.number); err != nil {
				return err
			}
		}
	}
	return nil
}

func (i *idle) connect(k int) error {
	_, err := i.pool.Connect(i.r.target(k), i.r.user((i.r.First+k)%i.people), k, "")
	return err
}

func (i *idle) tell(before uint64) error {
	i.r.result.Values = append(i.r.result.Values,
		measure.Value{Name: "connections", Value: float64(i.open), Sum: true},
		measure.Value{Name: "connections that failed or ended", Value: float64(i.failed), Sum: true},
		measure.Value{Name: "times one was asked to come again", Value: float64(i.returned), Sum: true},
		measure.Value{Name: "pings answered", Value: float64(i.pool.Pings), Sum: true})
	i.r.result.Tell("chats in each welcome, at least", float64(i.fewest), "")
	if len(i.pids) > 0 && i.open > 0 && i.r.Parts == 1 {
		after := measure.ResidentOf(i.pids...)
		i.r.result.Tell("resident memory before", float64(before)/(1<<20), "MiB")
		i.r.result.Tell("resident memory with all", float64(after)/(1<<20), "MiB")
		i.r.result.Tell("resident memory per connection", (float64(after)-float64(before))/float64(i.open), "bytes")
	}
	if i.open == 0 {
		return fmt.Errorf("no connection was welcomed: %v", i.welcomes.Op().Why)
	}
	return nil
}

func (i *idle) verify(context.Context) error { return nil }

// Welcomed implements socket.Handler.
func (i *idle) Welcomed(c *socket.Conn, now time.Time) {
	if i.open++; i.open == 1 || c.Chats < i.fewest {
		i.fewest = c.Chats
	}
	i.welcomes.Done(i.planned[c.Number], i.begun[c.Number], now)
}

// Frame implements socket.Handler.
func (i *idle) Frame(*socket.Conn, []byte, time.Time) {}

// Ended implements socket.Handler.
func (i *idle) Ended(c *socket.Conn, err error) {
	var closed *socket.CloseError
	if !c.Welcomed() && errors.As(err, &closed) && !closed.Stops() && closed.RetryAfter() > 0 {
		wait := closed.RetryAfter()
		i.again = append(i.again, returning{c.Number, time.Now().Add(wait + rand.N(wait))}) //nolint:gosec // nothing depends on chance
		i.returned++
		return
	}
	i.failed++
	if c.Welcomed() {
		i.open--
	}
	i.welcomes.Failed(i.planned[c.Number], time.Now(), err)
}
