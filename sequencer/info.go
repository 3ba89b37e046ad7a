package sequencer

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// infoSection is a part of INFO: lines of name:value.
type infoSection struct {
	name  string
	write func(s *server, w *infoWriter)
}

// infoSections in the order in which INFO tells them.
var infoSections = []infoSection{
	{"Server", infoServer},
	{"Clients", infoClients},
	{"Memory", infoMemory},
	{"Stats", infoStats},
	{"Cluster", infoCluster},
	{"Raft", infoRaft},
}

// infoWriter builds the text of INFO.
type infoWriter struct{ strings.Builder }

func (w *infoWriter) line(name string, value any) { fmt.Fprintf(w, "%s:%v\r\n", name, value) }

// info is INFO [section…].
func info(c *conn, k *call, a args) error {
	var w infoWriter
	for _, section := range infoSections {
		if !wantsSection(a, section.name) {
			continue
		}
		if w.Len() > 0 {
			w.WriteString("\r\n")
		}
		w.WriteString("# " + section.name + "\r\n")
		section.write(c.srv, &w)
	}
	return k.answer(func(r *reply) { r.str(w.String()) })
}

func wantsSection(a args, name string) bool {
	if len(a) == 1 {
		return true
	}
	for i := 1; i < len(a); i++ {
		if a.is(i, name) || a.is(i, "all") || a.is(i, "default") || a.is(i, "everything") {
			return true
		}
	}
	return false
}

func infoServer(s *server, w *infoWriter) {
	_, port := hostPort(s.node.respAddr)
	uptime := time.Since(s.start)
	w.line("redis_version", redisVersion)
	w.line("redis_mode", "cluster")
	w.line("quorate_version", s.node.cfg.Version)
	w.line("os", runtime.GOOS+" "+runtime.GOARCH)
	w.line("go_version", runtime.Version())
	w.line("process_id", os.Getpid())
	w.line("run_id", redisID(s.node.cfg.NodeID))
	w.line("node_id", s.node.cfg.NodeID)
	if keys := s.node.cfg.Keys; keys != nil {
		w.line("tls_name", keys.Name())
		w.line("tls_expires", keys.Expires().UTC().Format(time.RFC3339))
	}
	w.line("region", s.node.cfg.Region)
	w.line("tcp_port", port)
	w.line("uptime_in_seconds", int(uptime.Seconds()))
	w.line("uptime_in_days", int(uptime.Hours()/24))
}

func infoClients(s *server, w *infoWriter) {
	s.mu.Lock()
	connected := len(s.guards)
	s.mu.Unlock()
	w.line("connected_clients", connected)
	w.line("maxclients", s.limits.Connections)
	w.line("blocked_clients", len(s.waiting))
}

func infoMemory(_ *server, w *infoWriter) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	w.line("used_memory", m.HeapAlloc)
	w.line("used_memory_sys", m.Sys)
	w.line("goroutines", runtime.NumGoroutine())
}

func infoStats(s *server, w *infoWriter) {
	counts := &s.counts
	w.line("total_connections_received", counts.accepted.Load())
	w.line("rejected_connections", counts.rejected.Load())
	w.line("total_commands_processed", counts.commands.Load())
	var entries, batched int64
	for _, h := range s.node.replicas().held() {
		entries += h.entries.Load()
		batched += h.commands.Load()
	}
	w.line("entries_proposed", entries)
	w.line("commands_proposed", batched)
	w.line("appends", s.node.appends.Load())
	w.line("reads", counts.reads.Load())
	w.line("refused_busy", counts.refusals(wire.ErrBusy))
	w.line("refused_moved", counts.refusals(&wire.MovedError{}))
	w.line("outcomes_unknown", counts.refusals(wire.ErrUnknown))
	w.line("protocol_errors", counts.hostile.Load())
	w.line("auth_failures", counts.wrongPass.Load())
	w.line("tls_strangers", counts.strangers.Load())
	w.line("pushed_connections", counts.pushed.Load())
	w.line("denied_commands", counts.denied.Load())
	raft := s.node.mux.Counts()
	w.line("raft_strangers", raft.Stranger)
	w.line("raft_pushed_connections", raft.Pushed)
	w.line("raft_forged", raft.Forged)
	w.line("panics", counts.panics.Load())
}

func infoCluster(s *server, w *infoWriter) {
	leads := 0
	for _, h := range s.node.replicas().data() {
		if h.raft.Serving() {
			leads++
		}
	}
	w.line("cluster_enabled", 1)
	w.line("groups", len(s.node.replicas().groups))
	w.line("groups_led", leads)
	w.line("slots", wire.Slots)
}

func infoRaft(s *server, w *infoWriter) {
	for _, h := range s.node.replicas().held() {
		name := fmt.Sprintf("group%d", h.id)
		if h.id == wire.MetaGroup {
			name = "meta"
		}
		w.line(name, raftLine(h.raft.Status()))
	}
}

// raftLine is one group in INFO. lag is how many entries the state is behind what is known to be committed.
func raftLine(s raftfsm.Status) string {
	leader := string(s.Leader.ID)
	if leader == "" {
		leader = "none"
	}
	lag := uint64(0)
	if s.Commit > s.Applied {
		lag = s.Commit - s.Applied
	}
	return fmt.Sprintf("state=%s,serving=%t,leader=%s,term=%d,last=%d,commit=%d,applied=%d,lag=%d,peers=%d,installs=%d",
		strings.ToLower(s.State), s.Serving, leader, s.Term, s.LastIndex, s.Commit, s.Applied, lag, len(s.Replicas), s.Installs)
}
