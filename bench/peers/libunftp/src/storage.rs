//! Files through large buffers.
//!
//! libunftp's own backend for filesystems copies by 4 KiB, each a turn to another thread. Here a turn moves 1 MiB, and
//! the first of a file opens it too, so that a small file takes one.

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::spawn_blocking;
use unftp_core::auth::UserDetail;
use unftp_core::storage::{Error, ErrorKind, FEATURE_RESTART, Fileinfo, Result, StorageBackend};
use unftp_sbe_fs::{Filesystem, Meta};

/// Bytes that a file is read or written by.
const BUFFER_BYTES: usize = 1 << 20;

/// The directory: content here, names by the library's backend.
#[derive(Debug)]
pub(crate) struct Storage {
    root: PathBuf,
    names: Filesystem,
}

impl Storage {
    /// Opens `root`.
    ///
    /// # Errors
    ///
    /// Those of opening a directory.
    pub(crate) fn new(root: &Path) -> io::Result<Self> {
        let names = Filesystem::new(root)?;
        let root = root.to_owned();
        Ok(Self { root, names })
    }

    /// The file that a client names. No part of a name leads upwards.
    fn resolve(&self, path: &Path) -> Result<PathBuf> {
        let path = path.strip_prefix("/").unwrap_or(path);
        let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        match plain {
            true => Ok(self.root.join(path)),
            false => Err(Error::from(ErrorKind::FileNameNotAllowedError)),
        }
    }
}

/// Reads until the buffer is full or the file ends; an empty buffer says that it has ended.
fn fill(mut file: File, mut buffer: Vec<u8>) -> io::Result<(File, Vec<u8>)> {
    buffer.clear();
    (&mut file).take(BUFFER_BYTES as u64).read_to_end(&mut buffer)?;
    Ok((file, buffer))
}

/// Receives until the buffer is full or the client has sent all.
async fn receive(input: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    input.take(BUFFER_BYTES as u64).read_to_end(buffer).await?;
    Ok(())
}

/// Opens for reading from `start`, with the first of its content.
fn open(path: &Path, start: u64) -> io::Result<(File, Vec<u8>)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len().saturating_sub(start);
    if start > 0 {
        file.seek(SeekFrom::Start(start))?;
    }
    let capacity = usize::try_from(length).unwrap_or(BUFFER_BYTES).min(BUFFER_BYTES);
    fill(file, Vec::with_capacity(capacity + 1))
}

/// Opens for writing from `start`, with what comes there, and cuts off what was behind.
fn create(path: &Path, start: u64, first: &[u8]) -> io::Result<File> {
    let mut options = File::options();
    let mut file = options.write(true).create(true).truncate(start == 0).open(path)?;
    if start > 0 {
        file.set_len(start)?;
        file.seek(SeekFrom::Start(start))?;
    }
    file.write_all(first)?;
    Ok(file)
}

/// Runs what blocks on a thread for that.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    let done = spawn_blocking(work).await;
    Ok(done.map_err(io::Error::other).flatten()?)
}

#[async_trait]
impl<User: UserDetail> StorageBackend<User> for Storage {
    type Metadata = Meta;

    fn supported_features(&self) -> u32 {
        FEATURE_RESTART
    }

    async fn metadata<P: AsRef<Path> + Send + Debug>(&self, user: &User, path: P) -> Result<Meta> {
        self.names.metadata(user, path).await
    }

    async fn list<P>(&self, user: &User, path: P) -> Result<Vec<Fileinfo<PathBuf, Meta>>>
    where
        P: AsRef<Path> + Send + Debug,
    {
        self.names.list(user, path).await
    }

    async fn get_into<'a, P, W>(
        &self,
        _user: &User,
        path: P,
        start_pos: u64,
        output: &'a mut W,
    ) -> Result<u64>
    where
        W: AsyncWrite + Unpin + Sync + Send + ?Sized,
        P: AsRef<Path> + Send + Debug,
    {
        let path = self.resolve(path.as_ref())?;
        let (mut file, mut buffer) = blocking(move || open(&path, start_pos)).await?;
        let mut sent = 0;
        while !buffer.is_empty() {
            output.write_all(&buffer).await?;
            sent += buffer.len() as u64;
            if buffer.len() < BUFFER_BYTES {
                break;
            }
            (file, buffer) = blocking(move || fill(file, buffer)).await?;
        }
        output.flush().await?;
        Ok(sent)
    }

    async fn get<P: AsRef<Path> + Send + Debug>(
        &self,
        user: &User,
        path: P,
        start_pos: u64,
    ) -> Result<Box<dyn AsyncRead + Send + Sync + Unpin>> {
        self.names.get(user, path, start_pos).await
    }

    async fn put<P: AsRef<Path> + Send + Debug, R: AsyncRead + Send + Sync + Unpin + 'static>(
        &self,
        _user: &User,
        mut input: R,
        path: P,
        start_pos: u64,
    ) -> Result<u64> {
        let path = self.resolve(path.as_ref())?;
        let mut buffer = Vec::new();
        receive(&mut input, &mut buffer).await?;
        let mut length = buffer.len() as u64;
        let (mut file, mut buffer) = blocking(move || {
            let file = create(&path, start_pos, &buffer)?;
            Ok((file, buffer))
        })
        .await?;
        while buffer.len() == BUFFER_BYTES {
            receive(&mut input, &mut buffer).await?;
            length += buffer.len() as u64;
            (file, buffer) = blocking(move || {
                file.write_all(&buffer)?;
                Ok((file, buffer))
            })
            .await?;
        }
        Ok(length)
    }

    async fn del<P: AsRef<Path> + Send + Debug>(&self, user: &User, path: P) -> Result<()> {
        self.names.del(user, path).await
    }

    async fn mkd<P: AsRef<Path> + Send + Debug>(&self, user: &User, path: P) -> Result<()> {
        self.names.mkd(user, path).await
    }

    async fn rename<P: AsRef<Path> + Send + Debug>(&self, user: &User, from: P, to: P) -> Result<()> {
        self.names.rename(user, from, to).await
    }

    async fn rmd<P: AsRef<Path> + Send + Debug>(&self, user: &User, path: P) -> Result<()> {
        self.names.rmd(user, path).await
    }

    async fn cwd<P: AsRef<Path> + Send + Debug>(&self, user: &User, path: P) -> Result<()> {
        self.names.cwd(user, path).await
    }
}
