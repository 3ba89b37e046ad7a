//go:build !quorate_failpoints

package failpoint

// Enabled reports whether this binary has steps that tests stop at.
const Enabled = false

// Reach does nothing.
func Reach(string) {}

// Planted is false: this binary has only the bugs that nobody knows of.
func Planted(string) bool { return false }
