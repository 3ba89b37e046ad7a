package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// userName is user number i.
func userName(i int) string { return fmt.Sprintf("bench-%07d", i) }

// makeChats puts each user into so many chats. Those of an earlier run are there already, which is as good.
func (c *IdleConfig) makeChats(ctx context.Context) error {
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
	defer client.CloseIdleConnections()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(32)
	for n := range (c.Connections*c.Chats + c.Members - 1) / c.Members {
		group.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return c.makeChat(ctx, client, n)
		})
	}
	return group.Wait()
}

// makeChat makes chat number n: its members are those behind the ones of the chat before, all around.
func (c *IdleConfig) makeChat(ctx context.Context, client *http.Client, n int) error {
	members := make([]string, c.Members)
	for i := range members {
		members[i] = userName(c.FirstUser + (n*c.Members+i)%c.Connections)
	}
	body, err := json.Marshal(map[string]any{
		"type": "group", "chatId": fmt.Sprintf("bench-%d-%d-%d-%d-%d", c.FirstUser, c.Connections, c.Chats, c.Members, n), "members": members,
	})
	if err != nil {
		return err
	}
	token, err := c.Token(members[0])
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Target+"/chats", bytes.NewReader(body))
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		status, text, err := do(client, r)
		switch {
		case err == nil && (status == http.StatusCreated || status == http.StatusOK):
			return nil
		case err == nil && status < 500 && status != http.StatusTooManyRequests, try == 20, ctx.Err() != nil:
			return fmt.Errorf("bench: make a chat: %d %s %w", status, text, err)
		}
		time.Sleep(time.Duration(try) * 50 * time.Millisecond)
	}
}

func do(client *http.Client, r *http.Request) (status int, text string, err error) {
	answer, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close() //nolint:errcheck // it is read to its end
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	return answer.StatusCode, string(body), err
}

// residentBytes reads how much memory the process behind a metrics page has.
func residentBytes(ctx context.Context, page string) (float64, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, page+"/metrics", http.NoBody)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close() //nolint:errcheck // it is read to its end
	body, err := io.ReadAll(io.LimitReader(answer.Body, 16<<20))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(body)) {
		var bytes float64
		if n, _ := fmt.Sscanf(line, "process_resident_memory_bytes %g", &bytes); n == 1 {
			return bytes, nil
		}
	}
	return 0, fmt.Errorf("bench: %s/metrics does not tell process_resident_memory_bytes", page)
}
