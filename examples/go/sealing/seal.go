package sealing

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
)

const (
	version    = 1
	nonceBytes = 12
	tagBytes   = 16
)

// Seal encrypts with AES-256-GCM: version byte, nonce of 12 random bytes, ciphertext, tag of 16 bytes.
func Seal(key, plaintext []byte, associated string) ([]byte, error) {
	nonce := make([]byte, nonceBytes)
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return sealWithNonce(key, nonce, plaintext, associated)
}

func sealWithNonce(key, nonce, plaintext []byte, associated string) ([]byte, error) {
	gcm, err := newGCM(key)
	if err != nil {
		return nil, err
	}
	head := append([]byte{version}, nonce...)
	return gcm.Seal(head, nonce, plaintext, []byte(associated)), nil
}

// Open gives back what Seal was given; it fails when a single bit of the bytes, the key or `associated` differs.
func Open(key, sealed []byte, associated string) ([]byte, error) {
	if len(sealed) < 1+nonceBytes+tagBytes || sealed[0] != version {
		return nil, errors.New("these are no sealed bytes of version 1")
	}
	gcm, err := newGCM(key)
	if err != nil {
		return nil, err
	}
	return gcm.Open(nil, sealed[1:1+nonceBytes], sealed[1+nonceBytes:], []byte(associated))
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
