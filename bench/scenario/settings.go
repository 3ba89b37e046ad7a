package scenario

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/quorate/quorate/bench/load"
	"github.com/quorate/quorate/sequencer/wire"
)

// Settings are a run, whole: the same settings make the same load. They are in its result, and a coordinator sends them to its
// workers. A field that is zero gets what is usual for the scenario.
type Settings struct {
	Scenario    string        `json:"scenario"`
	Targets     []string      `json:"targets,omitempty"`     // delivery nodes, http://HOST:PORT; clients are spread over them
	Sequencers  []string      `json:"sequencers,omitempty"`  // RESP addresses, for what goes over RESP
	Protocol    string        `json:"protocol,omitempty"`    // of send and history: resp, ws or rest
	Seed        uint64        `json:"seed"`                  // of all that is random
	Rate        float64       `json:"rate,omitempty"`        // operations in a second, planned beforehand
	Closed      bool          `json:"closed,omitempty"`      // a closed loop in place of a rate
	InFlight    int           `json:"inFlight,omitempty"`    // closed: of each chat or sender; open: in all, beyond which what is planned is dropped
	Senders     int           `json:"senders,omitempty"`     // users who send
	Chats       int           `json:"chats,omitempty"`       // with members of their own; idle: of each user, negative: none
	Members     int           `json:"members,omitempty"`     // of each chat
	Connections int           `json:"connections,omitempty"` // of idle, reconnect and mixed: users, with one each; idle: negative: none
	Users       int           `json:"users,omitempty"`       // of idle: people who have the connections, each several where they are fewer; 0: one each
	First       int           `json:"first,omitempty"`       // of idle: number of the one of them who has the first connection of this run
	Ramp        float64       `json:"ramp,omitempty"`        // connections begun in a second
	Behind      int           `json:"behind,omitempty"`      // messages that a member has missed, or that there are to read
	Page        int           `json:"page,omitempty"`        // messages of one page of history
	NoAcks      bool          `json:"noAcks,omitempty"`      // of live and fanout: members acknowledge nothing, so that no receipts are told
	Archived    bool          `json:"archived,omitempty"`    // what is read must be in the archive
	Size        int           `json:"size,omitempty"`        // bytes of a text
	SizeSkew    float64       `json:"sizeSkew,omitempty"`    // deviation of the logarithm of sizes; 0: all are alike
	Skew        float64       `json:"skew,omitempty"`        // how unevenly chats and people are active: Zipf's exponent
	Replay      int           `json:"replay,omitempty"`      // one in so many is offered again after its ack; negative: none
	Warmup      time.Duration `json:"warmupNs"`
	For         time.Duration `json:"forNs"`

	// Part of Parts is what one of several workers does of a run. Run is in all names, so that runs of other names do not meet.
	Part  int    `json:"part"`
	Parts int    `json:"parts"`
	Run   string `json:"run"` // runs of one name share their users and chats
}

// usualSize is the bytes of a text where neither a run nor its scenario says.
const usualSize = 200

// maxMembers is the largest group.
const maxMembers = 256

// Limits of what a run may ask of the machine that it runs on.
const (
	maxText        = 16 << 10
	maxInFlight    = 1 << 16
	maxRate        = 10_000_000
	maxConnections = 4_000_000
	maxRunName     = 24
)

// fill gives what is zero the scenario's value.
func (s *Settings) fill(usual Settings) {
	or(&s.Protocol, usual.Protocol)
	or(&s.Rate, usual.Rate)
	if s.Closed {
		or(&s.InFlight, 1)
	}
	or(&s.InFlight, usual.InFlight)
	or(&s.Senders, usual.Senders)
	or(&s.Chats, usual.Chats)
	or(&s.Members, usual.Members)
	or(&s.Connections, usual.Connections)
	or(&s.Ramp, usual.Ramp)
	or(&s.Behind, usual.Behind)
	or(&s.Page, usual.Page)
	or(&s.Size, usual.Size)
	or(&s.Size, usualSize)
	or(&s.SizeSkew, usual.SizeSkew)
	or(&s.Skew, usual.Skew)
	or(&s.Replay, usual.Replay)
	or(&s.Parts, 1)
}

func or[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// Check tells what is wrong with settings that were asked for.
func (s *Settings) Check() error {
	switch {
	case s.Size < load.MinText || s.Size > maxText:
		return fmt.Errorf("a text has %d to %d bytes", load.MinText, maxText)
	case s.Members < 0 || s.Members > maxMembers:
		return fmt.Errorf("a chat has at most %d members", maxMembers)
	case s.Rate < 0 || s.Rate > maxRate || s.Ramp < 0 || s.Ramp > maxRate:
		return fmt.Errorf("a rate is at most %d in a second", maxRate)
	case s.InFlight < 0 || s.InFlight > maxInFlight:
		return fmt.Errorf("at most %d can be in flight", maxInFlight)
	case s.Connections < 0 && s.Scenario != "idle" || s.Users < 0 || s.Users > maxConnections || s.First < 0:
		return errors.New("users and connections are numbers from 0 on")
	case s.Run != "" && wire.CheckID("run", s.Run) != nil || len(s.Run) > maxRunName:
		return fmt.Errorf("the name of a run is part of an id: letters and digits, %d at most", maxRunName)
	case s.Connections > maxConnections || s.Senders < 0 || s.Senders > maxConnections || s.Chats > maxConnections:
		return fmt.Errorf("there are at most %d users, connections and chats", maxConnections)
	case s.Behind < 0 || s.Page < 0 || s.Page > 500:
		return errors.New("a page has 1 to 500 messages")
	case s.SizeSkew < 0 || s.SizeSkew > 3 || s.Skew < 0 || s.Skew > 3:
		return errors.New("a skew is 0 to 3")
	case s.For <= 0 || s.Warmup < 0:
		return errors.New("a run takes time")
	case s.Part < 0 || s.Part >= s.Parts:
		return errors.New("a part is one of the parts")
	case len(s.Targets) == 0:
		return errors.New("there must be a target")
	}
	for _, t := range s.Targets {
		if u, err := url.Parse(t); err != nil || u.Scheme != "http" || u.Host == "" {
			return fmt.Errorf("a target is http://HOST:PORT, not %q", t)
		}
	}
	return nil
}

// share is this part's share of a number, at least 1.
func (s *Settings) share(n int) int {
	mine := n / s.Parts
	if s.Part < n%s.Parts {
		mine++
	}
	return max(mine, 1)
}

// rate is this part's share of the rate.
func (s *Settings) rate() float64 { return s.Rate / float64(s.Parts) }

// target is where client number i connects to.
func (s *Settings) target(i int) string { return s.Targets[i%len(s.Targets)] }
