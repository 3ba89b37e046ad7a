//go:build !linux

package bench

import (
	"context"
	"errors"
)

// Idle needs epoll.
func Idle(context.Context, IdleConfig) (*IdleResult, error) {
	return nil, errors.New("bench: connections are opened by epoll, which is Linux's")
}
