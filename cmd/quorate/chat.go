package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func (a *app) chatCommand() *cobra.Command {
	chat := parent("chat", "Use a chat from the shell", a.chatSend(), a.chatTail(), a.chatHistory(), a.chatMembers())
	a.bind(chat.PersistentFlags(), "chat")
	return chat
}

func (a *app) chatSend() *cobra.Command {
	var id string
	cmd := &cobra.Command{Use: "send CHAT TEXT", Short: "Send a message and wait until it is durable", Args: exactly(2)}
	cmd.Flags().StringVar(&id, "id", "", "clientMessageId: the same id and text twice is one message (default a fresh one)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		api, err := a.edge()
		if err != nil {
			return err
		}
		if id == "" {
			id = rand.Text()
		}
		var sent message
		body := map[string]any{"text": args[1], "clientMessageId": id}
		if err := api.retry(cmd.Context(), "POST", chatPath(args[0], "messages"), body, &sent); err != nil {
			return err
		}
		return a.printMessages(cmd.OutOrStdout(), []message{sent})
	}
	return cmd
}

func (a *app) chatHistory() *cobra.Command {
	var from uint64
	var limit int
	cmd := &cobra.Command{Use: "history CHAT", Short: "Print a chat's messages, oldest first", Args: exactly(1)}
	cmd.Flags().Uint64Var(&from, "from", 1, "first sequence number")
	cmd.Flags().IntVar(&limit, "limit", 50, "number of messages, 0 for all")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if from == 0 || limit < 0 {
			return usagef("--from starts at 1 and --limit at 0")
		}
		api, err := a.edge()
		if err != nil {
			return err
		}
		messages, err := api.history(cmd.Context(), args[0], from, limit)
		if err != nil {
			return err
		}
		return a.printMessages(cmd.OutOrStdout(), messages)
	}
	return cmd
}

func (a *app) chatTail() *cobra.Command {
	var from uint64
	cmd := &cobra.Command{Use: "tail CHAT", Short: "Print a chat's messages as they come, until interrupted", Args: exactly(1)}
	cmd.Flags().Uint64Var(&from, "from", 0, "first sequence number (default: only what comes from now on)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		api, err := a.edge()
		if err != nil {
			return err
		}
		return api.tail(cmd.Context(), args[0], from, func(m message) error {
			return a.printLine(cmd.OutOrStdout(), m)
		})
	}
	return cmd
}

func (a *app) chatMembers() *cobra.Command {
	var add, remove []string
	cmd := &cobra.Command{Use: "members CHAT", Short: "Print a chat's members, or change them", Args: exactly(1)}
	cmd.Flags().StringSliceVar(&add, "add", nil, "users to add")
	cmd.Flags().StringSliceVar(&remove, "remove", nil, "users to remove")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		api, err := a.edge()
		if err != nil {
			return err
		}
		var chat struct {
			Members []string `json:"members"`
		}
		if len(add)+len(remove) == 0 {
			err = api.call(cmd.Context(), "GET", chatPath(args[0], ""), nil, &chat)
		} else {
			body := map[string]any{"add": append([]string{}, add...), "remove": append([]string{}, remove...)}
			err = api.retry(cmd.Context(), "POST", chatPath(args[0], "members"), body, &chat)
		}
		if err != nil {
			return err
		}
		rows := make([][]string, len(chat.Members))
		for i, member := range chat.Members {
			rows[i] = []string{member}
		}
		return a.print(cmd.OutOrStdout(), chat.Members, []string{"MEMBER"}, rows)
	}
	return cmd
}

// edge is the delivery node that the chat commands talk to, with a token in hand.
func (a *app) edge() (*edgeClient, error) {
	c := a.config.Chat
	base, err := url.Parse(c.URL)
	if err != nil || (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" {
		return nil, usagef("chat.url must be like http://127.0.0.1:8080, not %q", c.URL)
	}
	token := c.Token
	if token == "" {
		if c.User == "" {
			return nil, usagef("say who you are: --token, or --user with the secret of the delivery node in --secret-file")
		}
		if token, err = signToken(c.SecretFile, c.User, time.Hour); err != nil {
			return nil, err
		}
	}
	return newEdgeClient(strings.TrimSuffix(c.URL, "/"), token), nil
}

func chatPath(chat, rest string) string {
	path := "/chats/" + url.PathEscape(chat)
	if rest != "" {
		path += "/" + rest
	}
	return path
}

// message is what the commands print of one.
type message struct {
	SequenceNumber  uint64 `json:"sequenceNumber"`
	SenderID        string `json:"senderId"`
	SentAt          string `json:"sentAt"`
	Text            string `json:"text"`
	ClientMessageID string `json:"clientMessageId"`
	Lamport         uint64 `json:"lamport"`
}

func (m message) row() []string {
	return []string{strconv.FormatUint(m.SequenceNumber, 10), m.SentAt, m.SenderID, printable(m.Text)}
}

func (a *app) printMessages(w io.Writer, messages []message) error {
	rows := make([][]string, len(messages))
	for i, m := range messages {
		rows[i] = m.row()
	}
	return a.print(w, messages, []string{"SEQ", "SENT", "FROM", "TEXT"}, rows)
}

// printLine prints one message of a stream on a line of its own.
func (a *app) printLine(w io.Writer, m message) error {
	if a.output == "json" {
		return json.NewEncoder(w).Encode(m)
	}
	_, err := fmt.Fprintln(w, strings.Join(m.row(), "  "))
	return err
}

// printable keeps what others wrote from steering this terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
}

// history reads up to limit messages from sequence number from on, page by page; limit 0 is all.
func (e *edgeClient) history(ctx context.Context, chat string, from uint64, limit int) ([]message, error) {
	messages := []message{}
	for next := &from; next != nil; {
		size := 500
		if limit > 0 {
			size = min(size, limit-len(messages))
		}
		var page struct {
			Messages   []message `json:"messages"`
			NextCursor *uint64   `json:"nextCursor"`
		}
		path := fmt.Sprintf("%s?cursor=%d&limit=%d", chatPath(chat, "messages"), *next, size)
		if err := e.retry(ctx, "GET", path, nil, &page); err != nil {
			return nil, err
		}
		messages = append(messages, page.Messages...)
		next = page.NextCursor
		if limit > 0 && len(messages) >= limit {
			break
		}
	}
	return messages, nil
}
