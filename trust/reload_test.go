package trust_test

import (
	"os"
	"testing"
	"time"

	"github.com/quorate/quorate/trust"
)

// replace puts one file in the place of another, as programs that renew certificates do.
func replace(t *testing.T, name, with string) {
	t.Helper()
	text, err := os.ReadFile(with)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// expires waits until a process uses the certificate that ends at want.
func expires(t *testing.T, k *trust.Keys, want time.Time) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !k.Expires().Equal(want); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the certificate ends at %s, want %s", k.Expires(), want)
		}
	}
}

func TestKeys_ChangedFilesAreUsedWithoutARestart(t *testing.T) {
	a := authority(t, "dev")
	files := issue(t, a, trust.Node, "n1")
	behind := issue(t, a, trust.Node, "n2")
	behind.CA = t.TempDir() + "/ca.pem"
	replace(t, behind.CA, files.CA)
	k, config := open(t, files), open(t, behind)
	server := k.Server("", nil) // made before the change, as that of a listener is
	before := k.Expires()

	// Another authority takes over: for a while both count.
	next := authority(t, "dev")
	renewed, err := next.Issue(trust.Node, "n1", nil, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, files.Cert, renewed.Files.Cert)
	time.Sleep(1100 * time.Millisecond) // a look finds half of the change
	if !k.Expires().Equal(before) {
		t.Fatal("a certificate without its key is used")
	}
	replace(t, files.Key, renewed.Files.Key)
	old, err := os.ReadFile(files.CA)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := os.ReadFile(next.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	both := t.TempDir() + "/both.pem"
	if err := os.WriteFile(both, append(old, fresh...), 0o600); err != nil {
		t.Fatal(err)
	}
	replace(t, files.CA, both)
	expires(t, k, renewed.Expires)

	if _, err := meet(t, server, config.Client("", nil)); err == nil {
		t.Error("a client that does not know the new authority takes its certificate")
	}
	moved := open(t, issue(t, next, trust.Node, "n2"))
	if _, err := meet(t, server, moved.Client("", nil)); err != nil {
		t.Errorf("a client of the new authority: %v", err)
	}

	// The certificate of somebody else does not take the place of one's own.
	stranger := issue(t, next, trust.Node, "n3")
	replace(t, files.Cert, stranger.Cert)
	replace(t, files.Key, stranger.Key)
	time.Sleep(1100 * time.Millisecond)
	if got := k.Name().ID; got != "n1" {
		t.Errorf("the process has become %s", got)
	}
}
