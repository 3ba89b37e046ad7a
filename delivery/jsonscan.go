package delivery

import (
	"unicode/utf16"
	"unicode/utf8"
)

// jsonScanner walks over one JSON document. pos never goes back, so the work is in proportion to the input.
type jsonScanner struct {
	data  []byte
	pos   int
	depth int
}

func (s *jsonScanner) document() (jsonObj, error) {
	if !utf8.Valid(s.data) {
		return nil, errUTF8
	}
	if s.space(); s.pos == len(s.data) || s.data[s.pos] != '{' {
		return nil, errNotObject
	}
	obj, err := s.object(true)
	if err != nil {
		return nil, err
	}
	if s.space(); s.pos != len(s.data) {
		return nil, errTrailing
	}
	return obj, nil
}

func (s *jsonScanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// take steps over c, or says what is wrong.
func (s *jsonScanner) take(c byte) error {
	if s.pos == len(s.data) {
		return errEnds
	}
	if s.data[s.pos] != c {
		return errSyntax
	}
	s.pos++
	return nil
}

// list steps over open, elements parted by commas, and shut, calling element at the start of each.
func (s *jsonScanner) list(open, shut byte, element func() error) error {
	if s.depth++; s.depth > maxJSONDepth {
		return errTooDeep
	}
	if err := s.take(open); err != nil {
		return err
	}
	if s.space(); s.pos < len(s.data) && s.data[s.pos] == shut {
		s.pos++
		s.depth--
		return nil
	}
	for {
		s.space()
		if err := element(); err != nil {
			return err
		}
		s.space()
		if s.pos < len(s.data) && s.data[s.pos] == ',' {
			s.pos++
			continue
		}
		s.depth--
		return s.take(shut)
	}
}

// object scans an object; it keeps the members only where it is told to, which is at the top.
func (s *jsonScanner) object(keep bool) (jsonObj, error) {
	var obj jsonObj
	seen := map[string]struct{}(nil)
	err := s.list('{', '}', func() error {
		key, err := s.text()
		if err != nil {
			return err
		}
		s.space()
		if err := s.take(':'); err != nil {
			return err
		}
		s.space()
		v, err := s.value()
		if err != nil || !keep {
			return err
		}
		if len(obj) == maxJSONMembers {
			return errTooMany
		}
		if seen, err = addKey(seen, obj, key); err != nil {
			return err
		}
		obj = append(obj, jsonMember{key, v})
		return nil
	})
	return obj, err
}

// addKey refuses a key that obj has. Small objects are searched; a set is made only for larger ones.
func addKey(seen map[string]struct{}, obj jsonObj, key string) (map[string]struct{}, error) {
	if len(obj) < 16 {
		if _, twice := obj.get(key); twice {
			return seen, errTwice
		}
		return seen, nil
	}
	if seen == nil {
		seen = make(map[string]struct{}, 64)
		for _, m := range obj {
			seen[m.key] = struct{}{}
		}
	}
	if _, twice := seen[key]; twice {
		return seen, errTwice
	}
	seen[key] = struct{}{}
	return seen, nil
}

func (s *jsonScanner) value() (jsonValue, error) {
	if s.pos == len(s.data) {
		return jsonValue{}, errEnds
	}
	start := s.pos
	v, err := s.bare()
	v.raw = s.data[start:s.pos]
	return v, err
}

func (s *jsonScanner) bare() (v jsonValue, err error) {
	switch c := s.data[s.pos]; c {
	case '{':
		v.kind = jsonObject
		_, err = s.object(false)
	case '[':
		v.kind = jsonArray
		err = s.list('[', ']', func() error {
			_, err := s.value()
			return err
		})
	case '"':
		v.kind = jsonString
		v.str, err = s.text()
	case 't':
		v.kind, err = jsonBool, s.word("true")
	case 'f':
		v.kind, err = jsonBool, s.word("false")
	case 'n':
		v.kind, err = jsonNull, s.word("null")
	default:
		v.kind, err = jsonNumber, s.number()
	}
	return v, err
}

func (s *jsonScanner) word(w string) error {
	for i := range len(w) {
		if err := s.take(w[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *jsonScanner) digits() bool {
	start := s.pos
	for s.pos < len(s.data) && s.data[s.pos] >= '0' && s.data[s.pos] <= '9' {
		s.pos++
	}
	return s.pos > start
}

func (s *jsonScanner) at(set string) bool {
	for i := range len(set) {
		if s.pos < len(s.data) && s.data[s.pos] == set[i] {
			return true
		}
	}
	return false
}

// number steps over a number as RFC 8259 writes it. Its value is not computed.
func (s *jsonScanner) number() error {
	if s.at("-") {
		s.pos++
	}
	if s.at("0") {
		s.pos++
	} else if !s.digits() {
		return errSyntax
	}
	if s.at(".") {
		if s.pos++; !s.digits() {
			return errJSONNumber
		}
	}
	if s.at("eE") {
		s.pos++
		if s.at("+-") {
			s.pos++
		}
		if !s.digits() {
			return errJSONNumber
		}
	}
	return nil
}

// text decodes a string. Text without escapes is one copy of the input.
func (s *jsonScanner) text() (string, error) {
	if err := s.take('"'); err != nil {
		return "", err
	}
	start := s.pos
	for ; s.pos < len(s.data); s.pos++ {
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			return string(s.data[start : s.pos-1]), nil
		case c == '\\':
			return s.escaped(append([]byte(nil), s.data[start:s.pos]...))
		case c < 0x20:
			return "", errControl
		}
	}
	return "", errEnds
}

// escaped decodes the rest of a string whose beginning is in out.
func (s *jsonScanner) escaped(out []byte) (string, error) {
	for s.pos < len(s.data) {
		c := s.data[s.pos]
		s.pos++
		switch {
		case c == '"':
			return string(out), nil
		case c < 0x20:
			return "", errControl
		case c != '\\':
			out = append(out, c)
		default:
			r, err := s.escape()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
		}
	}
	return "", errEnds
}

// escape decodes what follows a backslash. Two surrogates that belong together are one rune; one alone is an error.
func (s *jsonScanner) escape() (rune, error) {
	if s.pos == len(s.data) {
		return 0, errEnds
	}
	c := s.data[s.pos]
	s.pos++
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		return s.unicode()
	}
	return 0, errEscape
}

func (s *jsonScanner) unicode() (rune, error) {
	r, err := s.hex4()
	if err != nil || !utf16.IsSurrogate(r) {
		return r, err
	}
	if s.word(`\u`) != nil {
		return 0, errSurrogate
	}
	low, err := s.hex4()
	if err != nil {
		return 0, err
	}
	if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
		return 0, errSurrogate
	}
	return r, nil
}

func (s *jsonScanner) hex4() (rune, error) {
	if len(s.data)-s.pos < 4 {
		return 0, errEnds
	}
	var r rune
	for _, c := range s.data[s.pos : s.pos+4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, errEscape
		}
	}
	s.pos += 4
	return r, nil
}
