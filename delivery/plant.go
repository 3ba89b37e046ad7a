//go:build !quorate_planted

package delivery

// planted changes nothing in any binary for use; plant_fault.go says what it is.
func planted(_ *session, f []byte) []byte { return f }
