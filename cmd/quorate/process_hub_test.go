package main

import (
	"syscall"
	"testing"
	"time"
)

// hubsSettle is how long hubs may take to share the feeds out again before the next thing happens to them; what is lost meanwhile is for the
// check to find.
const hubsSettle = 500 * time.Millisecond

// TestProcesses_HubsComeAndGo has three delivery nodes that share the feeds between them. One after the other is killed, stopped and
// continued, and told to end and started again, all under a talking crowd; every promise is held against the logs after each.
func TestProcesses_HubsComeAndGo(t *testing.T) {
	t.Parallel()
	c := startClusterOf(t, buildBinary(t), 3)
	crowd := c.crowd(t)
	crowd.talkUntil(t, talkAcks)

	t.Log("kill -9 of a hub, and its return")
	c.edges[0].kill()
	crowd.talkUntil(t, talkAcks)
	c.edges[0].start(t, startTime)
	crowd.talkUntil(t, talkAcks)
	crowd.check(t)

	t.Log("kill -9 of two hubs of three")
	c.edges[1].kill()
	c.edges[2].kill()
	crowd.talkUntil(t, talkAcks)
	c.edges[1].launch(t)
	c.edges[2].launch(t)
	c.edges[1].awaitReady(t, startTime)
	c.edges[2].awaitReady(t, startTime)
	crowd.talkUntil(t, talkAcks)
	crowd.check(t)

	t.Log("a hub that stands still for longer than its leases last; the clients are at the first node, which was left")
	c.edges[1].signal(t, syscall.SIGSTOP)
	crowd.talkUntil(t, talkAcks)
	time.Sleep(4 * time.Second) // the fault itself
	c.edges[1].signal(t, syscall.SIGCONT)
	crowd.talkUntil(t, talkAcks)
	crowd.check(t)

	t.Log("a rolling restart")
	for _, edge := range c.edges {
		if code := edge.stop(t, 15*time.Second); code != exitOK {
			t.Errorf("%s ended with %d on SIGTERM", edge.name, code)
		}
		edge.start(t, startTime)
		crowd.talkUntil(t, talkAcks/2)
		time.Sleep(hubsSettle)
	}
	crowd.check(t)
}
