package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/bench/measure"
	"github.com/quorate/quorate/bench/scenario"
)

func (a *app) benchPeersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "peers", Short: "Do the same work with Quorate, NATS JetStream, etcd and Centrifuge, in alternation", Args: exactly(0),
		Long: "Do the same work with Quorate and with others on this machine, in alternation: durable sends of 3 replicas in a closed loop,\n" +
			"and a chat whose members are all online. NATS JetStream has three replicas, with its default sync (it syncs now and then) and\n" +
			"with sync_interval: always (it syncs before an ack, as Quorate and etcd do). Centrifuge, the library of Centrifugo, keeps nothing\n" +
			"and is one node. Run it in the source tree: the others are built from bench/peers into .cache on first use.",
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runPeers(cmd) },
	}
	a.bind(cmd.Flags(), "peers")
	return cmd
}

// PeersConfig is a comparison with others.
type PeersConfig struct {
	Senders  int           `koanf:"senders" doc:"senders with one message under way each"`
	Members  int           `koanf:"members" doc:"members of the chat of fanout"`
	InFlight int           `koanf:"in-flight" doc:"messages of fanout that are not yet with all members"`
	Size     int           `koanf:"size" doc:"bytes of a message"`
	Rounds   int           `koanf:"rounds" doc:"times that each does its work; medians are told"`
	Warmup   time.Duration `koanf:"warmup" doc:"time before anything counts"`
	For      time.Duration `koanf:"for" doc:"time that counts, of each"`
	Work     []string      `koanf:"work" doc:"what is done: send, fanout, or both"`
	Peers    []string      `koanf:"peers" doc:"whom Quorate is compared with: nats, nats-always, etcd (send alone), centrifuge (fanout alone)"`
	JSON     string        `koanf:"json" doc:"file for the results of all rounds"`
}

func defaultPeers() PeersConfig {
	return PeersConfig{
		Senders: 64, Members: 256, InFlight: 1, Size: 200, Rounds: 3, Warmup: 2 * time.Second, For: 8 * time.Second,
		Work: []string{"send", "fanout"}, Peers: []string{"nats", "nats-always", "etcd", "centrifuge"},
	}
}

// leftOut is who cannot do a kind of work: etcd has no consumers of a stream, and Centrifuge keeps nothing that it could acknowledge.
var leftOut = map[string]string{"fanout": "etcd", "send": "centrifuge"}

// contest is one kind of work and who does it.
type contest struct {
	work string
	who  []string
	runs map[string][]*measure.Result
}

func (a *app) runPeers(cmd *cobra.Command) error {
	c := &a.config.Peers
	if c.Rounds < 1 || c.Senders < 1 || c.Members < 2 || c.For <= 0 {
		return usagef("there must be rounds, senders, members and time")
	}
	program, err := buildPeers(cmd.Context(), cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	var contests []*contest
	for _, work := range c.Work {
		if work != "send" && work != "fanout" {
			return usagef("--work is send or fanout, not %q", work)
		}
		k := &contest{work: work, who: []string{"quorate"}, runs: map[string][]*measure.Result{}}
		for _, peer := range c.Peers {
			if peer != leftOut[work] {
				k.who = append(k.who, peer)
			}
		}
		contests = append(contests, k)
	}
	for round := range c.Rounds {
		for _, k := range contests {
			for _, who := range k.who {
				fmt.Fprintf(cmd.ErrOrStderr(), "round %d of %d: %s of %s\n", round+1, c.Rounds, k.work, who)
				res, err := c.one(cmd.Context(), program, k.work, who)
				if err != nil {
					return fmt.Errorf("%s of %s: %w", k.work, who, err)
				}
				k.runs[who] = append(k.runs[who], res)
			}
		}
	}
	return a.reportPeers(cmd.OutOrStdout(), contests)
}

// one does one piece of work.
func (c *PeersConfig) one(ctx context.Context, program, work, who string) (*measure.Result, error) {
	if who != "quorate" {
		return c.peer(ctx, program, work, who)
	}
	cluster, err := startBenchCluster(ctx, false, true)
	if err != nil {
		return nil, err
	}
	s := scenario.Settings{
		Scenario: work, Targets: []string{cluster.rest}, Sequencers: cluster.resp, Closed: true, Senders: c.Senders, Members: c.Members, Size: c.Size,
		InFlight: 1, NoAcks: true, Seed: 1, Replay: -1, Warmup: c.Warmup, For: c.For, // the others know no receipts
	}
	access := scenario.Access{Token: func(user string) (string, error) { return "user:" + user, nil }, Username: "default", Version: buildVersion()}
	for _, p := range cluster.sequencers {
		access.Servers = append(access.Servers, p.cmd.Process.Pid)
	}
	if work == "fanout" {
		s.InFlight, access.Servers = c.InFlight, cluster.pids()
	}
	res, err := scenario.Run(ctx, s, access)
	if res != nil {
		res.Label = who
		if n := res.Checks.Total(); n > 0 {
			err = errors.Join(err, &exitStatus{code: exitBroken, err: fmt.Errorf("%d promises were found broken", n)})
		}
	}
	return res, errors.Join(err, cluster.stop())
}

func (c *PeersConfig) peer(ctx context.Context, program, work, who string) (*measure.Result, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, program, "-peer", who, "-work", work, "-senders", fmt.Sprint(c.Senders), "-members", fmt.Sprint(c.Members),
		"-in-flight", fmt.Sprint(c.InFlight), "-size", fmt.Sprint(c.Size), "-warmup", c.Warmup.String(), "-for", c.For.String())
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	cmd.SysProcAttr = apart()
	if err := cmd.Run(); err != nil {
		return nil, err
	}
	var res measure.Result
	return &res, json.Unmarshal(out.Bytes(), &res)
}

// buildPeers builds the others, where they are not built yet.
func buildPeers(ctx context.Context, w io.Writer) (program string, err error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "bench", "peers", "go.mod")); err == nil {
			break
		}
		if filepath.Dir(dir) == dir {
			return "", errors.New("bench peers builds the others from bench/peers: run it in the source tree")
		}
		dir = filepath.Dir(dir)
	}
	program = filepath.Join(dir, ".cache", "peers", "peers")
	fmt.Fprintln(w, "building NATS and etcd from bench/peers (minutes the first time)")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, ".")
	build.Dir = filepath.Join(dir, "bench", "peers")
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, text)
	}
	return program, nil
}

// peerLine is what one did, in the median of its rounds.
type peerLine struct {
	Work      string  `json:"work"`
	Who       string  `json:"who"`
	PerSecond float64 `json:"perSecond"`
	P50Ms     float64 `json:"p50Ms"`
	P99Ms     float64 `json:"p99Ms"`
	CPUEach   float64 `json:"serverCpuMicros"` // of each
	Ratio     float64 `json:"quorateOverIt"`   // of the rates
}

func (a *app) reportPeers(w io.Writer, contests []*contest) error {
	var lines []peerLine
	var rows [][]string
	all := map[string][]*measure.Result{}
	for _, k := range contests {
		ours := 0.0
		for _, who := range k.who {
			l := medianLine(k.work, who, k.runs[who])
			all[k.work+" "+who] = k.runs[who]
			if who == "quorate" {
				ours = l.PerSecond
			}
			l.Ratio = ours / math.Max(l.PerSecond, 1e-9)
			lines = append(lines, l)
			rows = append(rows, []string{
				k.work, who, fmt.Sprintf("%.0f", l.PerSecond), fmt.Sprintf("%.2f", l.P50Ms), fmt.Sprintf("%.2f", l.P99Ms), fmt.Sprintf("%.1f", l.CPUEach),
				fmt.Sprintf("%.2f", l.Ratio),
			})
		}
	}
	if file := a.config.Peers.JSON; file != "" {
		text, err := json.MarshalIndent(map[string]any{"lines": lines, "runs": all}, "", " ")
		if err == nil {
			err = os.WriteFile(file, append(text, '\n'), 0o644)
		}
		if err != nil {
			return err
		}
	}
	return a.print(w, lines, []string{"WORK", "WHO", "PER S", "P50 MS", "P99 MS", "CPU µs EACH", "QUORATE IS"}, rows)
}

func medianLine(work, who string, runs []*measure.Result) peerLine {
	median := func(of func(r *measure.Result) float64) float64 {
		var values []float64
		for _, r := range runs {
			values = append(values, of(r))
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	return peerLine{
		Work: work, Who: who,
		PerSecond: median(func(r *measure.Result) float64 { return r.Ops[0].PerSecond(r.Window()) }),
		P50Ms:     median(func(r *measure.Result) float64 { return measure.Ms(r.Ops[0].Latency.At(0.5)) }),
		P99Ms:     median(func(r *measure.Result) float64 { return measure.Ms(r.Ops[0].Latency.At(0.99)) }),
		CPUEach:   median(func(r *measure.Result) float64 { return r.CPU.PerMillion }),
	}
}
