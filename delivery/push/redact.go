package push

import (
	"fmt"
	"log/slog"
)

// LogValue is what logs may have of a device: who it is, and not how it is reached.
func (d Device) LogValue() slog.Value {
	return slog.GroupValue(slog.String("user", d.UserID), slog.String("device", d.DeviceID), slog.String("platform", string(d.Platform)))
}

// String is the same for whoever prints it.
func (d Device) String() string { return fmt.Sprintf("%s/%s (%s)", d.UserID, d.DeviceID, d.Platform) }

// GoString is the same for %#v.
func (d Device) GoString() string { return d.String() }
