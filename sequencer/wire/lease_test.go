package wire_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/quorate/quorate/sequencer/wire"
)

func TestCheckLease(t *testing.T) {
	long := strings.Repeat("x/", 100)
	for _, tt := range []struct {
		what       string
		check      func(string) error
		good, evil []string
	}{
		{
			"name", wire.CheckLeaseName,
			[]string{"a", "hub/eu-1/n.1", long[:199]},
			[]string{"", "/", "a/", "/a", "a//b", "a b", "a\x00", "ä", long + "x", strings.Repeat("x", 65), "a@b"},
		},
		{
			"prefix", wire.CheckLeasePrefix,
			[]string{"", "/", "a/", "hub/eu", long, strings.Repeat("x", 200)},
			[]string{"a b", "a\x00", "a@b", "*", long + "x"},
		},
		{
			"holder", wire.CheckLeaseHolder,
			[]string{"a", "n1.b_c", "n1@host:1", "n1@10.0.0.1:65535", "n1@[::1]:7000", "n1@a-b.c.example:80", "n1@my_host:80"},
			[]string{
				"", "@h:1", "n1@", "n1@h", "n1@h:", "n1@:1", "n1@h:0", "n1@h:01", "n1@h:65536", "n1@h:-1", "n1@h:http", "n1@::1:80",
				"n1@[::1%lo]:80", "n1@-a:80", "n1@a..b:80", "n1@h h:80", "n1@h:80@x", "n1@h:80\n", "n/1", "n1@" + strings.Repeat("x", 64) + ":1",
				"n1@" + strings.Repeat("x.", 99) + "x:80",
			},
		},
	} {
		for _, s := range tt.good {
			if err := tt.check(s); err != nil {
				t.Errorf("%s %q: %v", tt.what, s, err)
			}
		}
		for _, s := range tt.evil {
			if err := tt.check(s); !errors.Is(err, wire.ErrBadRequest) {
				t.Errorf("%s %q: %v", tt.what, s, err)
			}
		}
	}
}
