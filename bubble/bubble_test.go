package bubble

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestTest_TimersAtOnce makes and awaits timers that are due at once, from many goroutines of a bubble, some bubbles side by side: with two
// processors the race detector breaks in about every other run of it.
func TestTest_TimersAtOnce(t *testing.T) {
	for range 2 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			for range 6 {
				Test(t, timersAtOnce)
			}
		})
	}
}

func timersAtOnce(*testing.T) {
	for range 8 {
		go func() {
			for range 150 {
				time.Sleep(time.Millisecond)
				for range 20 {
					<-time.NewTimer(0).C
					time.AfterFunc(0, func() {})
				}
			}
		}()
	}
	time.Sleep(time.Second)
	synctest.Wait()
}
