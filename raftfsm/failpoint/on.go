//go:build quorate_failpoints

package failpoint

import (
	"os"
	"path/filepath"
)

// Enabled reports whether this binary has steps that tests stop at.
const Enabled = true

// dir is where a test lays out files: one named after a step stops whoever reaches that step, once.
var dir = os.Getenv("FAILPOINTS")

// Reach stops for good where there is a file of the step's name, which then ends in ".reached": the test sees it, and ends the
// process. Of several that come to a step at one time one stops.
func Reach(step string) {
	name := filepath.Join(dir, step)
	if dir == "" || os.Rename(name, name+".reached") != nil {
		return
	}
	select {}
}

// Planted reports whether a test has put a bug in: there is a file of its name.
func Planted(bug string) bool {
	_, err := os.Stat(filepath.Join(dir, bug))
	return dir != "" && err == nil
}
