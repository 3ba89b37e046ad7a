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

// userName is user number i, counted from the first of this run.
func (c *IdleConfig) userName(i int) string {
	i += c.FirstUser
	if c.Users > 0 {
		i %= c.Users
	}
	return fmt.Sprintf("bench-%07d", i)
}

// users is of how many users the chats are.
func (c *IdleConfig) users() int {
	if c.Users > 0 {
		return c.Users
	}
	return c.Connections
}

// makeChats puts each user into so many chats. Those of an earlier run are there already, which is as good.
func (c *IdleConfig) makeChats(ctx context.Context) error {
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
	defer client.CloseIdleConnections()
	group, making := errgroup.WithContext(ctx)
	group.SetLimit(32)
	for n := range (c.users()*c.Chats + c.Members - 1) / c.Members {
		group.Go(func() error {
			if making.Err() != nil {
				return making.Err()
			}
			return c.makeChat(making, client, n)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return c.awaitLists(ctx, client)
}

// awaitLists waits until users spread over all of them have all their chats in their lists, which follow the members of chats.
func (c *IdleConfig) awaitLists(ctx context.Context, client *http.Client) error {
	for i := 0; i < c.users(); i += max(1, c.users()/listSamples) {
		for n := 0; n < c.Chats; {
			r, err := c.request(ctx, http.MethodGet, "/chats?limit=500", c.userName(i), http.NoBody)
			if err != nil {
				return err
			}
			status, text, err := do(client, r)
			if err != nil || status != http.StatusOK {
				return fmt.Errorf("bench: read a list of chats: %d %.200s %w", status, text, err)
			}
			if n = strings.Count(text, `"chatId":`); n < c.Chats {
				time.Sleep(200 * time.Millisecond)
			}
		}
	}
	return nil
}

// listSamples is how many users' lists are looked at.
const listSamples = 32

// request is one of a user.
func (c *IdleConfig) request(ctx context.Context, method, path, user string, body io.Reader) (*http.Request, error) {
	token, err := c.Token(user)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, method, c.Target+path, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	return r, nil
}

// makeChat makes chat number n: its members are those behind the ones of the chat before, all around.
func (c *IdleConfig) makeChat(ctx context.Context, client *http.Client, n int) error {
	members := make([]string, c.Members)
	for i := range members {
		members[i] = c.userName((n*c.Members + i) % c.users())
	}
	body, err := json.Marshal(map[string]any{
		"type": "group", "chatId": fmt.Sprintf("bench-%d-%d-%d-%d-%d", c.FirstUser, c.users(), c.Chats, c.Members, n), "members": members,
	})
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		r, err := c.request(ctx, http.MethodPost, "/chats", members[0], bytes.NewReader(body))
		if err != nil {
			return err
		}
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
	body, err := io.ReadAll(io.LimitReader(answer.Body, 16<<20))
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
