package trust_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/trust"
)

var quiet = slog.New(slog.DiscardHandler)

func authority(t testing.TB, cluster string) *trust.Authority {
	t.Helper()
	a, err := trust.CreateAuthority(t.TempDir(), cluster, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func issue(t testing.TB, a *trust.Authority, role trust.Role, id string) trust.Files {
	t.Helper()
	issued, err := a.Issue(role, id, nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return issued.Files
}

func open(t testing.TB, files trust.Files) *trust.Keys {
	t.Helper()
	k, err := trust.Open(files, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestName_IsReadAsItIsWritten(t *testing.T) {
	want := trust.Name{Cluster: "chat.example", Role: trust.Node, ID: "n1"}
	if got, err := trust.Parse(want.String()); err != nil || got != want {
		t.Errorf("%s: got %v, %v", want, got, err)
	}
	for _, uri := range []string{
		"", "quorate://", "quorate://a/node", "quorate://a/node/", "quorate://a/node/n1/", "quorate://a/node/n1?x", "quorate://A/node/n1",
		"http://a/node/n1", "quorate://a/root/n1", "quorate://a/Node/n1", "quorate://u@a/node/n1", "quorate://a:1/node/n1",
		"quorate://a/node/n%31", "quorate://a/node/n1#x", "quorate:///node/n1", "quorate://a../node/n1", "quorate://a/node/" + strings.Repeat("n", 65),
	} {
		if got, err := trust.Parse(uri); !errors.Is(err, trust.ErrStranger) {
			t.Errorf("%q: got %v, %v", uri, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("quorate://dev/node/n1")
	f.Add("quorate://dev/edge/e%31")
	f.Fuzz(func(t *testing.T, uri string) {
		if n, err := trust.Parse(uri); err == nil && n.String() != uri {
			t.Fatalf("%q is read as %v", uri, n)
		}
	})
}

func TestParseUsers_Refuses(t *testing.T) {
	hash := trust.HashPassword(trust.NewPassword())
	good := "users:\n- {name: ann, role: edge, password: '" + hash + "'}\n"
	if users, err := trust.ParseUsers([]byte(good)); err != nil || users.Find("ann") == nil {
		t.Fatalf("%s: %v", good, err)
	}
	for name, text := range map[string]string{
		"unknown key":    good + "more: 1\n",
		"twice":          good + "- {name: ann, role: reader, password: '" + hash + "'}\n",
		"default":        strings.Replace(good, "ann", "default", 1),
		"no role":        strings.Replace(good, "edge", "king", 1),
		"a node":         strings.Replace(good, "edge", "node", 1),
		"plain password": strings.Replace(good, hash, "secret", 1),
		"short hash":     strings.Replace(good, hash, "sha256:AAAA", 1),
		"bad name":       strings.Replace(good, "ann", "'a b'", 1),
		"no list":        "users: ann\n",
		"too long":       strings.Repeat("#", 5<<20),
	} {
		if _, err := trust.ParseUsers([]byte(text)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if users, err := trust.ParseUsers(nil); err != nil || len(users.List) != 0 {
		t.Errorf("an empty file: %v", err)
	}
}

func FuzzParseUsers(f *testing.F) {
	f.Add([]byte("users:\n- {name: ann, role: edge, password: '" + trust.HashPassword("x") + "'}\n"))
	f.Add([]byte("users: [&a [*a]]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		users, err := trust.ParseUsers(text)
		if err != nil {
			return
		}
		for _, u := range users.List {
			if u.Role == trust.Node || u.Name == trust.DefaultUser || users.Check(u.Name, nil) != nil {
				t.Fatalf("%+v is a user", u)
			}
		}
	})
}

func TestAuthority_WritesOverNothing(t *testing.T) {
	dir := t.TempDir()
	a, err := trust.CreateAuthority(dir, "dev", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trust.CreateAuthority(dir, "dev", time.Hour); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second authority: %v", err)
	}
	first := issue(t, a, trust.Node, "n1")
	before, err := os.ReadFile(first.Key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Issue(trust.Node, "n1", nil, time.Hour); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second certificate: %v", err)
	}
	if _, err := a.Issue(trust.Node, "ca", nil, time.Hour); err == nil {
		t.Error("a node takes the place of the authority")
	}
	after, err := os.ReadFile(first.Key)
	if err != nil || string(after) != string(before) {
		t.Errorf("the key has changed: %v", err)
	}
	for _, name := range []string{first.Cert, first.Key, first.CA, strings.Replace(first.CA, "ca.pem", "ca-key.pem", 1)} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	again, err := trust.OpenAuthority(dir)
	if err != nil || again.Cluster() != "dev" {
		t.Fatalf("opened again: %v", err)
	}
	if got := open(t, issue(t, again, trust.Edge, "e1")).Name().String(); got != "quorate://dev/edge/e1" {
		t.Errorf("an edge is %s", got)
	}
}

func TestOpen_RefusesWhatDoesNotFit(t *testing.T) {
	a, other := authority(t, "dev"), authority(t, "dev")
	n1, n2, foreign := issue(t, a, trust.Node, "n1"), issue(t, a, trust.Node, "n2"), issue(t, other, trust.Node, "n1")
	short, err := a.Issue(trust.Node, "n3", nil, -time.Second)
	if err != nil {
		t.Fatal(err)
	}
	for name, files := range map[string]trust.Files{
		"key of another":       {CA: n1.CA, Cert: n1.Cert, Key: n2.Key},
		"another authority":    {CA: n1.CA, Cert: foreign.Cert, Key: foreign.Key},
		"no authority":         {CA: n1.Key, Cert: n1.Cert, Key: n1.Key},
		"nothing":              {},
		"expired":              short.Files,
		"the authority itself": {CA: n1.CA, Cert: n1.CA, Key: strings.Replace(n1.CA, "ca.pem", "ca-key.pem", 1)},
	} {
		if k, err := trust.Open(files, quiet); err == nil {
			t.Errorf("%s: taken as %s", name, k.Name())
		}
	}
	if err := os.Chmod(n1.Key, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := trust.Open(n1, quiet); err == nil || !strings.Contains(err.Error(), "0644") {
		t.Errorf("a key that everybody can read: %v", err)
	}
}

// meet has a client connect to a server, and gives what each makes of it.
func meet(t *testing.T, server, client *tls.Config) (serverErr, clientErr error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	accepted := make(chan error, 1)
	go func() {
		plain, err := ln.Accept()
		if err != nil {
			accepted <- err
			return
		}
		conn := tls.Server(plain, server)
		defer conn.Close()
		if err = conn.Handshake(); err == nil {
			_, err = conn.Write([]byte{1})
		}
		accepted <- err
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := trust.DialTLS(ctx, ln.Addr().String(), client)
	if err == nil {
		_, err = io.ReadFull(conn, make([]byte, 1)) // in TLS 1.3 the server judges after the client has shaken hands
		conn.Close()
	}
	return <-accepted, err
}

func TestKeys_WhoMayConnect(t *testing.T) {
	dev, foreign, other := authority(t, "dev"), authority(t, "dev"), authority(t, "prod")
	n1 := open(t, issue(t, dev, trust.Node, "n1"))
	only := func(id string) func(trust.Name) error {
		return func(n trust.Name) error {
			if n.Role != trust.Node || n.ID != id {
				return trust.ErrStranger
			}
			return nil
		}
	}
	n2 := open(t, issue(t, dev, trust.Node, "n2"))
	e1, e2 := open(t, issue(t, dev, trust.Edge, "e1")), open(t, issue(t, dev, trust.Edge, "e2"))
	stranger := open(t, issue(t, foreign, trust.Node, "n2"))
	old := n2.Client("", nil)
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	nobody := n2.Client("", nil)
	nobody.Certificates = nil
	bold := stranger.Client("", nil) // would talk to anybody
	bold.VerifyConnection = nil
	for name, tt := range map[string]struct {
		server, client *tls.Config
		works          bool
	}{
		"two nodes":              {n1.Server("raft", nil), n2.Client("raft", only("n1")), true},
		"without a protocol":     {n1.Server("", nil), n2.Client("", only("n1")), true},
		"another node answers":   {n1.Server("", nil), n2.Client("", only("n3")), false},
		"a node that may not":    {n1.Server("", only("n3")), n2.Client("", nil), false},
		"an edge":                {n1.Server("", nil), e1.Client("", trust.OnlyNodes), true},
		"an edge as a node":      {e1.Server("", nil), n1.Client("", trust.OnlyNodes), false},
		"an edge for edges":      {e1.Server("relay", trust.OnlyEdges), e2.Client("relay", trust.OnlyEdges), true},
		"a node as an edge":      {n1.Server("relay", nil), e1.Client("relay", trust.OnlyEdges), false},
		"a node at an edge":      {e1.Server("relay", trust.OnlyEdges), n1.Client("relay", nil), false},
		"another authority":      {n1.Server("", nil), bold, false},
		"to another authority":   {stranger.Server("", nil), n1.Client("", nil), false},
		"no certificate":         {n1.Server("", nil), nobody, false},
		"TLS 1.2":                {n1.Server("", nil), old, false},
		"another protocol":       {n1.Server("raft", nil), n2.Client("resp", nil), false},
		"protocol is missing":    {n1.Server("raft", nil), n2.Client("", nil), false},
		"protocol is not wanted": {n1.Server("", nil), n2.Client("raft", nil), false},
	} {
		serverErr, clientErr := meet(t, tt.server, tt.client)
		if works := serverErr == nil && clientErr == nil; works != tt.works {
			t.Errorf("%s: the server says %v, the client %v", name, serverErr, clientErr)
		}
		if !tt.works && clientErr == nil {
			t.Errorf("%s: the client was answered", name)
		}
	}
	// One authority for two clusters: the name tells them apart.
	shared := open(t, issue(t, other, trust.Node, "n1"))
	if _, err := meet(t, n1.Server("", nil), shared.Client("", nil)); err == nil {
		t.Error("a node of another cluster was answered")
	}
}
