//! Tokens and logins against a registry on disk.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::executor::block_on;

use super::*;
use crate::error::Error;

struct World {
    _data: tempfile::TempDir,
    registry: Arc<RegistryFile>,
    login: Arc<Login>,
    keys: FirstKeys,
}

fn world(lifetime_s: u64) -> World {
    let data = tempfile::tempdir().unwrap();
    let (registry, keys) = RegistryFile::open(data.path(), 1).unwrap();
    let login = Login::start(Arc::clone(&registry), 2, 8, lifetime_s).unwrap();
    World {
        _data: data,
        registry,
        login,
        keys: keys.unwrap(),
    }
}

impl World {
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

    fn change_user(&self, change: impl FnOnce(&mut ApiUser)) {
        self.registry
            .change(|registry| {
                change(&mut registry.associations[0].users[0]);
                Ok(())
            })
            .unwrap();
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
    world.change_user(|user| user.scopes = "file.read".to_owned());
    let principal = check(&authenticator, &token).unwrap();
    assert!(
        matches!(principal.require(Scope::FileDelete), Err(Error::Forbidden(text)) if text.contains("file.delete"))
    );
    world.change_user(|user| user.secret_version = 2);
    assert!(matches!(
        check(&authenticator, &token),
        Err(Error::Unauthorized(_))
    ));
    world.change_user(|user| user.secret_version = 1);
    assert!(check(&authenticator, &token).is_ok());
    world.change_user(|user| user.enabled = false);
    assert!(matches!(
        check(&authenticator, &token),
        Err(Error::Unauthorized(_))
    ));
    assert!(matches!(
        world.try_login(&world.keys.secret_key),
        Err(Error::Unauthorized(_))
    ));
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

#[test]
fn keys_rotate_without_ending_tokens() {
    let world = world(900);
    let token = world.token();
    let authenticator = Authenticator::new(Arc::clone(&world.registry));
    let day = 86_400;
    let now = crate::clock::now_s();
    world
        .registry
        .change(|registry| registry.rotate(now, day, 900, 60))
        .unwrap();
    let registry = world.registry.current();
    assert_eq!(registry.keys.len(), 2, "published");
    assert_eq!(
        registry.signing_key(now).unwrap().kid,
        registry.keys[0].kid,
        "not used yet"
    );
    assert_eq!(registry.signing_key(now + 60).unwrap().kid, registry.keys[1].kid);
    assert!(check(&authenticator, &token).is_ok());
    world
        .registry
        .change(|registry| registry.rotate(now + 2000, day, 900, 60))
        .unwrap();
    assert_eq!(
        world.registry.current().keys.len(),
        1,
        "no token of the old key can live"
    );
    assert!(check(&authenticator, &token).is_err());
}
