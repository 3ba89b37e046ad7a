package trust

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
)

// Server is how the port of a process is served: TLS 1.3 to holders of a certificate of the same cluster that allow takes,
// nil for all. The handshake fails for others, and nothing that they send is read. With a protocol, both ends must name it
// (ALPN), so that bytes meant for one port do not make sense on another.
func (k *Keys) Server(protocol string, allow func(Name) error) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			m := k.current()
			return &tls.Config{
				MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{m.cert}, NextProtos: protocols(protocol),
				ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: m.roots,
				SessionTicketsDisabled: true, // each connection shows a certificate that is good today
				VerifyConnection:       func(s tls.ConnectionState) error { return m.take(s, protocol, allow) },
			}, nil
		},
	}
}

// Client is how a process connects: TLS 1.3 to a holder of a certificate of the same cluster that allow takes. It is the
// name in the certificate that counts, not the address: the certificate of a node need not know where the node runs.
func (k *Keys) Client(protocol string, allow func(Name) error) *tls.Config {
	m := k.current()
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{m.cert}, NextProtos: protocols(protocol),
		InsecureSkipVerify: true, // of the host name only: VerifyConnection checks the chain, and then the name
		VerifyConnection: func(s tls.ConnectionState) error {
			if _, err := m.verify(slices.Clone(s.PeerCertificates), x509.ExtKeyUsageServerAuth); err != nil {
				return err
			}
			return m.take(s, protocol, allow)
		},
	}
}

func protocols(protocol string) []string {
	if protocol == "" {
		return nil
	}
	return []string{protocol}
}

// take judges the other end of a connection whose chain is good.
func (m *material) take(s tls.ConnectionState, protocol string, allow func(Name) error) error {
	name, err := PeerName(s)
	switch {
	case err != nil:
		return err
	case name.Cluster != m.name.Cluster:
		return fmt.Errorf("%w: a certificate of %s", ErrStranger, name)
	case s.NegotiatedProtocol != protocol:
		return fmt.Errorf("%w: %s speaks %q on this port, not %q", ErrStranger, name, shorten(s.NegotiatedProtocol), protocol)
	case allow != nil:
		return allow(name)
	}
	return nil
}

// PeerName is the name of the other end of a connection after its handshake.
func PeerName(s tls.ConnectionState) (Name, error) {
	if len(s.PeerCertificates) == 0 {
		return Name{}, fmt.Errorf("%w: no certificate", ErrStranger)
	}
	return NameOf(s.PeerCertificates[0])
}

// OnlyNodes is for Client: it takes sequencer nodes alone.
func OnlyNodes(n Name) error {
	if n.Role != Node {
		return fmt.Errorf("%w: %s is no node", ErrStranger, n)
	}
	return nil
}

// OnlyEdges takes delivery nodes alone.
func OnlyEdges(n Name) error {
	if n.Role != Edge {
		return fmt.Errorf("%w: %s is no delivery node", ErrStranger, n)
	}
	return nil
}

// relayProtocol is the ALPN name of the port at which delivery nodes reach one another.
const relayProtocol = "quorate-relay"

// ListenRelay puts TLS on the port at which delivery nodes reach one another.
func (k *Keys) ListenRelay(ln net.Listener) net.Listener {
	return tls.NewListener(ln, k.Server(relayProtocol, OnlyEdges))
}

// DialRelay connects to that port of another delivery node, within ctx.
func (k *Keys) DialRelay(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := DialTLS(ctx, addr, k.Client(relayProtocol, OnlyEdges))
	if err != nil {
		return nil, err // not a nil *Conn in an interface
	}
	return conn, nil
}

// Dial connects to the RESP port of a sequencer node, within ctx. It has the form that wire.ClientConfig wants.
func (k *Keys) Dial(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := DialTLS(ctx, addr, k.Client("", OnlyNodes))
	if err != nil {
		return nil, err // not a nil *Conn in an interface
	}
	return conn, nil
}

// DialTLS connects and shakes hands, within ctx.
func DialTLS(ctx context.Context, addr string, config *tls.Config) (*Conn, error) {
	plain, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(plain, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		plain.Close()
		return nil, fmt.Errorf("secure the connection to %s: %w", addr, err)
	}
	return &Conn{conn}, nil
}

// Conn is one end of a connection with certificates at both ends.
type Conn struct{ *tls.Conn }

// Accept is the end of a connection that a port has taken. Nothing is read or written before Handshake.
func Accept(plain net.Conn, config *tls.Config) *Conn { return &Conn{tls.Server(plain, config)} }

// Peer is the name of the other end, after the handshake.
func (c *Conn) Peer() (Name, error) { return PeerName(c.ConnectionState()) }

// Close closes the connection at once: the farewell of TLS waits for a peer that takes nothing, and says nothing that
// matters here. CloseWrite says it.
func (c *Conn) Close() error { return c.NetConn().Close() }
