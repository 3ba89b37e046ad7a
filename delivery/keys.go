package delivery

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

const (
	minRSABits  = 2048
	maxKeys     = 64 // of one file or key set
	maxKeyTries = 4  // keys that one token is checked with
)

// TokenKey is a public key that tokens are checked with. What kind of key it is decides the algorithm: never the token.
type TokenKey struct {
	id  string // the kid of tokens it is for; "" for any
	alg string
	key any
}

// ParseTokenKeys reads public keys: PEM blocks (PUBLIC KEY, CERTIFICATE), or a JSON Web Key Set (RFC 7517). RSA of 2048 bits or
// more is for RS256, P-256 for ES256, Ed25519 for EdDSA.
func ParseTokenKeys(file []byte) ([]TokenKey, error) {
	var keys []TokenKey
	var err error
	if body := bytes.TrimSpace(file); len(body) > 0 && body[0] == '{' {
		keys, err = parseKeySet(body)
	} else {
		keys, err = parsePEM(body)
	}
	switch {
	case err != nil:
		return nil, err
	case len(keys) == 0:
		return nil, errors.New("no key for tokens: there is neither PEM nor a JSON Web Key Set with one")
	case len(keys) > maxKeys:
		return nil, fmt.Errorf("%d keys for tokens, at most %d", len(keys), maxKeys)
	}
	return keys, nil
}

func parsePEM(body []byte) (keys []TokenKey, err error) {
	for len(bytes.TrimSpace(body)) > 0 {
		block, rest := pem.Decode(body)
		if block == nil {
			return nil, errors.New("a key for tokens is not PEM")
		}
		body = rest
		var public any
		switch block.Type {
		case "PUBLIC KEY":
			public, err = x509.ParsePKIXPublicKey(block.Bytes)
		case "CERTIFICATE":
			var cert *x509.Certificate
			if cert, err = x509.ParseCertificate(block.Bytes); err == nil {
				public = cert.PublicKey
			}
		default:
			err = fmt.Errorf("a PEM block %q is neither a public key nor a certificate", block.Type)
		}
		if err != nil {
			return nil, fmt.Errorf("read a key for tokens: %w", err)
		}
		key, err := newTokenKey("", public)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// parseKeySet takes the keys of a set that are for signatures by an algorithm that is known here. A set may have others.
func parseKeySet(body []byte) (keys []TokenKey, err error) {
	var set jwkset.JWKSMarshal
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, fmt.Errorf("read a key set: %w", err)
	}
	for _, m := range set.Keys {
		if m.USE != "" && m.USE != jwkset.UseSig {
			continue
		}
		jwk, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err != nil {
			continue
		}
		key, err := newTokenKey(m.KID, jwk.Key())
		if err == nil && (m.ALG == "" || m.ALG.String() == key.alg) {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

func newTokenKey(id string, public any) (TokenKey, error) {
	key := TokenKey{id: id, key: public}
	switch k := public.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < minRSABits {
			return key, fmt.Errorf("an RSA key of %d bits is too weak for tokens: %d at least", k.N.BitLen(), minRSABits)
		}
		key.alg = jwt.SigningMethodRS256.Alg()
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return key, fmt.Errorf("a key on %s is not one for tokens: P-256 is", k.Curve.Params().Name)
		}
		key.alg = jwt.SigningMethodES256.Alg()
	case ed25519.PublicKey:
		key.alg = jwt.SigningMethodEdDSA.Alg()
	default:
		return key, fmt.Errorf("a key of type %T is not one for tokens", public)
	}
	return key, nil
}

// tokenKeys are the keys of an edge: the shared secret, those that it was given, and those of a key set elsewhere.
type tokenKeys struct {
	secret []byte
	given  []TokenKey
	remote *remoteKeys // nil for none
}

// tokenMethods are the algorithms that a key can be for.
var tokenMethods = []string{
	jwt.SigningMethodHS256.Alg(), jwt.SigningMethodRS256.Alg(), jwt.SigningMethodES256.Alg(), jwt.SigningMethodEdDSA.Alg(),
}

// errKeyUnknown says that a token names a key that is not known here, and that the key set is being read again.
var errKeyUnknown = errors.New("the token's key is not known yet")

// of gives the keys that may have signed a token: of its algorithm, and with its kid where it names one.
func (k *tokenKeys) of(token *jwt.Token) (any, error) {
	alg := token.Method.Alg()
	if alg == jwt.SigningMethodHS256.Alg() {
		if len(k.secret) == 0 {
			return nil, errToken
		}
		return k.secret, nil
	}
	id, named := token.Header["kid"].(string)
	if _, there := token.Header["kid"]; there && (!named || id == "") {
		return nil, fmt.Errorf("%w: a kid that is no text", errToken)
	}
	candidates := k.given
	if k.remote != nil {
		candidates = slices.Concat(candidates, k.remote.keys())
	}
	var fit jwt.VerificationKeySet
	for _, c := range candidates {
		if c.alg == alg && (c.id == id || c.id == "" || !named) && len(fit.Keys) < maxKeyTries {
			fit.Keys = append(fit.Keys, c.key)
		}
	}
	if len(fit.Keys) > 0 {
		return fit, nil
	}
	if k.remote != nil && k.remote.missed() {
		return nil, errKeyUnknown
	}
	return nil, errToken
}
