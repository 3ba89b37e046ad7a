package sequencer

import (
	"context"
	"errors"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// errUnchanged is what a change of the map answers where the map is already as it should be.
var errUnchanged = errors.New("the map is unchanged")

// maxMapTries bounds how often a change is made anew because somebody else was faster.
const maxMapTries = 5

// changeMap changes the cluster map. This node must serve the meta group; wire.ErrTryAgain otherwise. It answers the map
// that was stored, or the present one where change answers errUnchanged.
func (n *Node) changeMap(ctx context.Context, change func(m *wire.ClusterMap) error) (*wire.ClusterMap, error) {
	meta := n.replicas().meta
	if meta == nil {
		return nil, wire.ErrClusterDown
	}
	for try := 1; ; try++ {
		m, err := meta.latestMap(ctx)
		if err != nil {
			return nil, err
		}
		if m == nil {
			return nil, wire.ErrTryAgain // the first leader is about to write it
		}
		if err := change(m); err != nil {
			if errors.Is(err, errUnchanged) {
				return m, nil
			}
			return nil, err
		}
		err = meta.putMap(ctx, m)
		if err == nil {
			return m, nil
		}
		if !errors.Is(err, wire.ErrConflict) || try == maxMapTries {
			return nil, err
		}
	}
}

// latestMap gives a copy of the map that holds every change which was acknowledged before the call, nil where there is none.
func (h *host) latestMap(ctx context.Context) (*wire.ClusterMap, error) {
	if err := h.readBarrier(ctx); err != nil {
		return nil, err
	}
	version, body, err := h.store().ClusterMap()
	if err != nil || version == 0 {
		return nil, err
	}
	m, err := wire.DecodeClusterMap(body)
	if err != nil {
		return nil, err
	}
	m.Version = version
	return m, nil
}

// putMap stores a map as the next version of the one that it was made from.
func (h *host) putMap(ctx context.Context, m *wire.ClusterMap) error {
	base := m.Version
	m.Version++
	body, err := m.Encode()
	if err != nil {
		return err
	}
	_, err = h.do(ctx, raftfsm.PutMap{Base: base, Map: string(body)})
	return err
}

// do submits a command to the meta group and waits for what becomes of it.
func (h *host) do(ctx context.Context, cmd raftfsm.Command) (raftfsm.Result, error) {
	type outcome struct {
		result raftfsm.Result
		err    error
	}
	done := make(chan outcome, 1)
	h.submit(cmd, 0, doneFunc(func(r raftfsm.Result, err error) {
		if err == nil {
			err = r.Err
		}
		done <- outcome{r, err}
	}))
	select {
	case o := <-done:
		return o.result, o.err
	case <-ctx.Done():
		return raftfsm.Result{}, wire.ErrUnknown
	}
}
