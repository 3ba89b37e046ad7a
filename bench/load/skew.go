package load

import (
	"math"
	"math/rand/v2"
	"sort"
)

// Skew picks some of n far more often than others, as people and chats are active: number i with a weight of 1/(i+1)^s. s 0 is evenly.
type Skew struct {
	sums []float64
}

// NewSkew weighs n numbers.
func NewSkew(n int, s float64) *Skew {
	k := &Skew{sums: make([]float64, n)}
	total := 0.0
	for i := range k.sums {
		total += math.Pow(float64(i+1), -s)
		k.sums[i] = total
	}
	return k
}

// Pick gives a number.
func (k *Skew) Pick(random *rand.Rand) int {
	at := random.Float64() * k.sums[len(k.sums)-1]
	return min(sort.SearchFloat64s(k.sums, at), len(k.sums)-1)
}

// Random is what a part of a run draws from: it follows from the seed and the part's number.
func Random(seed uint64, part int) *rand.Rand {
	return rand.New(rand.NewPCG(seed, mix(uint64(part))))
}
