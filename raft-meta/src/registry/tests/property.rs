//! What holds after any commands.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "bad@name"]).prop_map(str::to_owned)
}

fn change() -> impl Strategy<Value = AccountChange> {
    let edit = || {
        prop_oneof![
            Just(Edit::Keep),
            Just(Edit::Clear),
            Just(Edit::Set(HASH.to_owned())),
            Just(Edit::Set(ED25519.to_owned())),
        ]
    };
    let fields = (
        prop::option::of(name()),
        prop::option::of(any::<bool>()),
        edit(),
        edit(),
    );
    fields.prop_map(|(username, enabled, password_hash, rsa_key)| AccountChange {
        username,
        enabled,
        password_hash,
        rsa_key,
        ..AccountChange::default()
    })
}

fn command() -> impl Strategy<Value = Command> {
    let association = 1_u128..4;
    prop_oneof![
        1 => association.clone().prop_map(|number| Command::CreateAssociation {
            key: key(number),
            name: String::new(),
            node: None,
        }),
        1 => association.clone().prop_map(|number| Command::DeleteAssociation { key: key(number) }),
        6 => (association.clone(), name()).prop_map(|(number, name)| create(number, account(&name))),
        4 => (association.clone(), 1_u64..6, change())
            .prop_map(|(number, id, change)| update(number, id, change)),
        3 => (association, 1_u64..6).prop_map(|(number, id)| delete(number, id)),
    ]
}

/// Which association each bare name ought to belong to, by the rule as it is documented.
#[derive(Default)]
struct Holders(BTreeMap<String, Uuid>);

impl Holders {
    fn after(&mut self, registry: &Registry, command: &Command) {
        match command {
            Command::DeleteAssociation { key } => self.0.retain(|_, holder| holder != key),
            Command::CreateAccount { association, account } => {
                self.0.entry(account.username.clone()).or_insert(*association);
            }
            Command::UpdateAccount { association, id, .. } => {
                let name = registry.account(*association, *id).unwrap().username.clone();
                self.0.entry(name).or_insert(*association);
            }
            _ => {}
        }
    }
}

fn check(registry: &Registry, holders: &Holders) {
    for tenant in registry.tenants() {
        let association = tenant.association();
        let names: BTreeSet<_> = tenant.accounts().map(|account| &account.username).collect();
        assert_eq!(names.len(), tenant.accounts().len(), "names are unique");
        for account in tenant.accounts() {
            assert!(account.id < association.next_account);
            assert!(account.password_hash.is_some() || account.rsa_key.is_some());
            let full = registry.lookup(&format!("{}@{}", account.username, association.key));
            assert_eq!(full.unwrap().account, *account);
            let bare = registry.lookup(&account.username).map(|found| found.account);
            let holds = holders.0.get(&account.username) == Some(&association.key);
            assert_eq!(bare.as_ref() == Some(account), holds);
        }
    }
}

proptest! {
    #[test]
    fn names_ids_and_copies_agree(commands in prop::collection::vec(command(), 0..60)) {
        let mut registry = registry(2);
        let mut copy: Registry = registry.rows().collect();
        let mut holders = Holders::default();
        let mut made = BTreeSet::new();
        for command in &commands {
            let (before, revision) = (registry.clone(), registry.revision());
            // As it is after a turn through the log.
            let command: Command =
                serde_json::from_str(&serde_json::to_string(command).unwrap()).unwrap();
            match registry.apply(&command) {
                Err(_) => prop_assert_eq!(&registry, &before),
                Ok(applied) => {
                    prop_assert_eq!(&copy.resolve(&command).unwrap(), &applied, "copies decide alike");
                    prop_assert_eq!(registry.revision(), revision + u64::from(!applied.rows.is_empty()));
                    for row in applied.rows {
                        copy.put(row);
                    }
                    holders.after(&registry, &command);
                    if let Command::DeleteAssociation { key } = &command {
                        made.retain(|(association, _)| association != key);
                    }
                    if let (Command::CreateAccount { association, .. }, Outcome::Account { id }) =
                        (&command, applied.outcome)
                    {
                        prop_assert!(made.insert((*association, id)), "an id is used twice");
                    }
                }
            }
            prop_assert_eq!(&copy, &registry);
            check(&registry, &holders);
        }
        let read: Registry = registry.rows().collect();
        prop_assert_eq!(&read, &registry, "rows tell all");
    }
}
