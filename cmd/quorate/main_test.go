package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// quorate runs one command line in this process, with no other environment than env.
func quorate(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var out, complaint bytes.Buffer
	code = run(ctx, args, env, &out, &complaint)
	return code, out.String(), complaint.String()
}

// write makes a file in a directory of the test's own.
func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRun_BadInputIsOneLineAndCode2(t *testing.T) {
	t.Chdir(t.TempDir())
	node := []string{"sequencer", "--node-id", "n1", "--data", "d"}
	edge := []string{"delivery", "--sequencers", "127.0.0.1:1", "--no-auth"}
	with := func(base []string, more ...string) []string { return append(append([]string{}, base...), more...) }
	for _, c := range []struct {
		name string
		env  []string
		args []string
		says string
	}{
		{"unknown command", nil, []string{"sequence"}, "sequence"},
		{"unknown flag", nil, []string{"dev", "--port", "1"}, "--port"},
		{"unknown subcommand", nil, []string{"raft", "bogus"}, "bogus"},
		{"no subcommand", nil, []string{"token"}, "create"},
		{"argument too many", nil, []string{"version", "now"}, "usage is"},
		{"argument too few", nil, []string{"chat", "send", "tea"}, "usage is"},
		{"output form", nil, []string{"version", "-o", "xml"}, "--output"},
		{"not a number", nil, []string{"dev", "--nodes", "three"}, "nodes"},
		{"number too large", nil, []string{"dev", "--groups", "99999999999999999999"}, "groups"},
		{"no nodes", nil, []string{"dev", "--nodes", "0"}, "--nodes"},
		{"even nodes", nil, []string{"dev", "--nodes", "2"}, "--nodes"},
		{"negative groups", nil, []string{"dev", "--groups=-1"}, "--groups"},
		{"dev for all the world", nil, []string{"dev", "--addr", "0.0.0.0:8080"}, "loopback"},
		{"dev on every interface", nil, []string{"dev", "--ops-addr", ":9090"}, "loopback"},
		{"dev without a port", nil, []string{"dev", "--resp-addr", "127.0.0.1"}, "HOST:PORT"},
		{"half of the certificates", nil, with(node, "--tls-cert", "c.pem"), "go together"},
		{"node on every interface", nil, with(node, "--tls-cert", "c", "--tls-ca", "c", "--tls-key", "c", "--raft-addr", "0.0.0.0:7300"), "reach"},
		{"node without a host", nil, with(node, "--tls-cert", "c", "--tls-ca", "c", "--tls-key", "c", "--resp-addr", ":7379"), "reach"},
		{"edge far away without certificates", nil, []string{"delivery", "--no-auth", "--sequencers", "10.0.0.1:7379"}, "loopback"},
		{"certificate for no role", nil, []string{"cert", "king", "x"}, "king"},
		{"certificate for nobody", nil, []string{"cert", "node"}, "usage is"},
		{"certificate of no time", nil, []string{"cert", "ca", "--valid-for=-1h"}, "--valid-for"},
		{"user of no role", nil, []string{"user", "add", "ann", "--role", "king"}, "--role"},
		{"user without a name", nil, []string{"user", "add", ""}, "NAME"},
		{"ports run out", nil, []string{"dev", "--resp-addr", "127.0.0.1:65535"}, "next nodes"},
		{"bad port", nil, []string{"dev", "--addr", "127.0.0.1:99999"}, "port"},
		{"no node id", nil, []string{"sequencer", "--data", "d"}, "--node-id"},
		{"node id alphabet", nil, []string{"sequencer", "--data", "d", "--node-id", "n/1"}, "--node-id"},
		{"no data", nil, []string{"sequencer", "--node-id", "n1"}, "--data"},
		{"groups", nil, with(node, "--groups", "0"), "--groups"},
		{"sequencer for all the world", nil, with(node, "--resp-addr", "192.168.1.1:7379"), "loopback"},
		{"bootstrap form", nil, with(node, "--bootstrap", "127.0.0.1:7300"), "NODE=RAFT_ADDR"},
		{"bootstrap without me", nil, with(node, "--bootstrap", "n2=127.0.0.1:7300"), "this node"},
		{"bootstrap has another address", nil, with(node, "--bootstrap", "n1=127.0.0.1:7301"), "--raft-addr"},
		{"bootstrap twice", nil, with(node, "--bootstrap", "n1=127.0.0.1:7300,n1=127.0.0.1:7300"), "twice"},
		{"bootstrap far away", nil, with(node, "--bootstrap", "n1=10.0.0.1:7300"), "loopback"},
		{"a network that is none", nil, with(edge, "--unlimited-addresses", "10.0.0.0/33"), "--unlimited-addresses"},
		{"no sequencers", nil, []string{"delivery", "--no-auth"}, "--sequencers"},
		{"bad sequencer", nil, []string{"delivery", "--no-auth", "--sequencers", "nowhere"}, "HOST:PORT"},
		{"delivery for all the world", nil, with(edge, "--addr", "0.0.0.0:80"), "loopback"},
		{"no secret", nil, []string{"delivery", "--sequencers", "127.0.0.1:1"}, "--jwt-secret-file"},
		{"a host that is a pattern of none", nil, with(edge, "--push-webhook-hosts", "HTTP://x"), "pattern of hosts"},
		{"notifications at once", nil, with(edge, "--push-grace", "-1s"), "--push-grace"},
		{"no role", nil, with(edge, "--roles", ""), "--roles"},
		{"hub for all the world", nil, with(edge, "--hub-addr", "0.0.0.0:7400"), "--hub-addr"},
		{"unknown role", nil, with(edge, "--roles", "edge,hub,cook"), "cook"},
		{"token without a user", nil, []string{"token", "create"}, "--user"},
		{"token for nobody", nil, []string{"token", "create", "--user", "a b"}, "user"},
		{"token of no time", nil, []string{"token", "create", "--user", "a", "--ttl", "-1h"}, "--ttl"},
		{"chat as nobody", nil, []string{"chat", "history", "tea"}, "--token"},
		{"chat nowhere", nil, []string{"chat", "history", "tea", "--url", "ftp://x", "--user", "a"}, "chat.url"},
		{"history from zero", nil, []string{"chat", "history", "tea", "--from", "0"}, "--from"},
		{"raft without an address", nil, []string{"raft", "peers", "--resp-addr", "x"}, "HOST:PORT"},
		{"transfer of no group", nil, []string{"raft", "transfer", "first"}, "GROUP"},
		{"unknown variable", []string{"QUORATE_SEQUENCER__NODEID=n1"}, []string{"version"}, "QUORATE_SEQUENCER__NODEID"},
		{"bad variable", []string{"QUORATE_DEV__NODES=many"}, []string{"version"}, "dev.nodes"},
		{"log level", []string{"QUORATE_LOG__LEVEL=loud"}, []string{"version"}, "log.level"},
		{"no such file", nil, []string{"version", "--config", "nothing.yaml"}, "nothing.yaml"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := quorate(t, c.env, c.args...)
			if code != exitUsage {
				t.Errorf("code %d, want %d", code, exitUsage)
			}
			if !strings.HasPrefix(stderr, "quorate: ") || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, c.says) {
				t.Errorf("stderr is %q, want one line that says %q", stderr, c.says)
			}
			if stdout != "" {
				t.Errorf("stdout is %q", stdout)
			}
		})
	}
}

func TestRun_BadFileNamesTheKey(t *testing.T) {
	for name, c := range map[string]struct{ text, says string }{
		"unknown key":     {"sequencer:\n  nodeid: n1\n", "unknown key sequencer.nodeid"},
		"unknown section": {"sequencers:\n  a: b\n", "sequencers.a"},
		"wrong kind":      {"dev:\n  nodes: [1, 2]\n", "dev.nodes"},
		"part of a node":  {"dev:\n  nodes: 2.5\n", "dev.nodes"},
		"no value":        {"dev:\n  nodes:\n", "dev.nodes"},
		"not a bool":      {"dev:\n  no-auth: perhaps\n", "dev.no-auth"},
		"not a map":       {"- dev\n", "configuration file"},
		"key twice":       {"dev:\n  nodes: 3\n  nodes: 5\n", "already defined"},
		"not YAML":        {"dev: {", "configuration file"},
		"a section's end": {"dev: 5\n", "unknown key dev"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := quorate(t, nil, "config", "show", "--config", write(t, "q.yaml", c.text))
			if code != exitUsage || !strings.Contains(stderr, c.says) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("code %d, %q, want %d and one line that says %q", code, stderr, exitUsage, c.says)
			}
		})
	}
}

// config reads `config show` as the commands see it.
func shownConfig(t *testing.T, env []string, args ...string) map[string]map[string]any {
	t.Helper()
	code, stdout, stderr := quorate(t, env, append([]string{"config", "show", "-o", "json"}, args...)...)
	if code != exitOK {
		t.Fatalf("code %d: %s", code, stderr)
	}
	var config map[string]map[string]any
	if err := json.Unmarshal([]byte(stdout), &config); err != nil {
		t.Fatal(err)
	}
	return config
}

func TestConfig_EnvironmentWinsOverFileOverDefault(t *testing.T) {
	name := write(t, "q.yaml", "dev:\n  nodes: 5\n  groups: 4\nsequencer:\n  bootstrap: [n1=127.0.0.1:1, n2=127.0.0.1:2]\n"+
		"token:\n  ttl: 5m\n")
	env := []string{"QUORATE_CONFIG=" + name, "QUORATE_DEV__GROUPS=7", "QUORATE_DELIVERY__SEQUENCERS=a:1,b:2", "PATH=/bin"}
	c := shownConfig(t, env)
	for key, want := range map[string]any{
		"dev.nodes": 5.0, "dev.groups": 7.0, "dev.addr": "127.0.0.1:8080", "token.ttl": "5m0s",
	} {
		section, field := splitKey(key)
		if got := c[section][field]; got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	if got := c["sequencer"]["bootstrap"].([]any); len(got) != 2 || got[1] != "n2=127.0.0.1:2" {
		t.Errorf("sequencer.bootstrap is %v", got)
	}
	if got := c["delivery"]["sequencers"].([]any); len(got) != 2 || got[1] != "b:2" {
		t.Errorf("delivery.sequencers is %v", got)
	}
}

func TestConfig_FlagWinsOverAll(t *testing.T) {
	secret := write(t, "secret", "s3cret\n")
	env := []string{"QUORATE_TOKEN__USER=env", "QUORATE_TOKEN__SECRET_FILE=" + secret}
	_, token, _ := quorate(t, env, "token", "create", "--user", "flag")
	code, who, stderr := quorate(t, env, "token", "check", strings.TrimSpace(token))
	if code != exitOK || !strings.Contains(who, "flag") {
		t.Errorf("code %d: %s%s", code, who, stderr)
	}
	_, token, _ = quorate(t, env, "token", "create")
	if _, who, _ = quorate(t, env, "token", "check", strings.TrimSpace(token)); !strings.Contains(who, "env") {
		t.Errorf("without the flag the environment counts: %s", who)
	}
}

func TestConfig_InitIsWhatShowShows(t *testing.T) {
	name := filepath.Join(t.TempDir(), "q.yaml")
	if code, _, stderr := quorate(t, nil, "config", "init", name); code != exitOK {
		t.Fatal(stderr)
	}
	_, plain, _ := quorate(t, nil, "config", "show")
	code, loaded, stderr := quorate(t, nil, "config", "show", "--config", name)
	if code != exitOK || loaded != plain {
		t.Errorf("code %d %s:\n%s\nwant\n%s", code, stderr, loaded, plain)
	}
	if code, _, _ := quorate(t, nil, "config", "init", name); code != exitError {
		t.Errorf("init wrote over a file: code %d", code)
	}
}

func TestConfig_CheckLooksAtValues(t *testing.T) {
	good := write(t, "good.yaml", "sequencer:\n  node-id: n1\n  data: d\n")
	if code, stdout, stderr := quorate(t, nil, "config", "check", good); code != exitOK || stdout != "ok\n" {
		t.Errorf("code %d: %s%s", code, stdout, stderr)
	}
	bad := write(t, "bad.yaml", "sequencer:\n  node-id: n1\n  data: d\n  raft-addr: 1.2.3.4:5\n")
	if code, _, stderr := quorate(t, nil, "config", "check", bad); code != exitUsage || !strings.Contains(stderr, "raft-addr") {
		t.Errorf("code %d: %s", code, stderr)
	}
}

func TestConfig_EveryKeyIsExplained(t *testing.T) {
	config := defaultConfig()
	for _, s := range settingsOf(&config) {
		if s.doc == "" || strings.HasSuffix(s.key, ".") {
			t.Errorf("key %q has no name or no text", s.key)
		}
		if got := envKey(envName(s.key)); got != s.key {
			t.Errorf("%s is %s in the environment, which is read as %s", s.key, envName(s.key), got)
		}
	}
}

func TestToken_WrongSecretIsRefused(t *testing.T) {
	_, token, _ := quorate(t, nil, "token", "create", "--user", "alice", "--secret-file", write(t, "a", "one\n"))
	code, _, stderr := quorate(t, nil, "token", "check", strings.TrimSpace(token), "--secret-file", write(t, "b", "other\n"))
	if code != exitError || strings.Count(stderr, "\n") != 1 {
		t.Errorf("code %d: %s", code, stderr)
	}
}

func TestVersion_AsJSON(t *testing.T) {
	_, stdout, _ := quorate(t, nil, "version", "-o", "json")
	var v map[string]string
	if err := json.Unmarshal([]byte(stdout), &v); err != nil || v["version"] == "" || v["go"] == "" {
		t.Errorf("%v: %s", err, stdout)
	}
}
