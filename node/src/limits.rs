//! Every bound of the node: unit in the name, reason beside it.

/// Longest path of the tree, as in the wire contract (PATH_MAX of common clients).
pub const PATH_MAX_BYTES: usize = 4096;
/// Longest name in a directory, as in the wire contract (NAME_MAX of common filesystems).
pub const NAME_MAX_BYTES: usize = 255;

/// Blocks of `O_DIRECT`: offset, length and memory are multiples of it. 4 KiB serves every disk in use.
pub use filegrid_journal::BLOCK_BYTES;
/// Blobs up to this many bytes are records of the log, larger ones files. Measured: up to 512 KiB the log is
/// faster, but beyond 128 KiB the gain shrinks while compaction has more to carry.
pub const INLINE_MAX_BYTES: usize = 128 << 10;
/// A batch of the log is closed once it has gathered this much. Measured: four writes of 256 KiB at a time are as fast
/// as two of 1 MiB, and their answers come one after another instead of all at once.
pub const BATCH_TARGET_BYTES: usize = 256 << 10;
/// Batches of the log that may wait for the disk before blobs that are staged have to wait too: with those being written,
/// what a log keeps in memory.
pub const BACKLOG_MAX_BATCHES: usize = 8;
/// Segments that are kept for use beyond those that are to be ready; more go back to the filesystem, for large blobs.
pub const READY_SPARE_SEGMENTS: usize = 8;
/// Longest change: what one record of the log may hold beside inline blobs.
pub const CHANGE_MAX_BYTES: usize = 4 << 20;

/// Largest buffer of one transfer: beyond it throughput no longer grows (measured).
pub const TRANSFER_BUFFER_MAX_BYTES: usize = 1 << 20;
/// Buffer of a transfer that has not yet shown that it is fast.
pub const TRANSFER_BUFFER_MIN_BYTES: usize = 64 << 10;

/// Longest request head: method, target and all fields.
pub const HEAD_MAX_BYTES: usize = 32 << 10;
/// Most header fields of a request.
pub const HEADER_MAX_COUNT: usize = 100;
/// Longest request target: a path of `PATH_MAX_BYTES` with every byte percent-encoded, and a little more.
pub const TARGET_MAX_BYTES: usize = 3 * PATH_MAX_BYTES + 1024;
/// Longest body of a login, which anybody may send: three keys of some 100 bytes, and room to spare.
pub const LOGIN_BODY_MAX_BYTES: usize = 4 << 10;
/// Longest JSON or form body. A `Filelist` of 10,000 average paths fits.
pub const REQUEST_BODY_MAX_BYTES: usize = 4 << 20;

/// Most parts of one upload: what one change can hold.
pub const PARTS_MAX_COUNT: usize = 10_000;
/// Longest name of a form's field: kept for every file of an upload until all of it is there.
pub const FIELD_NAME_MAX_BYTES: usize = 255;
/// Most bytes before the first and behind the last boundary of a form: they mean nothing.
pub const FORM_AROUND_MAX_BYTES: usize = 64 << 10;
/// Longest head of a part.
pub const PART_HEAD_MAX_BYTES: usize = 16 << 10;
/// Most white space between a boundary and the end of its line (RFC 2046 §5.1.1 sets no limit, nobody sends any).
pub const PART_PADDING_MAX_BYTES: usize = 256;
/// Longest `meta` field of an upload: a mapping of `PARTS_MAX_COUNT` parts fits.
pub const META_MAX_BYTES: usize = 4 << 20;
/// Longest boundary, RFC 2046 §5.1.1.
pub const BOUNDARY_MAX_BYTES: usize = 70;

const _: () = assert!(INLINE_MAX_BYTES < BATCH_TARGET_BYTES);
const _: () = assert!(TARGET_MAX_BYTES < HEAD_MAX_BYTES);
const _: () = assert!(TRANSFER_BUFFER_MAX_BYTES.is_multiple_of(BLOCK_BYTES));

/// Aligned memory that a thread keeps for its next buffers: two fast uploads, or a burst of small ones.
pub const SPARE_BUFFERS_MAX_BYTES: usize = 4 << 20;
/// Pieces of it: they are searched one by one.
pub const SPARE_BUFFERS_MAX_COUNT: usize = 64;

/// How often deadlines of connections are looked at: coarse, so that a request sets no timer.
pub const SWEEP_INTERVAL_MS: u64 = 250;
/// Time for connections that were cut off at a stop to take away what they had stored.
pub const CUT_OFF_GRACE_MS: u64 = 1000;
/// When clients of a node that stops are told to come again: what a restart takes.
pub const DRAIN_RETRY_S: u64 = 5;
/// When clients are told to come again that found no ids left: each minute a shard tries to get more.
pub const IDS_RETRY_S: u64 = 60;
/// First buffer of a TLS connection that is not idle: the longest record fits.
pub const TLS_BUFFER_MIN_BYTES: usize = 20 << 10;
/// Largest buffer of a TLS connection, either direction: fewer calls, and it stays in the cache (measured). What is read
/// of a file at a time fits when it is sealed, so that it goes out in one call.
pub const TLS_BUFFER_MAX_BYTES: usize = COLD_READ_BYTES + (4 << 10);
/// Most that is kept of a peer's handshake: a greeting with post-quantum keys takes some 2 KiB; the longest record fits.
pub const TLS_HANDSHAKE_MAX_BYTES: usize = 20 << 10;
/// Records in a row that hold no data: a change of keys costs us some microseconds, and no client needs many.
pub const TLS_EMPTY_RECORDS_MAX_COUNT: u32 = 32;
/// Sessions kept for clients that know no tickets: some 300 bytes each.
pub const TLS_SESSIONS_MAX_COUNT: usize = 10_000;
/// Bytes that one connection moves without a wait before others have their turn: some 200 microseconds.
pub const RUN_MAX_BYTES: u64 = 1 << 20;
/// Pause after a failed accept, so that a lack of descriptors does not spin.
pub const ACCEPT_RETRY_MS: u64 = 50;
/// First buffer of a request; a head and a small body fit.
pub const CONNECTION_BUFFER_BYTES: usize = 16 << 10;
/// Unread rest of a request body that is read and dropped to keep the connection; more is cheaper to reconnect.
pub const UNREAD_BODY_MAX_BYTES: u64 = 256 << 10;
/// What is read and dropped after the last reply, so that a client still sending gets to read it.
pub const LINGER_MAX_BYTES: u64 = 4 << 20;
/// Small changes in a row for another shard after which a connection moves there.
pub const HANDOFF_AFTER_COUNT: u32 = 4;
/// Block cache of the local tree.
pub const TREE_CACHE_BYTES: u64 = 256 << 20;
/// Rows gathered in memory before the local tree writes them out.
pub const TREE_MEMTABLE_BYTES: u64 = 64 << 20;
/// Newest changes of a log kept in memory for the metadata cluster: some 10,000. One that is further behind has them read
/// from the log.
pub const TAIL_MAX_BYTES: usize = 4 << 20;
/// Changes sent to the cluster in one batch, and their bytes: some milliseconds of a member's time. Small batches are flushed
/// beside the logs so often that uploads wait for that.
pub const SHIP_MAX_COUNT: usize = 4096;
/// See [`SHIP_MAX_COUNT`].
pub const SHIP_MAX_BYTES: usize = 256 << 10;
/// From one batch to the next, unless changes are left behind: each costs a flush of the members' disks.
pub const SHIP_EVERY_MS: u64 = 25;
/// Rows sent at a time to a cluster that lacks them: with the longest names and files of the most pieces, still a command.
pub const COPY_MAX_ROWS: usize = 256;
/// How often a shard looks whether the registry has given its logs an association, or ends one.
pub const TENANTS_LOOK_MS: u64 = 250;
/// Rows compared with the cluster's at a time: some milliseconds of a shard, in which nothing is shipped.
pub const COMPARE_ROWS: usize = 2000;
/// Rows of one run: as many are fetched when one differs.
pub const COMPARE_RUN_ROWS: usize = 500;
/// From one such step to the next: 2,000 rows a second, a million in eight minutes.
pub const COMPARE_EVERY_MS: u64 = 1000;
/// Entries marked lost in one command: some 100 KiB.
pub const LOSE_MAX_COUNT: usize = filegrid_meta::limits::LOST_PAGE_MAX_COUNT;
/// How long the cluster may take to have applied what it has acknowledged: shipping waits meanwhile.
pub const COMPARE_PATIENCE_MS: u64 = 1000;
/// Pause before a batch is sent again that was not taken, at first, and at most.
pub const SHIP_RETRY_MIN_MS: u64 = 20;
/// See [`SHIP_RETRY_MIN_MS`].
pub const SHIP_RETRY_MAX_MS: u64 = 1000;
/// How long a start waits for the cluster, to hear whether its number is a new one and how the registry is now, before it serves
/// without.
pub const STARTS_PATIENCE_MS: u64 = 2000;
/// How often a node that has nothing to ship says so, to members elsewhere: what its silence adds to what they know.
pub const SHIP_SIGN_MS: u64 = 1000;
/// How often a member of a node's own is held against its registry although that has not changed.
pub const REGISTRY_SIGN_MS: u64 = filegrid_meta::limits::REGISTRY_SIGN_MS;
/// Longest line by which `filegrid sftp-stdio` says who it is: an account's name, and an address.
pub const LOCAL_HELLO_MAX_BYTES: usize = 1024;
/// Time for it.
pub const LOCAL_HELLO_TIMEOUT_S: u64 = 5;

/// How often failed logins are exchanged with the other nodes: often enough that trying all of them gains little.
pub const GUESSES_INTERVAL_MS: u64 = 500;
/// Decided logins that wait to be told; beyond, the oldest are dropped. Secrets are checked at some hundred a second.
pub const GUESSES_UNTOLD_MAX_COUNT: usize = 4096;
/// Members that have led, whose places are remembered.
pub const GUESSES_BOARDS_MAX_COUNT: usize = 16;
/// A member elsewhere that says nothing of the registry for so long is left for another.
pub const REGISTRY_SILENT_MS: u64 = 3 * REGISTRY_SIGN_MS;
/// How often it is looked whether the command line asks for changes of the registry.
pub const REGISTRY_INBOX_LOOK_MS: u64 = 250;
/// How long a change of the registry waits for the cluster to let the node in, and then for the node to be told of it.
pub const REGISTER_PATIENCE_MS: u64 = 5000;
/// How often at most it is noted that the copy of the registry is still the cluster's: by so much less a restarted node may
/// serve by it.
pub const REGISTRY_CONFIRMED_SAVE_MS: i64 = 10_000;
/// How often a node looks whether the registry still says where it is, and how soon it tries again to say so.
pub const ANNOUNCE_SIGN_MS: u64 = 1000;
/// See [`ANNOUNCE_SIGN_MS`].
pub const ANNOUNCE_RETRY_MS: u64 = 500;
/// What goes before relayed bytes: a few hundred bytes, and what scp is run for.
pub const RELAY_PREAMBLE_MAX_BYTES: usize = 16 << 10;
/// How long another node may take to be connected to, its name looked up and its handshake included.
pub const RELAY_CONNECT_MS: u64 = 3000;
/// For how long a node that could not be reached is not tried again: clients are answered at once meanwhile.
pub const RELAY_AWAY_MS: u64 = 1000;
/// When clients are told to come again whose files are on a node that cannot be reached.
pub const RELAY_RETRY_S: u64 = 2;
/// How long a connection to another node is kept for the next request: less than nodes wait for one.
pub const RELAY_IDLE_S: u64 = 10;
/// Connections to a node that a shard keeps for the next requests: what a burst uses at once.
pub const RELAY_IDLE_MAX_COUNT: usize = 32;
/// Silence after which another node is asked whether it is there, and how often and how many times it may not answer.
pub const RELAY_KEEPALIVE_S: u64 = 10;
/// See [`RELAY_KEEPALIVE_S`].
pub const RELAY_KEEPALIVE_EACH_S: u64 = 5;
/// See [`RELAY_KEEPALIVE_S`].
pub const RELAY_KEEPALIVES_MAX_COUNT: u32 = 3;
/// What comes back at a time of a session that was passed on: a reply of SFTP and what is joined to it.
pub const RELAY_PIECE_MAX_BYTES: usize = 512 << 10;
/// What waits between a connection to another node and the session that it is of.
pub const RELAY_PIPE_BYTES: usize = 256 << 10;
/// All of the copy of the registry is written anew when the changes behind it are more than this, and more than such a part of it:
/// with 100,000 accounts it is some 50 MB.
pub const REGISTRY_CHANGES_MIN_BYTES: u64 = 64 << 10;
/// See [`REGISTRY_CHANGES_MIN_BYTES`].
pub const REGISTRY_CHANGES_PART: u64 = 4;
/// When clients are told to come again that are refused because the node is cut off from the cluster.
pub const CUT_OFF_RETRY_S: u64 = 5;
/// How long the first start of a node waits for its cluster.
pub const JOIN_PATIENCE_S: u64 = 30;
/// When clients are told to come again while the cluster is too far behind.
pub const BEHIND_RETRY_S: u64 = 5;
/// How long a listing waits for the event of `After`: part of the wire contract.
pub const AFTER_PATIENCE_MS: u64 = 5000;
/// How long a listing waits for what was changed on this node before; then it shows what the cluster has.
pub const OWN_PATIENCE_MS: u64 = 1000;
/// When clients are told to come again whose listing the cluster cannot answer.
pub const LIST_RETRY_S: u64 = 1;
/// `DATA/state`: a few hundred bytes, and a position for each of at most 255 logs.
pub const STATE_MAX_BYTES: usize = 64 << 10;
/// Segments that a shard keeps open for reading.
pub const OPEN_SEGMENTS_MAX_COUNT: usize = 1024;
/// Entries that one step of purging takes: some 100 KiB of record, a few milliseconds.
pub const PURGE_STEP_ENTRIES: usize = 1000;
/// How long an orphan stays in quarantine: over a weekend somebody may miss it.
pub const QUARANTINE_S: u64 = 72 * 3600;
/// How often the quarantine is looked at.
pub const QUARANTINE_LOOK_S: u64 = 3600;
/// Space first given to a large blob; each next piece doubles what it has.
pub const BLOB_ALLOCATE_MIN_BYTES: u64 = 1 << 20;
/// Most space given to a large blob ahead of its bytes.
pub const BLOB_ALLOCATE_MAX_BYTES: u64 = 64 << 20;
/// Files up to this many bytes are summed as they come in: some 4 microseconds, less than a change of its own later
/// costs (measured: 15).
pub const SUM_AT_ONCE_MAX_BYTES: usize = 8 << 10;
/// Bytes of a file summed in one go: some 150 microseconds of a core.
pub const SUM_SLICE_BYTES: usize = 256 << 10;
/// Files whose sums make one change: some 100 KiB of record.
pub const SUMS_PER_CHANGE_MAX_COUNT: usize = 512;
/// Entries of the index of files without a sum that are looked at in one go: a few milliseconds.
pub const SUM_LOOK_MAX_COUNT: usize = 10_000;
/// Bytes summed before what is known becomes a change, so that a sum waits for no more than a few seconds.
pub const SUMS_PER_CHANGE_MAX_BYTES: u64 = 4 << 30;
/// Entries of the tree that the scrub looks at in one go: a few milliseconds.
pub const SCRUB_LOOK_MAX_COUNT: usize = 10_000;
/// Bytes that the scrub reads between two notes of where it is: what a restart makes it read again.
pub const SCRUB_SAVE_BYTES: u64 = 256 << 20;
/// Pause between two rounds of the scrub, and after what it could not read, in milliseconds.
pub const SCRUB_PAUSE_MS: u64 = 60_000;
/// Pause of the scrub while it looks for the next file, in milliseconds.
pub const SCRUB_LOOK_PAUSE_MS: u64 = 10;
/// Broken uploads of one account that are kept: a client that gives up on more has no use for them.
pub const PARTIALS_ACCOUNT_MAX_COUNT: usize = 64;
/// What they hold together.
pub const PARTIALS_ACCOUNT_MAX_BYTES: u64 = 256 << 30;
/// Broken uploads of one log that are kept: each is known in memory, with up to `FTP_EXTENTS_MAX_COUNT` blobs.
pub const PARTIALS_MAX_COUNT: usize = 1024;
/// What they hold together: some disks' worth. The low-water mark holds beside it.
pub const PARTIALS_MAX_BYTES: u64 = 1 << 40;
/// Ranges of one request: more than any client needs, few enough to answer one by one.
pub const RANGES_MAX_COUNT: usize = 64;
/// Longest token that is looked at.
pub const TOKEN_MAX_BYTES: usize = 4096;
/// Verified tokens that a shard keeps.
pub const TOKENS_MAX_COUNT: usize = 10_000;
/// Longest password of an FTP account: longer than any in use, short enough to hash without being noticed.
pub const PASSWORD_MAX_BYTES: usize = 1024;
/// Connections to the operator's API.
pub const OPERATORS_MAX_COUNT: usize = 64;
/// Secrets of accounts and API users that may wait to be hashed: some seconds of work for the one thread that does it.
pub const REGISTRY_CHANGES_WAITING_MAX_COUNT: usize = 64;
/// Least bytes of a body in a stall window, either direction: slower is no transfer.
pub const STALL_MIN_BYTES: u64 = 1024;
/// Small blobs of one upload kept in memory before they are put into the log ahead of the change.
pub const RIDING_MAX_BYTES: usize = 512 << 10;
/// Bytes of a cold file read at a time.
pub const COLD_READ_BYTES: usize = 256 << 10;
/// Bytes of a file sent in one call, so that one fast client does not hold up the shard.
pub const SEND_SLICE_BYTES: u64 = 1 << 20;
/// Entries of a listing sent in one piece.
pub const LISTING_PIECE_BYTES: usize = 64 << 10;
/// How long a prepared download can be fetched, in milliseconds: part of the wire contract.
pub const PREPARED_LIFETIME_MS: i64 = 600_000;
/// Files of one prepared download.
pub const PREPARED_FILES_MAX_COUNT: usize = 200_000;
/// What a file of a prepared download is counted as, beside its name: its row, its place, its pins.
pub const PREPARED_FILE_BYTES: usize = 768;
/// What a prepared download is counted as, beside its files.
pub const PREPARED_BASE_BYTES: usize = 4 << 10;
/// Memory of all prepared downloads of the node: it lasts 10 minutes, fetched or not.
pub const PREPARED_MAX_BYTES: usize = 1 << 30;
/// Memory of those of one association: a download of `PREPARED_FILES_MAX_COUNT`, and small ones beside it.
pub const PREPARED_TENANT_MAX_BYTES: usize = 256 << 20;
/// Entries that are gathered for a download in one go: a millisecond or two.
pub const PREPARE_STEP_ENTRIES: usize = 256;
/// Entries that a listing looks at in one go, shown or not: some milliseconds.
pub const LISTING_STEP_ENTRIES: usize = 4096;

/// Longest line of FTP's control connection: a path of `PATH_MAX_BYTES`, its command, and room.
pub const FTP_LINE_MAX_BYTES: usize = PATH_MAX_BYTES + 1024;
/// What is passed over of a longer line before the connection ends.
pub const FTP_LINE_DROPPED_MAX_BYTES: usize = 64 << 10;
/// Lines of FTP's control connection read ahead while a transfer runs.
pub const FTP_PIPELINE_MAX_COUNT: usize = 16;
/// Failed logins of a session: enough for a typing error or two.
pub const FTP_LOGIN_FAILURES_MAX_COUNT: u32 = 5;
/// What a failed login takes at least, beside the check itself.
pub const FTP_LOGIN_FAILURE_DELAY_MS: u64 = 500;
/// How often sessions are held against the registry: changes bite within a second.
pub const FTP_SESSION_CHECK_MS: u64 = 250;
/// Pieces of a file beyond which going on with it copies them into one.
pub const FTP_EXTENTS_MAX_COUNT: usize = 256;
/// Attempts to append to a file that others append to at the same time.
pub const FTP_APPEND_TRIES_MAX_COUNT: u64 = 200;
/// How long HASH waits for a sum that is being made, and how often it looks.
pub const FTP_SUM_WAIT_MS: u64 = 5000;
/// See [`FTP_SUM_WAIT_MS`].
pub const FTP_SUM_POLL_MS: u64 = 100;
/// Ports that are tried before all count as taken.
pub const FTP_PORTS_SOUGHT_MAX_COUNT: usize = 2048;
/// Longest reply of another node that is not passed on line by line.
pub const FTP_AWAY_REPLY_MAX_BYTES: usize = 64 << 10;
/// Bytes of an upload that are passed on at a time.
pub const FTP_AWAY_BUFFER_BYTES: usize = 60 << 10;
/// How often, and after what pause, a port for a passive data connection is sought again when all are taken.
pub const FTP_PORT_TRIES_MAX_COUNT: usize = 5;
/// See [`FTP_PORT_TRIES_MAX_COUNT`].
pub const FTP_PORT_RETRY_MS: u64 = 20;

/// Longest packet of SFTP: what OpenSSH takes and sends.
pub const SFTP_PACKET_MAX_BYTES: usize = 256 << 10;
/// Most data of one READ or WRITE: the packet's own fields need the rest, as with OpenSSH.
pub const SFTP_DATA_MAX_BYTES: usize = 255 << 10;
/// Names of a directory in one reply.
pub const SFTP_NAMES_PAGE_BYTES: usize = 32 << 10;
/// Files and directories that a session has open: some times what clients use, each for writing with a buffer.
pub const SFTP_HANDLES_MAX_COUNT: usize = 128;
/// Channels of a connection, as with OpenSSH.
pub const SFTP_CHANNELS_MAX_COUNT: usize = 10;
/// Window of a channel: what is under way at 100 MiB a second and 20 ms.
pub const SFTP_WINDOW_BYTES: u32 = 2 << 20;
/// Window of a channel whose connection asks for more than it takes: next to none. None at all cannot be granted.
pub const SFTP_TIGHT_WINDOW_BYTES: u32 = 16;
/// Longest packet of a channel. SSH asks for 32 KiB; twice that saves work, and leaves the rest of the packet its room.
pub const SFTP_CHANNEL_PACKET_BYTES: u32 = 64_000;
/// Requests of a connection that wait before it is read no further: its window, so that what it has sent in good faith is
/// taken while it is slow to take replies.
pub const SFTP_REQUESTS_MAX_BYTES: usize = SFTP_WINDOW_BYTES as usize;
/// Requests of a connection that wait before it is cut off: only those who send without a window come here.
pub const SFTP_UNDONE_MAX_BYTES: usize =
    SFTP_REQUESTS_MAX_BYTES + 2 * SFTP_WINDOW_BYTES as usize + SFTP_PACKET_MAX_BYTES;
/// Replies of a session that wait for the client: with what is ahead of them, enough to keep it busy.
pub const SFTP_REPLIES_MAX_BYTES: usize = 1 << 20;
/// Replies that are sent together.
pub const SFTP_REPLIES_JOINED_BYTES: usize = 16 << 10;
/// Connections of SSH that have not logged in: each may cost a key exchange.
pub const SFTP_STARTS_MAX_COUNT: usize = 256;
/// Of those, the ones from one address: they leave room for others.
pub const SFTP_STARTS_PER_ADDRESS_MAX_COUNT: usize = 128;
/// Attempts to log in of a connection, keys that are not known among them: agents offer several.
pub const SFTP_AUTH_TRIES_MAX_COUNT: usize = 20;
/// Times that a silent client is asked whether it is there before it is taken for gone.
pub const SFTP_KEEPALIVES_MAX_COUNT: usize = 3;
/// Most bytes between the end of a file and what is written behind it: they become zeros, and are written.
pub const SFTP_HOLE_MAX_BYTES: u64 = 1 << 30;
/// Pieces of a file that is being written before they are copied into one: some 300 KiB of memory.
pub const SFTP_PIECES_MAX_COUNT: usize = 4096;
/// Times that a file that is being written is read before what has come is copied into one: each leaves a blob.
pub const SFTP_STREAMS_MAX_COUNT: usize = 16;

/// Longest line of SCP: a name, and numbers.
pub const SCP_LINE_MAX_BYTES: usize = NAME_MAX_BYTES + 1024;
/// Directories in each other that SCP sends or takes: as deep as a path can be.
pub const SCP_DEPTH_MAX_COUNT: usize = PATH_MAX_BYTES / 2;

const _: () = assert!(SFTP_DATA_MAX_BYTES + 64 < SFTP_PACKET_MAX_BYTES);
