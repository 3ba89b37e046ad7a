package plan

import (
	"errors"
	"fmt"
	"math"
)

// Target is what a service is to carry, and the machines that it is to run on.
type Target struct {
	Users          float64 // registered
	MessagesPerDay float64 // sent
	TextBytes      float64 // of a message, on average
	Recipients     float64 // of a message, on average
	Regions        float64
	Online         float64 // share of the users who are connected at the peak
	Peak           float64 // the busiest second over the average one
	ReadMarks      float64 // receipts that are written for a delivery, after coalescing
	Reconnect      float64 // seconds in which all clients of a region must be back
	Replicas       float64
	HotDays        float64
	KeepYears      float64 // in the archive

	Cores       float64 // of a node
	RAM         float64 // bytes of a node
	Disk        float64 // bytes of a sequencer node
	Link        float64 // bits a second of a node, each way
	Utilisation float64 // share of a resource that is planned with
	CoreFactor  float64 // work of a core of these nodes over one of the machine that measured
	S3GiBMonth  float64 // dollars for a GiB a month
	S3PerPut    float64 // dollars for a thousand writes
	ObjectBytes float64 // of an archive object
}

// Reference is the target that the design names: 2 billion users and 100 billion messages a day.
func Reference() Target {
	return Target{
		Users: 2e9, MessagesPerDay: 100e9, TextBytes: 100, Recipients: 3, Regions: 5, Online: 0.25, Peak: 2, ReadMarks: 0.7, Reconnect: 300,
		Replicas: 3, HotDays: 7, KeepYears: 1, Cores: 64, RAM: 256 << 30, Disk: 15e12, Link: 50e9, Utilisation: 0.6, CoreFactor: 1, S3GiBMonth: 0.023,
		S3PerPut: 0.005, ObjectBytes: 64 << 20,
	}
}

// Check tells what is wrong with a target.
func (t *Target) Check() error {
	for _, v := range []float64{
		t.Users, t.MessagesPerDay, t.TextBytes, t.Recipients, t.Regions, t.Online, t.Peak, t.ReadMarks, t.Reconnect, t.Replicas, t.HotDays, t.KeepYears, t.Cores,
		t.RAM, t.Disk, t.Link, t.Utilisation, t.CoreFactor, t.ObjectBytes,
	} {
		if v <= 0 || math.IsNaN(v) || math.IsInf(v, 0) {
			return errors.New("every number of a target is above 0")
		}
	}
	if t.Utilisation > 1 || t.Online > 1 {
		return errors.New("a share is at most 1")
	}
	return nil
}

// Need is one resource of a tier: how much of it there must be, how much a node gives, and so how many nodes it takes.
type Need struct {
	Tier     string  `json:"tier"`
	Resource string  `json:"resource"`
	Total    float64 `json:"total"`
	PerNode  float64 `json:"perNode"`
	Unit     string  `json:"unit"`
	Nodes    float64 `json:"nodes"`
	First    bool    `json:"first"` // it runs out first: it says how many nodes the tier has
	How      string  `json:"how"`
}

// Plan is what a target takes.
type Plan struct {
	Appends    float64            `json:"appendsPerSecond"` // at the peak
	Deliveries float64            `json:"deliveriesPerSecond"`
	Groups     float64            `json:"groups"`
	Nodes      map[string]float64 `json:"nodes"`
	Needs      []Need             `json:"needs"`
	ArchiveDay float64            `json:"archiveBytesPerDay"`
	ArchiveAll float64            `json:"archiveBytes"`
	Dollars    float64            `json:"s3DollarsPerMonth"` // when the archive is full
	RunsOut    string             `json:"runsOutFirst"`
}

const (
	day   = 86400
	month = 30 * day
	// replicationOverhead is the bytes of an entry's frame over its texts, on the wire between nodes.
	replicationOverhead = 1.15
	sequencers          = "sequencer"
	deliveries          = "delivery"
)

// Make plans. What a message costs beyond its text does not depend on its length, so sizes are corrected by the difference of the texts.
func Make(u *Units, t Target) (*Plan, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	p := &Plan{Nodes: map[string]float64{}}
	p.Appends = t.MessagesPerDay / day * t.Peak
	p.Deliveries = p.Appends * t.Recipients
	p.Groups = math.Ceil(p.Appends / (u.AppendRate.Value * t.CoreFactor * t.Utilisation))
	hot, cold, wire := resize(u.MessageHot, u, t), resize(u.MessageCold, u, t), resize(u.DeliveryBytes, u, t)
	marks := p.Deliveries * t.ReadMarks
	core := 1e6 * t.CoreFactor // microseconds of the measuring machine's in a second of a core

	p.need(t, sequencers, "CPU", p.Appends*u.AppendCPU.Value/core+marks*u.ReceiptCPU.Value/core, t.Cores, "cores",
		"appends and read marks a second, times their CPU over all replicas")
	p.need(t, sequencers, "disk", t.MessagesPerDay*t.HotDays*hot*t.Replicas, t.Disk, "bytes", "messages of the hot days on each replica")
	p.need(t, sequencers, "link", 8*p.Appends*(t.TextBytes+100)*(replicationOverhead*(t.Replicas-1)+1+t.Regions), t.Link, "bit/s",
		"an append out to the other replicas, and once to each region's hubs")
	p.need(t, deliveries, "CPU", p.Deliveries*u.DeliveryCPU.Value/core, t.Cores, "cores", "deliveries a second, times their CPU")
	p.need(t, deliveries, "memory", t.Users*t.Online*u.ConnectionRAM.Value, t.RAM, "bytes", "connections, times their memory")
	p.need(t, deliveries, "link", 8*p.Deliveries*wire, t.Link, "bit/s", "deliveries a second, times their bytes")
	p.need(t, deliveries, "reconnects", t.Users*t.Online/t.Reconnect, u.ConnectionRate.Value*t.Cores/float64(max(1, u.Environment.Cores))*t.CoreFactor, "1/s",
		"all clients back in time, at what the cores of a node welcome")
	p.choose()

	p.ArchiveDay = t.MessagesPerDay * cold
	p.ArchiveAll = p.ArchiveDay * 365 * t.KeepYears
	puts := p.ArchiveDay / t.ObjectBytes * month / day
	p.Dollars = p.ArchiveAll/(1<<30)*t.S3GiBMonth + puts/1000*t.S3PerPut
	return p, nil
}

// resize corrects bytes of a message for a text of another length.
func resize(u Unit, units *Units, t Target) float64 {
	return max(u.Value+t.TextBytes-units.TextBytes.Value, t.TextBytes/4)
}

func (p *Plan) need(t Target, tier, resource string, total, perNode float64, unit, how string) {
	p.Needs = append(p.Needs, Need{
		Tier: tier, Resource: resource, Total: total, PerNode: perNode * t.Utilisation, Unit: unit, Nodes: math.Ceil(total / (perNode * t.Utilisation)), How: how,
	})
}

// choose finds what runs out first in each tier: it needs the most nodes.
func (p *Plan) choose() {
	for _, tier := range []string{sequencers, deliveries} {
		first := -1
		for i := range p.Needs {
			if p.Needs[i].Tier == tier && (first < 0 || p.Needs[i].Nodes > p.Needs[first].Nodes) {
				first = i
			}
		}
		p.Needs[first].First = true
		p.Nodes[tier] = p.Needs[first].Nodes
		if p.RunsOut != "" {
			p.RunsOut += ", "
		}
		p.RunsOut += fmt.Sprintf("%s of the %s nodes", p.Needs[first].Resource, tier)
	}
}
