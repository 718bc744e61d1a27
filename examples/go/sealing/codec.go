package sealing

import (
	"errors"
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"
)

const (
	encrypted  = "binary/encrypted"
	nothing    = "binary/null"
	keyIDName  = "encryption-key-id"
	associated = "policy-sync/payload"
)

// Codec seals whole payloads, metadata included.
type Codec struct {
	Keys *Keys
	// AllowPlain takes payloads in the clear although there are keys (POLICY_SYNC_ALLOW_PLAIN=1).
	AllowPlain bool
}

var _ converter.PayloadCodec = Codec{}

func (c Codec) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	return mapped(payloads, c.seal)
}

func (c Codec) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	return mapped(payloads, c.open)
}

func (c Codec) seal(payload *commonpb.Payload) (*commonpb.Payload, error) {
	plaintext, err := proto.Marshal(payload)
	if err != nil {
		return nil, err
	}
	sealed, err := Seal(c.Keys.byID[c.Keys.activeID], plaintext, associated)
	if err != nil {
		return nil, err
	}
	metadata := map[string][]byte{
		converter.MetadataEncoding: []byte(encrypted),
		keyIDName:                  []byte(c.Keys.activeID),
	}
	return &commonpb.Payload{Metadata: metadata, Data: sealed}, nil
}

func (c Codec) open(payload *commonpb.Payload) (*commonpb.Payload, error) {
	switch encoding := string(payload.GetMetadata()[converter.MetadataEncoding]); {
	case encoding == encrypted:
	case encoding == nothing || c.AllowPlain:
		return payload, nil
	default:
		return nil, errors.New("payload keys are set and a payload came in the clear")
	}
	id := string(payload.Metadata[keyIDName])
	key, known := c.Keys.byID[id]
	if !known {
		return nil, fmt.Errorf("no key %q to open a payload: add it to POLICY_SYNC_KEYS, after the first", id)
	}
	plaintext, err := Open(key, payload.Data, associated)
	if err != nil {
		return nil, fmt.Errorf("a payload sealed with key %q does not open: %w", id, err)
	}
	opened := &commonpb.Payload{}
	return opened, proto.Unmarshal(plaintext, opened)
}

func mapped(payloads []*commonpb.Payload, one func(*commonpb.Payload) (*commonpb.Payload, error)) ([]*commonpb.Payload, error) {
	result := make([]*commonpb.Payload, len(payloads))
	for i, payload := range payloads {
		var err error
		if result[i], err = one(payload); err != nil {
			return nil, err
		}
	}
	return result, nil
}
