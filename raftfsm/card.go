package raftfsm

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"reflect"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// maxCardBytes bounds what is read of another node's card.
const maxCardBytes = 64 << 10

// Card is what a node tells of itself on its raft port: JSON behind its length (4 bytes, big endian).
type Card struct {
	Node        wire.NodeID `json:"node"`
	Incarnation string      `json:"incarnation"` // of its data
	Cluster     string      `json:"cluster"`     // id, "" while it is part of none
	RaftAddr    string      `json:"raftAddr"`
	RESPAddr    string      `json:"respAddr"`
	OpsAddr     string      `json:"opsAddr"`
	Region      string      `json:"region"`
	Zone        string      `json:"zone"`
	Version     string      `json:"version"`
	Format      wire.Format `json:"format,omitempty"` // the newest that its program knows
	Groups      int         `json:"groups"`
	Restored    string      `json:"restored,omitempty"` // the backup that its cluster began with, of the first nodes

	Leads map[wire.GroupID]uint64 `json:"leads,omitempty"` // the groups it serves, and in which term
	Lost  map[wire.GroupID]uint64 `json:"lost,omitempty"`  // generations of its replicas whose files are gone

	DiskLow bool `json:"diskLow,omitempty"` // it should lead nothing: its disk is nearly full
}

// Equal reports whether two cards say the same.
func (c *Card) Equal(other *Card) bool { return reflect.DeepEqual(c, other) }

func writeCard(w io.Writer, c Card) error {
	body, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode the card: %w", err)
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
	return err
}

func readCard(r io.Reader) (Card, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return Card{}, fmt.Errorf("read the card: %w", err)
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxCardBytes {
		return Card{}, fmt.Errorf("read the card: %d bytes are too many", n)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return Card{}, fmt.Errorf("read the card: %w", err)
	}
	var c Card
	if err := json.Unmarshal(body, &c); err != nil {
		return Card{}, fmt.Errorf("decode the card: %w", err)
	}
	return c, nil
}

// FetchCard asks the node at a raft address without TLS for its card. Without a deadline in ctx it gives up after 5 s.
func FetchCard(ctx context.Context, raftAddr string) (Card, error) {
	return fetchCard(ctx, raftAddr, func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", raftAddr)
	})
}

// fetchCard asks over a connection that dial makes.
func fetchCard(ctx context.Context, raftAddr string, dial func(context.Context) (net.Conn, error)) (Card, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, muxHeaderWait)
		defer cancel()
	}
	conn, err := dial(ctx)
	if err != nil {
		return Card{}, fmt.Errorf("ask %s for its card: %w", raftAddr, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()
	if _, err := conn.Write(muxHeader(muxCard, [8]byte{}, 0, "")); err != nil {
		return Card{}, fmt.Errorf("ask %s for its card: %w", raftAddr, err)
	}
	return readCard(conn)
}
