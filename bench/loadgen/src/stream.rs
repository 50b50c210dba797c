//! Streams: first byte, transit time per chunk, jitter, open streams.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::arguments::{Args, request};
use crate::clock::now_ns;
use crate::histogram::{hist, pct};
use crate::parser::{BodyState, Parser};
use crate::window::{Window, pss_kb};

pub(crate) struct StreamTally {
    streams: u64,
    failed: u64,
    chunks: u64,
    body_bytes: u64,
    reads: u64,
    open: u64,
    peak_open: u64,
    ttfb: Histogram<u64>,
    transit: Histogram<u64>,
    jitter: Histogram<u64>,
    statuses: HashMap<u16, u64>,
}

pub(crate) async fn one_stream(
    s: &mut tokio::net::TcpStream,
    p: &mut Parser,
    req: &[u8],
    carry: &mut Vec<u8>,
    t: &Rc<RefCell<StreamTally>>,
    from: u64,
    end: u64,
    finder: &memchr::memmem::Finder<'static>,
    hard_end: u64,
) -> bool {
    let start = now_ns();
    if s.write_all(req).await.is_err() {
        t.borrow_mut().failed += 1;
        return false;
    }
    p.reset();
    carry.clear();
    let (mut first, mut prev) = (true, None::<(u64, u64)>);
    loop {
        let now = now_ns();
        let measured = now >= from && now < end;
        let done = p.advance(|body| {
            let mut tl = t.borrow_mut();
            if measured {
                tl.body_bytes += body.len() as u64;
            }
            if first && !body.is_empty() {
                first = false;
                if start >= from {
                    let _ = tl.ttfb.record((now - start).max(1));
                }
            }
            carry.extend_from_slice(body);
            let mut at = 0;
            while let Some(i) = finder.find(&carry[at..]) {
                let s0 = at + i + 2;
                if s0 + 20 > carry.len() {
                    break;
                }
                let sent = carry[s0..s0 + 20]
                    .iter()
                    .fold(0u64, |v, b| v.wrapping_mul(10).wrapping_add((b - b'0') as u64));
                at = s0 + 20;
                if measured {
                    tl.chunks += 1;
                    let _ = tl.transit.record(now.saturating_sub(sent).max(1));
                    if let Some((ps, pr)) = prev {
                        let j = (now as i64 - pr as i64) - (sent as i64 - ps as i64);
                        let _ = tl.jitter.record(j.unsigned_abs().max(1));
                    }
                }
                prev = Some((sent, now));
            }
            let keep = carry.len().saturating_sub(25).max(at);
            carry.drain(..keep);
        });
        match done {
            Ok(true) => break,
            Ok(false) => {}
            Err(_) => {
                t.borrow_mut().failed += 1;
                return false;
            }
        }
        let left = hard_end.saturating_sub(now_ns());
        match tokio::time::timeout(Duration::from_nanos(left), s.read_buf(&mut p.buf)).await {
            Err(_) => return false,
            Ok(Ok(n)) if n > 0 => {
                if measured {
                    t.borrow_mut().reads += 1;
                }
            }
            Ok(_) => {
                if matches!(p.state, BodyState::UntilClose) {
                    break;
                }
                t.borrow_mut().failed += 1;
                return false;
            }
        }
    }
    let mut tl = t.borrow_mut();
    *tl.statuses.entry(p.status).or_default() += 1;
    if p.status == 200 && !first {
        if now_ns() >= from && now_ns() < end {
            tl.streams += 1;
        }
    } else {
        tl.failed += 1;
    }
    !p.close
}

pub(crate) async fn stream(a: &Args) -> String {
    let req = Rc::new(request(a, true));
    let t0 = now_ns();
    let from = t0 + (a.warmup.max(a.ramp) * 1e9) as u64;
    let end = from + (a.duration * 1e9) as u64;
    let t = Rc::new(RefCell::new(StreamTally {
        streams: 0,
        failed: 0,
        chunks: 0,
        body_bytes: 0,
        reads: 0,
        open: 0,
        peak_open: 0,
        ttfb: hist(),
        transit: hist(),
        jitter: hist(),
        statuses: HashMap::new(),
    }));
    let local = tokio::task::LocalSet::new();
    let finder = memchr::memmem::Finder::new(b"t=0000").into_owned();
    for i in 0..a.conns {
        let (a, req, t, finder) = (a.clone(), req.clone(), t.clone(), finder.clone());
        local.spawn_local(async move {
            tokio::time::sleep(Duration::from_secs_f64(a.ramp * i as f64 / a.conns as f64)).await;
            let mut carry = Vec::new();
            'conn: while now_ns() < end {
                let Ok(mut s) = tokio::net::TcpStream::connect(&a.addr).await else {
                    t.borrow_mut().failed += 1;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                let _ = s.set_nodelay(true);
                let mut p = Parser::new();
                p.buf = Vec::with_capacity(2048);
                loop {
                    if now_ns() >= end {
                        return;
                    }
                    {
                        let mut tl = t.borrow_mut();
                        tl.open += 1;
                        tl.peak_open = tl.peak_open.max(tl.open);
                    }
                    let keep = one_stream(
                        &mut s,
                        &mut p,
                        &req,
                        &mut carry,
                        &t,
                        from,
                        end,
                        &finder,
                        end + 200_000_000,
                    )
                    .await;
                    t.borrow_mut().open -= 1;
                    if a.once {
                        tokio::time::sleep(Duration::from_nanos(end.saturating_sub(now_ns()))).await;
                        return;
                    }
                    if !keep {
                        continue 'conn;
                    }
                }
            }
        });
    }
    let out = Rc::new(RefCell::new((String::new(), 0u64, 0u64)));
    let (o2, a2, t2) = (out.clone(), a.clone(), t.clone());
    local
        .run_until(async move {
            tokio::time::sleep(Duration::from_nanos(from.saturating_sub(now_ns()))).await;
            let w = Window::open(&a2);
            let mut peak = 0;
            let open = t2.borrow().open;
            loop {
                let left = end.saturating_sub(now_ns());
                tokio::time::sleep(Duration::from_nanos(left.min(1_000_000_000))).await;
                if now_ns() >= end {
                    break;
                }
                if a2.conns >= 100 {
                    peak = peak.max(pss_kb(&w.pids));
                }
            }
            *o2.borrow_mut() = (w.close(), peak, open);
        })
        .await;
    let (win, peak, open) = out.borrow().clone();
    let tl = t.borrow();
    let st: Vec<String> = tl.statuses.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
    format!(
        "{win},\"peak_pss_kb\":{peak},\"open_at_start\":{open},\"peak_open\":{},\"streams\":{},\"failed\":{},\"chunks\":{},\"chunks_per_s\":{:.1},\"reads\":{},\"body_bytes\":{},\"statuses\":{{{}}},{},{},{}",
        tl.peak_open,
        tl.streams,
        tl.failed,
        tl.chunks,
        tl.chunks as f64 / a.duration,
        tl.reads,
        tl.body_bytes,
        st.join(","),
        pct("ttfb", &tl.ttfb),
        pct("transit", &tl.transit),
        pct("jitter", &tl.jitter)
    )
}
