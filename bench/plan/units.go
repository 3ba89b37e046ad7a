package plan

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/quorate/quorate/bench/measure"
)

// UnitsSchema names the form of Units.
const UnitsSchema = "quorate.units/1"

// Unit is one measured cost.
type Unit struct {
	Value   float64 `json:"value"`
	Unit    string  `json:"unit"`
	What    string  `json:"what"`
	Command string  `json:"command"` // that measures it alone
}

// Units are the costs of everything that a plan counts, measured on one machine.
type Units struct {
	Schema      string              `json:"schema"`
	Measured    time.Time           `json:"measured"`
	Environment measure.Environment `json:"environment"`

	AppendCPU      Unit `json:"appendCpu"`      // of all replicas together
	AppendRate     Unit `json:"appendRate"`     // that one group took
	DeliveryCPU    Unit `json:"deliveryCpu"`    // of a delivery node, for one message to one member
	DeliveryBytes  Unit `json:"deliveryBytes"`  // on a client's wire
	ReceiptCPU     Unit `json:"receiptCpu"`     // of all servers, for one read mark until its sender is told
	ConnectionRAM  Unit `json:"connectionRam"`  // resident, of a delivery node
	ConnectionRate Unit `json:"connectionRate"` // that one delivery node welcomed
	MessageHot     Unit `json:"messageHot"`     // on the disk of one replica
	MessageCold    Unit `json:"messageCold"`    // in the archive
	TextBytes      Unit `json:"textBytes"`      // of the messages that all this was measured with
}

// ReadUnits reads unit costs from a file.
func ReadUnits(name string) (*Units, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var u Units
	if err := json.Unmarshal(b, &u); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if u.Schema != UnitsSchema {
		return nil, fmt.Errorf("%s: its schema is %q, this is a reader of %q", name, u.Schema, UnitsSchema)
	}
	for _, unit := range u.all() {
		if unit.Value <= 0 {
			return nil, fmt.Errorf("%s: %q was not measured", name, unit.What)
		}
	}
	return &u, nil
}

func (u *Units) all() []*Unit {
	return []*Unit{
		&u.AppendCPU, &u.AppendRate, &u.DeliveryCPU, &u.DeliveryBytes, &u.ReceiptCPU, &u.ConnectionRAM, &u.ConnectionRate, &u.MessageHot,
		&u.MessageCold, &u.TextBytes,
	}
}

// Write writes unit costs to a file.
func (u *Units) Write(name string) error {
	b, err := json.MarshalIndent(u, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(b, '\n'), 0o644)
}
