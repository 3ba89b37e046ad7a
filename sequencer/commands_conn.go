package sequencer

import (
	"fmt"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
	"github.com/quorate/quorate/trust"
)

const (
	redisVersion = "7.4.0" // what clients ask to know which commands they may use
	maxFailures  = 5       // wrong passwords on one connection; then it is closed
	authPause    = 200 * time.Millisecond
	maxNameBytes = 128 // of a connection's name
)

const (
	errWrongPass    = redisError("WRONGPASS invalid username-password pair or user is disabled.")
	errTooManyTries = redisError("WRONGPASS too many wrong passwords came from this address, try again later.")
	errNoPass       = redisError("ERR AUTH <password> called without any password configured for the default user. " +
		"Are you sure your configuration is correct?")
)

// auth is AUTH [username] password.
func auth(c *conn, k *call, a args) error {
	if len(a) > 3 {
		return errSyntax
	}
	user := trust.DefaultUser
	if len(a) == 3 {
		user = a.str(1)
	}
	if err := c.authenticate(k, user, a[len(a)-1]); err != nil {
		return err
	}
	return k.ok()
}

// authenticate makes a connection that of a user where the password is right. It makes a client that guesses wait, and then
// go, and bounds what it can try over many connections.
func (c *conn) authenticate(k *call, user string, password []byte) error {
	access, addr := c.srv.access, c.guard.RemoteAddr()
	if !access.wanted() {
		return errNoPass
	}
	if !access.failures.take(addr) {
		c.srv.counts.wrongPass.Add(1)
		k.last = true
		c.penance()
		return errTooManyTries
	}
	if who := access.check(user, password); who != nil {
		access.failures.back(addr)
		c.who, c.users, c.failures = who, access.users.Load(), 0
		c.srv.trust(c.guard)
		return c.guard.SetReadDeadline(time.Time{})
	}
	c.failures++
	c.srv.counts.wrongPass.Add(1)
	c.penance()
	if c.failures >= maxFailures {
		k.last = true
		c.log.Warn("a connection is closed for wrong passwords", "tries", c.failures)
	}
	return errWrongPass
}

// penance is the time that a wrong password costs.
func (c *conn) penance() {
	pause := time.NewTimer(authPause)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-c.ctx.Done():
	}
}

// acl is ACL WHOAMI.
func acl(c *conn, k *call, a args) error {
	switch {
	case a.is(1, "WHOAMI") && len(a) == 2:
		name := c.who.name
		return k.answer(func(r *reply) { r.str(name) })
	case a.is(1, "HELP") && len(a) == 2:
		return helped(k, "ACL WHOAMI")
	}
	return unknownSub("ACL", a)
}

// hello is HELLO [protover [AUTH username password] [SETNAME name]].
func hello(c *conn, k *call, a args) error {
	resp3, name, named := c.resp3, c.name, false
	if len(a) > 1 {
		version, ok := digits(a[1])
		if !ok || version < 2 || version > 3 {
			return redisError("NOPROTO unsupported protocol version")
		}
		resp3 = version == 3
	}
	for o := (options{args: a, at: 2}); o.more(); {
		switch {
		case o.is(o.at, "AUTH") && len(a) > o.at+2:
			if err := c.authenticate(k, a.str(o.at+1), a[o.at+2]); err != nil {
				return err
			}
			o.at += 3
		case o.is(o.at, "SETNAME") && len(a) > o.at+1:
			name, named = string(a[o.at+1]), true
			o.at += 2
		default:
			return redisError("ERR Syntax error in HELLO option '" + shown(a[o.at]) + "'")
		}
	}
	if c.who == nil {
		return redisError("NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO " +
			"<proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version " +
			"at the same time")
	}
	if named {
		if err := checkName(name); err != nil {
			return err
		}
		c.name = name
	}
	c.resp3, k.resp3 = resp3, resp3
	return k.answer(c.greet)
}

func (c *conn) greet(r *reply) {
	proto := int64(2)
	if r.resp3 {
		proto = 3
	}
	r.maps(8)
	r.fieldStr("server", "quorate")
	r.fieldStr("version", redisVersion)
	r.fieldInt("proto", proto)
	r.fieldInt("id", c.id)
	r.fieldStr("mode", "cluster")
	r.fieldStr("role", "master")
	r.fieldStrs("modules", nil)
	r.fieldStr("quorate_version", c.node.cfg.Version)
}

func checkName(name string) error {
	if len(name) > maxNameBytes {
		return fmt.Errorf("%w: a name has at most %d bytes", wire.ErrTooLarge, maxNameBytes)
	}
	for i := range len(name) {
		if name[i] < '!' || name[i] > '~' {
			return redisError("ERR Client names cannot contain spaces, newlines or special characters.")
		}
	}
	return nil
}

// ping is PING [message].
func ping(_ *conn, k *call, a args) error {
	switch len(a) {
	case 1:
		k.out = pongReply
		k.finish()
		return nil
	case 2:
		return k.answer(func(r *reply) { r.str(a.str(1)) })
	}
	return redisError("ERR wrong number of arguments for 'ping' command")
}

var pongReply = []byte("+PONG\r\n")

// echo is ECHO message.
func echo(_ *conn, k *call, a args) error {
	return k.answer(func(r *reply) { r.str(a.str(1)) })
}

// client is CLIENT ID|GETNAME|SETNAME name|SETINFO LIB-NAME|LIB-VER value.
func client(c *conn, k *call, a args) error {
	switch {
	case a.is(1, "ID") && len(a) == 2:
		return k.answer(func(r *reply) { r.int(c.id) })
	case a.is(1, "GETNAME") && len(a) == 2:
		return k.answer(func(r *reply) {
			if c.name == "" {
				r.null()
			} else {
				r.str(c.name)
			}
		})
	case a.is(1, "SETNAME") && len(a) == 3:
		if err := checkName(a.str(2)); err != nil {
			return err
		}
		c.name = string(a[2])
		return k.ok()
	case a.is(1, "SETINFO") && len(a) == 4 && (a.is(2, "LIB-NAME") || a.is(2, "LIB-VER")):
		if err := checkName(a.str(3)); err != nil {
			return err
		}
		return k.ok()
	case a.is(1, "HELP") && len(a) == 2:
		return helped(k, "CLIENT ID", "CLIENT GETNAME", "CLIENT SETNAME name", "CLIENT SETINFO LIB-NAME|LIB-VER value")
	}
	return unknownSub("CLIENT", a)
}

// selectDB is SELECT index.
func selectDB(_ *conn, k *call, a args) error {
	if n, ok := digits(a[1]); !ok || n != 0 {
		return redisError("ERR SELECT is not allowed in cluster mode")
	}
	return k.ok()
}

// readOnly is READONLY.
func readOnly(c *conn, k *call, _ args) error {
	c.readOnly = true
	return k.ok()
}

// readWrite is READWRITE.
func readWrite(c *conn, k *call, _ args) error {
	c.readOnly = false
	return k.ok()
}

// reset is RESET.
func reset(c *conn, k *call, _ args) error {
	c.resp3, k.resp3, c.readOnly, c.name = false, false, false, ""
	c.forget()
	return k.answer(func(r *reply) { r.simple("RESET") })
}

// quit is QUIT.
func quit(_ *conn, k *call, _ args) error {
	k.last = true
	return k.ok()
}
