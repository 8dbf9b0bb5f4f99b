//! What a name in a directory stands for.
//!
//! # Layout
//!
//! One byte of kind (1 file, 2 directory), then an rkyv archive of the struct: little endian, no alignment, its
//! root object at the end. Bytes are checked before they are looked at. `docs/format.md` lists the fields.

use rkyv::rancor::Error as ArchiveError;
use rkyv::{Archive, Deserialize, Serialize, access, deserialize, to_bytes};

use crate::{BlobId, DirId, TreeError};

/// The protocol of the last writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug, Clone, Copy))]
#[repr(u8)]
pub enum Protocol {
    /// REST.
    Api = 1,
    /// FTP in the clear.
    Ftp = 2,
    /// FTP over TLS.
    Ftps = 3,
    /// SFTP.
    Sftp = 4,
    /// SCP.
    Scp = 5,
}

impl Protocol {
    /// As listings show it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Api => "API",
            Self::Ftp => "FTP",
            Self::Ftps => "FTPS",
            Self::Sftp => "SFTP",
            Self::Scp => "SCP",
        }
    }
}

/// A run of bytes of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Extent {
    /// The blob.
    pub blob: BlobId,
    /// First byte in it.
    pub offset: u64,
    /// How many.
    pub length: u64,
    /// CRC32 (IEEE) of these bytes.
    pub crc32: u32,
}

/// A file. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct FileRow {
    /// Rises with every new content; unique within the association.
    pub version: u64,
    /// Bytes.
    pub size: u64,
    /// CRC32 (IEEE) of the whole content.
    pub crc32: u32,
    /// SHA-256 of the content, once computed.
    pub sha256: Option<[u8; 32]>,
    /// When the name was first written.
    pub created_at: i64,
    /// When it was last replaced.
    pub updated_at: Option<i64>,
    /// Modification time: of the last writing, or as a client set it.
    pub mtime: i64,
    /// Last writer.
    pub protocol: Protocol,
    /// The content, in order.
    pub extents: Vec<Extent>,
}

/// A directory. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct DirRow {
    /// The id that its entries are keyed by.
    pub id: DirId,
    /// When it was made.
    pub created_at: i64,
    /// When it was last replaced by another.
    pub updated_at: Option<i64>,
    /// Modification time.
    pub mtime: i64,
    /// Who made it.
    pub protocol: Protocol,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Row {
    /// A file.
    File(FileRow),
    /// A directory.
    Dir(DirRow),
}

const FILE: u8 = 1;
const DIRECTORY: u8 = 2;

impl Row {
    /// The row's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (kind, archive) = match self {
            Self::File(row) => (FILE, to_bytes::<ArchiveError>(row)),
            Self::Dir(row) => (DIRECTORY, to_bytes::<ArchiveError>(row)),
        };
        // Writing into memory does not fail; if it ever did, the empty archive is refused when read.
        let archive = archive.unwrap_or_default();
        let mut out = Vec::with_capacity(1 + archive.len());
        out.push(kind);
        out.extend_from_slice(&archive);
        out
    }

    /// Reads a row.
    ///
    /// # Errors
    ///
    /// [`TreeError::Damaged`] if the bytes are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, TreeError> {
        RowRef::new(bytes)?.to_row()
    }

    /// Blobs that the row refers to, each once.
    #[must_use]
    pub fn blobs(&self) -> Vec<BlobId> {
        let Self::File(file) = self else { return Vec::new() };
        let mut blobs: Vec<_> = file.extents.iter().map(|extent| extent.blob).collect();
        blobs.sort_unstable();
        blobs.dedup();
        blobs
    }
}

/// A row that is read where it lies.
pub enum RowRef<'a> {
    /// A file.
    File(&'a ArchivedFileRow),
    /// A directory.
    Dir(&'a ArchivedDirRow),
}

impl<'a> RowRef<'a> {
    /// Checks the bytes.
    ///
    /// # Errors
    ///
    /// [`TreeError::Damaged`] if they are no row.
    pub fn new(bytes: &'a [u8]) -> Result<Self, TreeError> {
        let damaged = || TreeError::Damaged("a row cannot be read".to_owned());
        let (kind, archive) = bytes.split_first().ok_or_else(damaged)?;
        match *kind {
            FILE => access::<ArchivedFileRow, ArchiveError>(archive)
                .map(Self::File)
                .map_err(|_| damaged()),
            DIRECTORY => access::<ArchivedDirRow, ArchiveError>(archive)
                .map(Self::Dir)
                .map_err(|_| damaged()),
            _ => Err(damaged()),
        }
    }

    /// The row, to be kept.
    ///
    /// # Errors
    ///
    /// [`TreeError::Damaged`] if it cannot be read.
    pub fn to_row(&self) -> Result<Row, TreeError> {
        let row = match self {
            Self::File(row) => deserialize::<FileRow, ArchiveError>(*row).map(Row::File),
            Self::Dir(row) => deserialize::<DirRow, ArchiveError>(*row).map(Row::Dir),
        };
        row.map_err(|_| TreeError::Damaged("a row cannot be read".to_owned()))
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        matches!(self, Self::Dir(_))
    }

    /// Id of a directory.
    #[must_use]
    pub fn directory(&self) -> Option<DirId> {
        match self {
            Self::Dir(row) => Some(crate::Id(row.id.0)),
            Self::File(_) => None,
        }
    }

    /// Version of a file.
    #[must_use]
    pub fn version(&self) -> Option<u64> {
        match self {
            Self::File(row) => Some(row.version.to_native()),
            Self::Dir(_) => None,
        }
    }

    /// Bytes of a file, 0 of a directory.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::File(row) => row.size.to_native(),
            Self::Dir(_) => 0,
        }
    }

    /// SHA-256 of a file, once computed.
    #[must_use]
    pub fn sha256(&self) -> Option<&[u8; 32]> {
        match self {
            Self::File(row) => row.sha256.as_ref(),
            Self::Dir(_) => None,
        }
    }

    /// Unix milliseconds.
    #[must_use]
    pub fn mtime(&self) -> i64 {
        match self {
            Self::File(row) => row.mtime.to_native(),
            Self::Dir(row) => row.mtime.to_native(),
        }
    }

    /// Unix milliseconds.
    #[must_use]
    pub fn created_at(&self) -> i64 {
        match self {
            Self::File(row) => row.created_at.to_native(),
            Self::Dir(row) => row.created_at.to_native(),
        }
    }

    /// Unix milliseconds.
    #[must_use]
    pub fn updated_at(&self) -> Option<i64> {
        match self {
            Self::File(row) => row.updated_at.as_ref().map(|at| at.to_native()),
            Self::Dir(row) => row.updated_at.as_ref().map(|at| at.to_native()),
        }
    }

    /// Last writer.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        let protocol = match self {
            Self::File(row) => row.protocol,
            Self::Dir(row) => row.protocol,
        };
        match protocol {
            ArchivedProtocol::Api => Protocol::Api,
            ArchivedProtocol::Ftp => Protocol::Ftp,
            ArchivedProtocol::Ftps => Protocol::Ftps,
            ArchivedProtocol::Sftp => Protocol::Sftp,
            ArchivedProtocol::Scp => Protocol::Scp,
        }
    }
}
