//! FTP accounts and their login names.

use super::*;

/// Association and id behind a login name.
fn found(registry: &Registry, login: &str) -> Option<(u128, u64)> {
    let found = registry.lookup(login)?;
    assert_eq!(found.association.key, found.account.association);
    Some((found.association.key.as_u128(), found.account.id))
}

#[test]
fn ids_rise_in_each_association_and_are_not_used_twice() {
    let mut registry = registry(2);
    let made = |registry: &mut Registry, association, name| {
        registry
            .apply(&create(association, account(name)))
            .unwrap()
            .outcome
    };
    assert_eq!(made(&mut registry, 1, "a"), Outcome::Account { id: 1 });
    assert_eq!(made(&mut registry, 1, "b"), Outcome::Account { id: 2 });
    assert_eq!(made(&mut registry, 2, "a"), Outcome::Account { id: 1 });
    registry.apply(&delete(1, 2)).unwrap();
    assert_eq!(made(&mut registry, 1, "b"), Outcome::Account { id: 3 });
    missing(&mut registry, &delete(1, 2));
    missing(&mut registry, &create(9, account("a")));
}

#[test]
fn a_bare_name_means_the_association_that_had_it_first() {
    let mut registry = registry(2);
    registry.apply(&create(1, account("joe"))).unwrap();
    registry.apply(&create(2, account("joe"))).unwrap();
    assert_eq!(found(&registry, "joe"), Some((1, 1)));
    assert_eq!(found(&registry, &format!("joe@{}", key(1))), Some((1, 1)));
    assert_eq!(found(&registry, &format!("joe@{}", key(2))), Some((2, 1)));
    for login in [
        "",
        "@",
        "joe@",
        "joe@x",
        "Joe",
        "joe@@",
        &format!("joe@{}", key(3)),
    ] {
        assert_eq!(found(&registry, login), None, "{login}");
    }
    conflict(&mut registry, &create(1, account("joe")));
}

#[test]
fn a_bare_name_goes_to_nobody_else_while_its_association_exists() {
    let mut registry = registry(3);
    registry.apply(&create(1, account("joe"))).unwrap();
    registry.apply(&create(2, account("joe"))).unwrap();
    registry.apply(&delete(1, 1)).unwrap();
    assert_eq!(
        found(&registry, "joe"),
        None,
        "no other account inherits the name"
    );
    registry.apply(&create(3, account("joe"))).unwrap();
    assert_eq!(found(&registry, "joe"), None);
    registry.apply(&create(1, account("joe"))).unwrap();
    assert_eq!(found(&registry, "joe"), Some((1, 2)));
    registry
        .apply(&Command::DeleteAssociation { key: key(1) })
        .unwrap();
    assert_eq!(found(&registry, "joe"), None);
    registry.apply(&delete(2, 1)).unwrap();
    registry.apply(&create(2, account("joe"))).unwrap();
    assert_eq!(
        found(&registry, "joe"),
        Some((2, 2)),
        "free for accounts made afterwards"
    );
}

#[test]
fn a_renamed_account_claims_its_new_name_and_keeps_the_old_one_from_others() {
    let mut registry = registry(2);
    registry.apply(&create(1, account("old"))).unwrap();
    registry.apply(&create(1, account("other"))).unwrap();
    let rename = |name: &str| AccountChange {
        username: Some(name.to_owned()),
        ..AccountChange::default()
    };
    conflict(&mut registry, &update(1, 1, rename("other")));
    registry.apply(&update(1, 1, rename("new"))).unwrap();
    assert_eq!(found(&registry, "new"), Some((1, 1)));
    assert_eq!(found(&registry, "old"), None);
    registry.apply(&create(2, account("old"))).unwrap();
    assert_eq!(found(&registry, "old"), None);
    registry.apply(&update(1, 2, rename("old"))).unwrap();
    assert_eq!(found(&registry, "old"), Some((1, 2)));
}

#[test]
fn what_may_not_be_is_refused_by_the_name_of_its_field() {
    let mut registry = registry(1);
    for name in ["", "a@b", " a", "a ", "a\nb", "a\0", &"x".repeat(129)] {
        invalid(&mut registry, &create(1, account(name)), "Username");
    }
    for chroot in ["/..", "a\\b", "a/\0", &"x".repeat(256)] {
        let wanted = NewAccount {
            chroot: chroot.to_owned(),
            ..account("a")
        };
        invalid(&mut registry, &create(1, wanted), "Chroot");
    }
    let locked = NewAccount {
        password_hash: None,
        ..account("a")
    };
    invalid(&mut registry, &create(1, locked), "Password");
    let plain = NewAccount {
        password_hash: Some("secret".to_owned()),
        ..account("a")
    };
    invalid(&mut registry, &create(1, plain), "Password");
    let keyed = NewAccount {
        rsa_key: Some("ssh-dss AAAA".to_owned()),
        ..account("a")
    };
    invalid(&mut registry, &create(1, keyed), "RsaKey");
    let described = NewAccount {
        description: "x".repeat(1025),
        ..account("a")
    };
    invalid(&mut registry, &create(1, described), "Description");
    registry.apply(&create(1, account(&"x".repeat(128)))).unwrap();
    registry.apply(&create(1, account("Jürgen M."))).unwrap();
}

#[test]
fn the_version_rises_with_what_sessions_depend_on() {
    let mut registry = registry(1);
    registry.apply(&create(1, account("joe"))).unwrap();
    let version = |registry: &Registry| registry.account(key(1), 1).unwrap().version;
    let same = AccountChange {
        username: Some("joe".to_owned()),
        access: Some(Access::ReadWrite),
        chroot: Some("//".to_owned()),
        enabled: Some(true),
        rsa_key: Edit::Clear,
        ..AccountChange::default()
    };
    let applied = registry.apply(&update(1, 1, same)).unwrap();
    assert_eq!((applied.rows.len(), version(&registry)), (0, 1));
    let described = AccountChange {
        description: Some("the scanner".to_owned()),
        ..AccountChange::default()
    };
    registry.apply(&update(1, 1, described)).unwrap();
    assert_eq!(version(&registry), 1);
    let changes = [
        AccountChange {
            username: Some("jo".to_owned()),
            ..AccountChange::default()
        },
        AccountChange {
            access: Some(Access::ReadOnly),
            ..AccountChange::default()
        },
        AccountChange {
            chroot: Some("/in".to_owned()),
            ..AccountChange::default()
        },
        AccountChange {
            password_hash: Edit::Set(format!("{HASH}2")),
            ..AccountChange::default()
        },
        AccountChange {
            rsa_key: Edit::Set(ED25519.to_owned()),
            ..AccountChange::default()
        },
        AccountChange {
            enabled: Some(false),
            ..AccountChange::default()
        },
    ];
    for (done, change) in changes.into_iter().enumerate() {
        let revision = registry.revision();
        registry.apply(&update(1, 1, change)).unwrap();
        assert_eq!(version(&registry), done as u64 + 2);
        assert_eq!(registry.revision(), revision + 1);
    }
}

#[test]
fn the_last_way_to_log_in_cannot_be_taken_away() {
    let mut registry = registry(1);
    registry.apply(&create(1, account("joe"))).unwrap();
    let no_password = AccountChange {
        password_hash: Edit::Clear,
        ..AccountChange::default()
    };
    invalid(&mut registry, &update(1, 1, no_password.clone()), "Password");
    let keyed = AccountChange {
        rsa_key: Edit::Set(format!("  {ED25519}\n")),
        ..no_password
    };
    registry.apply(&update(1, 1, keyed)).unwrap();
    let account = registry.account(key(1), 1).unwrap();
    assert_eq!(account.rsa_key.as_deref(), Some(ED25519));
    assert!(account.accepts_key(SshKey::parse(ED25519).unwrap().blob()));
    assert!(!account.accepts_key(b""));
}

#[test]
fn a_disabled_association_disables_its_accounts() {
    let mut registry = registry(1);
    registry.apply(&create(1, account("joe"))).unwrap();
    assert!(registry.lookup("joe").unwrap().is_enabled());
    let disable = Command::UpdateAssociation {
        key: key(1),
        name: None,
        enabled: Some(false),
    };
    registry.apply(&disable).unwrap();
    assert!(!registry.lookup("joe").unwrap().is_enabled());
}
