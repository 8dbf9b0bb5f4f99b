//! A client of a server, whatever it speaks: one request at a time.

use crate::failure::Failure;
use crate::files::File;
use crate::{ftp, http, rest, sftp};

/// A client.
pub enum Session {
    /// Of the REST API.
    Rest(Box<rest::Session>),
    /// Of a server of files by HTTP.
    Http(Box<http::Session>),
    /// Of FTP.
    Ftp(Box<ftp::Session>),
    /// Of SFTP.
    Sftp(Box<sftp::Session>),
}

impl Session {
    /// Connects and logs in, unless it has.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn connect(&mut self) -> Result<(), Failure> {
        match self {
            Self::Rest(session) => session.connect().await,
            Self::Http(session) => session.connect().await,
            Self::Ftp(session) => session.connect().await,
            Self::Sftp(session) => session.connect().await,
        }
    }

    /// Stores a file; its bytes.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn upload(&mut self, file: &File) -> Result<u64, Failure> {
        match self {
            Self::Rest(session) => session.upload(file).await,
            Self::Http(session) => session.upload(file).await,
            Self::Ftp(session) => session.upload(file).await,
            Self::Sftp(session) => session.upload(file).await,
        }
    }

    /// Fetches a file, and compares it if asked to; its bytes.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn download(&mut self, file: &File, verify: bool) -> Result<u64, Failure> {
        match self {
            Self::Rest(session) => session.download(file, verify).await,
            Self::Http(session) => session.download(file, verify).await,
            Self::Ftp(session) => session.download(file, verify).await,
            Self::Sftp(session) => session.download(file, verify).await,
        }
    }

    /// Lists the directory of the prepared files; the bytes of the list.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn list(&mut self) -> Result<u64, Failure> {
        match self {
            Self::Rest(session) => session.list().await,
            Self::Http(session) => session.list().await,
            Self::Ftp(session) => session.list().await,
            Self::Sftp(session) => session.list().await,
        }
    }

    /// Fetches all prepared files as one archive; its bytes.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong. Only HTTP has archives.
    pub async fn archive(&mut self) -> Result<u64, Failure> {
        match self {
            Self::Rest(session) => session.archive().await,
            Self::Http(session) => session.archive().await,
            Self::Ftp(_) | Self::Sftp(_) => {
                Err(Failure::refused("unsupported", "no archives over this protocol"))
            }
        }
    }

    /// Makes a directory in one that is there.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn make_directory(&mut self, path: &str) -> Result<(), Failure> {
        match self {
            Self::Rest(session) => session.make_directory(path).await,
            Self::Http(session) => session.make_directory(path).await,
            Self::Ftp(session) => session.make_directory(path).await,
            Self::Sftp(session) => session.make_directory(path).await,
        }
    }

    /// Deletes one file, unless all go with their directory in one request.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn delete_file(&mut self, file: &File) -> Result<(), Failure> {
        match self {
            Self::Rest(_) | Self::Http(_) => Ok(()),
            Self::Ftp(session) => session.delete_file(file.path()).await,
            Self::Sftp(session) => session.delete_file(file.path()).await,
        }
    }

    /// Whether a directory is deleted with all that is in it by one request.
    #[must_use]
    pub fn deletes_at_once(&self) -> bool {
        matches!(self, Self::Rest(_) | Self::Http(_))
    }

    /// Deletes a directory with all that is below it.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong.
    pub async fn delete(&mut self, path: &str) -> Result<(), Failure> {
        match self {
            Self::Rest(session) => session.delete(path).await,
            Self::Http(session) => session.delete(path).await,
            Self::Ftp(session) => session.delete(path).await,
            Self::Sftp(session) => session.delete(path).await,
        }
    }

    /// Ends in good order.
    pub async fn end(&mut self) {
        match self {
            Self::Rest(_) | Self::Http(_) => {}
            Self::Ftp(session) => session.end().await,
            Self::Sftp(session) => session.end().await,
        }
    }
}
