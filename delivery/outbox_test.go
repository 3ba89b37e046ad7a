package delivery

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// TestOutbox_AgainstAPlainQueue drives an outbox and a plain list of frames alike.
func TestOutbox_AgainstAPlainQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var o outbox
		var model [][]byte
		sent, serial := 0, byte(0)
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				for range rapid.IntRange(1, 50).Draw(t, "frames") {
					serial++
					f := bytes.Repeat([]byte{serial}, rapid.IntRange(0, 40).Draw(t, "length"))
					o.push(f)
					if len(f) > 0 {
						model = append(model, f)
					}
				}
			},
			"write": func(t *rapid.T) {
				var scratch [writeFrames][]byte
				batch := o.peek(scratch[:])
				total := len(bytes.Join(batch, nil))
				n := rapid.IntRange(0, total).Draw(t, "taken")
				o.consume(n)
				for sent += n; len(model) > 0 && sent >= len(model[0]); model = model[1:] {
					sent -= len(model[0])
				}
			},
			"keepHead": func(*rapid.T) {
				o.keepHead()
				model = model[:min(1, len(model))]
			},
			"clear": func(*rapid.T) {
				o.clear()
				model, sent = nil, 0
			},
			"": func(t *rapid.T) {
				if o.empty() != (len(model) == 0) {
					t.Fatalf("empty is %v with %d frames", o.empty(), len(model))
				}
				if got := costOf(model); o.cost != got {
					t.Fatalf("cost %d, want %d", o.cost, got)
				}
				batch := o.peek(make([][]byte, len(model)+1))
				if want := bytes.Join(model, nil); !bytes.Equal(bytes.Join(batch, nil), want[min(sent, len(want)):]) {
					t.Fatalf("what is left differs from the model")
				}
				if o.empty() && (o.first != nil || o.last != nil) {
					t.Fatal("an empty outbox owns memory")
				}
			},
		})
	})
}

func TestOutbox_PeekStopsAtItsScratch(t *testing.T) {
	var o outbox
	for range 3 * writeFrames {
		o.push([]byte("x"))
	}
	var scratch [writeFrames][]byte
	if got := o.peek(scratch[:]); len(got) != writeFrames {
		t.Fatalf("%d frames in one call", len(got))
	}
}
