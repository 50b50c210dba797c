//! What processes used of the machine during a measurement.

use std::collections::HashMap;

use crate::arguments::Args;
use crate::clock::now_ns;

pub(crate) fn stat(pid: u32) -> Option<(u32, u64)> {
    let s = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest = s.rsplit_once(')')?.1;
    let f: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some((
        f[1].parse().ok()?,
        f[11].parse::<u64>().ok()? + f[12].parse::<u64>().ok()?,
    ))
}

pub(crate) fn tree(root: u32) -> Vec<u32> {
    let mut parents: HashMap<u32, Vec<u32>> = HashMap::new();
    for e in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        if let Some(pid) = e.file_name().to_str().and_then(|s| s.parse::<u32>().ok()) {
            if let Some((ppid, _)) = stat(pid) {
                parents.entry(ppid).or_default().push(pid);
            }
        }
    }
    let mut all = vec![root];
    let mut i = 0;
    while i < all.len() {
        if let Some(kids) = parents.get(&all[i]) {
            all.extend(kids);
        }
        i += 1;
    }
    all
}

pub(crate) fn cpu_s(pids: &[u32]) -> f64 {
    let hz = rustix::param::clock_ticks_per_second() as f64;
    pids.iter()
        .filter_map(|p| stat(*p))
        .map(|x| x.1 as f64)
        .sum::<f64>()
        / hz
}

/// Private + shared pages of the whole tree, each shared page counted once (PSS).
pub(crate) fn pss_kb(pids: &[u32]) -> u64 {
    pids.iter()
        .filter_map(|p| std::fs::read_to_string(format!("/proc/{p}/smaps_rollup")).ok())
        .filter_map(|s| {
            s.lines().find_map(|l| {
                l.strip_prefix("Pss:")
                    .and_then(|v| v.trim().trim_end_matches(" kB").trim().parse::<u64>().ok())
            })
        })
        .sum()
}

pub(crate) fn machine() -> (f64, f64) {
    let s = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let f: Vec<f64> = s
        .lines()
        .next()
        .unwrap_or("")
        .split_ascii_whitespace()
        .skip(1)
        .filter_map(|x| x.parse().ok())
        .collect();
    (f.get(7).copied().unwrap_or(0.0), f.iter().take(8).sum())
}

pub(crate) struct Window {
    pub(crate) pids: Vec<u32>,
    other: Vec<u32>,
    t: u64,
    cpu: f64,
    other_cpu: f64,
    own: f64,
    steal: (f64, f64),
}

impl Window {
    pub(crate) fn open(a: &Args) -> Self {
        let pids = if a.pid > 0 { tree(a.pid) } else { vec![] };
        let other = if a.other > 0 { tree(a.other) } else { vec![] };
        Window {
            t: now_ns(),
            cpu: cpu_s(&pids),
            other_cpu: cpu_s(&other),
            own: cpu_s(&[std::process::id()]),
            steal: machine(),
            pids,
            other,
        }
    }
    pub(crate) fn close(&self) -> String {
        let secs = (now_ns() - self.t) as f64 / 1e9;
        let (s1, t1) = machine();
        format!(
            "\"window_s\":{:.3},\"cpu_s\":{:.3},\"upstream_cpu_s\":{:.3},\"client_cpu_s\":{:.3},\"steal_pct\":{:.2},\"pss_kb\":{}",
            secs,
            cpu_s(&self.pids) - self.cpu,
            cpu_s(&self.other) - self.other_cpu,
            cpu_s(&[std::process::id()]) - self.own,
            100.0 * (s1 - self.steal.0) / (t1 - self.steal.1).max(1.0),
            pss_kb(&self.pids)
        )
    }
}
