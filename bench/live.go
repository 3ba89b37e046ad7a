package bench

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// LiveConfig is a run of Live: members of chats are online, messages are sent, and the time until each member has each is measured. Targets, Token
// and either InFlight or Rate are required.
type LiveConfig struct {
	Targets  []string                          // http://host:port of delivery nodes; the members are spread over them
	Chats    int                               // with members of their own each
	Members  int                               // of each chat, 2 to 256
	InFlight int                               // closed loop: messages of each chat that are not yet with all members; 0 for a rate
	Rate     float64                           // open loop: messages in a second, over all chats; their times are fixed beforehand
	Size     int                               // bytes of each text, 32 to 16384
	Warmup   time.Duration                     // before anything counts
	For      time.Duration                     // that counts
	Ack      bool                              // members acknowledge what they get, every 250 ms at most
	Servers  []int                             // processes of this machine whose CPU time is told
	Token    func(user string) (string, error) // what a user shows
}

func (c *LiveConfig) check() error {
	switch {
	case len(c.Targets) == 0 || c.Token == nil:
		return errors.New("bench: there must be a target, and users need tokens")
	case c.Chats < 1 || c.Members < 2 || c.Members > maxMembers:
		return errors.New("bench: there must be a chat, and a chat has 2 to 256 members")
	case (c.InFlight > 0) == (c.Rate > 0):
		return errors.New("bench: either so many messages are in flight, or they are sent at a rate")
	case c.Size < 32 || c.Size > 16<<10:
		return errors.New("bench: a text has 32 bytes to 16 KiB")
	case c.For <= 0:
		return errors.New("bench: a run takes time")
	}
	return nil
}

// Spread is a distribution of times.
type Spread struct {
	P50  time.Duration `json:"p50Ns"`
	P90  time.Duration `json:"p90Ns"`
	P99  time.Duration `json:"p99Ns"`
	P999 time.Duration `json:"p999Ns"`
	Max  time.Duration `json:"maxNs"`
}

// spreadOf sorts the times and reads the distribution off.
func spreadOf(times []time.Duration) (s Spread) {
	slices.Sort(times)
	at := func(share float64) time.Duration { return times[int(share*float64(len(times)-1))] }
	if len(times) > 0 {
		s = Spread{at(0.5), at(0.9), at(0.99), at(0.999), times[len(times)-1]}
	}
	return s
}

// LiveResult is what came of it. Only what was sent in the time that counts is in it, but for Broken.
type LiveResult struct {
	Version    int           `json:"version"` // of this form: 1
	Sent       int           `json:"sent"`    // messages
	Delivered  int           `json:"delivered"`
	Missing    int           `json:"missing"` // deliveries that did not come within 5 s of the end
	Late       int           `json:"late"`    // sends that went out over 10 ms after their planned time
	Took       time.Duration `json:"tookNs"`
	PerSecond  float64       `json:"deliveriesPerSecond"`
	Latency    Spread        `json:"latency"`      // planned send to receipt; in a closed loop from the send
	ServerCPU  time.Duration `json:"serverCpuNs"`  // of the Servers
	ClientCPU  time.Duration `json:"clientCpuNs"`  // of this process
	PerDeliver time.Duration `json:"perDelivery"`  // ServerCPU over Delivered
	Broken     []string      `json:"broken"`       // promises that were, the first few in full
	BrokenAll  int           `json:"brokenCount"`  // and how many
	Limit      bool          `json:"clientLimits"` // this process was the limit: its one goroutine was busy for over 90 % of the time
}

// LiveVersion is LiveResult.Version.
const LiveVersion = 1

// tag marks a text, so that whoever gets it knows which it is. The rest is filled up.
func tag(chat, number, size int) string {
	head := fmt.Sprintf("%d/%d/", chat, number)
	return head + strings.Repeat("x", size-len(head))
}

// judge checks what one chat's members are shown: all the same, one after the other, once.
type judge struct {
	texts []string // by seq-1, as the first member got them
	next  []int    // of each member: the seq to come
}

// shown takes a message that a member got and gives what is wrong with it.
func (j *judge) shown(member, seq int, text string) (fault string) {
	switch want := j.next[member]; {
	case seq < want:
		return fmt.Sprintf("member %d got message %d again", member, seq)
	case seq > want:
		fault = fmt.Sprintf("member %d got message %d in place of %d", member, seq, want)
	case seq == len(j.texts)+1:
		j.texts = append(j.texts, text)
	case j.texts[seq-1] != text:
		fault = fmt.Sprintf("member %d got %.40q as message %d, another one %.40q", member, text, seq, j.texts[seq-1])
	}
	for len(j.texts) < seq { // of messages that nobody got yet
		j.texts = append(j.texts, text)
	}
	j.next[member] = seq + 1
	return fault
}
