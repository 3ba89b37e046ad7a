// Package bench loads a cluster from outside, as clients do: over REST and WebSocket, with nothing of the servers' inside. METHOD.md
// in this directory tells how it measures.
package bench

import (
	"errors"
	"io"
	"time"
)

// IdleConfig is a run of Idle. Target and Token are required.
type IdleConfig struct {
	Target      string                            // http://host:port of a delivery node
	Metrics     string                            // http://host:port of that node's operations port; "" for none
	Connections int                               // one user each; 0 with Users: only their chats are made
	FirstUser   int                               // the number of the first of them: other runs beside this one have other users
	Users       int                               // number 0 to this are all users there are, of this run and of those beside it; behind the last comes the first. 0: as many as connections
	Chats       int                               // of each user
	Members     int                               // of each chat, at most 256
	Rate        int                               // connections begun in a second
	Hold        time.Duration                     // how long they stay when all are there, unless the context ends before
	Token       func(user string) (string, error) // what a user shows
	Progress    io.Writer                         // a line now and then; nil for none
}

// IdleResult is what came of it.
type IdleResult struct {
	Connections  int           `json:"connections"` // that were welcomed
	Failed       int           `json:"failed"`      // that were not, or ended
	Returned     int           `json:"returned"`    // how often one was asked to come again, and did
	Why          string        `json:"why"`         // the first that failed did so, and in which state
	Chats        int           `json:"chats"`       // that the welcome of the session with the fewest named
	Pings        int           `json:"pings"`       // that were answered
	Setup        time.Duration `json:"setupNs"`     // to make the chats
	Open         time.Duration `json:"openNs"`      // from the first connection to the last welcome
	WelcomeP50   time.Duration `json:"welcomeP50Ns"`
	WelcomeP99   time.Duration `json:"welcomeP99Ns"`
	BytesBefore  float64       `json:"bytesBefore"`        // resident memory of the delivery node without the connections
	BytesAfter   float64       `json:"bytesAfter"`         // and at the end of Hold with them
	BytesPerConn float64       `json:"bytesPerConnection"` // the difference for each; 0 without Metrics
}

// maxMembers is the largest group.
const maxMembers = 256

func (c *IdleConfig) check() error {
	switch {
	case c.Connections < 0 || c.Users < 0 || c.Connections+c.Users == 0 || c.Chats < 0 || c.Rate < 1:
		return errors.New("bench: there must be connections, and a rate at which they begin")
	case c.Chats > 0 && (c.Members < 2 || c.Members > maxMembers):
		return errors.New("bench: a chat has 2 to 256 members")
	case c.Chats > 0 && c.users() < c.Members:
		return errors.New("bench: there are fewer users than a chat has members")
	case c.Token == nil:
		return errors.New("bench: users need tokens")
	}
	return nil
}
