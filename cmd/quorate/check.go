package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/sequencer/wire"
	"github.com/quorate/quorate/trust"
)

// exitStatus is an exit code that says what was found. err is what goes to standard error, nil for nothing.
type exitStatus struct {
	code int
	err  error
}

// Error gives the error's text.
func (e *exitStatus) Error() string { return fmt.Sprint(e.err) }

// Unwrap gives the error.
func (e *exitStatus) Unwrap() error { return e.err }

// unknown has whatever went wrong end a check with the code for "unknown": a monitor must not take a mistake in its own
// configuration for trouble in the cluster.
func unknown(err error) error {
	if status := (*exitStatus)(nil); err == nil || errors.As(err, &status) {
		return err
	}
	return &exitStatus{code: int(severityUnknown), err: err}
}

var checkFormats = []string{"text", "json", "nagios", "prometheus"}

func (a *app) checkCommand() *cobra.Command {
	noArgs := func(cmd *cobra.Command, args []string) error { return unknown(exactly(0)(cmd, args)) }
	cluster := &cobra.Command{
		Use: "cluster", Short: "Check nodes, versions, slots and all groups", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return unknown(a.runCheck(cmd, "cluster")) },
	}
	raft := &cobra.Command{
		Use: "raft", Short: "Check each Raft group: leader, voters, lag", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return unknown(a.runCheck(cmd, "raft")) },
	}
	edge := &cobra.Command{
		Use: "edge", Short: "Check delivery nodes: readiness, feeds, storms", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return unknown(a.runCheckEdge(cmd)) },
	}
	archive := &cobra.Command{
		Use: "archive", Short: "Check the archive: what waits for it, hot space, the store, objects", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return unknown(a.runCheck(cmd, "archive")) },
	}
	check := parent("check", "Check a cluster from outside, for monitors; needs no leader", cluster, raft, edge, archive)
	check.Long = "Check a cluster from outside, for monitors. One node that answers is enough to find the others; no leader is needed.\n" +
		"Exit code: 0 all is well, 1 warning, 2 critical, 3 unknown, as when the question could not be asked."
	complain := check.RunE
	check.RunE = func(cmd *cobra.Command, args []string) error { return unknown(complain(cmd, args)) }
	check.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return unknown(a.load(cmd)) }
	check.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return unknown(usagef("%w", err)) })
	a.bind(check.PersistentFlags(), "check")
	return check
}

func (c *CheckConfig) check() error {
	if !slices.Contains(checkFormats, c.Format) {
		return usagef("--format must be text, json, nagios or prometheus, not %q", c.Format)
	}
	if len(c.Sequencers) == 0 {
		return usagef("--sequencers is missing: name the RESP address of at least one sequencer node")
	}
	for _, addr := range c.Sequencers {
		if _, _, err := splitAddr(addr); err != nil {
			return usagef("--sequencers: %w", err)
		}
	}
	if c.Timeout <= 0 || c.Interval <= 0 || c.LagWarning < 0 || c.LagCritical < 0 || c.ArchiveLagWarning < 0 || c.ArchiveLagCritical < 0 {
		return usagef("--timeout and --interval must be above 0, the limits of lags not below")
	}
	return nil
}

func (a *app) runCheck(cmd *cobra.Command, what string) error {
	c := &a.config.Check
	if err := c.check(); err != nil {
		return err
	}
	files := trust.Files{CA: c.TLSCA, Cert: c.TLSCert, Key: c.TLSKey}
	client, err := operatorClient(c.Sequencers, c.Username, c.PasswordFile, files)
	if err != nil {
		return err
	}
	defer client.Close() //nolint:errcheck // it only asked
	ctx, cancel := context.WithTimeout(cmd.Context(), c.Timeout)
	defer cancel()
	view := lookAt(ctx, client, c.Sequencers, c.Interval)
	if cmd.Context().Err() != nil {
		return cmd.Context().Err()
	}
	report, err := a.report(ctx, client, what, view)
	if err != nil {
		return err
	}
	return report.end(cmd.OutOrStdout(), c.Format)
}

// report judges what was seen.
func (a *app) report(ctx context.Context, client *wire.Client, what string, view *clusterLook) (*checkReport, error) {
	c := &a.config.Check
	if what != "archive" {
		return judge(what, view, lagLimits{warning: uint64(c.LagWarning), critical: uint64(c.LagCritical)}), nil
	}
	store, err := openArchive(c.Archive)
	if err != nil {
		return nil, err
	}
	report := judgeArchive(view, askArchives(ctx, client, view), archiveLimits{warning: c.ArchiveLagWarning, critical: c.ArchiveLagCritical})
	if store != nil {
		report.probeStore(ctx, client, store, view)
		report.close()
	}
	return report, nil
}

// runCheckEdge asks delivery nodes, and nobody else.
func (a *app) runCheckEdge(cmd *cobra.Command) error {
	c := &a.config.Check
	if err := errors.Join(c.check(), checkEdges(c.Edges)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), c.Timeout)
	defer cancel()
	all := askEdges(ctx, c.Edges)
	if cmd.Context().Err() != nil {
		return cmd.Context().Err()
	}
	return judgeEdges(all).end(cmd.OutOrStdout(), c.Format)
}

// end prints the report; the exit code says what it came to.
func (r *checkReport) end(w io.Writer, format string) error {
	if err := r.write(w, format); err != nil {
		return err
	}
	if r.Severity == severityOK {
		return nil
	}
	return &exitStatus{code: int(r.Severity)}
}
