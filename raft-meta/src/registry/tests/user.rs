//! Associations and API users.

use super::*;

fn user(access_key: &str) -> NewUser {
    NewUser {
        access_key: access_key.to_owned(),
        secret_hash: HASH.to_owned(),
        scopes: Scopes::all(),
        root: "/".to_owned(),
        description: String::new(),
    }
}

fn create(user: NewUser) -> Command {
    Command::CreateUser {
        association: key(1),
        user,
    }
}

#[test]
fn users_are_made_changed_and_removed() {
    let mut registry = registry(1);
    registry.apply(&create(user("AK_1"))).unwrap();
    conflict(&mut registry, &create(user("AK_1")));
    let change = |change: UserChange| Command::UpdateUser {
        association: key(1),
        access_key: "AK_1".to_owned(),
        change,
    };
    let narrowed = UserChange {
        scopes: Some(Scopes::parse("file.read").unwrap()),
        root: Some("in//box/".to_owned()),
        ..UserChange::default()
    };
    registry.apply(&change(narrowed)).unwrap();
    let known = registry.user(key(1), "AK_1").unwrap();
    assert_eq!(
        (
            known.root.as_str(),
            known.scopes.to_string().as_str(),
            known.secret_version
        ),
        ("/in/box", "file.read", 1)
    );
    let rotated = UserChange {
        secret_hash: Some(HASH.to_owned()),
        ..UserChange::default()
    };
    registry.apply(&change(rotated)).unwrap();
    assert_eq!(registry.user(key(1), "AK_1").unwrap().secret_version, 2);
    let delete = Command::DeleteUser {
        association: key(1),
        access_key: "AK_1".to_owned(),
    };
    registry.apply(&delete).unwrap();
    missing(&mut registry, &delete);
    missing(&mut registry, &change(UserChange::default()));
}

#[test]
fn bad_fields_of_users_are_named() {
    let mut registry = registry(1);
    for name in ["", "ak_1", "AK_ü", "AK_a b", &format!("AK_{}", "x".repeat(62))] {
        invalid(&mut registry, &create(user(name)), "AccessKey");
    }
    let rooted = NewUser {
        root: "/..".to_owned(),
        ..user("AK_1")
    };
    invalid(&mut registry, &create(rooted), "Root");
    let plain = NewUser {
        secret_hash: "sk_x".to_owned(),
        ..user("AK_1")
    };
    invalid(&mut registry, &create(plain), "SecretKey");
}

#[test]
fn a_deleted_association_takes_along_what_is_its_own() {
    let mut registry = registry(1);
    let before = registry.clone();
    let create_two = Command::CreateAssociation {
        key: key(2),
        name: String::new(),
        node: None,
    };
    registry.apply(&create_two).unwrap();
    registry.apply(&super::create(2, account("joe"))).unwrap();
    let with_user = Command::CreateUser {
        association: key(2),
        user: user("AK_1"),
    };
    registry.apply(&with_user).unwrap();
    conflict(&mut registry, &create_two);
    let delete = Command::DeleteAssociation { key: key(2) };
    registry.apply(&delete).unwrap();
    assert!(
        registry.rows().skip(2).eq(before.rows().skip(2)),
        "all but the position"
    );
    missing(&mut registry, &delete);
    let nil = Command::CreateAssociation {
        key: key(0),
        name: String::new(),
        node: None,
    };
    invalid(&mut registry, &nil, "AssociationKey");
}

#[test]
fn a_home_changes_only_from_where_it_was_seen() {
    let mut registry = registry(1);
    let place = |node, from| Command::Place {
        key: key(1),
        node,
        from,
    };
    registry.apply(&place(7, 0)).unwrap();
    conflict(&mut registry, &place(8, 0));
    assert!(registry.apply(&place(7, 1)).unwrap().rows.is_empty());
    registry.apply(&place(8, 1)).unwrap();
    let home = registry.tenant(key(1)).unwrap().association().home;
    assert_eq!(
        home,
        Some(Home {
            node: 8,
            generation: 2
        })
    );
}

#[test]
fn the_operators_token_is_kept_as_a_hash() {
    let mut registry = registry(0);
    let set = |sha256: &str| Command::SetOperator {
        sha256: sha256.to_owned(),
    };
    let hash = "0123456789abcdef".repeat(4);
    invalid(&mut registry, &set("secret"), "OperatorToken");
    invalid(&mut registry, &set(&"x".repeat(64)), "OperatorToken");
    registry.apply(&set(&hash)).unwrap();
    assert!(registry.apply(&set(&hash)).unwrap().rows.is_empty());
    let copy: Registry = registry.rows().collect();
    assert_eq!(copy.operator(), Some(hash.as_str()));
}

#[test]
fn scopes_are_kept_by_name() {
    let scopes = Scopes::parse("file.read ftpaccount.get edge").unwrap();
    let text = serde_json::to_string(&scopes).unwrap();
    assert_eq!(text, r#""file.read ftpaccount.get edge""#);
    assert_eq!(serde_json::from_str::<Scopes>(&text).unwrap(), scopes);
    let error = serde_json::from_str::<Scopes>(r#""file.fly""#).unwrap_err();
    assert!(error.to_string().contains("file.fly"), "{error}");
}
