//! A process with all that it has started: servers that fork for each session spend their time and their memory there.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::stat::{self, Stat};

/// By what part memory must grow beyond what it was when pages were last counted, so that they are counted again.
const GROWTH: f64 = 1.02;

/// A process of the tree, as it was seen last.
#[derive(Clone, Copy, Debug)]
struct Member {
    stat: Stat,
    /// Time of descendants that have ended since they were seen, and which it has not waited for yet: it comes into what
    /// the kernel counts for it when it does. If it never does it is still not forgotten.
    owed: Duration,
}

/// A process and its descendants, also those whose parents have ended. What they have used never goes down.
#[derive(Debug)]
pub struct Tree {
    root: u32,
    members: BTreeMap<u32, Member>,
    /// The most memory so far.
    peak_bytes: u64,
    /// What a quick look said when pages were last counted.
    counted_at_bytes: u64,
}

impl Tree {
    /// Of a process that is there.
    ///
    /// # Errors
    ///
    /// If it is not.
    pub fn new(root: u32) -> Result<Self, String> {
        let mut tree = Self {
            root,
            members: BTreeMap::new(),
            peak_bytes: 0,
            counted_at_bytes: 0,
        };
        tree.look()?;
        Ok(tree)
    }

    /// Sees who is there now.
    fn look(&mut self) -> Result<(), String> {
        let mut found = BTreeMap::new();
        // A parent comes before its children: one that ends in between is then missing, and owed, but not there twice.
        // Those whose parents have ended are known from before.
        let mut waiting: VecDeque<u32> = [self.root].into();
        let known: Vec<u32> = self.members.keys().copied().collect();
        for pid in std::iter::once(self.root).chain(known) {
            waiting.push_back(pid);
            while let Some(pid) = waiting.pop_front() {
                if found.contains_key(&pid) {
                    continue;
                }
                match stat::stat(pid) {
                    Ok(stat) => {
                        let before = self.members.get(&pid);
                        let is_another = before.is_some_and(|member| member.stat.started != stat.started);
                        // A number that was given again belongs to the tree only if it is found from above.
                        if is_another && pid == self.root {
                            return Err(format!("/proc/{pid}/stat: is another process now"));
                        }
                        if !is_another || found.contains_key(&stat.parent) {
                            found.insert(pid, stat);
                            waiting.extend(stat::children(pid));
                        }
                    }
                    Err(error) if pid == self.root => return Err(format!("/proc/{pid}/stat: {error}")),
                    Err(_) => {}
                }
            }
        }
        self.account(&found);
        Ok(())
    }

    /// Settles what is owed for those that have ended.
    fn account(&mut self, found: &BTreeMap<u32, Stat>) {
        let is_same = |pid: &u32, member: &Member| {
            found
                .get(pid)
                .is_some_and(|stat| stat.started == member.stat.started)
        };
        let mut owed: BTreeMap<u32, Duration> = BTreeMap::new();
        for (pid, member) in &self.members {
            let (mut heir, mut time) = (*pid, member.owed);
            if !is_same(pid, member) {
                time += member.stat.own + member.stat.ended;
                heir = self.heir(*pid, &is_same);
            }
            *owed.entry(heir).or_default() += time;
        }
        let member = |(pid, stat): (&u32, &Stat)| {
            let before = self.members.get(pid).filter(|member| is_same(pid, member));
            let waited_for = before.map_or(Duration::ZERO, |member| {
                stat.ended.saturating_sub(member.stat.ended)
            });
            let owed = owed
                .get(pid)
                .copied()
                .unwrap_or_default()
                .saturating_sub(waited_for);
            (*pid, Member { stat: *stat, owed })
        };
        self.members = found.iter().map(member).collect();
    }

    /// The next above one that has ended who is still there.
    fn heir(&self, pid: u32, is_there: &impl Fn(&u32, &Member) -> bool) -> u32 {
        let mut pid = pid;
        // No chain is longer than there are members.
        for _ in 0..self.members.len() {
            let Some(parent) = self.members.get(&pid).map(|member| member.stat.parent) else {
                break;
            };
            pid = parent;
            if self
                .members
                .get(&pid)
                .is_some_and(|member| is_there(&pid, member))
            {
                return pid;
            }
        }
        self.root
    }

    /// User and system time that all have used so far, those that have ended included, in seconds.
    ///
    /// # Errors
    ///
    /// If the process itself has ended.
    pub fn cpu_seconds(&mut self) -> Result<f64, String> {
        self.look()?;
        Ok(self.used().as_secs_f64())
    }

    fn used(&self) -> Duration {
        let each = |member: &Member| member.stat.own + member.stat.ended + member.owed;
        self.members.values().map(each).sum()
    }

    /// Bytes of memory that all have for themselves: pages that are no file's and not in shared memory. What processes
    /// share since a fork counts once.
    ///
    /// # Errors
    ///
    /// If the process itself has ended.
    pub fn memory_bytes(&mut self) -> Result<u64, String> {
        self.look()?;
        Ok(self.count_pages())
    }

    /// Looks whether memory is higher than ever, and says how high it ever was. Costs little: where several processes may
    /// share pages these are counted only when there may be more of them than ever.
    ///
    /// # Errors
    ///
    /// If the process itself has ended.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "compared roughly"
    )]
    pub fn memory_peak_bytes(&mut self) -> Result<u64, String> {
        self.look()?;
        let quick = self
            .members
            .keys()
            .map(|pid| stat::anonymous_bytes(*pid))
            .sum::<u64>();
        let limit = (self.counted_at_bytes as f64 * GROWTH) as u64;
        if self.members.len() < 2 {
            self.peak_bytes = self.peak_bytes.max(quick);
        } else if quick > limit {
            self.counted_at_bytes = quick;
            self.peak_bytes = self.peak_bytes.max(self.count_pages());
        }
        Ok(self.peak_bytes)
    }

    fn count_pages(&self) -> u64 {
        let is_alone = self.members.len() < 2;
        let each = |pid: &u32| {
            let shared = (!is_alone).then(|| stat::proportional_bytes(*pid)).flatten();
            shared.unwrap_or_else(|| stat::anonymous_bytes(*pid))
        };
        self.members.keys().map(each).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A shell with a script; it ends with the test.
    struct Shell(Child);

    impl Shell {
        fn run(script: &str) -> Self {
            let mut command = Command::new("bash");
            command
                .args(["-c", script])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped());
            Self(command.spawn().unwrap())
        }

        /// Lets it go on to its next `read`.
        fn go_on(&mut self) {
            use std::io::Write;
            self.0.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        }

        /// Waits until it says something.
        fn wait(&mut self) -> String {
            use std::io::Read;
            let mut said = String::new();
            let mut byte = [0];
            while self.0.stdout.as_mut().unwrap().read(&mut byte).unwrap() > 0 && byte != *b"\n" {
                said.push(char::from(byte[0]));
            }
            said
        }
    }

    impl Drop for Shell {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// Some tenths of a second of work.
    const WORK: &str = "for ((i = 0; i < 300000; i++)); do :; done";

    #[test]
    fn children_count_while_they_live_and_when_they_have_ended() {
        let script = format!("( {WORK}; echo worked; read -r ) <&0 & wait; echo waited; read -r");
        let mut shell = Shell::run(&script);
        let mut tree = Tree::new(shell.0.id()).unwrap();
        assert_eq!(shell.wait(), "worked");
        let alive = tree.cpu_seconds().unwrap();
        assert!(alive >= 0.05, "{alive}");
        assert_eq!(tree.members.len(), 2);
        shell.go_on();
        assert_eq!(shell.wait(), "waited");
        let ended = tree.cpu_seconds().unwrap();
        assert!(
            ended >= alive && ended < alive + 0.5,
            "{ended} after {alive}: once, not twice"
        );
        assert_eq!(tree.members.len(), 1);
        let anew = Tree::new(shell.0.id()).unwrap().cpu_seconds().unwrap();
        assert!((anew - ended).abs() < 0.02, "{anew} {ended}: nothing is owed");
    }

    #[test]
    fn orphans_are_followed() {
        // The one in the middle ends; its child works on.
        let mut shell = Shell::run(&format!(
            "( ( echo begun; read -r; {WORK}; echo worked; read -r ) <&0 & read -r ) ; echo left; read -r"
        ));
        let mut tree = Tree::new(shell.0.id()).unwrap();
        assert_eq!(shell.wait(), "begun");
        let before = tree.cpu_seconds().unwrap();
        assert!(tree.members.len() >= 3, "{tree:?}");
        shell.go_on();
        shell.go_on();
        let mut said = [shell.wait(), shell.wait()];
        said.sort();
        assert_eq!(said, ["left", "worked"]);
        let after = tree.cpu_seconds().unwrap();
        assert!(after >= before + 0.05, "{before} {after}");
        // It is no child of the shell any more: nobody else finds it.
        assert!(Tree::new(shell.0.id()).unwrap().members.len() < tree.members.len());
    }

    fn seen(pid: u32, parent: u32, own: u64, ended: u64) -> (u32, Stat) {
        let stat = Stat {
            parent,
            started: 1,
            own: Duration::from_millis(own),
            ended: Duration::from_millis(ended),
        };
        (pid, stat)
    }

    #[test]
    fn nothing_is_forgotten_or_counted_twice() {
        let mut tree = Tree {
            root: 1,
            members: BTreeMap::new(),
            peak_bytes: 0,
            counted_at_bytes: 0,
        };
        let mut told = Vec::new();
        for look in [
            vec![seen(1, 0, 5, 0), seen(2, 1, 10, 0), seen(3, 2, 7, 0)],
            // Both below have ended, and nobody has waited for them yet.
            vec![seen(1, 0, 5, 0)],
            // Now it has: they had used a little more since they were seen.
            vec![seen(1, 0, 5, 19)],
            // One ends that nobody ever waits for.
            vec![seen(1, 0, 5, 19), seen(4, 1, 30, 0)],
            vec![seen(1, 0, 6, 19)],
            // Another of the same number is another.
            vec![
                seen(1, 0, 6, 19),
                (
                    4,
                    Stat {
                        started: 9,
                        ..seen(4, 1, 2, 0).1
                    },
                ),
            ],
        ] {
            tree.account(&look.into_iter().collect());
            told.push(tree.used().as_millis());
        }
        assert_eq!(told, [22, 22, 24, 54, 55, 57]);
    }

    #[test]
    fn memory_is_seen_and_its_peak_is_kept() {
        let mut shell = Shell::run(
            "echo small; read -r; ( a=$(printf %30000000s x); echo large; read -r ) <&0 & wait; echo small; read -r",
        );
        let mut tree = Tree::new(shell.0.id()).unwrap();
        assert_eq!(shell.wait(), "small");
        let small = tree.memory_peak_bytes().unwrap();
        assert!((1..20 << 20).contains(&small), "{small}");
        shell.go_on();
        assert_eq!(shell.wait(), "large");
        let large = tree.memory_peak_bytes().unwrap();
        assert!(large > 25 << 20, "{large}");
        shell.go_on();
        assert_eq!(shell.wait(), "small");
        assert!(tree.memory_bytes().unwrap() < large);
        assert_eq!(tree.memory_peak_bytes().unwrap(), large);
    }

    #[test]
    fn pages_shared_by_a_fork_count_once() {
        let mut shell = Shell::run(
            "a=$(printf %30000000s x); for i in 1 2 3 4; do ( echo forked; read -r ) <&0 & done; wait",
        );
        for _ in 0..4 {
            assert_eq!(shell.wait(), "forked");
        }
        let mut tree = Tree::new(shell.0.id()).unwrap();
        assert!(tree.members.len() >= 5);
        let bytes = tree.memory_peak_bytes().unwrap();
        assert!(bytes > 25 << 20 && bytes < 120 << 20, "{bytes}");
    }

    #[test]
    fn nobody_there_is_said() {
        assert!(Tree::new(u32::MAX).unwrap_err().contains("/proc/4294967295/stat"));
    }
}
