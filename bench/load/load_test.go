package load

import (
	"bytes"
	"compress/flate"
	"context"
	"io"
	"strings"
	"testing"
	"time"
)

func TestSchedule_AStallShowsInAllThatWasPlanned(t *testing.T) {
	began := time.Now()
	s := NewSchedule(1000, began, began.Add(time.Second))
	if _, _, due := s.Due(began.Add(-time.Nanosecond)); due {
		t.Error("something is due before the begin")
	}
	n := 0
	for ; ; n++ { // nobody came for half a second
		number, planned, due := s.Due(began.Add(500 * time.Millisecond))
		if !due {
			break
		}
		if number != int64(n) || planned != began.Add(time.Duration(n)*time.Millisecond) {
			t.Fatalf("%d was planned as %d for %v", n, number, planned.Sub(began))
		}
	}
	if n != 501 {
		t.Errorf("%d were due", n)
	}
	for _, _, due := s.Due(began.Add(time.Hour)); due; _, _, due = s.Due(began.Add(time.Hour)) {
		n++
	}
	if _, over := s.Next(); n != 1000 || !over {
		t.Errorf("%d were due in all, over %v", n, over)
	}
}

func TestTexts_TheSameSeedMakesTheSame(t *testing.T) {
	a, b, c := NewTexts(1, 200, 1), NewTexts(1, 200, 1), NewTexts(2, 200, 1)
	sizes := map[int]bool{}
	for n := range 200 {
		text := a.Text(3, n)
		if text != b.Text(3, n) || text == c.Text(3, n) || text == a.Text(4, n) {
			t.Fatalf("text %d", n)
		}
		if strings.ContainsAny(text, `"\`) || len(text) < MinText && !strings.HasPrefix(text, "3/") {
			t.Fatalf("%q", text)
		}
		sizes[len(text)] = true
	}
	if len(sizes) < 50 {
		t.Errorf("%d sizes in 200 texts", len(sizes))
	}
	if got := len(NewTexts(1, 200, 0).Text(1, 5)); got != 200 {
		t.Errorf("%d bytes", got)
	}
}

// TestTexts_DoNotCompress packs many texts together, as an archive does: they share nothing but their numbers.
func TestTexts_DoNotCompress(t *testing.T) {
	texts := NewTexts(1, 200, 0)
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	const n = 1000
	for i := range n {
		if _, err := io.WriteString(w, texts.Text(i%7, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if each := packed.Len() / n; each < 145 {
		t.Errorf("200 bytes of text are packed into %d", each)
	}
}

func TestSkew_TheFirstIsTheMostActive(t *testing.T) {
	random, counts := Random(1, 0), make([]int, 100)
	k := NewSkew(100, 1)
	for range 10_000 {
		counts[k.Pick(random)]++
	}
	if counts[0] < 4*counts[9] || counts[0] > 3000 {
		t.Errorf("%v", counts[:10])
	}
}

func TestPacer_ComesOnTime(t *testing.T) {
	began := time.Now()
	p, err := NewPacer(NewSchedule(500, began, began.Add(200*time.Millisecond)))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	n := 0
	p.Run(t.Context(), func(_ int64, planned time.Time) {
		if time.Now().Before(planned) {
			t.Error("too early")
		}
		n++
	})
	if n != 100 || p.Planned != 100 {
		t.Errorf("%d done, %d planned", n, p.Planned)
	}
}

func TestPacer_WhatWasDueByTheEndIsDone(t *testing.T) {
	began := time.Now()
	p, err := NewPacer(NewSchedule(1000, began.Add(-time.Second), began))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n := 0
	if p.Run(ctx, func(int64, time.Time) { n++ }); n != 1000 || !p.Limited() {
		t.Errorf("%d of 1000 were done, limited %v", n, p.Limited())
	}
}
