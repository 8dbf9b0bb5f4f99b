//! Archives against Python's reader, and ranges against the whole.

use proptest::prelude::*;

use super::*;

fn contents(sizes: &[usize]) -> Vec<Vec<u8>> {
    sizes
        .iter()
        .enumerate()
        .map(|(at, size)| vec![u8::try_from(at % 251).unwrap(); *size])
        .collect()
}

fn layout(contents: &[Vec<u8>]) -> Layout {
    let entry = |(at, bytes): (usize, &Vec<u8>)| Entry {
        name: format!("dir/ä {at}.txt"),
        size: bytes.len() as u64,
        crc32: crc32fast::hash(bytes),
        mtime_ms: 1_600_000_000_000,
    };
    Layout::new(contents.iter().enumerate().map(entry).collect())
}

fn bytes(layout: &Layout, contents: &[Vec<u8>], range: Range<u64>) -> Vec<u8> {
    layout
        .pieces(range)
        .flat_map(|piece| match piece {
            Piece::Bytes(bytes) => bytes,
            Piece::File { entry, range } => contents[entry]
                [usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]
                .to_vec(),
        })
        .collect()
}

proptest! {
    #[test]
    fn a_range_is_that_part_of_the_whole(
        sizes in proptest::collection::vec(0_usize..50, 0..6),
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
    ) {
        let contents = contents(&sizes);
        let layout = layout(&contents);
        let whole = bytes(&layout, &contents, 0..layout.length());
        prop_assert_eq!(whole.len() as u64, layout.length());
        let (from, to) = (from.index(whole.len()), to.index(whole.len()));
        let (from, to) = (from.min(to), from.max(to));
        prop_assert_eq!(bytes(&layout, &contents, from as u64..to as u64), &whole[from..to]);
    }
}

#[test]
fn python_reads_it() {
    if std::process::Command::new("python3")
        .arg("--version")
        .output()
        .is_err()
    {
        assert!(
            std::env::var_os("FILEGRID_REQUIRE_CLIENTS").is_none(),
            "python3 is missing"
        );
        eprintln!("skipped: python3 is missing");
        return;
    }
    let contents = contents(&[0, 1, 5000]);
    let layout = layout(&contents);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes(&layout, &contents, 0..layout.length())).unwrap();
    let script = "import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\nassert z.testzip() is None\n\
        print([(i.filename, i.file_size, i.date_time[:3]) for i in z.infolist()])";
    let output = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(file.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("('dir/ä 2.txt', 5000, (2020, 9, 13))"), "{shown}");
}

#[test]
fn zip64_appears_exactly_where_it_is_needed() {
    let entry = |size| Entry {
        name: "n".to_owned(),
        size,
        crc32: 0,
        mtime_ms: 0,
    };
    let small = Layout::new(vec![entry(0xffff_fffe)]);
    assert_eq!(
        small.length(),
        30 + 1 + 9 + 0xffff_fffe + 46 + 1 + 9 + 98,
        "the central directory lies beyond 4 GiB"
    );
    let large = Layout::new(vec![entry(0xffff_ffff), entry(1)]);
    let first = 30 + 1 + 9 + 20 + 0xffff_ffff_u64;
    let second = first + 30 + 5 + 9 + 1;
    assert_eq!(
        large.length(),
        second + (46 + 1 + 9 + 20) + (46 + 5 + 9 + 12) + 98
    );
    let many = |count| {
        Layout::new(
            (0..count)
                .map(|at| Entry {
                    name: format!("{at:06}"),
                    ..entry(0)
                })
                .collect(),
        )
    };
    assert_eq!(many(65_534).length(), 65_534 * (30 + 6 + 9 + 46 + 6 + 9) + 22);
    assert_eq!(many(65_535).length(), 65_535 * (30 + 6 + 9 + 46 + 6 + 9) + 98);
}

#[test]
fn names_that_are_taken_get_a_number() {
    let entry = |name: &str| Entry {
        name: name.to_owned(),
        size: 0,
        crc32: 0,
        mtime_ms: 0,
    };
    let layout = Layout::new(
        ["a/b.txt", "a/b.txt", "a/b (2).txt", "c", "c"]
            .map(entry)
            .to_vec(),
    );
    let names: Vec<_> = layout.entries().iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["a/b.txt", "a/b (2).txt", "a/b (2) (2).txt", "c", "c (2)"]);

    // Trying every number anew for every file would never end.
    let same = Layout::new(vec![entry("d.d/.a"); 100_000]);
    let last = same.entries().last().unwrap();
    assert_eq!(last.name, "d.d/.a (100000)");
}
