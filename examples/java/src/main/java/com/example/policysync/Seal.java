package com.example.policysync;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.nio.ByteBuffer;
import java.security.GeneralSecurityException;
import java.security.SecureRandom;
import java.util.Arrays;
import javax.crypto.Cipher;
import javax.crypto.SecretKey;
import javax.crypto.spec.GCMParameterSpec;

/** AES-256-GCM as docs/sealing.md has it: version byte, nonce of 12 bytes, ciphertext, tag of 16 bytes. */
final class Seal {
  private static final byte VERSION = 1;
  private static final int NONCE_BYTES = 12;
  private static final int TAG_BYTES = 16;
  private static final int HEAD_BYTES = 1 + NONCE_BYTES;
  private static final SecureRandom RANDOM = new SecureRandom();

  private Seal() {}

  static byte[] seal(SecretKey key, byte[] plaintext, String associated) throws GeneralSecurityException {
    byte[] nonce = new byte[NONCE_BYTES];
    RANDOM.nextBytes(nonce);
    return sealWithNonce(key, nonce, plaintext, associated);
  }

  /** For tests only: a nonce used twice with one key gives both plaintexts away. */
  static byte[] sealWithNonce(SecretKey key, byte[] nonce, byte[] plaintext, String associated)
      throws GeneralSecurityException {
    byte[] ciphertextAndTag = cipher(Cipher.ENCRYPT_MODE, key, nonce, associated).doFinal(plaintext);
    return ByteBuffer.allocate(HEAD_BYTES + ciphertextAndTag.length)
        .put(VERSION)
        .put(nonce)
        .put(ciphertextAndTag)
        .array();
  }

  /**
   * Gives back what {@code seal} was given.
   *
   * @throws GeneralSecurityException when a single bit of the bytes, the key or {@code associated} differs
   */
  static byte[] open(SecretKey key, byte[] sealed, String associated) throws GeneralSecurityException {
    if (sealed.length < HEAD_BYTES + TAG_BYTES || sealed[0] != VERSION) {
      throw new GeneralSecurityException("these are no sealed bytes of version 1");
    }
    byte[] nonce = Arrays.copyOfRange(sealed, 1, HEAD_BYTES);
    return cipher(Cipher.DECRYPT_MODE, key, nonce, associated)
        .doFinal(sealed, HEAD_BYTES, sealed.length - HEAD_BYTES);
  }

  private static Cipher cipher(int mode, SecretKey key, byte[] nonce, String associated)
      throws GeneralSecurityException {
    Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
    cipher.init(mode, key, new GCMParameterSpec(8 * TAG_BYTES, nonce));
    cipher.updateAAD(associated.getBytes(UTF_8));
    return cipher;
  }
}
