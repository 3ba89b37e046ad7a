package sequencertest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// LoopbackAddrs gives two free loopback addresses that nothing else will take, so that a node keeps them over restarts. They are
// of an IP address that is this call's own: outgoing connections, which leave from 127.0.0.1, never use up its ports.
// Where the machine has only 127.0.0.1, they are free ports of that, and the promise is weaker.
func LoopbackAddrs(t testing.TB) (raft, resp string) {
	t.Helper()
	for range 100 {
		ip := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(250), rand.IntN(256), 2+rand.IntN(250))
		raft, resp, err := bindable(ip+":7000", ip+":7379")
		if err == nil {
			return raft, resp
		}
	}
	raft, resp, err := bindable("127.0.0.1:0", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("find free ports: %v", err)
	}
	return raft, resp
}

// bindable gives the two addresses, with their ports, if they can be listened on.
func bindable(a, b string) (string, string, error) {
	first, err := net.Listen("tcp", a)
	if err != nil {
		return "", "", err
	}
	defer first.Close()
	second, err := net.Listen("tcp", b)
	if err != nil {
		return "", "", err
	}
	defer second.Close()
	return first.Addr().String(), second.Addr().String(), nil
}
