//! Nodes against the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use filegrid_meta::nodes::LOST;
use filegrid_meta::operators::{PRODUCERS, Producers};
use filegrid_meta::registry::{Command, Outcome};
use filegrid_meta::store::{LostEntry, LostPage, ProducerShown};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::operator::{Operator, unreadable};
use crate::report::Report;

/// How often is looked whether nodes have answered.
const LOOK_MS: u64 = 300;

impl Operator {
    /// Has nodes compare their rows with the cluster's, all if none is named, and waits for what comes of it.
    ///
    /// # Errors
    ///
    /// If a node is not known, or no member answers: why.
    pub async fn fsck(&self, nodes: &[u64], patience: Duration) -> Result<Report, String> {
        let deadline = Instant::now() + patience;
        let known: Producers = self.ask(PRODUCERS, &()).await?;
        let mut nodes: BTreeSet<u64> = nodes.iter().copied().collect();
        if nodes.is_empty() {
            nodes.extend(known.producers.iter().map(|of| of.node));
        }
        if nodes.is_empty() {
            return Err("no node has come to the cluster yet".to_owned());
        }
        let mut asked = BTreeMap::new();
        for node in nodes {
            if let Outcome::Compare { number } = self.register(&Command::Compare { node }).await? {
                asked.insert(node, number);
            }
        }
        loop {
            let told: Producers = self.ask(PRODUCERS, &()).await?;
            let logs = told
                .producers
                .iter()
                .filter_map(|of| Some((of, *asked.get(&of.node)?)));
            let logs: Vec<_> = logs.collect();
            let is_over = logs.iter().all(|(of, number)| has_answered(of, *number));
            if is_over || Instant::now() >= deadline {
                return Ok(report(&logs));
            }
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        }
    }

    /// What nodes have lost.
    ///
    /// # Errors
    ///
    /// If no member answers: why.
    pub async fn lost(&self) -> Result<Report, String> {
        let mut all: Vec<LostEntry> = Vec::new();
        let mut after = Vec::new();
        loop {
            let answer = self.insist(LOST, after, &mut false).await?;
            let page = LostPage::read(&answer).ok_or_else(|| unreadable(&"a page of what is lost"))?;
            all.extend(page.entries);
            match page.next {
                Some(next) => after = next,
                None => break,
            }
        }
        let text = all.iter().map(|of| {
            let what = if of.is_dir { "directory, all below" } else { "file" };
            let mark = &of.mark;
            format!(
                "{} node {:016x}: {} ({what}, {} bytes)\n",
                mark.association, mark.node, mark.path, of.size
            )
        });
        let json = all.iter().map(|of| {
            json!({
                "associationKey": of.mark.association, "node": format!("{:016x}", of.mark.node), "path": of.mark.path,
                "isDir": of.is_dir, "size": of.size,
            })
        });
        Ok(Report::new(text.collect(), json.collect::<Vec<_>>().into()))
    }
}

fn has_answered(log: &ProducerShown, number: u64) -> bool {
    log.known.compared.number >= number
}

fn report(logs: &[(&ProducerShown, u64)]) -> Report {
    let (mut text, mut shown) = (String::new(), Vec::<Value>::new());
    let mut failed = false;
    for (of, number) in logs {
        let node = format!("{:016x}", of.node);
        let head = format!("node {node} log {}", of.log);
        if !has_answered(of, *number) {
            failed = true;
            text += &format!("{head}: has not answered yet, and compares when it can\n");
            shown.push(json!({ "node": node, "log": of.log, "answered": false }));
            continue;
        }
        let compared = of.known.compared;
        failed |= compared.sent > 0 || compared.lost > 0;
        text += &format!(
            "{head}: {} rows compared, {} sent to the cluster, {} lost\n",
            compared.rows, compared.sent, compared.lost
        );
        shown.push(json!({
            "node": node, "log": of.log, "answered": true, "rows": compared.rows, "sent": compared.sent,
            "lost": compared.lost,
        }));
    }
    Report {
        text,
        json: json!({ "alike": !failed, "logs": shown }),
        failed,
    }
}
