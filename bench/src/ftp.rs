//! Puts files by FTP and gets them back, and says how fast it was and what CPU the server spent.
//!
//! Started by `bench/ftp.sh`, also against other servers. One thread a session, each with one file after the other in
//! hand, a passive data connection each. What a server that forks has spent is known once its sessions have ended, so
//! they end before the figures are taken. What logging in costs is measured by itself and taken off: hashes of passwords are
//! slow on purpose.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use clap::Parser;
use filegrid_bench::figures::{number, spread};
use loadtest::process::{cpu_seconds, settled};

/// Measures a running FTP server.
#[derive(Debug, Parser)]
struct Options {
    /// Address of the server.
    #[arg(long)]
    target: SocketAddr,
    /// Process id of the server.
    #[arg(long)]
    pid: u32,
    /// Name to log in with.
    #[arg(long)]
    user: String,
    /// Its password.
    #[arg(long)]
    password: String,
    /// Name of the server in the table.
    #[arg(long)]
    name: String,
    /// The server has a process for each session: what it has spent is known some time after that has ended.
    #[arg(long)]
    forks: bool,
    /// Runs of each row, after one that is not counted.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Bytes of the large file.
    #[arg(long, default_value_t = 1 << 30)]
    large: usize,
    /// Small files, of 4 KiB.
    #[arg(long, default_value_t = 2000)]
    files: usize,
    /// Sessions that small files go over.
    #[arg(long, default_value_t = 16)]
    sessions: usize,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

struct Session(BufReader<TcpStream>);

impl Session {
    fn log_in(options: &Options) -> Outcome<Self> {
        let stream = TcpStream::connect(options.target)?;
        stream.set_nodelay(true)?;
        let mut session = Self(BufReader::new(stream));
        session.reply(220)?;
        session.ask(&format!("USER {}", options.user), 331)?;
        session.ask(&format!("PASS {}", options.password), 230)?;
        session.ask("TYPE I", 200)?;
        Ok(session)
    }

    fn ask(&mut self, line: &str, code: u16) -> Outcome<String> {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes())?;
        self.reply(code)
    }

    fn reply(&mut self, code: u16) -> Outcome<String> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.0.read_line(&mut line)? == 0 {
                return Err("the server has closed the connection".into());
            }
            if line.as_bytes().get(3) == Some(&b' ') && line.bytes().take(3).all(|byte| byte.is_ascii_digit())
            {
                break;
            }
        }
        if line.starts_with(&code.to_string()) {
            Ok(line)
        } else {
            Err(format!("{code} was expected: {line}").into())
        }
    }

    fn data(&mut self, options: &Options) -> Outcome<TcpStream> {
        let text = self.ask("EPSV", 229)?;
        let port = text.split('|').nth(3).ok_or("no port in EPSV's reply")?.parse()?;
        let stream = TcpStream::connect(SocketAddr::new(options.target.ip(), port))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn put(&mut self, options: &Options, name: &str, bytes: usize, payload: &[u8]) -> Outcome<()> {
        let mut stream = self.data(options)?;
        self.ask(&format!("STOR {name}"), 150)?;
        let mut left = bytes;
        while left > 0 {
            let piece = payload.get(..left).unwrap_or(payload);
            stream.write_all(piece)?;
            left -= piece.len();
        }
        drop(stream);
        self.reply(226).map(drop)
    }

    fn get(&mut self, options: &Options, name: &str, bytes: usize, buffer: &mut [u8]) -> Outcome<()> {
        let mut stream = self.data(options)?;
        self.ask(&format!("RETR {name}"), 150)?;
        let mut got = 0;
        loop {
            match stream.read(buffer)? {
                0 => break,
                n => got += n,
            }
        }
        if got != bytes {
            return Err(format!("{name}: {got} bytes instead of {bytes}").into());
        }
        self.reply(226).map(drop)
    }
}

#[allow(clippy::print_stdout, reason = "the figures are what was asked for")]
fn main() -> Outcome<()> {
    let options = Options::parse();
    for (row, up, files, bytes, sessions) in [
        ("STOR large", true, 1, options.large, 1),
        ("RETR large", false, 1, options.large, 1),
        ("STOR 4 KiB", true, options.files, 4096, options.sessions),
        ("RETR 4 KiB", false, options.files, 4096, options.sessions),
    ] {
        let (mut pace, mut cpu, mut after) = (Vec::new(), Vec::new(), Vec::new());
        let logins = logins(&options, sessions)?;
        let amount = if files == 1 {
            number(bytes) / f64::from(1 << 30)
        } else {
            number(files)
        };
        for round in 0..=options.rounds {
            let before = cpu_seconds(options.pid)?;
            let took = run(&options, up, files, bytes, sessions)?;
            let mut spent = cpu_seconds(options.pid)?;
            let last = settled(options.pid)?;
            if options.forks {
                spent = last;
            }
            // The first round warms up.
            if round > 0 {
                pace.push(amount / took);
                cpu.push((spent - before - logins) / amount);
                after.push((last - spent) / amount);
            }
        }
        let name = &options.name;
        if files == 1 {
            let (pace, cpu, after) = (spread(&pace, 2), spread(&cpu, 2), spread(&after, 2));
            println!("| {name} | {row} | {pace} GiB/s | {cpu} s/GiB | {after} s/GiB |");
        } else {
            let us = |seconds: &[f64]| spread(&seconds.iter().map(|each| each * 1e6).collect::<Vec<_>>(), 0);
            println!(
                "| {name} | {row} | {} /s | {} µs | {} µs |",
                spread(&pace, 0),
                us(&cpu),
                us(&after)
            );
        }
    }
    Ok(())
}

/// CPU seconds that so many sessions cost in which nothing is done: the median of three times.
fn logins(options: &Options, sessions: usize) -> Outcome<f64> {
    let mut spent = Vec::new();
    for _ in 0..3 {
        let before = cpu_seconds(options.pid)?;
        run(options, true, 0, 0, sessions)?;
        spent.push(settled(options.pid)? - before);
    }
    spent.sort_by(f64::total_cmp);
    Ok(spent.get(1).copied().unwrap_or_default())
}

/// Moves all files; the seconds from the first command to the last reply. Logins are made before the clock runs.
#[allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn run(options: &Options, up: bool, files: usize, bytes: usize, sessions: usize) -> Outcome<f64> {
    let payload: Vec<u8> = (0..1_u32 << 20)
        .map(|at| u8::try_from(at * 31 % 251).unwrap_or(0))
        .collect();
    let all = (0..sessions)
        .map(|_| Session::log_in(options))
        .collect::<Outcome<Vec<_>>>()?;
    let start = Instant::now();
    let done: Vec<Outcome<Session>> = std::thread::scope(|scope| {
        let started: Vec<_> = all
            .into_iter()
            .enumerate()
            .map(|(number, mut session)| {
                let payload = &payload;
                scope.spawn(move || {
                    let mut buffer = vec![0; 1 << 20];
                    for file in (number..files).step_by(sessions) {
                        let name = format!("bench-{bytes}-{file}");
                        if up {
                            session.put(options, &name, bytes, payload)?;
                        } else {
                            session.get(options, &name, bytes, &mut buffer)?;
                        }
                    }
                    Ok(session)
                })
            })
            .collect();
        let ended = started.into_iter().map(|thread| thread.join());
        ended
            .map(|done| done.unwrap_or_else(|_| Err("a session has died".into())))
            .collect()
    });
    let took = start.elapsed().as_secs_f64();
    for session in done {
        session?.ask("QUIT", 221)?;
    }
    Ok(took)
}
