package sealing

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/proto"
)

type vector struct {
	What       string
	KeyID      string `json:"key_id"`
	Key        string
	Nonce      string
	Associated string
	Payload    struct {
		Metadata map[string]string
		Data     string
	}
	Plaintext []byte `json:"plaintext_base64"`
	Sealed    []byte
}

func vectors(t *testing.T) []vector {
	t.Helper()
	page, err := os.ReadFile("../../../docs/sealing.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```json\n(.*?)```").FindSubmatch(page)
	var found []vector
	if err := json.Unmarshal(block[1], &found); err != nil || len(found) == 0 {
		t.Fatalf("no vectors in docs/sealing.md: %v", err)
	}
	return found
}

func bytesOf(t *testing.T, hexadecimal string) []byte {
	t.Helper()
	decoded, err := hex.DecodeString(hexadecimal)
	if err != nil {
		t.Fatal(err)
	}
	return decoded
}

func TestSealsTheBytesOfEveryVector(t *testing.T) {
	for _, v := range vectors(t) {
		sealed, err := sealWithNonce(bytesOf(t, v.Key), bytesOf(t, v.Nonce), v.Plaintext, v.Associated)
		if err != nil || string(sealed) != string(v.Sealed) {
			t.Errorf("%s: sealed %x, %v", v.Associated, sealed, err)
		}
	}
}

func TestOpensEveryVectorOnlyAsItIs(t *testing.T) {
	for _, v := range vectors(t) {
		key := bytesOf(t, v.Key)
		opened, err := Open(key, v.Sealed, v.Associated)
		if err != nil || string(opened) != string(v.Plaintext) {
			t.Errorf("%s: opened %q, %v", v.Associated, opened, err)
		}
		if _, err := Open(key, v.Sealed, v.Associated+"!"); err == nil {
			t.Errorf("%s: opened for another place", v.Associated)
		}
		v.Sealed[len(v.Sealed)-1] ^= 1
		if _, err := Open(key, v.Sealed, v.Associated); err == nil {
			t.Errorf("%s: opened although it was changed", v.Associated)
		}
	}
}

func TestTheCodecOpensThePayloadOfTheVectorAndWhatItSeals(t *testing.T) {
	v := vectors(t)[0]
	keys, err := ParseKeys(v.KeyID + ":" + base64.StdEncoding.EncodeToString(bytesOf(t, v.Key)))
	if err != nil {
		t.Fatal(err)
	}
	codec := Codec{Keys: keys}
	fromPage := &commonpb.Payload{
		Metadata: map[string][]byte{"encoding": []byte(encrypted), keyIDName: []byte(v.KeyID)},
		Data:     v.Sealed,
	}
	ours, err := codec.Encode([]*commonpb.Payload{{
		Metadata: map[string][]byte{"encoding": []byte(v.Payload.Metadata["encoding"])},
		Data:     []byte(v.Payload.Data),
	}})
	if err != nil {
		t.Fatal(err)
	}
	opened, err := codec.Decode([]*commonpb.Payload{fromPage, ours[0]})
	if err != nil {
		t.Fatal(err)
	}
	for _, payload := range opened {
		if string(payload.Data) != v.Payload.Data || !proto.Equal(payload, opened[0]) {
			t.Errorf("opened %v", payload)
		}
	}
}

func TestRefusesPayloadsInTheClear(t *testing.T) {
	keys, err := ParseKeys("k1:" + base64.StdEncoding.EncodeToString(make([]byte, keyBytes)))
	if err != nil {
		t.Fatal(err)
	}
	clear := []*commonpb.Payload{{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte("1")}}
	if _, err := (Codec{Keys: keys}).Decode(clear); err == nil {
		t.Error("taken though keys are set")
	}
	if _, err := (Codec{Keys: keys, AllowPlain: true}).Decode(clear); err != nil {
		t.Errorf("refused though allowed: %v", err)
	}
}

func TestRefusesBadKeysWithoutQuotingThem(t *testing.T) {
	good := "k1:" + base64.StdEncoding.EncodeToString(make([]byte, keyBytes))
	for _, bad := range []string{"", " ", "secret", "k1:secret", "k 1" + good[2:], good[:40], good + "," + good, good + ","} {
		if _, err := ParseKeys(bad); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
