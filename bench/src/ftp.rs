//! Puts files by FTP and gets them back, and says how fast it was and what CPU the server spent.
//!
//! Started by `bench/ftp.sh`, also against other servers. One thread a session, each with one file after the other in
//! hand, a passive data connection each. What a server that forks has spent is known once its sessions have ended, so
//! they end before the figures are taken.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use clap::Parser;
use filegrid_bench::process::{cpu_seconds, settled};

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
        let (mut seconds, mut cpu) = (Vec::new(), Vec::new());
        for round in 0..=options.rounds {
            let before = cpu_seconds(options.pid)?;
            let took = run(&options, up, files, bytes, sessions)?;
            let spent = settled(options.pid)? - before;
            // The first round warms up.
            if round > 0 {
                seconds.push(took);
                cpu.push(spent);
            }
        }
        let (took, spent) = (median(&mut seconds), median(&mut cpu));
        let figures = if files == 1 {
            let gib = number(bytes) / f64::from(1 << 30);
            format!("{:.2} GiB/s, {:.2} s of CPU per GiB", gib / took, spent / gib)
        } else {
            let files = number(files);
            format!("{:.0}/s, {:.0} µs of CPU each", files / took, spent / files * 1e6)
        };
        println!("| {} | {row} | {sessions} | {figures} |", options.name);
    }
    Ok(())
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

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[allow(clippy::cast_precision_loss, reason = "figures are shown with a few digits")]
fn number(count: usize) -> f64 {
    count as f64
}
