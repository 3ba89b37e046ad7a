package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/bench/plan"
)

// PlanConfig is what a service is to carry, and on what.
type PlanConfig struct {
	Units          string  `koanf:"units" doc:"file with measured unit costs, of quorate bench units"`
	Users          float64 `koanf:"users" doc:"registered users"`
	MessagesPerDay float64 `koanf:"messages-per-day" doc:"messages that are sent in a day"`
	TextBytes      float64 `koanf:"text-bytes" doc:"bytes of a message, on average"`
	Recipients     float64 `koanf:"recipients" doc:"members that a message goes to, on average"`
	Regions        float64 `koanf:"regions" doc:"regions with delivery nodes"`
	Online         float64 `koanf:"online" doc:"share of the users who are connected at the peak"`
	Peak           float64 `koanf:"peak" doc:"the busiest second over the average one"`
	ReadMarks      float64 `koanf:"read-marks" doc:"receipts that are written for a delivery, after coalescing"`
	Reconnect      float64 `koanf:"reconnect-seconds" doc:"time in which all clients must be back after an outage"`
	Replicas       float64 `koanf:"replicas" doc:"voters of each group"`
	HotDays        float64 `koanf:"hot-days" doc:"days until a message goes to the archive"`
	KeepYears      float64 `koanf:"keep-years" doc:"years that the archive holds"`
	Cores          float64 `koanf:"cores" doc:"cores of a node"`
	RAMGiB         float64 `koanf:"ram-gib" doc:"memory of a node"`
	DiskTB         float64 `koanf:"disk-tb" doc:"disk of a sequencer node"`
	LinkGbit       float64 `koanf:"link-gbit" doc:"link of a node, each way"`
	Utilisation    float64 `koanf:"utilisation" doc:"share of a resource that is planned with"`
	CoreFactor     float64 `koanf:"core-factor" doc:"work of a core of the nodes over one of the machine that measured"`
	S3GiBMonth     float64 `koanf:"s3-gib-month" doc:"dollars for a GiB of object storage a month"`
	S3Puts         float64 `koanf:"s3-puts" doc:"dollars for a thousand writes of objects"`
}

func defaultPlan() PlanConfig {
	r := plan.Reference()
	return PlanConfig{
		Units: "docs/units.json", Users: r.Users, MessagesPerDay: r.MessagesPerDay, TextBytes: r.TextBytes, Recipients: r.Recipients, Regions: r.Regions,
		Online: r.Online, Peak: r.Peak, ReadMarks: r.ReadMarks, Reconnect: r.Reconnect, Replicas: r.Replicas, HotDays: r.HotDays, KeepYears: r.KeepYears,
		Cores: r.Cores, RAMGiB: r.RAM / (1 << 30), DiskTB: r.Disk / 1e12, LinkGbit: r.Link / 1e9, Utilisation: r.Utilisation, CoreFactor: r.CoreFactor,
		S3GiBMonth: r.S3GiBMonth, S3Puts: r.S3PerPut,
	}
}

func (c *PlanConfig) target() plan.Target {
	t := plan.Reference()
	t.Users, t.MessagesPerDay, t.TextBytes, t.Recipients, t.Regions = c.Users, c.MessagesPerDay, c.TextBytes, c.Recipients, c.Regions
	t.Online, t.Peak, t.ReadMarks, t.Reconnect, t.Replicas, t.HotDays = c.Online, c.Peak, c.ReadMarks, c.Reconnect, c.Replicas, c.HotDays
	t.KeepYears, t.Cores, t.RAM, t.Disk, t.Link = c.KeepYears, c.Cores, c.RAMGiB*(1<<30), c.DiskTB*1e12, c.LinkGbit*1e9
	t.Utilisation, t.CoreFactor, t.S3GiBMonth, t.S3PerPut = c.Utilisation, c.CoreFactor, c.S3GiBMonth, c.S3Puts
	return t
}

func (a *app) planCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "plan", Short: "Turn measured unit costs and a target into nodes, disks, links and storage", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runPlan(cmd.OutOrStdout()) },
	}
	a.bind(cmd.Flags(), "plan")
	return cmd
}

func (a *app) runPlan(w io.Writer) error {
	c := &a.config.Plan
	units, err := plan.ReadUnits(c.Units)
	if err != nil {
		return fmt.Errorf("unit costs: %w (quorate bench units --out FILE measures them)", err)
	}
	p, err := plan.Make(units, c.target())
	if err != nil {
		return usagef("%w", err)
	}
	if a.output == "json" {
		return a.print(w, p, nil, nil)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "at the peak: %s appends/s, %s deliveries/s; %.0f groups of %.0f replicas\n", amount(p.Appends), amount(p.Deliveries), p.Groups, c.Replicas)
	fmt.Fprintf(&b, "nodes: %.0f sequencers, %.0f delivery\n", p.Nodes["sequencer"], p.Nodes["delivery"])
	fmt.Fprintf(&b, "archive: %sB a day, %sB after %g years, %s dollars a month then\n", amount(p.ArchiveDay), amount(p.ArchiveAll), c.KeepYears, amount(p.Dollars))
	fmt.Fprintf(&b, "runs out first: %s\n\n", p.RunsOut)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	var rows [][]string
	for _, n := range p.Needs {
		first := ""
		if n.First {
			first = "first"
		}
		rows = append(rows, []string{n.Tier, n.Resource, amount(n.Total), amount(n.PerNode), n.Unit, fmt.Sprintf("%.0f", n.Nodes), first})
	}
	return a.print(w, p, []string{"TIER", "RESOURCE", "NEEDED", "A NODE GIVES", "UNIT", "NODES", ""}, rows)
}

// amount writes a number with three digits and a decimal prefix.
func amount(v float64) string {
	for _, p := range []struct {
		of   float64
		name string
	}{{1e15, " P"}, {1e12, " T"}, {1e9, " G"}, {1e6, " M"}, {1e3, " k"}} {
		if v >= p.of {
			return fmt.Sprintf("%.3g%s", v/p.of, p.name)
		}
	}
	return fmt.Sprintf("%.3g ", v)
}
