//! Whole answers: a closed loop, or a constant rate without coordinated omission.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::num::NonZeroU64;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hdrhistogram::Histogram;
use rustix::thread::set_current_timer_slack;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::arguments::{Args, request};
use crate::clock::{now_ns, sleep_until_ns};
use crate::histogram::{hist, pct};
use crate::parser::{BodyState, Parser};
use crate::window::Window;

pub(crate) struct Tally {
    ok: u64,
    not_ok: u64,
    io: u64,
    h: Histogram<u64>,
    statuses: HashMap<u16, u64>,
}

impl Tally {
    fn new() -> Self {
        Tally {
            ok: 0,
            not_ok: 0,
            io: 0,
            h: hist(),
            statuses: HashMap::new(),
        }
    }
    fn add(&mut self, status: u16, ns: u64) {
        if status == 200 {
            self.ok += 1;
            let _ = self.h.record(ns.max(1));
        } else {
            self.not_ok += 1;
        }
        *self.statuses.entry(status).or_default() += 1;
    }
    fn json(&self) -> String {
        let st: Vec<String> = self
            .statuses
            .iter()
            .map(|(k, v)| format!("\"{k}\":{v}"))
            .collect();
        format!(
            "\"ok\":{},\"not_ok\":{},\"io_errors\":{},\"statuses\":{{{}}},{}",
            self.ok,
            self.not_ok,
            self.io,
            st.join(","),
            pct("lat", &self.h)
        )
    }
}

pub(crate) fn unary_rate(a: &Args) -> String {
    let req = Arc::new(request(a, false));
    let t0 = now_ns() + 50_000_000;
    let measure_from = t0 + (a.warmup * 1e9) as u64;
    let end = measure_from + (a.duration * 1e9) as u64;
    let tally = Arc::new(Mutex::new(Tally::new()));
    let late = Arc::new(AtomicU64::new(0));
    let _ = set_current_timer_slack(NonZeroU64::new(1));
    let mut joins = vec![];
    for i in 0..a.conns {
        let (a, req, tally, late) = (a.clone(), req.clone(), tally.clone(), late.clone());
        joins.push(
            std::thread::Builder::new()
                .stack_size(256 * 1024)
                .spawn(move || {
                    let _ = set_current_timer_slack(NonZeroU64::new(1));
                    let mut sock: Option<std::net::TcpStream> = None;
                    let mut local = Tally::new();
                    let mut p = Parser::new();
                    let mut tmp = vec![0u8; 65536];
                    let mut n = 0u64;
                    loop {
                        let due = t0 + (((i as u64 + n * a.conns as u64) as f64) * 1e9 / a.rate) as u64;
                        n += 1;
                        if due >= end {
                            break;
                        }
                        let mut start = due;
                        if now_ns() < due {
                            sleep_until_ns(due);
                            start = now_ns();
                        } else {
                            late.fetch_add(1, Relaxed);
                        }
                        if now_ns() > end + 5_000_000_000 {
                            break;
                        }
                        let done = (|| -> Result<u16, ()> {
                            if sock.is_none() {
                                let s = std::net::TcpStream::connect(&a.addr).map_err(|_| ())?;
                                let _ = s.set_nodelay(true);
                                let _ = s.set_read_timeout(Some(Duration::from_secs(30)));
                                sock = Some(s);
                            }
                            let s = sock.as_mut().unwrap();
                            s.write_all(&req).map_err(|_| ())?;
                            p = Parser::new();
                            loop {
                                if p.advance(|_| {}).map_err(|_| ())? {
                                    break;
                                }
                                let k = s.read(&mut tmp).map_err(|_| ())?;
                                if k == 0 {
                                    return if matches!(p.state, BodyState::UntilClose) {
                                        Ok(p.status)
                                    } else {
                                        Err(())
                                    };
                                }
                                p.buf.extend_from_slice(&tmp[..k]);
                            }
                            Ok(p.status)
                        })();
                        let t = now_ns();
                        match done {
                            Ok(status) => {
                                if due >= measure_from {
                                    local.add(status, t - start);
                                }
                                if p.close {
                                    sock = None;
                                }
                            }
                            Err(()) => {
                                sock = None;
                                if due >= measure_from {
                                    local.io += 1;
                                }
                            }
                        }
                    }
                    let mut all = tally.lock().unwrap();
                    all.ok += local.ok;
                    all.not_ok += local.not_ok;
                    all.io += local.io;
                    all.h.add(&local.h).unwrap();
                    for (k, v) in local.statuses {
                        *all.statuses.entry(k).or_default() += v;
                    }
                })
                .unwrap(),
        );
    }
    sleep_until_ns(measure_from);
    let w = Window::open(a);
    sleep_until_ns(end);
    let win = w.close();
    for j in joins {
        let _ = j.join();
    }
    let tally = tally.lock().unwrap();
    format!(
        "{win},\"rps\":{:.1},\"late\":{},{}",
        tally.ok as f64 / a.duration,
        late.load(Relaxed),
        tally.json()
    )
}

pub(crate) async fn unary_closed(a: &Args) -> String {
    let req = Rc::new(request(a, false));
    let t0 = now_ns();
    let measure_from = t0 + (a.warmup * 1e9) as u64;
    let end = measure_from + (a.duration * 1e9) as u64;
    let tally = Rc::new(RefCell::new(Tally::new()));
    let local = tokio::task::LocalSet::new();
    for _ in 0..a.conns {
        let (a, req, tally) = (a.clone(), req.clone(), tally.clone());
        local.spawn_local(async move {
            let mut p = Parser::new();
            'conn: while now_ns() < end {
                let Ok(mut s) = tokio::net::TcpStream::connect(&a.addr).await else {
                    tally.borrow_mut().io += 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                };
                let _ = s.set_nodelay(true);
                p = Parser::new();
                loop {
                    let start = now_ns();
                    if start >= end {
                        return;
                    }
                    if s.write_all(&req).await.is_err() {
                        tally.borrow_mut().io += 1;
                        continue 'conn;
                    }
                    p.reset();
                    loop {
                        match p.advance(|_| {}) {
                            Ok(true) => break,
                            Ok(false) => {}
                            Err(_) => {
                                tally.borrow_mut().io += 1;
                                continue 'conn;
                            }
                        }
                        match s.read_buf(&mut p.buf).await {
                            Ok(0) | Err(_) => {
                                if !matches!(p.state, BodyState::UntilClose) {
                                    tally.borrow_mut().io += 1;
                                    continue 'conn;
                                }
                                break;
                            }
                            Ok(_) => {}
                        }
                    }
                    let t = now_ns();
                    if t >= measure_from && t < end {
                        tally.borrow_mut().add(p.status, t - start);
                    }
                    if p.close {
                        continue 'conn;
                    }
                }
            }
            drop(p);
        });
    }
    let out = Rc::new(RefCell::new(String::new()));
    let (o2, a2) = (out.clone(), a.clone());
    local
        .run_until(async move {
            tokio::time::sleep(Duration::from_nanos(measure_from.saturating_sub(now_ns()))).await;
            let w = Window::open(&a2);
            tokio::time::sleep(Duration::from_nanos(end.saturating_sub(now_ns()))).await;
            *o2.borrow_mut() = w.close();
        })
        .await;
    let tally = tally.borrow();
    let win = out.borrow().clone();
    format!(
        "{win},\"rps\":{:.1},{}",
        tally.ok as f64 / a.duration,
        tally.json()
    )
}
