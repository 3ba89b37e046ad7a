//go:build !linux

package main

import "syscall"

// withParent is for systems where a process cannot be tied to another.
func withParent() *syscall.SysProcAttr { return nil }
