package pushtest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// Open decrypts a message as RFC 8291 has it: one record of aes128gcm whose key id is the sender's public key. The derivation is
// written out in its single HMACs, so that it shares no step with whoever encrypts by a library's.
func (r Receiver) Open(message []byte) ([]byte, error) {
	const head = 16 + 4 + 1
	if len(message) < head {
		return nil, errors.New("the message has no head")
	}
	salt, size, idLen := message[:16], binary.BigEndian.Uint32(message[16:20]), int(message[20])
	if len(message) < head+idLen {
		return nil, errors.New("the message ends in its key")
	}
	id, record := message[head:head+idLen], message[head+idLen:]
	if uint64(len(record)) > uint64(size) || size < 18 {
		return nil, fmt.Errorf("a record of %d bytes where the head says %d", len(record), size)
	}
	sender, err := ecdh.P256().NewPublicKey(id)
	if err != nil {
		return nil, err
	}
	shared, err := r.Key.ECDH(sender)
	if err != nil {
		return nil, err
	}
	info := bytes.Join([][]byte{[]byte("WebPush: info\x00"), r.Key.PublicKey().Bytes(), sender.Bytes(), {1}}, nil)
	pseudo := mac(salt, mac(mac(r.Auth, shared), info))
	key := mac(pseudo, []byte("Content-Encoding: aes128gcm\x00\x01"))[:16]
	nonce := mac(pseudo, []byte("Content-Encoding: nonce\x00\x01"))[:12]
	return unseal(key, nonce, record)
}

func mac(key, data []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(data)
	return h.Sum(nil)
}

// unseal opens the only record, and takes the padding off: a 2 and zeros.
func unseal(key, nonce, record []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	padded, err := aead.Open(nil, nonce, record, nil)
	if err != nil {
		return nil, err
	}
	plain := bytes.TrimRight(padded, "\x00")
	if len(plain) == 0 || plain[len(plain)-1] != 2 {
		return nil, errors.New("the last record has no delimiter")
	}
	return plain[:len(plain)-1], nil
}
