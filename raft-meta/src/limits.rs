//! Every bound of the metadata cluster: unit in the name, reason beside it.

/// Longest `Username`: longer than any login name in use, short enough for a line of the FTP protocol.
pub const USERNAME_MAX_BYTES: usize = 128;
/// Longest description or name of anything in the registry.
pub const DESCRIPTION_MAX_BYTES: usize = 1024;
/// Longest public key, with its comment: RSA of 16,384 bits takes some 2,800.
pub const SSH_KEY_MAX_BYTES: usize = 8192;
/// Shortest RSA key that is accepted: below it a key is no longer a secret (NIST SP 800-131A).
pub const RSA_MIN_BITS: usize = 2048;
/// Longest RSA key that is accepted, as in OpenSSH: checking a signature takes time with the square of it.
pub const RSA_MAX_BITS: usize = 16_384;
/// Longest hash of a secret: argon2id's text form takes some 100.
pub const HASH_MAX_BYTES: usize = 512;
/// Longest AccessKey.
pub const ACCESS_KEY_MAX_BYTES: usize = 64;
/// FTP accounts of one association: every member and node keeps them in memory, some 500 bytes each.
pub const ACCOUNTS_MAX_COUNT: usize = 100_000;
/// Login names without `@` that one association holds or held. Beyond it new accounts log in with
/// `Username@AssociationKey` only, so that nobody can use up the names of a cluster.
pub const BARE_NAMES_MAX_COUNT: usize = 100_000;
/// API users of one association, in memory too.
pub const USERS_MAX_COUNT: usize = 10_000;
/// Associations of a cluster, in memory too.
pub const ASSOCIATIONS_MAX_COUNT: usize = 100_000;
/// Signing keys known at a time: rotation keeps two or three.
pub const KEYS_MAX_COUNT: usize = 16;
/// How long a signing key is published before it signs. A node that has not heard of the registry for ten minutes
/// refuses logins anyway, so every node that serves knows the key by then.
pub const KEY_AHEAD_S: u64 = 660;
/// How far clocks of members and nodes may differ.
pub const KEY_SKEW_S: u64 = 60;

const _: () = assert!(BARE_NAMES_MAX_COUNT >= ACCOUNTS_MAX_COUNT);
