package delivery

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// tokenNames are the members of a token's head and claims that decide something here. encoding/json, which reads them, takes the last
// of two equal names and one that differs in case alone.
var (
	headNames  = []string{"alg", "kid", "crit"}
	claimNames = []string{"sub", "exp", "nbf", "iat", "iss", "aud", "jti"}
)

// checkTokenForm refuses what is not exactly one way to write a token: three parts of base64url with nothing between, and in the first
// two an object each, whose names are said once and as they are. It costs no more than the token is long.
func checkTokenForm(token string) error {
	head, rest, _ := strings.Cut(token, ".")
	claims, signature, ok := strings.Cut(rest, ".")
	if !ok || signature == "" || strings.ContainsFunc(token, isNoTokenRune) || strings.Contains(signature, ".") {
		return fmt.Errorf("%w: not three parts of base64url", errToken)
	}
	if err := checkTokenPart(head, headNames); err != nil {
		return err
	}
	return checkTokenPart(claims, claimNames)
}

func isNoTokenRune(r rune) bool {
	letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
	return !letter && r != '-' && r != '_' && r != '.'
}

func checkTokenPart(part string, names []string) error {
	text, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return fmt.Errorf("%w: %w", errToken, err)
	}
	obj, err := parseObject(text)
	if err != nil {
		return fmt.Errorf("%w: %w", errToken, err)
	}
	for _, m := range obj {
		alike := func(name string) bool { return name != m.key && strings.EqualFold(name, m.key) }
		if slices.ContainsFunc(names, alike) {
			return fmt.Errorf("%w: a name in another case", errToken)
		}
	}
	return checkTokenDates(obj)
}

// latestDate is where dates end, in seconds: in the year 33658. Beyond it arithmetic begins to wrap.
const latestDate = 1e12

// checkTokenDates wants dates to be numbers that are dates. The library takes text for numbers, and for any number some date.
func checkTokenDates(obj jsonObj) error {
	for _, name := range []string{"exp", "nbf", "iat"} {
		v, there := obj.get(name)
		if !there {
			continue
		}
		n, err := strconv.ParseFloat(string(v.raw), 64)
		if v.kind != jsonNumber || err != nil || n < 0 || n > latestDate {
			return fmt.Errorf("%w: %s is no date", errToken, name)
		}
	}
	return nil
}
