package sequencer

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// The settings of a cluster, which the map holds as text. A key that is not here is refused.
const (
	settingMoves  = "moves"      // replicas that are on the move at one time
	settingSpread = "spread"     // how often leaders are spread; "off" for never
	settingLost   = "lost-after" // silence after which a node is given up; "off" for never
	settingFanout = "fanout"     // of the delivery tier: the variant that so many percent of the slots use, or "off"
)

// settings are what the map's texts say.
type settings struct {
	replicas int
	moves    int
	spread   time.Duration // 0 for never
	lost     time.Duration // 0 for never
}

// settingChecks tells for each key whether a value is one.
var settingChecks = map[string]func(s *settings, value string) error{
	settingReplicas: func(s *settings, value string) error {
		if value != "1" && value != "3" && value != "5" {
			return fmt.Errorf("%w: %s must be 1, 3 or 5", wire.ErrBadRequest, settingReplicas)
		}
		s.replicas, _ = strconv.Atoi(value)
		return nil
	},
	settingMoves: func(s *settings, value string) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > 64 {
			return fmt.Errorf("%w: %s must be a number from 1 to 64", wire.ErrBadRequest, settingMoves)
		}
		s.moves = n
		return nil
	},
	settingSpread: func(s *settings, value string) (err error) {
		s.spread, err = settingTime(settingSpread, value, time.Second)
		return err
	},
	settingFanout: func(_ *settings, value string) error {
		name, number, _ := strings.Cut(value, ":")
		percent, err := strconv.Atoi(number)
		if value != "off" && (err != nil || percent < 0 || percent > 100 || wire.CheckID(settingFanout, name) != nil) {
			return fmt.Errorf("%w: %s must be a variant and a percentage of slots such as spread:25, or off", wire.ErrBadRequest, settingFanout)
		}
		return nil
	},
	settingLost: func(s *settings, value string) (err error) {
		s.lost, err = settingTime(settingLost, value, 5*time.Second)
		return err
	},
}

// settingTime reads a duration, or "off" as 0.
func settingTime(key, value string, least time.Duration) (time.Duration, error) {
	if value == "off" {
		return 0, nil
	}
	d, err := time.ParseDuration(value)
	if err != nil || d < least || d > 365*24*time.Hour {
		return 0, fmt.Errorf("%w: %s must be a time such as 30s, at least %s, or off", wire.ErrBadRequest, key, least)
	}
	return d, nil
}

// settingOf gives the settings of a map. A value that a later version wrote and this one does not understand counts for
// nothing.
func settingOf(m *wire.ClusterMap) settings {
	s := settings{replicas: defaultReplicas, moves: 1, spread: 30 * time.Second, lost: 10 * time.Minute}
	for key, check := range settingChecks {
		was := s
		if value, ok := m.Settings[key]; ok && check(&s, value) != nil {
			s = was
		}
	}
	return s
}

// checkSetting says whether a setting may be made.
func checkSetting(key, value string) error {
	check, ok := settingChecks[key]
	if !ok {
		known := slices.Sorted(maps.Keys(settingChecks))
		return fmt.Errorf("%w: there is no setting %q; there are %s", wire.ErrBadRequest, shown([]byte(key)), strings.Join(known, ", "))
	}
	return check(&settings{}, value)
}
