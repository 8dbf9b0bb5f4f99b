//! What a new cluster begins with.

use std::net::SocketAddr;
use std::path::Path;

use filegrid_meta::config;
use filegrid_meta::wire::{Destination, Identity};
use serde_json::json;

use crate::authority::{Authority, write_new};
use crate::report::Report;

/// What the operator's directory and certificate are called.
const OPERATOR: &str = "operator";

/// Makes the authority, and a directory for each member and the operator, with certificates and configuration.
///
/// # Errors
///
/// A text that says what is wrong. Nothing that is there is replaced.
pub fn init(directory: &Path, members: &[String], cluster: &str) -> Result<Report, String> {
    let parsed = config::members(members)?;
    let configurations = parsed.iter().map(|member| of_member(cluster, members, member));
    let configurations: Vec<_> = configurations.collect::<Result<_, _>>()?;
    if cluster.is_empty() || cluster.len() > 64 {
        return Err("cluster: 1 to 64 bytes".to_owned());
    }
    let authority = Authority::make(directory)?;
    let mut made = Vec::new();
    for (member, configuration) in parsed.iter().zip(configurations) {
        let own = authority.certify(&Identity::member(member.member))?;
        write_new(&own.join("filegrid-meta.toml"), &configuration.to_string())?;
        made.push(own);
    }
    let own = authority.certify(&Identity::operator(OPERATOR))?;
    write_new(
        &own.join("filegridctl.toml"),
        &settings(cluster, members).to_string(),
    )?;
    made.push(own);
    let mut text = String::new();
    for own in &made {
        text += &format!("made {}\n", own.display());
    }
    let first = made
        .first()
        .map_or_else(String::new, |own| own.display().to_string());
    text += &format!(
        "Bring each member its directory and start it there, such as:\n  \
         cd {first} && filegrid-meta --config filegrid-meta.toml\n"
    );
    Ok(Report::new(
        text,
        json!({ "authority": directory.join("authority.pem"), "directories": made }),
    ))
}

/// Makes a certificate for a member, with a configuration if its address is given.
///
/// # Errors
///
/// See [`Authority::certify`].
pub fn member(
    authority: &Authority,
    directory: &Path,
    id: u64,
    address: Option<&str>,
) -> Result<Report, String> {
    let configuration = match address {
        Some(address) => {
            let known = known(directory)?;
            let known =
                known.ok_or("the configuration of the operator is not there: leave out the address")?;
            let cluster = known
                .get("cluster")
                .and_then(toml::Value::as_str)
                .unwrap_or_default();
            let to = Destination {
                member: id,
                address: address.to_owned(),
            };
            // It waits until it is added.
            Some(of_member(cluster, &[], &to)?)
        }
        None => None,
    };
    let made = authority.certify(&Identity::member(id))?;
    let mut text = format!("made {}\n", made.display());
    if let Some((configuration, address)) = configuration.zip(address) {
        write_new(&made.join("filegrid-meta.toml"), &configuration.to_string())?;
        text += &format!(
            "Bring member {id} its directory, start it there, and add it:\n  \
             cd {} && filegrid-meta --config filegrid-meta.toml\n  \
             filegridctl cluster add {id} {address}\n",
            made.display()
        );
    }
    Ok(Report::new(text, json!({ "directories": [made] })))
}

/// The operator's configuration, if it is there.
fn known(directory: &Path) -> Result<Option<toml::Table>, String> {
    let operator = directory.join(OPERATOR).join("filegridctl.toml");
    let known = match std::fs::read_to_string(&operator) {
        Ok(text) => Some(text.parse::<toml::Table>()),
        Err(_) => None,
    };
    let known = known.transpose();
    known.map_err(|error| format!("{}: {error}", operator.display()))
}

/// The configuration of a member.
fn of_member(cluster: &str, members: &[String], to: &Destination) -> Result<toml::Table, String> {
    let mut settings = settings(cluster, members);
    settings.insert("data".to_owned(), "data".into());
    let id = i64::try_from(to.member).map_err(|_| format!("member {}: too large", to.member))?;
    settings.insert("id".to_owned(), id.into());
    let listen = listen(to)?;
    // Members on one machine cannot all have the default port.
    let is_local = listen.parse().is_ok_and(|at: SocketAddr| at.ip().is_loopback());
    if is_local {
        settings.insert("metrics".to_owned(), "127.0.0.1:0".into());
    }
    // Others learn it from here, where it is not in the list that all have.
    if members.is_empty() && listen != to.address {
        settings.insert("advertise".to_owned(), to.address.clone().into());
    }
    settings.insert("listen".to_owned(), listen.into());
    Ok(settings)
}

/// Makes a certificate for a node, with a configuration if it is known where the members are. One that has no identity yet
/// takes its own from it.
///
/// # Errors
///
/// See [`Authority::certify`].
pub fn node(authority: &Authority, directory: &Path, id: &str) -> Result<Report, String> {
    let known = known(directory)?;
    let made = authority.certify(&Identity::node(id))?;
    let mut text = format!("made {}\n", made.display());
    if let Some(known) = known {
        let settings: toml::Table = known
            .into_iter()
            .map(|(key, value)| (format!("metadata_{key}"), value))
            .collect();
        write_new(&made.join("filegrid.toml"), &settings.to_string())?;
        text += &format!(
            "Bring node {id} its directory and start it there, such as:\n  \
             cd {} && filegrid --config filegrid.toml\n",
            made.display()
        );
    }
    Ok(Report::new(text, json!({ "directories": [made], "node": id })))
}

/// What members and the operator are told alike.
fn settings(cluster: &str, members: &[String]) -> toml::Table {
    let mut table = toml::Table::new();
    table.insert("cluster".to_owned(), cluster.into());
    table.insert("members".to_owned(), members.to_vec().into());
    for (key, file) in [
        ("tls_authority", "authority.pem"),
        ("tls_certificate", "certificate.pem"),
        ("tls_key", "key.pem"),
    ] {
        table.insert(key.to_owned(), file.into());
    }
    table
}

/// Where a member listens that others reach by this address: a name may be one of several addresses that it has.
fn listen(member: &Destination) -> Result<String, String> {
    let address = &member.address;
    if address.parse::<SocketAddr>().is_ok() {
        return Ok(address.clone());
    }
    let port = address
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse::<u16>().ok());
    let port = port.ok_or_else(|| format!("members: {address} has no port"))?;
    Ok(format!("0.0.0.0:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_has_a_name_listens_on_all_addresses() {
        let at = |address: &str| {
            listen(&Destination {
                member: 1,
                address: address.to_owned(),
            })
        };
        assert_eq!(at("10.0.0.1:8090").as_deref(), Ok("10.0.0.1:8090"));
        assert_eq!(at("one.example.com:8090").as_deref(), Ok("0.0.0.0:8090"));
        for wrong in ["one.example.com", "one:port", ""] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
    }
}
