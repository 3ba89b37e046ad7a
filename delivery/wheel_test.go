package delivery

import (
	"testing"
	"time"
)

// fired advances the wheel and notes when each connection fired; next says when it wants to fire again.
func fired(w *wheel, to uint32, next func(c *conn, now uint32) uint32) map[*conn][]uint32 {
	at := map[*conn][]uint32{}
	w.advance(to, func(c *conn, now uint32) uint32 {
		at[c] = append(at[c], now)
		return next(c, now)
	})
	return at
}

func TestWheel_FiresInTime(t *testing.T) {
	w := newWheel(time.Millisecond)
	conns := map[uint32]*conn{}
	for _, due := range []uint32{2, 3, 100, wheelSlots - 1, wheelSlots, wheelSlots + 1, 5 * wheelSlots} {
		conns[due] = &conn{}
		w.add(conns[due], due)
	}
	at := fired(w, 6*wheelSlots, func(c *conn, now uint32) uint32 {
		if due := dueOf(conns, c); now < due {
			return due // it was further away than the wheel reaches
		}
		return 100 * wheelSlots
	})
	for due, c := range conns {
		exact := false
		for _, tick := range at[c] {
			exact = exact || tick == due
		}
		if !exact {
			t.Errorf("due at %d, fired at %v", due, at[c])
		}
	}
}

func dueOf(conns map[uint32]*conn, c *conn) uint32 {
	for due, other := range conns {
		if other == c {
			return due
		}
	}
	return 0
}

func TestWheel_SoonerAndRemove(t *testing.T) {
	w := newWheel(time.Millisecond)
	late := func(*conn, uint32) uint32 { return 400 }
	moved, kept, removed := &conn{}, &conn{}, &conn{}
	for _, c := range []*conn{moved, kept, removed} {
		w.add(c, 100)
	}
	w.sooner(moved, 10)
	w.sooner(kept, 200)
	w.remove(removed)
	w.sooner(removed, 5)
	w.add(removed, 5)
	if n := len(w.all()); n != 2 {
		t.Fatalf("%d connections in the wheel", n)
	}
	if at := fired(w, 50, late); len(at) != 1 || at[moved][0] != 10 {
		t.Fatalf("until 50: %v", at)
	}
	if at := fired(w, 150, late); len(at) != 1 || at[kept][0] != 100 {
		t.Fatalf("until 150: %v", at)
	}
}

func TestWheel_SoonerWhileFiring(t *testing.T) {
	w := newWheel(time.Millisecond)
	c := &conn{}
	w.add(c, 10)
	times := []uint32{}
	w.advance(100, func(c *conn, now uint32) uint32 {
		times = append(times, now)
		if now == 10 {
			if len(w.all()) != 1 {
				t.Error("a connection that fires is not in the list of all")
			}
			w.sooner(c, 20)
			w.sooner(c, 30)
		}
		return 300
	})
	if len(times) != 2 || times[1] != 20 {
		t.Fatalf("fired at %v", times)
	}
	w.remove(c)
	w.add(c, 150)
	if len(w.all()) != 0 {
		t.Fatal("removed, and still there")
	}
}

func TestFlood_AllowanceComesBack(t *testing.T) {
	const tick = 250 * time.Millisecond
	var f flood
	now := uint32(1000)
	if !f.spend(floodBurst, now, tick) || f.spend(1, now, tick) {
		t.Fatal("the burst is not what was promised")
	}
	now += 4 // a second; one was spent over the allowance
	if !f.spend(floodPerSecond-1, now, tick) || f.spend(1, now, tick) {
		t.Fatal("the allowance does not come back at its rate")
	}
	if now += 1 << 30; !f.spend(floodBurst, now, tick) || f.spend(1, now, tick) {
		t.Fatal("after a long time there is more or less than one burst")
	}
	var slow flood
	for range 1000 { // a quarter of the rate, by ticks shorter than one token takes
		if now += 12; !slow.spend(1, now, 5*time.Millisecond) {
			t.Fatal("a modest client was refused")
		}
	}
}
