//go:build !linux

package main

import "syscall"

// apart has a process not get the Ctrl-C that is meant for us.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
