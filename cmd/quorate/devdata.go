package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// devState is what the data of `quorate dev` was made with. It is in dev.json and does not change: the Raft groups know
// their nodes by these addresses.
type devState struct {
	Groups int       `json:"groups"`
	Nodes  []devNode `json:"nodes"`
}

type devNode struct {
	ID       string `json:"id"`
	RaftAddr string `json:"raftAddr"`
}

// openDevData makes the data directory where there is none, takes its lock, and reads or makes its state. unlock gives the
// lock back; so does the end of the process.
func openDevData(c *DevConfig) (state devState, unlock func() error, err error) {
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return state, nil, err
	}
	lock, err := os.OpenFile(filepath.Join(c.Data, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return state, nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return state, nil, fmt.Errorf("another quorate dev is running on %s", c.Data)
	}
	if state, err = readDevState(c); err != nil {
		lock.Close()
		return state, nil, err
	}
	return state, lock.Close, nil
}

func readDevState(c *DevConfig) (devState, error) {
	name := filepath.Join(c.Data, "dev.json")
	raw, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return makeDevState(c, name)
	}
	if err != nil {
		return devState{}, err
	}
	var state devState
	if err := json.Unmarshal(raw, &state); err != nil {
		return state, fmt.Errorf("%s: %w", name, err)
	}
	if len(state.Nodes) != c.Nodes || state.Groups != c.Groups {
		return state, usagef("%s was made with --nodes %d --groups %d: start it so, or with another --data",
			c.Data, len(state.Nodes), state.Groups)
	}
	return state, nil
}

// The Raft ports lie above the usual servers' and below those that systems hand out to clients, so that they are likely to
// be free again at the next start.
const (
	raftPorts    = 17000
	raftPortsEnd = 32768
)

// makeDevState picks a Raft address for each node. Where the search begins follows from the RESP port, so that two that
// start side by side do not meet.
func makeDevState(c *DevConfig, name string) (devState, error) {
	state := devState{Groups: c.Groups}
	_, port, err := splitAddr(c.RESPAddr)
	if err != nil {
		return state, err
	}
	port = raftPorts + port%10_000
	for i := range c.Nodes {
		addr, next, err := freeAddr(port)
		if err != nil {
			return state, err
		}
		port = next
		state.Nodes = append(state.Nodes, devNode{ID: "n" + strconv.Itoa(i+1), RaftAddr: addr})
	}
	raw, err := json.MarshalIndent(state, "", "  ")
	if err != nil {
		return state, err
	}
	return state, writeNew(name, append(raw, '\n'))
}

// freeAddr finds the first loopback port from port on that nobody listens on, and tells where to look next.
func freeAddr(port int) (addr string, next int, err error) {
	for ; port < raftPortsEnd; port++ {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		listener, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		return addr, port + 1, listener.Close()
	}
	return "", 0, fmt.Errorf("no free port for Raft on 127.0.0.1 below %d", raftPortsEnd)
}
