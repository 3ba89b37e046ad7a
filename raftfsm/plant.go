//go:build !quorate_planted

package raftfsm

// promiseBreaker is nothing in every binary for use; plant_fault.go says what it is.
type promiseBreaker struct{}

func (promiseBreaker) forgets() bool { return false }
func (promiseBreaker) loses() bool   { return false }
func (promiseBreaker) repeats() bool { return false }
