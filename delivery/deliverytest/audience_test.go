package deliverytest

import (
	"strings"
	"testing"

	"github.com/quorate/quorate/sequencer/wire"
)

// logged gives a chat's log of n messages.
func logged(n int) (log []wire.Message) {
	for i := range n {
		log = append(log, wire.Message{ChatID: "tea", Seq: wire.Seq(i + 1), SenderID: "ann", Text: strings.Repeat("x", i+1)})
	}
	return log
}

// TestAudience_CatchesWhatIsShownWrong checks the check: each way to show a log wrongly is told, and the right one is not.
func TestAudience_CatchesWhatIsShownWrong(t *testing.T) {
	log := logged(4)
	other := log[2]
	other.Text = "another"
	for _, c := range []struct {
		name  string
		shown []wire.Message
		want  string // "" where all is well
	}{
		{"all of it", log, ""},
		{"one is missed", []wire.Message{log[0], log[2], log[3]}, "was shown tea:3 where 2 comes next"},
		{"the last is missed", log[:3], "was shown 3 messages of tea, the log has 4"},
		{"one comes twice", []wire.Message{log[0], log[1], log[1], log[2], log[3]}, "was shown tea:2 where 3 comes next"},
		{"two change places", []wire.Message{log[0], log[2], log[1], log[3]}, "was shown tea:3 where 2 comes next"},
		{"one is another", []wire.Message{log[0], log[1], other, log[3]}, "another"},
		{"one too many", logged(5), "was shown 5 messages of tea, the log has 4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := NewAudience()
			for _, m := range c.shown {
				a.Show("bob", m)
			}
			a.Check("bob", "tea", log)
			expectFault(t, a, c.want)
		})
	}
}

// TestAudience_CatchesReceiptsThatAreWrong does the same for what is told of how far others are.
func TestAudience_CatchesReceiptsThatAreWrong(t *testing.T) {
	for _, c := range []struct {
		name string
		told []Marks
		want string
	}{
		{"they rise", []Marks{{1, 0}, {3, 1}, {3, 3}}, ""},
		{"the same again", []Marks{{3, 1}, {3, 1}}, ""},
		{"delivered goes back", []Marks{{3, 1}, {2, 1}}, "over one connection after"},
		{"read goes back", []Marks{{3, 2}, {3, 1}}, "over one connection after"},
		{"more than he said", []Marks{{4, 1}}, "has said no more"},
		{"read before it was delivered", []Marks{{1, 2}}, "has read more"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := NewAudience()
			a.Say("ann", "tea", Marks{3, 3})
			var before Marks
			for _, m := range c.told {
				a.Told("bob", "tea", "ann", before, m)
				before = m
			}
			expectFault(t, a, c.want)
		})
	}
}

func expectFault(t *testing.T, a *Audience, want string) {
	t.Helper()
	faults := strings.Join(a.Faults(), "\n")
	if (want == "") != (faults == "") || !strings.Contains(faults, want) {
		t.Errorf("found %q, want %q", faults, want)
	}
}
