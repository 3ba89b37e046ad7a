package sequencer_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/sequencer"
)

// TestDocs_TellOfEveryCommand looks that docs/resp.md has a section for each command of the table, in the table's own
// numbers, and no other.
func TestDocs_TellOfEveryCommand(t *testing.T) {
	text, err := os.ReadFile("../docs/resp.md")
	if err != nil {
		t.Fatal(err)
	}
	var told, known []string
	sections := regexp.MustCompile("(?m)^### ([A-Z.]+)$").Split(string(text), -1)
	for i, match := range regexp.MustCompile("(?m)^### ([A-Z.]+)$").FindAllStringSubmatch(string(text), -1) {
		arity := regexp.MustCompile(`Arity (-?\d+), (no key|key at 1|keys from 1)`).FindStringSubmatch(strings.ReplaceAll(sections[i+1], "\n", " "))
		if arity == nil {
			t.Errorf("the section of %s names no arity and key", match[1])
			continue
		}
		told = append(told, fmt.Sprintf("%s %s %t", match[1], arity[1], arity[2] != "no key"))
		if !strings.Contains(sections[i+1], "\n    > "+match[1]) {
			t.Errorf("the section of %s has no example", match[1])
		}
	}
	for _, c := range sequencer.CommandTable() {
		known = append(known, fmt.Sprintf("%s %d %t", c.Name, c.Arity, c.Key > 0))
	}
	slices.Sort(known)
	slices.Sort(told)
	if !slices.Equal(told, known) {
		t.Errorf("docs/resp.md says\n%q\nthe table says\n%q", told, known)
	}
}

// TestDocs_TellOfEveryRight looks that every command takes a right, and that docs/resp.md says which.
func TestDocs_TellOfEveryRight(t *testing.T) {
	text, err := os.ReadFile("../docs/resp.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([A-Z.]+)` \\| (any|read|write|all) \\|").FindAllStringSubmatch(string(text), -1) {
		told[row[1]] = row[2]
	}
	for _, c := range sequencer.CommandTable() {
		if c.Right == "" {
			t.Errorf("%s takes no right, so nobody may run it", c.Name)
		}
		if told[c.Name] != c.Right {
			t.Errorf("%s takes %q, docs/resp.md says %q", c.Name, c.Right, told[c.Name])
		}
		delete(told, c.Name)
	}
	for name := range told {
		t.Errorf("docs/resp.md gives a right to %s, which is no command", name)
	}
}
