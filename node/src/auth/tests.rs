//! Tokens and logins against a registry on disk.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use filegrid_meta::registry::{AccountChange, Command, Edit, NewAccount, Outcome, Registry, UserChange};
use filegrid_meta::secret::{self, new_user};
use futures::executor::block_on;
use futures::future::BoxFuture;
use uuid::Uuid;

use super::*;
use crate::error::Error;

struct World {
    data: tempfile::TempDir,
    registry: Arc<RegistryFile>,
    login: Arc<Login>,
    keys: UserKeys,
}

fn world(lifetime_s: u64) -> World {
    let data = tempfile::tempdir().unwrap();
    let (registry, keys) = open_registry(data.path(), 1).unwrap();
    let login = Login::start(Arc::clone(&registry), 2, 8, lifetime_s).unwrap();
    World {
        data,
        registry,
        login,
        keys: keys.unwrap().keys,
    }
}

impl World {
    /// Puts a change in force, as if the cluster had decided it.
    fn apply(&self, command: &Command) {
        let mut registry = (*self.registry.current()).clone();
        registry.apply(command).unwrap();
        self.registry.put(Arc::new(registry), None);
    }

    fn try_login(&self, secret: &str) -> Result<String, Error> {
        let json = serde_json::json!({
            "AssociationKey": self.keys.association, "AccessKey": self.keys.access_key, "SecretKey": secret,
        });
        let answer = block_on(
            self.login
                .login(json.to_string().as_bytes(), [127, 0, 0, 1].into()),
        )?;
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        Ok(answer["token"].as_str().unwrap().to_owned())
    }

    fn token(&self) -> String {
        self.try_login(&self.keys.secret_key).unwrap()
    }

    fn change_user(&self, change: UserChange) {
        let command = Command::UpdateUser {
            association: self.keys.association,
            access_key: self.keys.access_key.clone(),
            change,
        };
        self.apply(&command);
    }

    /// Makes an FTP account; its password is `secret`.
    fn account(&self, username: &str, rsa_key: Option<&str>) {
        let account = NewAccount {
            username: username.to_owned(),
            access: filegrid_meta::registry::Access::ReadOnly,
            chroot: "/in".to_owned(),
            password_hash: Some(secret::hash("secret").unwrap()),
            rsa_key: rsa_key.map(str::to_owned),
            description: String::new(),
            enabled: true,
        };
        let association = self.keys.association;
        self.apply(&Command::CreateAccount { association, account });
    }

    fn change_account(&self, change: AccountChange) {
        let association = self.keys.association;
        let command = Command::UpdateAccount {
            association,
            id: 1,
            change,
        };
        self.apply(&command);
    }

    fn log_in(&self, login: &str, password: &str) -> Result<AccountPrincipal, Error> {
        block_on(
            self.login
                .account(login, password.to_owned(), [127, 0, 0, 1].into()),
        )
    }

    fn disable_association(&self) {
        let disable = Command::UpdateAssociation {
            key: self.keys.association,
            name: None,
            enabled: Some(false),
        };
        self.apply(&disable);
    }
}

fn check(authenticator: &Authenticator, token: &str) -> Result<std::rc::Rc<Principal>, Error> {
    authenticator.authenticate(Some(format!("Bearer {token}").as_bytes()))
}

#[test]
fn a_token_works_until_its_user_changes() {
    let world = world(900);
    let token = world.token();
    let authenticator = Authenticator::new(Arc::clone(&world.registry));
    let principal = check(&authenticator, &token).unwrap();
    assert!(principal.require(Scope::FileDelete).is_ok());
    world.change_user(UserChange {
        scopes: Some(Scopes::parse("file.read").unwrap()),
        ..UserChange::default()
    });
    let principal = check(&authenticator, &token).unwrap();
    assert!(
        matches!(principal.require(Scope::FileDelete), Err(Error::Forbidden(text)) if text.contains("file.delete"))
    );
    world.change_user(UserChange {
        enabled: Some(false),
        ..UserChange::default()
    });
    is_refused(check(&authenticator, &token));
    is_refused(world.try_login(&world.keys.secret_key));
    world.change_user(UserChange {
        enabled: Some(true),
        ..UserChange::default()
    });
    check(&authenticator, &token).unwrap();
    world.change_user(UserChange {
        secret_hash: Some(secret::hash("sk_new").unwrap()),
        ..UserChange::default()
    });
    is_refused(check(&authenticator, &token));
    is_refused(world.try_login(&world.keys.secret_key));
    let token = world.try_login("sk_new").unwrap();
    check(&authenticator, &token).unwrap();
    world.disable_association();
    is_refused(check(&authenticator, &token));
    is_refused(world.try_login("sk_new"));
}

#[track_caller]
fn is_refused<T: std::fmt::Debug>(answer: Result<T, Error>) {
    assert!(matches!(answer, Err(Error::Unauthorized(_))), "{answer:?}");
}

#[test]
fn tokens_that_are_not_ours_are_refused() {
    let world = world(900);
    let token = world.token();
    let authenticator = Authenticator::new(Arc::clone(&world.registry));
    let parts: Vec<_> = token.split('.').collect();
    let header = |json: &str| URL_SAFE_NO_PAD.encode(json);
    let forged = [
        format!("{}.{}.", header(r#"{"alg":"none","typ":"JWT"}"#), parts[1]),
        format!(
            "{}.{}.{}",
            header(r#"{"alg":"HS256","typ":"JWT"}"#),
            parts[1],
            parts[2]
        ),
        format!(
            "{}.{}.{}",
            parts[0],
            URL_SAFE_NO_PAD.encode(r#"{"sub":"x"}"#),
            parts[2]
        ),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}x", &token[..token.len() - 1]),
        String::new(),
    ];
    for token in forged {
        assert!(
            matches!(check(&authenticator, &token), Err(Error::Unauthorized(_))),
            "{token}"
        );
    }
    assert!(authenticator.authenticate(None).is_err());
    assert!(authenticator.authenticate(Some(b"Basic abc")).is_err());
}

#[test]
fn an_expired_token_is_refused() {
    let world = world(0);
    let authenticator = Authenticator::new(Arc::clone(&world.registry));
    assert!(
        matches!(check(&authenticator, &world.token()), Err(Error::Unauthorized(text)) if text.contains("expired"))
    );
}

#[test]
fn guessing_is_slowed_for_the_guesser_alone() {
    let world = world(900);
    for _ in 0..6 {
        assert!(matches!(world.try_login("sk_wrong"), Err(Error::Unauthorized(_))));
    }
    assert!(matches!(
        world.try_login("sk_wrong"),
        Err(Error::TooManyRequests { .. })
    ));
    let json = serde_json::json!({
        "AssociationKey": world.keys.association, "AccessKey": world.keys.access_key,
        "SecretKey": world.keys.secret_key,
    });
    assert!(
        block_on(
            world
                .login
                .login(json.to_string().as_bytes(), [127, 0, 0, 2].into())
        )
        .is_ok()
    );
}

#[test]
fn unknown_and_missing_fields_are_named() {
    let world = world(900);
    let refused = |json: &str| match block_on(world.login.login(json.as_bytes(), [127, 0, 0, 1].into())) {
        Err(Error::BadRequest(text)) => text,
        other => panic!("{other:?}"),
    };
    assert!(refused(r#"{"AssociationKey":"a","AccessKey":"b"}"#).contains("SecretKey"));
    assert!(refused(r#"{"Colour":"red"}"#).contains("Colour"));
}

/// Decides for a registry that has no cluster.
struct Here(Arc<RegistryFile>);

impl Authority for Here {
    fn register(&self, command: Command) -> BoxFuture<'_, Result<Outcome, Error>> {
        let mut registry = (*self.0.current()).clone();
        let done = registry.apply(&command).map(|applied| applied.outcome);
        self.0.put(Arc::new(registry), None);
        Box::pin(std::future::ready(done.map_err(Error::from)))
    }
}

#[test]
fn keys_rotate_without_ending_tokens() {
    let world = world(900);
    let token = world.token();
    let authenticator = Authenticator::new(Arc::clone(&world.registry));
    let registry = Arc::clone(&world.registry);
    let registrar = Registrar::start(Arc::clone(&registry), Arc::new(Here(registry))).unwrap();
    let day = 86_400;
    let tend = |now_s| {
        block_on(registrar.tend_keys(now_s, day, 900)).unwrap();
        registrar.current()
    };
    // The first key signs from second 1 on.
    assert_eq!(tend(day).keys().len(), 1, "not due yet");
    let registry = tend(day + 1);
    assert_eq!(registry.keys().len(), 2, "published");
    let signs = |now_s| registry.signing_key(now_s).unwrap().kid.clone();
    let from = registry.keys()[1].signs_from;
    assert!(from > day + 1);
    assert_eq!(signs(from - 1), registry.keys()[0].kid, "not used yet");
    assert_eq!(signs(from), registry.keys()[1].kid);
    check(&authenticator, &token).unwrap();
    assert_eq!(
        tend(from + 900).keys().len(),
        2,
        "a token of the old key may live"
    );
    assert_eq!(
        tend(from + 2000).keys().len(),
        1,
        "no token of the old key can live"
    );
    is_refused(check(&authenticator, &token));
}

#[test]
fn accounts_log_in_by_both_names_with_password_or_key() {
    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJAjRd3RacziVnVOz9qHDDRQKnsxTc4KFNulJRaqEcJM";
    let world = world(900);
    world.account("joe", Some(KEY));
    let full = format!("joe@{}", world.keys.association);
    for login in ["joe", &full] {
        let principal = world.log_in(login, "secret").unwrap();
        assert_eq!(principal.association, *world.keys.association.as_bytes());
        assert_eq!((principal.id, principal.username.as_str()), (1, "joe"));
        assert_eq!(
            (principal.root.to_string().as_str(), principal.may_write),
            ("/in", false)
        );
        is_refused(world.log_in(login, "wrong"));
    }
    for login in ["", "jo", "joe@", &format!("joe@{}", Uuid::new_v4())] {
        is_refused(world.log_in(login, "secret"));
    }
    let key = filegrid_meta::registry::SshKey::parse(KEY).unwrap();
    assert_eq!(world.login.account_with_key("joe", key.blob()).unwrap().id, 1);
    is_refused(world.login.account_with_key("joe", &key.blob()[1..]));
    is_refused(world.login.account_with_key("jo", key.blob()));
    world.change_account(AccountChange {
        password_hash: Edit::Clear,
        ..AccountChange::default()
    });
    is_refused(world.log_in("joe", "secret"));
}

#[test]
fn a_session_ends_with_what_it_was_opened_with() {
    let world = world(900);
    world.account("joe", None);
    let may_go_on = |principal: &AccountPrincipal| principal.is_current(&world.registry.current());
    let first = world.log_in("joe", "secret").unwrap();
    world.change_account(AccountChange {
        description: Some("the scanner".to_owned()),
        ..AccountChange::default()
    });
    assert!(may_go_on(&first));
    world.change_account(AccountChange {
        password_hash: Edit::Set(secret::hash("other").unwrap()),
        ..AccountChange::default()
    });
    assert!(!may_go_on(&first));
    is_refused(world.log_in("joe", "secret"));
    let second = world.log_in("joe", "other").unwrap();
    assert!(may_go_on(&second));
    world.disable_association();
    assert!(!may_go_on(&second));
    is_refused(world.log_in("joe", "other"));
    assert!(!second.is_current(&Registry::default()));
}

#[test]
fn guessing_passwords_is_slowed_whatever_name_is_used() {
    let world = world(900);
    world.account("joe", None);
    let full = format!("joe@{}", world.keys.association);
    for attempt in 0..6 {
        let login = if attempt % 2 == 0 { "joe" } else { &full };
        is_refused(world.log_in(login, "wrong"));
    }
    for login in ["joe", &full] {
        let answer = world.log_in(login, "secret");
        assert!(matches!(answer, Err(Error::TooManyRequests { .. })), "{answer:?}");
    }
    world.account("jim", None);
    world.log_in("jim", "secret").unwrap();
}

#[test]
fn a_password_that_is_too_long_is_wrong() {
    let world = world(900);
    world.account("joe", None);
    let long = |length| "x".repeat(length);
    let most = crate::limits::PASSWORD_MAX_BYTES;
    world.change_account(AccountChange {
        password_hash: Edit::Set(secret::hash(&long(most)).unwrap()),
        ..AccountChange::default()
    });
    world.log_in("joe", &long(most)).unwrap();
    world.change_account(AccountChange {
        password_hash: Edit::Set(secret::hash(&long(most + 1)).unwrap()),
        ..AccountChange::default()
    });
    is_refused(world.log_in("joe", &long(most + 1)));
}

#[test]
fn the_copy_on_the_disk_follows() {
    let world = world(900);
    let version = world.registry.version();
    world.account("joe", None);
    assert!(world.registry.version() > version);
    world.registry.save().unwrap();
    let registry = world.registry.current();
    assert!(registry.lookup("joe").is_some());
    assert_eq!(read_data(world.data.path()).unwrap(), *registry);
    let (again, keys) = open_registry(world.data.path(), 1).unwrap();
    assert_eq!(*again.current(), *registry);
    assert!(keys.is_none());
    // The same once more is no change.
    let version = world.registry.version();
    world.registry.put(Arc::new((*registry).clone()), None);
    assert_eq!(world.registry.version(), version);
}

#[test]
fn what_the_command_line_asks_for_waits_in_order() {
    let world = world(900);
    let (association, data) = (world.keys.association, world.data.path());
    assert!(waiting_changes(data).is_empty());
    let (first, keys) = new_user(association, Scopes::all(), "/", "").unwrap();
    let second = Command::SetOperator {
        sha256: "0".repeat(64),
    };
    assert_eq!(ask(data, &first).unwrap(), Asked::Waits);
    inbox::leave(data, &second).unwrap();
    std::fs::write(data.join("registry.inbox/unfinished.new"), "{").unwrap();
    std::fs::write(data.join("registry.inbox/z.json"), "{").unwrap();
    let [one, two, three] = <[_; 3]>::try_from(waiting_changes(data)).ok().unwrap();
    assert_eq!(
        (one.command.clone().unwrap(), two.command.clone().unwrap()),
        (first, second)
    );
    assert!(three.command.is_err());
    world.apply(&one.command.clone().unwrap());
    assert!(
        world
            .registry
            .current()
            .user(association, &keys.access_key)
            .is_some()
    );
    [one, two, three].into_iter().for_each(inbox::Waiting::finish);
    assert!(waiting_changes(data).is_empty());
    // What is known to be refused is not asked for.
    let (nobody, _) = new_user(Uuid::new_v4(), Scopes::all(), "/", "").unwrap();
    assert!(matches!(ask(data, &nobody), Err(Error::NotFound(_))));
}

#[test]
fn a_node_that_is_cut_off_lets_nobody_in() {
    let world = world(900);
    world.account("joe", None);
    let token = world.token();
    let (long, none) = (Some(Duration::from_secs(600)), Some(Duration::ZERO));
    world.registry.serve(1, long);
    world.log_in("joe", "secret").unwrap();
    world.registry.serve(1, none);
    assert!(world.registry.is_cut_off());
    assert!(matches!(
        world.log_in("joe", "secret"),
        Err(Error::Unavailable { .. })
    ));
    assert!(matches!(
        world.login.account_with_key("joe", b""),
        Err(Error::Unavailable { .. })
    ));
    assert!(matches!(
        world.try_login(&world.keys.secret_key),
        Err(Error::Unavailable { .. })
    ));
    // Who is in may read what there is.
    let authenticator = Authenticator::new(Arc::clone(&world.registry));
    check(&authenticator, &token).unwrap();
    world.registry.serve(1, long);
    world.registry.confirm();
    world.log_in("joe", "secret").unwrap();
    // How long it has been is known after a restart, too.
    world.registry.save().unwrap();
    let hour_ago = std::time::SystemTime::UNIX_EPOCH
        + Duration::from_millis(u64::try_from(crate::clock::now_ms()).unwrap() - 3_600_000);
    let file = std::fs::File::options()
        .write(true)
        .open(world.data.path().join("registry.json"));
    file.unwrap().set_modified(hour_ago).unwrap();
    let (again, _) = open_registry(world.data.path(), 1).unwrap();
    assert!(!again.is_cut_off());
    again.serve(1, long);
    assert!(again.is_cut_off());
    again.confirm();
    assert!(!again.is_cut_off());
}

#[test]
fn what_is_at_home_elsewhere_is_refused_by_name() {
    let world = world(900);
    let association = *world.keys.association.as_bytes();
    world.registry.check_home(&association).unwrap();
    world.apply(&Command::Place {
        key: world.keys.association,
        node: 0xc0ffee,
        from: 0,
    });
    let refused = world.registry.check_home(&association);
    assert!(
        matches!(&refused, Err(Error::Conflict(text)) if text.contains("0000000000c0ffee")),
        "{refused:?}"
    );
    world.registry.serve(0xc0ffee, None);
    world.registry.check_home(&association).unwrap();
}

#[test]
fn a_registry_of_another_format_is_refused() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("registry.json"), r#"{"format":2,"rows":[]}"#).unwrap();
    let error = open_registry(data.path(), 1).err().unwrap();
    assert!(error.contains("format 2"), "{error}");
}
