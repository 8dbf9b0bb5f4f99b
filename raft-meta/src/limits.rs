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
/// Storage nodes of a cluster, in memory too.
pub const NODES_MAX_COUNT: usize = 4096;
/// Longest address that a node announces: a host name has 253 bytes.
pub const NODE_ADDRESS_MAX_BYTES: usize = 260;
/// Longest URL that a node announces: a scheme and an address.
pub const NODE_URL_MAX_BYTES: usize = NODE_ADDRESS_MAX_BYTES + 8;
/// Changes of the registry that a member keeps for those who follow it: some thousands. Who is further behind is sent all.
pub const REGISTRY_HISTORY_MAX_BYTES: usize = 4 << 20;
/// Rows of the registry in one message to those who follow it; the last may go beyond. The largest registry takes as many
/// messages as may wait for a reader.
pub const REGISTRY_PART_MAX_BYTES: usize = 1 << 20;
/// How often a member says to those who follow the registry that they know all that the cluster did a moment ago.
pub const REGISTRY_SIGN_MS: u64 = 1000;
/// How long it may take to learn that from the leader: a member that is cut off says so before a change is a second old.
pub const REGISTRY_BARRIER_MS: u64 = 1000;
/// Rows of a node that become part of the registry in one command.
pub const TAKE_OVER_MAX_BYTES: usize = 1 << 20;
/// Signing keys known at a time: rotation keeps two or three.
pub const KEYS_MAX_COUNT: usize = 16;
/// How long a signing key is published before it signs. A node that has not heard of the registry for ten minutes
/// refuses logins anyway, so every node that serves knows the key by then.
pub const KEY_AHEAD_S: u64 = 660;
/// How far clocks of members and nodes may differ.
pub const KEY_SKEW_S: u64 = 60;
/// Rejected changes kept of each log of a node: enough to find the cause, whatever a node sends.
pub const REJECTED_KEPT_MAX_COUNT: u64 = 1000;
/// Block cache of a member's rows.
pub const STORE_CACHE_BYTES: u64 = 256 << 20;
/// Rows gathered in memory before they are written out.
pub const STORE_MEMTABLE_BYTES: u64 = 64 << 20;
/// Entries of one page of the tree, in bytes: a millisecond of a shard or a member.
pub const LIST_PAGE_MAX_BYTES: usize = 64 << 10;
/// How long a page waits for changes that it has to show: part of the wire contract of nodes, with some room.
pub const LIST_PATIENCE_MAX_MS: u64 = 10_000;

/// Runs of rows compared in one request: some milliseconds of a member.
pub const COMPARE_SPANS_MAX_COUNT: usize = 4096;
/// Rows of one page of a run that differs, in bytes; the last row may go beyond.
pub const COMPARE_PAGE_MAX_BYTES: usize = 256 << 10;
/// Entries marked lost, all in memory too. A directory is one, with all that is below it.
pub const LOST_MAX_COUNT: usize = 100_000;
/// Entries marked lost in one command, or shown on one page.
pub const LOST_PAGE_MAX_COUNT: usize = 1000;
/// Header of a backup: the name of the cluster and two numbers.
pub const BACKUP_HEADER_MAX_BYTES: usize = 4096;
/// Backups that a member makes at a time: each keeps old rows on the disk.
pub const BACKUPS_MAX_COUNT: usize = 2;
/// A backup of which nothing was asked for so long is given up.
pub const BACKUP_SILENT_MAX_S: u64 = 60;
/// Entries of one page of what an operator asks for: some 2 KiB each at most.
pub const OPERATOR_PAGE_MAX_COUNT: usize = 1000;

const _: () = assert!(OPERATOR_PAGE_MAX_COUNT * 4 * DESCRIPTION_MAX_BYTES < FRAME_MAX_BYTES);
const _: () = assert!(ANSWER_MAX_S * 1000 > LIST_PATIENCE_MAX_MS && ANSWER_MAX_S > LEADER_PATIENCE_S);
const _: () = assert!(BARE_NAMES_MAX_COUNT >= ACCOUNTS_MAX_COUNT);

/// Length of a segment of the Raft log: made in some 10 ms when it is needed, holds 100 of the largest entries.
pub const LOG_SEGMENT_BYTES: u32 = 8 << 20;
/// A batch of the log takes no further record beyond this: one write of the disk, some 0.4 ms.
pub const LOG_BATCH_MAX_BYTES: usize = 1 << 20;
/// Payloads of entries kept in memory, for followers and for the state machine.
pub const LOG_CACHE_MAX_BYTES: usize = 32 << 20;

/// Longest command: the longest change of a node, and what it is sent with.
pub const COMMAND_MAX_BYTES: usize = filegrid_tree::CHANGE_MAX_BYTES + (64 << 10);
/// Commands join one entry up to this length; a longer one goes alone.
pub const ENTRY_TARGET_BYTES: usize = 256 << 10;
/// Commands of one entry.
pub const ENTRY_COMMANDS_MAX_COUNT: usize = 1024;
/// Entries on their way at a time: one is written while the one before is replicated.
pub const ENTRIES_IN_FLIGHT_MAX_COUNT: usize = 2;
/// Commands that wait to be proposed; whoever has more waits with it.
pub const COMMANDS_QUEUED_MAX_COUNT: usize = 4096;
/// Their bytes.
pub const COMMANDS_QUEUED_MAX_BYTES: usize = 32 << 20;
/// How long a command waits for a leader.
pub const LEADER_PATIENCE_S: u64 = 5;
/// A member that gives no answer for so long stands still, and another is asked: longer than it waits for anything itself.
pub const ANSWER_MAX_S: u64 = 12;
/// The same where members are changed: a new one has to catch up first.
pub const MEMBERS_CHANGE_MAX_S: u64 = 330;
/// Payload of one append request, unless one entry alone is longer.
pub const APPEND_MAX_BYTES: usize = 2 << 20;
/// Commands up to this length together are applied without handing the thread over: some 0.5 ms.
pub const APPLY_INLINE_MAX_BYTES: usize = 64 << 10;

/// Rows of one message of a snapshot.
pub const SNAPSHOT_CHUNK_MAX_BYTES: usize = 512 << 10;
/// Time for one message of a snapshot to be taken: a slow disk swaps directories in a fraction of it.
pub const SNAPSHOT_STEP_TIMEOUT_S: u64 = 60;

/// Longest body of a frame: an append request with its entries, the longest of what is sent.
pub const FRAME_MAX_BYTES: usize = 6 << 20;
/// Longest hello: all that a stranger can make us keep.
pub const HELLO_MAX_BYTES: usize = 1024;
/// Bodies up to this length are written together.
pub const FRAME_COPY_MAX_BYTES: usize = 16 << 10;
/// Room made for a read at least, and at most.
pub const READ_MIN_BYTES: usize = 4 << 10;
/// See [`READ_MIN_BYTES`].
pub const READ_MAX_BYTES: usize = 256 << 10;
/// Frames of a connection that wait to be written; whoever has more waits with it.
pub const FRAMES_QUEUED_MAX_COUNT: usize = 64;
/// Requests of a connection that are being answered.
pub const REQUESTS_QUEUED_MAX_COUNT: usize = 256;
/// Their bytes.
pub const REQUESTS_QUEUED_MAX_BYTES: usize = 8 << 20;
/// Items of a stream that its reader has not taken: one that is slower is ended and has to resume.
pub const WATCH_QUEUED_MAX_COUNT: usize = 256;
/// Connections of a member: nodes, members and operators, with room to spare.
pub const CONNECTIONS_MAX_COUNT: usize = 1024;
/// Connections that have not said who they are.
pub const HANDSHAKES_MAX_COUNT: usize = 64;
/// Time for a hello, TLS included.
pub const HANDSHAKE_TIMEOUT_S: u64 = 5;
/// Time to connect, TLS and welcome included.
pub const CONNECT_TIMEOUT_S: u64 = 3;
/// Pause after an attempt to connect that failed.
pub const RECONNECT_PAUSE_MS: u64 = 100;
/// A peer that acknowledges nothing for so long is gone.
pub const PEER_SILENT_MAX_S: u64 = 5;

/// Failed logins of other nodes that a member tells in one answer, and takes in one request.
pub const GUESSES_TOLD_MAX_COUNT: usize = 4096;
/// Failed logins that it remembers; beyond, the oldest are forgotten.
pub const GUESSES_KEPT_MAX_COUNT: usize = 65_536;
/// Time after which one is forgotten: the longest that one makes a client wait.
pub const GUESSES_KEPT_S: u64 = 300;

/// Connections that ask how a member is: some probes and scrapers. More are closed at once.
pub const PROBES_MAX_COUNT: usize = 16;
/// Longest head of such a request: they send some hundred bytes.
pub const PROBE_HEAD_MAX_BYTES: usize = 8 << 10;
/// Time for one, answer included: who is slower would keep others out.
pub const PROBE_TIMEOUT_S: u64 = 5;

const _: () = assert!(COMMAND_MAX_BYTES + COMMAND_MAX_BYTES / 4 < FRAME_MAX_BYTES);
const _: () = assert!(APPEND_MAX_BYTES + APPEND_MAX_BYTES / 2 < FRAME_MAX_BYTES);
const _: () = assert!(COMMAND_MAX_BYTES + (64 << 10) < LOG_SEGMENT_BYTES as usize);
const _: () = assert!(FRAME_MAX_BYTES <= REQUESTS_QUEUED_MAX_BYTES);
