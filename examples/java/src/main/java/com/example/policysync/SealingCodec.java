package com.example.policysync;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import io.temporal.api.common.v1.Payload;
import io.temporal.payload.codec.PayloadCodec;
import io.temporal.payload.codec.PayloadCodecException;
import java.security.GeneralSecurityException;
import java.util.List;
import javax.crypto.SecretKey;

/** Seals whole payloads, metadata included. */
final class SealingCodec implements PayloadCodec {
  static final String ENCODING = "encoding";
  static final String KEY_ID = "encryption-key-id";
  static final ByteString ENCRYPTED = ByteString.copyFromUtf8("binary/encrypted");
  private static final ByteString NOTHING = ByteString.copyFromUtf8("binary/null");
  private static final String ASSOCIATED = "policy-sync/payload";

  private final Keys keys;
  private final boolean allowPlain;

  /**
   * @param allowPlain takes payloads in the clear although there are keys (POLICY_SYNC_ALLOW_PLAIN=1)
   */
  SealingCodec(Keys keys, boolean allowPlain) {
    this.keys = keys;
    this.allowPlain = allowPlain;
  }

  @Override
  public List<Payload> encode(List<Payload> payloads) {
    return payloads.stream().map(this::seal).toList();
  }

  @Override
  public List<Payload> decode(List<Payload> payloads) {
    return payloads.stream().map(this::open).toList();
  }

  private Payload seal(Payload payload) {
    try {
      byte[] sealed = Seal.seal(keys.byId().get(keys.active()), payload.toByteArray(), ASSOCIATED);
      return Payload.newBuilder()
          .putMetadata(ENCODING, ENCRYPTED)
          .putMetadata(KEY_ID, ByteString.copyFromUtf8(keys.active()))
          .setData(ByteString.copyFrom(sealed))
          .build();
    } catch (GeneralSecurityException error) {
      throw new PayloadCodecException("a payload could not be sealed", error);
    }
  }

  private Payload open(Payload payload) {
    ByteString encoding = payload.getMetadataOrDefault(ENCODING, ByteString.EMPTY);
    if (!encoding.equals(ENCRYPTED)) {
      if (encoding.equals(NOTHING) || allowPlain) {
        return payload;
      }
      throw new PayloadCodecException("payload keys are set and a payload came in the clear");
    }
    String id = payload.getMetadataOrDefault(KEY_ID, ByteString.EMPTY).toStringUtf8();
    SecretKey key = keys.byId().get(id);
    if (key == null) {
      throw new PayloadCodecException(
          "no key \"" + id + "\" to open a payload: add it to POLICY_SYNC_KEYS, after the first");
    }
    try {
      return Payload.parseFrom(Seal.open(key, payload.getData().toByteArray(), ASSOCIATED));
    } catch (GeneralSecurityException | InvalidProtocolBufferException error) {
      throw new PayloadCodecException("a payload sealed with key \"" + id + "\" does not open", error);
    }
  }
}
