package delivery

import (
	"errors"
	"fmt"
)

// The decoder of everything that a client sends as JSON, bodies and frames alike. It is stricter than encoding/json where
// that guesses: a lone surrogate or broken UTF-8 is refused, not replaced; a key that comes twice is refused; keys are
// compared exactly; a number stays as it was written, so that 1.0 or 1e3 is never taken for a seq. It allocates in
// proportion to its input only, and looks at each byte a bounded number of times.

// maxJSONDepth is how deep objects and arrays may nest in what a client sends. Nothing in the API goes deeper than 2.
const maxJSONDepth = 32

// maxJSONMembers is how many members one object may have. The largest object of the API is a vector of cursors.
const maxJSONMembers = 4096

// errJSON is what every refusal by the decoder wraps: the input is not JSON, or not JSON that this API takes.
var errJSON = errors.New("bad JSON")

// jsonKind is the type of a JSON value.
type jsonKind byte

// The kinds of JSON value.
const (
	jsonNull jsonKind = iota
	jsonBool
	jsonNumber
	jsonString
	jsonArray
	jsonObject
)

func (k jsonKind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "an array", "an object"}[k]
}

// jsonValue is one value. Its bytes are those of the input, without the space around it.
type jsonValue struct {
	kind jsonKind
	raw  []byte
	str  string // the decoded text, of a jsonString
}

// jsonMember is one member of an object.
type jsonMember struct {
	key   string
	value jsonValue
}

// jsonObj is an object's members in the order of the input. No key comes twice.
type jsonObj []jsonMember

// get returns the value of key, or false where the object has none.
func (o jsonObj) get(key string) (jsonValue, bool) {
	for i := range o {
		if o[i].key == key {
			return o[i].value, true
		}
	}
	return jsonValue{}, false
}

// parseObject decodes data, which must be one JSON object and nothing else. The values keep pointing into data; strings
// are copies. Errors wrap errJSON.
func parseObject(data []byte) (jsonObj, error) {
	s := jsonScanner{data: data}
	obj, err := s.document()
	if err != nil {
		return nil, fmt.Errorf("%w: %w at byte %d", errJSON, err, s.pos)
	}
	return obj, nil
}

// parseElements decodes the elements of an array that parseObject found.
func parseElements(v jsonValue, most int) ([]jsonValue, error) {
	s := jsonScanner{data: v.raw}
	var out []jsonValue
	err := s.list('[', ']', func() error {
		e, err := s.value()
		if err != nil {
			return err
		}
		if len(out) == most {
			return errTooMany
		}
		out = append(out, e)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errJSON, err)
	}
	return out, nil
}

// The reasons of the scanner.
var (
	errNotObject  = errors.New("it is not an object")
	errSyntax     = errors.New("unexpected character")
	errEnds       = errors.New("it ends too early")
	errTrailing   = errors.New("something follows the object")
	errTooDeep    = errors.New("it nests too deep")
	errTooMany    = errors.New("it has too many elements")
	errTwice      = errors.New("a key comes twice")
	errUTF8       = errors.New("it is not valid UTF-8")
	errSurrogate  = errors.New("it holds half a surrogate pair")
	errControl    = errors.New("a string holds a control character")
	errEscape     = errors.New("unknown escape")
	errJSONNumber = errors.New("malformed number")
)
