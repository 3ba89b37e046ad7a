package load

import "time"

// Schedule plans an open loop: the time of everything is fixed beforehand, whatever becomes of it, so that a stall shows in all that
// should have been done meanwhile.
type Schedule struct {
	began time.Time
	rate  float64 // in a second
	next  int64
	ends  time.Time
}

// NewSchedule plans so many in a second, evenly, from one time to another.
func NewSchedule(rate float64, began, ends time.Time) *Schedule {
	return &Schedule{began: began, rate: rate, ends: ends}
}

// at is the planned time of number n.
func (s *Schedule) at(n int64) time.Time {
	return s.began.Add(time.Duration(float64(n) / s.rate * float64(time.Second)))
}

// Due gives the number and the planned time of the next that is due, once each; ok is false where none is.
func (s *Schedule) Due(now time.Time) (n int64, planned time.Time, ok bool) {
	planned = s.at(s.next)
	if planned.After(now) || !planned.Before(s.ends) {
		return 0, planned, false
	}
	s.next++
	return s.next - 1, planned, true
}

// Next is when something will be due. Over is true where nothing will.
func (s *Schedule) Next() (at time.Time, over bool) {
	at = s.at(s.next)
	return at, !at.Before(s.ends)
}
