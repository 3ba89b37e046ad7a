//go:build !linux

package sysmon

import "errors"

// Calm does nothing: there is no such attribute here.
func Calm() error { return errors.ErrUnsupported }
