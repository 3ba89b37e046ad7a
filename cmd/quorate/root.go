package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// app is one invocation: the configuration its command runs with, and how it prints.
type app struct {
	config     Config
	settings   []setting // every key of config
	environ    []string
	configFile string
	output     string // "table" or "json"
}

// newRoot builds the command tree around a fresh app.
func newRoot(environ []string) *cobra.Command {
	a := &app{config: defaultConfig(), environ: environ, output: "table"}
	a.settings = settingsOf(&a.config)
	root := &cobra.Command{
		Use:           "quorate",
		Short:         "Every chat is a gap-free numbered log",
		Long:          "Quorate keeps chats as gap-free numbered logs on a quorum and delivers them to their members.\nStart with: quorate dev",
		Version:       buildVersion(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q", args[0])
			}
			return nil
		},
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.load(cmd) },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usagef("%w", err) })
	flags := root.PersistentFlags()
	flags.StringVar(&a.configFile, "config", "", "configuration `FILE` (YAML); see quorate config doc")
	flags.StringVarP(&a.output, "output", "o", a.output, "how data is printed: table or json")
	a.bind(flags, "log")
	root.AddCommand(
		a.devCommand(), a.sequencerCommand(), a.deliveryCommand(), a.pushCommand(), a.tokenCommand(), a.raftCommand(), a.clusterCommand(),
		a.archiveCommand(), a.backupCommand(), a.restoreCommand(), a.chatCommand(), a.certCommand(), a.userCommand(), a.benchCommand(),
		a.planCommand(), a.checkCommand(), a.doctorCommand(), a.configCommand(), a.versionCommand(),
	)
	return root
}

// parent makes a command that only holds others.
func parent(use, short string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short}
	var names []string
	for _, child := range children {
		names = append(names, child.Name())
	}
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usagef("unknown command %q for quorate %s: it has %s", args[0], use, strings.Join(names, ", "))
		}
		return usagef("quorate %s needs one of: %s", use, strings.Join(names, ", "))
	}
	cmd.AddCommand(children...)
	return cmd
}

// exactly wants n arguments, named in the usage line.
func exactly(n int) cobra.PositionalArgs { return between(n, n) }

// between wants low to high arguments, named in the usage line.
func between(low, high int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < low || len(args) > high {
			return usagef("%d arguments given, the usage is: %s", len(args), cmd.UseLine())
		}
		return nil
	}
}

// logger writes to w, as the log settings say. fallback is the level where none is set.
func (a *app) logger(w io.Writer, fallback slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: fallback}
	if a.config.Log.Level != "" {
		options.Level = logLevels[a.config.Log.Level]
	}
	if a.config.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

var logLevels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

// print writes data: as JSON, or as a table of header and rows.
func (a *app) print(w io.Writer, data any, header []string, rows [][]string) error {
	if a.output == "json" {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(data)
	}
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		if _, err := fmt.Fprintln(table, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return table.Flush()
}
