//! `POST /api/upload`.

use std::collections::{HashMap, HashSet};

use filegrid_tree::{Base, Command, Protocol, Publication, TreePath};
use serde::Deserialize;

use super::{Api, bounded, path_of};
use crate::auth::{Principal, Scope};
use crate::error::Error;
use crate::http::exchange::{Exchange, Framing};
use crate::ingest::Upload;
use crate::multipart::boundary_of;
use crate::store::StoreError;

/// Bodies of this length are looked at for whether they fit the disk; of smaller ones the store tells in time.
const ROOM_ASKED_FROM_BYTES: u64 = 1 << 20;

/// The field `meta`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    files: Vec<Mapping>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mapping {
    field: String,
    path: String,
}

impl Api {
    pub(super) async fn upload(&self, exchange: &mut Exchange) -> Result<(), Error> {
        let principal = self.principal_at_home(exchange, Scope::FileCreate)?;
        if exchange.head().framing() == Framing::None {
            return Err(Error::LengthRequired);
        }
        let boundary = boundary(exchange)?;
        self.check_room(exchange).await?;
        let association = principal.association;
        let mut upload = Upload::receive(exchange, &self.store, &association, &boundary).await?;
        let files = match publications(&principal, &mut upload) {
            Ok(files) => files,
            Err(error) => {
                upload.discard(&self.store, &association).await;
                return Err(error);
            }
        };
        let command = Command::Publish {
            files,
            make_parents: true,
        };
        let (riding, staged) = (
            std::mem::take(&mut upload.riding),
            std::mem::take(&mut upload.staged),
        );
        match self
            .store
            .commit(association, Protocol::Api, command, riding, staged)
            .await
        {
            Ok(receipt) => {
                if let Some(shard) = self.store.shard_of(&association) {
                    exchange.prefer_shard(shard);
                }
                self.done(exchange, &receipt).await
            }
            // It may be durable all the same, and refer to what was stored.
            Err(StoreError::Fenced) => Err(Error::Fenced),
            Err(error) => {
                upload.discard(&self.store, &association).await;
                Err(error.into())
            }
        }
    }
}

impl Api {
    /// Refuses what the disk has no room for before it comes, where that is known and worth a look.
    async fn check_room(&self, exchange: &Exchange) -> Result<(), Error> {
        let Framing::Length(bytes) = exchange.head().framing() else {
            return Ok(());
        };
        if bytes < ROOM_ASKED_FROM_BYTES && !exchange.is_awaited() {
            return Ok(());
        }
        let needed = self.config.low_water_bytes.saturating_add(bytes);
        match self.store.free_bytes().await {
            Some(free) if free < needed => Err(Error::StorageFull),
            _ => Ok(()),
        }
    }
}

fn boundary(exchange: &Exchange) -> Result<String, Error> {
    let kind = exchange
        .head()
        .header("content-type")
        .map(String::from_utf8_lossy)
        .unwrap_or_default();
    boundary_of(&kind)
        .map_err(|error| Error::BadRequest(error.to_string()))?
        .ok_or_else(|| Error::UnsupportedMedia("send the files as multipart/form-data".to_owned()))
}

/// Where each file goes: its field's directory, or the root if there is no `meta`.
fn publications(principal: &Principal, upload: &mut Upload) -> Result<Vec<Publication>, Error> {
    let meta = upload.meta.take().map(|meta| {
        serde_json::from_slice::<Meta>(&meta)
            .map_err(|error| Error::BadRequest(format!("the field meta: {error}")))
    });
    let Some(meta) = meta.transpose()? else {
        let directory = path_of(principal, "/")?;
        return upload
            .files
            .drain(..)
            .map(|file| publication(&directory, &file.filename, file.content))
            .collect();
    };
    let mut directories: HashMap<String, TreePath> = HashMap::new();
    for Mapping { field, path } in meta.files {
        let directory = path_of(principal, &path)?;
        if directories.insert(field.clone(), directory).is_some() {
            return Err(Error::BadRequest(format!("meta maps the field {field} twice")));
        }
    }
    let fields: HashSet<&str> = upload.files.iter().map(|file| file.field.as_str()).collect();
    if let Some(unused) = directories.keys().find(|field| !fields.contains(field.as_str())) {
        return Err(Error::BadRequest(format!(
            "meta maps the field {unused}, but no file has it"
        )));
    }
    if let Some(unmapped) = fields.iter().find(|field| !directories.contains_key(**field)) {
        return Err(Error::BadRequest(format!(
            "meta does not map the field {unmapped}"
        )));
    }
    let root = TreePath::root();
    upload
        .files
        .drain(..)
        .map(|file| {
            let directory = directories.get(&file.field).unwrap_or(&root);
            publication(directory, &file.filename, file.content)
        })
        .collect()
}

fn publication(
    directory: &TreePath,
    name: &str,
    content: filegrid_tree::FileContent,
) -> Result<Publication, Error> {
    let name = TreePath::parse(name).map_err(|error| Error::BadRequest(error.to_string()))?;
    Ok(Publication {
        path: bounded(directory.join(&name))?,
        content,
        base: Base::Any,
        mtime: None,
    })
}
