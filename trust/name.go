// Package trust says who is at the other end of a connection: what a certificate names, which right that gives, and
// how connections between the parts are made so that nothing is read from a stranger. It is a leaf: all parts share it.
package trust

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/quorate/quorate/sequencer/wire"
)

// Role is what somebody may do in a cluster.
type Role string

// The roles. Each may do all that the next one may, but for Node, which is for the nodes themselves.
const (
	Node     Role = "node"     // a sequencer node: everything, and it takes part in the groups
	Operator Role = "operator" // a person who runs the cluster: everything that commands can do
	Edge     Role = "edge"     // a delivery node: chats, users and feeds, and reads of the cluster
	Reader   Role = "reader"   // reads only
)

// Roles lists the roles, for texts that name them.
var Roles = []Role{Node, Operator, Edge, Reader}

// Valid reports whether r is one of the roles.
func (r Role) Valid() bool {
	switch r {
	case Node, Operator, Edge, Reader:
		return true
	}
	return false
}

// Name is what a certificate says of its holder. As text it is the URI quorate://CLUSTER/ROLE/ID.
type Name struct {
	Cluster string // whose certificates count; as an id of a node: see wire.CheckID
	Role    Role
	ID      string // of a node its wire.NodeID; else a name for the logs
}

const scheme = "quorate"

// ErrStranger is what a connection ends with whose other end has no certificate of this cluster, or not the one meant.
var ErrStranger = errors.New("not of this cluster")

// String gives the URI.
func (n Name) String() string { return scheme + "://" + n.Cluster + "/" + string(n.Role) + "/" + n.ID }

// Check says what is wrong with a name, nil where nothing is.
func (n Name) Check() error {
	if err := wire.CheckID("the cluster's name", n.Cluster); err != nil {
		return err
	}
	if strings.ToLower(n.Cluster) != n.Cluster || strings.Contains("."+n.Cluster+".", "..") {
		return fmt.Errorf("%w: the cluster's name is like a host name: no capitals, no empty part", wire.ErrBadRequest)
	}
	if !n.Role.Valid() {
		return fmt.Errorf("%w: there is no role %q", wire.ErrBadRequest, n.Role)
	}
	return wire.CheckID("the name", n.ID)
}

// Parse reads the URI form. It takes no other spelling of a name than the one that String gives.
func Parse(uri string) (Name, error) {
	rest, ok := strings.CutPrefix(uri, scheme+"://")
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 3 {
		return Name{}, fmt.Errorf("%w: %q is not %s://CLUSTER/ROLE/ID", ErrStranger, shorten(uri), scheme)
	}
	n := Name{Cluster: parts[0], Role: Role(parts[1]), ID: parts[2]}
	if err := n.Check(); err != nil {
		return Name{}, fmt.Errorf("%w: %q: %w", ErrStranger, shorten(uri), err)
	}
	return n, nil
}

// shorten keeps what a stranger sent from filling a log.
func shorten(text string) string { return text[:min(len(text), 200)] }

// NameOf gives the name in a certificate. A certificate names one holder, in one URI of ours; others may stand beside it.
func NameOf(cert *x509.Certificate) (Name, error) {
	var ours []*url.URL
	for _, uri := range cert.URIs {
		if uri.Scheme == scheme {
			ours = append(ours, uri)
		}
	}
	if len(ours) != 1 {
		return Name{}, fmt.Errorf("%w: a certificate with %d names", ErrStranger, len(ours))
	}
	return Parse(ours[0].String())
}
