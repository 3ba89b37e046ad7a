package sequencer

import (
	"context"
	cryptorand "crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// joinRetry is how long a node waits, on average, before it asks again to join.
const joinRetry = 500 * time.Millisecond

// join makes this node part of the cluster that a node at cfg.Join belongs to. It asks until it is answered: the cluster may
// be without a leader for a moment, or for longer.
func (n *Node) join(ctx context.Context) error {
	for warned := false; ; {
		err := n.joinOnce(ctx)
		if err == nil || ctx.Err() != nil || errors.Is(err, wire.ErrConflict) || errors.Is(err, wire.ErrBadRequest) ||
			errors.Is(err, wire.ErrNoAuth) {
			return err
		}
		if !warned {
			warned = true
			n.log.Warn("the cluster does not answer yet", "join", n.cfg.Join, "err", err)
		}
		select {
		case <-time.After(joinRetry/2 + rand.N(joinRetry)): //nolint:gosec // nothing depends on chance
		case <-ctx.Done():
		}
	}
}

func (n *Node) joinOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	card := n.selfCard()
	reply, err := n.client.DoFollow(ctx, n.cfg.Join, "CLUSTER", "JOIN", string(card.Node), card.Incarnation, card.RaftAddr,
		card.RESPAddr, "OPS", card.OpsAddr, "REGION", card.Region, "ZONE", card.Zone, "VERSION", card.Version,
		"TOKEN", n.cfg.JoinToken)
	if err != nil {
		return fmt.Errorf("join the cluster of %s: %w", n.cfg.Join, err)
	}
	cluster := reply.Field("clusterId").Str()
	groups, generation := reply.Field("groups").Num(), reply.Field("generation").Num()
	if cluster == "" || groups == 0 || generation == 0 {
		return fmt.Errorf("join the cluster of %s: its answer makes no sense", n.cfg.Join)
	}
	if f := wire.Format(reply.Field("format").Num()).OrOldest(); !f.Known() {
		n.cfg.Fatal(fmt.Errorf("join the cluster of %s: %w: format %d", n.cfg.Join, wire.ErrFormat, f))
		return wire.ErrFormat
	}
	if err := n.identity.update(func(f *identityFile) { f.ClusterID, f.Groups = cluster, int(groups) }); err != nil {
		return err
	}
	n.sized(int(groups))
	if n.identity.get().Made[wire.MetaGroup] != generation {
		return n.makeReplica(wire.MetaGroup, generation, nil)
	}
	return nil
}

// admit adds a node to a map. It is wire.ErrConflict where the id is that of a node with other data: what that one had
// voted for is not known to this one. It answers the node's replica of the meta group.
func admit(m *wire.ClusterMap, node wire.NodeInfo, token string, now wire.Millis) (wire.ReplicaID, error) {
	meta := m.Placement(wire.MetaGroup)
	if old := m.Node(node.ID); old != nil {
		mine, holds := meta.Holds(node.ID)
		if old.Incarnation != node.Incarnation || !holds {
			return wire.ReplicaID{}, fmt.Errorf("%w: there was a node %s with other data: join under a new id", wire.ErrConflict, node.ID)
		}
		return mine, nil
	}
	if !tokenFits(m, token, now) {
		return wire.ReplicaID{}, fmt.Errorf("%w: the join token is wrong or too old: ask for one with CLUSTER TOKEN", wire.ErrNoAuth)
	}
	for _, other := range m.Nodes {
		if other.RaftAddr == node.RaftAddr && other.State != wire.NodeLost {
			return wire.ReplicaID{}, fmt.Errorf("%w: node %s has the address %s", wire.ErrConflict, other.ID, node.RaftAddr)
		}
	}
	node.State, node.Joined = wire.NodeActive, now
	m.PutNode(node)
	mine := meta.New(node.ID)
	meta.Followers = append(meta.Followers, mine)
	return mine, nil
}

// maxTokens bounds the join tokens that are good at one time.
const maxTokens = 16

// newToken puts a token for nodes that want to join into the map, and gives its text. The map has its hash alone.
func newToken(m *wire.ClusterMap, now wire.Millis, ttl time.Duration) (string, error) {
	m.Tokens = slices.DeleteFunc(m.Tokens, func(t wire.JoinToken) bool { return t.Expires <= now })
	if len(m.Tokens) == maxTokens {
		return "", fmt.Errorf("%w: %d join tokens are good already", wire.ErrTooLarge, maxTokens)
	}
	var secret [24]byte
	if _, err := cryptorand.Read(secret[:]); err != nil {
		return "", fmt.Errorf("make a token: %w", err)
	}
	token := "join-" + base64.RawURLEncoding.EncodeToString(secret[:])
	m.Tokens = append(m.Tokens, wire.JoinToken{SHA256: tokenHash(token), Expires: now + millisOf(ttl)})
	return token, nil
}

func tokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// tokenFits looks for the hash of a token: who can tell how long that takes learns of a hash, not of a token.
func tokenFits(m *wire.ClusterMap, token string, now wire.Millis) bool {
	hash := tokenHash(token)
	return slices.ContainsFunc(m.Tokens, func(t wire.JoinToken) bool { return t.SHA256 == hash && t.Expires > now })
}

// joinRequest reads CLUSTER JOIN nodeId incarnation raftAddr respAddr and what follows.
func joinRequest(a args) (node wire.NodeInfo, token string, err error) {
	if len(a) < 6 {
		return node, "", errSyntax
	}
	id, err := a.id(2, "nodeId")
	if err != nil {
		return node, "", err
	}
	node = wire.NodeInfo{
		ID: wire.NodeID(strings.Clone(id)), Incarnation: string(a[3]), RaftAddr: string(a[4]), RESPAddr: string(a[5]),
	}
	for o := (options{args: a, at: 6}); o.more(); {
		for i, f := range []struct {
			keyword string
			value   *string
		}{
			{"OPS", &node.OpsAddr}, {"REGION", &node.Region}, {"ZONE", &node.Zone}, {"VERSION", &node.Version}, {"TOKEN", &token},
		} {
			if o.take(uint(i), f.keyword) {
				if o.at >= len(a) {
					return node, "", errSyntax
				}
				*f.value = string(a[o.at])
				o.at++
				err = nil
				break
			}
			err = errSyntax
		}
		if err != nil {
			return node, "", err
		}
	}
	for _, text := range []string{node.Incarnation, node.RaftAddr, node.RESPAddr, node.OpsAddr, node.Region, node.Zone, node.Version} {
		if len(text) > 128 || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return node, "", fmt.Errorf("%w: %s is not printable, or too long", wire.ErrBadRequest, strconv.Quote(shown([]byte(text))))
		}
	}
	if node.Incarnation == "" || node.RaftAddr == "" || node.RESPAddr == "" {
		return node, "", errSyntax
	}
	return node, token, nil
}
