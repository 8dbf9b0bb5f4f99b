//! The members: how they are, and changes of them.

use std::fmt::Write as _;
use std::time::Duration;

use filegrid_meta::operators::{PRODUCERS, Producers, REJECTED};
use filegrid_meta::raft::{MembersError, Status};
use filegrid_meta::store::{RejectedPage, RejectedShown};
use filegrid_meta::wire::Destination;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::operator::Operator;
use crate::report::Report;

/// How long a member may take to say how it is, connecting included.
const STATUS_PATIENCE_S: u64 = 5;
/// How long a change may take. A new member gets all rows in that time: some 100 MiB a second.
const CHANGE_PATIENCE_S: u64 = 300;

/// What a member says of itself, or why it does not.
type Told = (Destination, Result<Status, String>);

impl Operator {
    /// How the members are.
    ///
    /// # Errors
    ///
    /// If none answers: why.
    pub async fn status(&self) -> Result<Report, String> {
        let (view, told) = self.view().await?;
        let mut report = show(&self.settings.cluster, &view, &told);
        // How the members are is told also while no member can say how far the nodes are.
        let patience = Duration::from_secs(STATUS_PATIENCE_S);
        match tokio::time::timeout(patience, self.ask(PRODUCERS, &())).await {
            Ok(Ok(producers)) => add_producers(&mut report, &producers),
            Ok(Err(why)) => add_unknown(&mut report, &why),
            Err(_) => add_unknown(&mut report, "no member leads, or none answers"),
        }
        Ok(report)
    }

    /// The changes of nodes that were rejected, with the reasons.
    ///
    /// # Errors
    ///
    /// If no member answers: why.
    pub async fn rejected(&self) -> Result<Report, String> {
        let mut all: Vec<RejectedShown> = Vec::new();
        let mut after = Vec::new();
        loop {
            let page: RejectedPage = self.ask_behind(REJECTED, after).await?;
            all.extend(page.entries);
            match page.next {
                Some(next) => after = next,
                None => break,
            }
        }
        let text = all.iter().map(|of| {
            format!(
                "node {:016x} log {} change {}: {}\n",
                of.node, of.log, of.sequence, of.reason
            )
        });
        let json = all.iter().map(|of| {
            json!({
                "node": format!("{:016x}", of.node), "log": of.log, "sequence": of.sequence, "reason": of.reason,
            })
        });
        Ok(Report::new(text.collect(), json.collect::<Vec<_>>().into()))
    }

    /// Adds a member that votes. Done again, it goes on where it was given up.
    ///
    /// # Errors
    ///
    /// A text that says whether it may have been done.
    pub async fn add(&self, id: u64, address: &str) -> Result<Report, String> {
        let (view, _) = self.view().await?;
        if let Some(other) = view.members.iter().find(|member| member.id == id)
            && other.address != address
        {
            return Err(format!("member {id} is there already, at {}", other.address));
        }
        let change = async {
            self.client.add_learner(id, address).await?;
            self.client.promote(id).await
        };
        let late = format!("member {id} has not caught up yet: see that it runs, and add it again");
        patiently(change, &late).await?;
        Ok(done(format!("member {id} at {address} votes"), "added", id))
    }

    /// Removes a member.
    ///
    /// # Errors
    ///
    /// A text that says whether it may have been done.
    pub async fn remove(&self, id: u64) -> Result<Report, String> {
        patiently(self.client.remove(id), "whether it is removed is unknown").await?;
        Ok(done(format!("member {id} is removed: stop it"), "removed", id))
    }

    /// Lets a member lead.
    ///
    /// # Errors
    ///
    /// A text that says whether it may have been done.
    pub async fn transfer(&self, id: u64) -> Result<Report, String> {
        patiently(self.client.transfer(id), "who leads is unknown").await?;
        Ok(done(format!("member {id} leads"), "leader", id))
    }

    /// The cluster as the member sees it that knows most, and what each one says of itself.
    async fn view(&self) -> Result<(Status, Vec<Told>), String> {
        let mut told = self.ask_each(self.settings.members.clone()).await;
        let Some(view) = newest(&told) else {
            let whys = told.iter().filter_map(|(at, told)| {
                let why = told.as_ref().err()?;
                Some(format!("member {}: {why}", at.member))
            });
            return Err(whys.collect::<Vec<_>>().join("; "));
        };
        let others = view.members.iter().filter_map(|member| {
            let is_known = told
                .iter()
                .any(|(at, told)| at.member == member.id && told.is_ok());
            (!is_known && !member.address.is_empty()).then(|| Destination {
                member: member.id,
                address: member.address.clone(),
            })
        });
        let others = self.ask_each(others.collect()).await;
        told.retain(|(at, told)| told.is_ok() || !others.iter().any(|(other, _)| other.member == at.member));
        told.extend(others);
        let view = newest(&told).unwrap_or(view);
        Ok((view, told))
    }

    async fn ask_each(&self, members: Vec<Destination>) -> Vec<Told> {
        let patience = Duration::from_secs(STATUS_PATIENCE_S);
        join_all(members.into_iter().map(async |member| {
            let status = match tokio::time::timeout(patience, self.client.status(&member)).await {
                Ok(answer) => answer.map_err(|error| error.to_string()),
                Err(_) => Err("it does not answer".to_owned()),
            };
            (member, status)
        }))
        .await
    }
}

/// The leader's own view if it told, otherwise that of the member in the newest term that has applied most.
fn newest(told: &[Told]) -> Option<Status> {
    let all = told.iter().filter_map(|(_, told)| told.as_ref().ok());
    all.max_by_key(|status| (status.term, status.leader == Some(status.id), status.applied))
        .cloned()
}

async fn patiently(change: impl Future<Output = Result<(), MembersError>>, late: &str) -> Result<(), String> {
    match tokio::time::timeout(Duration::from_secs(CHANGE_PATIENCE_S), change).await {
        Ok(changed) => changed.map_err(|error| error.to_string()),
        Err(_) => Err(late.to_owned()),
    }
}

fn done(text: String, what: &str, id: u64) -> Report {
    Report::new(text + "\n", json!({ what: id }))
}

fn show(cluster: &str, view: &Status, told: &[Told]) -> Report {
    let leader = view.leader.map_or("none".to_owned(), |leader| leader.to_string());
    let mut text = format!("cluster {cluster}, term {}, leader {leader}\n", view.term);
    let mut members = Vec::new();
    for member in &view.members {
        let own = told.iter().find(|(at, _)| at.member == member.id);
        let own = own.map_or_else(|| Err("it has no address".to_owned()), |(_, told)| told.clone());
        let votes = if member.voter { "votes" } else { "follows" };
        let mut shown = json!({ "id": member.id, "address": member.address, "voter": member.voter });
        let how = match own {
            Ok(own) => {
                put(&mut shown, "state", own.state.clone().into());
                put(&mut shown, "term", own.term.into());
                put(&mut shown, "entries", own.entries.into());
                put(&mut shown, "applied", own.applied.into());
                put(&mut shown, "persisted", own.persisted.into());
                format!(
                    "{}, {} entries, {} applied, {} of them durable",
                    own.state, own.entries, own.applied, own.persisted
                )
            }
            Err(why) => {
                put(&mut shown, "error", why.clone().into());
                format!("cannot be asked: {why}")
            }
        };
        // Text in memory cannot fail.
        let _ = writeln!(text, "member {} at {}: {votes}, {how}", member.id, member.address);
        members.push(shown);
    }
    Report::new(
        text,
        json!({ "cluster": cluster, "term": view.term, "leader": view.leader, "members": members }),
    )
}

/// How far the nodes are, and what is wrong with that.
fn add_producers(report: &mut Report, told: &Producers) {
    let (mut nodes, mut alarms) = (Vec::new(), Vec::new());
    for of in &told.producers {
        let behind_ms = of.behind_ms(told.now_ms);
        let node = format!("{:016x}", of.node);
        // Text in memory cannot fail.
        let _ = writeln!(
            report.text,
            "node {node} log {}: {} changes applied, {}, {}",
            of.log,
            of.known.applied,
            behind_ms.map_or("nothing told yet".to_owned(), |ms| format!(
                "{} behind",
                seconds(ms)
            )),
            of.heard_ms.map_or("not heard of yet".to_owned(), |ms| format!(
                "heard {} ago",
                seconds(ms)
            )),
        );
        nodes.push(json!({
            "node": node, "log": of.log, "applied": of.known.applied, "behindMs": behind_ms, "heardMs": of.heard_ms,
            "rejected": of.known.rejected,
        }));
        if of.known.rejected > 0 {
            let rejected = of.known.rejected;
            alarms.push(format!(
                "{rejected} changes of node {node}, log {}, were rejected: cluster rejected tells why",
                of.log
            ));
        }
    }
    for alarm in &alarms {
        let _ = writeln!(report.text, "ALARM: {alarm}");
    }
    put(&mut report.json, "nodes", nodes.into());
    put(&mut report.json, "alarms", alarms.into());
}

fn add_unknown(report: &mut Report, why: &str) {
    let _ = writeln!(report.text, "how far the nodes are cannot be told: {why}");
    put(&mut report.json, "nodesError", why.into());
}

fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

fn put(to: &mut Value, key: &str, value: Value) {
    if let Some(object) = to.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}
