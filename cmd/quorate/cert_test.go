package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quorate/quorate/trust"
)

func TestCert_AuthorityAndHolders(t *testing.T) {
	t.Chdir(t.TempDir())
	if code, _, says := quorate(t, nil, "cert", "node", "n1"); code != exitError || !strings.Contains(says, "quorate cert ca") {
		t.Errorf("without an authority: code %d, %s", code, says)
	}
	if code, out, says := quorate(t, nil, "cert", "ca", "--cluster", "tea"); code != exitOK || !strings.Contains(out, "quorate-certs/ca.pem") {
		t.Fatalf("code %d, %s%s", code, out, says)
	}
	code, out, says := quorate(t, nil, "cert", "node", "n1", "--hosts", "127.0.0.1,localhost", "-o", "json")
	if code != exitOK {
		t.Fatal(says)
	}
	var told issuedCert
	if err := json.Unmarshal([]byte(out), &told); err != nil || told.Name != "quorate://tea/node/n1" {
		t.Fatalf("%s: %v", out, err)
	}
	if _, err := trust.Open(trust.Files{CA: told.CA, Cert: told.Cert, Key: told.Key}, nil); err != nil {
		t.Errorf("what was made cannot be used: %v", err)
	}
	for _, args := range [][]string{
		{"cert", "ca"}, {"cert", "node", "n1"}, // there already
		{"cert", "node", "a/b"}, {"cert", "node", "ca"}, {"cert", "ca", "--dir", "other", "--cluster", "Tea"},
	} {
		if code, _, says := quorate(t, nil, args...); code != exitError || strings.Count(says, "\n") != 1 {
			t.Errorf("%q: code %d, %s", args, code, says)
		}
	}
	for _, role := range []string{"edge", "operator", "reader"} {
		if code, _, says := quorate(t, nil, "cert", role, "x"); code != exitOK {
			t.Errorf("%s: %s", role, says)
		}
	}
	names, err := filepath.Glob("quorate-certs/*.pem")
	if err != nil || len(names) != 10 {
		t.Errorf("%q, %v", names, err)
	}
	for _, name := range names {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestUser_AddChangeAndRemove(t *testing.T) {
	t.Chdir(t.TempDir())
	if code, _, says := quorate(t, nil, "user", "list"); code != exitError || !strings.Contains(says, "users.yaml") {
		t.Errorf("without a file: code %d, %s", code, says)
	}
	first := addedUser(t, "user", "add", "ann", "--role", "operator")
	second := addedUser(t, "user", "passwd", "ann")
	if code, out, says := quorate(t, nil, "user", "add", "e1", "--password-out", "e1.password"); code != exitOK || strings.Contains(out, "sha256") {
		t.Fatalf("%s%s", out, says)
	}
	secret, err := readSecret("e1.password")
	if err != nil {
		t.Fatal(err)
	}
	users, err := trust.ReadUsers("users.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if users.Check("ann", []byte(first)) != nil {
		t.Error("the first password is still good")
	}
	if u := users.Check("ann", []byte(second)); u == nil || u.Role != trust.Operator {
		t.Errorf("the second password gives %+v", u)
	}
	if u := users.Check("e1", secret); u == nil || u.Role != trust.Edge {
		t.Errorf("the password in the file gives %+v", u)
	}
	if code, out, _ := quorate(t, nil, "user", "list", "-o", "json"); code != exitOK || strings.Contains(out, "sha256") || !strings.Contains(out, "operator") {
		t.Errorf("the list is %s", out)
	}
	for _, args := range [][]string{{"user", "add", "ann"}, {"user", "add", "default"}, {"user", "passwd", "bob"}, {"user", "remove", "bob"}} {
		if code, _, _ := quorate(t, nil, args...); code != exitError {
			t.Errorf("%q: code %d", args, code)
		}
	}
	if code, _, says := quorate(t, nil, "user", "remove", "ann"); code != exitOK {
		t.Error(says)
	}
	if users, err = trust.ReadUsers("users.yaml"); err != nil || users.Find("ann") != nil {
		t.Errorf("ann is still there: %v", err)
	}
}

// addedUser gives the password that a command prints.
func addedUser(t *testing.T, args ...string) string {
	t.Helper()
	code, out, says := quorate(t, nil, append(args, "-o", "json")...)
	var told struct{ Password string }
	if err := json.Unmarshal([]byte(out), &told); code != exitOK || err != nil || len(told.Password) < 40 {
		t.Fatalf("code %d, %s%s", code, out, says)
	}
	return told.Password
}
