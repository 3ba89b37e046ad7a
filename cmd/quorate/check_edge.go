package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
)

// edgeReport is one delivery node, as its operations port shows it.
type edgeReport struct {
	URL         string   `json:"url"`
	Severity    severity `json:"severity"`
	Answers     bool     `json:"answers"`
	Error       string   `json:"error,omitempty"`
	Ready       bool     `json:"ready"`
	Reasons     []string `json:"reasons"` // why it is not ready
	Connections int64    `json:"connections"`
	FeedsLate   int64    `json:"feedsLate"`   // that cannot be read at present
	FeedsRead   int64    `json:"feedsRead"`   // by this node itself
	HubEdges    int64    `json:"hubEdges"`    // others that its hub sends to
	OutboxBytes int64    `json:"outboxBytes"` // queued for clients
	Waiting     int64    `json:"sessionsWaiting"`
	WaitLimit   int64    `json:"sessionsWaitingLimit"`
	Corrupt     int64    `json:"archiveCorrupt"` // pages that could not be read because of broken objects
}

// maxScrape bounds what one edge may answer.
const maxScrape = 16 << 20

// maxCheckedEdges bounds how many edges one check asks.
const maxCheckedEdges = 256

// checkEdges says whether the operations addresses of edges can be asked.
func checkEdges(edges []string) error {
	if len(edges) == 0 || len(edges) > maxCheckedEdges {
		return usagef("--edges must name the operations address of 1 to %d delivery nodes, as http://HOST:PORT", maxCheckedEdges)
	}
	for _, e := range edges {
		u, err := url.Parse(e)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" {
			return usagef("--edges must be http://HOST:PORT of an operations port, not %q", e)
		}
	}
	return nil
}

// askEdges asks all at one time.
func askEdges(ctx context.Context, edges []string) []edgeReport {
	all := make([]edgeReport, len(edges))
	client := &http.Client{Timeout: nodeTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	var round sync.WaitGroup
	for i, e := range edges {
		all[i] = edgeReport{URL: strings.TrimRight(e, "/"), Reasons: []string{}}
		round.Go(func() {
			if err := all[i].ask(ctx, client); err != nil {
				all[i].Error = reason(err)
			}
		})
	}
	round.Wait()
	return all
}

func (e *edgeReport) ask(ctx context.Context, client *http.Client) error {
	status, body, err := fetchText(ctx, client, e.URL+"/readyz")
	if err != nil {
		return err
	}
	var said struct{ Reasons []string }
	if json.Unmarshal(body, &said) == nil && said.Reasons != nil {
		e.Reasons = said.Reasons
	}
	status2, body, err := fetchText(ctx, client, e.URL+"/metrics")
	if err != nil {
		return err
	}
	values := scrapeValues(body)
	connections, ok := values["quorate_delivery_connections"]
	if status2 != http.StatusOK || !ok {
		return errors.New("it shows no metrics of a delivery node")
	}
	e.Answers, e.Ready, e.Connections = true, status == http.StatusOK, connections
	e.FeedsLate, e.FeedsRead, e.HubEdges = values["quorate_delivery_feeds_late"], values["quorate_hub_feeds_read"], values["quorate_hub_edges"]
	e.OutboxBytes, e.Corrupt = values["quorate_delivery_outbox_bytes"], values["quorate_delivery_archive_corrupt_total"]
	e.Waiting, e.WaitLimit = values["quorate_delivery_loads_waiting"], values["quorate_delivery_loads_limit"]
	return nil
}

func fetchText(ctx context.Context, client *http.Client, where string) (status int, body []byte, err error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return 0, nil, err
	}
	answer, err := client.Do(q)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	body, err = io.ReadAll(io.LimitReader(answer.Body, maxScrape))
	return answer.StatusCode, body, err
}

// scrapeValues sums the series of each metric.
func scrapeValues(text []byte) map[string]int64 {
	values := map[string]int64{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		name, rest, _ := strings.Cut(lines.Text(), " ")
		if strings.HasPrefix(name, "#") || !strings.HasPrefix(name, "quorate_") {
			continue
		}
		if label := strings.IndexByte(name, '{'); label >= 0 {
			name, rest = name[:label], lines.Text()[strings.LastIndexByte(lines.Text(), ' ')+1:]
		}
		if v, err := strconv.ParseFloat(rest, 64); err == nil {
			values[name] += int64(v)
		}
	}
	return values
}

// judgeEdges says what is wrong with delivery nodes. That one of several is away is a warning: its clients go to the others.
func judgeEdges(all []edgeReport) *checkReport {
	r := newReport("edge", &clusterLook{})
	ready := 0
	for _, e := range all {
		if e.Ready {
			ready++
		}
	}
	away := severityWarning
	if ready == 0 {
		away = severityCritical
	}
	for i := range all {
		r.edge(&all[i], away)
	}
	r.Edges = all
	return r.close()
}

// edge judges one of them. Its address stands where others have a node.
func (r *checkReport) edge(e *edgeReport, away severity) {
	add := func(s severity, check, format string, args ...any) {
		r.add(s, check, nil, e.URL, format, args...)
		e.Severity = max(e.Severity, s)
	}
	switch {
	case !e.Answers:
		add(away, "edges", "does not answer: %s", e.Error)
		return
	case !e.Ready:
		add(away, "ready", "is not ready: %s", strings.Join(e.Reasons, "; "))
	}
	if e.FeedsLate > 0 {
		add(severityCritical, "feeds", "cannot read the feeds of %d groups: what is sent there does not reach its clients", e.FeedsLate)
	}
	if e.WaitLimit > 0 && e.Waiting > e.WaitLimit*4/5 {
		add(severityWarning, "storm", "%d of %d sessions wait for their chats", e.Waiting, e.WaitLimit)
	}
	if e.Corrupt > 0 {
		add(severityWarning, "archive", "%d pages of history met broken objects of the archive", e.Corrupt)
	}
}

// edgeNumbers sums up.
func (r *checkReport) edgeNumbers() (ready int, connections, late, outbox int64) {
	for _, e := range r.Edges {
		if e.Ready {
			ready++
		}
		connections, late, outbox = connections+e.Connections, late+e.FeedsLate, outbox+e.OutboxBytes
	}
	return ready, connections, late, outbox
}

func (r *checkReport) edgeSummary() string {
	ready, connections, late, _ := r.edgeNumbers()
	return fmt.Sprintf("%d of %d edges ready, %d connections, %d feeds late", ready, len(r.Edges), connections, late)
}
