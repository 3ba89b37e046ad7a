package main

import (
	"github.com/spf13/cobra"

	"github.com/quorate/quorate/sequencer"
)

func (a *app) restoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "restore [NAME]", Short: "Make a node of a new cluster from a backup", Args: between(0, 1),
		Long: "Make what a node of a new cluster begins with from a backup, the newest where no NAME is given. Do so on each of the first\n" +
			"nodes of the new cluster, as many as you like, with the same NAME; then start them with the --bootstrap list of that cluster.\n" +
			"--data must be empty. With --archive the object store of the new cluster is given the archived messages that it does not have.",
		RunE: a.restore,
	}
	a.bind(cmd.Flags(), "restore")
	return cmd
}

func (a *app) restore(cmd *cobra.Command, args []string) error {
	c := &a.config.Restore
	if c.From == "" || c.Data == "" {
		return usagef("--from and --data are needed: the object store of the backup, and the new node's directory")
	}
	from, err := openStore("--from", c.From)
	if err != nil {
		return err
	}
	to, err := openArchive(c.Archive)
	if err != nil {
		return err
	}
	result, err := sequencer.Restore(cmd.Context(), sequencer.RestoreConfig{
		From: from, Name: nameOf(args), Dir: c.Data, Archive: to, Progress: restoreProgress(cmd),
	})
	if err != nil {
		return err
	}
	return a.printRestore(cmd, result, "is in "+c.Data+"; start the first nodes of the new cluster with their --bootstrap list")
}
