package raftfsm

import (
	"strings"

	"github.com/hashicorp/raft"

	"github.com/quorate/quorate/sequencer/wire"
)

// Peer is one replica of a group, and where its node is.
type Peer struct {
	ID         wire.NodeID
	Generation uint64 // of the replica; 0 stands for 1, the first
	RaftAddr   string // host:port of the node's Mux
}

// Replica gives the name of the replica.
func (p Peer) Replica() wire.ReplicaID {
	return wire.ReplicaID{Node: p.ID, Generation: max(p.Generation, 1)}
}

// serverID is what Raft knows the replica by: "n2/1".
func (p Peer) serverID() raft.ServerID { return raft.ServerID(p.Replica().String()) }

// serverAddr is where Raft dials it. The name goes along, so that the connection can say whom it is for: "n2/1@host:port".
func (p Peer) serverAddr() raft.ServerAddress {
	return raft.ServerAddress(p.Replica().String() + "@" + p.RaftAddr)
}

// peerOf is the inverse of serverID and serverAddr; it is zero where id names no replica.
func peerOf(id raft.ServerID, addr raft.ServerAddress) Peer {
	name, err := wire.ParseReplicaID(string(id))
	if err != nil {
		return Peer{}
	}
	_, hostPort := splitAddr(addr)
	return Peer{ID: name.Node, Generation: name.Generation, RaftAddr: hostPort}
}

// splitAddr parts an address into the replica that is meant, "" for any, and host:port.
func splitAddr(addr raft.ServerAddress) (replica, hostPort string) {
	before, after, ok := strings.Cut(string(addr), "@")
	if !ok {
		return "", before
	}
	return before, after
}
