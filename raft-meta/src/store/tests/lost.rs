//! What a node has lost is shown until something is put in its place.

use super::*;
use crate::limits::LOST_MAX_COUNT;

fn lose(epoch: u64, at: u64, names: &[String]) -> Command {
    let mark = |name: &String| LostMark {
        association: association(1),
        node: NODE,
        path: format!("/{name}"),
    };
    let entries = names.iter().map(|name| Lost::new(DIRECTORY, name, mark(name)));
    Command::Lost {
        node: NODE,
        log: 0,
        epoch,
        at,
        entries: entries.collect(),
    }
}

/// Paths of all that is lost, a page of two after the other.
fn lost(world: &World) -> Vec<String> {
    let (mut paths, mut after) = (Vec::new(), Vec::new());
    loop {
        let page = LostPage::of(&world.store.view(), &after, 2).unwrap();
        assert_eq!(LostPage::read(&page.write()), Some(page.clone()));
        paths.extend(page.entries.into_iter().map(|entry| entry.mark.path));
        match page.next {
            Some(next) => after = next,
            None => return paths,
        }
    }
}

fn names(all: &[&str]) -> Vec<String> {
    all.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_mark_ends_when_its_row_is_put_or_deleted() {
    let mut world = World::with_home();
    let five = ["a", "b", "c", "d", "e"];
    world.one(Command::Ship(batch(1, 1, five.map(|name| put(1, name)).into())));
    assert_eq!(world.one(lose(2, 5, &names(&["a"]))), Reply::Fenced);
    assert_eq!(world.one(lose(1, 4, &names(&["a"]))), Reply::Gap(6), "it is late");
    assert_eq!(lost(&world), [""; 0]);
    assert_eq!(world.one(lose(1, 5, &names(&five))), Reply::Applied(5));
    assert_eq!(lost(&world), ["/a", "/b", "/c", "/d", "/e"]);
    assert_eq!(world.names(), five, "what is lost stays");
    // Marks that are read when the store is opened end as well.
    let mut world = world.reopen();
    let moved = Op::Rename {
        from_directory: DIRECTORY,
        from_name: "b".to_owned(),
        to_directory: DIRECTORY,
        to_name: "c".to_owned(),
        row: Row::Dir(DirRow {
            id: Id([2; 16]),
            created_at: 1,
            updated_at: None,
            mtime: 1,
            protocol: Protocol::Api,
        }),
    };
    let detached = Op::Detach {
        directory: DIRECTORY,
        name: "d".to_owned(),
        id: Id([2; 16]),
    };
    let changes = vec![put(1, "a"), change(1, vec![moved, detached])];
    assert_eq!(world.one(Command::Ship(batch(1, 6, changes))), Reply::Applied(7));
    assert_eq!(lost(&world), ["/e"]);
    assert_eq!(lost(&world.reopen()), ["/e"]);
}

#[test]
fn marks_are_bounded() {
    let mut world = World::with_home();
    let many: Vec<_> = (0..=LOST_MAX_COUNT)
        .map(|number| format!("{number:07}"))
        .collect();
    world.one(lose(1, 0, &many));
    let (_, kept) = many.split_last().unwrap();
    let all: Vec<_> = kept.iter().map(|name| format!("/{name}")).collect();
    let mut found = Vec::new();
    let mut after = Vec::new();
    loop {
        let page = LostPage::of(&world.store.view(), &after, usize::MAX).unwrap();
        assert!(page.entries.len() <= crate::limits::LOST_PAGE_MAX_COUNT);
        found.extend(page.entries.into_iter().map(|entry| entry.mark.path));
        let Some(next) = page.next else { break };
        after = next;
    }
    assert_eq!(found, all);
    // One that is marked already is marked again.
    assert_eq!(world.one(lose(1, 0, &many[..1])), Reply::Applied(0));
}
