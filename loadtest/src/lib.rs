//! A load generator for REST, FTP and SFTP.
//!
//! A run makes a directory of its own, prepares files there, makes requests on many connections, counts them, deletes what it
//! has made, and reports. What it is made of, from the top down; imports point down:
//!
//! | | |
//! |---|---|
//! | `command` | the whole of it |
//! | `report/` | how it is shown |
//! | `run`, `threads`, `worker`, `stage` | connections, and what they do together |
//! | `connect`, `session` | clients of whatever the server speaks |
//! | `rest/` over `http/`, `ftp/`, `sftp/` | one client each, over `wire` and `tls` |
//! | `plan`, `cli` | the options, checked and as given |
//! | `thresholds`, `figures`, `usage`, `tally` | what is counted, and what it came to |
//! | `schedule`, `timer`, `limit`, `progress` | when requests are made, how long they may take, and how far it is |
//! | `target`, `profile`, `files`, `sizes`, `content` | what is done: pure |
//! | `failure`, `units`, `noise`, `process`, `clock`, `limits` | what all use |

pub mod cli;
pub mod clock;
pub mod command;
pub mod connect;
pub mod content;
pub mod failure;
pub mod figures;
pub mod files;
pub mod ftp;
pub mod http;
pub mod limit;
pub mod limits;
pub mod noise;
pub mod plan;
pub mod process;
pub mod profile;
pub mod progress;
pub mod report;
pub mod rest;
pub mod run;
pub mod schedule;
pub mod session;
pub mod sftp;
pub mod sizes;
pub mod stage;
pub mod tally;
pub mod target;
pub mod threads;
pub mod thresholds;
pub mod timer;
pub mod tls;
pub mod units;
pub mod usage;
pub mod wire;
pub mod worker;
