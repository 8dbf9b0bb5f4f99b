//! How programs read what they are set to: a file over defaults, and variables over the file.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads settings: what neither the file nor a variable names is as by default. A variable is `prefix` and the name of
/// a key in capitals; one that names no key is somebody else's.
///
/// # Errors
///
/// A text that names the file, key or variable and what is wrong with it.
pub fn read<T: Default + Serialize + DeserializeOwned>(
    file: Option<&Path>,
    variables: impl Iterator<Item = (String, String)>,
    prefix: &str,
) -> Result<T, String> {
    let mut table = match file {
        Some(path) => {
            let text =
                std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            text.parse::<toml::Table>()
                .map_err(|error| format!("{}: {error}", path.display()))?
        }
        None => toml::Table::new(),
    };
    let known = toml::Table::try_from(T::default()).map_err(|error| error.to_string())?;
    for (name, value) in variables {
        if let Some(key) = name.strip_prefix(prefix).map(str::to_ascii_lowercase)
            && let Some(default) = known.get(&key)
        {
            table.insert(key, typed(&name, &value, default)?);
        }
    }
    table
        .try_into()
        .map_err(|error| format!("configuration: {error}"))
}

/// The value of a variable, of the type that its key has.
fn typed(name: &str, value: &str, default: &toml::Value) -> Result<toml::Value, String> {
    match default {
        toml::Value::Integer(_) => value
            .trim()
            .parse()
            .map(toml::Value::Integer)
            .map_err(|_| format!("{name}: {value} is no number")),
        toml::Value::Boolean(_) => value
            .trim()
            .parse()
            .map(toml::Value::Boolean)
            .map_err(|_| format!("{name}: {value} is not true or false")),
        toml::Value::Array(_) => {
            let items = value.split(',').map(str::trim).filter(|item| !item.is_empty());
            let items = items.map(|item| toml::Value::String(item.to_owned()));
            Ok(toml::Value::Array(items.collect()))
        }
        _ => Ok(toml::Value::String(value.to_owned())),
    }
}
