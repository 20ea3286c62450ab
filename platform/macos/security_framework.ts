/**
 * The two things that `/usr/bin/security` cannot do and the Security framework can: sign with a
 * key in a keychain, and tell whether a keychain is open without asking anybody.
 */

/** A private key in a keychain. */
export interface KeychainKey {
  /** Absolute path of the keychain. */
  keychain: string;
  /** SHA-1 of the public key's bits, lower-case hexadecimal. */
  label: string;
  kind: "P-256" | "RSA";
}

/** What is asked of the framework; it never shows a dialog. */
export interface SecurityFramework {
  /** Whether the keychain is there and locked. */
  isLocked(keychain: string): boolean;
  /**
   * Signs `message` (not its digest) with SHA-256: ECDSA in DER (RFC 3279, 2.2.3), or RSA
   * PKCS#1 v1.5.
   *
   * @throws KeyAccessLost when this program may not use the key (any more)
   * @throws Problem `internal` when the key is not there
   */
  sign(key: KeychainKey, message: Uint8Array): Uint8Array;
}
