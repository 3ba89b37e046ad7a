package wire

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Kind says what a Reply holds.
type Kind uint8

// The kinds of reply. RESP2 knows only the first five.
const (
	KindNull   Kind = iota // the zero Reply is null
	KindString             // simple, bulk or verbatim string, or a number too big for 64 bits
	KindError              // Err says which
	KindInt
	KindArray // or a set
	KindMap
	KindDouble
	KindBool
	KindPush // sent without a request; a client never hands one to its caller
)

// Reply is one value as a node sent it. It is immutable and safe for concurrent use. Its methods never panic: asked for
// what it does not hold, a Reply gives the zero value, or an error where the method returns one.
type Reply struct {
	kind  Kind
	text  string  // of strings and errors
	num   int64   // of ints; 0 or 1 of bools; the bits of doubles
	elems []Reply // of arrays; of maps key, value, key, value …
}

// errKind is what Uint and Int say about a reply of another kind; the sender broke the contract.
var errKind = errors.New("reply is not of the kind that was expected")

// Kind says what the reply holds.
func (r Reply) Kind() Kind { return r.kind }

// IsNull reports whether the reply is null, or was not there at all.
func (r Reply) IsNull() bool { return r.kind == KindNull }

// Err gives the error that the reply is: a *MovedError, or one that wraps the sentinel of its first word, ErrBadRequest for
// words that are not known here. It is nil for every reply that is not an error.
func (r Reply) Err() error {
	if r.kind != KindError {
		return nil
	}
	return ErrorOf(r.text)
}

// Str gives the text of a string, "" for other kinds.
func (r Reply) Str() string {
	if r.kind != KindString {
		return ""
	}
	return r.text
}

// Int gives an integer, also one that was sent as the text of a string.
func (r Reply) Int() (int64, error) {
	switch r.kind {
	case KindInt, KindBool:
		return r.num, nil
	case KindString:
		n, err := strconv.ParseInt(r.text, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%w: not an integer", errKind)
		}
		return n, nil
	}
	return 0, fmt.Errorf("%w: not an integer", errKind)
}

// Uint gives an integer that is not negative, also one that was sent as the text of a string.
func (r Reply) Uint() (uint64, error) {
	switch {
	case r.kind == KindInt && r.num >= 0, r.kind == KindBool:
		return uint64(r.num), nil
	case r.kind == KindString:
		n, err := strconv.ParseUint(r.text, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%w: not an unsigned integer", errKind)
		}
		return n, nil
	}
	return 0, fmt.Errorf("%w: not an unsigned integer", errKind)
}

// Num is Uint for those to whom a missing number is 0.
func (r Reply) Num() uint64 {
	n, err := r.Uint()
	if err != nil {
		return 0
	}
	return n
}

// Float gives a double; an integer is one too.
func (r Reply) Float() (float64, error) {
	switch r.kind {
	case KindDouble:
		return math.Float64frombits(uint64(r.num)), nil
	case KindInt:
		return float64(r.num), nil
	}
	return 0, fmt.Errorf("%w: not a double", errKind)
}

// Bool gives a boolean; RESP2 sends 0 and 1 for it.
func (r Reply) Bool() bool { return (r.kind == KindBool || r.kind == KindInt) && r.num != 0 }

// Elems gives the elements of an array; of a map key, value, key, value … as RESP2 has it. The caller must not change them.
func (r Reply) Elems() []Reply { return r.elems }

// Field gives the value of a field of a map, or of an array that lists key, value, key, value …; null where there is none.
func (r Reply) Field(name string) Reply {
	for i := 0; i+1 < len(r.elems); i += 2 {
		if key := &r.elems[i]; key.kind == KindString && key.text == name {
			return r.elems[i+1]
		}
	}
	return Reply{}
}

// String gives the text of a string or error, and a readable form of all else.
func (r Reply) String() string {
	switch r.kind {
	case KindNull:
		return ""
	case KindInt:
		return strconv.FormatInt(r.num, 10)
	case KindDouble:
		return strconv.FormatFloat(math.Float64frombits(uint64(r.num)), 'g', -1, 64)
	case KindBool:
		return strconv.FormatBool(r.num != 0)
	case KindArray, KindMap, KindPush:
		parts := make([]string, len(r.elems))
		for i := range r.elems {
			parts[i] = r.elems[i].String()
		}
		return "[" + strings.Join(parts, " ") + "]"
	}
	return r.text
}
