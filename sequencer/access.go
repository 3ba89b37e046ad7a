package sequencer

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
	"github.com/quorate/quorate/trust"
)

// right is what a command asks of whoever sends it. The zero value is none that anybody has: a command without a right
// runs for nobody.
type right uint8

const (
	rightUnset right = iota
	rightAny         // of all who are let in
	rightRead        // looks at chats, users, feeds and the cluster
	rightWrite       // changes chats and users' lists as members' deeds do
	rightAll         // runs the cluster, or is what nodes tell each other
)

// of reports whether a role gives a right.
func (r right) of(role trust.Role) bool {
	switch role {
	case trust.Node, trust.Operator:
		return r != rightUnset
	case trust.Edge:
		return r == rightAny || r == rightRead || r == rightWrite
	case trust.Reader:
		return r == rightAny || r == rightRead
	}
	return false
}

// principal is who a connection is taken for. It does not change.
type principal struct {
	name string // as ACL WHOAMI tells it
	role trust.Role
	user *trust.User // where it is one of the file of users
}

// anybody is who all are where nothing is asked for, as in Redis.
var anybody = &principal{name: trust.DefaultUser, role: trust.Operator}

// access knows who may do what. The file of users is read again when it changes.
type access struct {
	log      *slog.Logger
	open     bool // nothing is asked for: all are anybody
	password *[sha256.Size]byte
	file     string
	users    atomic.Pointer[trust.Users] // of file; empty without
	failures *failures
}

// usersEvery is how long a change of the file of users may go unseen.
const usersEvery = time.Second

// openAccess reads who may do what.
func openAccess(cfg *Config, log *slog.Logger) (*access, error) {
	a := &access{log: log, file: cfg.UsersFile, failures: newFailures(time.Now)}
	a.open = cfg.Keys == nil && cfg.Password == "" && cfg.UsersFile == ""
	if cfg.Password != "" {
		sum := sha256.Sum256([]byte(cfg.Password))
		a.password = &sum
	}
	users := &trust.Users{}
	if a.file != "" {
		var err error
		if users, err = trust.ReadUsers(a.file); err != nil {
			return nil, fmt.Errorf("read the users: %w", err)
		}
	}
	a.users.Store(users)
	return a, nil
}

// watch reads the file of users again when it changes, until stop. A file that cannot be read changes nothing.
func (a *access) watch(stop <-chan struct{}) {
	if a.file == "" {
		return
	}
	tick := time.NewTicker(usersEvery)
	defer tick.Stop()
	var seen os.FileInfo
	for {
		if info, err := os.Stat(a.file); err == nil && (seen == nil || !sameFile(info, seen)) {
			seen = info
			users, err := trust.ReadUsers(a.file)
			if err != nil {
				a.log.Error("the changed users are not used", "err", err)
			} else {
				a.users.Store(users)
				a.log.Info("the users were read", "users", len(users.List))
			}
		}
		select {
		case <-tick.C:
		case <-stop:
			return
		}
	}
}

func sameFile(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// wanted reports whether AUTH can succeed at all.
func (a *access) wanted() bool { return a.password != nil || a.file != "" }

// check gives who has this name and password, nil for nobody. It takes as long whatever is wrong.
func (a *access) check(name string, password []byte) *principal {
	given, want := sha256.Sum256(password), [sha256.Size]byte{}
	if a.password != nil {
		want = *a.password
	}
	same := subtle.ConstantTimeCompare(given[:], want[:]) == 1
	user := a.users.Load().Check(name, password)
	switch {
	case name == trust.DefaultUser && same && a.password != nil:
		return anybody
	case user != nil:
		return &principal{name: user.Name, role: user.Role, user: user}
	}
	return nil
}

// still gives who a principal is by the file of users as it is now, nil where it is gone from there or has got another
// password.
func (a *access) still(p *principal) *principal {
	if p.user == nil {
		return p
	}
	now := a.users.Load().Find(p.name)
	switch {
	case now == p.user:
		return p
	case now == nil || now.Password != p.user.Password:
		return nil
	}
	return &principal{name: now.Name, role: now.Role, user: now}
}

// followUsers keeps the users as the file has them, until the node closes.
func (n *Node) followUsers() {
	defer n.done.Done()
	n.access.watch(n.closing)
}

// certified is who holds a certificate.
func certified(n trust.Name) *principal {
	return &principal{name: string(n.Role) + "/" + n.ID, role: n.Role}
}

// speaksFor looks that who joins as a node has no certificate of another node.
func (c *conn) speaksFor(id wire.NodeID) error {
	if who := c.guard.who; who != nil && who.role == trust.Node && who.name != nodeName(id) {
		return fmt.Errorf("%w: %s joins as node %s", wire.ErrNoPerm, who.name, id)
	}
	return nil
}

func nodeName(id wire.NodeID) string { return string(trust.Node) + "/" + string(id) }

// wants judges a node that connects. All but those that the cluster has given up may: one that the map here does not have
// may be about to join, or may know more of the cluster than this one.
func (n *Node) wants(id wire.NodeID) bool {
	if n.cfg.AllowNode != nil && !n.cfg.AllowNode(id) {
		return false
	}
	m := n.clusterMap()
	if m == nil {
		return true
	}
	info := m.Node(id)
	return info == nil || info.State != wire.NodeLost
}

// takes judges the certificate at the RESP port: every role is welcome there.
func (n *Node) takes(name trust.Name) error {
	if name.Role == trust.Node && !n.wants(wire.NodeID(name.ID)) {
		return fmt.Errorf("%w: node %s is not wanted", trust.ErrStranger, name.ID)
	}
	return nil
}

// raftIdentity is how the node proves itself at Raft ports; nil without certificates.
func (n *Node) raftIdentity() *raftfsm.Identity {
	if n.cfg.Keys == nil {
		return nil
	}
	return &raftfsm.Identity{Keys: n.cfg.Keys, Allow: n.wants}
}

// client is how the node reaches RESP ports, its own among them: by its certificate, or else by the password.
func (c *Config) client(seed string, log *slog.Logger) wire.ClientConfig {
	config := wire.ClientConfig{Seeds: []string{seed}, Password: c.Password, Logger: log}
	if c.Keys != nil {
		config.Password, config.Dial = "", c.Keys.Dial
	}
	return config
}
