package plan

import (
	"math"
	"path/filepath"
	"testing"
)

func units() *Units {
	u := &Units{Schema: UnitsSchema}
	u.Environment.Cores = 2
	for _, unit := range u.all() {
		unit.Value = 1
	}
	u.AppendCPU.Value, u.AppendRate.Value, u.DeliveryCPU.Value, u.DeliveryBytes.Value = 20, 10_000, 5, 400
	u.ConnectionRAM.Value, u.MessageHot.Value, u.MessageCold.Value, u.TextBytes.Value = 4096, 500, 220, 200
	u.ConnectionRate.Value, u.ReceiptCPU.Value = 2000, 10
	return u
}

func TestMake_TheScarcestResourceSaysHowManyNodes(t *testing.T) {
	target := Reference()
	target.MessagesPerDay, target.TextBytes, target.Peak, target.Utilisation, target.CoreFactor = 86400e4, 200, 1, 0.5, 1
	p, err := Make(units(), target)
	if err != nil {
		t.Fatal(err)
	}
	if math.Round(p.Appends) != 10_000 || math.Round(p.Deliveries) != 30_000 || p.Groups != 2 {
		t.Errorf("%+v", p)
	}
	for _, n := range p.Needs {
		if n.Nodes > p.Nodes[n.Tier] || n.First != (n.Nodes == p.Nodes[n.Tier] && n.First) || n.Nodes != math.Ceil(n.Total/n.PerNode) {
			t.Errorf("%+v", n)
		}
		if n.Tier == deliveries && n.Resource == "memory" && (n.Total != 0.5e9*4096 || !n.First && p.RunsOut == "") {
			t.Errorf("%+v", n)
		}
	}
	// 10,000 appends of 20 µs and 21,000 marks of 10 µs are 0.41 cores.
	if got := p.Needs[0].Total; math.Abs(got-0.41) > 1e-9 {
		t.Errorf("%v cores", got)
	}
	u := units()
	u.ConnectionRAM.Value = 4096e6
	more, err := Make(u, target)
	if err != nil || more.Nodes[deliveries] <= p.Nodes[deliveries] || more.RunsOut == p.RunsOut && p.RunsOut != "disk of the sequencer nodes, memory of the delivery nodes" {
		t.Errorf("%v %+v", err, more)
	}
	target.Online = 2
	if _, err := Make(u, target); err == nil {
		t.Error("twice as many users are online as there are")
	}
}

func TestUnits_WrittenAndRead(t *testing.T) {
	name := filepath.Join(t.TempDir(), "units.json")
	u := units()
	if err := u.Write(name); err != nil {
		t.Fatal(err)
	}
	got, err := ReadUnits(name)
	if err != nil || got.AppendCPU != u.AppendCPU {
		t.Errorf("%v %+v", err, got)
	}
	u.MessageHot.Value = 0
	if err := u.Write(name); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadUnits(name); err == nil {
		t.Error("a unit that was not measured was read")
	}
}
