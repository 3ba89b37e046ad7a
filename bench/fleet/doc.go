// Package fleet makes one run with several workers, so that what is measured can be larger than one generator: a coordinator gives each
// worker its part, has all of them begin together when all are prepared, and merges what they measured. A chat and its members are one
// worker's, so each checks its part whole.
package fleet

import (
	"time"

	"github.com/quorate/quorate/bench/measure"
	"github.com/quorate/quorate/bench/scenario"
)

// line is what a worker answers to a run, one JSON object each line, until a result or an error ends it.
type line struct {
	Ready    bool               `json:"ready,omitempty"`
	Progress *scenario.Progress `json:"progress,omitempty"`
	Result   *measure.Result    `json:"result,omitempty"`
	Error    string             `json:"error,omitempty"`
	Settings bool               `json:"settings,omitempty"` // the error is about what was asked for
}

const (
	maxLine     = 256 << 20 // bytes: a long run's series
	maxSettings = 1 << 20
	readyTime   = 30 * time.Minute // from the first worker that is prepared to the last
)
