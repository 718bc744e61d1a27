package com.example.policysync;

import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.regex.Pattern;
import javax.crypto.SecretKey;
import javax.crypto.spec.SecretKeySpec;

/** The keys of POLICY_SYNC_KEYS: {@code active} seals, every one opens. */
record Keys(String active, Map<String, SecretKey> byId) {
  private static final int KEY_BYTES = 32;
  private static final Pattern ID = Pattern.compile("[A-Za-z0-9._-]{1,40}");

  /**
   * Reads {@code id:base64-of-32-bytes[,id:base64…]}.
   *
   * @throws IllegalArgumentException naming a bad entry by its place, never by its text
   */
  static Keys parse(String setting) {
    if (setting.isBlank()) {
      throw new IllegalArgumentException("POLICY_SYNC_KEYS is empty: unset it to run without keys");
    }
    Map<String, SecretKey> byId = new LinkedHashMap<>();
    String[] entries = setting.split(",", -1);
    for (int place = 1; place <= entries.length; place++) {
      String[] parts = entries[place - 1].strip().split(":", 2);
      byte[] secret = parts.length == 2 && ID.matcher(parts[0]).matches() ? bytesOf(parts[1]) : new byte[0];
      if (secret.length != KEY_BYTES) {
        throw new IllegalArgumentException(
            "POLICY_SYNC_KEYS: expected id:base64-of-32-bytes[,id:base64…], entry " + place + " is not");
      }
      if (byId.put(parts[0], new SecretKeySpec(secret, "AES")) != null) {
        throw new IllegalArgumentException("POLICY_SYNC_KEYS: entry " + place + " has an id used before");
      }
    }
    return new Keys(byId.keySet().iterator().next(), byId);
  }

  private static byte[] bytesOf(String base64) {
    try {
      return Base64.getDecoder().decode(base64);
    } catch (IllegalArgumentException notBase64) {
      return new byte[0];
    }
  }
}
