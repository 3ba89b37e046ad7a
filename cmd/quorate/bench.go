package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/quorate/quorate/bench/measure"
	"github.com/quorate/quorate/bench/report"
	"github.com/quorate/quorate/bench/scenario"
	"github.com/quorate/quorate/delivery"
)

func (a *app) benchCommand() *cobra.Command {
	bench := parent("bench", "Load a cluster from outside, measure it, and check its promises", a.benchPlainCommand(), a.benchCompareCommand(), a.benchWorkerCommand(), a.benchPeersCommand(), a.benchUnitsCommand())
	for _, name := range scenario.Names() {
		bench.AddCommand(a.scenarioCommand(name))
	}
	return bench
}

// scenarioCommand is one scenario, with the flags that mean something to it.
func (a *app) scenarioCommand(name string) *cobra.Command {
	cmd := &cobra.Command{
		Use: name, Short: scenario.About(name), Args: exactly(0),
		Long: scenario.About(name) + ".\n\nUsual settings: " + usualText(name) +
			"\nExit codes: 0 good, 1 an SLO was missed, 2 a promise was broken, 3 the generator itself was the limit.",
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runScenario(cmd, name) },
	}
	a.bind(cmd.Flags(), "load")
	for _, flag := range scenarioFlags {
		if !slices.Contains(scenario.Flags(name), flag) {
			_ = cmd.Flags().MarkHidden(flag) // it is there
		}
	}
	return cmd
}

// scenarioFlags are the flags that not every scenario looks at.
var scenarioFlags = []string{
	"protocol", "rate", "closed", "in-flight", "senders", "chats", "members", "connections", "users", "first-user", "run", "ramp", "behind", "page", "no-acks", "archived", "size-skew", "skew", "replay",
}

func usualText(name string) string {
	u, parts := scenario.Usual(name), []string{}
	for _, f := range []struct {
		flag  string
		value any
		zero  bool
	}{
		{"protocol", u.Protocol, u.Protocol == ""},
		{"rate", u.Rate, u.Rate == 0},
		{"senders", u.Senders, u.Senders == 0},
		{"chats", u.Chats, u.Chats == 0},
		{"members", u.Members, u.Members == 0},
		{"connections", u.Connections, u.Connections == 0},
		{"ramp", u.Ramp, u.Ramp == 0},
		{"behind", u.Behind, u.Behind == 0},
		{"page", u.Page, u.Page == 0},
		{"in-flight", u.InFlight, u.InFlight == 0},
		{"size-skew", u.SizeSkew, u.SizeSkew == 0},
		{"skew", u.Skew, u.Skew == 0},
		{"replay", u.Replay, u.Replay == 0},
	} {
		if !f.zero {
			parts = append(parts, fmt.Sprintf("--%s %v", f.flag, f.value))
		}
	}
	return strings.Join(parts, " ")
}

// Exit codes of a bench, beside those of every command.
const (
	exitBroken    = 2 // a promise was broken
	exitGenerator = 3 // the bench itself was the limit
)

// benchTokenTime is how long the tokens of a run are good for.
const benchTokenTime = 24 * time.Hour

// benchToken makes what the users of a run show.
func benchToken(noAuth bool, secretFile string) (func(user string) (string, error), error) {
	if noAuth {
		return func(user string) (string, error) { return "user:" + user, nil }, nil
	}
	secret, err := readSecret(secretFile)
	if err != nil {
		return nil, err
	}
	return func(user string) (string, error) { return delivery.SignToken(secret, user, benchTokenTime) }, nil
}

// settings are those of a run.
func (c *LoadConfig) settings(name string) scenario.Settings {
	return scenario.Settings{
		Scenario: name, Targets: c.Target, Sequencers: c.Sequencers, Protocol: c.Protocol, Seed: uint64(c.Seed), Rate: c.Rate, Closed: c.Closed,
		InFlight: c.InFlight, Senders: c.Senders, Chats: c.Chats, Members: c.Members, Connections: c.Connections, Users: c.Users, First: c.FirstUser, Run: c.Run, Ramp: c.Ramp, Behind: c.Behind,
		Page: c.Page, NoAcks: c.NoAcks, Archived: c.Archived, Size: c.Size, SizeSkew: c.SizeSkew, Skew: c.Skew, Replay: c.Replay, Warmup: c.Warmup, For: c.For,
	}
}

// access is how a run shows who it is.
func (c *LoadConfig) access() (a scenario.Access, err error) {
	a.Version, a.Username = buildVersion(), c.Username
	if a.Token, err = benchToken(c.NoAuth, c.SecretFile); err != nil {
		return a, err
	}
	if c.PasswordFile != "" {
		password, err := readSecret(c.PasswordFile)
		if err != nil {
			return a, err
		}
		a.Password = string(password)
	}
	for _, text := range c.Servers {
		pid, err := strconv.Atoi(text)
		if err != nil {
			return a, usagef("--servers: %q is no pid", text)
		}
		a.Servers = append(a.Servers, pid)
	}
	return a, nil
}

// slos reads what must be reached.
func (c *LoadConfig) slos() (all []report.SLO, err error) {
	for _, text := range c.SLO {
		slo, err := report.ParseSLO(text)
		if err != nil {
			return nil, usagef("--slo: %w", err)
		}
		all = append(all, slo)
	}
	return all, nil
}

// benchGC is the garbage that the generator lets grow before it collects: it has memory and few cores.
const benchGC = 400

func (a *app) runScenario(cmd *cobra.Command, name string) (err error) {
	c := a.config.Load
	slos, err := c.slos()
	if err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(benchGC)
	}
	if len(c.Target) == 0 {
		own, err := startBenchCluster(cmd.Context(), c.Archived, c.Processes)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, own.stop()) }()
		c.Target, c.NoAuth = []string{own.rest}, true
		if len(c.Sequencers) == 0 {
			c.Sequencers = own.resp
		}
	}
	access, err := c.access()
	if err != nil {
		return err
	}
	line := report.NewLine(cmd.ErrOrStderr(), isTerminal(cmd.ErrOrStderr()))
	access.Progress = func(p scenario.Progress) {
		line.Show(report.Moment{
			Phase: p.Phase, Elapsed: p.Elapsed, Total: p.Total, PerSecond: p.PerS, P99: p.P99, Errors: p.Errors, Broken: p.Broken,
		})
	}
	marks, done := marksFromOutside()
	defer done()
	access.Marks = marks
	run := func() (*measure.Result, error) { return scenario.Run(cmd.Context(), c.settings(name), access) }
	if len(c.Workers) > 0 {
		run = func() (*measure.Result, error) { return c.runFleet(cmd.Context(), c.settings(name), &access) }
	}
	res, err := run()
	line.End()
	if errors.Is(err, scenario.ErrSettings) {
		return usagef("%w", err)
	}
	if err != nil {
		return err
	}
	return a.reportRun(cmd.OutOrStdout(), &c, res, slos)
}

// marksFromOutside gives a mark for each SIGUSR1 that comes until done is called: who breaks something tells the bench when.
func marksFromOutside() (marks <-chan string, done func()) {
	signals, out, end := make(chan os.Signal, 8), make(chan string), make(chan struct{})
	signal.Notify(signals, syscall.SIGUSR1)
	go func() {
		for n := 1; ; n++ {
			select {
			case <-signals:
			case <-end:
				return
			}
			select {
			case out <- fmt.Sprintf("mark %d", n):
			case <-end:
				return
			}
		}
	}()
	return out, func() {
		signal.Stop(signals)
		close(end)
	}
}

// reportRun writes a result in all forms that were asked for, and gives the verdict.
func (a *app) reportRun(w io.Writer, c *LoadConfig, res *measure.Result, slos []report.SLO) error {
	res.Label = c.Label
	if c.JSON != "" {
		if err := res.Write(c.JSON); err != nil {
			return err
		}
	}
	if c.HTML != "" {
		if err := report.WriteHTML(c.HTML, res); err != nil {
			return err
		}
	}
	if a.output == "json" {
		if err := a.print(w, res, nil, nil); err != nil {
			return err
		}
	} else if err := report.Table(w, res); err != nil {
		return err
	}
	return runVerdict(res, slos)
}

// runVerdict is the exit code of a run. A broken promise is worse than anything, and numbers that the generator limits say nothing of the
// server, so an SLO is not judged by them.
func runVerdict(res *measure.Result, slos []report.SLO) error {
	if n := res.Checks.Total(); n > 0 {
		return &exitStatus{code: exitBroken, err: fmt.Errorf("%d promises were found broken", n)}
	}
	if len(res.Limits) > 0 {
		return &exitStatus{code: exitGenerator, err: errors.New("the generator itself was the limit: " + res.Limits[0])}
	}
	var missed []string
	for _, slo := range slos {
		if miss := slo.Miss(res); miss != "" {
			missed = append(missed, miss)
		}
	}
	if len(missed) > 0 {
		return &exitStatus{code: exitError, err: errors.New(strings.Join(missed, "; "))}
	}
	return nil
}

// isTerminal tells whether somebody looks on.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}
