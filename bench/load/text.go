package load

import (
	"math"
	"strconv"
)

// Texts makes the texts of a run. Each is told apart from all others, and follows from the seed and its number.
type Texts struct {
	size int
	skew float64
	seed uint64
}

// MinText is the shortest text: it must hold its number.
const MinText = 24

// maxText is the longest that a cluster takes.
const maxText = 16 << 10

// NewTexts makes texts of so many bytes; with a skew above 0 their sizes are log-normal with that deviation about size as their median,
// as the lengths of people's messages are.
func NewTexts(seed uint64, size int, skew float64) *Texts {
	return &Texts{size: size, skew: skew, seed: seed}
}

// letters are those of base64 in URLs.
const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// Text gives the text of message n of a chat. Its letters are as good as random and texts share no runs of them, so that nothing on the way or in
// the archive compresses them better than to three quarters.
func (t *Texts) Text(chat, n int) string {
	size := t.sizeOf(chat, n)
	b := make([]byte, 0, size+MinText)
	b = strconv.AppendInt(b, int64(chat), 10)
	b = append(b, '/')
	b = strconv.AppendInt(b, int64(n), 10)
	b = append(b, '/')
	for state := mix(t.seed ^ uint64(chat)<<32 ^ uint64(n)); len(b) < size; state++ {
		for bits, k := mix(state), 0; k < 10 && len(b) < size; k++ {
			b = append(b, letters[bits&63])
			bits >>= 6
		}
	}
	return string(b)
}

func (t *Texts) sizeOf(chat, n int) int {
	if t.skew <= 0 {
		return t.size
	}
	// Two uniform numbers give a normal one.
	bits := mix(t.seed ^ 0x9e37 ^ uint64(chat)<<32 ^ uint64(n))
	u, v := (float64(bits>>32)+1)/(1<<32+1), float64(bits&math.MaxUint32)/(1<<32)
	normal := math.Sqrt(-2*math.Log(u)) * math.Cos(2*math.Pi*v)
	return min(max(int(float64(t.size)*math.Exp(t.skew*normal)), MinText), maxText)
}

// mix spreads a number over all bits (splitmix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
