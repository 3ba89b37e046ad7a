package sequencer

import "github.com/quorate/quorate/raftfsm"

// Peer is one of the first nodes of a quorum, for Config.Bootstrap. Who wires nodes together needs no other word of
// raftfsm's.
type Peer = raftfsm.Peer

// Timing is how fast the groups notice that a leader is gone.
type Timing = raftfsm.Timing
