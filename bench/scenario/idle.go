package scenario

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/quorate/quorate/bench/load"
	"github.com/quorate/quorate/bench/measure"
	"github.com/quorate/quorate/bench/socket"
)

// idle opens connections that then do nothing but answer pings, and looks what they cost the server. Each is a descriptor and some bytes
// here, and no more is kept of it, so that the clients of very many fit on a machine beside the server.
type idle struct {
	r        *run
	pool     *socket.Pool
	welcomes *measure.Recorder
	planned  []time.Time
	begun    []time.Time
	open     int
	failed   int
	pids     []int // of the targets
}

// beginsAtOnce is how many connections are begun between two looks at those that are: a server waits for hello only so long.
const beginsAtOnce = 64

func newIdle(r *run) (scenario, error) {
	if r.Chats > 0 && (r.Members < 2 || r.share(r.Connections) < r.Members) {
		return nil, errors.New("chats have 2 or more members, and no more than there are connections")
	}
	r.Chats = max(r.Chats, 0)
	i := &idle{r: r, welcomes: r.recorder("connect to welcome")}
	// The time that counts is that of the ramp, and the hold behind it.
	r.Warmup, r.For = 0, r.For+time.Duration(float64(r.share(r.Connections))/(r.Ramp/float64(r.Parts))*float64(time.Second))
	var err error
	i.pool, err = socket.NewPool(socket.Config{Token: r.access.Token, Device: "bench"}, i)
	return i, err
}

func (i *idle) close() { i.pool.Close() }

// prepare puts each user into so many chats: the members of one are those behind the members of the one before, all around.
func (i *idle) prepare(ctx context.Context) error {
	n := i.r.share(i.r.Connections)
	if err := socket.RaiseFiles(n + 256); err != nil {
		return err
	}
	var hosts []string
	for _, t := range i.r.Targets {
		if u, err := url.Parse(t); err == nil {
			hosts = append(hosts, u.Host)
		}
	}
	i.pids = measure.Listeners(hosts)
	var members [][]string
	for c := range (n*i.r.Chats + i.r.Members - 1) / max(i.r.Members, 1) {
		users := make([]string, i.r.Members)
		for m := range users {
			users[m] = i.r.user((c*i.r.Members + m) % n)
		}
		members = append(members, users)
	}
	_, err := i.r.makeRooms(ctx, members)
	return err
}

func (i *idle) drive(ctx context.Context) error {
	n, w := i.r.share(i.r.Connections), i.r.window
	before := measure.ResidentOf(i.pids...)
	schedule := load.NewSchedule(i.r.Ramp/float64(i.r.Parts), w.Began, w.To)
	slept, began := i.pool.Slept, time.Now()
	for ctx.Err() == nil && time.Now().Before(w.To) {
		now := time.Now()
		for most := len(i.planned) + beginsAtOnce; len(i.planned) < min(n, most); {
			_, planned, due := schedule.Due(now)
			if !due {
				break
			}
			if err := i.begin(planned); err != nil {
				return err
			}
		}
		if err := i.pool.Wait(time.Now().Add(5 * time.Millisecond)); err != nil {
			return err
		}
	}
	if took := time.Since(began); i.pool.Slept-slept < took/10 {
		i.r.limited("the goroutine of the clients was busy for over 90 %% of the time")
	}
	return i.tell(before)
}

func (i *idle) begin(planned time.Time) error {
	k := len(i.planned)
	i.planned, i.begun = append(i.planned, planned), append(i.begun, time.Now())
	i.welcomes.Sent(planned, i.begun[k], 1)
	_, err := i.pool.Connect(i.r.target(k), i.r.user(k), k, "")
	return err
}

func (i *idle) tell(before uint64) error {
	i.r.result.Values = append(i.r.result.Values,
		measure.Value{Name: "connections", Value: float64(i.open), Sum: true},
		measure.Value{Name: "connections that failed or ended", Value: float64(i.failed), Sum: true})
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
	i.open++
	i.welcomes.Done(i.planned[c.Number], i.begun[c.Number], now)
}

// Frame implements socket.Handler.
func (i *idle) Frame(*socket.Conn, []byte, time.Time) {}

// Ended implements socket.Handler.
func (i *idle) Ended(c *socket.Conn, err error) {
	i.failed++
	if c.Welcomed() {
		i.open--
	}
	i.welcomes.Failed(i.planned[c.Number], time.Now(), err)
}
