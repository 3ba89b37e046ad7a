package push

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

const (
	saltBytes   = 16
	authBytes   = 16
	keyBytes    = 65 // an uncompressed point of P-256
	recordBytes = 4096
	// maxSealedPlain is what fits into the one record that push services must take: less the head, the delimiter and AES-GCM's tag.
	maxSealedPlain = recordBytes - (saltBytes + 4 + 1 + keyBytes) - 1 - 16
)

// subscription is a browser's keys.
type subscription struct {
	key  *ecdh.PublicKey
	auth []byte
}

// parseSubscription takes the keys of a Web Push device: ErrBadDevice.
func parseSubscription(d *Device) (*subscription, error) {
	point, err := decodeKey(d.P256DH)
	if err != nil {
		return nil, fmt.Errorf("%w: p256dh is no base64url", ErrBadDevice)
	}
	key, err := ecdh.P256().NewPublicKey(point)
	if err != nil || len(point) != keyBytes {
		return nil, fmt.Errorf("%w: p256dh is no uncompressed point of P-256", ErrBadDevice)
	}
	auth, err := decodeKey(d.Auth)
	if err != nil || len(auth) != authBytes {
		return nil, fmt.Errorf("%w: auth must be %d bytes in base64url", ErrBadDevice, authBytes)
	}
	return &subscription{key, auth}, nil
}

// seal encrypts for the browser alone: aes128gcm (RFC 8188) with the keys of RFC 8291, in one record.
func (s *subscription) seal(plain []byte) ([]byte, error) {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	salt := make([]byte, saltBytes)
	if _, err := rand.Read(salt); err != nil {
		return nil, err
	}
	return s.sealWith(plain, key, salt)
}

// sealWith is seal without chance.
func (s *subscription) sealWith(plain []byte, key *ecdh.PrivateKey, salt []byte) ([]byte, error) {
	if len(plain) > maxSealedPlain {
		return nil, fmt.Errorf("push: %d bytes do not fit into a record", len(plain))
	}
	aead, nonce, err := s.cipher(key, salt)
	if err != nil {
		return nil, err
	}
	sealed := make([]byte, 0, recordBytes)
	sealed = append(sealed, salt...)
	sealed = binary.BigEndian.AppendUint32(sealed, recordBytes)
	sealed = append(sealed, keyBytes)
	sealed = append(sealed, key.PublicKey().Bytes()...)
	const last = 2 // the delimiter of the last record
	return aead.Seal(sealed, nonce, append(plain[:len(plain):len(plain)], last), nil), nil
}

func (s *subscription) cipher(key *ecdh.PrivateKey, salt []byte) (cipher.AEAD, []byte, error) {
	shared, err := key.ECDH(s.key)
	if err != nil {
		return nil, nil, err
	}
	info := "WebPush: info\x00" + string(s.key.Bytes()) + string(key.PublicKey().Bytes())
	ikm, err := hkdf.Key(sha256.New, shared, s.auth, info, 32)
	if err != nil {
		return nil, nil, err
	}
	contentKey, err := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: aes128gcm\x00", 16)
	if err != nil {
		return nil, nil, err
	}
	nonce, err := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return nil, nil, err
	}
	block, err := aes.NewCipher(contentKey)
	if err != nil {
		return nil, nil, err
	}
	aead, err := cipher.NewGCM(block)
	return aead, nonce, err
}
