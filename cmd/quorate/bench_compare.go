package main

import (
	"github.com/spf13/cobra"

	"github.com/quorate/quorate/bench/measure"
	"github.com/quorate/quorate/bench/report"
)

func (a *app) benchCompareCommand() *cobra.Command {
	return &cobra.Command{
		Use: "compare A.json B.json", Short: "Hold two runs against each other, and tell what stands out of the noise", Args: exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var runs [2]*measure.Result
			for i, name := range args {
				var err error
				if runs[i], err = measure.Read(name); err != nil {
					return err
				}
			}
			if a.output == "json" {
				changes, warnings := report.Compare(runs[0], runs[1])
				return a.print(cmd.OutOrStdout(), map[string]any{"changes": changes, "warnings": warnings}, nil, nil)
			}
			return report.WriteCompare(cmd.OutOrStdout(), runs[0], runs[1])
		},
	}
}
