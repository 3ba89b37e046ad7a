//go:build !linux

package main

import "errors"

var errNotHere = errors.New("not known on this system")

func diskOf(string) (diskSpace, error) { return diskSpace{}, errNotHere }

func kernelClock() (clockState, error) { return clockState{}, errNotHere }
