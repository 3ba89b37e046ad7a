package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/bench/measure"
	"github.com/quorate/quorate/bench/plan"
	"github.com/quorate/quorate/bench/scenario"
	"github.com/quorate/quorate/sequencer/wire"
)

// UnitsConfig is a measurement of unit costs.
type UnitsConfig struct {
	Out         string        `koanf:"out" doc:"file for the unit costs, JSON"`
	Connections int           `koanf:"connections" doc:"connections whose memory is measured"`
	Size        int           `koanf:"size" doc:"bytes of a text"`
	For         time.Duration `koanf:"for" doc:"time that counts, of each of the runs"`
}

func (a *app) benchUnitsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "units", Short: "Measure what an append, a delivery, a connection and a message cost, for quorate plan", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runUnits(cmd) },
	}
	a.bind(cmd.Flags(), "units")
	return cmd
}

// unitRuns makes the runs that unit costs come from.
type unitRuns struct {
	ctx    context.Context
	config *UnitsConfig
	units  plan.Units
	say    func(what string)
}

func (a *app) runUnits(cmd *cobra.Command) error {
	c := &a.config.Units
	if c.For <= 0 || c.Connections < 1 {
		return usagef("units take time and connections")
	}
	u := &unitRuns{ctx: cmd.Context(), config: c, say: func(what string) { fmt.Fprintln(cmd.ErrOrStderr(), what) }}
	u.units.Schema, u.units.Measured = plan.UnitsSchema, time.Now().UTC().Truncate(time.Second)
	u.units.Environment = measure.ThisMachine(buildVersion(), nil)
	u.units.TextBytes = plan.Unit{Value: float64(c.Size), Unit: "bytes", What: "text of a message", Command: "a setting"}
	for _, part := range []func() error{u.appends, u.deliveries, u.receipts, u.connections, u.cold} {
		if err := part(); err != nil {
			return err
		}
	}
	if c.Out != "" {
		if err := u.units.Write(c.Out); err != nil {
			return err
		}
	}
	return a.print(cmd.OutOrStdout(), &u.units, []string{"UNIT", "COST", "", "COMMAND"}, u.rows())
}

func (u *unitRuns) rows() (rows [][]string) {
	n := &u.units
	for _, unit := range []plan.Unit{
		n.AppendCPU, n.AppendRate, n.DeliveryCPU, n.DeliveryBytes, n.ReceiptCPU, n.ConnectionRAM, n.ConnectionRate, n.MessageHot, n.MessageCold, n.TextBytes,
	} {
		rows = append(rows, []string{unit.What, fmt.Sprintf("%.1f", unit.Value), unit.Unit, unit.Command})
	}
	return rows
}

// run makes one run against a cluster of its own, of whose processes the time of those that serve is counted, and looks at it before it
// ends.
func (u *unitRuns) run(s scenario.Settings, serve func(c *benchCluster) []int, look func(c *benchCluster, res *measure.Result) error) error {
	u.say(s.Scenario)
	c, err := startBenchCluster(u.ctx, s.Archived, true)
	if err != nil {
		return err
	}
	s.Targets, s.Sequencers, s.Seed, s.Size, s.Replay, s.For = []string{c.rest}, c.resp, 1, u.config.Size, -1, max(s.For, u.config.For)
	access := scenario.Access{
		Token: func(user string) (string, error) { return "user:" + user, nil }, Username: "default", Version: buildVersion(), Servers: serve(c),
	}
	res, err := scenario.Run(u.ctx, s, access)
	switch {
	case err != nil:
	case res.Checks.Total() > 0:
		err = &exitStatus{code: exitBroken, err: fmt.Errorf("%s: %d promises were found broken", s.Scenario, res.Checks.Total())}
	case res.Ops[0].Done == 0:
		err = fmt.Errorf("%s: nothing was done: %v", s.Scenario, res.Ops[0].Why)
	default:
		err = look(c, res)
	}
	return errors.Join(err, c.stop())
}

func (c *benchCluster) sequencerPids() (pids []int) {
	for _, p := range c.sequencers {
		pids = append(pids, p.cmd.Process.Pid)
	}
	return pids
}

func (c *benchCluster) edgePids() []int { return c.pids()[len(c.sequencers):] }

const (
	unitWarmup = 2 * time.Second
	unitRate   = 1000 // messages a second of the runs that are not closed loops
	unitNoise  = 0.02 // of a run's cost: a smaller difference of two runs is not told from chance, and counts as so much
)

// appends measures full batches: what an append costs all replicas, what a group takes, and what a message takes on disk.
func (u *unitRuns) appends() error {
	s := scenario.Settings{Scenario: "send", Protocol: "resp", Closed: true, Senders: 512, Chats: 64, Warmup: unitWarmup}
	return u.run(s, (*benchCluster).sequencerPids, func(c *benchCluster, res *measure.Result) error {
		const command = "quorate bench send --processes --closed --senders 512"
		u.units.AppendCPU = plan.Unit{Value: res.CPU.PerMillion, Unit: "µs", What: "append, CPU of all three replicas at full batches", Command: command}
		u.units.AppendRate = plan.Unit{
			Value: res.Ops[0].PerSecond(res.Window()) / 2, Unit: "1/s", What: "appends of one of two groups", Command: command,
		}
		bytes, err := u.stateBytes(c)
		u.units.MessageHot = plan.Unit{
			Value: float64(bytes) / float64(res.Checks.Acked), Unit: "bytes", What: "message in one replica's state", Command: command + ", RAFT SNAPSHOT, then du of group-*/store",
		}
		return err
	})
}

// stateBytes is what the state of all groups takes on the first node's disk, with what is still in memory written out first. The log is
// not in it: it has a bound.
func (u *unitRuns) stateBytes(c *benchCluster) (total int64, err error) {
	client := wire.NewClient(wire.ClientConfig{Seeds: c.resp, Logger: slog.New(slog.DiscardHandler)})
	defer func() { _ = client.Close() }() // it only asked
	groups, err := client.Groups(u.ctx)
	if err != nil {
		return 0, err
	}
	for g := range groups {
		if _, err := client.DoNode(u.ctx, c.resp[0], "RAFT", "SNAPSHOT", strconv.Itoa(g)); err != nil {
			return 0, err
		}
		stores, err := filepath.Glob(filepath.Join(c.dir, "n1", fmt.Sprintf("group-%d.*", g), "store"))
		if err != nil || len(stores) != 1 {
			return 0, fmt.Errorf("the state of group %d: %q, %w", g, stores, err)
		}
		bytes, err := sizeOf(stores[0])
		if err != nil {
			return 0, err
		}
		total += bytes
	}
	return total, nil
}

// deliveries measures a large group whose members are all online.
func (u *unitRuns) deliveries() error {
	s := scenario.Settings{Scenario: "fanout", Members: 256, Closed: true, InFlight: 4, Warmup: unitWarmup}
	return u.run(s, (*benchCluster).edgePids, func(_ *benchCluster, res *measure.Result) error {
		const command = "quorate bench fanout --processes --closed --in-flight 4"
		u.units.DeliveryCPU = plan.Unit{Value: res.CPU.PerMillion, Unit: "µs", What: "delivery to one member, CPU of the delivery node", Command: command}
		bytes, _ := res.Value("bytes received per delivery")
		u.units.DeliveryBytes = plan.Unit{Value: bytes, Unit: "bytes", What: "delivery on a client's wire", Command: command}
		return nil
	})
}

// receipts measures chats of two who read what they are shown, and takes off what the same costs without reading.
func (u *unitRuns) receipts() error {
	var with, without float64
	of := func(cost *float64) func(*benchCluster, *measure.Result) error {
		return func(_ *benchCluster, res *measure.Result) error {
			*cost = res.CPU.ServerSeconds / float64(res.Op("send to ack").Done) * 1e6
			return nil
		}
	}
	s := scenario.Settings{Scenario: "receipts", Rate: unitRate, Warmup: unitWarmup, For: 2 * u.config.For} // a difference is the less certain
	if err := u.run(s, (*benchCluster).pids, of(&with)); err != nil {
		return err
	}
	s.Scenario = "live"
	if err := u.run(s, (*benchCluster).pids, of(&without)); err != nil {
		return err
	}
	u.units.ReceiptCPU = plan.Unit{
		Value: max(with-without, unitNoise*with), Unit: "µs", What: "read mark until its sender is told, CPU of all servers, at 1,000 a second",
		Command: "quorate bench receipts --processes --rate 1000, less quorate bench live --processes --rate 1000",
	}
	return nil
}

// idleHold is how long connections are idle before what they take is looked at: by then a node has given back what only the storm needed.
const idleHold = 35 * time.Second

// connections measures what an idle one takes.
func (u *unitRuns) connections() error {
	s := scenario.Settings{Scenario: "idle", Connections: u.config.Connections, Ramp: 1000, Chats: 20, Members: 250, For: idleHold}
	return u.run(s, (*benchCluster).edgePids, func(_ *benchCluster, res *measure.Result) error {
		command := fmt.Sprintf("quorate bench idle --processes --connections %d --for 35s", u.config.Connections)
		bytes, _ := res.Value("resident memory per connection")
		u.units.ConnectionRAM = plan.Unit{Value: bytes, Unit: "bytes", What: "idle connection, resident memory of the delivery node", Command: command}
		u.units.ConnectionRate = plan.Unit{
			Value: float64(res.Ops[0].Done) / max(res.CPU.ServerSeconds, 0.01) * float64(u.units.Environment.Cores), Unit: "1/s",
			What: "connections that the cores of this machine welcome", Command: command,
		}
		return nil
	})
}

// cold measures what a message takes in the archive.
func (u *unitRuns) cold() error {
	s := scenario.Settings{Scenario: "catchup", Archived: true, Chats: 20, Behind: 5000, Rate: 2}
	return u.run(s, (*benchCluster).pids, func(c *benchCluster, res *measure.Result) error {
		bytes, err := sizeOf(filepath.Join(c.dir, "archive"))
		u.units.MessageCold = plan.Unit{
			Value: float64(bytes) / float64(res.Checks.Acked), Unit: "bytes", What: "message in the archive", Command: "quorate bench catchup --processes --archived, then du",
		}
		return err
	})
}

// sizeOf gives the bytes of all files under a directory.
func sizeOf(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // the node has just done with it
			}
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		} else if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		return err
	})
	return total, err
}
