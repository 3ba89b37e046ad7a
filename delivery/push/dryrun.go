package push

import (
	"context"
	"log/slog"
)

// rehearsal says what would be sent, where nothing shall be. Nil is the real thing.
type rehearsal struct{ log *slog.Logger }

func newRehearsal(cfg *Config) *rehearsal {
	if !cfg.DryRun {
		return nil
	}
	return &rehearsal{cfg.Log}
}

// instead tells whether a request is not to be made.
func (r *rehearsal) instead(ctx context.Context, d *Device, n *Notification, size int) bool {
	if r == nil {
		return false
	}
	r.log.InfoContext(ctx, "dry run: a notification would be sent", "to", d, "chat", n.ChatID, "message", n.MessageID, "count", n.Count,
		"badge", n.Badge, "collapseKey", n.CollapseKey, "bytes", size, "textBytes", len(n.Text))
	return true
}
