//go:build !linux

package archivetest

import "syscall"

func dieWithParent() *syscall.SysProcAttr { return nil }
