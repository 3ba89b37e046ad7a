package delivery

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/quorate/quorate/sequencer/wire"
)

// maxTokenBytes bounds a token before anything in it is looked at.
const maxTokenBytes = 8 << 10

// tokenLeeway is how far the clocks of the issuer and of this edge may be apart.
const tokenLeeway = 30 * time.Second

// bearerProtocol is how a browser, which cannot set headers, offers its token: as a second subprotocol.
const bearerProtocol = "bearer."

// noAuthPrefix begins what --no-auth accepts in the place of a token.
const noAuthPrefix = "user:"

// errToken is why any token is refused. Clients are told no more than that.
var errToken = errors.New("token refused")

// identity is who a checked token speaks for.
type identity struct {
	user    string
	expires time.Time // zero: never
}

// authenticator checks tokens. It is safe for concurrent use.
type authenticator struct {
	keys   *tokenKeys
	noAuth bool
	parser *jwt.Parser
}

func newAuthenticator(keys *tokenKeys, cfg *Config, now func() time.Time) *authenticator {
	rules := []jwt.ParserOption{
		jwt.WithValidMethods(tokenMethods), // and each only with a key that is for it
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(tokenLeeway),
		jwt.WithStrictDecoding(),
		jwt.WithTimeFunc(now),
	}
	if cfg.JWTIssuer != "" {
		rules = append(rules, jwt.WithIssuer(cfg.JWTIssuer))
	}
	if cfg.JWTAudience != "" {
		rules = append(rules, jwt.WithAudience(cfg.JWTAudience))
	}
	return &authenticator{keys: keys, noAuth: cfg.NoAuth, parser: jwt.NewParser(rules...)}
}

// check tells whom a token speaks for. Every error wraps errToken.
func (a *authenticator) check(token string) (identity, error) {
	if len(token) == 0 || len(token) > maxTokenBytes {
		return identity{}, errToken
	}
	if user, ok := strings.CutPrefix(token, noAuthPrefix); ok && a.noAuth {
		if wire.CheckID("user", user) != nil {
			return identity{}, errToken
		}
		return identity{user: user}, nil
	}
	if err := checkTokenForm(token); err != nil {
		return identity{}, err
	}
	claims := jwt.RegisteredClaims{}
	parsed, err := a.parser.ParseWithClaims(token, &claims, a.keys.of)
	if err != nil {
		return identity{}, fmt.Errorf("%w: %w", errToken, err)
	}
	if _, critical := parsed.Header["crit"]; critical {
		return identity{}, fmt.Errorf("%w: critical extensions", errToken) // we know none
	}
	if err := wire.CheckID("sub", claims.Subject); err != nil {
		return identity{}, fmt.Errorf("%w: %w", errToken, err)
	}
	return identity{user: claims.Subject, expires: claims.ExpiresAt.Time}, nil
}

// ofHeader checks the Authorization header. Whether there is none, too many or a bad one is the same to the client. A
// token in the query string is refused even beside a good header: it ends up in logs.
func (a *authenticator) ofHeader(r *http.Request) (identity, error) {
	if tokenInQuery(r) {
		return identity{}, fmt.Errorf("%w: it came in the query string", errToken)
	}
	values := r.Header.Values("Authorization")
	if len(values) != 1 || len(values[0]) < 7 || !strings.EqualFold(values[0][:7], "Bearer ") {
		return identity{}, errToken
	}
	return a.check(values[0][7:])
}

func tokenInQuery(r *http.Request) bool {
	if r.URL.RawQuery == "" {
		return false
	}
	query := r.URL.Query()
	return query.Has("token") || query.Has("access_token")
}

// ofHandshake finds the token of a WebSocket handshake in the header or in a bearer subprotocol. offered is false where
// the handshake holds none, so that hello must bring it.
func (a *authenticator) ofHandshake(r *http.Request) (id identity, offered bool, err error) {
	if len(r.Header.Values("Authorization")) > 0 || tokenInQuery(r) {
		id, err = a.ofHeader(r)
		return id, true, err
	}
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for offer := range strings.SplitSeq(line, ",") {
			if token, ok := strings.CutPrefix(strings.TrimSpace(offer), bearerProtocol); ok {
				id, err = a.check(token)
				return id, true, err
			}
		}
	}
	return identity{}, false, nil
}

// tokenFault is what a client is told of a token that was not taken.
func tokenFault(err error) *problem {
	if errors.Is(err, errKeyUnknown) {
		return refuse(codeUnavailable, "the key of this token is not known here yet")
	}
	return refuse(codeUnauthenticated, "a valid token is required")
}

// badToken is tokenFault of a client whose address is held to it.
func (s *Server) badToken(from addressKey, err error) *problem {
	p := tokenFault(err)
	if p.code == codeUnauthenticated {
		s.addresses.failed(from)
	}
	return p
}

// SignToken makes a development token for user that expires after ttl from now on.
func SignToken(secret []byte, user string, ttl time.Duration) (string, error) {
	if err := wire.CheckID("user", user); err != nil {
		return "", err
	}
	if len(secret) == 0 || ttl <= 0 {
		return "", errors.New("a token needs a secret and a time to live above zero")
	}
	now := time.Now()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Subject:   user,
		IssuedAt:  jwt.NewNumericDate(now),
		ExpiresAt: jwt.NewNumericDate(now.Add(ttl)),
	}).SignedString(secret)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return token, nil
}

// CheckToken tells whom a token speaks for and when it expires, by the same rules as the edge.
func CheckToken(secret []byte, token string) (user string, expires time.Time, err error) {
	id, err := newAuthenticator(&tokenKeys{secret: secret}, &Config{}, time.Now).check(token)
	return id.user, id.expires, err
}
