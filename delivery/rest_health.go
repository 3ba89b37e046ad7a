package delivery

import (
	"context"
	"fmt"
	"net/http"
)

// health tells that the process answers.
func (s *Server) health(_ context.Context, c *call) error {
	writeJSON(c.w, http.StatusOK, []byte(`{"status":"ok"}`))
	return nil
}

// readiness tells whether new clients should come here, and why not.
func (s *Server) readiness(_ context.Context, c *call) error {
	var reasons []string
	if s.draining() {
		reasons = append(reasons, "draining")
	}
	if !s.hub.ready() {
		reasons = append(reasons, "the cluster has not been found yet")
	}
	if s.keys.remote != nil && !s.keys.remote.known() {
		reasons = append(reasons, "the keys for tokens could not be read yet")
	}
	if late := s.stats.feeds.Late.Load(); late > 0 {
		reasons = append(reasons, fmt.Sprintf("the feeds of %d groups cannot be read", late))
	}
	status, body := http.StatusOK, []byte(`{"status":"ready","reasons":[`)
	if len(reasons) > 0 {
		status, body = http.StatusServiceUnavailable, []byte(`{"status":"not ready","reasons":[`)
	}
	for i, reason := range reasons {
		if i > 0 {
			body = append(body, ',')
		}
		body = appendJSONString(body, reason)
	}
	writeJSON(c.w, status, append(body, "]}"...))
	return nil
}
