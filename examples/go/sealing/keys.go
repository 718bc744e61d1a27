// Package sealing seals Temporal payloads as docs/sealing.md says.
package sealing

import (
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

const keyBytes = 32

var keyID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,40}$`)

// Keys are those of POLICY_SYNC_KEYS: the first seals, every one opens.
type Keys struct {
	activeID string
	byID     map[string][]byte
}

// ParseKeys reads "id:base64-of-32-bytes[,id:base64…]". Its errors name an entry by its place, never by its text.
func ParseKeys(setting string) (*Keys, error) {
	if strings.TrimSpace(setting) == "" {
		return nil, errors.New("POLICY_SYNC_KEYS is empty: unset it to run without keys")
	}
	keys := &Keys{byID: map[string][]byte{}}
	for place, entry := range strings.Split(setting, ",") {
		id, encoded, found := strings.Cut(strings.TrimSpace(entry), ":")
		secret, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if !found || !keyID.MatchString(id) || err != nil || len(secret) != keyBytes {
			return nil, fmt.Errorf("POLICY_SYNC_KEYS: expected id:base64-of-32-bytes[,id:base64…], entry %d is not", place+1)
		}
		if _, known := keys.byID[id]; known {
			return nil, fmt.Errorf("POLICY_SYNC_KEYS: entry %d has an id used before", place+1)
		}
		if place == 0 {
			keys.activeID = id
		}
		keys.byID[id] = secret
	}
	return keys, nil
}
