//! Both stores answer alike, whatever happens.
//!
//! A random sequence of steps is taken in the memory store and in the shared one, the latter seen through one
//! process or two; every answer and the whole state after every step must be the same. `DIFFERENTIAL_CASES`
//! says how many sequences are tried.

mod setting;
mod side;
mod step;

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use proptest::{
    prelude::*,
    test_runner::{Config, RngSeed, TestCaseResult, TestRunner},
};
use snapshot::Timestamp;

use self::{
    setting::{Setting, any_setting},
    side::{Answer, Side},
    step::{Step, Wanted, any_step},
};
use super::linked;
use crate::{
    Memory, Redis, RedisSettings,
    redis::{
        link::{Link, Urgency},
        scripts::BEAT,
        testing::Server,
    },
    testing::{START, provider_name},
};

/// The two stores under the same steps.
struct Run {
    setting: Setting,
    link: Link,
    prefix: String,
    memory: Side<Memory>,
    shared: Side<Redis>,
    now: Timestamp,
    /// When lanes were last all forgotten.
    forgotten: Timestamp,
    /// Whether all of the shared store's processes have met every refusal that counts: whom to blame is what
    /// each knows by itself, and it forgets a Provider that it has not used for a day.
    blames: bool,
}

/// How long lanes are kept that nobody uses; the shared store notes a use only once a minute. Between two rests
/// longer than `FORGOTTEN`, no more than `KEPT` goes by, so that a lane is in both stores or in neither.
const KEPT: Duration = Duration::from_secs(500);
const FORGOTTEN: Duration = Duration::from_secs(700);
/// Rests this long may add up to a day.
const HOURS: Duration = Duration::from_secs(2 * 3600);
/// What nobody uses for a day is forgotten by the memory store alone.
const STRIDE: Duration = Duration::from_secs(20 * 3600);

impl Run {
    fn new(link: &Link, setting: Setting) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("differential{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let stores = (0..setting.stores).map(|number| {
            let settings = RedisSettings {
                prefix: prefix.clone(),
                owner: owner(number),
                callers_clock: true,
            };
            Redis::new(link.clone(), settings)
        });
        Self {
            memory: Side::new(vec![Memory::default()]),
            shared: Side::new(stores.collect()),
            blames: setting.stores == 1,
            setting,
            link: link.clone(),
            prefix,
            now: START,
            forgotten: START,
        }
    }

    /// Every process becomes known under every tag: one that is not says nothing yet.
    async fn begin(&mut self) -> TestCaseResult {
        for by in 0..self.setting.stores {
            for caller in 0..self.setting.callers.len() {
                let caller = Some(caller);
                let wanted = Wanted::default();
                self.step(&Step::Pick { by, caller, wanted }).await?;
            }
        }
        Ok(())
    }

    async fn step(&mut self, step: &Step) -> TestCaseResult {
        if let Step::Wait(length) = step {
            self.wait(*length).await
        } else {
            self.both(step).await
        }
    }

    async fn both(&mut self, step: &Step) -> TestCaseResult {
        let expected = self.memory.take(&self.setting, self.now, step).await;
        let found = self.shared.take(&self.setting, self.now, step).await;
        if self.blames || !matches!(expected, Answer::Blame(_)) {
            prop_assert_eq!(found, expected, "{:?}", step);
        }
        self.compare(step).await
    }

    async fn compare(&self, step: &Step) -> TestCaseResult {
        let expected = self.memory.state(&self.setting, self.now).await;
        let found = self.shared.state(&self.setting, self.now).await;
        prop_assert_eq!(found, expected, "after {:?}", step);
        Ok(())
    }

    async fn wait(&mut self, length: Duration) -> TestCaseResult {
        if length < FORGOTTEN && self.now.since(self.forgotten) + length < KEPT {
            self.now = self.now + length;
            self.live().await;
            return self.compare(&Step::Wait(length)).await;
        }
        let mut left = length.max(FORGOTTEN);
        self.blames &= length < HOURS;
        self.memory.long_waits += 1;
        self.shared.long_waits += 1;
        while !left.is_zero() {
            let stride = if left < STRIDE + FORGOTTEN { left } else { STRIDE };
            left -= stride;
            self.now = self.now + stride;
            self.forgotten = self.now;
            self.live().await;
            // Both sweep now, not at some later step, and begin the lanes anew.
            self.sweep().await;
            self.both(&Step::Nobody).await?;
        }
        Ok(())
    }

    /// Lets no process pass for dead only because the clock has jumped.
    async fn live(&self) {
        for tag in ["{p:ns/p}", "{c:ns/0}", "{c:ns/1}"] {
            let mut command = redis::cmd("HSET");
            command.arg(format!("{}:{tag}:w", self.prefix));
            for number in 0..self.setting.stores {
                command.arg(owner(number)).arg(self.now.as_micros());
            }
            self.link
                .command("hset", &command, Urgency::Background)
                .await
                .expect("the server answers");
        }
    }

    /// Forgets lanes now, as the next sign of life would.
    async fn sweep(&self) {
        let call = BEAT
            .on(&[format!("{}:{{p:{}}}", self.prefix, provider_name())])
            .arg(self.now.as_micros())
            .arg(owner(0))
            .arg("unused")
            .arg("0");
        let answer = self.link.run(&call, Urgency::Background).await;
        assert!(answer.is_ok(), "{answer:?}");
    }
}

fn owner(number: usize) -> String {
    format!("owner{number}")
}

/// How many sequences are tried: some, and always the same, unless more are asked for.
fn cases() -> Option<u32> {
    #[expect(clippy::disallowed_methods, reason = "a test has no other settings")]
    let wanted = std::env::var("DIFFERENTIAL_CASES");
    wanted.ok()?.parse().ok()
}

#[test]
fn both_stores_answer_alike_whatever_happens() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let (_server, link) = runtime.block_on(async {
        let server = Server::start(&[]).await;
        let link = linked(&server).await;
        (server, link)
    });
    let config = Config {
        cases: cases().unwrap_or(120),
        rng_seed: cases().map_or(RngSeed::Fixed(4), |_| RngSeed::Random),
        failure_persistence: None,
        max_shrink_time: 60_000,
        ..Config::default()
    };
    let steps = prop::collection::vec(any_step(), 1..150);
    let outcome = TestRunner::new(config).run(&(any_setting(), steps), |(setting, steps)| {
        runtime.block_on(async {
            let mut run = Run::new(&link, setting);
            run.begin().await?;
            for step in &steps {
                run.step(step).await?;
            }
            Ok(())
        })
    });
    if let Err(difference) = outcome {
        panic!("{difference}");
    }
}
