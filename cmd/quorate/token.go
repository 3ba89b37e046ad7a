package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/delivery"
	"github.com/quorate/quorate/sequencer/wire"
)

// secretFile is the name of the file in the data directory of `quorate dev` that holds the secret tokens are signed with.
const secretFile = "jwt-secret"

func (a *app) tokenCommand() *cobra.Command {
	create := &cobra.Command{
		Use: "create --user USER", Short: "Make a token for a user", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := a.config.Token
			token, err := signToken(c.SecretFile, c.User, c.TTL)
			if err != nil {
				return err
			}
			if a.output == "json" {
				return a.print(cmd.OutOrStdout(), map[string]string{"user": c.User, "token": token}, nil, nil)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), token) // the bare token, for TOKEN=$(quorate token create …)
			return err
		},
	}
	check := &cobra.Command{
		Use: "check TOKEN", Short: "Check a token and print whose it is", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.checkToken(cmd, args[0]) },
	}
	token := parent("token", "Make and check development tokens (HS256)", create, check)
	a.bind(token.PersistentFlags(), "token")
	return token
}

// signToken makes a token for user with the secret in the file.
func signToken(file, user string, ttl time.Duration) (string, error) {
	if user == "" {
		return "", usagef("say whose token it is: --user USER")
	}
	if err := wire.CheckID("user", user); err != nil {
		return "", usagef("%s", detail(err))
	}
	if ttl <= 0 {
		return "", usagef("--ttl must be above 0, not %s", ttl)
	}
	secret, err := readSecret(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("no secret in %s: start quorate dev here first, or name the file with --secret-file", file)
	}
	if err != nil {
		return "", err
	}
	return delivery.SignToken(secret, user, ttl)
}

func (a *app) checkToken(cmd *cobra.Command, token string) error {
	secret, err := readSecret(a.config.Token.SecretFile)
	if err != nil {
		return err
	}
	user, until, err := delivery.CheckToken(secret, token)
	if err != nil {
		return fmt.Errorf("the token is no good: %w", err)
	}
	expires := until.UTC().Format(time.RFC3339)
	return a.print(cmd.OutOrStdout(), map[string]string{"user": user, "expires": expires},
		[]string{"USER", "EXPIRES"}, [][]string{{user, expires}})
}

// ensureSecret gives the secret in the file, which it makes where there is none.
func ensureSecret(file string) ([]byte, error) {
	secret, err := readSecret(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return secret, err
	}
	secret = []byte(rand.Text() + rand.Text()) // 260 bits
	return secret, writeNew(file, append(secret, '\n'))
}

// writeNew writes a file that only its owner reads: whole, or not at all.
func writeNew(name string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*") // made with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // gone already where all went well
	if _, err = f.Write(content); err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
