package frame

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/quorate/quorate/delivery/frame/frametest"
)

// FuzzParser looks for bytes whose outcome depends on how they are split, for panics, and, through feed, for more memory held
// than a message may have.
func FuzzParser(f *testing.F) {
	seeds := [][]byte{
		nil, text("hello"), join(textStart("a"), ping("b"), more("κ"), end("c"), text("d")), closeCode(1000, "bye"), closing(3),
		text("\xed\xa0\x80"), join(textStart("\xf0\x90"), end("\x80\x80")), AppendText(nil, []byte("unmasked")),
		{0x81, 0xFF, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4},
		{0x81, 0xFE, 0, 5, 1, 2, 3, 4},
		{0xC1, 0x80, 0, 0, 0, 0},
		join(text(strings.Repeat("x", 300)), pong(""), text("")), clientFrame(fin|byte(OpBinary), []byte{1}),
	}
	for _, section := range []string{"2", "3", "4", "5", "7"} {
		for _, c := range frametest.Of(section) {
			seeds = append(seeds, c.Send())
		}
	}
	for i, s := range seeds {
		f.Add(s, uint64(i))
	}
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		want := feed(t, data, whole)
		if got := feed(t, data, single); !reflect.DeepEqual(got, want) {
			t.Fatalf("byte by byte %q, at once %q", got, want)
		}
		rng := rand.New(rand.NewPCG(seed, 1))
		if got := feed(t, data, func(left int) int { return rng.IntN(min(left, 64)) + 1 }); !reflect.DeepEqual(got, want) {
			t.Fatalf("random splits %q, at once %q", got, want)
		}
	})
}

func BenchmarkParser_Text(b *testing.B) {
	frame := text(strings.Repeat("x", 200))
	buf := make([]byte, len(frame))
	p := &Parser{MaxMessage: testMax}
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		copy(buf, frame)
		if ev, _, err := p.Next(buf); ev.Kind != Text || err != nil {
			b.Fatal(ev, err)
		}
	}
}

func BenchmarkAppendText(b *testing.B) {
	payload := []byte(strings.Repeat("x", 200))
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendText(dst[:0], payload)
	}
}
