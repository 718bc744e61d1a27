package com.example.policysync;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.protobuf.ByteString;
import io.temporal.api.common.v1.Payload;
import io.temporal.payload.codec.PayloadCodecException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.crypto.SecretKey;
import javax.crypto.spec.SecretKeySpec;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class SealingTest {
  private static final String GOOD = "k1:" + Base64.getEncoder().encodeToString(new byte[32]);
  private static List<Vector> vectors;

  record Clear(Map<String, String> metadata, String data) {}

  record Vector(
      String what,
      @JsonProperty("key_id") String keyId,
      String key,
      String nonce,
      String associated,
      Clear payload,
      @JsonProperty("plaintext_base64") byte[] plaintext,
      byte[] sealed) {
    SecretKey secret() {
      return new SecretKeySpec(HexFormat.of().parseHex(key), "AES");
    }
  }

  @BeforeAll
  static void readVectors() throws IOException {
    Matcher block =
        Pattern.compile("```json\n(.*?)```", Pattern.DOTALL)
            .matcher(Files.readString(Path.of("../../docs/sealing.md")));
    assertTrue(block.find(), "no vectors in docs/sealing.md");
    ObjectMapper json = new ObjectMapper().disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES);
    vectors = List.of(json.readValue(block.group(1), Vector[].class));
    assertFalse(vectors.isEmpty());
  }

  static List<Vector> vectors() {
    return vectors;
  }

  @ParameterizedTest
  @MethodSource("vectors")
  void sealsTheBytesOfEveryVector(Vector vector) throws GeneralSecurityException {
    byte[] nonce = HexFormat.of().parseHex(vector.nonce());
    assertArrayEquals(
        vector.sealed(),
        Seal.sealWithNonce(vector.secret(), nonce, vector.plaintext(), vector.associated()));
  }

  @ParameterizedTest
  @MethodSource("vectors")
  void opensEveryVectorOnlyAsItIs(Vector vector) throws GeneralSecurityException {
    assertArrayEquals(vector.plaintext(), Seal.open(vector.secret(), vector.sealed(), vector.associated()));
    assertThrows(
        GeneralSecurityException.class,
        () -> Seal.open(vector.secret(), vector.sealed(), vector.associated() + "!"));
    byte[] changed = vector.sealed().clone();
    changed[changed.length - 1] ^= 1;
    assertThrows(
        GeneralSecurityException.class, () -> Seal.open(vector.secret(), changed, vector.associated()));
  }

  @Test
  void theCodecOpensThePayloadOfTheVectorAndWhatItSeals() {
    Vector vector = vectors.stream().filter(one -> one.what().equals("payload")).findFirst().orElseThrow();
    String key = Base64.getEncoder().encodeToString(vector.secret().getEncoded());
    SealingCodec codec = new SealingCodec(Keys.parse(vector.keyId() + ":" + key), false);
    Payload fromPage =
        Payload.newBuilder()
            .putMetadata(SealingCodec.ENCODING, SealingCodec.ENCRYPTED)
            .putMetadata(SealingCodec.KEY_ID, ByteString.copyFromUtf8(vector.keyId()))
            .setData(ByteString.copyFrom(vector.sealed()))
            .build();
    Payload.Builder wanted = Payload.newBuilder().setData(ByteString.copyFromUtf8(vector.payload().data()));
    vector.payload().metadata().forEach((name, value) -> wanted.putMetadata(name, ByteString.copyFromUtf8(value)));
    Payload ours = codec.encode(List.of(wanted.build())).get(0);
    assertEquals(List.of(wanted.build(), wanted.build()), codec.decode(List.of(fromPage, ours)));
  }

  @Test
  void refusesPayloadsInTheClearUnlessTheyAreAllowed() {
    ByteString json = ByteString.copyFromUtf8("json/plain");
    List<Payload> clear = List.of(Payload.newBuilder().putMetadata(SealingCodec.ENCODING, json).build());
    Keys keys = Keys.parse(GOOD);
    assertThrows(PayloadCodecException.class, () -> new SealingCodec(keys, false).decode(clear));
    assertEquals(clear, new SealingCodec(keys, true).decode(clear));
  }

  @ParameterizedTest
  @ValueSource(strings = {"", " ", "secret", "k1:secret", "k 1:AAAA", "GOOD,GOOD", "GOOD,"})
  void refusesBadKeysWithoutQuotingThem(String bad) {
    String setting = bad.replace("GOOD", GOOD);
    Exception refused = assertThrows(IllegalArgumentException.class, () -> Keys.parse(setting));
    assertTrue(refused.getMessage().startsWith("POLICY_SYNC_KEYS"));
    assertFalse(refused.getMessage().contains("secret"));
  }
}
