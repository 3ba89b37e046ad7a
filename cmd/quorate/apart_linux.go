package main

import "syscall"

// apart has a process not get the Ctrl-C that is meant for us, and end with us however we end.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
