//! What each process takes while a row is measured, from `/proc`: the service, what it stands on,
//! and the load itself, all on the same cores.

use super::process::Server;
use super::services::Services;
use anyhow::Context;
use serde::Serialize;
use std::collections::HashMap;
use std::fmt::Write as _;

const POSTGRES: &str = "postgres";

/// The service's processes.
pub const SERVICE: &str = "service";

/// This process, and the load generators that it starts.
pub const LOAD: &str = "load";

/// One part of what runs, and the processes that it begins with.
struct Part {
    name: &'static str,
    roots: Vec<u32>,
    /// Processor time at the start, in hundredths of a second.
    ticks: u64,
}

/// What a part took.
#[derive(Debug, Clone, Serialize)]
pub struct Used {
    pub name: &'static str,
    pub cpu_seconds: f64,
    /// The most that its processes ever had; of PostgreSQL, whose processes share memory, what they
    /// have at the end, shared pages counted once.
    pub mib: f64,
}

/// Looks at all parts, from its start to [`Meter::stop`].
pub struct Meter {
    parts: Vec<Part>,
}

impl Meter {
    /// These replicas and the load; with PostgreSQL, Redis and Kafka where they have a part in it.
    pub fn start(servers: &[&Server], services: Option<&Services>) -> anyhow::Result<Self> {
        let ids = servers.iter().map(|server| server.id()).collect::<Result<_, _>>()?;
        let mut roots = vec![(SERVICE, ids)];
        if let Some(services) = services {
            roots.push((POSTGRES, services.postgres_processes()?));
            roots.push(("redis", services.redis_processes()?));
            roots.push(("kafka", services.kafka_processes()?));
        }
        roots.push((LOAD, vec![std::process::id()]));
        let table = Table::read()?;
        let parts = roots.into_iter().map(|(name, roots)| {
            let ticks = table.ticks(name, &roots);
            Part { name, roots, ticks }
        });
        Ok(Self { parts: parts.collect() })
    }

    /// What each part took since the start.
    pub fn stop(&self) -> anyhow::Result<Vec<Used>> {
        let table = Table::read()?;
        let used = self.parts.iter().map(|part| {
            // Hundredths of a second, as Linux counts them for programs.
            let ticks = table.ticks(part.name, &part.roots).saturating_sub(part.ticks);
            let members = table.members(part.name, &part.roots);
            let memory = |id: &u32| match part.name {
                POSTGRES => kib(&format!("/proc/{id}/smaps_rollup"), "Pss:"),
                _ => status_mib(*id, "VmHWM:"),
            };
            // One that has just ended has none.
            let mib = members.iter().filter_map(|id| memory(id).ok()).sum();
            Used { name: part.name, cpu_seconds: ticks as f64 / 100.0, mib }
        });
        Ok(used.collect())
    }
}

/// Microseconds of processor time for each of so many things, of one part or of all but the load.
pub fn cost(used: &[Used], part: Option<&str>, done: f64) -> f64 {
    let counts = |used: &&Used| part.map_or(used.name != LOAD, |part| used.name == part);
    let seconds: f64 = used.iter().filter(counts).map(|used| used.cpu_seconds).sum();
    seconds / done * 1e6
}

/// All parts on one line: `service 6.1 s 85 MiB · postgres 8.0 s 120 MiB`.
pub fn line(used: &[Used]) -> String {
    let mut line = String::new();
    for part in used {
        let between = if line.is_empty() { "" } else { " · " };
        // Writing to a String cannot fail.
        let _ =
            write!(line, "{between}{} {:.1} s {:.0} MiB", part.name, part.cpu_seconds, part.mib);
    }
    line
}

/// Every process of the machine, as it stands.
struct Table {
    processes: HashMap<u32, Process>,
}

struct Process {
    parent: u32,
    own_ticks: u64,
    /// Those of its children that ended and were waited for.
    ended_ticks: u64,
}

impl Table {
    fn read() -> anyhow::Result<Self> {
        let mut processes = HashMap::new();
        for entry in std::fs::read_dir("/proc")?.flatten() {
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // One that has just ended is none.
            if let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) {
                processes.insert(id, Process::read(&stat).context("no stat")?);
            }
        }
        Ok(Self { processes })
    }

    /// The processes of a part: PostgreSQL has one for each session, a container those within it.
    /// The load's children are the others, so it stands alone.
    fn members(&self, name: &str, roots: &[u32]) -> Vec<u32> {
        let mut members = roots.to_vec();
        if name != LOAD {
            let children = self.processes.iter().filter(|(_, other)| roots.contains(&other.parent));
            members.extend(children.map(|(id, _)| *id));
        }
        members
    }

    fn ticks(&self, name: &str, roots: &[u32]) -> u64 {
        let members = self.members(name, roots);
        let found = members.iter().filter_map(|id| Some((id, self.processes.get(id)?)));
        let ticks = found.map(|(id, process)| {
            // Sessions of PostgreSQL that ended, and wrk: their time is added to the process that began them.
            process.own_ticks + if roots.contains(id) { process.ended_ticks } else { 0 }
        });
        ticks.sum()
    }
}

impl Process {
    /// Of a line of `/proc/ID/stat`; its fields count from the state, which is number 3.
    fn read(stat: &str) -> Option<Self> {
        let (_, after_name) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            parent: field(4)? as u32,
            own_ticks: field(14)? + field(15)?,
            ended_ticks: field(16)? + field(17)?,
        })
    }
}

/// A line of `/proc/ID/status`, in MiB.
pub fn status_mib(id: u32, line: &str) -> anyhow::Result<f64> {
    kib(&format!("/proc/{id}/status"), line)
}

/// A line of a file of `/proc` that counts in KiB, in MiB.
fn kib(file: &str, name: &str) -> anyhow::Result<f64> {
    let text = std::fs::read_to_string(file)?;
    let line = text.lines().find(|line| line.starts_with(name)).context("no such line")?;
    let kib: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kib / 1_024.0)
}
