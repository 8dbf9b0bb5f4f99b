//! Every bound, with its unit in the name and the reason.

/// Connections: each takes a descriptor and a local port, of which there are 28,000 by default.
pub const CONNECTIONS_MAX_COUNT: usize = 20_000;

/// Threads that make requests. More would outnumber the cores of any machine that this runs on.
pub const THREADS_MAX_COUNT: usize = 256;

/// Files that are made before the clock runs. Each is listed and deleted again.
pub const PREPARED_MAX_COUNT: u64 = 10_000_000;

/// Bytes of one file.
pub const FILE_MAX_BYTES: u64 = 1 << 42;

/// The tail of a lognormal distribution is cut here, so that one unlucky draw does not fill a disk.
pub const LOGNORMAL_MAX_BYTES: u64 = 1 << 30;

/// Without `--files`, downloads have at most as many files as this makes.
pub const PREPARED_DEFAULT_BYTES: u64 = 1 << 30;
/// And no more than this, so that preparing takes a moment.
pub const PREPARED_DEFAULT_COUNT: u64 = 1000;
/// Without `--files`, uploads use names again once they have made this much, so that no run fills a disk.
pub const UPLOADED_DEFAULT_BYTES: u64 = 8 << 30;

/// Pieces that content is sent in. A longer write saves no more calls.
pub const PIECE_BYTES: usize = 1 << 20;
/// What a thread receives into; all its connections share it, so that it stays in a cache.
pub const SCRATCH_BYTES: usize = 256 * 1024;

/// Head of an answer. Servers send less than a tenth.
pub const HEAD_MAX_BYTES: usize = 64 * 1024;
/// Header fields of an answer.
pub const HEADERS_MAX_COUNT: usize = 128;
/// Line of FTP's control connection, and of a chunk's size.
pub const LINE_MAX_BYTES: usize = 16 * 1024;
/// Body that is kept because somebody reads it: a listing, or what a refusal says.
pub const BODY_KEPT_MAX_BYTES: usize = 1 << 30;
/// Packet of SFTP that is taken. OpenSSH's own limit.
pub const PACKET_MAX_BYTES: usize = 256 * 1024;
/// Nodes that a request is sent to one after the other. Two that disagree for a moment about who has the files end well.
pub const REDIRECTIONS_MAX_COUNT: usize = 4;
/// Header of a file in an archive.
pub const ARCHIVE_HEADER_MAX_BYTES: usize = 128 * 1024;

/// Path of what is deleted with all that is below it. Servers have no longer ones, so that there is an end.
pub const PATH_MAX_BYTES: usize = 4096;

/// Kinds of errors that are told apart; what is beyond is counted together.
pub const ERROR_KINDS_MAX_COUNT: usize = 64;
/// Text of an error that is shown.
pub const ERROR_TEXT_MAX_CHARS: usize = 400;

/// Connections that are made at a time: servers bound how many log in at once, and turn away the rest.
pub const CONNECTING_MAX_COUNT: usize = 32;

/// Time that a server is given to come to rest. Some never do; most of what others leave for later is done by then.
pub const SETTLE_MAX_SECONDS: u64 = 120;

/// A look at what servers use is followed by so many times its length without one: they may have thousands of processes, and
/// looking must not become the load.
pub const LOOK_REST_TIMES: u32 = 50;

/// Points of a plot over time. More cannot be told apart.
pub const POINTS_MAX_COUNT: u32 = 240;

/// SFTP requests under way for one file, as OpenSSH's client has them.
pub const SFTP_REQUESTS_COUNT: usize = 64;
/// Bytes that those may ask for together: twice the window that OpenSSH grants.
pub const SFTP_UNDER_WAY_BYTES: usize = 4 << 20;
/// Bytes of a read or a write where the server does not say what it takes.
pub const SFTP_PIECE_BYTES: u32 = 32 * 1024;
/// And at most, whatever it says: what fits a packet of [`PACKET_MAX_BYTES`].
pub const SFTP_PIECE_MAX_BYTES: u32 = 255 * 1024;
/// What a connection of SSH reads at a time: some of the packets that a server has under way. More falls out of the cache.
pub const SSH_READ_BYTES: usize = 128 * 1024;

const _: () = assert!(SFTP_PIECE_MAX_BYTES as usize + 1024 <= PACKET_MAX_BYTES);
const _: () = assert!(SCRATCH_BYTES <= PIECE_BYTES);
